"""Long polling: a request is held as long as it should be, and lets go when it should."""

import asyncio
import contextlib
import re
import resource
import socket
import struct
import threading
import time
from itertools import pairwise

import pytest
from wire import HOLD, PATIENCE_S, Wire, hold, names, until

from lpws.decisions import Message
from lpws.server.server import Server
from lpws.transports import room
from lpws.transports.room import AT_ONCE, EARLY_S, Room


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
    with hold(server, "hold=60&cursor=0") as long, Wire(server) as short:
        short.request(f"{HOLD}?hold=0.02&cursor=0")
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
    until(lambda: not server.room.busy)
    assert not server.room.mailbox.held
    assert names(server, "message_sent") == 1000 * ["message_sent"]


def test_held_requests_are_answered_when_the_server_stops(nothing_left):
    with contextlib.ExitStack() as wires:
        with Server() as server:
            held = [wires.enter_context(hold(server)) for _ in range(100)]
        assert {wire.take_answer() for wire in held} == {(204, "")}
        assert {wire.take_all() for wire in held} == {b""}


# ------------------------------------------------------------- many that one message releases


def in_a_loop(*polls, then=lambda room: None):
    """What requests of one room are answered if a message is published, and in the same turn `then` is done.

    Returns
    -------
    list
        What each was answered, None if it was cancelled.
    list
        How many were answered after each turn of the loop.
    Room
        The room.
    """

    async def answers():
        room = Room(lambda _event: None, set())
        asking = [asyncio.create_task(poll(room)) for poll in polls]
        await asyncio.sleep(0)
        assert len(room.waiting) == len(polls)
        room.publish("news")
        then(room)
        answered = [0]
        async with asyncio.timeout(PATIENCE_S):
            while answered[-1] < len(polls):
                await asyncio.sleep(0)
                answered.append(sum(task.done() for task in asking))
        return [None if task.cancelled() else task.result() for task in asking], answered, room

    return asyncio.run(answers())


def polls(number):
    """So many long polls that have no message yet."""
    return [lambda room, who=who: room.ask(who, 0, 60.0) for who in range(number)]


def held_by(room):
    """What a room keeps of requests that it holds."""
    return [room.waiting, room.released, room.mailbox.held]


NEWS, MORE = Message(1, "news"), Message(2, "more")


@pytest.mark.parametrize("number", [1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 1])
def test_what_one_message_releases_goes_on_a_few_in_each_turn_of_the_loop(number):
    answers, answered, room = in_a_loop(*polls(number))
    assert answers == number * [[NEWS]]
    assert max(after - before for before, after in pairwise(answered)) <= AT_ONCE
    assert held_by(room) == [{}, {}, {}]


def test_more_messages_let_no_more_of_them_go_on_in_a_turn():
    def publish_more(room):
        for _ in range(3):
            room.publish("more")

    answers, answered, _ = in_a_loop(*polls(3 * AT_ONCE), then=publish_more)
    assert answers == 3 * AT_ONCE * [[NEWS]]
    assert max(after - before for before, after in pairwise(answered)) <= AT_ONCE


def test_a_client_that_leaves_before_its_turn_keeps_it_from_nobody():
    number = 3 * AT_ONCE
    gone = range(0, number, 2)
    answers, _, room = in_a_loop(*polls(number), then=lambda room: [room.leave(who) for who in gone])
    assert answers[1::2] == number // 2 * [[NEWS]]
    assert held_by(room) == [{}, {}, {}]


def test_a_request_that_is_cancelled_before_its_turn_keeps_it_from_nobody():
    number = 3 * AT_ONCE

    def cancel(room):
        for task in asyncio.all_tasks():
            if (coroutine := task.get_coro()).__name__ == "ask" and coroutine.cr_frame.f_locals["who"] % 2:
                task.cancel()

    answers, _, room = in_a_loop(*polls(number), then=cancel)
    assert answers[::2] == number // 2 * [[NEWS]]
    assert held_by(room) == [{}, {}, {}]


