"""The server over HTTP: equal answers, ranges, who may ask, what is refused."""

import asyncio
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from PIL import Image

from mmvideo import Library
from mmvideo.export import hit_to_dict
from mmvideo.server import serve, shapes

from .films import make_film, make_sound
from .serving import Served
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder
from .test_sound import SeeingBandEncoder, tone
from .toyworld import write_wav

ROOT = Path(__file__).resolve().parent.parent
SHOTS = (("red", 5), ("green", 6), ("blue", 4), ("red", 3))


def opened(folder):
    return Library.open(
        folder,
        visual=ColourEncoder(),
        speech=ScriptedTranscriber(),
        passages=WordEncoder(),
        sound=SeeingBandEncoder(),
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_film(folder / "first.mp4", SHOTS)
    make_sound(folder / "talk.mp3")
    write_wav(folder / "tones.wav", np.concatenate([tone("low", 6), tone("high", 6), tone("middle", 6)]))
    return folder


@pytest.fixture(scope="module")
def served(films, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("libraries") / "served.mmv") as library:
        library.add(films)
        with Served(library) as server:
            yield server


@pytest.fixture(scope="module")
def http(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), COLOURS[colour]).save(buffer, "PNG")
    return buffer.getvalue()


def film_id(http):
    return next(one["id"] for one in http.get("/api/media").json() if one["video"])


def same(answer, hits):
    got = [{key: hit[key] for key in ("path", "start", "end", "score", "matches")} for hit in answer.json()["hits"]]
    assert got == [hit_to_dict(hit) for hit in hits]
    assert got


@pytest.mark.parametrize("text", ["green", "the ferry left the harbour", "blue violins"])
def test_the_server_answers_as_the_library_does(http, served, text):
    same(http.get("/api/search", params={"q": text, "limit": 5}), served.library.search(text, limit=5))
    seen = http.get("/api/search", params={"q": text, "in": "visual", "min_score": 0.2})
    wanted = served.library.search(text, modalities=["visual"], min_score=0.2, limit=20)
    assert [hit["start"] for hit in seen.json()["hits"]] == [round(hit.start, 3) for hit in wanted]


def test_a_picture_finds_what_looks_like_it(http, served):
    answer = http.post("/api/search", files={"file": ("a.png", picture("blue"), "image/png")})
    same(answer, served.library.search(image=Image.open(io.BytesIO(picture("blue"))), limit=20))
    assert answer.json()["hits"][0]["start"] == pytest.approx(11, abs=0.6)


def test_a_moment_finds_what_looks_like_it(http, served):
    film = film_id(http)
    answer = http.get("/api/search", params={"like": f"{film}@12.5"})
    shown = served.library.decoding.frame_at(served.library.by_id(film).media, 12.5).images[0]
    same(answer, served.library.search(image=shown, limit=20))
    assert answer.json()["hits"][0]["start"] == pytest.approx(11, abs=0.6)


@pytest.mark.parametrize("where", ["", "visual", "visual,speech", "sound"])
@pytest.mark.parametrize("text", ["", "green"])
def test_a_clip_is_searched_for_as_the_library_does(http, served, tmp_path, where, text):
    clip = make_film(tmp_path / "query.mp4", [("red", 1), ("green", 2), ("red", 1)])
    form = {"q": text, "in": where, "limit": 5, "media": "*"}
    answer = http.post("/api/search", files={"file": ("q.mp4", clip.read_bytes(), "video/mp4")}, data=form)
    asked = {"modalities": where.split(",") if where else None, "limit": 5, "media": "*"}
    given = {"audio": clip} if where == "sound" else {"image": clip}
    same(answer, served.library.search(text or None, **given, **asked))
    if where != "sound":
        assert answer.json()["hits"][0]["start"] == pytest.approx(5, abs=0.6)


@pytest.mark.parametrize(("name", "kind"), [("q.wav", "audio/wav"), ("q.wav", "application/octet-stream")])
def test_a_sound_finds_what_sounds_like_it(http, served, tmp_path, name, kind):
    sound = tmp_path / "query.wav"
    write_wav(sound, tone("high", 3))
    answer = http.post("/api/search", files={"file": (name, sound.read_bytes(), kind)}, data={"min_score": 0.1})
    same(answer, served.library.search(audio=sound, limit=20, min_score=0.1))
    best = answer.json()["hits"][0]
    assert best["name"] == "tones.wav"
    assert best["start"] == pytest.approx(6, abs=1.1)


