"""The score curve of a media as a picture: its sound, what is seen as an area, what is said as bars, hits below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .datatypes import Curve, Hit, Media
from .times import clock

WIDTH, HEIGHT, LEFT, TOP, BASE = 1200, 300, 16, 34, 240
SEEN, SAID, HIT, DIM, INK = (86, 156, 255), (240, 170, 70), (120, 220, 140), (70, 72, 80), (222, 224, 230)
WAVE = (62, 65, 73)
POINTS = WIDTH - 2 * LEFT
"""Parts of a waveform that are worth asking for: one a column."""


def draw_curve(
    media: Media,
    curve: Curve,
    hits: Sequence[Hit],
    cuts: Sequence[float],
    *,
    wave: Sequence[float] = (),
    title: str = "",
) -> Any:
    """Return a PIL picture, 1200 × 300, of [start, end) of a media; the full height of the curve is a score of 1.

    `wave` is the loudness of equal parts in [0, 1] (`cutting.waveform`), drawn behind, its loudest half the height.
    """
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (WIDTH, HEIGHT), (24, 25, 28))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)

    def x(time: float) -> float:
        return LEFT + (time - media.start) / max(media.duration, 1e-6) * (WIDTH - 2 * LEFT)

    def y(score: float) -> float:
        return BASE - score * (BASE - TOP)

    middle, loudest = (TOP + BASE) / 2, max(0.05, *wave) if wave else 1.0
    for column, peak in enumerate(wave):
        left, tall = LEFT + column / len(wave) * POINTS, peak / loudest * (BASE - TOP) / 4
        draw.rectangle((left, middle - tall, left + max(0.0, POINTS / len(wave) - 1), middle + tall), fill=WAVE)
    for cut in cuts:
        draw.line((x(cut), TOP, x(cut), BASE), fill=(44, 46, 52))
    for match in curve.said:
        draw.rectangle((x(match.start), y(match.score), x(match.end), BASE), fill=None, outline=SAID)
    if curve.seen is not None and len(curve.times):
        outline = [(x(float(t)), y(float(s))) for t, s in zip(curve.times, curve.seen, strict=True)]
        shape = [(outline[0][0], BASE), *outline, (x(media.end), outline[-1][1]), (x(media.end), BASE)]
        area = Image.new("L", sheet.size, 0)
        ImageDraw.Draw(area).polygon(shape, fill=150)  # so that the sound behind is seen
        sheet.paste(SEEN, mask=area)
        draw.line(shape[1:-1], fill=SEEN, width=2)
    for rank, hit in enumerate(hits, 1):
        draw.rectangle((x(hit.start), BASE + 6, max(x(hit.end), x(hit.start) + 2), BASE + 14), fill=HIT)
        draw.text((x(hit.start), BASE + 15), str(rank), fill=INK, font=font)
    draw.line((LEFT, BASE, WIDTH - LEFT, BASE), fill=DIM)
    for part in range(5):
        time = media.start + media.duration * part / 4
        draw.text((x(time), HEIGHT - 12), clock(time), fill=INK, font=font, anchor=("ls", "ms", "ms", "ms", "rs")[part])
    draw.text((LEFT, 8), title, fill=INK, font=font)
    return sheet
