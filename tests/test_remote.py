"""Media at addresses: on the web and in S3, both on servers of this machine."""

import dataclasses
import logging
import pickle
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from mmvideo import Library, MediaError
from mmvideo import address as addresses
from mmvideo.address import Address, cleaned, complete, located, stored
from mmvideo.cli import main
from mmvideo.cutting import clip, frame_jpeg
from mmvideo.remote import BLOCK, NETWORK, Blocks
from mmvideo.sandbox import Direct, Sandbox
from mmvideo.sandbox.process import Task
from mmvideo.sandbox.wire import WireError

from .elsewhere import PASSWORD, TOKEN, USER, Web
from .films import ffmpeg, make_film, make_sound
from .serving import Served
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder

for package in ("aiohttp", "s3fs", "moto", "flask_cors"):
    pytest.importorskip(package)


def open_library(place, **options):
    return Library.open(place, visual=ColourEncoder(), speech=ScriptedTranscriber(), passages=WordEncoder(), **options)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two recordings, and `large.mp4`: 20 s of noise whose index lies at its end."""
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "room.mp4", [("red", 4), ("green", 5), ("blue", 3)])
    make_sound(folder / "talk.mp3")
    noise = ["-f", "lavfi", "-i", "testsrc2=s=480x270:r=25:d=20,noise=alls=80:allf=t"]
    sound = ["-f", "lavfi", "-i", "sine=440:d=20"]
    how = ["-preset", "ultrafast", "-qp", "12", "-g", "25", "-pix_fmt", "yuv420p"]
    ffmpeg(*noise, *sound, *how, "-shortest", folder / "large.mp4")
    large = (folder / "large.mp4").read_bytes()
    assert len(large) > 30_000_000
    assert large.index(b"mdat") < 100 < len(large) - 100_000 < large.rindex(b"moov")
    return folder


@pytest.fixture
def web(films):
    server = Web()
    server.files = {f"/{path.name}": path.read_bytes() for path in films.iterdir()}
    addresses._given.clear()
    yield server
    server.close()


# Names


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://host/a/talk.mp4", "https://host/a/talk.mp4"),
        ("HTTPS://host:8443/talk%20one.mp4#t=3", "https://host:8443/talk%20one.mp4"),
        ("https://ada:secret-1@host/talk.mp4", "https://host/talk.mp4"),
        ("https://secret-1@host/talk.mp4", "https://host/talk.mp4"),
        ("s3://key-id:secret-1@bucket/talk.mp4", "s3://bucket/talk.mp4"),
        ("https://host/talk.mp4?X-Amz-Signature=secret-1&X-Amz-Date=20260101", "https://host/talk.mp4"),
        ("https://host/get?v=12&sig=secret-1", "https://host/get?v=12"),
        ("smb://ada:secret-1@nas/films/talk.mp4", "smb://nas/films/talk.mp4"),
    ],
)
def test_only_what_names_a_recording_is_kept(given, kept):
    place = located(given)
    assert isinstance(place, Address)
    assert str(place) == kept
    assert stored(str(place)) == place
    assert isinstance(stored(str(place)), Address)
    assert complete(place) == (given if "secret" in given else kept)
    said = cleaned(f"Cannot GET {given!r}" + (", secret-1 was refused" if "secret" in given else ""))
    assert "secret-1" not in repr(place) + said


def test_a_path_is_still_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not isinstance(located("a:b.mp4"), Address)
    assert not isinstance(located("talk.mp4"), Address)
    assert located(f"file://{tmp_path}/a%20b.mp4") == tmp_path / "a b.mp4"
    assert str(located(Path("https://host/talk.mp4"))) == "https://host/talk.mp4"  # a Path has lost a slash
    place = located("https://host/talks/one.mp4?v=2")
    assert (place.name, place.suffix) == ("one.mp4?v=2", ".mp4")
    assert str(place.parent) == "https://host/talks"
    assert place.as_uri() == str(place)


# Reading


def test_blocks_are_fetched_once_and_in_any_order():
    content = np.random.default_rng(0).bytes(5 * BLOCK + 17)
    asked = []

    def fetch(start, end):
        asked.append((start, end))
        return content[start:end]

    blocks = Blocks(fetch, len(content), 1)
    rng = np.random.default_rng(1)
    for at, count in rng.integers(0, len(content), (60, 2)).tolist():
        assert blocks.read(at, count) == content[at : at + count]
    assert blocks.read(len(content), 10) == b""
    assert blocks.fetched == len(content) == sum(end - start for start, end in asked)
    small = Blocks(fetch, len(content), 1, room=0)
    small._most = 2  # room for two blocks: what is not kept is fetched again, and is right
    small._run = 0
    for at in (0, 4, 1, 0, 5, 2):
        assert small.read(at * BLOCK, 9) == content[at * BLOCK : at * BLOCK + 9]


@pytest.mark.parametrize("how", [Direct, Sandbox])
def test_it_is_decoded_as_a_file_is(films, web, how):
    decoding = how()
    for name in ("room.mp4", "talk.mp3"):
        here, there = decoding.probe(films / name), decoding.probe(located(f"{web.url}/{name}"))
        assert (here.fingerprint, here.video, here.audio, here.duration) == (
            there.fingerprint,
            there.video,
            there.audio,
            there.duration,
        )
        one, other = (np.concatenate([block.samples for block in decoding.read_audio(m)]) for m in (here, there))
        assert abs(len(one) - len(other)) <= 1024  # what a codec pads at the end
        least = min(len(one), len(other))
        assert np.array_equal(one[: least - 100], other[: least - 100])  # the resampler's last look sees that
        if here.video:
            frames = [list(decoding.sample_frames(m, interval=0.5)) for m in (here, there)]
            assert all(
                np.array_equal(a.images, b.images) and np.array_equal(a.times, b.times)
                for a, b in zip(*frames, strict=True)
            )
    decoding.close()


def test_only_what_is_needed_travels(films, web, tmp_path):
    """The index of large.mp4 is at its end, its pictures are in between."""
    size = len(web.files["/large.mp4"])
    with closing(Sandbox()) as decoding:
        media = decoding.probe(located(f"{web.url}/large.mp4"))
        probing = web.sent
        assert probing < 0.12 * size
        here = decoding.probe(films / "large.mp4")
        assert frame_jpeg(media, 10.4, decoding=decoding) == frame_jpeg(here, 10.4, decoding=decoding)
        assert web.sent - probing < 0.2 * size
    before = web.sent
    cut = clip(media, 5.0, 6.0, tmp_path / "cut.mp4", exact=True)
    assert web.sent - before < 0.4 * size
    same = clip(here, 5.0, 6.0, tmp_path / "same.mp4", exact=True)
    one, other = (Direct().probe(path) for path in (cut, same))
    assert one.duration == pytest.approx(other.duration, abs=0.05)
    times = [0.2, 0.8]
    for time in times:
        a, b = (Direct().frame_at(m, time).images.astype(int) for m in (one, other))
        assert np.abs(a - b).mean() < 6.0  # the same picture, of another encoding


def test_a_server_without_ranges_sends_it_whole_once(films, web, monkeypatch):
    web.files["/whole/large.mp4"] = web.files["/large.mp4"]
    size = len(web.files["/large.mp4"])
    media = Direct().probe(located(f"{web.url}/whole/large.mp4"))
    assert frame_jpeg(media, 10.4) == frame_jpeg(Direct().probe(films / "large.mp4"), 10.4)
    sent = sorted((count for _, _, count in web.asked), reverse=True)
    assert size <= NETWORK._kept[str(media.path)].fetched <= size + BLOCK  # the first block came before that was known
    assert sum(count > BLOCK for count in sent) <= 3  # two answers that were all of it were broken off
    monkeypatch.setattr("mmvideo.remote.ROOM", 10 * BLOCK)
    NETWORK._kept.clear()
    blocks = NETWORK.blocks(media.path)
    blocks._most = 10
    with pytest.raises(MediaError, match="cannot send parts"):
        blocks.read(20 * BLOCK, 1)


# In a library


def test_a_library_of_addresses_answers_like_one_of_files(films, web, tmp_path):
    size = len(web.files["/room.mp4"]) + len(web.files["/talk.mp3"])
    with open_library(tmp_path / "files.mmv") as here, open_library(tmp_path / "web.mmv") as there:
        assert here.add([films / "room.mp4", films / "talk.mp3"]).count("added") == 2
        report = there.add([f"{web.url}/room.mp4", f"{web.url}/talk.mp3"])
        assert [one.message for one in report.failed] == []
        assert report.count("added") == 2
        assert web.sent <= 1.02 * size  # three passes over it, and it came once
        for question in ({"text": "red"}, {"text": "ferry harbour"}, {"text": "green", "media": "*room*"}):
            one, other = here.search(**question), there.search(**question)
            assert one
            assert [(h.path.name, h.start, h.end, h.score) for h in one] == [
                (h.path.name, h.start, h.end, h.score) for h in other
            ]
        assert str(other[0].path) == f"{web.url}/room.mp4"
        asked = len(web.asked)
        assert there.verify().clean
        assert any("addresses" in note for note in there.verify().notes)
        assert there.find("room.mp4").media.path == there.media()[0].path
        assert len(web.asked) == asked  # looking asks nothing of the network


def test_what_is_unchanged_is_asked_for_and_not_read(web, tmp_path):
    with open_library(tmp_path / "l.mmv") as library:
        assert library.add(f"{web.url}/talk.mp3").count("added") == 1
        sent = web.sent
        assert library.add(f"{web.url}/talk.mp3").count("unchanged") == 1
        assert web.sent == sent
        assert all(method == "HEAD" for method, _, count in web.asked if not count)
        data = bytearray(web.files["/talk.mp3"])
        data[len(data) // 3] ^= 1  # of the same length and date
        web.files["/talk.mp3"] = bytes(data)
        assert library.add(f"{web.url}/talk.mp3").count("updated") == 1
        del web.files["/talk.mp3"]
        report = library.add(f"{web.url}/talk.mp3")
        assert "nothing is there" in report.failed[0].message
        assert len(library.media()) == 1


def test_a_page_of_links_is_a_folder(web, tmp_path):
    web.files["/shows/notes.txt"] = b"none"
    web.files["/shows/b.mp3"] = web.files["/talk.mp3"]
    web.files["/shows/a.mp4"] = web.files["/room.mp4"]
    with open_library(tmp_path / "l.mmv") as library:
        report = library.add(f"{web.url}/shows/")
        assert [str(one.path) for one in report.media] == [f"{web.url}/shows/a.mp4", f"{web.url}/shows/b.mp3"]
        assert report.count("added") == 2
        assert library.search("red", media=f"{web.url}/shows")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{web}/gone.mp4", "nothing is there"),
        ("{web}/private/room.mp4", "access was refused"),
        ("{web}/mute/room.mp4", "does not say how long"),
        ("http://127.0.0.1:9/room.mp4", "cannot be read"),
        ("nosuch://host/room.mp4", "Protocol not known"),
        ("gs://bucket/room.mp4", "mmvideo[remote]"),
    ],
)
def test_what_cannot_be_read_is_said_plainly(web, tmp_path, url, said):
    for folder in ("private", "mute"):
        web.files[f"/{folder}/room.mp4"] = web.files["/room.mp4"]
    with open_library(tmp_path / "l.mmv") as library:
        report = library.add(url.format(web=web.url))
        assert said in report.failed[0].message
        assert report.failed[0].message.startswith(url.format(web=web.url))


# Secrets


def everything(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def quiet_again():
    """What `--verbose` does to the log ends with the test."""
    yield
    logger = logging.getLogger("mmvideo")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


def test_secrets_are_nowhere(web, tmp_path, caplog, capsys, quiet_again):
    word = quote(PASSWORD, safe="")
    for folder in ("private", "signed"):
        web.files[f"/{folder}/room.mp4"] = web.files["/room.mp4"] + folder.encode()  # two recordings
    caplog.set_level(logging.DEBUG)  # of every library
    private = f"http://{USER}:{word}@{web.host}/private/room.mp4"
    signed = f"{web.url}/signed/room.mp4?X-Amz-Signature={TOKEN}&X-Amz-Expires=600"
    place = tmp_path / "l.mmv"
    with open_library(place) as library:
        report = library.add([private, signed])
        assert [one.message for one in report.failed] == []
        assert report.count("added") == 2
        for url in (private, signed):
            media = library.find(url).media
            assert frame_jpeg(media, 1.0)
            broken = library.add(url.replace("room", "broken"))
            assert "nothing is there" in broken.failed[0].message
            caplog.messages.append(str(broken))
        with pytest.raises(Exception, match="not in the library") as raised:
            library.find(signed.replace("room", "other"))
        shown = repr(library.media()) + repr(report) + str(raised.value) + repr(library.reports())
    assert main(["ls", "-l", str(place), "-v"]) == 0
    assert main(["verify", "-l", str(place)]) == 0
    assert main(["add", "-l", str(place), private.replace(word, "wrong-pass"), "-v"]) == 1
    printed = "".join(capsys.readouterr())
    assert "access was refused" in printed
    text = (shown + printed + caplog.text + "".join(caplog.messages)).encode() + everything(place)
    assert f"{web.host}/private/room.mp4".encode() in text
    for secret in (word, PASSWORD, TOKEN, "wrong-pass"):
        assert secret.encode() not in text, secret


def test_a_cluster_is_given_no_credentials(web, tmp_path, monkeypatch):
    class Machines:
        makers = 1

        def make(self, media, progress):
            raise AssertionError("credentials stay here")

    @contextmanager
    def on(self, address, place):
        yield dataclasses.replace(self, cluster=Machines())

    monkeypatch.setattr("mmvideo.adding.Adding.on", on)
    web.files["/private/room.mp4"] = web.files["/room.mp4"]
    with open_library(tmp_path / "l.mmv") as library:
        url = f"http://{USER}:{quote(PASSWORD, safe='')}@{web.host}/private/room.mp4"
        assert "cluster's machines" in library.add(url, ray="auto").failed[0].message
    assert pickle.dumps(located(url)).find(PASSWORD.encode()) == -1
    assert str(pickle.loads(pickle.dumps(located(url)))) == f"{web.url}/private/room.mp4"


def test_secrets_end_with_the_program(web, tmp_path):
    web.files["/private/room.mp4"] = web.files["/room.mp4"]
    with open_library(tmp_path / "l.mmv") as library:
        library.add(f"http://{USER}:{quote(PASSWORD, safe='')}@{web.host}/private/")
        media = library.media()[0]
    addresses._given.clear()
    NETWORK._kept.clear()
    NETWORK._known.clear()
    with pytest.raises(MediaError, match="access was refused"):
        frame_jpeg(media, 1.0)


# What decodes has no network, and reads no other file


def test_a_decoder_may_ask_for_its_own_recording_only(films, web):
    for path, start, count in (
        (films / "room.mp4", 0, 10),
        (located(f"{web.url}/room.mp4"), -1, 10),
        (located(f"{web.url}/room.mp4"), 0, 10**9),
    ):
        with pytest.raises(WireError):
            Task(None, path, 1.0)._range(start, count)


def test_a_recording_may_not_refer_to_files(films, web, tmp_path):
    web.files["/list.mp4"] = f"ffconcat version 1.0\nfile '{films / 'room.mp4'}'\n".encode()
    web.files["/live.m3u8"] = f"#EXTM3U\n#EXTINF:9,\nfile://{films / 'room.mp4'}\n".encode()
    with open_library(tmp_path / "l.mmv") as library:
        report = library.add([f"{web.url}/list.mp4", f"{web.url}/live.m3u8"])
        assert [one.outcome for one in report.media] == ["failed", "failed"]
        assert all("a playlist" in one.message for one in report.media)


def test_decoders_do_not_import_the_network(web):
    code = (
        "import sys; import mmvideo.sandbox.worker; from mmvideo.address import located; located('https://h/a.mp4');"
        "print(sorted({'fsspec', 'aiohttp', 's3fs', 'mmvideo.remote'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# S3


@pytest.fixture(scope="module")
def s3():
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI-K7MDENG-secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="talks")
    yield client
    client.close()
    patch.undo()
    server.stop()


def test_a_folder_in_s3(s3, films, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="mmvideo")
    for key in ("2026/room.mp4", "2026/more/talk.mp3", "2026/.hidden/x.mp4", "other/room.mp4"):
        s3.put_object(Bucket="talks", Key=key, Body=(films / Path(key).name.replace("x.mp4", "room.mp4")).read_bytes())
    s3.put_object(Bucket="talks", Key="2026/notes.txt", Body=b"none")
    place = tmp_path / "l.mmv"
    with open_library(place) as library:
        report = library.add("s3://talks/2026/")
        assert [(str(one.path), one.outcome) for one in report.media] == [
            ("s3://talks/2026/more/talk.mp3", "added"),
            ("s3://talks/2026/room.mp4", "added"),
        ]
        assert library.add("s3://talks/2026").count("unchanged") == 2
        hit = library.search("red")[0]
        assert str(hit.path) == "s3://talks/2026/room.mp4"
        assert frame_jpeg(library.media()[1], 1.0) == frame_jpeg(Direct().probe(films / "room.mp4"), 1.0)
        s3.put_object(Bucket="talks", Key="2026/room.mp4", Body=(films / "talk.mp3").read_bytes() + b"\0")
        assert library.add("s3://talks/2026/room.mp4").count("updated") == 1
        assert "nothing is there" in library.add("s3://talks/2026/none.mp4").failed[0].message
    assert b"K7MDENG" not in everything(place) + caplog.text.encode()


def test_a_key_in_an_address_of_s3(s3, films, tmp_path):
    s3.put_object(Bucket="talks", Key="keyed.mp4", Body=(films / "room.mp4").read_bytes())
    place = tmp_path / "l.mmv"
    with open_library(place) as library:
        assert library.add("s3://AKIDOTHER:an0therS3cret@talks/keyed.mp4").count("added") == 1
        assert str(library.media()[0].path) == "s3://talks/keyed.mp4"
    assert b"an0therS3cret" not in everything(place)
    assert b"AKIDOTHER" not in everything(place)


# The page


def test_the_page_plays_what_is_elsewhere(films, web, tmp_path):
    with open_library(tmp_path / "l.mmv") as library:
        library.add(f"{web.url}/room.mp4")
        content = web.files["/room.mp4"]
        with Served(library) as served, httpx.Client(base_url=served.url) as client:
            file = "/api/media/1/file"
            whole = client.get(file)
            assert (whole.status_code, whole.content) == (200, content)
            for wanted, part in (("bytes=100-299", content[100:300]), ("bytes=-50", content[-50:])):
                answer = client.get(file, headers={"range": wanted})
                assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["content-range"] == f"bytes {len(content) - 50}-{len(content) - 1}/{len(content)}"
            assert client.get(file, headers={"range": f"bytes={len(content)}-"}).status_code == 416
            other = {"range": "bytes=0-9", "if-range": '"another"'}
            assert client.get(file, headers=other).status_code == 200
            assert client.get("/api/media/1/frame?t=1").headers["content-type"] == "image/jpeg"
            cut = client.get("/api/media/1/clip?start=1&end=3&exact=true")
            assert cut.status_code == 200
            (tmp_path / "cut.mp4").write_bytes(cut.content)
            assert Direct().probe(tmp_path / "cut.mp4").duration == pytest.approx(2.0, abs=0.1)