def test_a_picture_is_searched_for_where_it_is_asked(http, served):
    shown = Image.open(io.BytesIO(picture("blue")))
    for where in ("visual", "sound", "visual,speech"):  # the stub hears colours: it knows sounds, words and pictures
        answer = http.post("/api/search", files={"file": ("a.png", picture("blue"), "image/png")}, data={"in": where})
        same(answer, served.library.search(image=shown, modalities=where.split(","), limit=20))
    film = film_id(http)
    for where in ("speech", "smell"):
        assert http.get("/api/search", params={"like": f"{film}@12.5", "in": where}).status_code == 400
        upload = {"file": ("a.png", picture("blue"), "image/png")}
        assert http.post("/api/search", files=upload, data={"in": where}).status_code == 400


def test_what_is_sent_is_what_the_schema_says(http):
    for params in ({"q": "green ferry"}, {"q": "ferry", "in": "speech"}, {"q": "nothing", "min_score": 1}):
        answer = http.get("/api/search", params=params)
        found = shapes.Found.model_validate_json(answer.content)
        assert found.model_dump(mode="json") == answer.json()
    curve = http.get(f"/api/media/{film_id(http)}/curve", params={"q": "green ferry"})
    assert shapes.CurveOut.model_validate_json(curve.content).model_dump(mode="json") == curve.json()
    assert curve.json()["said"]


@pytest.mark.parametrize(
    ("content", "kind"), [(b"not a picture", "image/png"), (b"\0" * 99, "video/mp4"), (b"x", "audio/wav"), (b"", "")]
)
def test_an_upload_that_cannot_be_read_is_refused(http, content, kind):
    answer = http.post("/api/search", files={"file": ("x", content, kind)})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["kind"] == "query"
    assert tempfile.gettempdir() not in error["message"]


