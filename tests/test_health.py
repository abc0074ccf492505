"""Lateness of the laboratory, from events made by hand and from runs that are disturbed."""

import asyncio
import threading
import time
from math import isnan

import pytest

import lpws
from lpws import health
from lpws.health import LIMIT_S, TICK_S, Health, tick
from lpws.measurement import _Experiment
from lpws.relay import End
from lpws.trace import NONE
from lpws.transports.room import Room

WORK = lpws.Workload(clients=3, rate_hz=50, duration_s=0.4, seed=4)


def pair(side, act, number, late_s, due=1.0, side_of_due=None):
    """What is due at a time, and done that much later."""
    request, message = (NONE, number) if act == "published" else (number, NONE)
    return [
        (due, "due", side_of_due or side, NONE, NONE, request, message, NONE),
        (due + late_s, act, side, NONE, NONE, request, message, 1),
    ]


def published(number, late_s):
    return pair("server", "published", number, late_s, side_of_due="publisher")


def pairs(side, act, lateness_s):
    return [event for number, late_s in enumerate(lateness_s) for event in pair(side, act, number, late_s)]


def test_median_and_99th_percentile():
    health = Health.of(pairs("link", "relayed", [number / 1e6 for number in range(200)]))
    assert health.lateness_s == {"link": (pytest.approx(100e-6), pytest.approx(198e-6))}
    assert health.good
    assert health.resolution_s == pytest.approx(198e-6)


@pytest.mark.parametrize(
    ("part", "make"),
    [
        ("publisher", published),
        ("link", lambda number, late_s: pair("link", "relayed", number, late_s)),
        ("server loop", lambda number, late_s: pair("server", "ticked", number, late_s)),
        ("clients' loop", lambda number, late_s: pair("client", "ticked", number, late_s)),
    ],
)
def test_each_part_can_be_late(part, make):
    in_time = [event for number in range(1, 50) for event in make(number, LIMIT_S / 100)]
    late = [event for number in range(50, 55) for event in make(number, 3 * LIMIT_S)]
    good, bad = Health.of(in_time), Health.of(in_time + late)
    assert good.lateness_s.keys() == bad.lateness_s.keys() == {part}
    assert good.good
    assert not bad.good
    assert bad.resolution_s == pytest.approx(3 * LIMIT_S)
    assert str(good) == f"healthy: trust differences of latency above 0.1 ms (late at p99: {part} 0.1 ms)"
    assert str(bad) == f"unfit: trust differences of latency above 30.0 ms (late at p99: {part} 30.0 ms)"


def test_parts_are_kept_apart():
    """The same number on different sides is a different act."""
    health = Health.of(
        [
            *published(1, 0.001),
            *pair("link", "relayed", 1, 0.002),
            *pair("server", "ticked", 1, 0.003),
            *pair("client", "ticked", 1, 0.004),
        ]
    )
    expected = {"publisher": 0.001, "link": 0.002, "server loop": 0.003, "clients' loop": 0.004}
    assert {part: median for part, (median, _) in health.lateness_s.items()} == pytest.approx(expected)


def test_what_does_not_count():
    before_the_start = pair("link", "relayed", 1, 0.5, due=-1.0)
    poll = [
        (1.0, "due", "client", 0, NONE, 7, NONE, NONE),  # a poll that is late is the transport's
        (1.9, "request_sent", "client", 0, 0, 7, NONE, 90),
    ]
    without_due = [(1.0, "relayed", "link", NONE, NONE, 2, NONE, 1)]
    begun_before = pair("link", "relayed", 3, 0.02, due=-0.01)
    health = Health.of(before_the_start + poll + without_due + begun_before)
    assert health.lateness_s == {}
    assert health.good
    assert isnan(health.resolution_s)
    assert str(health) == "healthy (late at p99: nothing recorded)"


def test_what_the_server_says_makes_a_run_unfit():
    health = Health.of(published(1, 0.0), ["no tea", "no milk"])
    assert not health.good
    assert health.verdict.endswith("; the server said: no tea")
    assert str(health).startswith(health.verdict)


def test_a_tick_tells_how_late_its_loop_is():
    events = []

    async def busy():
        ticking = asyncio.create_task(tick(events.append, "server"))
        for _ in range(3):
            await asyncio.sleep(0)
            time.sleep(0.2)  # blocks the loop over the next tick
            await asyncio.sleep(0.01)
        ticking.cancel()

    asyncio.run(busy())
    lateness_s = [done[0] - due[0] for due, done in zip(events[::2], events[1::2], strict=True)]
    assert [event[1] for event in events] == ["due", "ticked"] * len(lateness_s)
    assert max(lateness_s) > 0.1
    assert Health.of(events).resolution_s == max(lateness_s)


