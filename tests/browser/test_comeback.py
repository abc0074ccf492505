"""What the browser's EventSource does when its server goes away, beside the recording that notebook 09 draws.

    python tests/browser/test_comeback.py

records `data/eventsource.json` again, with the Chromium of this machine.
"""

import contextlib
import json
import socket
import threading
import time

import pytest

from lpws.recordings import DATA

RECORDED = json.loads((DATA / "eventsource.json").read_text(encoding="utf-8"))
#: When the server goes, when it is back, and when the story ends [s].
GONE_S, BACK_S, END_S = 1.0, 4.0, 8.0
WATCH = """
window.seen = [];
const begun = performance.now(), source = new EventSource("/news");
const note = what => window.seen.push([(performance.now() - begun) / 1000, what, source.readyState]);
source.onopen = () => note("open");
source.onerror = () => note("error");
null;
"""


class Place:
    """A server by hand: a page, and a stream; while it is away it refuses, or a proxy answers for it."""

    def __init__(self):
        self.away, self.streams, self.asked = False, [], 0
        self.listen(0)

    def listen(self, port):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve(self, listener):
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                threading.Thread(target=self.answer, args=(line,), daemon=True).start()

    def answer(self, line):
        with contextlib.suppress(OSError):
            request = line.recv(65_536)
            if b"GET /news" not in request:
                body = b"<title>a page</title><link rel=icon href=data:,>"
                line.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + body
                )
                line.close()
                return
            self.asked += 1
            if self.away:
                line.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                line.close()
                return
            self.streams.append(line)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1000\n\n")

    def go(self, refuse):
        self.away = True
        if refuse:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for line in self.streams:
            line.shutdown(socket.SHUT_RDWR)
            line.close()

    def come_back(self, refuse):
        self.away = False
        if refuse:
            self.listen(self.port)


def watched(page, refuse):
    """What a page saw: [when, what, readyState], and how often the server was asked."""
    place = Place()
    page.goto(f"http://127.0.0.1:{place.port}/")
    page.evaluate(WATCH)
    begun = time.monotonic()
    for at_s, step in ((GONE_S, place.go), (BACK_S, place.come_back)):
        page.wait_for_timeout(1000 * max(begun + at_s - time.monotonic(), 0))
        step(refuse)
    page.wait_for_timeout(1000 * max(begun + END_S - time.monotonic(), 0))
    seen = page.evaluate("window.seen")
    place.listener.close()
    return {"seen": [[round(at_s, 3), what, state] for at_s, what, state in seen], "asked": place.asked}


@pytest.mark.parametrize("how", RECORDED["stories"])
def test_the_browser_does_what_the_recording_says(how, page):
    again = watched(page, refuse=how == "refused")
    recorded = RECORDED["stories"][how]
    last = {"refused": ["open", 1], "502": ["error", 2]}[how]
    for story in (again, recorded):
        assert story["seen"][0][1:] == ["open", 1]
        assert story["seen"][-1][1:] == last
    assert recorded["asked"] == 2
    if how == "502":  # it asked once more, was answered 502, and never asked again
        assert again["asked"] == 2
        assert [each[1:] for each in again["seen"]] == [each[1:] for each in recorded["seen"]]


def record():
    """Write the recording."""
    from conftest import launched
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        stories = {how: watched(browser.new_page(), how == "refused") for how in ("refused", "502")}
        about = {"browser": f"Chromium {browser.version}", "gone_s": GONE_S, "back_s": BACK_S, "end_s": END_S}
    text = json.dumps(about | {"stories": stories}, indent=1)
    (DATA / "eventsource.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
