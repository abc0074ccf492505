"""What the notebook on WebSockets builds, and whether its claims notice what is broken."""

import base64
import http.client
import io
import itertools
import json
import os
import socket
import threading
from functools import cache, partial
from types import SimpleNamespace

import accounting
import booklet
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.websocket import WebSocketHandler, WebSocketProtocol13
from wsproto.frame_protocol import FrameProtocol, Opcode

import lpws
from lpws import models, wire
from lpws.server import handlers
from lpws.transports.room import Room

PATH = booklet.NOTEBOOKS / "05_websockets.ipynb"
cell = partial(booklet.cell, PATH)


@cache
def definitions():
    """What the notebook defines: everything but what its cells do with it."""
    parts = [cell("def dial("), cell("def flip("), cell("def decode(")]
    parts += [cell("def accept(").split("\n\n\nfresh =")[0], cell("def hang_up(")]
    parts += [cell("def stream(").split("\n\n\nprint(")[0], cell("def poll(").split("\n\n\nempty,")[0]]
    parts += [cell("class ByHand").split("\n\n\nmine =")[0], cell("class Listening"), cell("def ending(")]
    parts += [cell("PUBLISHED ="), cell("class Page")]
    return "\n\n".join(parts)


def built(**others):
    """The names that the notebook defines."""
    namespace = {"io": io, "MASK": bytes.fromhex("37fa213d"), "news": "tea is ready"}
    booklet.execute(definitions(), namespace)
    namespace.update(others)  # in place: it is where the functions look for each other
    return namespace


# ------------------------------------------------------------------ what the notebook builds

BORDERS = [0, 1, 5, 124, 125, 126, 127, 65_534, 65_535, 65_536, 70_000]


@pytest.mark.parametrize("size", BORDERS)
def test_frames_are_those_of_the_laboratory(size):
    payload = os.urandom(size)
    assert built()["encode"](payload) == wire.text_frame(payload)


@settings(max_examples=100, deadline=None)
@given(
    payload=st.one_of(st.binary(max_size=300), st.sampled_from(BORDERS).map(lambda size: size * b"x")),
    opcode=st.sampled_from([1, 2, 8, 9, 10]),
    mask=st.one_of(st.just(b""), st.binary(min_size=4, max_size=4)),
)
def test_what_is_encoded_is_decoded(payload, opcode, mask):
    namespace = built()
    wire = namespace["encode"](payload, opcode, mask)
    assert namespace["flip"](namespace["flip"](payload, b"1234"), b"1234") == payload
    reader = io.BytesIO(wire + b"\x81\x00")
    assert namespace["decode"](reader) == (opcode, payload)
    assert namespace["decode"](reader) == (1, b""), "not a byte more is taken"
    assert namespace["decode"](reader) is None


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("from_client", [False, True])
def test_wsproto_understands_and_is_understood(size, from_client):
    namespace = built()
    payload, mask = os.urandom(size), os.urandom(4) if from_client else b""
    other = FrameProtocol(not from_client, [])
    other.receive_bytes(namespace["encode"](payload, 2, mask))
    frames = list(other.received_frames())
    assert b"".join(bytes(frame.payload) for frame in frames) == payload
    assert {frame.opcode for frame in frames} == {Opcode.BINARY}
    theirs = FrameProtocol(from_client, []).send_data(payload)
    assert namespace["decode"](io.BytesIO(theirs)) == (2, payload)


def test_keys_are_answered_as_tornado_answers():
    for _ in range(20):
        key = base64.b64encode(os.urandom(16)).decode()
        assert built()["accept"](key) == WebSocketProtocol13.compute_accept_value(key)


def test_dialling_ends_when_the_server_has_ended():
    """A server that hangs up without an answer leaves an empty head, and nobody who waits."""
    namespace = built()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(10_000)

        refusing = threading.Thread(target=refuse)
        refusing.start()
        port = listener.getsockname()[1]
        server = SimpleNamespace(host=f"127.0.0.1:{port}", port=port, prefix="")
        with namespace["dial"](server) as (_, reader, head):
            assert head == ""
            assert namespace["decode"](reader) is None
        refusing.join()


@pytest.fixture(params=["notebook", "lpws"])
def handler(request):
    return built()["ByHand"] if request.param == "notebook" else handlers.WebSocket


@pytest.mark.parametrize("options", [{}, {"flush_s": 0.1}, {"ping_s": 0.05}])
@pytest.mark.parametrize("size", [20, 200, 65_536])
def test_the_handler_keeps_the_books(handler, options, size):
    work = lpws.Workload(clients=3, rate_hz=20, duration_s=0.5, size_bytes=size, seed=2)
    run = lpws.measure(lpws.WebSocket(**options), work, handler=handler)
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()


