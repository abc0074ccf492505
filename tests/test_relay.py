"""The link on real sockets: delays, order, ends, cuts, silence. Times are compared as ratios."""

import contextlib
import random
import socket
import threading
import time
from collections import deque

import pytest

from lpws.relay import MOST_BYTES, End, Relay
from lpws.specs import Link
from lpws.trace import clock

DELAY_S = 0.02


class Peer:
    """A server of one thread a connection, that does with it what `serve` does."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted = []  # when, and what
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while True:
            stream, _ = self.listener.accept()
            if self.port is None:
                stream.close()
                return
            self.accepted.append((clock(), stream))
            self.threads.append(threading.Thread(target=self._serve, args=(stream,)))
            self.threads[-1].start()

    def _serve(self, stream):
        with stream, contextlib.suppress(OSError):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(stream)

    def close(self):
        port, self.port = self.port, None
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
        for thread in self.threads:
            thread.join()
        self.listener.close()


def echo(stream):
    while data := stream.recv(65536):
        stream.sendall(data)


def receive(stream, size):
    """So many bytes, or what came until the end."""
    data = bytearray()
    while len(data) < size and (chunk := stream.recv(size - len(data))):
        data += chunk
    return bytes(data)


@pytest.fixture
def laboratory(nothing_left):
    """Makes a relay to a peer; both end with the test."""
    with contextlib.ExitStack() as stack:

        def make(serve=echo, **link):
            peer = Peer(serve)
            stack.callback(peer.close)
            events = []
            relay = Relay(Link(**{"delay_s": DELAY_S} | link), peer.port, events.append, deque())
            stack.enter_context(relay)
            return peer, relay, events

        yield make


def connect(relay):
    stream = socket.create_connection(relay.address)
    stream.settimeout(30)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def round_trip_s(stream):
    began = clock()
    stream.sendall(b"tea?")
    assert receive(stream, 4) == b"tea?"
    return clock() - began


def test_a_transit_each_way(laboratory):
    times = []

    def note(stream):
        while data := stream.recv(100):
            times.append(clock())
            stream.sendall(data)

    _, relay, _ = laboratory(note)
    with connect(relay) as stream:
        round_trip_s(stream)  # which the handshake delays
        for _ in range(10):
            began = clock()
            assert round_trip_s(stream) >= 2 * DELAY_S
            assert times[-1] - began >= DELAY_S
    assert len(times) == 11


def test_a_new_connection_costs_a_round_trip(laboratory):
    """SYN, SYN-ACK, request, answer: four transits; the server accepts after three."""
    peer, relay, _ = laboratory()
    began = clock()
    with connect(relay) as stream:
        assert round_trip_s(stream) >= 4 * DELAY_S * 0.98  # the handshake on loopback began it
        assert clock() - began >= 4 * DELAY_S
        assert peer.accepted[0][0] - began >= 3 * DELAY_S
        assert round_trip_s(stream) < clock() - began  # and the next does not pay it again


def test_a_server_that_speaks_first_is_heard_after_four_transits(laboratory):
    _, relay, _ = laboratory(lambda stream: stream.sendall(b"hello"))
    began = clock()
    with connect(relay) as stream:
        assert receive(stream, 5) == b"hello"
        assert clock() - began >= 4 * DELAY_S


def test_delays_do_not_add_up(laboratory):
    """A hundred chunks, sent apart, take about as long as one, not a hundred times as long."""
    _, relay, events = laboratory()
    with connect(relay) as stream:
        one_s = round_trip_s(stream)
        sent = b"".join(number.to_bytes(2) for number in range(100))
        began = clock()
        for number in range(100):
            stream.sendall(number.to_bytes(2))
        assert receive(stream, 200) == sent
        assert clock() - began < 20 * max(one_s, 4 * DELAY_S)
    assert sum(event[7] for event in events if event[1] == "relayed") == 2 * (200 + 4)


def test_every_byte_in_order_both_ways(laboratory):
    _, relay, _ = laboratory(delay_s=0.002)
    data = random.Random(1).randbytes(1_000_000)
    with connect(relay) as stream:
        sender = threading.Thread(target=stream.sendall, args=(data,))
        sender.start()
        assert receive(stream, len(data)) == data
        sender.join()


def test_many_connections_are_kept_apart(laboratory):
    _, relay, _ = laboratory()
    streams = [connect(relay) for _ in range(30)]
    for number, stream in enumerate(streams):
        stream.sendall(number.to_bytes(4))
    assert [int.from_bytes(receive(stream, 4)) for stream in streams] == list(range(30))
    for stream in streams:
        stream.close()


def test_a_half_closed_connection_still_brings_answers(laboratory):
    heard = []

    def answer_after_the_end(stream):
        while data := stream.recv(100):
            heard.append(data)
        stream.sendall(b"all of it")

    _, relay, _ = laboratory(answer_after_the_end)
    with connect(relay) as stream:
        stream.sendall(b"what I have to say")
        stream.shutdown(socket.SHUT_WR)
        assert receive(stream, 100) == b"all of it"
    assert b"".join(heard) == b"what I have to say"


def test_the_end_comes_after_what_was_sent(laboratory):
    _, relay, _ = laboratory(lambda stream: stream.sendall(b"x" * 100_000))
    with connect(relay) as stream:
        assert receive(stream, 200_000) == b"x" * 100_000
        assert stream.recv(1) == b""


def test_a_closed_connection_is_forgotten(laboratory):
    _, relay, _ = laboratory()
    for _ in range(3):
        with connect(relay) as stream:
            round_trip_s(stream)
    wait_until(lambda: not relay.crossings)


def test_a_client_that_leaves_at_once(laboratory):
    peer, relay, _ = laboratory()
    connect(relay).close()
    wait_until(lambda: peer.accepted and not relay.crossings)


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    assert condition()


def test_a_cut_resets_both_sides(laboratory):
    ends = []

    def note_the_end(stream):
        try:
            echo(stream)
        except OSError as error:
            ends.append(error)
            raise
        ends.append(None)

    _, relay, _ = laboratory(note_the_end)
    with connect(relay) as stream, connect(relay) as other:
        round_trip_s(stream)
        round_trip_s(other)
        relay.cut()
        for one in (stream, other):
            with pytest.raises(ConnectionResetError):
                one.recv(1)
    wait_until(lambda: len(ends) == 2)
    assert all(isinstance(end, ConnectionResetError) for end in ends)
    assert not relay.crossings
    with connect(relay) as stream:  # a new one may follow
        round_trip_s(stream)


def test_a_cut_during_the_handshake(laboratory):
    peer, relay, _ = laboratory()
    with connect(relay) as stream:
        wait_until(lambda: relay.crossings)
        relay.cut()
        with pytest.raises(ConnectionResetError):
            stream.recv(1)
    with connect(relay) as stream:
        round_trip_s(stream)
    assert len(peer.accepted) == 1  # the server never knew of the first


def test_a_server_that_refuses(laboratory):
    peer, relay, _ = laboratory()
    peer.close()
    peer.port = relay.port  # what `close` knocks at, once more, at the end
    with connect(relay) as stream, pytest.raises(ConnectionResetError):
        stream.recv(1)
    assert not relay.crossings


def test_silence_keeps_back_and_then_brings_all_in_order(laboratory):
    _, relay, events = laboratory()
    with connect(relay) as stream:
        round_trip_s(stream)
        relay.silence()
        began = clock()
        for number in range(50):
            stream.sendall(number.to_bytes(2))
        stream.settimeout(5 * DELAY_S)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(30)
        until = clock()
        relay.silence(False)
        assert receive(stream, 100) == b"".join(number.to_bytes(2) for number in range(50))
    assert not [event for event in events if event[1] == "relayed" and began < event[0] < until]


def test_silence_during_the_handshake(laboratory):
    _, relay, _ = laboratory()
    relay.silence()
    with connect(relay) as stream:
        stream.sendall(b"tea?")
        stream.settimeout(8 * DELAY_S)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(30)
        relay.silence(False)
        assert receive(stream, 4) == b"tea?"


def test_faults_come_at_their_times(laboratory):
    _, relay, events = laboratory(silent_at_s=0.1, silent_for_s=0.2, cut_at_s=0.5)
    with connect(relay) as stream:
        round_trip_s(stream)
        start = clock()
        relay.begin(start)
        with contextlib.suppress(ConnectionError):  # a reset, or a broken pipe
            while clock() < start + 30:
                round_trip_s(stream)
        assert 0.5 <= clock() - start < 30
    relayed = [event[0] - start for event in events if event[1] == "relayed"]
    silence_s = max(after - before for before, after in zip(relayed, relayed[1:], strict=False))
    assert silence_s > 0.1  # which a transit is far from


def test_lateness_is_recorded_in_pairs(laboratory):
    _, relay, events = laboratory()
    with connect(relay) as stream:
        for _ in range(20):
            round_trip_s(stream)
    due = {event[5]: event[0] for event in events if event[1] == "due"}
    relayed = {event[5]: event[0] for event in events if event[1] == "relayed"}
    assert {event[2] for event in events} == {"link"}
    assert due.keys() == relayed.keys()
    assert len(due) == len(events) / 2 >= 40
    assert all(relayed[number] >= due[number] for number in due)


def test_what_waits_for_the_handshake_is_not_late(laboratory):
    """The first chunk is due a round trip and a transit after the knock, each later one a transit."""
    _, relay, events = laboratory()
    began = clock()
    with connect(relay) as stream:
        round_trip_s(stream)
        asked = clock()
        round_trip_s(stream)
    first, *_, third, _ = sorted(event[0] for event in events if event[1] == "due")
    assert first - began >= 3 * DELAY_S
    assert third - asked >= DELAY_S


def test_no_relay_without_a_port(monkeypatch, nothing_left):
    def none(*_, **__):
        raise OSError("no port")

    monkeypatch.setattr("asyncio.BaseEventLoop.create_server", none)
    with pytest.raises(OSError, match="no port"), Relay(Link(), 1, print, deque()):
        pass


def test_who_knocks_as_it_stops_leaves_nothing(nothing_left):
    """They have been accepted, and no task of asyncio has taken over the connection yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        streams = []
        with Relay(Link(), server.getsockname()[1], print, deque()) as relay:

            def knock():
                streams.extend(socket.create_connection(relay.address) for _ in range(20))
                # It is to stop in the turn of the loop in which it accepts them, and just before it does.
                relay._thread._loop.call_soon(relay._thread._stopping.set)

            relay._thread.call(knock)
            relay._thread._thread.join(10)
        for stream in streams:
            stream.settimeout(10)
            with stream, contextlib.suppress(ConnectionError):
                assert stream.recv(1) == b"", "they are turned away"