def test_what_a_cancelled_request_did_not_wait_for_is_not_told_the_next_one_with_its_key():
    async def answers():
        room = Room(lambda _event: None, set())
        others = [asyncio.create_task(poll(room)) for poll in polls(3 * AT_ONCE)]
        first = asyncio.create_task(room.ask("who", 0, 60.0))
        await asyncio.sleep(0)
        room.publish("news")
        first.cancel()
        await asyncio.sleep(0)
        again = asyncio.create_task(room.ask("who", 1, 60.0))
        await asyncio.gather(*others)
        for _ in range(3):
            await asyncio.sleep(0)
        room.publish("more")
        return await again

    assert asyncio.run(answers()) == [MORE]


def test_messages_that_come_before_all_have_the_first_come_once_and_in_order():
    async def read_two(room, who):
        first = await room.ask(who, 0, 60.0)
        return first + await room.ask(who, first[-1].id, 60.0)

    number = 3 * AT_ONCE
    clients = [lambda room, who=who: read_two(room, who) for who in range(number)]
    answers, _, room = in_a_loop(*clients, then=lambda room: room.publish("more"))
    assert answers == number * [[NEWS, MORE]]
    answers, _, room = in_a_loop(
        *clients, then=lambda room: asyncio.get_running_loop().call_soon(room.publish, "more")
    )
    assert answers == number * [[NEWS, MORE]]
    assert held_by(room) == [{}, {}, {}]


def test_a_room_that_closes_answers_all_at_once_and_takes_no_message_back():
    number = 3 * AT_ONCE
    answers, answered, room = in_a_loop(*polls(number), then=Room.close)
    assert answers == number * [[NEWS]]
    assert set(answered) == {0, number}
    assert held_by(room) == [{}, {}, {}]


def test_who_is_released_one_after_the_other_hears_it_from_a_server_that_stops(monkeypatch, nothing_left):
    monkeypatch.setattr(room, "AT_ONCE", 1)
    with contextlib.ExitStack() as wires:
        with Server() as server:
            held = [wires.enter_context(hold(server)) for _ in range(100)]
            server.publish("news")
        assert {wire.take_answer() for wire in held} == {(200, "1 news\n")}
        assert {wire.take_all() for wire in held} == {b""}


def test_all_are_answered_before_one_of_them_is_heard_again(monkeypatch, server):
    written = []
    step_back = Room.step_back

    def noted(room, who):
        written.append(who.stream.bytes_written)
        return step_back(room, who)

    monkeypatch.setattr(Room, "step_back", noted)
    monkeypatch.setattr(room, "AT_ONCE", 1)
    with contextlib.ExitStack() as wires:
        held = []
        for number in range(50):
            held.append(wires.enter_context(hold(server, f"hold=60&cursor=0&request={number}")))
            held[-1].request(f"{HOLD}?hold=0&cursor=1&request={50 + number}")  # is there before the answer
        server.publish("news")
        heads = [(*wire.take_head(), wire.take(7)) for wire in held]
        assert [wire.take_answer() for wire in held] == 50 * [(204, "")]
        plain = wires.enter_context(Wire(server))
        plain.request(f"{HOLD}?hold=0&cursor=0")
        heads.append((*plain.take_head(), plain.take(7)))
        assert {(status, body) for status, _, body in heads} == {(200, b"1 news\n")}
        assert len({re.sub("date: .*", "", head) for _, head, _ in heads}) == 1
    assert set(written[:50]) == {len(heads[0][1]) + 7}  # each is on its way before its request steps back
    told = names(server, "request_received", "message_sent", "response_sent")
    assert told[50:250] == 50 * ["message_sent", "response_sent"] + 50 * ["request_received", "response_sent"]


def test_a_crash_leaves_nobody_released(monkeypatch, server):
    monkeypatch.setattr(room, "AT_ONCE", 1)
    with contextlib.ExitStack() as wires:
        held = [wires.enter_context(hold(server)) for _ in range(100)]
        server.thread.call(lambda: (server.room.publish("news"), server._doorway.crash()))
        assert {wire.take_all() for wire in held} <= {b""}
        until(lambda: not (server.room.busy or server.room.released))
    assert not server.log
