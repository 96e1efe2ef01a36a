"""Media that are not files of this machine: addresses such as `https://host/talk.mp4` or `s3://bucket/talk.mp4`.

An `Address` stands wherever a path does. It holds only what may be stored and shown: user names, passwords and the
queries of signed addresses are taken off when it is made, and kept beside it in the memory of this process alone.
Where its bytes come from is decided in one place, `reading`: the process that a user started asks the network
(`remote`); the one that decodes for it asks that process, so that no decoder has a connection or a password.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from .errors import MediaError

NAMING = frozenset(
    {"alt", "file", "filename", "generation", "id", "name", "path", "v", "version", "versionid", "video"}
)
"""Parameters of a query that are kept, since they say which recording is meant. All others may be secrets."""

_BUFFER = 256 * 1024
_NOTHING = {"protocol_whitelist": "none"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?=[^/])")
_TELLING = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#'\"<>]*@)?(?P<rest>[^\s?#'\"<>]*)(?:[?#][^\s'\"<>]*)?"
)
_given: dict[str, _Given] = {}


if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # that of this system: before Python 3.12 only such can be made


class Address(_Path):
    """The place of a media elsewhere, as a path: `name`, `suffix`, `stem` and `parents` are those of the address.

    It is taken to exist: to know better, the network would have to be asked, which happens only on reading.
    """

    def __str__(self) -> str:
        return re.sub(r"^([^/]+:)/", r"\1//", str(super().__str__()).replace("\\", "/"))

    def __fspath__(self) -> str:
        return str(self)

    @property
    def suffix(self) -> str:
        """The suffix of the name without its query."""
        return Path(self.name.partition("?")[0]).suffix

    def as_uri(self) -> str:
        """Return the address."""
        return str(self)

    def absolute(self) -> Address:
        """Return the address: no folder of this machine matters to it."""
        return self

    def expanduser(self) -> Address:
        """Return the address."""
        return self

    def exists(self, **_: Any) -> bool:
        """Say yes, without asking."""
        return True

    def is_file(self, **_: Any) -> bool:
        """Say yes, without asking."""
        return True

    def stat(self, **_: Any) -> Any:
        """Raise `OSError`: it is no file of this machine; see `state`."""
        raise OSError(0, "not a file of this machine", str(self))

    def state(self) -> tuple[int, int]:
        """Return (size in bytes, a number that changes with the content: its date in ns, the last nine digits of which
        stand for what else tells versions apart). Raises `MediaError`."""
        return _source().state(self)

    def open(self, *_: Any, **__: Any) -> BinaryIO:  # type: ignore[override]
        """Return the content, to read by ranges. Raises `MediaError`."""
        return _source().open(self)


@dataclass(frozen=True, slots=True)
class _Given:
    """An address as it was given, and the words in it that must not be seen."""

    whole: str = field(repr=False)
    words: frozenset[str] = field(repr=False)
    secret: bool


class Source(Protocol):
    """Where the bytes of addresses come from."""

    def state(self, address: Address) -> tuple[int, int]:
        """Return (size, version) of what is there now."""
        ...

    def open(self, address: Address) -> BinaryIO:
        """Return what is there, to read."""
        ...


def _network() -> Source:
    from . import remote

    return remote.NETWORK


_source: Callable[[], Source] = _network


def reading(source: Callable[[], Source]) -> None:
    """Decide where this process reads addresses from: other processes than the user's own ask that one."""
    global _source
    _source = source


class _Ranges(io.RawIOBase):
    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size, self._read, self._at = size, read, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, room: Any) -> int:
        wanted = min(len(room), self._size - self._at)
        data = self._read(self._at, wanted) if wanted > 0 else b""
        room[: len(data)] = data
        self._at += len(data)
        return len(data)


def ranges(size: int, read: Callable[[int, int], bytes]) -> BinaryIO:
    """Return a file of `size` bytes, of which `read` gives what lies at (offset, count), or the first part of it."""
    return cast("BinaryIO", _Ranges(size, read))


