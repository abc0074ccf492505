"""A measured run loses nothing, and the two sides' books agree."""

import asyncio
import errno
import importlib.util
import threading
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import accounting
import pytest
from tornado.web import RequestHandler
from wire import until

import lpws
from lpws.barrier import wait_for_clients
from lpws.fleet.__main__ import _first
from lpws.fleet.fleet import Fleet
from lpws.fleet.process import RemoteFleet
from lpws.recordings import _from_dict, _to_dict
from lpws.run import machine

LINK = lpws.Link(delay_s=0.01)
WORK = lpws.Workload(clients=6, rate_hz=20, duration_s=1.0, seed=3)
TRANSPORTS = [
    lpws.Reload(pause_s=0.1),
    lpws.Reload(pause_s=0.1, keep_alive=True),
    lpws.ShortPolling(interval_s=0.2),
    lpws.ShortPolling(interval_s=0.2, keep_alive=False),
    lpws.LongPolling(hold_s=5),
    lpws.LongPolling(hold_s=0.05, keep_alive=False),
    lpws.LongPolling(hold_s=5, pause_s=0.1),
    lpws.LongPolling(hold_s=5, cursor=False),
    lpws.SSE(),
    lpws.WebSocket(),
    lpws.WebSocket(flush_s=0.1),
]


@pytest.fixture(scope="module", params=TRANSPORTS, ids=repr)
def run(request):
    return lpws.measure(request.param, WORK, LINK)


def test_the_books_of_both_sides_agree(run):
    assert accounting.faults(run) == []
    assert not run.log


@pytest.mark.parametrize("name", accounting.COUNTED)
def test_an_event_lost_or_doubled_is_noticed(run, name):
    places = [place for place, event in enumerate(run.events) if event[1] == name]
    if not places:  # SSE has no end of an answer
        assert name in ("response_sent", "response_received")
        assert run.label == "SSE"
        return
    for place in (places[0], places[len(places) // 2]):
        lost = run.events[:place] + run.events[place + 1 :]
        doubled = run.events[: place + 1] + run.events[place:]
        assert accounting.faults(replace(run, events=lost)), "lost"
        assert accounting.faults(replace(run, events=doubled)), "doubled"


def test_deliveries_keep_the_same_books(run):
    table = lpws.deliveries(run)
    received = {event[3:7:3] for event in run.events if event[1] == "message_received"}
    published = [event[6] for event in run.events if event[1] == "published"]
    assert len(table) == len(published) * WORK.clients
    there = table[table.state == "delivered"]
    assert set(zip(there.client, there.message, strict=True)) == received
    assert (there.copies == 1).all()


def test_times_are_in_order_across_processes(run):
    """The clock is one: a message arrives after it was sent and not before the link let it."""
    table = lpws.deliveries(run)
    there = table[table.state == "delivered"]
    assert (there.sent_s >= there.published_s).all()
    assert (there.transit_s >= LINK.delay_s).all()
    requests = lpws.requests(run)
    assert (requests.received_s - requests.sent_s).dropna().ge(LINK.delay_s).all()


def test_every_client_has_every_message(run):
    states = lpws.deliveries(run).state.value_counts()
    assert states["pending"] == 0 or run.transport == lpws.LongPolling(hold_s=5, cursor=False)
    if run.transport == lpws.LongPolling(hold_s=5, cursor=False):
        assert states["missed"] > 0  # some messages fall into the gap
    else:
        assert states["delivered"] == states.sum()


def test_a_run_is_saved_and_read_again(run, tmp_path):
    lpws.save({"one": run}, tmp_path / "runs.json.gz")
    again = lpws.load(tmp_path / "runs.json.gz")["one"]
    assert (again.transport, again.workload, again.link) == (run.transport, run.workload, run.link)
    assert [event[1:] for event in again.events] == [event[1:] for event in run.events]
    assert max(abs(a[0] - b[0]) for a, b in zip(again.events, run.events, strict=True)) < 1e-6
    assert _to_dict(_from_dict(_to_dict(run))) == _to_dict(run)


def test_nothing_is_left_behind(nothing_left):
    lpws.measure(lpws.WebSocket(), replace(WORK, duration_s=0.1), LINK)


def test_clients_in_a_thread_keep_the_same_books(nothing_left):
    run = lpws.measure(lpws.LongPolling(), WORK, clients_in="thread")
    assert accounting.faults(run) == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("long polling", WORK), TypeError, "expected Reload or ShortPolling"),
        ((lpws.WebSocket(), 20), TypeError, "expected Workload, got 20"),
        ((lpws.WebSocket(), WORK, 0.025), TypeError, "expected Link or NoneType, got 0.025"),
    ],
)
def test_wrong_arguments_raise_at_once(arguments, error, words):
    with pytest.raises(error, match=words):
        lpws.measure(*arguments)


