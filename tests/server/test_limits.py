"""What a server keeps for readers that do not read, clients that flood it, and those who say nothing."""

import asyncio
import collections
import contextlib
import itertools
import os
import random
import resource
import socket
import subprocess
import sys

import pytest
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from wire import HANDSHAKE, HOLD, PATIENCE_S, POLL, SOCKET, STREAM, Peer, Wire, ask, names, until

from lpws.decisions.holding import Mailbox
from lpws.loopthread import quiet
from lpws.server import counted_stream
from lpws.server.counted_stream import MOST_WAITING, CountedStream, Door, Streams
from lpws.server.server import Server
from lpws.transports.room import MOST_COUNTED, Room

BIG = 60_000 * "x"
#: By so much [bytes] a limit on what waits may be passed: a portion and a message.
SLACK = 65_536 + 70_000


def waits(server):
    """How much waits for each client of a server [bytes]."""
    return server.thread.call(lambda: [stream.backlog for stream in server._streams])


@contextlib.contextmanager
def slow(server, path=SOCKET, count=1):
    """Readers that ask for a stream and never read it."""
    with contextlib.ExitStack() as stack:
        before = len(server.room.streams)
        wires = [stack.enter_context(Wire(server, receive_buffer=4096)) for _ in range(count)]
        for wire in wires:
            wire.request(path, **(HANDSHAKE if path == SOCKET else {}))
        until(lambda: len(server.room.streams) == before + count)
        yield wires


def read_all(wire):
    while wire.socket.recv(1_000_000):
        pass


@pytest.mark.parametrize("path", [SOCKET, STREAM])
def test_a_reader_that_stops_for_good_is_hung_up_on(server, path):
    with slow(server, path) as [stopped], Peer(server) as quick:
        until(lambda: len(server.room.streams) == 2)
        most = number = 0
        while len(server.room.streams) == 2:
            number += 1
            assert number < 1000, "nobody hung up"
            server.publish(BIG)
            assert quick.message() == [(number, BIG)]
            most = max(most, *waits(server))
        assert MOST_WAITING - SLACK < most < MOST_WAITING + SLACK
        server.publish("again")
        assert quick.message() == [(number + 1, "again")]
        # A reset, so that the kernel keeps nothing for it either.
        with pytest.raises(ConnectionResetError):
            read_all(stopped)
    [said] = server.log
    assert said.startswith("hung up on a client that did not read: ")
    server.log.clear()


def test_a_reader_that_reads_slowly_stays(server):
    """However much it gets, as long as not too much of it waits."""
    with Peer(server, receive_buffer=4096) as peer:
        until(lambda: server.room.streams)
        for number in range(1, 301):  # 18 MB
            server.publish(BIG)
            if number > 20:
                assert peer.message() == [(number - 20, BIG)]
        assert server.room.streams
    assert not server.log


def test_one_long_answer_is_not_too_much(server):
    server.room.mailbox = Mailbox()  # which forgets nothing
    server.thread.call(lambda: [server.room.publish(BIG) for _ in range(200)])
    for path in (POLL, STREAM):
        with Wire(server, receive_buffer=4096) as wire:
            wire.request(f"{path}?cursor=0")
            until(lambda: max(waits(server), default=0) > MOST_WAITING)
            wire.read_again()
            assert wire.take(200 * 60_000).startswith(b"HTTP/1.1 200")
    assert not server.log


def test_all_who_stop_share_one_limit(server, monkeypatch):
    monkeypatch.setattr(counted_stream, "MOST_IN_ALL", 6_000_000)
    with slow(server, count=12), Peer(server) as quick:
        until(lambda: len(server.room.streams) == 13)
        number = 0
        while len(server.room.streams) > 7:
            number += 1
            assert number < 1000, "nobody hung up"
            server.publish(BIG)
            assert quick.message() == [(number, BIG)]
            assert sum(waits(server)) < 6_000_000 + 13 * SLACK
            assert max(waits(server)) < MOST_WAITING / 2, "of one alone it would not be too much"
    assert len(server.log) > 5
    server.log.clear()


def unrecorded():
    """The open connections of no server."""
    return Streams(lambda event: None, itertools.count())


