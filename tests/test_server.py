"""The server on real sockets: strangers, mistakes, slow readers, and its start and end."""

import contextlib
import errno
import gc
import http.client
import random
import resource
import socket
import struct
import threading
import time
import traceback

import pytest
import tornado
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.web import RequestHandler
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, CloseConnection, Pong, RejectConnection, Request, TextMessage

from lpws import wire
from lpws.mailbox import Message
from lpws.server import handlers
from lpws.server.server import MOST_BYTES, MOST_HEAD_BYTES, Server
from lpws.server.stream import CountedStream
from lpws.specs import SSE, LongPolling, ShortPolling, WebSocket
from lpws.transports import HALVES, sse
from lpws.transports.room import EARLY_S
from lpws.wire import from_lines, to_lines

POLL, HOLD, STREAM, SOCKET = ShortPolling.path, LongPolling.path, SSE.path, WebSocket.path
PATHS = [kind.path for kind in HALVES]
FRIEND = "http://localhost:8888"
#: No test waits longer [s] than this for a thing that should happen.
PATIENCE_S = 20.0
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Plain(RequestHandler):
    """A handler that knows nothing of rooms."""

    def get(self):
        self.write("plain")


class Bug(RequestHandler):
    """A handler with a mistake."""

    def get(self):
        return 1 / 0


class BugInSocket(handlers.WebSocket):
    """A WebSocket with a mistake."""

    def on_message(self, message):
        return int(message) / 0


@pytest.fixture(autouse=True)
def _prints_nothing(request, caplog):
    # capfd opens files, and anew in each phase of a test, which `nothing_left` would notice.
    captured = request.getfixturevalue("capsys" if "nothing_left" in request.fixturenames else "capfd")
    yield
    assert captured.readouterr() == ("", "")
    assert not caplog.get_records("call"), "these would be printed where there is no pytest"


@pytest.fixture
def server(nothing_left):
    with Server(
        origin=FRIEND, handlers={"/plain": Plain, "/bug": Bug, "/bug-in-socket": BugInSocket}
    ) as server:
        yield server


def until(condition):
    """Wait for a condition that should come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


class Wire:
    """A plain connection to the server."""

    def __init__(self, server, *, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if receive_buffer:  # before it connects, so that the window is small from the start
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", server.port))
        self.host = server.host
        self.data = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(ConnectionError):  # the server may have heard enough
            self.socket.sendall(data)

    def read_again(self):
        """Open the window of a slow reader."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)

    def request(self, path, method="GET", body=b"", **headers):
        """Send a request; a header that is None is left out."""
        headers = {"Host": self.host} | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in headers.items() if v is not None]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def more(self):
        """Receive something; b"" at the end."""
        try:
            data = self.socket.recv(1_000_000)
        except ConnectionResetError:
            data = b""
        self.data += data
        return data

    def take(self, size):
        """The next `size` bytes."""
        while len(self.data) < size:
            assert self.more(), f"expected {size} bytes, got {self.data!r} and the end"
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def take_head(self):
        """Status and header lines of the next answer."""
        while b"\r\n\r\n" not in self.data:
            assert self.more(), f"expected an answer, got {self.data!r} and the end"
        head = self.take(self.data.index(b"\r\n\r\n") + 4).decode()
        return int(head.split()[1]), head.lower()

    def take_answer(self):
        """Status and body of the next answer."""
        status, head = self.take_head()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return status, self.take(int(length or 0)).decode()

    def take_all(self):
        """Everything until the end."""
        while self.more():
            pass
        return self.take(len(self.data))


def ask(server, path, method="GET", body=b"", **headers):
    """Status and body of the answer to one request."""
    with Wire(server) as wire:
        wire.request(path, method, body, **headers)
        return wire.take_answer()


def say(server, data):
    """Status of the answer to these bytes, after which the server closes the connection."""
    with Wire(server) as wire:
        wire.send(data)
        answer = wire.take_all()
        assert answer.startswith(b"HTTP/1.1 "), answer
        assert answer.count(b"HTTP/1.1") == 1
        assert b"Traceback" not in answer
        return int(answer[9:12])


def names(server, *wanted):
    """Names of the events of requests, in order."""
    return [
        event[1] for event in server.trace if event[1] in (wanted or ("request_received", "response_sent"))
    ]


# Strangers


@pytest.fixture(scope="module")
def lab():
    """A server that many mistakes in a row must not harm."""
    with Server(origin=FRIEND, handlers={"/plain": Plain}) as server:
        yield server
        assert ask(server, POLL)[0] == 204
        assert not server.log


