"""Subtitle files read and written: SRT and WebVTT to `Transcript` and back, and the text and JSON of a transcript.

Subtitles found in the wild break every rule of their format, so the reader looks for one thing only, a line with two
times and an arrow; what follows it up to the next such line or an empty one is the cue. Lines are taken one at a time
and every pattern is linear, so no file can make it slow. Words are never timed by guessing: a cue has words only where
the file itself times them (WebVTT's `<00:00:01.000>`).
"""

from __future__ import annotations

import codecs
import html
import json
import os
import re
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .address import Address
from .datatypes import Transcript, Utterance, Word
from .errors import MediaError

LARGEST = 50_000_000
"""Bytes; the subtitles of a whole day are under 5 MB."""

SUFFIXES = (".vtt", ".srt")
"""File name endings that are read, best first: WebVTT may hold word times."""

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
_TIMES = re.compile(rf"^\s{{0,9}}{_TIME}\s{{0,9}}--?>\s{{0,9}}{_TIME}(?:\s|$)")
_WORD_TIME = re.compile(rf"<{_TIME}>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>|</>|\{\\[^{}\n]{0,200}\}|<\d[^<>\n]{0,40}>")
_LANGUAGE = re.compile(r"^[a-z]{2,3}(?:[-_][a-z0-9]{2,8}){0,2}$", re.IGNORECASE)
_HEADER_LANGUAGE = re.compile(r"^language:\s*([a-z]{2,3})\b", re.IGNORECASE)
_NOT_LANGUAGES = frozenset({"cc", "sdh", "sub", "hi", "full"})
"""Endings of sidecars that name a kind of subtitles; "hi" is far more often "hearing impaired" than Hindi."""


_Cue = tuple[float | None, float | None, list[str]]
"""Start, end and the lines between; a time is None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A transcript with the number of cues that could not be read and were left out."""

    transcript: Transcript
    broken: int


def parse(source: str | os.PathLike[str]) -> Transcript:
    """Return the transcript in an SRT or WebVTT file, its cues ordered by start.

    `source` is a path, or the text itself: a `str` with a line break or an arrow in it. Cues without readable times or
    with nothing said are left out; `read` also counts them. `MediaError` if the file cannot be read, is larger than
    50 MB or has no cue.
    """
    return read(source).transcript


def read(source: str | os.PathLike[str]) -> Parsed:
    """Return what `parse` returns, with the number of broken cues."""
    if isinstance(source, str) and ("\n" in source or "-->" in source):
        return _read_text(source, "subtitles", "", None)
    path = Path(source)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise MediaError(f"{path}: {size / 1e6:.0f} MB are too much for subtitles; is it another kind of file?")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MediaError(f"{path}: the subtitles cannot be read ({reason})") from error
    return _read_text(_decode(content), str(path), str(path), language_of(path))


def find_sidecar(media: str | os.PathLike[str]) -> Path | None:
    """Return the subtitle file that lies beside a media, or None.

    `film.vtt` or `film.srt` beside `film.mp4` (or `film.mp4.srt`), else one with a language, `film.en.srt`, the first
    by name. Upper and lower case of the ending do not matter.
    """
    if isinstance(media, Address):  # to look beside it would be to ask the network for guesses
        return None
    path = Path(media)
    siblings = [path.parent / name for name in _subtitles_in(str(path.parent)).get(path.stem, ())]
    plain = [file for file in siblings if file.stem in (path.stem, path.name)]
    tagged = [file for file in siblings if file not in plain and _tags(file, path) is not None]
    for found in (plain, tagged):
        for file in sorted(found, key=lambda file: SUFFIXES.index(file.suffix.lower())):
            if file.is_file() and file != path:
                return file
    return None


_listed: dict[str, tuple[int, dict[str, list[str]]]] = {}


def _subtitles_in(folder: str) -> dict[str, list[str]]:
    """Return the names of the subtitle files in a folder, sorted, under each beginning that ends before a dot.

    The folder that was listed last is remembered until it changes: the files of a folder are asked for one by one. What
    changed within the last two seconds may change again without another time, and is listed each time.
    """
    try:
        changed = os.stat(folder).st_mtime_ns  # noqa: PTH116 - a Path for each name takes ten times as long
        known = _listed.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES))  # noqa: PTH208
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts)):
            found.setdefault(".".join(parts[:end]), []).append(name)
    _listed.clear()
    if time.time_ns() - changed > 2_000_000_000:
        _listed[folder] = changed, found
    return found


