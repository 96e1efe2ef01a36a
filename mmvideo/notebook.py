"""Hits as notebooks show them: a list that is a table with thumbnails when it is the last value of a cell."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from .datatypes import Hit
from .errors import MediaError
from .times import clock

SHOWN = 24
"""Hits that are drawn: each costs a decoded frame and about 6 kB in the notebook."""


class Hits(list[Hit]):
    """Hits, best first: a plain list with a `_repr_html_`; `notes` tell what a careful user wants to know of them."""

    def __init__(self, hits: Iterable[Hit] = (), notes: Sequence[str] = ()) -> None:
        super().__init__(hits)
        self.notes = tuple(notes)

    def _repr_html_(self) -> str:
        """Return a table, a row per hit: thumbnail, file and time, score, and the words said."""
        if not self:
            return "<p><i>nothing found</i></p>"
        rows = "".join(_row(rank, hit) for rank, hit in enumerate(self[:SHOWN], 1))
        more = f"<p>… and {len(self) - SHOWN} more</p>" if len(self) > SHOWN else ""
        return f"<table>{rows}</table>{more}"


def _row(rank: int, hit: Hit) -> str:
    picture = _thumbnail(hit)
    shown = f'<img width="160" alt="" src="data:image/jpeg;base64,{picture}">' if picture else ""
    where = f"<b>{escape(hit.path.name)}</b><br>{clock(hit.start)} – {clock(hit.end)}"
    return (
        f"<tr><td>{rank}</td><td>{shown}</td><td style='text-align:left'>{where}</td><td>{hit.score:.2f}</td>"
        f"<td style='text-align:left'>{escape(hit.text or '')}</td></tr>"
    )


def _thumbnail(hit: Hit) -> str | None:
    """Return the hit's best frame as base64 JPEG, None without picture or where the file is gone."""
    from PIL import Image

    from .sandbox import shared

    try:
        media = shared().probe(hit.path)
        if media.video is None:
            return None
        image = Image.fromarray(shared().frame_at(media, hit.time, short_side=120).images[0])
    except MediaError:
        return None
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