STRANGERS = [
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}"},
    {"Host": "127.0.0.1"},
    {"Host": "localhost"},
    {"Host": "127.0.0.1:1"},
    {"Host": "127.0.0.2:{port}"},
    {"Host": "localhost.evil.example:{port}"},
    {"Host": "[::1]:{port}"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:{port}/"},
    {"Origin": "http://127.0.0.1:{port}, http://evil.example"},
    {"Origin": "http://localhost:8889"},
    {"Origin": "https://localhost:8888"},
    {"Origin": "http://localhost:8888.evil.example"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    # An image, a script or a frame of a foreign page sends no Origin.
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=repr)
def test_strangers_are_refused_on_every_path(lab, stranger):
    stranger = {name: value.format(port=lab.port) for name, value in stranger.items()}
    before = len(names(lab))
    for path in [*PATHS, "/plain", "/", "/nowhere", f"{POLL}?cursor=x"]:
        for method in ("GET", "POST", "OPTIONS"):
            assert ask(lab, path, method, **stranger)[0] == 403
        assert ask(lab, path, **HANDSHAKE | stranger)[0] == 403
    assert ask(lab, POLL, **stranger)[1] == (
        "403 Unknown Host\n"
        if "Host" in stranger
        else "403 Foreign Origin\n"
        if "Origin" in stranger
        else "403 Foreign Page\n"
    )
    assert len(names(lab)) == before, "a stranger is no request of the run"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:{port}", "http://localhost:{port}", FRIEND])
def test_own_pages_and_the_given_origin_are_served(lab, host, origin):
    known = {"Host": f"{host}:{lab.port}", "Origin": origin and origin.format(port=lab.port)}
    assert ask(lab, POLL, **known)[0] == 204
    assert ask(lab, "/plain", **known) == (200, "plain")
    assert ask(lab, SOCKET, **HANDSHAKE | known)[0] == 101


@pytest.mark.parametrize(
    "friend",
    [
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # typed in
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },  # a link
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": FRIEND},
    ],
    ids=repr,
)
def test_whoever_comes_from_the_servers_own_pages_or_by_a_link_is_served(lab, friend):
    assert ask(lab, POLL, **friend)[0] == 204


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("kind", ["iframe", "object"])
def test_whoever_knows_the_token_may_put_a_page_into_a_frame(nothing_left, site, kind):
    with Server(token=True) as server:
        frame = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": kind}
        assert ask(server, server.prefix + POLL, **frame)[0] == 204
        assert ask(server, POLL, **frame)[0] == 403
        image = frame | {"Sec-Fetch-Mode": "no-cors"}
        assert ask(server, server.prefix + POLL, **image)[0] == 403, "but nothing else"


def test_without_an_origin_given_there_is_none(nothing_left):
    with Server() as server:
        assert ask(server, POLL, Origin=FRIEND)[0] == 403
        assert ask(server, POLL, Origin=server.url)[0] == 204


@pytest.mark.parametrize(
    "origin", ["localhost:8888", "ftp://localhost", "http://", "http://localhost:8888/", "*", 1]
)
def test_an_origin_that_no_browser_sends_is_refused(origin):
    with pytest.raises(ValueError, match="expected an origin like 'http://localhost:8888', got "):
        Server(origin=origin)


def test_a_request_names_its_host_once(lab):
    assert ask(lab, POLL, Host=None)[0] == 400
    assert ask(lab, POLL, Host="")[0] in (400, 403)
    assert say(lab, f"GET {POLL} HTTP/1.1\r\nHost: {lab.host}\r\nHost: {lab.host}\r\n\r\n".encode()) == 400
    assert say(lab, f"GET {POLL} HTTP/1.0\r\n\r\n".encode()) == 403


# Mistakes in HTTP


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


# WebSocket


def frame(opcode, payload=b"", *, fin=True, reserved=0, masked=True, size=None):
    """A frame of a client, right or wrong; `size` is what its head says."""
    size = len(payload) if size is None else size
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([masked << 7 | size])
    elif size < 65_536:
        head += bytes([masked << 7 | 126]) + size.to_bytes(2)
    else:
        head += bytes([masked << 7 | 127]) + size.to_bytes(8)
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"  # RFC 6455 §5.7
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


class Peer(Wire):
    """A WebSocket client that has its frames read by wsproto."""

    def __init__(self, server, query="", path=SOCKET, **options):
        super().__init__(server, **options)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.waiting = []
        self.socket.sendall(self.protocol.send(Request(host=server.host, target=f"{path}?{query}")))
        first = self.next()
        assert isinstance(first, AcceptConnection | RejectConnection)
        self.accepted = isinstance(first, AcceptConnection)

    def next(self):
        """The next event; None at the end."""
        while not self.waiting:
            data = self.more()
            self.data.clear()
            if not data:
                return None
            self.protocol.receive_data(data)
            self.waiting += self.protocol.events()
        return self.waiting.pop(0)

    def message(self):
        """The messages of the next text frame."""
        text = ""
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return from_lines(text.encode())

    def closed(self):
        """Code of the Close frame that comes next, answered; then the connection must end."""
        event = self.next()
        assert isinstance(event, CloseConnection), event
        if self.protocol.state is not ConnectionState.CLOSED:  # it was the server's idea
            self.send(self.protocol.send(event.response()))
        assert self.next() is None
        return event.code


