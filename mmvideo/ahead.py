"""A query's vector, computed on one core while the word index is read on the other."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from .datatypes import TextEncoder, Vectors


class Ahead:
    """Encodes one text at a time in a thread of its own, and remembers the last one."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._last: tuple[TextEncoder, str, Future[Vectors]] | None = None

    def begin(self, encoder: TextEncoder, text: str) -> Future[Vectors]:
        """Return the vector of a text (1, dim) to come; what the encoder raises comes when it is taken."""
        last = self._last
        if last is not None and last[0] is encoder and last[1] == text:
            coming = last[2]
            if not coming.done() or coming.exception() is None:
                return coming
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="query")
        coming = self._pool.submit(encoder.encode_texts, [text])
        self._last = (encoder, text, coming)
        return coming