def test_two_runs_at_once_do_not_disturb_each_other(nothing_left):
    runs = {}
    threads = [
        threading.Thread(target=lambda n=n: runs.setdefault(n, lpws.measure(lpws.WebSocket(), WORK)))
        for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [accounting.faults(run) for run in runs.values()] == [[], []]


# ---------------------------------------------------------------------------- the honest record


@pytest.mark.parametrize("looks_before", [0, 1, 2])
def test_a_watcher_that_looks_away_for_good_gets_the_whole_run(looks_before, nothing_left):
    seen = []

    def watch(looks):
        for _ in range(looks_before):
            seen.append(next(looks))
        looks.close()

    run = lpws.measure(lpws.WebSocket(), WORK, watch=watch)
    assert len(seen) == looks_before
    assert accounting.faults(run) == []
    assert lpws.deliveries(run).state.eq("delivered").all()


def test_a_look_at_a_run_that_is_not_over_is_not_called_unfit_for_that(nothing_left):
    looks = []
    lpws.measure(lpws.WebSocket(), WORK, watch=lambda runs: looks.extend(runs))
    assert len(looks) > 2
    for look in looks[:-1]:
        assert look.causes == ("the run is not over",)
        assert not look.health.faults
        assert not look.health.unexplained
    assert looks[-1].causes == ()


def test_a_look_as_the_clients_end_misses_none_of_what_they_have_counted(monkeypatch, nothing_left):
    """Their last events, and how many they were in all, may come while the others are looked at."""
    events, looks = RemoteFleet.events, []

    def last_ones_come(fleet):
        found = events(fleet)
        until(lambda: fleet.total is not None)
        return found

    monkeypatch.setattr(RemoteFleet, "events", last_ones_come)
    work = replace(WORK, duration_s=0.6)
    lpws.measure(lpws.WebSocket(), work, watch=lambda runs: looks.extend(runs), clients_in="process")
    assert len(looks) > 2
    for look in looks[1:-1]:
        assert look.causes == ("the run is not over",)
        assert look.faults == ()


def test_clients_have_the_same_loop_wherever_they_are(monkeypatch, nothing_left):
    """Else a lesson that compares the two compares loops."""
    loops = []
    begin = Fleet.__post_init__

    def note(self):
        begin(self)
        loops.append(type(self.loop).__module__)

    monkeypatch.setattr(Fleet, "__post_init__", note)
    lpws.measure(lpws.WebSocket(), replace(WORK, duration_s=0.1), clients_in="thread")
    expected = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    assert [name.partition(".")[0] for name in loops] == [expected]


def test_waiting_for_the_first_of_many_compares_few():
    """Not each with each: at 10,000 clients that took 1.5 s, in which the loop stood still."""
    compared = []

    class Counted(asyncio.Future):
        __hash__ = asyncio.Future.__hash__

        def __eq__(self, other):
            compared.append(1)
            return self is other

    async def wait():
        futures = [Counted() for _ in range(500)]
        futures[7].set_result(None)
        await _first(*futures)
        for future in futures:
            future.cancel()

    asyncio.run(wait())
    assert len(compared) < 5_000


def test_a_full_disk_costs_no_recording(run, tmp_path, monkeypatch):
    path = tmp_path / "runs.json.gz"
    lpws.save({"one": run}, path)
    before = path.read_bytes()

    def half(self, data, write=Path.write_bytes):
        write(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        lpws.save({"two": run}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_machine_without_a_package_is_described(monkeypatch):
    def missing(name):
        if name == "uvloop":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("lpws.run.version", missing)
    said = machine()
    assert "uvloop" not in said
    assert said["tornado"] == "1.0"


@pytest.mark.parametrize("transport", [lpws.SSE(), lpws.WebSocket()])
def test_a_stream_that_is_refused_ends_the_wait_with_its_status(transport, monkeypatch, nothing_left):
    class Refuses(RequestHandler):
        def get(self):
            self.send_error(418)

    monkeypatch.setattr("lpws.measurement.READY_S", 100.0)
    began = time.monotonic()
    words = f"expected {transport.path} to let the clients in, it answered 418"
    with pytest.raises(lpws.RunError, match=words):
        lpws.measure(transport, WORK, handler=Refuses)
    assert time.monotonic() - began < 100.0


def test_a_stream_whose_head_is_never_sent_is_told_how(monkeypatch, nothing_left):
    class Waits(RequestHandler):
        async def get(self):
            self.set_header("Content-Type", "text/event-stream")
            await asyncio.Event().wait()

    monkeypatch.setattr("lpws.measurement.READY_S", 2.0)
    with pytest.raises(lpws.RunError, match=r"Does the handler begin its answer\? .*flush"):
        lpws.measure(lpws.SSE(), WORK, handler=Waits)


def test_recordings_of_before_load(run):
    data = _to_dict(run)
    del data["causes"], data["faults"]
    old = _from_dict(data)
    assert (old.causes, old.faults) == ((), ())


def test_causes_and_faults_are_saved(run):
    again = _from_dict(_to_dict(replace(run, causes=("a crash",), faults=("no tea",))))
    assert (again.causes, again.faults) == (("a crash",), ("no tea",))


def test_who_has_arrived_is_looked_at_when_the_clients_are_ready():
    said, looks = set(), []

    class Arriving:
        proxy, log = None, ()

        @property
        def arrived(self):
            looks.append(set(said))
            return {0, 1}

    def until(condition, _limit_s):
        before = condition()
        said.add("ready")
        assert not before
        return condition()

    spec = lpws.Run(lpws.WebSocket(), lpws.Workload(clients=2))
    wait_for_clients(spec, Arriving(), SimpleNamespace(said=said), 1.0, until)
    assert looks == [{"ready"}]