def test_close_codes(handler):
    encode, ending = built()["encode"], built()["ending"]
    mask = bytes.fromhex("37fa213d")
    for code in (1000, 1001, 3000, 4999):
        assert ending(encode(code.to_bytes(2), 8, mask), handler) == code
    assert ending(b"", handler, stop=True) == 1001
    assert ending(encode(b"x", 2, mask), handler) == 1003
    assert ending(encode(b"\xff", 1, mask), handler) == 1007
    assert ending(encode(70_000 * b"x", 1, mask)[:14], handler) == 1009
    assert ending(encode(b"", 3, mask), handler) == 1002


def test_counted_bytes_are_those_that_were_sent():
    """The server's count of a connection against the bytes that its client had."""
    namespace = built()
    with lpws.Server() as server, namespace["dial"](server) as (line, reader, head):
        for text in ("tea", 300 * "x"):
            server.publish(text)
        frames = namespace["hang_up"](line, reader)
    assert [opcode for opcode, _ in frames] == [1, 1, 8]
    size = sum(len(namespace["encode"](payload, opcode)) for opcode, payload in frames)
    counts = {event[1]: event[7] for event in server.trace}
    assert counts["written"] == len(head.encode()) + 2 + size


def test_the_page_and_its_news():
    namespace = built()
    with lpws.Server(handlers={"/page": namespace["Page"], "/news": namespace["News"]}) as server:
        for text in ("<b>tea</b>", 'it is "ready"', "né ☕"):
            server.publish(text)
        answers = []
        for headers in ({}, {"Origin": server.url}, {"Origin": "http://evil.example"}):
            client = http.client.HTTPConnection(server.host, timeout=5)
            client.request("GET", "/page", headers=headers)
            answers.append(client.getresponse())
            page = answers[-1].read().decode()
            assert (namespace["REPAIRED"] in page) == (answers[-1].status == 200)
            client.close()
        assert [answer.status for answer in answers] == [200, 200, 403]
        with namespace["dial"](server, "/news?cursor=0") as (line, reader, _):
            line.sendall(namespace["encode"](b"from the browser", mask=b"1234"))
            got = [json.loads(namespace["decode"](reader)[1]) for _ in range(4)]
            namespace["hang_up"](line, reader)
    assert got == [message._asdict() for message in server.room.mailbox.log]
    assert not server.log


# -------------------------------------------------------------------------------- mutations

#: What is claimed → the cells that print it, after those that they need. No run is measured there.
CLAIMS = {
    "handshake": ("guess_bytes =", "message ="),
    "key": ("def accept(",),
    "codec": ("guess_bytes =", "message =", "MASK =", "def judged("),
    "to the byte": ("silent_up,", "def extra("),
    "each transport": ("silent_up,", "empty, full =", 'lpws.claim("a WebSocket message'),
    "both at once": ("transit_s, number =", "expected ="),
    "ping": ("    pong =",),
    "codes": ("guess_code =", "cases =", 'lpws.claim("each of the six'),
    "mask": ("evil =",),
    "page": ("page_server =", "page_server.publish(", "received = twin", "published =", "page_server.stop("),
}


def claimed(what, **others):
    """What the cells claim, with some names of the notebook bound to something else."""
    namespace = built(np=numpy, models=models, **others)
    said = "".join(booklet.execute(cell(start), namespace) for start in CLAIMS[what])
    return "".join(line for line in said.splitlines(True) if line[0] in "✓✗–")


@pytest.mark.parametrize("what", CLAIMS)
def test_claims_hold_without_a_mutation(what):
    said = claimed(what)
    assert said.count("✓ ") == len(said.splitlines()) > 0, said


def long_heads(monkeypatch):
    """A server that writes a small size in two bytes, too."""
    real = wire.text_frame

    def text_frame(data):
        return b"\x81\x7e" + len(data).to_bytes(2) + data if len(data) < 126 else real(data)

    monkeypatch.setattr(wire, "text_frame", text_frame)


def wrong_key(monkeypatch):
    """A server that hashes the key without the text of the standard."""
    real = WebSocketProtocol13.compute_accept_value
    monkeypatch.setattr(WebSocketProtocol13, "compute_accept_value", lambda key: real(f"{key}="))


def empty_pongs(monkeypatch):
    """A server whose pongs have no payload."""
    real = WebSocketProtocol13._write_frame

    def write(self, fin, opcode, data, flags=0):
        return real(self, fin, opcode, b"" if opcode == 0xA else data, flags)

    monkeypatch.setattr(WebSocketProtocol13, "_write_frame", write)


def one_code(monkeypatch):
    """A server that always says that all is well."""
    real = handlers.WebSocket.close
    monkeypatch.setattr(handlers.WebSocket, "close", lambda self, code=None, reason=None: real(self, 1000))