def opening(path: Path, stack: ExitStack) -> dict[str, Any]:
    """Return what PyAV opens a media with, a path or an address; what must be closed afterwards goes on the `stack`."""
    how: dict[str, Any] = {"metadata_errors": "ignore"}
    if isinstance(path, Address):
        # Whatever it refers to must be in it: no file of this machine, no other address.
        return {**how, "file": stack.enter_context(path.open()), "buffer_size": _BUFFER, "options": _NOTHING}
    # "file:" keeps a name with a colon from being read as an address; a playlist must not fetch anything.
    return {**how, "file": f"file:{path}", "options": {"protocol_whitelist": "file"}}


def is_address(given: str | os.PathLike[str]) -> bool:
    """Tell whether a name is an address rather than a path of this machine."""
    if isinstance(given, Address):
        return True
    text = os.fspath(given)
    known = _SCHEME.match(text) if isinstance(text, str) else None
    if known is None or known[1].lower() in ("file", "local"):
        return False
    # A Path of an address has lost one of its slashes.
    return "://" in text[: known.end()] or (isinstance(given, Path) and not os.path.lexists(text))


def located(given: str | os.PathLike[str]) -> Path:
    """Return an absolute path, or an `Address` without secrets. Raises `MediaError` for an address without a place."""
    if isinstance(given, Address):
        return given
    if is_address(given):
        return _taken(_SCHEME.sub(r"\1://", os.fspath(given), count=1))
    text = os.fspath(given)
    for scheme in ("file://", "local://"):
        if isinstance(text, str) and text.startswith(scheme):
            text = unquote(text[len(scheme) :])
    return Path(os.path.abspath(text))  # noqa: PTH100 - Path.absolute keeps "..", resolve follows links


def stored(text: str) -> Path:
    """Return the path or address that `str` or `os.fspath` of one made into text."""
    known = _SCHEME.match(text)
    return Address(text) if known is not None and "://" in text[: known.end()] else Path(text)


def complete(address: Address) -> str:
    """Return an address with what was taken off it in this process. Never store, print or log it."""
    known = _given.get(str(address))
    return str(address) if known is None else known.whole


def has_secrets(address: Address) -> bool:
    """Tell whether something was taken off an address in this process."""
    known = _given.get(str(address))
    return known is not None and known.secret


def inherited(address: Address, folder: Address) -> Address:
    """Return an address found in a folder, after noting that what opened the folder opens it, too."""
    if has_secrets(folder) and not has_secrets(address):
        parts, here = urlsplit(complete(folder)), urlsplit(str(address))
        user, at, _ = parts.netloc.rpartition("@")
        whole = here._replace(netloc=f"{user}{at}{here.netloc}", query=here.query or parts.query).geturl()
        _given[str(address)] = _Given(whole, _given[str(folder)].words, secret=True)
    return address


def cleaned(text: str) -> str:
    """Return text without the secrets of addresses: of every address in it, and those known, wherever they stand."""
    text = _TELLING.sub(lambda found: found["scheme"] + found["rest"], text)
    for word in sorted({word for known in list(_given.values()) for word in known.words}, key=len, reverse=True):
        text = text.replace(word, "…")
    return text


def _taken(url: str) -> Address:
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        raise MediaError(
            "an address that cannot be read; such as https://host/talk.mp4 or s3://bucket/talk.mp4"
        ) from None
    kept = [(name, value) for name, value in given if name.lower() in NAMING]
    path = parts.path + (f"?{urlencode(kept, safe='/:')}" if kept else "")
    address = Address(f"{parts.scheme.lower()}://{host}{path}")
    user = parts.netloc.rpartition("@")[0]
    values = {value for name, value in given if name.lower() not in NAMING}
    if user or values or parts.path.endswith("/"):  # which a path does not keep, and a page of links has
        words = {user, user.partition(":")[2] or user, *values}
        words |= {one.partition("=")[2] for one in parts.query.split("&") if unquote(one.partition("=")[2]) in values}
        words |= {unquote(word) for word in words}
        shown = frozenset(word for word in words if len(word) > 3)
        _given[str(address)] = _Given(url.partition("#")[0], shown, secret=bool(user or values))
    return address
