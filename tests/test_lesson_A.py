"""The notebook on the instrument: what it builds by hand, and which claims notice a fault."""

import asyncio
import threading
from functools import partial

import booklet
import matplotlib.pyplot as plt
import pytest

import lpws
from lpws import measurement
from lpws.fleet.fleet import Fleet
from lpws.relay import Crossing, Relay
from lpws.server.stream import CountedStream, CountingServer
from lpws.trace import clock

PATH = booklet.NOTEBOOKS / "A_the_instrument.ipynb"
run = partial(booklet.run, PATH)
DEFINITIONS = (
    *("import lpws", "import socket", "import pandas", "from lpws.figures", "link =", "def cost_us"),
    *("regular =", "import contextlib", "import asyncio", "import http.client"),
)


GUESSES = ("guess_floor_us", "guess_late_ms", "guess_factor", "guess_naive_ms", "guess_honest_ms")


@pytest.fixture
def lesson(monkeypatch):
    """What the notebook defines; the runs beside its definitions are simulated."""
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    namespace = {}
    with monkeypatch.context() as patch:
        patch.setattr(lpws, "measure", booklet.twin)
        run(namespace, *DEFINITIONS, change={"bare_transits_s())": "bare_transits_s(20))"})
    return namespace


# ------------------------------------------------------------------ what it builds by hand


def test_bare_transits(lesson, nothing_left):
    begin = clock()
    times_s = lesson["bare_transits_s"](50)
    assert len(times_s) == 50
    assert 0 < 2 * sum(times_s) <= clock() - begin


def test_a_thread_that_computes_ends(lesson, nothing_left):
    before = threading.active_count()
    computing = lesson["computing"]()
    computing.__enter__()
    assert threading.active_count() == before + 1
    assert not computing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert threading.active_count() == before


def test_the_two_ages(lesson, nothing_left):
    client_says_s, server_says_s = asyncio.run(lesson["ages_s"](0.2))
    assert client_says_s >= 0.2
    assert 0 < server_says_s < client_says_s


def test_the_two_stopwatches(lesson, nothing_left):
    lesson["steady"] = lpws.Workload(clients=1, rate_hz=50, duration_s=0.6, pattern="periodic")
    table = lesson["two_stopwatches"](0.1)
    assert len(table) == 30
    assert (table.honest_s >= table.naive_s).all()
    assert table.honest_s.max() >= 0.1


@pytest.mark.parametrize("bad", [value for value in booklet.BAD if value != 0])
def test_what_makes_no_sense_is_said(lesson, bad):
    for call in ("asyncio.run(ages_s(bad))", "two_stopwatches(bad)"):
        assert booklet.complaint(call, lesson | {"bad": bad, "asyncio": asyncio})


def test_a_guess_of_any_kind(monkeypatch, lesson):
    monkeypatch.setattr(lpws, "measure", booklet.twin)
    lesson["steady"] = lpws.Workload(clients=1, rate_hz=50, duration_s=0.5, pattern="periodic")
    run(lesson, "guess", "stalled =", change={"STALL_S)": "0.1)"})
    for name in GUESSES:
        (cell,) = (cell for cell in booklet.code(PATH) if f"guess({name}" in cell.source)
        for bad in booklet.BAD:
            assert not booklet.complaint(cell.source, lesson | {name: bad})


def test_a_frozen_run_is_one(lesson):
    """Nothing happens while everything stands still, nothing is lost, and due times stay."""
    run(lesson, "import dataclasses")
    frozen = lesson["frozen"]
    happened = [event[0] for event in frozen.events if event[1] != "due"]
    assert not [t for t in happened if 30.0 <= t < 31.0]
    assert happened.count(31.0) > 50
    assert set(lpws.deliveries(frozen).state) == {"delivered"}
    due = [event for event in frozen.events if event[1] == "due"]
    assert [event[0] for event in due] == pytest.approx(lesson["minute"].due_times_s())


# ------------------------------------------------------------------ mutations, and the claims that notice

ACCOUNT = ("brief =", "def account", "polling =")


def accounts(namespace, clients_in="process", few=True):
    """What the notebook claims of its accounts; the runs are shorter, and those of polling alone if few."""
    real = lpws.measure
    change = {"duration_s=0.5": "duration_s=0.3", "lpws.measure(kind, brief)": "measure(kind, brief)"}
    if few:
        change |= {'    "SSE": lpws.SSE(),\n': "", '    "WebSocket": lpws.WebSocket(),\n': ""}
    namespace["measure"] = lambda *spec: real(*spec, clients_in=clients_in)
    return run(namespace, *ACCOUNT, change=change)