def takes_anything(monkeypatch):
    """A server that publishes binary messages, as if they were text."""
    real = handlers.WebSocket.on_message

    def hear(self, message):
        real(self, message if isinstance(message, str) else "something")
        self.close(1000)

    monkeypatch.setattr(handlers.WebSocket, "on_message", hear)


def lets_anybody_in(monkeypatch):
    """A server that does not look at where a page comes from."""
    monkeypatch.setattr(Room, "refusal", lambda *_: None)
    monkeypatch.setattr(WebSocketHandler, "check_origin", lambda *_: True)


def wordy_events(monkeypatch):
    """An event stream that names the kind of each event."""
    real = wire.to_fields
    monkeypatch.setattr(wire, "to_fields", lambda message: "event: message\n" + real(message))


@pytest.mark.parametrize(
    ("mutation", "what", "sentence"),
    [
        (long_heads, "handshake", "two bytes came before the message"),
        (long_heads, "to the byte", "from the server a frame has 2, 4 or 10 bytes more"),
        (wrong_key, "key", "and with the server, for a key that was drawn just now"),
        (empty_pongs, "ping", "a ping was answered by a pong with the same payload"),
        (one_code, "codes", "each of the six wrote its own code on the wire"),
        (takes_anything, "codes", "each of the six wrote its own code on the wire"),
        (wordy_events, "each transport", "an SSE message was its text and twenty bytes"),
        (lets_anybody_in, "page", "a page from elsewhere was refused"),
    ],
)
def test_a_claim_notices_a_broken_server(monkeypatch, mutation, what, sentence):
    mutation(monkeypatch)
    assert f"✗ {sentence}" in claimed(what)


def little(payload, opcode=1, mask=b""):
    """Frames whose size has its small end first."""
    frame = bytearray(built()["encode"](payload, opcode, mask))
    width = {126: 2, 127: 8}.get(frame[1] & 0x7F, 0)
    frame[2 : 2 + width] = frame[2 : 2 + width][::-1]
    return bytes(frame)


def bare(payload, opcode=1, mask=b""):
    """Frames that are never masked."""
    return built()["encode"](payload, opcode)


def hasty(reader):
    """A reader that takes a size of two bytes for the rule."""
    head = reader.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(reader.read(2))
    mask = reader.read(4) if head[1] & 0x80 else b""
    payload = reader.read(size)
    return head[0] & 0x0F, built()["flip"](payload, mask) if mask else payload


@pytest.mark.parametrize(
    ("name", "broken", "what", "sentence"),
    [
        ("encode", little, "codec", "wsproto reads and writes the same frames as you, as a server"),
        ("encode", bare, "codec", "Hello from a client is the RFC's eleven bytes"),
        ("encode", bare, "mask", "with one it does not"),
        ("encode", bare, "to the byte", "from a client it has 6, 8 or 14"),
        ("decode", hasty, "codec", "what is written is read again, at every border"),
    ],
)
def test_a_claim_notices_a_broken_client(name, broken, what, sentence):
    assert f"✗ {sentence}" in claimed(what, **{name: broken})


class HalfDuplex(handlers.WebSocket):
    """Listens until the client has said all, and then sends what it has."""

    def open(self):
        self.kept, self.said = [], 0
        super().open()

    def send(self, frame, carried):
        if self.said < 20:
            self.kept.append((frame, carried))
        else:
            super().send(frame, carried)

    def on_message(self, message):
        self.heard.append((lpws.clock(), int(message)))
        self.said += 1
        if self.said == 20:
            for kept in self.kept:
                super().send(*kept)


class Swaps(HalfDuplex):
    """Sends the first two messages in the wrong order."""

    def send(self, frame, carried):
        self.kept.append((frame, carried))
        if len(self.kept) == 2:
            for kept in reversed(self.kept):
                handlers.WebSocket.send(self, *kept)
        elif len(self.kept) > 2:
            handlers.WebSocket.send(self, frame, carried)

    def on_message(self, message):
        self.heard.append((lpws.clock(), int(message)))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (HalfDuplex, "the first one arrived while the client was still sending"),
        (Swaps, "the client heard all that the server said, in order"),
    ],
)
def test_a_claim_notices_a_handler_that_is_not_duplex(broken, sentence):
    namespace = built()
    namespace["Listening"] = type("Broken", (broken,), {"heard": namespace["heard"]})
    said = "".join(booklet.execute(cell(start), namespace) for start in CLAIMS["both at once"])
    assert f"✗ {sentence}" in said
    assert "✓ the server heard all" in said


