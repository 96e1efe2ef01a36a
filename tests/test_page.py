"""The page in a real browser: Debian's Chromium, driven by Playwright. `scripts/test` installs it where it may."""

import base64
import io
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmvideo import Library
from mmvideo.datatypes import AddReport, Progress

from .films import make_film, make_sound
from .serving import Served
from .stubs import COLOURS, ColourEncoder, ScriptedTranscriber, WordEncoder
from .test_sound import SeeingBandEncoder, tone
from .toyworld import write_wav

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
NASTY = "<img src=x onerror=window.hacked=1>"


def _install():
    if os.environ.get("CI") == "true" and os.getuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def browser():
    if not os.access(CHROMIUM, os.X_OK):
        _install()
    if not os.access(CHROMIUM, os.X_OK):
        if os.environ.get("CI"):
            pytest.fail("Debian's chromium is missing, and with CI=true nothing that can run is skipped")
        pytest.skip("the page's tests need Debian's chromium: sudo apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


def opened(folder):
    return Library.open(folder, visual=ColourEncoder(), speech=ScriptedTranscriber(), passages=WordEncoder())


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    make_film(folder / "first.mp4", [("red", 5), ("green", 6), ("blue", 4), ("red", 9)])
    make_film(folder / "second.mp4", [("yellow", 8), ("cyan", 7)], sound=False)
    make_sound(folder / f"{NASTY}.mp3")
    return folder


@pytest.fixture(scope="module")
def served(films, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("libraries") / "watched.mmv") as library:
        library.add(films)
        with Served(library) as server:
            yield server


@pytest.fixture
def page(browser, served):
    """The page, opened; afterwards: no script failed, and nothing was asked of anybody else."""
    yield from watched(browser, served.url)


def watched(browser, url, **options):
    context = browser.new_context(**options)
    tab = context.new_page()
    errors, elsewhere = [], []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
    ours = (url.split("#")[0], "blob:")
    tab.on("request", lambda request: None if request.url.startswith(ours) else elsewhere.append(request.url))
    tab.goto(url)
    tab.wait_for_selector("#cards .card")
    yield tab
    assert not errors
    assert not elsewhere
    assert tab.evaluate("window.hacked") is None
    context.close()


def until(page, expression):
    """Wait until an expression is true; Playwright's own way needs `eval`, which the page's policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(30)


def ask(page, text):
    page.evaluate("document.getElementById('status').textContent = ''")
    page.fill("#q", text)
    until(page, "/moments? in/.test(document.getElementById('status').textContent)")


def test_the_switches_are_what_the_library_has_and_choose_where_to_look(page, served):
    names = page.eval_on_selector_all("#toggles input", "all => all.map((one) => one.id)")
    assert names == served.library.modalities == ["visual", "speech"]
    ask(page, "green")
    both = page.locator(".card .why").all_inner_texts()
    assert any("seen" in why for why in both)
    page.locator("#toggles label", has_text="Seen").click()
    until(page, "[...document.querySelectorAll('.card .why')].every((why) => !why.textContent.includes('seen'))")
    assert "in=speech" in page.url
    page.locator("#toggles label", has_text="Said").click()
    until(page, "document.getElementById('status').classList.contains('bad')")


def now(page):
    until(page, "video.readyState >= 2 && !video.seeking")
    return page.evaluate("video.currentTime")


def test_what_is_searched_plays_at_the_right_second(page):
    assert page.locator("#cards .card").count() == 3
    ask(page, "green")
    page.locator("#cards .card").first.click()
    assert 4.4 <= now(page) < 8
    assert page.evaluate("document.querySelector('#name').textContent") == "first.mp4"
    page.evaluate("video.pause()")
    pixel = page.evaluate(
        "() => { const c = document.createElement('canvas'); c.width = c.height = 1; const p = c.getContext('2d');"
        " p.drawImage(video, 0, 0, 1, 1); return [...p.getImageData(0, 0, 1, 1).data.slice(0, 3)]; }"
    )
    assert max(abs(a - b) for a, b in zip(pixel, COLOURS["green"], strict=True)) < 60


def test_the_timeline_and_the_transcript_seek(page):
    ask(page, "green")
    page.locator("#cards .card").first.click()
    now(page)
    page.evaluate("video.pause()")
    box = page.locator("#line").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 20)
    until(page, "!video.seeking")
    assert now(page) == pytest.approx(18, abs=0.3)
    page.locator("#lines button", has_text="Bread needs flour").click()
    until(page, "!video.seeking")
    assert now(page) == pytest.approx(10, abs=0.05)
    assert "Bread" in page.locator("#lines button.now").text_content()
    page.fill("#within", "violins")
    assert page.locator("#lines button:visible").count() == 1
    assert page.locator("#lines mark").text_content() == "Violins"
    page.focus("#line")
    page.keyboard.press("ArrowRight")
    until(page, "Math.abs(video.currentTime - 11) < 0.1")
    assert page.get_attribute("#line", "aria-valuenow") == "11.0"


def test_said_words_are_marked_and_play_from_the_word(page):
    ask(page, "flour")
    card = page.locator("#cards .card").first
    assert card.locator("mark").text_content() == "flour"
    card.click()
    assert 10 <= now(page) < 13.5


def give(page, how, content, name="a.png", kind="image/png"):
    """Drop or paste a file."""
    page.evaluate(
        """([how, data, name, type]) => { const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        const held = new DataTransfer(); held.items.add(new File([bytes], name, {type}));
        const usual = {bubbles: true, cancelable: true};
        const [made, named] = how === 'drop' ? [DragEvent, 'dataTransfer'] : [ClipboardEvent, 'clipboardData'];
        document.body.dispatchEvent(new made(how, {[named]: held, ...usual})); }""",
        [how, base64.b64encode(content).decode(), name, kind],
    )


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_dropped_or_pasted_finds_what_looks_like_it(page, how):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), COLOURS["cyan"]).save(buffer, "PNG")
    page.locator("#toggles label", has_text="Seen").click()  # a picture switches it on again
    give(page, how, buffer.getvalue())
    until(page, "/moments? in/.test(document.getElementById('status').textContent)")
    assert page.locator("#sent").is_visible()
    assert "second.mp4" in page.locator("#cards .card").first.text_content()
    page.locator("#cards .card").first.click()
    assert 7.4 <= now(page) < 10
    page.click("#unsend")
    until(page, "document.querySelectorAll('#cards .card').length === 3")


def test_a_sound_dropped_or_chosen_finds_what_sounds_like_it(browser, tmp_path):
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in" / "tones.wav", np.concatenate([tone("low", 6), tone("high", 6), tone("middle", 6)]))
    make_film(tmp_path / "in" / "film.mp4", [("red", 4), ("green", 4)], sound=False)
    asked = write_wav(tmp_path / "asked.wav", tone("high", 3))
    own = {"visual": ColourEncoder(), "speech": "none", "sound": SeeingBandEncoder()}
    with Library.open(tmp_path / "l.mmv", **own) as library:
        library.add(tmp_path / "in")
        with Served(library) as server:
            for page in watched(browser, server.url):
                give(page, "drop", asked.read_bytes(), "asked.wav", "audio/wav")
                until(page, "/moments? in/.test(document.getElementById('status').textContent)")
                assert page.locator("#sent").inner_text().startswith("♪ asked.wav")
                best = page.locator("#cards .card").first
                assert "tones.wav" in best.text_content()
                assert "heard" in best.text_content()
                best.click()
                assert now(page) == pytest.approx(6, abs=1.2)
                page.click("#unsend")
                until(page, "document.querySelectorAll('#cards .card').length === 2")
                page.set_input_files("#file", asked)
                until(page, "/moments? in/.test(document.getElementById('status').textContent)")
                clip = make_film(tmp_path / "asked.mp4", [("green", 1)], sound=False)
                give(page, "paste", clip.read_bytes(), "asked.mp4", "video/mp4")
                until(page, "document.querySelector('#cards .card').textContent.includes('film.mp4')")
                assert page.locator("#cards .card .at").first.text_content().startswith("00:0")


def test_hovering_scrubs_through_the_hit(page):
    ask(page, "green")
    shot = page.locator("#cards .card .shot").first
    image = shot.locator("img")
    box = shot.bounding_box()
    still = image.get_attribute("src")
    seen = []
    for part in (0.1, 0.5, 0.9):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        until(page, f"!{[*seen, still]}.includes(document.querySelector('#cards .shot img').getAttribute('src'))")
        seen.append(image.get_attribute("src"))
    times = [float(src.split("t=")[1].split("&")[0]) for src in seen]
    assert 4.4 <= times[0] < times[1] < times[2] <= 11.6
    assert shot.locator(".scrub").evaluate("bar => bar.style.width") == "100%"
    page.mouse.move(5, 5)
    until(page, f"document.querySelector('#cards .shot img').src.endsWith({still!r})")


def test_what_is_less_sure_waits_until_it_is_asked_for(page, served):
    hits = served.library.search("green", limit=30)
    sure = sum(hit.sure for hit in hits)
    assert 0 < sure < len(hits)
    ask(page, "green")
    assert page.locator("#cards .card").count() == sure
    assert page.locator("#unsure").inner_text() == f"{len(hits) - sure} less sure"
    page.click("#unsure")
    assert page.locator("#cards .card").count() == len(hits)
    assert (
        page.evaluate("[...document.getElementById('cards').children].findIndex((one) => one.matches(':focus-within'))")
        == sure
    )
    assert f"limit={len(hits)}" in page.get_attribute("#csv", "href")


def test_what_is_less_sure_comes_onto_the_line_when_it_is_shown(page, served):
    hits = served.library.search("green", limit=30)
    waiting = {hit.media_id for hit in hits if not hit.sure}
    opened = next(rank for rank, hit in enumerate(hits) if hit.sure and hit.media_id in waiting)
    drawn = "document.querySelector('#line canvas').toDataURL()"
    ask(page, "green")
    with page.expect_response("**/curve?*"):
        page.locator("#cards .card").nth(opened).click()
    now(page)
    page.wait_for_timeout(500)  # the curve is drawn
    before = page.evaluate(drawn)
    page.click("#unsure")
    assert page.evaluate(drawn) != before


def test_the_files_of_a_hit_are_downloaded(page, tmp_path):
    ask(page, "green")
    page.locator("#cards .card").first.click()
    now(page)
    page.evaluate("video.pause()")
    for name, begins in (("clip", 4), ("frame", 0), ("srt", 0), ("edl", 0)):
        with page.expect_download() as waiting:
            page.click(f"#{name}")
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        content = path.read_bytes()
        expected = {"clip": b"ftyp", "frame": b"\xff\xd8", "srt": b"1\n", "edl": b"TITLE"}[name]
        assert content[begins:].startswith(expected), name
    assert "-->" in (tmp_path / "hits.srt").read_text()


AXE = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map("
AXE += "(one) => [one.id, one.impact, one.nodes[0].html]))"


def broken(page):
    """What axe finds in the page as it is: rules of WCAG and of good practice."""
    import axe_playwright_python

    if page.evaluate("typeof axe") == "undefined":
        source = Path(axe_playwright_python.__file__).with_name("axe.min.js")
        page.evaluate(f"{source.read_text('utf-8')};0")
    page.wait_for_timeout(200)  # colours of a hover or a focus are reached
    return page.evaluate(AXE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 380])
def test_axe_finds_nothing(browser, served, scheme, width):
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "bypass_csp": True}
    for page in watched(browser, served.url, **look):
        assert broken(page) == []
        ask(page, "flour and green")
        page.click("#unsure")
        assert broken(page) == []
        page.locator("#cards .card", has_text="Bread").first.click()
        now(page)
        page.wait_for_selector("#lines button")
        page.fill("#within", "flour")
        assert broken(page) == []
        page.click("#help")
        assert broken(page) == []
        page.keyboard.press("Escape")
        page.click("#adder")
        assert broken(page) == []
        page.keyboard.press("Escape")
        page.locator("#toggles label").first.click()
        page.locator("#toggles label").last.click()
        until(page, "document.getElementById('status').classList.contains('bad')")
        assert broken(page) == []
        page.evaluate("document.documentElement.removeAttribute('lang')")
        assert broken(page)[0][0] == "html-has-lang"  # it does look


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_nothing_is(browser, tmp_path, scheme):
    with opened(tmp_path / "new.mmv") as library, Served(library) as server:
        context = browser.new_context(color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#empty:not([hidden])")
        assert broken(page) == []
        context.close()


def test_more_like_this_and_a_link_to_the_moment(page, browser, served):
    ask(page, "blue")
    page.locator("#cards .card").first.click()
    page.evaluate("video.pause()")
    now(page)
    page.keyboard.press("m")
    until(page, "document.getElementById('q').value === ''")
    until(page, "new URLSearchParams(location.hash.slice(1)).get('like')")
    assert "00:10 –" in page.locator("#cards .card .at").first.text_content()
    page.click("#copy")
    link = page.url
    assert "t=1" in link
    for other in watched(browser, link):
        other.wait_for_selector("#right:not([hidden])")
        until(other, "video.readyState >= 2 && !video.seeking")
        assert other.evaluate("video.currentTime") == pytest.approx(page.evaluate("video.currentTime"), abs=0.3)
        assert other.locator("#sent").is_visible()


def test_the_keyboard_is_enough(page):
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_selector("#right:not([hidden])")
    first = page.locator("li.current .at").text_content()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    second = page.locator("li.current .at").text_content()
    assert first[:5] != second[:5]
    start = int(second[3:5])
    until(page, f"video.currentTime >= {start} && video.currentTime < {start} + 3")
    page.keyboard.press("p")
    assert page.locator("li.current .at").text_content() == first
    assert page.evaluate("document.activeElement.tagName") == "BODY"
    reached = set()
    page.keyboard.press("/")
    for key in ["Shift+Tab"] * 3 + ["Tab"] * 45:
        page.keyboard.press(key)
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"q", "visual", "speech", "media", "card", "line", "like", "copy"} <= reached


def test_names_for_a_screen_reader(page):
    ask(page, "green")
    page.locator("#cards .card").first.click()
    now(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, a[href], input, select, [role=slider], [role=group]')]
        .filter(e => e.checkVisibility() && !e.getAttribute('aria-label') && !e.textContent.trim()
                     && !(e.labels && e.labels.length)).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.get_attribute("html", "lang") == "en"
    assert page.locator("#cards .card").first.get_attribute("aria-label").startswith("Hit 1: first.mp4")


def test_a_phones_width(browser, served):
    for page in watched(browser, served.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True):
        ask(page, "green")
        page.locator("#cards .card").first.tap()
        assert 4.4 <= now(page) < 8
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        small = page.evaluate(
            "() => [...document.querySelectorAll('#actions button, #actions a')].filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().height < 32).length"
        )
        assert small == 0


def test_an_empty_library_explains_and_is_filled(browser, films, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(films / "second.mp4", tmp_path / "in")
    with opened(tmp_path / "new.mmv") as library, Served(library) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.get_by_role("button", name="Add a folder").click()
        page.fill("#path", str(tmp_path / "in"))
        page.keyboard.press("Enter")
        until(page, "document.getElementById('job').textContent.startsWith('1 added')")
        page.click("#closeadd")
        ask(page, "cyan")
        page.locator("#cards .card").first.click()
        assert 7.4 <= now(page) < 10
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#remove")
        until(page, "document.getElementById('cards').children.length === 0")
        context.close()


def test_adding_shows_how_far_it_is(browser, tmp_path, monkeypatch):
    over = threading.Event()

    def slow(paths, progress):
        progress(Progress("files", Path("/films/a.mp4"), 0.0, 2.0))
        progress(Progress("frames", Path("/films/a.mp4"), 30.0, 60.0))
        assert over.wait(30)
        return AddReport(())

    with opened(tmp_path / "new.mmv") as library, Served(library) as server:
        monkeypatch.setattr(library, "add", slow)
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        page.click("#adder")
        page.fill("#path", "/films")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('job').textContent === '1 of 2: a.mp4 — frames'")
        assert page.evaluate("document.getElementById('progress').value") == 0.5
        page.click("#closeadd")
        assert page.locator("#adder").inner_text() == "Adding 1 of 2"
        over.set()
        until(page, "document.getElementById('adder').textContent === 'Add folder'")
        context.close()


def test_a_transcript_is_text(browser, tmp_path):
    class Hostile(ScriptedTranscriber):
        SENTENCES = (
            f"The ferry {NASTY} left.",
            "</span><script>window.hacked=1</script> bread",
            "Violins & <b>bows</b>.",
        )

    make_sound(tmp_path / "talk.mp3")
    with Library.open(tmp_path / "l.mmv", speech=Hostile("hostile"), passages=WordEncoder(), visual="none") as library:
        library.add(tmp_path / "talk.mp3")
        with Served(library) as server:
            for page in watched(browser, server.url):
                ask(page, "ferry")
                card = page.locator("#cards .card").first
                assert NASTY in card.text_content()
                assert card.locator("mark").first.text_content() == "ferry"
                card.click()
                page.wait_for_selector("#lines button")
                assert [line.text_content()[5:] for line in page.locator("#lines button").all()] == list(
                    Hostile.SENTENCES
                )
                page.fill("#within", "b>bows")
                assert page.locator("#lines b, #lines script, #lines img, #cards b b").count() == 0


def test_names_and_words_are_text(page):
    assert NASTY in page.locator("#cards").text_content()
    page.get_by_role("button", name=NASTY).first.click()
    page.wait_for_selector("#lines button")
    assert page.locator("#name").text_content() == f"{NASTY}.mp3"
    ask(page, "<b>ferry</b> <script>window.hacked=1</script>")
    assert page.locator("#cards b img, #cards script").count() == 0
