"""A model behind an OpenAI-compatible address: the one place where mmvideo sends anything anywhere, when told to.

The address is the user's own choice and is asked as it stands: no redirect is followed, so that neither excerpts nor a
key go anywhere else. `offline` allows this machine only. The key comes from `MMVIDEO_API_KEY` and from nowhere else.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from .datatypes import Images
from .errors import ModelError
from .examples import Example

PATIENCE = 120.0
"""Seconds that an answer may take."""

LONGEST = 600
"""Tokens of an answer."""

MOST_BYTES = 4_000_000
"""Bytes of an answer that are read."""


def is_address(name: str) -> bool:
    """Tell whether a model's name is an address."""
    return name.startswith(("http://", "https://"))


def is_local(url: str) -> bool:
    """Tell whether an address is of this machine, without asking a name server: localhost, 127.x.x.x or ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Endpoint:
    """An `Answerer` behind an address such as http://127.0.0.1:8080/v1. `model` left out, the first one it offers.

    Raises `ModelError` for an address beyond this machine when `offline`.
    """

    def __init__(self, url: str, *, model: str | None = None, offline: bool = False) -> None:
        if offline and not is_local(url):
            raise ModelError(f"{url}: beyond this machine, and --offline allows nothing beyond it")
        self._url = url.rstrip("/").removesuffix("/chat/completions")
        self._model = model
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_local(url):
            handlers.append(urllib.request.ProxyHandler({}))  # a proxy would carry it off this machine
        self._opener = urllib.request.build_opener(*handlers)

    @cached_property
    def name(self) -> str:
        """The model's name; the address is asked for one if none was given."""
        if self._model:
            return self._model
        offered = self._ask("GET", "/models", None).get("data")
        if not isinstance(offered, list) or not offered or not isinstance(offered[0], dict):
            raise ModelError(f"{self._url}: names no model; give one with --model-name")
        return str(offered[0].get("id"))

    def answer(
        self, instructions: str, question: str, pictures: Sequence[Images], examples: Sequence[Example] = ()
    ) -> str:
        """Return what the model says, shown the `examples` as turns before. Raises `ModelError` where there is no
        answer."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}]
        for example in examples:
            picture = [example.picture] if example.picture is not None else []
            messages.append({"role": "user", "content": _content(example.question, picture)})
            messages.append({"role": "assistant", "content": example.answer})
        messages.append({"role": "user", "content": _content(question, pictures)})
        asked = {"model": self.name, "messages": messages, "temperature": 0, "max_tokens": LONGEST, "stream": False}
        told = self._ask("POST", "/chat/completions", asked)
        try:
            return str(told["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(f"{self._url}: answered something that is no chat completion") from error

    def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get("MMVIDEO_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=PATIENCE) as reply:
                told = json.loads(reply.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                why = error.read(300).decode("utf-8", "replace").strip().partition("\n")[0]
            raise ModelError(f"{self._url}: refused with status {error.code} ({why or error.reason})") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ModelError(f"{self._url}: gave no answer ({reason})") from error
        if not isinstance(told, dict):
            raise ModelError(f"{self._url}: answered something that is no JSON object")
        return told


def _content(text: str, pictures: Sequence[Images]) -> Any:
    if not pictures:
        return text
    shown = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
    return [{"type": "text", "text": text}, *shown]


def _data_url(picture: Images) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
