"""What can go wrong, as a tree.

    MMVideoError
    ├── MediaError           a file that is missing, unreadable or not a recording
    ├── ModelError           weights that are missing, damaged or of another kind
    ├── LibraryError         a folder that is no library, or one that is locked or newer
    │   └── RecipeError      a library made with other models or settings
    └── QueryError           a question that cannot be asked

Each message names what is wrong, which file, and what to do about it, in one line. A bad file in a batch is caught by
`Library.add`, reported and skipped; all the others end the call. Exit codes belong to `cli`, HTTP status to `server`.
"""

from __future__ import annotations


class MMVideoError(Exception):
    """Base of every error that mmvideo raises on purpose."""


class MediaError(MMVideoError):
    """A media file cannot be found, read, or understood."""


class ModelError(MMVideoError):
    """A model's weights cannot be found, loaded, or do not fit their use."""


class LibraryError(MMVideoError):
    """A library cannot be opened, read or written."""


class RecipeError(LibraryError):
    """A library was made with other models than the ones asked for."""


class QueryError(MMVideoError):
    """A query is empty, contradictory or malformed."""
