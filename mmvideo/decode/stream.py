"""What decoding hands out: an iterator that can be closed and that tells afterwards what went wrong on the way."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """What a decoder reports while it works: which one it is, why not the first choice, and what a user should know."""

    decoder: str
    why: str = ""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)


class Stream(Iterator[T], Generic[T]):
    """Items decoded as they are asked for. Close it, or use it in `with`, to free the file before the end.

    It may be read in one thread and closed from another: `close` waits for the item that is being decoded.
    """

    def __init__(self, items: Generator[T], account: Account) -> None:
        self._items = items
        self._account = account
        self._lock = Lock()

    @property
    def notes(self) -> list[str]:
        """What a careful user wants to know, such as damage; complete once the stream has ended."""
        return self._account.notes

    @property
    def decoder(self) -> str:
        """The program that decodes: "decord", "pyav" or "ffmpeg". It may change on the way when one gives up."""
        return self._account.decoder

    @property
    def why(self) -> str:
        """Why the decoder is not the first choice; empty where it is."""
        return self._account.why

    def __next__(self) -> T:
        with self._lock:
            return next(self._items)

    def close(self) -> None:
        """Stop decoding and free the file. What was not yet asked for is lost; closing twice does no harm."""
        with self._lock:
            self._items.close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