BAD_HANDSHAKES = {
    "no Upgrade": ({"Upgrade": None}, 400),
    "another Upgrade": ({"Upgrade": "h2c"}, 400),
    "no Connection": ({"Connection": None}, 400),
    "another Connection": ({"Connection": "keep-alive"}, 400),
    "no key": ({"Sec-WebSocket-Key": None}, 400),
    "a short key": ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    "a key that is no base64": ({"Sec-WebSocket-Key": "?Ghl!HNhbXBsZSBub25jZQ=="}, 400),
    "a key that is no ASCII": ({"Sec-WebSocket-Key": "\xe9"}, 400),
    "no version": ({"Sec-WebSocket-Version": None}, 426),
    "an old version": ({"Sec-WebSocket-Version": "9"}, 426),
    "no number as version": ({"Sec-WebSocket-Version": "x"}, 426),
}


@pytest.mark.parametrize(("wrong", "status"), BAD_HANDSHAKES.values(), ids=BAD_HANDSHAKES)
def test_bad_handshakes(lab, wrong, status):
    with Wire(lab) as wire:
        wire.request(SOCKET, **HANDSHAKE | wrong)
        answered, head = wire.take_head()
        assert answered == status
        assert ("sec-websocket-version: " in head) == (status == 426)  # RFC 6455 §4.4
    assert not lab.room.streams


