"""Pages that are not the room's own, and what they can do with it: nothing, unless they are let in."""

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


@pytest.fixture
def elsewhere():
    """Address of a page of another origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<!DOCTYPE html><title>elsewhere</title><p>hello"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


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


def test_a_foreign_page_cannot_put_the_room_into_a_frame(page, chat, elsewhere):
    refused = []
    page.on("requestfailed", lambda request: refused.append(request.url))
    page.goto(
        chat.address.replace(chat.prefix, "").replace("127.0.0.1", "evil.example")
    )  # any page that is not ours
    page.set_content(f"<iframe src='{chat.address}'></iframe>")
    page.wait_for_timeout(500)
    assert page.frames[1].query_selector("#text") is None
    assert chat.address in refused
