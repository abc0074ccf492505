"""Faults planted beneath the package: each makes the run unfit, or raises; right runs stay fit.

A fault is patched in where bytes, events or processes pass, below all that records. On transports on
which it has no meaning, a word says why.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
from dataclasses import replace

import pytest
import test_plain_handlers as plain

import lpws
from lpws import measurement
from lpws.fleet import process
from lpws.server import handlers
from lpws.server.counted_stream import CountedStream

#: How many right runs of each kind; the soak asks for more.
MOMENTS = int(os.environ.get("LPWS_MOMENTS", "5"))
WORK = lpws.Workload(clients=4, rate_hz=40, duration_s=0.5, seed=7)
TRANSPORTS = {
    "reload": lpws.Reload(pause_s=0.04, keep_alive=True),
    "short polling": lpws.ShortPolling(interval_s=0.04),
    "long polling": lpws.LongPolling(),
    "SSE": lpws.SSE(retry_s=0.05),
    "WebSocket": lpws.WebSocket(retry_s=0.05),
}
POLLS, STREAMS = ("reload", "short polling", "long polling"), ("SSE", "WebSocket")


def carries_news(data):
    return b"news " in bytes(data)


def on_the_way_out(monkeypatch, change):
    """Lets `change` decide what of every third piece with news goes to the socket, and counts them."""
    write, numbers = CountedStream.write_to_fd, itertools.count()

    def write_to_fd(self, data):
        if carries_news(data) and next(numbers) % 3 == 1:
            return change(self, data, write)
        return write(self, data)

    monkeypatch.setattr(CountedStream, "write_to_fd", write_to_fd)


def dropped(monkeypatch):
    def change(_stream, data, _write):
        return len(data)  # said to be written

    on_the_way_out(monkeypatch, change)


def doubled(monkeypatch):
    def change(stream, data, write):
        piece = bytes(data)
        write(stream, piece)
        write(stream, piece)
        return len(piece)

    on_the_way_out(monkeypatch, change)


def reordered(monkeypatch):
    """Frames and events overtake each other; within an answer, lines do."""
    kept = {}

    def change(stream, data, write):
        piece = bytes(data)
        if stream in kept:
            return write(stream, piece)
        kept[stream] = piece
        return len(piece)

    write, numbers = CountedStream.write_to_fd, itertools.count()

    def write_to_fd(self, data):
        piece = bytes(data)
        head, end, body = piece.rpartition(b"\r\n\r\n")
        if body.count(b"\n") > 1 and head.startswith(b"HTTP/1.1 200") and b"news " in body:
            write(self, head + end + b"".join(reversed(body.splitlines(True))))
            return len(piece)
        if not head.startswith(b"HTTP/") and carries_news(piece):
            if self in kept:
                write(self, piece + kept.pop(self))
                return len(piece)
            if next(numbers) % 3 == 1:
                kept[self] = piece
                return len(piece)
        return write(self, data)

    monkeypatch.setattr(CountedStream, "write_to_fd", write_to_fd)


def late(monkeypatch, by_s=0.03):
    """What was decided, and stamped as sent, leaves later."""

    def later(original):
        def call(self, data):
            if not carries_news(data):
                return original(self, data)
            loop, piece = asyncio.get_running_loop(), bytes(data)
            loop.call_later(by_s, lambda: None if self.closed() else original(self, piece))
            future = loop.create_future()
            future.set_result(None)
            return future

        return call

    for name in ("send", "write"):
        monkeypatch.setattr(CountedStream, name, later(getattr(CountedStream, name)))


def closed_early(monkeypatch):
    """The connection ends behind what it carried; sometimes before."""

    def change(stream, data, write):
        asyncio.get_running_loop().call_soon(stream.close)
        return write(stream, data)

    on_the_way_out(monkeypatch, change)


def batch_lost(monkeypatch):
    """A batch of the clients' events does not come."""

    class Lossy(list):
        def append(self, batch):
            if len(batch) > 50 and not getattr(self, "lost", None):
                self.lost = batch
            else:
                super().append(batch)

    begin = process.RemoteFleet.__init__

    def init(self, spec):
        begin(self, spec)
        self.batches = Lossy()

    monkeypatch.setattr(process.RemoteFleet, "__init__", init)


def fleet_killed(monkeypatch):
    act_on_the_fleet(monkeypatch, signal.SIGKILL)


