"""What a damaged database raises, said as a `LibraryError`: nothing that SQLite or a row's parser throws goes further.

A file may be damaged so that SQLite sees it (its pages do not hang together), or so that only a row's reader does (a
number where JSON was). The first is beyond repair here; the second concerns one media, and `verify` finds which.
"""

from __future__ import annotations

import functools
import inspect
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import LibraryError

C = TypeVar("C", bound=type[Any])

_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def broken(folder: Path, reason: object) -> LibraryError:
    """Return the error for a database that SQLite finds damaged."""
    return LibraryError(
        f"{folder}: the library's database is damaged ({_line(reason)}); put back a copy of library.db, or add the "
        "recordings to a new library; `mmvideo verify` tells more"
    )


def unreadable(folder: Path | str, reason: object) -> LibraryError:
    """Return the error for rows that hold what cannot be."""
    return LibraryError(
        f"{folder}: the library holds damaged rows ({_line(reason)}); `mmvideo verify --repair` finds them, and the "
        "next `mmvideo add` makes them again"
    )


@contextmanager
def told(folder: Path, *, rows: bool = True) -> Iterator[None]:
    """Raise what a damaged database raises inside as a `LibraryError`; `rows`: also what its rows raise."""
    try:
        yield
    except sqlite3.OperationalError as error:  # the disk is gone, or the wait for another connection was too long
        if "UTF-8" in str(error):
            raise unreadable(folder, error) from error
        raise LibraryError(f"{folder}: the library cannot be read ({_line(error)})") from error
    except sqlite3.Error as error:
        raise broken(folder, error) from error
    except _UNREADABLE as error:
        if not rows:
            raise
        raise unreadable(folder, f"{type(error).__name__}: {error}") from error


def guarded(*, writes: Collection[str], apart: Collection[str]) -> Callable[[C], C]:
    """Return a decorator that lets the public methods and properties of a store raise `LibraryError` only.

    What goes wrong in one of `writes` besides SQLite's own errors is the caller's; those in `apart` stay as they are.
    """

    def decorate(cls: C) -> C:
        for name, member in list(vars(cls).items()):
            if name.startswith("_") or name in apart:
                continue
            if isinstance(member, property) and member.fget is not None:
                setattr(cls, name, property(_told_method(member.fget, True), doc=member.__doc__))
            elif inspect.isgeneratorfunction(member):
                setattr(cls, name, _told_generator(member))
            elif inspect.isfunction(member):
                setattr(cls, name, _told_method(member, name not in writes))
        return cls

    return decorate


def _told_method(method: Callable[..., Any], rows: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(store: Any, *arguments: Any, **options: Any) -> Any:
        with told(store.path.parent, rows=rows):
            return method(store, *arguments, **options)

    return call


def _told_generator(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(method)
    def call(store: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        with told(store.path.parent):
            yield from method(store, *arguments, **options)

    return call


def _line(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
