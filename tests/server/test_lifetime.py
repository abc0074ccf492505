"""A server starts, stops and restarts, and leaves nothing behind."""

import asyncio
import contextlib
import errno
import gc
import itertools
import socket
import threading
import traceback
from concurrent.futures import Future

import pytest
from tornado.websocket import WebSocketHandler
from wire import HANDSHAKE, PATIENCE_S, POLL, SOCKET, Peer, Wire, ask, hold, names, stream, until
from wsproto.events import CloseConnection

from lpws.loopthread import AT_ONCE
from lpws.server import doorway
from lpws.server.server import Server


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


class Slow(WebSocketHandler):
    """Its `open` does not end, so that Tornado never reads the answer to a Close."""

    async def open(self):
        await asyncio.Event().wait()


class Willful(WebSocketHandler):
    """Has things of its own under such names."""

    def open(self, *_):
        self.end = self.goodbye = None

    def close(self, *_):
        raise ZeroDivisionError


class Fails(WebSocketHandler):
    """Makes a mistake when its client has gone."""

    def on_close(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [WebSocketHandler, Slow, Willful])
def test_a_stopping_server_says_goodbye_to_plain_websockets(kind, nothing_left):
    with contextlib.ExitStack() as peers:
        with Server(handlers={"/plain": kind}) as server:
            three = [peers.enter_context(Peer(server, path="/plain")) for _ in range(3)]
            until(lambda: len(server.room.goodbyes) == 3)
            assert server.room.busy
            ended = threading.Thread(target=server.stop)
            ended.start()
            assert [peer.closed() for peer in three] == [1001] * 3  # going away
            ended.join()
        assert not server.log


@pytest.mark.parametrize("kind", [WebSocketHandler, Fails])
def test_a_plain_websocket_that_has_ended_is_forgotten(kind, nothing_left):
    with Server(handlers={"/plain": kind}) as server:
        with Peer(server, path="/plain") as polite, Peer(server, path="/plain"):
            until(lambda: len(server.room.goodbyes) == 2)
            polite.send(polite.protocol.send(CloseConnection(code=1000)))
            assert polite.closed() == 1000
        until(lambda: not server.room.goodbyes)


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


def test_a_context_that_is_entered_from_the_loop_itself_is_refused(server, monkeypatch):
    result = Future.result  # which would wait forever
    monkeypatch.setattr(Future, "result", lambda answer, timeout=5: result(answer, timeout))
    with pytest.raises(RuntimeError, match="expected a call from outside the loop of lpws server"):
        server.thread.call(server.enter, contextlib.nullcontext("tea"))
    assert server.enter(contextlib.nullcontext("tea")) == "tea"


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
        patch.setattr("lpws.server.doorway.create_server", fail)
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
        wire.request(SOCKET, **HANDSHAKE)
        until(lambda: b"\r\n\r\n" in wire.data or not wire.more())
        said = bytes(wire.data)
        assert said.startswith(b"HTTP/1.1 101 ")
        assert server.drop() == 1
        while wire.more():
            pass
        assert wire.data == said


def test_a_crowd_at_the_door_lets_the_loop_turn(server):
    """Who is let in already, and timers, do not wait until all have been."""
    opened = [0]  # turn → how many by then
    crowd = 10 * AT_ONCE

    def turn():
        opened.append(server.open)
        if server.open < crowd:
            asyncio.get_running_loop().call_soon(turn)

    with contextlib.ExitStack() as wires:

        def come():
            for _ in range(crowd):
                wires.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            turn()

        server.thread.call(come)  # in its loop, so that all stand before the door
        until(lambda: server.open == crowd)
        until(lambda: opened[-1] == crowd)
        assert max(after - before for before, after in itertools.pairwise(opened)) <= AT_ONCE
    until(lambda: not server.open)


# ------------------------------------------------------------------------ what runs beside it


def beside(said, error=None):
    """A context that tells in which thread, and in what order, it is entered and left."""

    @contextlib.asynccontextmanager
    async def context():
        said.append(("entered", threading.current_thread().name))
        await asyncio.sleep(0)
        yield "what it gives"
        said.append(("left", threading.current_thread().name))
        if error:
            raise error

    return context()


def test_a_context_is_entered_in_the_loop_and_left_when_the_server_stops(nothing_left):
    said = []
    with Server() as server:
        assert server.enter(beside(said)) == "what it gives"
        server.crash()
        server.come_back()
        assert said == [("entered", "lpws server")]
        assert ask(server, POLL)[0] == 204
    assert said == [("entered", "lpws server"), ("left", "lpws server")]


def test_contexts_are_left_in_reverse(nothing_left):
    said = []

    @contextlib.asynccontextmanager
    async def named(name):
        yield
        said.append(name)

    with Server() as server:
        server.enter(named("first"))
        server.enter(named("second"))
    assert said == ["second", "first"]


def test_a_context_that_cannot_be_entered_raises_and_the_server_serves_on(nothing_left):
    @contextlib.asynccontextmanager
    async def broken():
        raise ConnectionRefusedError("no broker")
        yield

    with Server() as server:
        with pytest.raises(ConnectionRefusedError, match="no broker"):
            server.enter(broken())
        assert ask(server, POLL)[0] == 204


def test_a_context_that_cannot_be_left_raises_and_leaves_nothing(nothing_left):
    server = Server().start()
    server.enter(beside([], ValueError("it stuck")))
    with Wire(server):
        until(lambda: server.open == 1)
        with pytest.raises(ValueError, match="it stuck"):
            server.stop()
    server.stop()  # it raises once
    assert not server.running


@contextlib.asynccontextmanager
async def never_left():
    yield
    await asyncio.get_running_loop().create_future()


class NeverLeft(contextlib.AbstractAsyncContextManager):
    """One that takes no notice of a cancellation, once."""

    async def __aexit__(self, *_):
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("hangs", [never_left, NeverLeft])
def test_a_context_that_does_not_end_is_named_and_the_rest_ends(hangs, nothing_left, monkeypatch):
    monkeypatch.setattr(doorway, "LEAVE_S", 0.05)
    said, ended = [], []
    server = Server().start()
    server.enter(beside(said))
    server.enter(hangs())

    def stop():
        try:
            server.stop()
        except TimeoutError as error:
            ended.append(str(error))

    with Wire(server):
        until(lambda: server.open == 1)
        thread = threading.Thread(target=stop, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
    assert ended == [f"expected `{hangs.__name__}` to end within 0.05 s of its server, it did not"]
    assert said[-1] == ("left", "lpws server")
    server.stop()  # it raises once
    assert not server.running


@pytest.mark.parametrize("wrong", [0, -1, 1e9, None, "abc", contextlib.nullcontext, never_left])
def test_what_is_no_context_is_not_entered(server, wrong):
    with pytest.raises(TypeError, match="enter: expected what `async with` takes, .*, got "):
        server.enter(wrong)
    assert ask(server, POLL)[0] == 204


def test_a_stopped_server_enters_nothing():
    said = []
    context = beside(said)
    with pytest.raises(RuntimeError, match="expected a running server"):
        Server().enter(context)
    assert said == []
