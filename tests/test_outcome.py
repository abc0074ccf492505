"""The books of a run: what became of its messages, and what explains it."""

from dataclasses import replace

import accounting
import pytest

import lpws
from lpws.health import BUSY_SHARE, LIMIT_S, TICK_S
from lpws.outcome import ALL, HANDLERS, Books, heavy
from lpws.trace import NONE

WORK = lpws.Workload(clients=2, rate_hz=10, duration_s=1.0, seed=9)
LINK = lpws.Link(delay_s=0.01)
POLLING = lpws.LongPolling()


@pytest.fixture(scope="module", params=["WebSocket", "long polling", "short polling", "SSE"])
def measured(request):
    transport = {
        "WebSocket": lpws.WebSocket(), "long polling": POLLING, "SSE": lpws.SSE(),
        "short polling": lpws.ShortPolling(interval_s=0.1),
    }[request.param]  # fmt: skip
    return lpws.measure(transport, WORK, LINK)


def without(run, *places):
    return replace(run, events=[event for place, event in enumerate(run.events) if place not in places])


def places(run, name, side="client"):
    return [place for place, event in enumerate(run.events) if event[1] == name and event[2] == side]


def unfit_by_books(run):
    return bool(run.health.faults or run.health.unexplained)


def test_a_right_run_has_nothing_to_explain(measured):
    assert not unfit_by_books(measured)
    assert measured.health.outcome == {}


