"""The notebooks as a reader has them: opened in JupyterLab, and run there with Run All."""


import re

import booklet
import pytest
from playwright.sync_api import expect

from .jupyter import ASK, CELLS, END, OPEN, RUN_ALL, SEE, jupyterlab, live_page, scroll_to
from .people import say_on_train

PATHS = booklet.paths()
#: How the names of the notebooks begin whose runs are measured: it needs their processor time.
MEASURED = ("12_",)
#: The longest time [ms] that a notebook may take, on a machine that does much else.
LIMIT_MS = 180_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    # The others are measured where their outputs are compared. Here the page is the subject.
    with jupyterlab(tmp_path_factory.mktemp("lab"), measured=MEASURED) as url:
        yield url


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(LIMIT_MS)
    yield context
    context.close()


@pytest.fixture
def open_notebook(context, lab):
    """Opens a notebook in a page of its own; what the browser complains of makes the test fail."""
    complaints, expected = [], ["ERR_CONNECTION_REFUSED"]

    def listen(said):
        if said.type == "error":
            complaints.append(f"{said.text} {said.location['url']}")

    def open_(name):
        if name.startswith(("04_", "16_")):  # it drops the connections of its page, to show how it comes back
            expected.extend(("ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"))
        page.goto(f"{lab}lab/workspaces/{name.partition('.')[0]}?reset")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate(OPEN, f"notebooks/{name}")
        return page

    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", listen)
    yield open_
    said = complaints.copy()  # as a kernel ends, two of its threads may speak at once: no page can read it
    page.evaluate(END)
    page.close()
    # A page whose server a later cell has stopped, before the page was there, does not find it.
    assert [each for each in said if not any(part in each for part in expected)] == []


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_run_all(open_notebook, path, shot):
    page = open_notebook(path.name)
    assert page.evaluate(RUN_ALL) is True
    cells = page.evaluate(CELLS)
    code = [cell for cell in cells if cell["type"] == "code"]
    assert [cell["count"] for cell in code] == list(range(1, len(code) + 1))
    page.wait_for_function("() => window.panel.sessionContext.session.kernel.status === 'idle'")
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", cell["source"]
            assert output.get("name") != "stderr", (cell["source"], output)

    figures = 0
    for number, cell in enumerate(cells):
        if not any("data" in output for output in cell["outputs"]):
            continue
        seen = page.evaluate(SEE, number)
        shot(page, f"{path.stem}_{number:03}")
        assert len(seen["outputs"]) == len(cell["outputs"]), cell["source"]
        for output, shown in zip(cell["outputs"], seen["outputs"], strict=True):
            if "image/png" in output.get("data", {}):
                figures += 1
                box = shown["picture"] or shown["frame"]  # a film plays in a frame in place of its picture
                assert box, (cell["source"], shown)
                assert 200 < box["width"] <= seen["width"]
                assert box["height"] > 50
        described = [shown["described"] for shown in seen["outputs"] if shown["described"]]
        assert described == booklet.descriptions(cell["outputs"])
    assert figures >= 2
    BY_NAME.get(path.stem, lambda _page: None)(page)


COMPILES = "text => { try { new Function(text); return true; } catch { return false; } }"


def the_page_talks(page):
    """In 05: the page speaks with the reader's handler, in both directions, and hears the goodbye.

    And what the text says of browsers is so.
    """
    _, port = scroll_to(page, "pages")
    frame = live_page(page, f":{port}/")
    page.evaluate(ASK, "pages.publish('from the kernel')")
    frame.get_by_text("news: 2 from the kernel").wait_for()
    frame.locator("#say").fill("from the page")
    frame.locator("#say").press("Enter")
    frame.get_by_text("news: 3 from the page").wait_for()
    assert page.evaluate(ASK, "print(pages.room.messages[2].text)") == "from the page\n"
    page.evaluate(ASK, "pages.stop()")
    frame.get_by_text("closed: 1001").wait_for()  # going away
    assert page.evaluate("() => 'send' in WebSocket.prototype && !('ping' in WebSocket.prototype)")
    # Two mistakes, and no others, keep the article's snippet from running.
    snippet = next(cell["source"] for cell in page.evaluate(CELLS) if "JSON.parse(;" in cell["source"])
    snippet = snippet.partition("```javascript\n")[2].partition("```")[0]
    for parse, end, runs in (("(;", "", False), ("(;", "};", False), ("(event.data);", "", False),
                             ("(event.data);", "};", True)):  # fmt: skip
        assert page.evaluate(COMPILES, snippet.replace("(;", parse) + end) is runs


