"""A measured run loses nothing, and the two sides' books agree."""

import threading
from dataclasses import replace

import accounting
import pytest

import lpws
from lpws.run import _from_dict, _to_dict

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
