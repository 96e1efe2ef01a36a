"""Who may ask, and how much: the checks that every request passes before anything else sees it.

Loopback without a token: the Host header must name this machine's loopback, so that a foreign name that was made to
point here (DNS rebinding) is refused. Any other address: a token, in `Authorization: Bearer` or in a cookie that the
printed link sets. In both cases a page of another origin can neither read nor write. Bodies are
bounded in size and time.
"""

from __future__ import annotations

import hmac
import json
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: a picture, or a short clip to search with."""
BODY_SECONDS = 60.0

SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_RAW = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
_UNSAID = (b"cache-control", b"no-store")


class TooLargeError(Exception):
    """A body is larger than `MAX_BODY`, or took longer than `BODY_SECONDS`."""


class Guard:
    """ASGI middleware that refuses what is not ours. `hosts` are the names (without port) that a request may give."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str | None = None) -> None:
        self.app = app
        self.hosts = hosts
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on to the application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if self.token is not None and not self._known(headers):
            await self._admit(scope, headers, send)
            return
        await self._pass(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        given = headers.getlist("host")
        host = given[0] if len(given) == 1 else ""  # of two, the one checked might not be the one meant
        if _name(host) not in self.hosts:
            return 403, "host", "this server does not answer to that name; start it with --host or --allow-host"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "origin", "pages of other origins may not ask this server"
        site = headers.get("sec-fetch-site", "none")
        navigation = headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD")
        if site not in ("same-origin", "none") and not (navigation and scope["path"] == "/"):
            return 403, "origin", "pages of other origins may not ask this server"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
            return 413, "too_large", f"a request may have at most {MAX_BODY >> 20} MB"
        return None

    def _known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get("mmvideo")
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())

    async def _admit(self, scope: Scope, headers: Headers, send: Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._is_token(given):
            cookie = f"mmvideo={self.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
            start = {"type": "http.response.start", "status": 303}
            await send({**start, "headers": [(b"location", b"/"), (b"set-cookie", cookie.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        await _answer(send, 401, "token", "this server needs its token; open the link that it printed at its start")

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0
        deadline = anyio.current_time() + BODY_SECONDS
        complete = refused = False

        async def bounded() -> Message:
            nonlocal taken, complete, refused
            if complete:
                return await receive()
            try:
                with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                    message = await receive()
            except TimeoutError:
                refused = True
                raise TooLargeError from None
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if taken > MAX_BODY:
                refused = True
                raise TooLargeError
            return message

        async def hardened(message: Message) -> None:
            if refused:  # whatever the application makes of the broken body
                return
            if message["type"] == "http.response.start":
                said = list(message.get("headers", ()))
                if all(name != _UNSAID[0] for name, _ in said):
                    said.append(_UNSAID)
                message = {**message, "headers": [*said, *_RAW]}
            await send(message)

        with suppress(TooLargeError):
            await self.app(scope, bounded, hardened)
        if refused:
            await _answer(send, 413, "too_large", f"a request may have {MAX_BODY >> 20} MB and {BODY_SECONDS:g} s")


def _name(host: str) -> str:
    """Return the name of a Host header without its port, in lower case."""
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":", 1)[0]
    return name.lower()


async def _answer(send: Send, status: int, kind: str, message: str) -> None:
    body = json.dumps({"error": {"kind": kind, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_RAW]})
    await send({"type": "http.response.body", "body": body})
