"""Requests, right and wrong: each is answered, recorded once, and harms nobody."""

import pytest
import tornado
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import HANDSHAKE, HOLD, PATHS, POLL, SOCKET, STREAM, Wire, ask, names, say, until

from lpws.server.doorway import MOST_BYTES, MOST_HEAD_BYTES
from lpws.server.server import Server

CHUNKED = b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
MALFORMED = {
    "no request line": b"\r\n\r\n\r\n",
    "no version": b"GET /\r\nHost: {host}\r\n\r\n",
    "no HTTP": b"GET / SPDY/1\r\nHost: {host}\r\n\r\n",
    "another HTTP": b"GET / HTTP/2.0\r\nHost: {host}\r\n\r\n",
    "words": b"what is this\r\n\r\n",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: {host}\r\nnonsense\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: {host}\r\n: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: {host}\r\nX: \0\r\n\r\n",
    "a host that is none": b"GET / HTTP/1.1\r\nHost: <>\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: x\r\n\r\n",
    "a length below zero": b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "a chunk size that is none": CHUNKED + b"\r\nx\r\n",
    "length and chunks": CHUNKED + b"Content-Length: 1\r\n\r\n0\r\n\r\n",
}
if tornado.version_info >= (6, 6):  # an older one closes the connection without a word
    MALFORMED["a chunk that is longer than it says"] = CHUNKED + b"\r\n1\r\nabc"


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests(lab, data):
    assert say(lab, data.replace(b"{host}", lab.host.encode())) == 400


@pytest.mark.parametrize("size", [MOST_HEAD_BYTES, 10 * MOST_HEAD_BYTES, 100 * MOST_HEAD_BYTES])
@pytest.mark.parametrize("ended", [True, False])
def test_too_large_heads(lab, size, ended):
    head = f"GET {POLL} HTTP/1.1\r\nHost: {lab.host}\r\nX: {size * 'x'}".encode() + b"\r\n\r\n" * ended
    assert say(lab, head) == 431


def test_a_too_large_head_that_trickles_in(lab):
    with Wire(lab) as wire:
        wire.request(POLL)
        assert wire.take_answer() == (204, "")
        wire.send(f"GET {POLL} HTTP/1.1\r\n".encode())
        for _ in range(MOST_HEAD_BYTES // 1024):
            wire.send(b"X: " + 1024 * b"x" + b"\r\n")
        assert wire.take_all().startswith(b"HTTP/1.1 431 ")


def test_too_large_bodies(lab):
    size = MOST_BYTES + 1
    for path in (POLL, "/plain", "/nowhere"):
        head = f"POST {path} HTTP/1.1\r\nHost: {lab.host}\r\n"
        whole = f"{head}Content-Length: {size}\r\n\r\n".encode()
        assert say(lab, whole) in (400, 413)
        assert say(lab, whole + size * b"x") in (400, 413)
        assert say(lab, f"{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode()) in (400, 413)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "multipart/form-data", "application/json"]
)
def test_bodies_that_are_not_what_they_say(lab, kind):
    status, _ = ask(lab, POLL, "POST", b"--nonsense", Content_Type=kind, Content_Length="10")
    assert status in (400, 405)


def test_unknown_paths_and_methods(lab):
    for path in (
        "/",
        "/nowhere",
        POLL + "/",
        "//",
        "/%00",
        "/%ff",
        "/../etc/passwd",
        "*",
        "http://evil.example/",
    ):
        assert ask(lab, path)[0] == 404
    for path in PATHS:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            assert ask(lab, path, method) == (405, "405 Method Not Allowed\n")


WRONG = [
    "x",
    "-1",
    "-0.5",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "0x1",
    "1;2",
    "",
    "%00",
    "%ff",
    "9" * 30,
    "9" * 5000,
]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: value[:9])
def test_arguments_that_are_not_what_they_should_be(lab, value):
    arguments = [(path, name) for path in PATHS for name in ("cursor", "client", "request")]
    arguments += [(HOLD, "hold"), (STREAM, "retry"), (SOCKET, "flush"), (SOCKET, "ping")]
    for path, name in arguments:
        status, body = ask(lab, f"{path}?{name}={value}", **HANDSHAKE if path == SOCKET else {})
        assert (status, body[:12]) == (400, "400 Expected" if value != "%ff" else "400 Bad Requ"), (
            path,
            name,
        )
        assert value in ("%00", "%ff") or len(body) < 100
    status, body = ask(lab, STREAM, Last_Event_ID=value or "x")
    assert status == 400