class CountsOneLess:
    """A stream that does not count the first byte of each write, or of each read."""

    def write_to_fd(self, data):
        size = CountedStream_write(self, data)
        self.bytes_written -= 1
        return size

    def read_from_fd(self, buf):
        size = CountedStream_read(self, buf)
        self.bytes_read -= bool(size)
        return size


CountedStream_write, CountedStream_read = CountedStream.write_to_fd, CountedStream.read_from_fd


def test_the_accounts_agree(lesson):
    said = accounts(lesson, few=False)
    assert said.count("✓") == len(said.splitlines()) == 6


@pytest.mark.parametrize(("method", "way"), [("write_to_fd", "down"), ("read_from_fd", "up")])
def test_a_byte_that_is_not_counted_is_noticed(monkeypatch, lesson, method, way):
    monkeypatch.setattr(CountedStream, method, getattr(CountsOneLess, method))
    said = accounts(lesson)
    other = {"up": "down", "down": "up"}[way]
    assert f"✗ and with polling, the clients too: the same bytes {way}" in said
    assert f"✓ and with polling, the clients too: the same bytes {other}" in said
    if all(lesson["tells"].values()):  # the system does
        assert f"✗ the server and the system's TCP count the same bytes {way}" in said


def test_a_connection_that_is_not_recorded_is_noticed(monkeypatch, lesson):
    def handle_stream(self, stream, address, handle=CountingServer.handle_stream):
        record, self.record = self.record, lambda event: None if event[1] == "opened" else record(event)
        try:
            handle(self, stream, address)
        finally:
            self.record = record

    monkeypatch.setattr(CountingServer, "handle_stream", handle_stream)
    said = accounts(lesson)
    assert "✗ clients and server count the same connections" in said
    assert "✓ clients and server count the same requests" in said


def test_a_client_that_counts_wrongly_is_noticed(monkeypatch, lesson):
    def begin(self, begin=Fleet.__post_init__):
        begin(self)
        record = self.record
        self.record = lambda event: record((*event[:-1], event[-1] - (event[1] == "request_sent")))

    monkeypatch.setattr(Fleet, "__post_init__", begin)
    said = accounts(lesson, clients_in="thread")
    assert "✗ and with polling, the clients too: the same bytes up" in said
    assert "✓ and with polling, the clients too: the same bytes down" in said


LATENESS = ("guess_late_ms", "from lpws.health", "chunks =", "ax = axes(None, 7.5, 2.4)", "def p99")
REGULAR = lpws.Workload(clients=2, rate_hz=10, duration_s=1.0, pattern="periodic")


def lateness(namespace, edit=lambda events: events):
    """What the notebook claims of the link, of a run whose trace is edited."""
    namespace["regular"] = REGULAR
    far = lpws.measure(lpws.WebSocket(), REGULAR, namespace["link"])
    far.events[:] = edit(far.events)
    namespace["far"] = far
    return run(namespace, *LATENESS)


def shifted(name, side, by_s):
    """An edit: these events happen so much later."""
    return lambda events: [
        (t + by_s, *rest) if tuple(rest[:2]) == (name, side) else (t, *rest) for t, *rest in events
    ]


def without_a_chunk(events):
    """An edit: one chunk that carried a message is not in the trace."""
    lost = next(event for event in events if event[1] == "relayed" and event[0] > 0 and event[7] > 20)
    return [event for event in events if event != lost]


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda events: events, None),
        (shifted("relayed", "link", -10.0), "nothing left the link before it was due"),
        (shifted("message_received", "client", -10.0), "no message crossed in less than the delay"),
        (shifted("message_sent", "server", 0.01), "the median transit exceeds the delay by more than"),
        (without_a_chunk, "the link carried every message, to the byte"),
    ],
    ids=["none", "early link", "early client", "late server", "lost chunk"],
)
def test_a_trace_that_cannot_be_is_noticed(lesson, edit, sentence):
    said = lateness(lesson, edit)
    assert "✓" in said
    if sentence is None:
        assert said.count("✓") == len(said.splitlines()) == 5
    else:
        assert f"✗ {sentence}" in said


