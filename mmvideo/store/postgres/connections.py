"""Connections to one library in PostgreSQL: a pool for reading and writing, snapshots, and locks that die with their
process.

A snapshot belongs to the thread that took it, so that several threads answer queries side by side. Who adds a media
holds an advisory lock on its path for as long as it takes, on a connection of its own: when the process dies, or the
network, the server gives the lock back.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ...errors import LibraryError
from .address import Address
from .ranked import Raw
from .schema import said

MOST = 16
"""Connections that one process holds at most."""

_SETTINGS = {
    "hnsw.ef_search": "200",  # as many as a query wants: the server's own 40 would return 40
    "hnsw.iterative_scan": "strict_order",  # goes on until a filter has let enough through
    "hnsw.max_scan_tuples": "40000",
    "jit": "off",  # compiling costs more than a query of ours takes
}


class Connections:
    """The connections of one open library. Close them at the end."""

    def __init__(self, address: Address, path: str) -> None:
        from psycopg_pool import ConnectionPool

        self.address = address
        self._path = path
        self._here = threading.local()
        self._pool = ConnectionPool(
            address.conninfo,
            min_size=1,
            max_size=MOST,
            kwargs={"autocommit": True},
            configure=self._configure,
            check=ConnectionPool.check_connection,
            timeout=30.0,
            open=True,
            name="mmvideo",
        )

    def close(self) -> None:
        """Close all; a second call does nothing."""
        self._pool.close()

    def _configure(self, connection: Any) -> None:
        from psycopg import adapt, pq

        class RawDumper(adapt.Dumper):
            """Passes bytes on as they are; the server takes them for what the statement says they are."""

            format = pq.Format.BINARY

            def dump(self, obj: Raw) -> bytes:
                return bytes(obj)

        connection.adapters.register_dumper(Raw, RawDumper)
        settings = {"search_path": self._path, **_SETTINGS}
        connection.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS _ (name, value)",
            (list(settings), list(settings.values())),
        )

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Lend a connection: the snapshot's, where this thread holds one."""
        held = getattr(self._here, "connection", None)
        with self._told("asked"):
            if held is not None:
                yield held
            else:
                with self._pool.connection() as connection:
                    yield connection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let what this thread reads inside see one state of the library."""
        with self._told("asked"), self._pool.connection() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._here.connection = connection
            try:
                yield
            finally:
                self._here.connection = None
                connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Lend a connection in a transaction: committed at the end, undone by any error."""
        with self._told("written"), self._pool.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def locks(self) -> Iterator[Locks]:
        """Lend a connection for locks alone; all are given back at the end."""
        import psycopg

        with ExitStack() as stack:
            with self._told("locked"):
                connection = stack.enter_context(psycopg.connect(self.address.conninfo, autocommit=True))
            yield Locks(connection, self.address)

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        import psycopg
        import psycopg_pool

        try:
            yield
        except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            raise LibraryError(f"{self.address.place}: the library could not be {done} ({said(error)})") from error


class Locks:
    """Advisory locks of one process, by name."""

    def __init__(self, connection: Any, address: Address) -> None:
        self._db = connection
        self._address = address
        self._mutex = threading.Lock()

    def take(self, name: str, *, shared: bool = False) -> bool:
        """Take a lock, and tell whether it could be had at once."""
        return bool(self._ask(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(%s)", name))

    def give(self, name: str) -> None:
        """Give a lock back."""
        self._ask("SELECT pg_advisory_unlock(%s)", name)

    def _ask(self, query: str, name: str) -> Any:
        import psycopg

        whole = f"{self._address.schema}\0{name}".encode("utf-8", "surrogateescape")
        key = int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "big", signed=True)
        try:
            with self._mutex:
                return self._db.execute(query, (key,)).fetchone()[0]
        except psycopg.Error as error:
            raise LibraryError(f"{self._address.place}: the library could not be locked ({said(error)})") from error
