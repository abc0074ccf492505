"""Broadcasts: each message once and in order, to slow readers and late ones too."""

import contextlib
import random

import pytest
from wire import Peer, frame, take_parts, until
from wsproto.events import Pong

from lpws.decisions import Message
from lpws.transports.websocket import text_frame
from lpws.wire import to_lines


@pytest.mark.parametrize("size", [4, 125, 126, 127, 65_535, 65_536, 200_000])
def test_frames_of_every_length(server, size):
    text = (size - 3) * "x"
    expected = to_lines([Message(1, text)])
    assert len(expected) == size
    with Peer(server) as peer, Peer(server) as raw:
        server.publish(text)
        assert peer.message() == [(1, text)]
        data = raw.take(len(text_frame(expected)))
        assert data == text_frame(expected)
        assert len(data) - size == (2 if size <= 125 else 4 if size <= 65_535 else 10)  # RFC 6455 §5.2


def test_a_reader_that_stops_misses_nothing_and_holds_up_nobody(server):
    texts = [f"{number} " + random.Random(number).randrange(30_000) * "é" for number in range(200)]
    messages = map(Message, range(1, 201), texts)
    expected = b"".join(text_frame(to_lines([message])) for message in messages)
    with Peer(server, receive_buffer=4096) as slow, Peer(server) as quick:
        until(lambda: len(server.room.streams) == 2)
        members = list(server.room.streams)
        waiting = 0
        for id, text in enumerate(texts, start=1):
            server.publish(text)
            assert quick.message() == [(id, text)]
            waiting += server.thread.call(lambda: any(member.stream.writing() for member in members))
        assert waiting > 20, "the slow one was to be slow"
        slow.read_again()
        data = slow.take(len(expected))
        assert data == expected
        server.publish("again")  # at once, now that nothing waits
        again = text_frame(to_lines([Message(201, "again")]))
        assert slow.take(len(again)) == again
        assert quick.message() == [(201, "again")]


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