def test_a_link_that_is_too_short_is_noticed(monkeypatch, lesson):
    def shorter(self, link, *rest, init=Relay.__init__):
        init(self, lpws.Link(delay_s=0.1 * link.delay_s), *rest)

    monkeypatch.setattr(Relay, "__init__", shorter)
    # The machine may be late by more than what the link lacks, but not each time.
    assert "✗ no message crossed in less than the delay" in lateness(lesson)


def test_a_health_that_looks_at_the_median_is_noticed(monkeypatch, lesson):
    monkeypatch.setattr("lpws.health._median_and_p99", lambda values: (0.0, sorted(values)[0]))
    said = lateness(lesson)
    assert "✗ the health of the run names the p99" in said


def test_a_kernel_that_is_idle_after_all_is_noticed(lesson):
    """What else the machine does may make one of two runs three times as slow, but not each time."""
    lesson["work"] = lpws.Workload(clients=5, rate_hz=50, duration_s=0.5)
    change = {"sorted(cards)": "over.wait(0.01)", "push, work,": "push, work, lpws.Link(delay_s=0.001),"}
    cells = ("guess_factor", "import contextlib", "median_s", "computed")

    def noticed():
        said = run(lesson, *cells, change=change)
        assert "✓ and still every message arrived" in said
        return "✗ a kernel that computes made the median message more than three times as old" in said

    assert any(noticed() for _ in range(3))


SPOILED = ("BUSY_S", 'lpws.claim("to a client')
CROWD = {"clients=300": "clients=60", "rate_hz=5.0, duration_s=1.0": "rate_hz=50.0, duration_s=0.2"}


def test_a_loop_that_is_free_is_noticed(lesson):
    run(lesson, "import asyncio", change={"time.sleep(busy_s)": "pass"})
    said = run(lesson, *SPOILED, change={**CROWD, "BUSY_S = 0.4": "BUSY_S = 2.0"})
    assert "✗ to a client whose loop computes, a message is at least as old" in said
    assert "✓ the server had sent it" in said


@pytest.mark.parametrize("barrier", [True, False])
def test_a_barrier_that_is_open_is_noticed(monkeypatch, lesson, barrier):
    """All messages come at once, so that however quick the machine, a crowd is still connecting."""
    if not barrier:
        monkeypatch.setattr(measurement._Experiment, "_barrier", lambda _self: None)
        monkeypatch.setattr(measurement, "LEAD_S", 0.0)
    said = run(lesson, *SPOILED, change={"rate_hz=5.0, duration_s=1.0": "rate_hz=1000.0, duration_s=0.005"})
    verdict = "✓" if barrier else "✗"
    assert f"{verdict} without a barrier, messages would look more than three times as old" in said
    assert "✓ the server had sent it" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, None),
        ({"clock() - start - intended_s))": "clock() - sent))"}, "the honest p99 is more than five times"),
        ({"clock() - sent, ": "clock() - start - intended_s, "}, "the honest p99 is more than five times"),
        ({"server.thread.post": "(lambda *_: None)"}, "the honest p99 is at least nine tenths"),
    ],
    ids=["none", "both naive", "both honest", "no stall"],
)
def test_a_stopwatch_that_starts_at_the_wrong_time_is_noticed(lesson, change, sentence):
    change = {"rate_hz=100.0, duration_s=4.0": "rate_hz=100.0, duration_s=2.0", **change}
    said = run(lesson, "from lpws.run", "import http.client", "stalled =", "naive_s", change=change)
    if sentence is None:
        assert said.count("✓") == len(said.splitlines()) == 4
    else:
        assert f"✗ {sentence}" in said


def test_a_link_that_gives_connections_away_is_noticed(monkeypatch, lesson):
    """A new connection that costs no round trip."""

    def begin(self, begin=Crossing.begin):
        begin(self)
        self.near.open_at = 0.0
        self.knock.cancel()
        self.knock = self.loop.create_task(self._knock(0.0))

    nothing = "nothing was faster than one, three and five transits"
    lesson |= {"second_s": {}, "distance": lpws.Link(delay_s=0.05)}
    run(lesson, "from lpws.run import DATA", "recorded =")
    change = {"duration_s=2.0": "duration_s=1.0"}
    (cell,) = (cell for cell in booklet.code(PATH) if cell.source.startswith("KINDS"))
    change |= {line + "\n": "" for line in cell.source.splitlines()[1:3]}  # leaves the one that closes
    assert f"✓ in your run {nothing}" in run(lesson, "KINDS", "least", change=change)
    monkeypatch.setattr(Crossing, "begin", begin)
    assert f"✗ in your run {nothing}" in run(lesson, "KINDS", "least", change=change)