def test_what_each_write_takes_is_counted():
    """Of small writes what Tornado keeps for each takes more than their data."""

    log = collections.deque()

    async def writes():
        near, far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with far, quiet(log):
            stream = CountedStream(near, streams=unrecorded())
            for count in range(100_000):
                stream.write(b"tea")
                if stream.closed():
                    return count
        raise AssertionError("nobody hung up")

    assert MOST_WAITING / 1000 < asyncio.run(writes()) < MOST_WAITING / 500 + 2000
    assert len(log) == 1


@contextlib.contextmanager
def stopped_readers(count, streams):
    """Pairs of a stream and its reader, which reads nothing."""
    with contextlib.ExitStack() as stack, quiet(log := collections.deque()):
        pairs = []
        for _ in range(count):
            near, far = socket.socketpair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            far.setblocking(False)
            stack.callback(far.close)
            pairs.append((CountedStream(near, streams=streams), far))
            stack.callback(pairs[-1][0].close)
        yield pairs
    assert not log


def test_to_look_at_many_who_stop_costs_as_much_for_each(monkeypatch):
    """What waits in all is a running total: whoever is looked at asks nobody else."""
    asked, unsent = [], CountedStream.unsent.fget
    monkeypatch.setattr(CountedStream, "unsent", property(lambda self: asked.append(self) or unsent(self)))

    async def asks(count):
        asked.clear()
        with stopped_readers(count, unrecorded()) as pairs:
            for _ in range(5):
                for stream, _ in pairs:
                    stream.write(BIG.encode())
            return len(asked)

    few, many = asyncio.run(asks(10)), asyncio.run(asks(40))
    assert 0 < many <= 4 * few


def test_what_waits_in_all_is_what_waits_for_each():
    """Whatever they do: read a part, or all, or go; and with writes large and small."""
    draw = random.Random(os.environ["LPWS_SEED"])

    async def live():
        streams, most = unrecorded(), 0
        with stopped_readers(8, streams) as pairs:
            for _ in range(400):
                stream, far = draw.choice(pairs)
                match draw.choice(["write", "write", "read", "turn", "close"]):
                    case "write" if not stream.closed():
                        stream.write(draw.choice([1, 500, 60_000]) * b"x")
                    case "read":
                        with contextlib.suppress(OSError):  # nothing is there, or it is closed
                            far.recv(draw.choice([100, 5_000, 1_000_000]))
                    case "turn":
                        await asyncio.sleep(0)
                    case "close" if draw.random() < 0.05:
                        draw.choice([stream, far]).close()
                assert streams.waiting == sum(each.backlog for each in streams)
                most = max(most, streams.waiting)
        assert (streams.waiting, len(streams)) == (0, 0)
        return most

    assert asyncio.run(live()) > 100_000


class Plain(WebSocketHandler):
    """A handler as a lesson has it: everybody is sent each message, whether they read it or not."""

    refused = []

    def initialize(self, room):
        self.room = room

    def open(self):
        self.room.listeners.add(self.tell)

    def tell(self, message):
        try:
            self.write_message(f"{message.id} {message.text}\n")
        except WebSocketClosedError:
            self.refused.append(message.id)
            raise

    def on_close(self):
        self.room.listeners.discard(self.tell)


def test_a_plain_handler_is_told_that_its_client_has_gone(nothing_left):
    Plain.refused.clear()
    with Server(handlers={"/mine": Plain}) as server, Peer(server, path="/mine") as quick:
        with Wire(server, receive_buffer=4096) as wire:
            wire.request("/mine", **HANDSHAKE)
            until(lambda: len(server.room.listeners) == 2)
            heard = last = 0

            def publish():
                server.room.publish(BIG)
                if len(server._streams) == 1:  # in the same turn of the loop: `on_close` comes later
                    server.room.publish(BIG)
                return server.room.mailbox.last

            while len(server.room.listeners) == 2:
                assert last < 1000, "nobody hung up"
                last = server.thread.call(publish)
                while heard < last:
                    heard += 1
                    assert quick.message() == [(heard, BIG)]
        assert Plain.refused
        assert len(server.log) == 1


def test_a_room_forgets_its_oldest_messages(nothing_left, monkeypatch):
    monkeypatch.setattr(Room, "most", 10_000)
    with Server() as server:
        for number in range(1, 201):
            server.publish(f"tea {number}")
        kept = server.room.messages
        assert sum(len(text) + 100 for _, text in kept) <= 10_000
        assert kept[-1] == (200, "tea 200")
        assert server.room.mailbox.last == 200
        first = kept[0].id
        assert first > 90
        for cursor in (0, first - 1, first):  # the first is too old: the ids say so
            _, body = ask(server, f"{POLL}?cursor={cursor}")
            assert [int(line.split()[0]) for line in body.splitlines()] == list(
                range(max(cursor + 1, first), 201)
            )