BIG = MOST_BYTES + 1
BAD_FRAMES = {
    "binary": (frame(2, b"hi"), 1003),
    "nothing, but binary": (frame(2), 1003),
    "two lines": (frame(1, b"a\nb"), 1008),
    "a carriage return": (frame(1, b"a\rb"), 1008),
    "a line end": (frame(1, b"a\n"), 1008),
    "no UTF-8": (frame(1, b"\xff"), 1007),
    "half a character": (frame(1, "é".encode()[:1]), 1007),
    "a surrogate": (frame(1, b"\xed\xa0\x80"), 1007),
    "no UTF-8 in two parts": (frame(1, b"a", fin=False) + frame(0, b"\xff"), 1007),
    "a Close whose reason is no UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "reserved bit 1": (frame(1, b"a", reserved=4), 1002),
    "reserved bit 2": (frame(1, b"a", reserved=2), 1002),
    "reserved bit 3": (frame(1, b"a", reserved=1), 1002),
    "a reserved bit in a ping": (frame(9, reserved=4), 1002),
    "an unknown kind": (frame(3, b"a"), 1002),
    "another unknown kind": (frame(7), 1002),
    "an unknown kind of control": (frame(11), 1002),
    "another unknown kind of control": (frame(15, b"a"), 1002),
    "a ping in parts": (frame(9, b"a", fin=False), 1002),
    "a Close in parts": (frame(8, b"\x03\xe8", fin=False), 1002),
    "a long ping": (frame(9, 126 * b"x"), 1002),
    "a long Close": (frame(8, b"\x03\xe8" + 124 * b"x"), 1002),
    "more of nothing": (frame(0, b"a"), 1002),
    "the end of nothing": (frame(0, b"a", fin=False), 1002),
    "a start within a message": (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    "too big": (frame(1, BIG * b"x"), 1009),
    "too big, it says": (frame(1, size=BIG), 1009),
    "too big by far, it says": (frame(1, size=2**63 - 1), 1009),
    "too big in parts": (frame(1, MOST_BYTES * b"x", fin=False) + frame(0, b"x"), 1009),
}


@pytest.mark.parametrize(("data", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frames(lab, data, code):
    with Peer(lab) as peer:
        peer.send(data + frame(1, b"not heard"))
        assert peer.closed() == code
    until(lambda: not lab.room.streams)
    assert lab.room.mailbox.last == 0, "nothing of it is published"


def test_good_frames(server):
    with Peer(server) as peer:
        peer.send(frame(1, b"a", fin=False) + frame(9, b"between") + frame(0, b"b"))
        assert peer.next() == Pong(payload=bytearray(b"between"))
        assert peer.message() == [(1, "ab")]
        for id, text in enumerate(["", "tea", "né ☕", "\0", "\u2028\x85", MOST_BYTES * "x"], start=2):
            peer.send(frame(1, text.encode()))
            assert peer.message() == [(id, text)]
    assert not server.log


def test_frames_without_a_mask_are_taken(server):
    """Against RFC 6455 §5.1; Tornado does, and offers no way to refuse them."""
    with Peer(server) as peer:
        peer.send(frame(1, b"bare", masked=False))
        assert peer.message() == [(1, "bare")]


def test_pings_are_answered_and_sent(server):
    with Peer(server, "ping=0.02") as peer:
        for payload in (b"", b"tea", 125 * b"x"):
            peer.send(frame(9, payload))
            while type(event := peer.next()) is not Pong:
                peer.socket.sendall(peer.protocol.send(event.response()))  # a ping of the server's
            assert event.payload == payload
        assert type(event := peer.next()).__name__ == "Ping"
    with Peer(server, "ping=0.02") as peer:  # that does not answer
        while type(event := peer.next()).__name__ == "Ping":
            pass
        assert isinstance(event, CloseConnection)


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_is_answered_with_its_code(server, code):
    with Peer(server) as peer:
        peer.socket.sendall(peer.protocol.send(CloseConnection(code=code, reason="that's all")))
        assert peer.closed() == code
    until(lambda: not server.room.busy and not server.room.followers)


def test_after_a_close_nothing_else_is_sent(server):
    with Peer(server) as peer, Peer(server) as other:
        peer.send(frame(2))
        assert isinstance(event := peer.next(), CloseConnection)
        for text in ("not", "for", "you"):
            server.publish(text)
            assert other.message()[0].text == text
        peer.socket.sendall(peer.protocol.send(event.response()))
        assert peer.next() is None


def test_a_mistake_in_a_websocket_is_one_line_of_the_log(server):
    with Peer(server, path="/bug-in-socket") as peer:
        peer.send(frame(1, b"1"))
        assert peer.closed() == 1011
    until(lambda: server.log)
    assert len(server.log) == 1
    assert "ZeroDivisionError" in server.log[0]


@pytest.mark.parametrize("reset", [False, True])
def test_a_websocket_that_is_gone_leaves_nothing(server, reset):
    with Peer(server, "flush=0.001") as peer:
        until(lambda: server.room.busy)
        if reset:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: not server.room.busy and not server.room.followers)
    until(lambda: names(server, "closed"))
    server.publish("to nobody")
    assert not server.log


# Broadcasts


@pytest.mark.parametrize("size", [4, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frames_of_every_length(server, size):
    text = (size - 3) * "x"
    expected = to_lines([Message(1, text)])
    assert len(expected) == size
    with Peer(server) as peer, Peer(server) as raw:
        server.publish(text)
        assert peer.message() == [(1, text)]
        data = raw.take(len(wire.text_frame(expected)))
        assert data == wire.text_frame(expected)
        assert len(data) - size == (2 if size <= 125 else 4 if size <= 65_535 else 10)  # RFC 6455 §5.2


def test_a_reader_that_stops_misses_nothing_and_holds_up_nobody(server):
    texts = [f"{number} " + random.Random(number).randrange(60_000) * "é" for number in range(200)]
    messages = map(Message, range(1, 201), texts)
    expected = b"".join(wire.text_frame(to_lines([message])) for message in messages)
    with Peer(server, receive_buffer=4096) as slow, Peer(server) as quick:
        until(lambda: len(server.room.streams) == 2)
        members = list(server.room.streams)
        waiting = 0
        for id, text in enumerate(texts, start=1):
            server.publish(text)
            assert quick.message() == [(id, text)]
            waiting += server.thread.call(lambda: any(member.stream.writing() for member in members))
        assert waiting > 100, "the slow one was to be slow"
        slow.read_again()
        data = slow.take(len(expected))
        assert data == expected
        server.publish("again")  # at once, now that nothing waits
        again = wire.text_frame(to_lines([Message(201, "again")]))
        assert slow.take(len(again)) == again
        assert quick.message() == [(201, "again")]


def take_parts(monkeypatch, draw):
    """Let sockets take a part of what is written to them, of any size, or nothing."""
    write = CountedStream.write_to_fd

    def write_some(stream, data):
        size = draw.choice([0, 1, 2, 3, 7, 50, 1000])
        if not size:
            raise BlockingIOError
        return write(stream, data[:size])

    monkeypatch.setattr(CountedStream, "write_to_fd", write_some)


def test_a_socket_that_takes_a_part_gets_the_rest(server, monkeypatch):
    """Parts of any size, none at all too, and answers to pings between the messages."""
    draw = random.Random(1)
    texts = [draw.randrange(300) * "é" for _ in range(200)]
    with Peer(server) as peer:
        take_parts(monkeypatch, draw)
        for text in texts:
            peer.send(frame(9, b"?"))
            server.publish(text)
        messages, pongs = [], 0
        while len(messages) < len(texts):
            event = peer.next()
            if isinstance(event, Pong):
                pongs += 1
            else:
                peer.waiting.insert(0, event)
                messages += peer.message()
        assert messages == list(enumerate(texts, start=1))
        assert pongs
        monkeypatch.undo()


def test_a_websocket_goes_on_from_its_cursor(server):
    for number in range(1, 6):
        server.publish(f"m{number}")
    for cursor in range(6):
        with Peer(server, f"cursor={cursor}") as peer:
            if cursor < 5:
                assert [id for id, _ in peer.message()] == list(range(cursor + 1, 6))
            until(lambda: server.room.streams)
            peer.send(frame(9))
            assert isinstance(peer.next(), Pong), "and nothing more"
        until(lambda: not server.room.streams)
    with Peer(server) as peer:  # without a cursor, only what comes
        peer.send(frame(9))
        assert isinstance(peer.next(), Pong)
        server.publish("m6")
        assert peer.message() == [(6, "m6")]


def test_who_comes_while_messages_are_gathered_gets_each_once(server):
    def gather(*texts):
        for text in texts:
            server.publish(text)

    gather("one")
    with contextlib.ExitStack() as peers:
        early = peers.enter_context(Peer(server, "cursor=0&flush=60"))
        assert early.message() == [(1, "one")]
        gather("two", "three")
        knows_two = peers.enter_context(Peer(server, "cursor=2&flush=60"))  # from another transport
        assert knows_two.message() == [(3, "three")]
        new = peers.enter_context(Peer(server, "cursor=0&flush=60"))
        assert [id for id, _ in new.message()] == [1, 2, 3]
        knows_all = peers.enter_context(Peer(server, "cursor=3&flush=60"))
        no_cursor = peers.enter_context(Peer(server, "flush=60"))
        until(lambda: len(server.room.streams) == 5)
        gather("four", "five")
        last = peers.enter_context(Peer(server, "cursor=4&flush=60"))
        assert last.message() == [(5, "five")]
        until(lambda: len(server.room.streams) == 6)

        (take,) = server.room.followers.values()
        server.thread.call(take.__self__.flush)
        assert [id for id, _ in early.message()] == [2, 3, 4, 5]
        for peer in (knows_two, new, knows_all, no_cursor):
            assert [id for id, _ in peer.message()] == [4, 5]
        last.send(frame(9))
        assert isinstance(last.next(), Pong), "it had all of them"


def test_windows_that_open_and_close_lose_and_double_nothing(server):
    """Clients come at any moment, with any cursor that they can have."""
    draw = random.Random(2)
    with contextlib.ExitStack() as peers:
        joined = []
        for id in range(1, 301):
            server.publish(str(id))
            if id % 15 == 0:
                cursor = draw.choice([0, id // 2, id - 1, id])
                flush_s = draw.choice([0, 0.001, 0.005])
                peer = peers.enter_context(Peer(server, f"cursor={cursor}&flush={flush_s}"))
                joined.append((cursor, peer))
        for cursor, peer in joined:
            got = []
            while not got or got[-1] < 300:
                if cursor == 300:
                    break
                got += [id for id, _ in peer.message()]
            assert got == list(range(cursor + 1, 301))


# Long polling


def hold(server, query="hold=60&cursor=0", **headers):
    """A request that the server holds."""
    count = len(server.room.waiting)
    wire = Wire(server)
    wire.request(f"{HOLD}?{query}", **headers)
    until(lambda: len(server.room.waiting) > count)
    return wire


def test_news_is_told_at_once_and_else_with_the_next_message(server):
    with hold(server) as wire:
        assert list(server.room.mailbox.held) == list(server.room.waiting)
        server.publish("news")
        assert wire.take_answer() == (200, "1 news\n")
        wire.request(f"{HOLD}?hold=60&cursor=0")  # on the same connection
        assert wire.take_answer() == (200, "1 news\n")
    with hold(server, "hold=60&cursor=1") as wire, hold(server, "hold=60") as blind:
        server.publish("more")
        assert wire.take_answer() == blind.take_answer() == (200, "2 more\n")
    assert not server.room.busy
    assert not server.room.mailbox.held


@pytest.mark.parametrize("hold_s", [0, 0.001, 0.05, 0.3])
def test_a_hold_ends_with_nothing_and_not_too_early(server, hold_s):
    with Wire(server) as wire:
        start_s = time.perf_counter()
        wire.request(f"{HOLD}?hold={hold_s}&cursor=0")
        assert wire.take_answer() == (204, "")
        assert time.perf_counter() - start_s >= hold_s - EARLY_S
    assert not server.room.busy
    assert not server.room.mailbox.held


def test_holds_that_end_one_after_the_other_take_none_with_them(server):
    with contextlib.ExitStack() as wires:
        held = []
        for number in range(10):
            hold_s = 0.2 + 0.005 * number
            start_s = time.perf_counter()
            held.append((start_s + hold_s, wires.enter_context(hold(server, f"hold={hold_s}&cursor=0"))))
        for end_s, wire in held:
            assert wire.take_answer() == (204, "")
            assert time.perf_counter() >= end_s - EARLY_S


def test_the_shorter_hold_ends_first(server):
    with hold(server, "hold=60&cursor=0") as long, hold(server, "hold=0.02&cursor=0") as short:
        assert short.take_answer() == (204, "")
        assert len(server.room.waiting) == len(server.room.mailbox.held) == 1
        server.publish("news")
        assert long.take_answer() == (200, "1 news\n")


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_away_while_held_leaves_nothing(server, reset):
    with hold(server, "hold=60&cursor=0&request=7") as wire:
        if reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: not server.room.busy and not server.room.mailbox.held)
    until(lambda: names(server, "closed"))
    server.publish("to nobody")
    assert names(server) == ["request_received"]
    assert not names(server, "message_sent")
    assert not server.log


def test_a_client_that_is_gone_before_its_request_is_looked_at_is_not_held(server):
    """Request and goodbye are read together, while the loop is busy with something else."""
    ready, go = threading.Event(), threading.Event()

    def occupy():
        ready.set()
        go.wait(PATIENCE_S)

    server.thread.post(occupy)
    assert ready.wait(PATIENCE_S)
    with Wire(server) as wire:
        request = f"GET {HOLD}?hold=60&cursor=0 HTTP/1.1\r\nHost: {server.host}\r\n\r\n"
        wire.socket.sendall(request.encode())
    go.set()
    until(lambda: names(server, "closed"))
    until(lambda: not server.room.busy and not server.room.mailbox.held)
    assert not names(server, "response_sent")
    assert not server.log


@pytest.fixture
def many_files():
    """Enough file descriptors for a thousand connections with both ends here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2500 if hard == resource.RLIM_INFINITY else min(2500, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_held_requests_are_released_by_one_message(many_files, server):
    with contextlib.ExitStack() as wires:
        held = []
        for number in range(1000):
            wire = wires.enter_context(Wire(server))
            wire.request(f"{HOLD}?hold=60&cursor=0&request={number}")
            held.append(wire)
        until(lambda: len(server.room.waiting) == 1000)
        server.publish("all of you")
        assert {wire.take_answer() for wire in held} == {(200, "1 all of you\n")}
    assert not server.room.busy
    assert not server.room.mailbox.held
    assert names(server, "message_sent") == 1000 * ["message_sent"]


def test_held_requests_are_answered_when_the_server_stops(nothing_left):
    with contextlib.ExitStack() as wires:
        with Server() as server:
            held = [wires.enter_context(hold(server)) for _ in range(100)]
        assert {wire.take_answer() for wire in held} == {(204, "")}
        assert {wire.take_all() for wire in held} == {b""}


# Server-Sent Events


@contextlib.contextmanager
def stream(server, query="cursor=0", **headers):
    """The lines of an event stream, read by http.client, and how to read the next event."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{STREAM}?{query}", headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield response
        response.close()
    finally:
        connection.close()


def next_event(response):
    """The lines until the next blank one."""
    return list(iter(lambda: response.readline().decode().removesuffix("\n"), ""))


def test_events_have_ids_and_a_stream_says_when_to_come_again(server):
    server.publish("one")
    with stream(server, "cursor=0&retry=2.5") as response:
        assert next_event(response) == ["retry: 2500"]
        assert next_event(response) == ["id: 1", "data: one"]
        server.publish(" two: é ☕")
        assert next_event(response) == ["id: 2", "data:  two: é ☕"]
    with stream(server, "cursor=2") as response:
        assert next_event(response) == ["retry: 1000"]
    until(lambda: not server.room.busy and not server.room.followers)
    assert not server.log


def test_a_stream_goes_on_where_the_browser_says(server):
    for text in ("one", "two", "three"):
        server.publish(text)
    with stream(server, "cursor=0", **{"Last-Event-ID": "2"}) as response:  # of the two, the newer
        next_event(response)
        assert next_event(response) == ["id: 3", "data: three"]
    with stream(server, "") as response:  # without either, only what comes
        next_event(response)
        server.publish("four")
        assert next_event(response) == ["id: 4", "data: four"]


def test_an_old_client_gets_its_events_without_chunks(nothing_left):
    """HTTP/1.0 knows no chunks: there the end of the connection is the end of the stream."""
    with Server() as server, Wire(server) as old:
        server.publish("missed")
        old.send(f"GET {STREAM}?cursor=0 HTTP/1.0\r\nHost: {server.host}\r\n\r\n".encode())
        until(lambda: server.room.streams)
        with stream(server, "") as new:  # of the same broadcast it would get chunks
            next_event(new)
            until(lambda: len(server.room.streams) == 2)
            server.publish("news")
            assert next_event(new) == ["id: 2", "data: news"]
        server.stop()
        head, _, body = old.take_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"retry: 1000\n\nid: 1\ndata: missed\n\nid: 2\ndata: news\n\n"


def test_who_leaves_a_stream_without_having_read_it_leaves_nothing(server, monkeypatch):
    """However many signs of life still wait for them."""
    monkeypatch.setattr(sse, "COMMENT_S", 0.01)
    with Wire(server, receive_buffer=4096) as slow:
        slow.request(f"{STREAM}?cursor=0")
        until(lambda: server.room.streams)
        (handler,) = server.room.streams
        for _ in range(200):  # more than a socket takes
            server.publish(60_000 * "x")
            server.thread.call(handler.tell, "event: beat\ndata: here\n\n")
        assert server.thread.call(handler.stream.writing)
    until(lambda: not server.room.busy and not server.room.followers)


def test_a_socket_that_takes_a_part_of_a_stream_gets_the_rest(monkeypatch, nothing_left):
    draw = random.Random(3)
    texts = [draw.randrange(300) * "é" for _ in range(100)]
    monkeypatch.setattr(sse, "COMMENT_S", 0.005)
    with Server() as server, stream(server) as response:
        take_parts(monkeypatch, draw)
        got = []
        for id, text in enumerate(texts, start=1):
            server.publish(text)
            while not got or got[-1] != [f"id: {id}", f"data: {text}"]:
                got.append(next_event(response))
        others = {tuple(event) for event in got if not event[0].startswith("id: ")}
        assert others <= {("retry: 1000",), (": still here",)}
        monkeypatch.undo()


def test_who_cannot_be_sent_what_they_missed_follows_nothing():
    class Fails(handlers.WebSocket):
        @staticmethod
        def pack(messages):
            return 1 / 0

    with Server(handlers={SOCKET: Fails}) as server:
        server.publish("one")
        with Peer(server, "cursor=0") as peer:
            peer.closed()
        until(lambda: server.log)
        assert not server.room.followers
        assert server.publish("two") == 2


def test_a_quiet_stream_has_a_heartbeat(server, monkeypatch):
    monkeypatch.setattr(sse, "COMMENT_S", 0.01)
    with stream(server) as response:
        next_event(response)
        for _ in range(3):
            assert next_event(response) == [": still here"]
        server.publish("news")
        while (event := next_event(response)) == [": still here"]:
            pass
        assert event == ["id: 1", "data: news"]


def test_a_stream_ends_in_order_when_the_server_stops(nothing_left):
    with contextlib.ExitStack() as streams:
        with Server() as server:
            responses = [streams.enter_context(stream(server)) for _ in range(20)]
            until(lambda: len(server.room.streams) == 20)
            server.publish("the last")
        for response in responses:  # raises IncompleteRead if the end is missing
            assert response.read() == b"retry: 1000\n\nid: 1\ndata: the last\n\n"


def test_a_reader_of_events_that_stops_holds_up_nobody(server):
    with Wire(server, receive_buffer=4096) as slow, stream(server) as quick:
        slow.request(f"{STREAM}?cursor=0")
        until(lambda: len(server.room.streams) == 2)
        next_event(quick)
        for number in range(1, 101):
            server.publish(text := f"{number} " + 40_000 * "x")
            assert next_event(quick) == [f"id: {number}", f"data: {text}"]
        slow.read_again()
        while b"id: 100\n" not in slow.data:
            assert slow.more()
        assert [f"\nid: {number}\n".encode() in slow.data for number in range(1, 101)] == 100 * [True]
    until(lambda: not server.room.busy)


# Start and stop


def test_a_hundred_starts_and_stops_with_every_kind_of_connection_open(nothing_left):
    ends = []
    for _ in range(100):
        with contextlib.ExitStack() as wires:
            with Server() as server:
                idle = wires.enter_context(Wire(server))
                idle.request(POLL)
                assert idle.take_answer() == (204, "")
                half = wires.enter_context(Wire(server))
                half.send(b"GET /ha")
                held = wires.enter_context(hold(server))
                events = wires.enter_context(stream(server))
                peer = wires.enter_context(Peer(server))
                refused = wires.enter_context(Peer(server, "cursor=9"))
                until(lambda room=server.room: len(room.streams) == 2)
            ends.append(
                (
                    idle.take_all(),
                    half.take_all(),
                    held.take_answer()[0],
                    events.read(),
                    peer.closed(),
                    refused.accepted,
                )
            )
            assert not server.log
            assert repr(server) == "<Server, stopped>"
            opened, closed = names(server, "opened"), names(server, "closed")
            assert len(opened) == len(closed) == 6
    assert set(ends) == {(b"", b"", 204, b"retry: 1000\n\n", 1001, False)}


def test_a_websocket_that_does_not_answer_the_close_is_left(nothing_left):
    with contextlib.ExitStack() as peers:
        with Server() as server:
            deaf = [peers.enter_context(Peer(server, receive_buffer=4096)) for _ in range(3)]
            until(lambda: len(server.room.streams) == 3)
            for _ in range(20):
                server.publish(200_000 * "x")  # so that the Close waits behind
        assert not server.log
        assert [name for name in names(server, "closed")] == 3 * ["closed"]
        for peer in deaf:
            peer.read_again()
            peer.take_all()


def test_starting_twice_and_stopping_twice_are_harmless(nothing_left):
    server = Server()
    server.stop()
    assert server.start() is server.start()
    port = server.port
    with server:
        assert server.port == port
    server.stop()
    with pytest.raises(RuntimeError, match="expected a running server, got a stopped one"):
        server.publish("hi")
    with server:  # again, with an empty room
        assert server.publish("hi") == 1


def test_a_name_that_is_bound_anew_stops_the_old_server(nothing_left):
    before = set(threading.enumerate())
    server = Server().start()
    (old,) = set(threading.enumerate()) - before
    wire = hold(server)
    server = Server().start()
    gc.collect()
    until(lambda: not old.is_alive())
    assert wire.take_answer() == (204, "")
    wire.socket.close()
    assert ask(server, POLL)[0] == 204
    server.stop()


def test_a_call_from_the_loop_itself_is_refused(server):
    with pytest.raises(RuntimeError, match="expected a call from outside the loop of lpws server"):
        server.thread.call(server.publish, "hi")
    assert server.publish("hi") == 1


def test_an_error_in_the_loop_keeps_its_traceback(server):
    def stumble():
        raise KeyError("in the loop")

    with pytest.raises(KeyError, match="in the loop") as caught:
        server.thread.call(stumble)
    assert traceback.extract_tb(caught.tb)[-1].name == "stumble"


def test_a_port_that_cannot_be_had(monkeypatch, nothing_left):
    def fail(*_args, **_more):
        raise OSError(errno.EMFILE, "Too many open files")

    server = Server()
    with monkeypatch.context() as patch:
        patch.setattr("lpws.server.server.bind_sockets", fail)
        sentence = r"expected a free port of 127.0.0.1, got none \(Too many open files\): shut down "
        with pytest.raises(OSError, match=sentence) as caught:
            server.start()
    assert caught.value.errno == errno.EMFILE
    with server:
        assert ask(server, POLL)[0] == 204


def test_a_server_that_cannot_be_made_leaves_no_port(nothing_left):
    with pytest.raises(TypeError):
        Server(handlers={"/x": "no handler"}).start()


def test_bytes_and_connections_are_counted(server):
    with Wire(server) as wire:
        wire.request(POLL)
        wire.request("/nowhere")
        while b"404 Not Found\n" not in wire.data:
            assert wire.more()
        assert server.open == 1
    until(lambda: names(server, "closed"))
    sizes = {event[1]: event[7] for event in server.trace if event[1] in ("read", "written")}
    assert sizes["written"] == len(wire.data)
    assert sizes["read"] == sum(
        len(f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n") for path in (POLL, "/nowhere")
    )
    assert server.open == 0


def test_what_is_dropped_ends_without_a_word_and_the_server_serves_on(server):
    with Wire(server) as stream, Wire(server) as idle:
        stream.request("/sse")
        idle.request(POLL)
        until(lambda: b"\r\n\r\n" in stream.data or not stream.more())
        until(lambda: b"\r\n\r\n" in idle.data or not idle.more())
        said = bytes(stream.data)
        assert server.drop() == 2
        while stream.more():
            pass
        assert stream.data == said
        assert idle.more() == b""
    assert server.open == server.drop() == 0
    assert ask(server, POLL)[0] == 204


def test_a_dropped_websocket_gets_no_close_frame(server):
    with Wire(server) as wire:
        wire.request(
            "/websocket", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        until(lambda: b"\r\n\r\n" in wire.data or not wire.more())
        said = bytes(wire.data)
        assert said.startswith(b"HTTP/1.1 101 ")
        assert server.drop() == 1
        while wire.more():
            pass
        assert wire.data == said
