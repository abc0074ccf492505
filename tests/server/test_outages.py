"""A server that goes away and comes back, at the same port; and the hosts that it is told to let in."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
from tornado.web import RequestHandler
from wire import HANDSHAKE, HOLD, POLL, SOCKET, STREAM, Peer, Wire, ask, hold, stream, until

import lpws
from lpws.server.doorway import Doorway
from lpws.server.server import Server
from lpws.transports import room


def refused(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_crash_ends_every_connection_without_a_goodbye(server):
    with hold(server) as held, Wire(server) as idle, Peer(server, "cursor=0") as peer:
        until(lambda: server.open == 3)
        assert server.crash() == 3
        assert (held.take_all(), idle.take_all(), peer.next()) == (b"", b"", None)
    until(lambda: not server.room.busy)
    assert refused(server)
    assert server.open == 0


def test_a_crash_shuts_the_door_first(server, monkeypatch):
    """Else a client that is quick would be let in once more."""
    doors = []
    drop = Doorway.drop
    monkeypatch.setattr(Doorway, "drop", lambda self, *s: doors.append(self.door.fileno()) or drop(self, *s))
    server.crash()
    assert doors == [-1]


def test_messages_of_the_meantime_are_there_when_it_is_back(server):
    port = server.port
    server.publish("before")
    server.crash()
    server.publish("meanwhile")
    server.come_back()
    assert server.port == port
    server.publish("after")
    assert ask(server, f"{POLL}?cursor=0") == (200, "1 before\n2 meanwhile\n3 after\n")


def test_connections_have_numbers_of_their_own_after_it(server):
    ask(server, POLL)
    server.crash()
    server.come_back()
    ask(server, POLL)
    until(lambda: server.open == 0)
    assert [event[4] for event in server.trace if event[1] == "closed"] == [0, 1]


@pytest.mark.parametrize("go", ["crash", "drain"])
def test_to_go_and_come_back_twice_is_harmless(server, go):
    server.come_back()
    assert not refused(server)
    for _ in range(2):
        getattr(server, go)()
        getattr(server, go)()
        assert refused(server)
        server.come_back()
        server.come_back()
        assert ask(server, POLL)[0] == 204


@pytest.mark.parametrize("go", ["crash", "drain"])
def test_it_stops_while_it_is_away(nothing_left, go):
    with Server() as server:
        getattr(server, go)()


def test_a_port_that_somebody_else_has_by_now_is_told(server):
    server.crash()
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(OSError, match="free port"):
        server.come_back()
    server.come_back()
    assert ask(server, POLL)[0] == 204


def test_a_drain_says_goodbye_to_everybody(server):
    with hold(server) as held, Peer(server, "cursor=0") as peer, stream(server) as events:
        events.readline()
        server.drain()
        head, body = held.take_all().decode().lower().split("\r\n\r\n")
        assert head.startswith("http/1.1 204")
        assert "connection: close" in head
        assert body == ""
        assert peer.closed() == 1012
        events.read()  # to its orderly end, else it raises IncompleteRead
    assert refused(server)
    until(lambda: server.open == 0)


def test_a_drain_serves_once_more_on_an_old_connection(server):
    server.publish("hi")
    with Wire(server) as wire:
        until(lambda: server.open == 1)
        server.drain()
        wire.request(f"{POLL}?cursor=0")
        answer = wire.take_all().decode()
    assert answer.endswith("1 hi\n")
    assert "connection: close" in answer.lower()


@pytest.mark.parametrize(("path", "headers"), [(STREAM, {}), (SOCKET, HANDSHAKE)])
def test_a_drain_begins_no_stream(server, path, headers):
    with Wire(server) as wire:
        until(lambda: server.open == 1)
        server.drain()
        wire.request(path, **headers)
        assert wire.take_all().startswith(b"HTTP/1.1 503 Restarting\r\n")


def test_a_plain_handler_is_drained(server):
    with Wire(server) as wire:
        until(lambda: server.open == 1)
        server.drain()
        wire.request("/plain")
        answer = wire.take_all().decode().lower()  # to the end: it does what it says
        assert "connection: close" in answer
        assert answer.endswith("plain")


class Held(RequestHandler):
    """A reader's own way to hold a request until there is news."""

    def initialize(self, room):
        self.room = room

    async def get(self):
        news = asyncio.get_running_loop().create_future()
        self.room.listeners.add(news.set_result)
        message = await news
        self.room.listeners.discard(news.set_result)
        self.write(f"{message.text}, {self.room.draining}")