def fleet_stopped(monkeypatch):
    monkeypatch.setattr(measurement, "END_S", -1.9)  # with what a few transits may take, 0.1 s
    monkeypatch.setattr(process, "END_S", 0.1)
    act_on_the_fleet(monkeypatch, signal.SIGSTOP)


def act_on_the_fleet(monkeypatch, number):
    publish = measurement._Experiment._publish

    def disturbed(self):
        timer = threading.Timer(0.25, lambda: os.kill(self.clients.process.pid, number))
        timer.start()
        try:
            return publish(self)
        finally:
            timer.join()

    monkeypatch.setattr(measurement._Experiment, "_publish", disturbed)


#: Fault → transports on which it has no meaning, with the reason.
FAULTS = {
    dropped: {},
    doubled: {},
    reordered: {},
    late: {},
    closed_early: {},
    batch_lost: {},
    fleet_killed: {},
    fleet_stopped: {},
}


@pytest.mark.skipif(os.name != "posix", reason="stops and kills by signals")
@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_noticed(fault, name, monkeypatch, nothing_left):
    if name in FAULTS[fault]:
        pytest.skip(FAULTS[fault][name])
    # Of twelve messages at once some share an answer, however slowly the machine brings them.
    work = replace(WORK, pattern="bursts", burst=12, spacing_s=0.0005) if fault is reordered else WORK
    fault(monkeypatch)
    run = None
    with contextlib.suppress(lpws.RunError):  # which is as good as unfit
        # To start a process takes longer than such a run; those faults need one that can be stopped.
        ours = fault not in (fleet_killed, fleet_stopped)
        run = lpws.measure(TRANSPORTS[name], work, clients_in="thread" if ours else "process")
    assert run is None or not run.health.good, run


# -------------------------------------------------------------------------------- right runs


class Lossy(handlers.ShortPolling):
    """A reader's handler that forgets every third message."""

    def answer(self, messages):
        super().answer([message for message in messages if message.id % 3])


SHORT = lpws.Workload(clients=4, rate_hz=40, duration_s=0.25)
NEAR = lpws.Link(delay_s=0.005)
RIGHT = {
    **{name: (transport, SHORT, None, None) for name, transport in TRANSPORTS.items()},
    **{f"{name}, far": (transport, SHORT, NEAR, None) for name, transport in TRANSPORTS.items()},
    **{
        f"{name}, cut": (transport, SHORT, replace(NEAR, cut_at_s=0.1), None)
        for name, transport in TRANSPORTS.items()
    },
    **{
        f"{name}, silent": (transport, SHORT, replace(NEAR, silent_at_s=0.05, silent_for_s=0.1), None)
        for name, transport in TRANSPORTS.items()
    },
    "no cursor": (lpws.LongPolling(cursor=False), SHORT, NEAR, None),
    "closing": (lpws.LongPolling(keep_alive=False), SHORT, NEAR, None),
    "short holds": (lpws.LongPolling(hold_s=0.03), SHORT, NEAR, None),
    "a window": (lpws.WebSocket(flush_s=0.03), SHORT, NEAR, None),
    "too many polls": (lpws.ShortPolling(interval_s=0.002), replace(SHORT, clients=40), None, None),
    "a lossy handler": (lpws.ShortPolling(interval_s=0.04), SHORT, None, Lossy),
    **{f"a plain {kind.__name__}": (transport, SHORT, NEAR, kind) for transport, kind in plain.PLAIN[3:]},
}


def lateness_aside(health):
    """Whether all is well but what a busy machine can do to every run."""
    return not (health.log or health.faults or health.unexplained)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_run_is_not_called_unfit(name, nothing_left):
    transport, work, link, handler = RIGHT[name]
    for seed in range(max(1, MOMENTS // 5)):
        run = lpws.measure(
            transport, replace(work, seed=seed + 1), link, handler=handler,
            clients_in="process" if seed % 5 == 4 else "thread",
        )  # fmt: skip
        assert lateness_aside(run.health), run


@pytest.mark.skipif(MOMENTS < 50, reason="takes half a minute; the soak runs it")
def test_ten_thousand_clients_are_not_called_unfit(nothing_left):
    run = lpws.measure(lpws.WebSocket(), lpws.Workload(clients=10_000, rate_hz=1, duration_s=3))
    assert lateness_aside(run.health), run