@pytest.mark.parametrize("name", accounting.COUNTED)
def test_an_event_that_is_lost_or_doubled_makes_the_run_unfit(measured, name):
    found = [place for place, event in enumerate(measured.events) if event[1] == name]
    if not found:
        assert (measured.label, name[:9]) == ("SSE", "response_")  # whose answer does not end
        return
    for place in (found[0], found[len(found) // 2]):
        events = measured.events
        assert unfit_by_books(without(measured, place)), "lost"
        doubled = replace(measured, events=events[: place + 1] + events[place:])
        # A connection whose begin is noted twice leaves all else in order.
        assert unfit_by_books(doubled) or name in ("opening", "read", "written"), "doubled"


def test_what_is_missed_needs_a_cause():
    """The same events under specifications that do or do not explain them."""
    whole = lpws.simulate(POLLING, WORK, LINK)
    first = places(whole, "message_received")[0]
    run = without(whole, first)
    assert run.health.outcome == {"missed": 1}
    assert run.health.unexplained == {"missed": 1}
    assert not run.health.good
    assert "1 missed (unexplained)" in run.health.verdict
    for explained, cause in (
        (replace(run, transport=lpws.LongPolling(cursor=False)), "no cursor"),
        (replace(run, link=replace(LINK, cut_at_s=0.5)), "a fault of the link"),
        (replace(run, link=replace(LINK, silent_at_s=0.5)), "a fault of the link"),
        (replace(run, causes=HANDLERS), "a handler of the reader's"),
        (replace(run, causes=("a crash of the server",)), "a crash of the server"),
    ):
        assert explained.health.causes == {"missed": cause}
        assert explained.health.good, explained
        assert f"1 missed ({cause})" in explained.health.verdict
        assert "\n" not in repr(explained)


@pytest.mark.parametrize(("transport", "explained"), [(POLLING, False), (lpws.Reload(), True)])
def test_a_reader_who_has_not_reloaded_yet_is_no_fault(transport, explained):
    whole = lpws.simulate(lpws.ShortPolling(interval_s=0.1), WORK)
    run = replace(without(whole, places(whole, "message_received")[-1]), transport=transport)
    assert run.health.outcome["pending"] == 1
    assert ("pending" in run.health.causes) == explained


@pytest.mark.parametrize("what", ["doubled", "reordered", "unknown", "failed"])
def test_each_kind_is_counted(what):
    whole = lpws.simulate(lpws.WebSocket(), WORK)
    events = list(whole.events)
    here = [place for place in places(whole, "message_received") if events[place][3] == 0]
    one, other = here[3], here[4]
    if what == "doubled":
        events.insert(one + 1, events[one])
    elif what == "reordered":
        events[one], events[other] = (
            tuple(events[one][:6]) + tuple(events[other][6:]),
            tuple(events[other][:6]) + tuple(events[one][6:]),
        )
    elif what == "unknown":
        events.insert(one, (*events[one][:6], 999, 1))
        events = [event for event in events if event[6] == 999 or event[6] < 999]
    else:
        events.append((1.0, "failed", "client", 0, 0, 0, NONE, 500))
    run = replace(whole, events=events)
    assert run.health.outcome[what] == 1
    assert not run.health.good
    assert replace(run, causes=HANDLERS).health.good
    # A link that is cut loses, but it makes nothing twice and turns nothing round.
    cut = replace(run, link=lpws.Link(delay_s=0.0, cut_at_s=0.5))
    assert (what in cut.health.causes) == (what == "failed")


@pytest.mark.parametrize(
    ("given", "excuse"),
    [
        # A proxy that has lost a server asks another one: the client gets one of two answers.
        (
            {"transport": lpws.LongPolling(cursor=False), "through": lpws.Proxy(lpws.Proxy.OPEN)},
            (0.1, "request_received", "server", 0, 0, 1, NONE, NONE),
        ),
        # A stream that broke off with its last words on the way.
        (
            {"transport": lpws.SSE(), "outages": (lpws.Outage(at_s=0.3, away_s=None),)},
            (0.3, "failed", "client", 0, 0, 1, NONE, 0),
        ),
    ],
    ids=["asked twice", "broken off"],
)
def test_what_was_sent_in_vain_and_should_not_have_been(given, excuse):
    events = [
        (0.0, "request_sent", "client", 0, 0, 1, NONE, 0),
        (0.1, "request_received", "server", 0, 0, 1, NONE, NONE),
        (0.2, "message_sent", "server", 0, 0, 1, 5, 9),
        (0.3, "response_received", "client", 0, 0, 1, NONE, 0),
    ]
    run = replace(lpws.simulate(POLLING, WORK), events=events, **given)
    assert Books(run).in_vain == {(0, 5)}
    assert Books(replace(run, events=[*events, excuse])).in_vain == set()


def test_all_kinds_are_named():
    run = lpws.simulate(lpws.WebSocket(), WORK)
    assert set(Books(replace(run, events=[])).outcome) <= set(ALL)


# ------------------------------------------------------------------------- a load that is too much


def ticks(late_s, busy):
    """Ticks of the server's loop, late again and again, in a thread that computed or was kept waiting."""
    events, t, used_s = [], 0.0, 0.0
    for number in range(20):
        due = t + 0.05
        t = due + late_s
        used_s += (0.05 + late_s) * (BUSY_SHARE + 0.1 if busy else 0.1)
        events.append((due, "due", "server", NONE, NONE, -2 - number, NONE, NONE))
        events.append((t, "ticked", "server", NONE, NONE, -2 - number, NONE, int(1e6 * used_s)))
    return events


CROWD = replace(WORK, clients=10_000)


@pytest.mark.parametrize(
    ("work", "busy", "good"),
    [(CROWD, True, True), (CROWD, False, False), (WORK, True, False), (WORK, False, False)],
)
def test_a_saturated_server_is_a_result_where_the_load_says_so(work, busy, good):
    events = ticks(5 * LIMIT_S, busy)
    run = lpws.Run(lpws.WebSocket(), work, None, events)
    assert run.health.good == good
    assert run.health.resolution_s >= 5 * LIMIT_S  # what may be believed is said in any case
    assert ("by the load" in str(run.health)) == good


def test_what_is_asked_of_a_server():
    assert not heavy(lpws.WebSocket(), lpws.Workload(clients=20, rate_hz=30))
    assert heavy(lpws.WebSocket(), lpws.Workload(clients=1_000, rate_hz=1))
    assert heavy(lpws.ShortPolling(interval_s=0.01), lpws.Workload(clients=50))
    assert not heavy(lpws.ShortPolling(interval_s=1), lpws.Workload(clients=1_000))
    assert heavy(lpws.ShortPolling(interval_s=1, aligned=True), lpws.Workload(clients=1_000))


def lived(by_s, stands_s=(0.0, 0.0), often_s=0.0, sent_s=None):
    """A run that knows nothing but its messages, which are late, and its ticks.

    Meanwhile the whole process stands still once, all its loops with it; and each tick is often late.
    """
    events = []

    def after(t):
        return max(t, stands_s[1]) if t > stands_s[0] else t

    for side in ("server", "client"):
        t = 0.0
        for number in range(-2, -42, -1):
            due, t = t + TICK_S, after(t + TICK_S + often_s)
            events += [(due, "due", side, NONE, NONE, number, NONE, NONE),
                       (t, "ticked", side, NONE, NONE, number, NONE, 0)]  # fmt: skip
    for message, due in enumerate(sent_s or [0.04 * n for n in range(1, 13)], 1):
        sent = after(due)
        events += [(due, "due", "publisher", NONE, NONE, NONE, message, NONE),
                   (sent, "published", "server", NONE, NONE, NONE, message, 9),
                   (sent, "message_sent", "server", 0, 0, 1, message, 9),
                   (after(sent + by_s), "message_received", "client", 0, 0, 1, message, 9)]  # fmt: skip
    return lpws.Run(lpws.WebSocket(), WORK, None, sorted(events))


TOGETHER = [0.5 + 0.001 * n for n in range(12)]


@pytest.mark.parametrize(
    ("run", "noticed"),
    [
        (lived(by_s=0.001), False),
        (lived(by_s=0.3), True),
        # A process that stands still is one delay, in however many places it shows.
        (lived(by_s=0.3, stands_s=(0.22, 0.37)), True),
        (lived(by_s=0.3, stands_s=(0.22, 0.37), often_s=0.02), True),
        # All of it is excused for messages that were under way just then …
        (lived(by_s=0.02, stands_s=(0.515, 0.9), sent_s=TOGETHER), False),
        # … and nothing else of them, …
        (lived(by_s=0.6, stands_s=(0.515, 0.9), sent_s=TOGETHER), True),
        # … and none of it for the others.
        (lived(by_s=0.08, stands_s=(1.2, 1.6), sent_s=TOGETHER), True),
        # What all parts often are, a message may have met in each of them.
        (lived(by_s=0.04, often_s=0.03), False),
        (lived(by_s=0.009, often_s=0.009), False),
        (lived(by_s=0.3, often_s=0.03), True),
    ],
)
def test_a_delay_is_excused_by_so_much_lateness_as_it_can_have_met(run, noticed):
    assert any("late, and nothing says why" in fault for fault in run.health.faults) == noticed


def test_a_message_later_than_all_parts_together_is_noticed(measured):
    """As if something lay between the stamp at the server and the wire."""
    early = [(event[0] - 0.5 * (event[1] == "message_sent"), *event[1:]) for event in measured.events]
    for events, noticed in ((measured.events, False), (early, True)):
        faults = replace(measured, events=events).health.faults
        assert any("late, and nothing says why" in fault for fault in faults) == noticed