def test_a_tick_tells_what_its_thread_has_computed():
    events = []

    async def work():
        ticking = asyncio.create_task(tick(events.append, "server"))
        await asyncio.sleep(0.2)
        begun = time.thread_time()
        while time.thread_time() < begun + 0.2:
            pass
        await asyncio.sleep(0.2)
        ticking.cancel()

    begun = time.thread_time()
    asyncio.run(work())
    limit_us = 1e6 * (time.thread_time() - begun)
    used_us = [event[7] for event in events if event[1] == "ticked"]
    assert used_us == sorted(used_us)
    assert 200_000 <= used_us[-1] - used_us[0] <= limit_us  # not the time that it slept


def test_a_run_that_was_measured_knows_every_part():
    run = lpws.measure(lpws.WebSocket(), WORK, lpws.Link(delay_s=0.002))
    assert run.health.lateness_s.keys() == {"publisher", "link", "server loop", "clients' loop"}
    assert all(median <= p99 for median, p99 in run.health.lateness_s.values())
    assert str(run.health) in repr(run)


def test_a_late_publisher_shows(monkeypatch):
    """A server that is held up before each publish."""

    def lateness_s():
        return lpws.measure(lpws.WebSocket(), WORK).health.lateness_s["publisher"][0]

    in_time_s = lateness_s()

    def publish(self, text, publish=Room.publish):
        time.sleep(0.02)
        return publish(self, text)

    monkeypatch.setattr("lpws.transports.room.Room.publish", publish)
    late_s = lateness_s()
    assert late_s >= 0.02
    assert late_s > in_time_s


def test_a_late_link_shows(monkeypatch):
    def health():
        return lpws.measure(lpws.WebSocket(), WORK, lpws.Link(delay_s=0.002)).health

    def bring(self, bring=End.bring):
        time.sleep(0.02)
        bring(self)

    in_time = health()
    monkeypatch.setattr("lpws.relay.End.bring", bring)
    late = health()
    assert late.lateness_s["link"][0] > in_time.lateness_s["link"][0]
    assert late.lateness_s["link"][1] >= 0.02
    assert not late.good


def test_a_busy_kernel_makes_a_run_unfit(monkeypatch):
    """Threads that count in the kernel, while messages are published: the server's loop is late."""
    quiet = lpws.measure(lpws.WebSocket(), WORK).health
    over = threading.Event()

    def count():
        while not over.is_set():
            sum(range(1000))

    def publish(self, publish=_Experiment._publish):
        threads = [threading.Thread(target=count) for _ in range(30)]
        for thread in threads:
            thread.start()
        try:
            return publish(self)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    monkeypatch.setattr(_Experiment, "_publish", publish)
    busy = lpws.measure(lpws.WebSocket(), WORK).health
    assert busy.lateness_s["server loop"][1] > quiet.lateness_s["server loop"][0]
    assert not busy.good


# ------------------------------------------------------------------------------- an idle server


def test_an_idle_server_records_nothing_for_an_hour(monkeypatch):
    """By a false clock: each tick is asked for, and none is recorded."""
    from lpws.server import server

    now_s, asked, here = [0.0], [], threading.get_ident()
    rest, true_clock = asyncio.sleep, health.clock  # for servers of other tests that still run

    async def sleep(rest_s):
        if threading.get_ident() != here:
            await rest(rest_s)
            return
        now_s[0] += max(rest_s, 0.0)
        asked.append(1)
        if now_s[0] > 3600:
            raise asyncio.CancelledError

    monkeypatch.setattr(health, "clock", lambda: now_s[0] if threading.get_ident() == here else true_clock())
    monkeypatch.setattr(asyncio, "sleep", sleep)
    trace = [(0.0, "opened", "server", NONE, 0, NONE, NONE, NONE)]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(tick(trace.append, "server", server._grown(trace)))
    assert len(asked) > 70_000
    assert len(trace) == 1 + 2  # the one tick that follows what happened


def test_a_server_that_nobody_asks_grows_no_further():
    with lpws.Server() as server:
        server.publish("tea is ready")
        while "ticked" not in {event[1] for event in server.trace}:
            time.sleep(0.001)
        before = len(server.trace)
        time.sleep(4 * TICK_S)
        assert len(server.trace) == before
        server.publish("it is cold")
        while len(server.trace) < before + 3:
            time.sleep(0.001)
        assert [event[1] for event in server.trace[before:]] == ["published", "due", "ticked"]


def test_an_act_before_its_time_is_counted_as_well():
    """A timer may fire a little early: its act then stands before the moment at which it was due."""
    events = sorted(pairs("client", "ticked", [-0.001, -0.001, 0.002]))
    assert events[0][1] == "ticked"
    assert Health.of(events).lateness_s == {"clients' loop": (pytest.approx(-0.001), pytest.approx(0.002))}