def test_a_body_too_large_is_refused(http, monkeypatch):
    monkeypatch.setattr("mmvideo.server.guard.MAX_BODY", 1000)
    assert http.post("/api/search", content=b"x" * 2000).status_code == 413

    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(4):
            yield b"x" * 500

    answer = http.post("/api/search", content=pieces(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413
    assert answer.json()["error"]["kind"] == "too_large"


def test_ranges(http, films):
    whole = (films / "first.mp4").read_bytes()
    url = f"/api/media/{film_id(http)}/file"
    answer = http.get(url)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    part = http.get(url, headers={"range": "bytes=0-1"})  # what Safari asks first
    assert (part.status_code, part.content) == (206, whole[:2])
    assert part.headers["content-range"] == f"bytes 0-1/{len(whole)}"
    assert http.get(url, headers={"range": "bytes=-10"}).content == whole[-10:]
    beyond = http.get(url, headers={"range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert beyond.json() == {"error": {"kind": "range", "message": f"the recording has {len(whole)} bytes"}}
    assert "default-src 'none'" in beyond.headers["content-security-policy"]
    wrong = http.get(url, headers={"range": "bytes=a-b"})
    assert (wrong.status_code, wrong.json()["error"]["kind"]) == (400, "range")
    assert http.get(url, headers={"range": "lines=0-1"}).content == whole
    several = http.get(url, headers={"range": "bytes=0-1,4-5"})
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert http.head(url).headers["content-length"] == str(len(whole))
    held = {"range": "bytes=5-9", "if-range": answer.headers["etag"]}
    assert http.get(url, headers=held).content == whole[5:10]
    assert http.get(url, headers={**held, "if-range": '"another"'}).status_code == 200


def test_pieces_of_a_recording(http, tmp_path):
    film = film_id(http)
    frame = Image.open(io.BytesIO(http.get(f"/api/media/{film}/frame", params={"t": 7, "width": 48}).content))
    assert frame.width == 48
    assert max(abs(a - b) for a, b in zip(frame.getpixel((20, 10)), COLOURS["green"], strict=True)) < 40
    wave = http.get(f"/api/media/{film}/waveform", params={"points": 50}).json()
    assert len(wave) == 50
    assert 0.05 < wave[20] <= 1
    curve = http.get(f"/api/media/{film}/curve", params={"q": "green"}).json()
    best = curve["times"][max(range(len(curve["seen"])), key=curve["seen"].__getitem__)]
    assert 5 <= best < 11
    detail = http.get(f"/api/media/{film}").json()
    assert detail["cuts"] == pytest.approx([5, 11, 15], abs=0.51)  # half a sampling step
    said = http.get(f"/api/media/{film}/transcript").json()["utterances"]
    assert said[0]["text"] == ScriptedTranscriber.SENTENCES[0]
    assert "-->" in http.get(f"/api/media/{film}/transcript", params={"format": "vtt"}).text
    cut = http.get(f"/api/media/{film}/clip", params={"start": 6, "end": 9, "exact": True})
    path = tmp_path / "clip.mp4"
    path.write_bytes(cut.content)
    from mmvideo.media import probe

    assert probe(path).duration == pytest.approx(3, abs=0.15)
    assert http.get(f"/api/media/{film}/clip", params={"start": 0, "end": 9e5}).status_code == 400


@pytest.mark.parametrize("kind", ["csv", "json", "edl", "otio"])
def test_hits_as_files(http, kind):
    answer = http.get("/api/export", params={"q": "green", "in": "visual", "format": kind})
    assert answer.status_code == 200
    assert "first.mp4" in answer.text
    assert "attachment" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/search", 400),
        ("/api/search?q=a&in=smell", 400),
        ("/api/search?q=a&limit=0", 422),
        ("/api/search?like=x", 400),
        ("/api/media/999", 404),
        ("/api/media/x", 422),
        ("/api/media/999/file", 404),
        ("/api/media/99999999999999999999/file", 422),
        ("/api/jobs/none", 404),
        ("/api/nothing", 404),
        ("/../pyproject.toml", 404),
        ("/%2e%2e/server/api.py", 404),
        ("/..%2f..%2fetc/passwd", 404),
    ],
)
def test_errors_have_one_shape(http, path, status):
    answer = http.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"kind", "message"}


def test_only_this_host_and_this_origin_may_ask(http, served):
    assert http.get("/api/media", headers={"host": "evil.example"}).status_code == 403
    assert http.get("/", headers={"host": "127.0.0.1.evil.example"}).status_code == 403
    assert (
        http.post("/api/media", json={"paths": ["/tmp"]}, headers={"origin": "http://evil.example"}).status_code == 403
    )
    assert http.get("/api/media", headers={"origin": "null"}).status_code == 403
    film = film_id(http)
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert http.get(f"/api/media/{film}/frame", headers=cross).status_code == 403
    assert http.delete(f"/api/media/{film}", headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert http.get("/api/media", headers={"origin": served.url}).status_code == 200


def test_what_is_served_is_hardened(http):
    for path in ("/", "/app.js", "/api/media", "/api/media/999", f"/api/media/{film_id(http)}/file"):
        headers = http.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    page = http.get("/").text
    assert not re.findall(r"https?://", page)
    assert "style=" not in page  # the policy would block it


def test_a_token_is_asked_for(served):
    with Served(served.library, token="secret") as other, httpx.Client(base_url=other.url) as client:
        assert client.get("/api/media").status_code == 401
        assert client.get("/").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/api/media", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/api/media", headers={"authorization": "Bearer secret"}).status_code == 200
        answer = client.get("/?token=secret")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert client.get("/api/media").status_code == 200  # the cookie


def test_beyond_loopback_a_token_is_made_and_printed(served, monkeypatch, capsys):
    started = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server: started.append(server.config))
    serve(served.library)
    assert "token" not in capsys.readouterr().err
    assert started[0].host == "127.0.0.1"
    serve(served.library, host="0.0.0.0", port=9999)
    token = re.search(r"http://\S+:9999/\?token=(\S{30,})", capsys.readouterr().err).group(1)
    transport = httpx.ASGITransport(started[1].app)

    async def statuses():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yes = {"authorization": f"Bearer {token}"}
            first = await client.get("/api/library")
            second = await client.get("/api/library", headers=yes)
            third = await client.post("/api/media", json={"paths": ["/films"]}, headers=yes)
            return first.status_code, second.status_code, third.status_code

    assert asyncio.run(statuses()) == (401, 200, 403)  # and it only reads


def test_a_server_that_only_reads(served):
    with Served(served.library, writable=False) as other, httpx.Client(base_url=other.url) as client:
        assert client.post("/api/media", json={"paths": ["/tmp"]}).status_code == 403
        assert client.delete("/api/media/1").status_code == 403