def language_of(path: Path) -> str | None:
    """Return the language in a name such as `film.en.srt` or `film.pt-BR.forced.srt`: two or three letters, or None."""
    for part in reversed(path.name.lower().split(".")[1:-1]):
        if _LANGUAGE.match(part) and part not in _NOT_LANGUAGES:
            return re.split("[-_]", part)[0]
    return None


def _tags(file: Path, media: Path) -> list[str] | None:
    """Return what stands between the media's name and the ending, or None if it is more than language and kind."""
    between = file.stem[len(media.stem) + 1 :].split(".")
    known = [part for part in between if _LANGUAGE.match(part) or part.lower() in ("forced", "default", "auto")]
    return known if known == between and len(between) <= 2 else None


# Reading


def _decode(content: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    # UTF-16 without a mark: every second byte of ASCII is zero.
    if content[1:200:2].count(0) > 50:
        return content.decode("utf-16-le", "replace")
    if content[0:200:2].count(0) > 50:
        return content.decode("utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _read_text(text: str, name: str, source: str, language: str | None) -> Parsed:
    utterances: list[Utterance] = []
    broken = 0
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    lines = text.split("\n")
    if language is None and lines[0].startswith("WEBVTT"):
        found = [match for line in lines[:10] if (match := _HEADER_LANGUAGE.match(line))]
        language = found[0][1].lower() if found else None
    cues = _cues(lines)
    if any(_WORD_TIME.search(line) for _, _, body in cues for line in body):
        cues = _unrolled(cues)
    for start, end, body in cues:
        utterance = _utterance(start, end, body) if start is not None and end is not None and start <= end else None
        if utterance:
            utterances.append(utterance)
        else:
            broken += 1
    if not utterances:
        raise MediaError(f"{name}: no subtitles in it; is it an SRT or WebVTT file?")
    utterances.sort(key=lambda utterance: (utterance.start, utterance.end))
    return Parsed(Transcript(tuple(utterances), language, source), broken)


def _cues(lines: list[str]) -> list[_Cue]:
    """Return start, end and lines of each cue; the times are None where an arrow stands between something else.

    A cue ends at an empty line. Some files have none: there it ends before the next times, less their number.
    """
    cues: list[_Cue] = []
    inside, note = False, False
    for i, line in enumerate(lines):
        stripped = line.strip()
        if not stripped:
            # YouTube's captions put a line of one space where there is no line before: it ends nothing.
            inside = inside and line != "" and not cues[-1][2]
            note = False
        elif "->" in line and (match := _TIMES.match(line)):
            if inside and cues[-1][2] and lines[i - 1].strip().isdigit():
                cues[-1][2].pop()
            cues.append((_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), []))
            inside, note = True, False
        elif note:
            continue
        elif not inside and (stripped.startswith(("NOTE", "STYLE", "REGION", "WEBVTT"))):
            note = True
        elif "-->" in line and not inside:
            cues.append((None, None, []))
            inside = True
        elif inside:
            cues[-1][2].append(stripped)
    return cues


def _unrolled(cues: list[_Cue]) -> list[_Cue]:
    """Return the cues without the lines that only repeat the cue before.

    Captions made by machines roll (YouTube's do): each cue shows the line before once more above the new one, whose
    words are timed. Kept, every sentence would be said two or three times.
    """
    kept: list[_Cue] = []
    shown, shown_until = "", float("-inf")
    for start, end, body in cues:
        lines = [line for line in body if _plain(line)]
        touches = start is not None and start - shown_until < 0.1
        fresh = lines[1:] if touches and lines and _plain(lines[0]) == shown else lines
        if fresh or not lines:
            kept.append((start, end, fresh))
        if lines and end is not None:
            shown, shown_until = _plain(lines[-1]), end
    return kept


def _seconds(parts: tuple[str | None, ...]) -> float | None:
    hours, minutes, seconds, fraction = parts
    if int(seconds or 0) > 59 or (hours and int(minutes or 0) > 59):
        return None
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    # One decimal division of integers gives the float nearest to what is written, so writing it again is exact.
    digits = fraction or "0"
    scale: int = 10 ** len(digits)
    return (whole * scale + int(digits)) / scale


def _utterance(start: float, end: float, body: list[str]) -> Utterance | None:
    """Return the cue as an utterance, or None where it says nothing."""
    joined = " ".join(body)
    text = _plain(joined)
    return Utterance(start, end, text, _timed_words(joined, start, end)) if text else None


def _plain(marked: str) -> str:
    """Return the text without tags and with its entities resolved, runs of space made one."""
    bare = _TAG.sub("", marked) if "<" in marked or "{" in marked else marked
    # Entities last, so that "&lt;i&gt;" stays what it says.
    return " ".join(html.unescape(bare).replace("\\N", " ").replace("\u200e", "").replace("\u200f", "").split())


def _timed_words(marked: str, start: float, end: float) -> tuple[Word, ...]:
    """Return the words that times inside the cue part: each lasts until the next time, the last until the cue's end."""
    matches = list(_WORD_TIME.finditer(marked))
    if not matches:
        return ()
    times = [start, *(_seconds(match.groups()) for match in matches), end]
    borders = [0, *(edge for match in matches for edge in match.span()), len(marked)]
    words: list[Word] = []
    for (since, until), at in zip(pairwise(times), range(0, len(borders), 2), strict=True):
        text = _plain(marked[borders[at] : borders[at + 1]])
        if not text:
            continue
        if since is None or until is None or not start <= since < until <= end:
            return ()  # times that contradict each other are worth nothing
        words.append(Word(since, until, text))
    return tuple(words)


# Writing


def timestamp(seconds: float, point: str = ".") -> str:
    """Return seconds as HH:MM:SS.mmm, rounded to the millisecond, with a comma for SRT; times before zero become zero.

    What `parse` reads from it is the same time again, to the millisecond.
    """
    milliseconds = max(0, round(round(seconds, 3) * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def to_srt(transcript: Transcript) -> str:
    """Return the transcript as SRT, one cue an utterance. SRT has no place for word times."""
    cues = [
        f"{number}\n{timestamp(said.start, ',')} --> {timestamp(said.end, ',')}\n{_one_line(said.text)}\n"
        for number, said in enumerate(_said(transcript), 1)
    ]
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """Return the transcript as WebVTT, one cue an utterance, with word times where there are any."""
    header = f"WEBVTT\nLanguage: {transcript.language}\n" if transcript.language else "WEBVTT\n"
    cues = [
        f"{timestamp(said.start)} --> {timestamp(said.end)}\n{_with_word_times(said)}\n" for said in _said(transcript)
    ]
    return "\n".join([header, *cues])


def to_text(transcript: Transcript) -> str:
    """Return what is said, one line an utterance, without times."""
    return "".join(f"{_one_line(said.text)}\n" for said in _said(transcript))


def to_json(transcript: Transcript) -> str:
    """Return the transcript as JSON: language, source, and utterances with start, end, text and timed words."""
    utterances = [
        {
            "start": round(said.start, 3),
            "end": round(said.end, 3),
            "text": said.text,
            "words": [
                {"start": round(word.start, 3), "end": round(word.end, 3), "text": word.text}
                | ({} if word.probability is None else {"probability": round(word.probability, 3)})
                for word in said.words
            ],
        }
        for said in transcript.utterances
    ]
    content = {"language": transcript.language, "source": transcript.source, "utterances": utterances}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _said(transcript: Transcript) -> list[Utterance]:
    return [utterance for utterance in transcript.utterances if utterance.text.strip()]


def _one_line(text: str) -> str:
    # An arrow inside a text would be read as times, an empty line as the cue's end.
    return " ".join(text.split()).replace("-->", "→")


def _with_word_times(said: Utterance) -> str:
    """Return the text with the time of each word before it, unless the words are not the whole text."""
    plain = html.escape(_one_line(said.text), quote=False)
    words = [html.escape(_one_line(word.text), quote=False) for word in said.words]
    if not words or " ".join(words) != plain:
        return plain
    times = [timestamp(word.start) for word in said.words]
    first = words[0] if times[0] == timestamp(said.start) else f"<{times[0]}>{words[0]}"
    return " ".join([first, *(f"<{time}>{word}" for time, word in zip(times[1:], words[1:], strict=True))])