def test_numbers_need_no_point_and_a_cursor_stays_within_the_log(server):
    for _ in range(3):
        server.publish("hi")
    for value, status in {"0": 200, "2": 200, "3": 204, "4": 400, "1.0": 400}.items():
        for path in (POLL, HOLD):
            assert ask(server, f"{path}?cursor={value}")[0] == status
    assert ask(server, f"{POLL}?cursor=4")[1] == "400 Expected cursor to be a whole number from 0 to 3\n"
    assert ask(server, f"{HOLD}?cursor=3&hold=301")[1] == "400 Expected hold to be a number from 0 to 300.0\n"
    assert ask(server, f"{HOLD}?cursor=2&hold=1.5")[0] == 200
    assert not server.log


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_is_said_is_answered_politely(lab, data):
    path = data.draw(st.sampled_from([POLL, HOLD, STREAM, SOCKET, "/"]))
    query = data.draw(
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n \x85\xa0"), max_size=20)
    )
    headers = data.draw(
        st.dictionaries(
            st.sampled_from(
                [*HANDSHAKE, "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Last-Event-ID", "Range"]
            ),
            st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=12),
        )
    )
    given_headers = (HANDSHAKE if data.draw(st.booleans()) else {}) | headers
    with Wire(lab) as wire:
        wire.request(f"{path}?cursor={query}", **given_headers)
        assert wire.take_head()[0] in (101, 200, 204, 400, 404, 426)
    assert not lab.log


def test_a_mistake_in_a_handler_is_one_line_of_the_log(server):
    status, body = ask(server, "/bug")
    assert status == 500
    assert "Traceback" not in body
    assert "ZeroDivision" not in body
    assert len(server.log) == 1
    assert "ZeroDivisionError('division by zero')" in server.log[0]
    assert "\n" not in server.log[0]
    assert ask(server, POLL)[0] == 204


def test_a_mistake_that_nobody_waits_for_is_a_line_too(server):
    server.thread.post(lambda: 1 / 0)
    until(lambda: server.log)
    assert "ZeroDivisionError" in server.log[0]


def test_each_server_keeps_its_own_log(server):
    with Server() as other:
        assert ask(server, "/bug")[0] == 500
        assert (len(server.log), len(other.log)) == (1, 0)


def test_what_is_no_text_does_not_enter_the_log(server):
    for text in (b"hi", None, 1):
        with pytest.raises(TypeError, match=r"expected a text \(str\), got "):
            server.publish(text)
    for text in ("a\nb", "a\rb", "\ud800"):
        with pytest.raises(ValueError, match="expected a text of one line|surrogates not allowed"):
            server.publish(text)
    assert server.publish("hi") == 1
    assert ask(server, f"{POLL}?cursor=0") == (200, "1 hi\n")


def test_a_message_can_be_published_later(server):
    assert server.publish("later", after_s=0.2) is None
    assert server.publish("now") == 1
    assert ask(server, f"{HOLD}?cursor=1&hold=10") == (200, "2 later\n")
    server.publish("never", after_s=3600)  # a server that has stopped by then publishes nothing


@pytest.mark.parametrize("after_s", [-1, 3601, float("nan"), "soon", None, True])
def test_what_is_no_delay_is_refused(server, after_s):
    with pytest.raises((TypeError, ValueError), match=r"publish\(after_s=…\): expected .* got "):
        server.publish("hi", after_s=after_s)
    assert server.room.mailbox.last == 0


def test_every_request_is_recorded_once_and_its_answer_too(server):
    ask(server, POLL)
    ask(server, "/nowhere")
    ask(server, POLL, "POST")
    ask(server, f"{POLL}?client=x")
    ask(server, f"{SOCKET}?cursor=7", **HANDSHAKE)
    ask(server, SOCKET)
    ask(server, SOCKET, **HANDSHAKE | {"Sec-WebSocket-Version": "9"})
    until(lambda: len(names(server)) == 14)
    assert names(server) == 7 * ["request_received", "response_sent"]
    ask(server, POLL, "BREW")
    assert len(names(server)) == 14, "what no handler has seen is not recorded"