# ------------------------------------------------------------- what is not the instrument's lateness


def test_what_a_silence_kept_back_is_not_late(laboratory):
    """It is due when the silence ends, and not when it would have been."""
    _, relay, events = laboratory()
    with connect(relay) as stream:
        round_trip_s(stream)
        before = len(events)
        relay.silence()
        stream.sendall(b"x")
        time.sleep(0.5)
        spoke_s = clock()
        relay.silence(False)
        assert receive(stream, 1) == b"x"
    due = [event[0] for event in events[before:] if event[1] == "due"]
    assert min(due) >= spoke_s


def test_a_chunk_is_looked_at_a_few_times_whatever_came_before(laboratory, monkeypatch):
    """Each end of a silence leaves no timer behind."""
    calls = []
    bring = End.bring
    monkeypatch.setattr(End, "bring", lambda self: calls.append(1) or bring(self))
    _, relay, events = laboratory()
    with connect(relay) as stream:
        round_trip_s(stream)

        def again_and_again():
            for _ in range(20):
                relay._silence(True)
                relay._silence(False)

        stream.sendall(b"x")
        relay._thread.call(again_and_again)
        assert receive(stream, 1) == b"x"
        calls.clear()
        before = len(events)
        for _ in range(10):
            round_trip_s(stream)
        chunks = sum(event[1] == "relayed" for event in events[before:])
    assert chunks >= 20
    assert len(calls) <= 2 * chunks


