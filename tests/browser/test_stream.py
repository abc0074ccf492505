"""What the browser's EventSource makes of a stream, beside the recording that notebook 04 shows.

    python tests/browser/test_stream.py

records `data/eventstream.json` again, with the Chromium of this machine.
"""

import json

import pytest
from tornado.web import RequestHandler

import lpws
from lpws.recordings import DATA

RECORDED = json.loads((DATA / "eventstream.json").read_text(encoding="utf-8"))
#: What a server sends and then hangs up.
STREAMS = (
    "data: tea is ready\n\n",
    "id: 7\ndata: tea is ready\n\n",
    "event: price\ndata: 4.03\n\n",
    "data: tea is ready\ndata: tea is cold\n\n",
    "data: tea is ready\n",
    ": still there\n\n",
    "retry: 500\n\n",
)
LISTEN = """() => new Promise(done => {
  const source = new EventSource("/news"), heard = [];
  let lost = 0, opened = 0;
  for (const kind of ["message", "price"])
    source.addEventListener(kind, event => { if (!lost) heard.push([event.type, event.data]); });
  source.onerror = () => { lost = lost || performance.now(); };
  source.onopen = () => {
    opened += 1;
    if (opened < 2) return;
    source.close();
    done([heard, (performance.now() - lost) / 1000]);
  };
})"""

class Page(RequestHandler):
    def get(self):
        self.write("<!DOCTYPE html><title>a page</title><link rel=icon href=data:,>")


class News(RequestHandler):
    """Send the stream, and hang up."""

    def get(self):
        self.asked.append(self.request.headers.get("Last-Event-ID"))
        self.set_header("Content-Type", "text/event-stream")
        self.write(self.stream)


def heard(page, stream):
    """What a page hears of the stream, when it is back [s], and the Last-Event-ID with which it is."""
    News.stream, News.asked = stream, []
    with lpws.Server(handlers={"/": Page, "/news": News}) as server:
        page.goto(server.url + "/")
        told, back_s = page.evaluate(LISTEN)
    return {"stream": stream, "heard": told, "back_s": round(back_s, 2), "last_id": News.asked[1]}


@pytest.mark.parametrize("recorded", RECORDED["streams"], ids=lambda each: each["stream"])
def test_the_browser_makes_of_a_stream_what_the_recording_says(recorded, page):
    again = heard(page, recorded["stream"])
    assert again.pop("back_s") > 0.9 * recorded["back_s"]
    assert again == {name: said for name, said in recorded.items() if name != "back_s"}


def test_the_streams_are_those_of_the_recording():
    assert [each["stream"] for each in RECORDED["streams"]] == list(STREAMS)


def record():
    """Write the recording."""
    from conftest import launched
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        streams = [heard(browser.new_page(), stream) for stream in STREAMS]
        text = json.dumps({"browser": f"Chromium {browser.version}", "streams": streams}, indent=1)
    (DATA / "eventstream.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
