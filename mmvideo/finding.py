"""Which media of a library somebody means."""

from __future__ import annotations

import os
from pathlib import Path

from .address import is_address, located
from .errors import LibraryError
from .filters import names
from .store import Store, StoredMedia


def find(store: Store, media: str | os.PathLike[str]) -> StoredMedia:
    """Return the one media with this path, or whose name or path fits this glob or name.

    Raises `LibraryError` if none or several fit.
    """
    path = located(media) if is_address(media) else Path(media).expanduser().absolute()
    media = path if is_address(path) else media  # without what may be secret in it
    stored = store.find_media(path)
    if stored is not None:
        return stored
    fitting = [other for other in store.media() if names(other.media, os.fspath(media))]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise LibraryError(f"{media}: not in the library {store.place}; `mmvideo ls` shows what is")
    shown = ", ".join(str(other.media.path) for other in fitting[:3])
    raise LibraryError(
        f"{media}: fits {len(fitting)} media ({shown}{', …' if len(fitting) > 3 else ''}); give the whole path"
    )
