"""The address of a library in PostgreSQL: what the driver needs, and what may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...errors import LibraryError

SCHEMES = ("postgresql", "postgres")
_SECRET = frozenset({"password", "sslpassword", "sslkey", "passfile"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a library is. `conninfo` may hold a password, and is kept out of every message; `place` never does."""

    conninfo: str = field(repr=False)
    schema: str
    place: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of `postgresql://user@host/database?schema=NAME`; everything else is libpq's.

        Passwords are better left to ~/.pgpass or $PGPASSWORD, which libpq reads itself. Raises `LibraryError` for what
        is no address.
        """
        try:
            parts = urlsplit(url)
            options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
            user, port = parts.username, parts.port
        except ValueError:
            raise LibraryError(
                "the library's address cannot be read; such as postgresql://user@host/database"
            ) from None
        if parts.scheme not in SCHEMES:
            raise LibraryError(f"{parts.scheme}: not an address of PostgreSQL, such as postgresql://user@host/database")
        schema = dict(options).get("schema", "mmvideo")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,50}", schema):
            raise LibraryError("the schema in the library's address must be letters, digits and underscores")
        given = [(key, value) for key, value in options if key != "schema"]
        host = (f"{user}@" if user else "") + (parts.hostname or "") + (f":{port}" if port else "")
        shown = [(key, value) for key, value in options if key in ("host", "port", "dbname", "schema")]
        return cls(
            urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(given), "")),
            schema,
            urlunsplit(("postgresql", host, parts.path, urlencode(shown, safe="/"), ""))
            if host or shown
            else f"postgresql://{parts.path}",
        )


def is_address(library: str) -> bool:
    """Tell whether a library's name is an address of PostgreSQL rather than a folder."""
    return library.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))