def test_a_server_that_no_run_owns_keeps_its_latest_events(nothing_left, monkeypatch):
    monkeypatch.setattr("lpws.server.server.MOST_EVENTS", 1000)
    with Server() as server:
        for _ in range(3):
            server.thread.call(lambda: [server.room.publish("tea") for _ in range(900)])
            until(lambda: len(server.trace) <= 1000)
        assert server.publish("last") == 2701
        published = [event[6] for event in list(server.trace) if event[1] == "published"]
        assert published == list(range(published[0], 2702))
        until(lambda: server.trace[-1][1] == "ticked")


def test_who_invents_clients_or_has_no_key_is_not_counted_forever(nothing_left, monkeypatch):
    monkeypatch.setattr("lpws.transports.room.MOST_COUNTED", 5)
    with Server() as server:
        for number in range(20):
            assert ask(server, f"{POLL}?client={number}")[0] == 204
            assert ask(server, POLL, Origin="http://elsewhere.example")[0] == 403
        assert len(server.room.arrived) == len(server.room.strangers) == 5
        with Wire(server) as wire:  # one that is known is counted all the same
            for _ in range(3):
                wire.request(f"{POLL}?client=0")
                assert wire.take_head()[0] == 204
        assert server.room.arrived[0] == 4
    assert MOST_COUNTED == 20_000, "as many as a workload may have"


# ------------------------------------------------------------------------------- descriptors

KNOCKS = """
import socket, sys
socket.setdefaulttimeout(20)
sys.stdin.readline()
lines = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
lines[-1].sendall(b"GET /shortpolling HTTP/1.1\\r\\nHost: 127.0.0.1:%d\\r\\n\\r\\n" % int(sys.argv[1]))
print(lines[-1].recv(1000).split(b" ")[1:2], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another(server, number):
    """A process that connects so many times when it is told to, and asks for something on the last."""
    command = [sys.executable, "-c", KNOCKS, str(server.port), str(number)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as knocks:
        try:
            yield knocks
        finally:
            knocks.stdin.close()
            knocks.wait(20)


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


@contextlib.contextmanager
def descriptors(number):
    """So many descriptors are left."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + number, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_who_says_nothing_makes_room(server):
    """A notebook with room for twenty connections, and a hundred that say nothing."""
    with Peer(server) as member, another(server, 100) as others, descriptors(32 + 20):
        tell(others)
        assert others.stdout.readline() == "[b'204']\n"
        assert server.open <= 20
        with open(os.devnull, encoding="utf-8"):  # the notebook still can
            pass
        assert ask(server, POLL)[0] == 204
        server.publish("tea")
        assert member.message() == [(1, "tea")]
    until(lambda: server.open == 0)
    assert names(server, "opened") == 102 * ["opened"]


def has_ended(wire):
    wire.socket.setblocking(False)
    try:
        return wire.socket.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        wire.socket.settimeout(PATIENCE_S)


def test_who_was_let_in_stays_when_there_is_no_room(server):
    with contextlib.ExitStack() as stack, descriptors(32 + 20):
        wires, held = [], []
        while True:
            wires.append(stack.enter_context(Wire(server)))
            wires[-1].request(f"{HOLD}?hold=60&cursor=0")
            until(lambda: len(server.room.waiting) > len(held) or has_ended(wires[-1]))
            if len(server.room.waiting) == len(held):
                break
            held.append(wires[-1])
        assert 5 <= len(held) <= 20
        server.publish("tea")
        for wire in held:
            assert wire.take_answer() == (200, "1 tea\n")


def test_a_door_is_shut_for_a_while_when_no_descriptor_is_left(server, monkeypatch):
    monkeypatch.setattr(counted_stream, "_SHUT_S", 1.0)
    knocked, accept = [], Door.accept

    def count(door):
        knocked.append(door)
        return accept(door)

    monkeypatch.setattr(Door, "accept", count)
    with another(server, 1) as late:
        with descriptors(0):
            tell(late)
            until(lambda: knocked)
            for _ in range(200):  # turns of the loop
                server.thread.call(int)
            assert len(knocked) < 50
            assert server.open == 0
        assert late.stdout.readline() == "[b'204']\n"
    assert not server.log
