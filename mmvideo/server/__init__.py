"""HTTP and the page: `create_app` makes the application of a library, `serve` runs it.

The schema is at `/api/openapi.json`; FastAPI's own documentation pages are off, because they fetch from elsewhere.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from .. import __version__
from ..errors import LibraryError, MediaError, MMVideoError, ModelError, QueryError
from ..library import Library
from .api import router
from .guard import LOOPBACK, Guard

WEB = Path(__file__).parent.parent / "web"

STATUS: tuple[tuple[type[MMVideoError], int, str], ...] = (
    (QueryError, 400, "query"),
    (MediaError, 422, "media"),
    (ModelError, 503, "model"),
    (LibraryError, 409, "library"),
    (MMVideoError, 500, "other"),
)


def create_app(
    library: Library, *, hosts: frozenset[str] = LOOPBACK, token: str | None = None, writable: bool = True
) -> FastAPI:
    """Return the application (ASGI) that serves a library. `hosts` are the names that requests may give as Host;
    `token` must come with every request where it is given; `writable` allows adding and removing."""
    app = FastAPI(title="mmvideo", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.include_router(router(library, writable=writable))
    app.add_exception_handler(MMVideoError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)
    app.mount("/", StaticFiles(directory=WEB, html=True))
    app.add_middleware(Guard, hosts=hosts, token=token)
    return app


def _failure(status: int, kind: str, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


async def _known(_: Request, error: Exception) -> JSONResponse:
    status, kind = next((status, kind) for cls, status, kind in STATUS if isinstance(error, cls))
    return _failure(status, kind, str(error).encode("utf-8", "replace").decode())


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:])
    return _failure(422, "request", f"{where}: {first.get('msg', 'cannot be understood')}".lstrip(": "))


async def _http(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    return _failure(status, "not_found" if status == 404 else "request", detail, getattr(error, "headers", None))


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return _failure(500, "other", f"something went wrong ({type(error).__name__}); the server's log says more")


def serve(
    library: Library,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    allow_hosts: tuple[str, ...] = (),
    writable: bool | None = None,
) -> None:
    """Serve until interrupted, after printing the address to standard error.

    An address beyond loopback gets a token (a new one, unless one is given), and is read-only unless `writable`.
    """
    import uvicorn

    local = _is_loopback(host)
    token = token or (None if local else secrets.token_urlsafe(24))
    hosts = LOOPBACK | {_bracketed(host), *(name.lower() for name in allow_hosts)}
    if not local:
        hosts |= {socket.gethostname().lower(), *_addresses()}
    app = create_app(library, hosts=hosts, token=token, writable=local if writable is None else writable)
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)
    shown = _bracketed(host) if host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104 - compared only
    print(f"mmvideo: http://{shown}:{port}/{f'?token={token}' if token else ''}   (Ctrl-C ends it)", file=sys.stderr)
    uvicorn.Server(config).run()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def _addresses() -> set[str]:
    """Return this machine's addresses as a Host header writes them."""
    try:
        return {_bracketed(str(info[4][0])) for info in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        return set()
