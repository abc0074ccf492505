"""What the kernel counts of a connection, however that ends."""

import contextlib
import socket
import struct
import sys
import time

import pytest

from lpws.server import Server, tcpinfo
from lpws.server.tcpinfo import in_doubt, payload_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@contextlib.contextmanager
def pair():
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, peer:
        peer.sendall(b"hello")
        ours.sendall(b"hi")
        assert (ours.recv(9), peer.recv(9)) == (b"hello", b"hi")
        yield ours, peer


def until_state(ours, state):
    """Wait until the kernel has that state: what the peer did has arrived."""
    end = time.monotonic() + 10
    while tcpinfo._tcp_info(ours)[0] != state:
        assert time.monotonic() < end
        time.sleep(0.001)


def reset(peer):
    """Close, and send RST in place of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_of_an_open_connection():
    with pair() as (ours, peer):
        assert payload_bytes(ours) == (5, 2)
        assert payload_bytes(peer) == (2, 5)


def test_a_fin_is_no_byte():
    with pair() as (ours, peer):
        peer.close()
        until_state(ours, tcpinfo._CLOSE_WAIT)
        assert payload_bytes(ours) == (5, 2)


def test_a_reset_is_no_byte():
    with pair() as (ours, peer):
        reset(peer)
        until_state(ours, tcpinfo._CLOSE)
        assert payload_bytes(ours) == (5, 2)


def test_a_fin_before_a_reset_is_no_byte():
    with pair() as (ours, peer):
        peer.close()
        until_state(ours, tcpinfo._CLOSE_WAIT)
        ours.sendall(b"too late")
        until_state(ours, tcpinfo._CLOSE)
        assert payload_bytes(ours) == (5, 10)


def test_after_a_reset_that_was_heard_of_it_does_not_say():
    with pair() as (ours, peer):
        reset(peer)
        until_state(ours, tcpinfo._CLOSE)
        with pytest.raises(ConnectionResetError):
            ours.recv(9)
        assert payload_bytes(ours) is None


def test_what_nobody_has_taken_yet_counts():
    with pair() as (ours, peer):
        ours.setblocking(False)
        sent = 2
        with contextlib.suppress(BlockingIOError):  # until its buffers and the peer's are full
            while True:
                sent += ours.send(bytes(65_536))
        assert sent > 65_536
        assert payload_bytes(ours) == (5, sent)
        peer.sendall(bytes(1000))
        end = time.monotonic() + 10
        while payload_bytes(ours)[0] < 1005:
            assert time.monotonic() < end
        assert payload_bytes(ours) == (1005, sent)


def test_elsewhere_it_does_not_say(monkeypatch):
    with pair() as (ours, _):
        monkeypatch.setattr(tcpinfo, "_TCP_INFO", struct.Struct("=B127xQ8xI52xQQ4000x"))
        assert payload_bytes(ours) is None
        monkeypatch.setattr(sys, "platform", "darwin")
        assert payload_bytes(ours) is None
    one, other = socket.socketpair()
    with one, other:  # no TCP
        assert payload_bytes(one) is None


def test_what_a_neighbor_has_acknowledged_is_in_no_doubt():
    """Acknowledged by its kernel, that is: the peer reads nothing."""
    with pair() as (ours, _):
        ours.sendall(b"x" * 1000)
        end = time.monotonic() + 10
        while in_doubt(ours) != (0, 0):
            assert time.monotonic() < end
            time.sleep(0.001)


def test_what_the_peer_has_no_room_for_is_not_in_doubt_either():
    with pair() as (ours, _):
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65_536)
        assert in_doubt(ours)[1] == 0


def test_what_is_no_connection_has_no_books():
    with socket.socket(socket.AF_UNIX) as other:
        assert in_doubt(other) is None


def test_the_server_adds_up_its_connections():
    with Server() as server:
        assert server.in_doubt() == (0, 0)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            assert server.in_doubt() == (0, 0)
