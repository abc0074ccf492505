"""Pages that are not the room's own, and what they can do with it: nothing, unless they are let in."""

import contextlib
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import lpws
from lpws.chat import ChatServer, Robots

ATTACK = (Path(__file__).parent / "attack.js").read_text(encoding="utf-8")


@pytest.fixture
def chat():
    with ChatServer() as chat:
        yield chat
        assert not chat.log


class Elsewhere(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self):
        body = b"<!DOCTYPE html><title>elsewhere</title><p>hello"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class AtIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def serving(host="127.0.0.1"):
    """Address of a page of another origin."""
    kind, address = (AtIPv6, "::1") if host == "[::1]" else (ThreadingHTTPServer, "127.0.0.1")
    with kind((address, 0), Elsewhere) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield f"http://{host}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def elsewhere():
    """Address of a page of another origin."""
    with serving() as url:
        yield url


#: What any page can do to an address without asking for leave; what the first answers is not to be read.
BLIND = """async (url) => {
  const ends = (what) => new Promise((done) => {
    for (const end of ["load", "error"]) what.addEventListener(end, done);
  });
  const make = (tag) => document.createElement(tag);
  const image = make("img"), script = make("script"), frame = make("iframe");
  const ended = [image, script, frame].map(ends);
  image.src = script.src = frame.src = url;
  document.body.append(script, frame);
  await Promise.all([...ended, fetch(url, { mode: "no-cors" })]);
}"""


@pytest.mark.parametrize("path", ["/reload?client=0&request=1", "/longpolling?hold=300", "/sse"])
def test_a_page_from_elsewhere_does_not_touch_a_run(page, elsewhere, path):
    """Not even where there is no token, as during a measurement."""
    with lpws.Server() as server:
        server.publish("news")
        page.goto(elsewhere)
        page.evaluate(BLIND, server.url + path)
        assert not [event for event in server.trace if event[1] == "request_received"]
        assert not server.room.busy
        page.set_content(f"<a href='{server.url}/reload?request=2&cursor=0'>news</a>")
        page.click("a")
        page.get_by_text("1 news").wait_for()  # though a link may be followed
        asked = [event[5] for event in server.trace if event[1] == "request_received"]
        assert asked[0] == 2  # what follows is the browser looking for an icon


def attack(context, chat, origin):
    """What a page of this origin could do, with the token and the secret of somebody in the room."""
    with Robots(chat, {"Ada": lpws.WebSocket()}) as robots:
        page = context.new_page()
        page.goto(origin)
        results = page.evaluate(ATTACK, [chat.address, robots._secrets["Ada"]])
        field = "<input name='{\"a\":\"' value='\"}'>"  # makes a body that is JSON
        page.set_content(f"<form method=post enctype=text/plain action='{chat.address}post'>{field}</form>")
        with page.expect_navigation():
            page.evaluate("() => document.forms[0].submit()")
    return results


def test_a_page_from_elsewhere_can_do_nothing(context, chat, elsewhere):
    assert attack(context, chat, elsewhere) == dict.fromkeys(("socket", "stream", "read", "post"), False)
    assert chat.said == []


def test_a_page_of_the_one_other_origin_can_do_everything(context, elsewhere):
    """And so the attack above does not fail for a reason of its own."""
    with ChatServer(origin=elsewhere) as chat:
        assert attack(context, chat, elsewhere) == dict.fromkeys(("socket", "stream", "read", "post"), True)
        assert [message["text"] for message in chat.said] == ["from elsewhere"]


def test_a_name_that_was_made_to_point_here_leads_nowhere(page, chat):
    rebound = chat.address.replace("127.0.0.1", "evil.example")
    answer = page.goto(rebound)
    assert (answer.status, answer.text()) == (403, "403 Unknown Host\n")
    # A page that is of this origin, and so may read what comes from it.
    assert page.evaluate("(url) => fetch(url).then((answer) => answer.status)", f"{rebound}request") == 403
    assert page.goto(chat.address).status == 200


@pytest.mark.parametrize("tag", ["iframe src", "object type='text/html' data"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "lab.localhost", "[::1]"])
def test_a_notebook_of_this_machine_may_put_the_room_into_a_frame(page, chat, host, tag):
    with serving(host) as url:
        page.goto(url)
        page.set_content(f"<{tag}='{chat.address}'>")
        page.wait_for_event("frameattached") if len(page.frames) < 2 else None
        page.frames[1].wait_for_selector("#enter:enabled")


def test_a_foreign_page_cannot_put_the_room_into_a_frame(page, chat, elsewhere):
    page.goto(
        chat.address.replace(chat.prefix, "").replace("127.0.0.1", "evil.example")
    )  # any page that is not ours
    with page.expect_event("requestfailed", lambda request: request.url == chat.address):
        page.set_content(f"<iframe src='{chat.address}'></iframe>")
    assert page.frames[1].query_selector("#text") is None