class Forgets(handlers.WebSocket):
    """News without the second message."""

    @staticmethod
    def pack(messages):
        return b"".join(
            wire.text_frame(json.dumps(message._asdict()).encode())
            for message in messages
            if message.id != 2
        )


def test_a_claim_notices_news_that_go_missing():
    said = claimed("page", News=Forgets)
    assert "✗ the twin got every message, in order, as JSON" in said
    assert "✓ the server has stopped" in said


# ------------------------------------------------------------------------------ the real runs


class Chatty(handlers.WebSocket):
    """Sends a pong, which nobody asked for, before each message."""

    def send(self, frame, carried):
        super().send(b"\x8a\x00" + frame, carried)


class DropsTheThird(handlers.WebSocket):
    def send(self, frame, carried):
        if carried[0][0] != 3:
            super().send(frame, carried)


TO_THE_BYTE = "on a real run each WebSocket message cost its line and two bytes"
ALL_READ = "a library that you did not write read all the frames"


def claims_of_the_runs(monkeypatch, measured, handler=None):
    """What the notebook claims of its runs, if those of some transports are measured and quick."""
    real = lpws.measure

    def measure(transport, work, link=None, **options):
        if transport.label in measured:
            return real(transport, work, link, **({"handler": handler} if handler else options))
        return lpws.simulate(transport, work, link)

    monkeypatch.setattr(lpws, "measure", measure)
    namespace = built(np=numpy, models=models, text=20 * "x", empty=(82, 118), full=(82, 194), held=(91, 194))
    starts = ("mine =", "def total(", "rate, p =", "far =", "given =", "formula =")
    sources = [cell(start) for start in starts]
    return "".join(booklet.execute(source, namespace) for source in sources)


def test_the_claims_of_the_runs_hold(monkeypatch):
    said = claims_of_the_runs(monkeypatch, ("WebSocket", "SSE"))
    assert said.count("✓ ") == len(said.splitlines()) >= 8, said


@pytest.mark.parametrize(("broken", "sentence"), [(Chatty, TO_THE_BYTE), (DropsTheThird, ALL_READ)])
def test_the_claims_of_the_runs_notice_a_broken_handler(monkeypatch, broken, sentence):
    said = claims_of_the_runs(monkeypatch, ("WebSocket",), broken)
    assert f"✗ {sentence}" in said
    assert "✓" in said


# ------------------------------------------------------------------ a reader who changes a value


RUNS = ("mine =", "def total(", "rate, p =", "guess = lpws.guess(guess_cost", "far =", "given =", "formula =")
#: A name that the reader sees a value of → the cell that it is in, and those that use it.
VALUES = {
    "guess_bytes": ("guess_bytes =",),
    "news": ("guess_bytes =", "message =", "MASK =", 'lpws.claim("a WebSocket message'),
    "sizes": ("sizes =", "grid =", "def extra("),
    "text": ("text =", 'lpws.claim("a WebSocket message', *RUNS),
    "guess_cost": ("guess_cost =", "guess = lpws.guess(guess_cost"),
    "clients": RUNS,
    "rate_hz": RUNS,
    "duration_s": RUNS,
    "seed": RUNS,
    "interval_s": RUNS,
    "hold_s": RUNS,
    "delay_s": RUNS,
    "transit_s": ("transit_s, number =", "start = sent", "expected ="),
    "number": ("transit_s, number =", "start = sent", "expected ="),
    "guess_code": ("guess_code =", "cases ="),
}
MORE = [
    ("news", 200 * "x"),
    ("news", 2000 * "x"),
    ("news", 10**6 * "x"),
    ("news", "två\nrader"),
    ("sizes", ()),
    ("sizes", (5,)),
    ("sizes", (0,)),
    ("sizes", (70_000,)),
    ("text", ""),
    ("text", "é"),
    ("text", 2000 * "x"),
    ("text", 10**6 * "x"),
    ("clients", 1),
    ("rate_hz", 0.001),
    ("rate_hz", 300),
    ("duration_s", 0.001),
    ("interval_s", 0.02),
    ("hold_s", 0.1),
    ("delay_s", 0.2),
    ("transit_s", 0.005),
    ("number", 1),
]


@pytest.mark.parametrize(("name", "value"), [*itertools.product(VALUES, booklet.BAD), *MORE])
def test_a_changed_value_gives_a_sentence(name, value):
    assert booklet.rebinding(PATH, VALUES[name], name, value) == []


@pytest.mark.parametrize(
    "value", [*booklet.BAD, 1e-9, (), (0, 0), (256, 1), (0x82, 0x88), (0x71, 0x80), "abc"]
)
@pytest.mark.parametrize("exercise", booklet.exercises(PATH))
def test_a_wrong_answer_is_told(exercise, value):
    assert booklet.answered(PATH, exercise, value).startswith("✗")
