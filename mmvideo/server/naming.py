"""Names of files on their way out: as text that is valid UTF-8, and as a header that nothing can break out of."""

from __future__ import annotations

from urllib.parse import quote


def shown(name: str) -> str:
    """Return a name as text; what is not UTF-8 in it is replaced."""
    return name.encode("utf-8", "replace").decode()


def attachment(name: str) -> dict[str, str]:
    """Return the header that saves a body under a name (RFC 6266): every byte that is not a letter, a digit or one of
    `_.-~` is escaped, so no quote and no line break of a name reaches the header."""
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(shown(name), safe='')}"}
