"""WebSocket: handshakes and frames, right and wrong, and how each end is told."""

import socket
import struct

import pytest
from wire import HANDSHAKE, SOCKET, Peer, Wire, frame, names, until
from wsproto.events import CloseConnection, Pong

from lpws.server.doorway import MOST_BYTES

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
