"""Long polling: a request is held as long as it should be, and lets go when it should."""

import contextlib
import resource
import socket
import struct
import threading
import time

import pytest
from wire import HOLD, PATIENCE_S, Wire, hold, names, until

from lpws.server.server import Server
from lpws.transports.room import EARLY_S


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