def the_chats_are_live(page):
    """In 16: the page on the train says it once, whatever it takes; the page before the solution is told."""
    for name in ("train", "mine"):
        _, port = scroll_to(page, name)
        frame = live_page(page, f":{port}/")
        if name == "train":  # the coin: two answers are lost, and no more
            page.evaluate(ASK, "coins = iter([0, 0]); random.random = lambda: next(coins, 1)")
        else:
            frame.get_by_text(re.compile(r"Guest \d+ came")).wait_for()
        say_on_train(frame, "tea, please")
        frame.get_by_text(re.compile(r"try \d+: 200")).wait_for()
        frame.get_by_text(re.compile(r"Guest \d+ said tea, please")).wait_for()
        if name == "train":
            frame.get_by_text("Robin said It is ready!").wait_for()
        assert frame.locator("#log").inner_text().count("tea, please") == 1
    told = page.evaluate(ASK, "print(sum('tea, please' in each.text for each in train.room.messages))")
    assert told == "1\n"
    page.evaluate(ASK, "train.stop(), mine.stop()")


def the_kettle_reads_the_letter(page):
    """In 13: a page of another port shows the reader's letter, in the notebook."""
    for name in ("mail", "other"):
        _, port = scroll_to(page, name)
        frame = live_page(page, f":{port}/")
        # As "run all" shows both at once, the kettle may be there before the reader has logged in.
        frame.locator("#text", has_not_text="(nothing)").wait_for()
        if "News" in frame.locator("#text").inner_text():
            frame.evaluate("location.reload()")
        frame.get_by_text("Dear Ada").wait_for()


def the_sliders_draw_anew(page):
    """In 02, 07 and 15: moving any slider draws the picture beneath it anew, in its place."""
    sliders = 0
    for number, cell in enumerate(page.evaluate(CELLS)):
        if "lpws.slider(" not in cell["source"]:
            continue
        outputs = len(cell["outputs"])
        page.evaluate(SEE, number)
        node = page.locator(f'.jp-Cell[data-windowed-list-index="{number}"]')
        picture, handles = node.locator("img"), node.locator(".noUi-handle")
        expect(handles).to_have_count(outputs - 1)
        for place in range(outputs - 1):
            before, said = picture.get_attribute("src"), picture.get_attribute("alt")
            handles.nth(place).press("ArrowRight")
            expect(picture).not_to_have_attribute("alt", said)
            expect(picture).to_have_attribute("alt", re.compile(" Now .* = "))
            assert picture.get_attribute("src") != before
            assert picture.count() == 1
            sliders += 1
        assert len(page.evaluate(CELLS)[number]["outputs"]) == outputs
    assert sliders


BY_NAME = {
    "02_short_polling": the_sliders_draw_anew,
    "05_websockets": the_page_talks,
    "07_choosing": the_sliders_draw_anew,
    "15_ten_million": the_sliders_draw_anew,
    "13_strangers": the_kettle_reads_the_letter,
    "16_build_a_chat": the_chats_are_live,
}


def test_a_notebook_that_is_not_trusted_makes_sense(open_notebook):
    """As it comes, nothing of it runs: pictures, tables and text stay, frames do not."""
    page = open_notebook("05_websockets.ipynb")
    frames = figures = 0
    for number, cell in enumerate(page.evaluate(CELLS)):
        if not cell["outputs"] or cell["hidden"]:
            continue
        assert cell["trusted"] is False
        shown = page.evaluate(SEE, number)["outputs"]
        assert not any(one["frame"] for one in shown)
        frames += "live_page(" in cell["source"]
        assert len(shown) == len(cell["outputs"]), cell["source"]
        for output, one in zip(cell["outputs"], shown, strict=True):
            data = output.get("data", {})
            picture = "image/png" in data or "<img " in "".join(data.get("text/html", ""))
            figures += picture
            assert one["picture"] if picture else one["words"].strip(), cell["source"]
    assert frames
    assert figures >= 2
