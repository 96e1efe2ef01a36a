"""Reading media at addresses, through fsspec: what is there, which version, and any range of it.

Decoders read back and forth, and several passes are made over a recording; so what came over the network lies in
blocks in a nameless temporary file until two other recordings were read, and nothing is fetched twice. Credentials are
those of the machine (the environment, fsspec's and the clouds' own files), or come with the address given. What a
library of the network says of a failure may quote an address with a signature: it is told without, and without a trace.
"""

from __future__ import annotations

import logging
import tempfile
import time
import weakref
from calendar import timegm
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate
from functools import cache
from hashlib import blake2b
from threading import Lock, RLock
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from .address import Address, cleaned, complete, inherited, ranges
from .errors import MediaError

BLOCK = 256 * 1024
"""Bytes that are fetched at least."""
AHEAD = 16
"""Blocks that are fetched at once where a recording is read in order."""
ROOM = 4 * 1024**3
"""Bytes of a recording that are kept at most; of a longer one, those read last."""
OPEN = 2
"""Recordings whose blocks are kept."""
FRESH = 30.0
"""Seconds for which a version that was looked up holds for looking at pieces."""

INSTALL = "pip install 'mmvideo[remote]'"
_DATES = (
    "LastModified",
    "last_modified",
    "Last-Modified",
    "mtime",
    "updated",
    "modified",
    "last_write_time",
    "created",
)
_VERSIONS = ("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "crc32c", "VersionId", "generation", "content_md5")


class NoRangesError(Exception):
    """A server sends a file whole or not at all."""


class Blocks:
    """The content of one version of a recording, fetched by blocks and kept. Any number of threads may read.

    `fetch` returns the bytes in [start, end), or raises `NoRangesError`: then `whole` yields all of it, in pieces.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], bytes],
        size: int,
        version: int,
        *,
        whole: Callable[[], Iterator[bytes]] | None = None,
        room: int = ROOM,
    ) -> None:
        self.size, self.version = size, version
        self.fetched = 0
        self._fetch, self._whole = fetch, whole
        self._most = max(AHEAD, room // BLOCK)
        self._slots: OrderedDict[int, int] = (
            OrderedDict()
        )  # block → its place in the file, the one read last at the end
        self._file = cast("BinaryIO", tempfile.TemporaryFile(prefix="mmvideo-"))  # noqa: SIM115 - closed by the next line
        weakref.finalize(self, self._file.close)  # when nobody reads it any more
        self._last = -2
        self._run = 1
        self._lock = RLock()

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`, fewer at the end. Raises what fetching raises."""
        end = min(self.size, offset + count)
        if offset >= end:
            return b""
        with self._lock:
            parts = [self._block(block) for block in range(offset // BLOCK, (end - 1) // BLOCK + 1)]
        first = offset // BLOCK * BLOCK
        return b"".join(parts)[offset - first : end - first]

    def _block(self, block: int) -> bytes:
        if block not in self._slots:
            self._get(block)
        self._slots.move_to_end(block)
        self._file.seek(self._slots[block] * BLOCK)
        return self._file.read(min(BLOCK, self.size - block * BLOCK))

    def _get(self, block: int) -> None:
        """Fetch a block, and the more of those after it the longer all was read in order."""
        self._run = min(AHEAD, 2 * self._run) if block == self._last + 1 else 1
        count = 1
        while count < self._run and (block + count) * BLOCK < self.size and block + count not in self._slots:
            count += 1
        start = block * BLOCK
        end = min(self.size, start + count * BLOCK)
        try:
            data = self._fetch(start, end)
        except NoRangesError:
            self._get_whole()
            return
        if len(data) != end - start:
            raise MediaError(
                f"{len(data)} bytes came where {end - start} were asked for; it changed, or a server is wrong"
            )
        self.fetched += len(data)
        self._last = block + count - 1
        for one in range(count):
            self._put(block + one, data[one * BLOCK : (one + 1) * BLOCK])

    def _get_whole(self) -> None:
        """Fetch everything, of a server that knows no ranges."""
        if self._whole is None or self.size > self._most * BLOCK:
            raise MediaError("the server cannot send parts of it, and it is too large to keep; download it first")
        at, waiting = 0, b""
        for piece in self._whole():
            waiting += piece
            self.fetched += len(piece)
            while len(waiting) >= BLOCK:
                self._put(at, waiting[:BLOCK])
                at, waiting = at + 1, waiting[BLOCK:]
        if at * BLOCK + len(waiting) != self.size:
            raise MediaError(f"{self.fetched} bytes came where {self.size} were announced")
        if waiting:
            self._put(at, waiting)

    def _put(self, block: int, data: bytes) -> None:
        slot = self._slots.pop(block, None)
        if slot is None:
            slot = len(self._slots) if len(self._slots) < self._most else self._slots.popitem(last=False)[1]
        self._file.seek(slot * BLOCK)
        self._file.write(data)
        self._slots[block] = slot


class Network:
    """What is at addresses, by fsspec."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Blocks] = OrderedDict()
        self._known: dict[str, tuple[float, tuple[int, int]]] = {}
        self._lock = Lock()

    def state(self, address: Address) -> tuple[int, int]:
        """Return (size, version) of what is there now. Raises `MediaError` where there is nothing."""
        with _told(address):
            system, path = _system(address)
            system.invalidate_cache()
            about = system.info(path)
            if about.get("type") == "directory":
                raise MediaError("a folder, not a recording")
            if about.get("size") is None:
                raise MediaError("the server does not say how long it is; download it first")
            known = int(about["size"]), _version(about)
        self._known[str(address)] = time.monotonic(), known
        return known

    def lately(self, address: Address) -> tuple[int, int]:
        """Return (size, version) as of half a minute ago at most: for looking at pieces, one after another."""
        at, known = self._known.get(str(address), (-FRESH, (0, 0)))
        return known if time.monotonic() - at < FRESH else self.state(address)

    def open(self, address: Address) -> BinaryIO:
        """Return what is there, to read."""
        blocks = self.blocks(address)

        def read(offset: int, size: int) -> bytes:
            with _told(address):
                return blocks.read(offset, size)

        return ranges(blocks.size, read)

    def blocks(self, address: Address) -> Blocks:
        """Return the blocks of the version that is there. Raises `MediaError`."""
        size, version = self.lately(address)
        with self._lock:
            blocks = self._kept.pop(str(address), None)
            if blocks is None or (blocks.size, blocks.version) != (size, version):
                blocks = _fetching(address, size, version)
            self._kept[str(address)] = blocks
            while len(self._kept) > OPEN:
                self._kept.popitem(last=False)
        return blocks

    def files(self, address: Address, suffixes: frozenset[str]) -> list[Address]:
        """Return the recordings at an address, sorted: itself, or of a folder what has one of the `suffixes`, hidden
        names left out. Of a page on the web, those that it links to. Raises `MediaError`."""
        with _told(address):
            system, path = _system(address)
            system.invalidate_cache()
            if not _is_folder(system, path, address):
                return [address]
            web = address.parts[0] in ("http:", "https:")
            names = system.ls(path, detail=False) if web else system.find(path)
            found = [inherited(_beside(address, path, str(name)), address) for name in names]
        return sorted(
            one
            for one in set(found)
            if one.suffix.lower() in suffixes and not any(part.startswith(".") for part in one.parts[2:])
        )


NETWORK = Network()


def _is_folder(system: Any, path: str, address: Address) -> bool:
    if address.parts[0] in ("http:", "https:"):
        return not address.suffix and system.info(path).get("mimetype") == "text/html"
    return bool(system.isdir(path))


def _beside(address: Address, path: str, name: str) -> Address:
    """Return the address of a name in a listing of `path`, which has the scheme and host, or not."""
    if "://" in name:
        parts = urlsplit(name)
        return Address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    return Address(f"{str(address).rstrip('/')}/{name.removeprefix(path).lstrip('/')}")


def _system(address: Address) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MediaError(f"addresses need fsspec: {INSTALL}") from None
    _hush()
    url = complete(address)
    parts = urlsplit(url)
    options: dict[str, Any] = {}
    if parts.scheme == "s3" and "@" in parts.netloc:
        options = {"key": unquote(parts.username or ""), "secret": unquote(parts.password or "")}
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if not address.parts[1:]:
        raise MediaError("an address without a place, such as https://host/talk.mp4 or s3://bucket/talk.mp4")
    system, path = url_to_fs(url, **options)
    return system, str(path)


class _Cleaning(logging.Filter):
    """Takes secrets out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, without them."""
        record.msg, record.args = cleaned(record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True


@cache
def _hush() -> None:
    """Keep addresses as they were given out of every log, whoever has turned it on."""
    for name in ("fsspec", "fsspec.http"):
        logging.getLogger(name).addFilter(_Cleaning())
    for name in ("botocore", "aiobotocore"):  # their debugging quotes requests whole, with tokens
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)


def _fetching(address: Address, size: int, version: int) -> Blocks:
    with _told(address):
        system, path = _system(address)
    if address.parts[0] not in ("http:", "https:"):
        return Blocks(lambda start, end: bytes(system.cat_file(path, start=start, end=end)), size, version)

    def fetch(start: int, end: int) -> bytes:
        # Opened, not `cat_file`: that would take all of a file from a server that knows no ranges.
        with system.open(path, "rb", cache_type="none", block_size=end - start) as file:
            try:
                file.seek(start)
                return bytes(file.read(end - start))
            except ValueError as error:
                raise NoRangesError from error

    def whole() -> Iterator[bytes]:
        with system.open(path, "rb", block_size=0) as file:
            while data := file.read(BLOCK):
                yield bytes(data)

    return Blocks(fetch, size, version, whole=whole)


def _version(about: dict[str, Any]) -> int:
    """Return a number that changes with the content, made of what the server says: the date in ns, its fraction of a
    second replaced by a digest of the rest."""
    seconds = next((found for name in _DATES if (found := _seconds(about.get(name))) is not None), 0)
    told = [f"{name} {about[name]}" for name in (*_DATES, *_VERSIONS) if about.get(name) is not None]
    digest = blake2b("\n".join(told).encode(), digest_size=8).digest()
    return seconds * 10**9 + int.from_bytes(digest, "little") % 10**9


def _seconds(date: Any) -> int | None:
    if isinstance(date, datetime):
        return int(date.timestamp())
    if isinstance(date, (int, float)):
        return int(date)
    if isinstance(date, str):
        if (parsed := parsedate(date)) is not None:
            return timegm(parsed)
        try:
            return int(datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp())
        except ValueError:
            return None
    return None


@contextmanager
def _told(address: Address) -> Iterator[None]:
    """Make whatever goes wrong a `MediaError` that names the address and holds no secret, nor anything it came of."""
    try:
        yield
    except MediaError as error:
        text = str(error)
        told = text if text.startswith(str(address)) else f"{address}: {text}"
    except ImportError as error:
        told = f"{address}: reading it needs another package ({cleaned(str(error))}): {INSTALL}"
    except Exception as error:
        told = f"{address}: {_reason(error)}"
    else:
        return
    raise MediaError(told) from None


def _reason(error: Exception) -> str:
    # fsspec says of whatever a web server answers that there is no file; what it answered is behind that.
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
    status = getattr(cause, "status", None)
    if isinstance(cause, FileNotFoundError) or status in (404, 410):
        return "nothing is there; see if the address is right"
    if isinstance(cause, PermissionError) or status in (401, 403) or "redentials" in type(cause).__name__:
        return "access was refused; credentials come from the environment or the address (docs/SCALE.md)"
    if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
        return "the server did not answer in time"
    if status is not None:
        return f"the server answered with {status}"
    said = " ".join(cleaned(str(cause)).split())[:200]
    return f"cannot be read ({type(cause).__name__}{f': {said}' if said else ''})"