def test_a_sender_waits_when_its_peer_does_not_read(laboratory):
    """No more than a window is on its way; all comes once the peer reads."""
    read = threading.Event()
    got = []

    def serve(stream):
        read.wait(20)
        got.append(len(receive(stream, 40_000_000)))
        stream.sendall(b"x")

    _, relay, _ = laboratory(serve, delay_s=0.001)
    with connect(relay) as stream:
        sender = threading.Thread(target=stream.sendall, args=(bytes(40_000_000),))
        sender.start()

        def kept():
            return sum(
                end.size + (end.transport.get_write_buffer_size() if end.transport else 0)
                for crossing in relay.crossings
                for end in (crossing.near, crossing.far)
            )

        sender.join(1.0)
        assert sender.is_alive()
        most = relay._thread.call(kept)
        read.set()
        sender.join(20)
        assert receive(stream, 1) == b"x"
    assert got == [40_000_000]
    assert most < 4 * MOST_BYTES


def test_an_end_that_is_reset_as_it_ends_is_no_mistake():
    """The peer's reset comes between the look at the transport and `write_eof` (errno 107)."""

    class Transport:
        def is_closing(self):
            return False

        def write_eof(self):
            raise OSError(107, "Transport endpoint is not connected")

    class Crossing:
        relay = None

    end, other = End(Crossing), End(Crossing)
    end.other, end.transport = other, Transport()
    end._say_end()
    assert end.said_all