def test_adding_is_told_and_removing_works(tmp_path, films):
    (tmp_path / "in").mkdir()
    name = "<img src=x onerror=alert(1)>.mp4"
    shutil.copy(films / "first.mp4", tmp_path / "in" / name)
    with (
        opened(tmp_path / "own.mmv") as library,
        Served(library) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert client.post("/api/media", json={"paths": ["relative"]}).status_code == 400
        job = client.post("/api/media", json={"paths": [str(tmp_path / "in")]})
        assert job.status_code == 202
        with client.stream("GET", f"/api/jobs/{job.json()['id']}/events") as stream:
            events = [line for line in stream.iter_lines() if line]
        assert events[-2] == "event: done"
        assert json.loads(events[-1].removeprefix("data: "))["report"]["media"][0]["outcome"] == "added"
        media = client.get("/api/media").json()[0]
        assert media["name"] == name
        path = tmp_path / "in" / name
        path.write_bytes(b"something else")  # what is put in its place is not served
        assert client.get(f"/api/media/{media['id']}/file").status_code == 409
        path.unlink()
        assert client.get(f"/api/media/{media['id']}/file").status_code == 404
        assert client.delete(f"/api/media/{media['id']}").json()["removed"] == str(path)
        assert client.get("/api/media").json() == []


def test_the_schema_has_examples_and_the_shape_of_errors(http):
    schema = http.get("/api/openapi.json").json()
    shapes_sent = schema["components"]["schemas"]
    parts = {"Problem", "MatchOut", "HitOut", "Body_search_with_api_search_post"}  # are in the examples of others
    assert {name for name, shape in shapes_sent.items() if "example" not in shape} <= parts
    for path, methods in schema["paths"].items():
        for method in methods.values():
            assert "$ref" in json.dumps(method["responses"]["404"]), path


def test_http_costs_little(http, served):
    def median(run):
        took = []
        for _ in range(31):
            started = time.perf_counter()
            run()
            took.append(time.perf_counter() - started)
        return sorted(took)[15]

    asked = {"q": "green ferry", "limit": 10}
    library = median(lambda: served.library.search("green ferry", limit=10))
    over = median(lambda: http.get("/api/search", params=asked))
    # Stub encoders answer in a millisecond, so a ratio would measure only the sockets; HTTP itself may cost this much.
    assert over < library + 0.05


NASTY = 'a"; filename="b.exe\r\nSet-Cookie: x=1\n\u2028 é.mp4'


def test_no_name_breaks_out_of_a_header(tmp_path, films):
    shutil.copy(films / "first.mp4", tmp_path / NASTY)
    with (
        opened(tmp_path / "l.mmv") as library,
        Served(library) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        library.add(tmp_path / NASTY)
        media = client.get("/api/media").json()[0]
        assert media["name"] == NASTY
        for piece in ("frame?t=1&download=true", "clip?start=0&end=1", "file"):
            answer = client.get(f"/api/media/{media['id']}/{piece}")
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            given = answer.headers.get("content-disposition", "")
            assert all(character.isalnum() or character in " ;=*'%-_.~" for character in given), given
            if piece != "file":
                assert unquote(given.split("''")[1]).startswith(Path(NASTY).stem)
        found = client.get("/api/export", params={"q": "green", "format": "edl"}).text
        assert "Set-Cookie" in found
        assert not any(line.startswith("Set-Cookie") for line in found.splitlines())


def raw(served, *lines, body=b""):
    """Send a request as it is, and return all that comes back."""
    with socket.create_connection(served.url.removeprefix("http://").split(":"), timeout=20) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_a_second_host_is_refused(served):
    here = served.url.removeprefix("http://")
    ask = "GET /api/library HTTP/1.1"
    assert b" 200 " in raw(served, ask, f"Host: {here}", "Connection: close").split(b"\r\n")[0]
    for hosts in ((here, "evil.example"), ("evil.example", here), (here, here), ()):
        answer = raw(served, ask, *(f"Host: {name}" for name in hosts), "Connection: close")
        assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"403"), hosts
        assert b"folder" not in answer


def test_a_slow_body_is_given_up(served, monkeypatch):
    monkeypatch.setattr("mmvideo.server.guard.BODY_SECONDS", 0.5)
    started = time.monotonic()
    head = ("POST /api/media HTTP/1.1", f"Host: {served.url[7:]}", "Content-Type: application/json")
    answer = raw(served, *head, "Content-Length: 1000", "Connection: close", body=b'{"pa')
    assert answer.split()[1] == b"413"
    assert b"too_large" in answer
    assert time.monotonic() - started < 5


def test_a_crowd_is_served():
    run = [sys.executable, ROOT / "scripts/campaign_served.py", "--stubs", "--clients", "8", "--seconds", "3"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert set(figures["median and 95th of 100 (ms)"]) == {"search", "range", "thumbnail"}
    assert figures["requests"] > 24
