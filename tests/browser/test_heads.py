"""What the browser sends when a page asks, beside the heads that notebook 06 counts."""

import json
import threading

import pytest
from tornado.web import RequestHandler

import lpws
from lpws.recordings import DATA

RECORDED = json.loads((DATA / "browser.json").read_text(encoding="utf-8"))
ASK = {
    "long polling": "fetch('/news?cursor=0')",
    "SSE": "new EventSource('/news?cursor=0') && 1",
    "WebSocket": "new WebSocket('ws://' + location.host + '/news?cursor=0') && 1",
}


@pytest.mark.parametrize("kind", RECORDED)
def test_the_recorded_heads_are_like_those_of_the_browser(kind, page):
    asked, came = {}, threading.Event()

    class Front(RequestHandler):
        def get(self):
            self.set_cookie("session", "24-letters-of-no-session")
            self.write("<title>a page</title>")

    class News(RequestHandler):
        def get(self):
            asked.update(self.request.headers.get_all())
            came.set()
            self.set_status(204)

    with lpws.Server(handlers={"/": Front, "/news": News}) as server:
        page.goto(server.url + "/")
        page.evaluate(ASK[kind])
        assert came.wait(10)
    recorded = {line.split(":")[0].title() for line in RECORDED[kind].splitlines()[1:-1]}
    names = {name.title() for name in asked}
    assert len(recorded & names) >= 0.7 * len(recorded | names)