@pytest.mark.parametrize("ends", ["by itself", "by the return"])
def test_what_a_plain_handler_holds_outlives_a_drain(nothing_left, ends):
    with Server(handlers={"/held": Held}) as server, Wire(server) as wire, hold(server) as own:
        wire.request("/held")
        until(lambda: server.room.listeners)
        server.drain()
        assert own.take_all().startswith(b"HTTP/1.1 204")
        if ends == "by itself":
            server.publish("tea")
            head, body = wire.take_all().decode().split("\r\n\r\n")
            assert "connection: close" in head.lower()
            assert body == "tea, True"
        else:
            server.come_back()
            assert wire.take_all() == b""
            server.publish("tea")  # which it writes to nobody
        until(lambda: not server.room.listeners)
        assert not server.log


def test_what_a_drain_left_over_ends_when_it_is_back(server):
    with Wire(server) as wire:
        until(lambda: server.open == 1)
        server.drain()
        assert server.open == 1
        server.come_back()
        assert wire.take_all() == b""
    with Wire(server) as wire:
        wire.request(POLL)
        assert "connection: close" not in wire.take_head()[1]


def test_a_drain_spreads_its_goodbyes(server):
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(hold(server))
        peer = stack.enter_context(Peer(server, "cursor=0"))
        server.drain(jitter_s=0.5)
        until(lambda: server.open <= 1)
        assert peer.closed() == 1012
    said_s = [event[0] for event in server.trace if event[1] == "response_sent"][1:]  # without the 101
    assert len(said_s) == 20
    assert max(said_s) - min(said_s) > 0.1


@pytest.mark.parametrize("jitter_s", [0.0, 0.2])
def test_a_drain_hangs_up_on_nobody_who_does_not_know_of_it(monkeypatch, server, jitter_s):
    """Of those whom a message releases, some have their answer by then, and ask again."""

    async def drain():
        server.room.publish("news")
        for _ in range(30):  # turns of the loop
            await asyncio.sleep(0)
        server._doorway.drain(jitter_s)

    monkeypatch.setattr(room, "AT_ONCE", 1)
    told = 0
    with ExitStack() as stack:
        held = [stack.enter_context(hold(server)) for _ in range(60)]
        server.thread.run(drain)
        for wire in held:
            status, head = wire.take_head()
            assert (status, wire.take(7)) == (200, b"1 news\n")
            if "connection: close" in head:
                told += 1
            else:
                wire.request(f"{HOLD}?hold=60&cursor=1")
                status, head = wire.take_head()
                assert status == 204
                assert "connection: close" in head
            assert wire.take_all() == b""
    assert 10 < told < 50
    until(lambda: server.open == 0)


def test_an_outage_comes_at_its_time(server):
    server.plan(lpws.Outage(at_s=0.05, away_s=0.2), lpws.clock())
    until(lambda: refused(server))
    until(lambda: not refused(server))
    with Wire(server) as wire:
        until(lambda: server.open == 1)
        server.plan(lpws.Outage(at_s=0.05, away_s=0), lpws.clock())
        assert wire.take_all() == b""
    until(lambda: not refused(server))  # away for no time at all
    server.plan(lpws.Outage(at_s=0, away_s=None, how="drain"), lpws.clock())
    until(lambda: refused(server))


# ----------------------------------------------------------------------------------- a proxy's names


def test_hosts_that_it_is_told_of_are_let_in_and_no_others(server):
    for told in (False, True):
        for host in ("servers", "127.0.0.1:1"):
            assert ask(server, POLL, Host=host)[0] == (204 if told else 403)
            assert ask(server, POLL, Origin=f"http://{host}")[0] == (204 if told else 403)
            assert ask(server, SOCKET, **HANDSHAKE, Origin=f"http://{host}")[0] == (101 if told else 403)
        for other in ("server", "servers.evil.example", "servers:80", "127.0.0.1:2", "localhost", "evil"):
            assert ask(server, POLL, Host=other)[0] == 403
            assert ask(server, POLL, Origin=f"http://{other}")[0] == 403
            assert ask(server, POLL, Host="servers", Origin=f"http://{other}")[0] == 403
        assert ask(server, POLL, Origin="https://servers")[0] == 403
        server.admit("servers", "127.0.0.1:1")
