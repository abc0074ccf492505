"""The frames of a run, against traces made by hand and as properties of simulated runs."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpws import tables
from lpws.run import Run
from lpws.simulation import simulate
from lpws.specs import SSE, Link, LongPolling, Reload, ShortPolling, WebSocket, Workload
from lpws.trace import NONE, Event

WORK = Workload(clients=2, rate_hz=1, duration_s=4)
nan = np.nan


def event(t, name, side, **fields):
    """An event in which what is not said does not apply."""
    return tuple(Event(t, name, side, **(dict.fromkeys(Event._fields[3:], NONE) | fields)))


def published(message, due_s, t):
    due = event(due_s, "due", "publisher", message=message)
    return [due, event(t, "published", "server", message=message, size=9)]


def told(message, client, request, sent_s, received_s=None):
    fields = {"message": message, "client": client, "request": request, "size": 9, "connection": 0}
    sent = [event(sent_s, "message_sent", "server", **fields)]
    return sent + ([] if received_s is None else [event(received_s, "message_received", "client", **fields)])


def run_of(*groups, transport=None, workload=WORK):
    events = [one for group in groups for one in (group if isinstance(group, list) else [group])]
    return Run(transport or LongPolling(), workload, Link(delay_s=0.1), sorted(events, key=lambda e: e[0]))


#: Client 0 makes two requests on one connection, the second of which finds nothing; client 1 is held.
POLLS = [
    event(-1.0, "opening", "client", client=0, connection=0),
    event(-0.9, "opened", "server", connection=5),
    event(-0.8, "opened", "client", client=0, connection=0),
    event(-0.7, "opening", "client", client=1, connection=1),
    event(-0.6, "opened", "server", connection=6),
    event(-0.5, "opened", "client", client=1, connection=1),
    event(0.0, "due", "client", client=0, request=0),
    event(0.1, "request_sent", "client", client=0, connection=0, request=0, size=90),
    event(0.2, "request_received", "server", client=0, connection=5, request=0),
    event(0.3, "request_sent", "client", client=1, connection=1, request=1, size=90),
    event(0.4, "request_received", "server", client=1, connection=6, request=1),
    *published(1, 0.9, 1.0),
    event(1.0, "message_sent", "server", client=0, connection=5, request=0, message=1, size=9),
    event(1.0, "response_sent", "server", client=0, connection=5, request=0, size=11),
    event(1.1, "message_received", "client", client=0, connection=0, request=0, message=1, size=9),
    event(1.1, "response_received", "client", client=0, connection=0, request=0, size=99),
    event(1.2, "request_sent", "client", client=0, connection=0, request=2, size=90),
    event(1.3, "request_received", "server", client=0, connection=5, request=2),
    event(2.0, "response_sent", "server", client=0, connection=5, request=2, size=0),
    event(2.1, "response_received", "client", client=0, connection=0, request=2, size=88),
    event(2.2, "closed", "client", client=0, connection=0),
    event(2.3, "read", "server", connection=5, size=180),
    event(2.3, "written", "server", connection=5, size=187),
    event(2.3, "closed", "server", connection=5),
    # The instrument's own, which are no requests: their numbers are those of ticks and chunks.
    event(2.4, "due", "client", request=7),
    event(2.4, "ticked", "client", request=7),
    event(2.5, "due", "link", request=8),
    event(2.5, "relayed", "link", request=8, size=100),
]


def check(frame, columns):
    """Compare every column of a frame."""
    assert list(frame.columns) == list(columns)
    for name, values in columns.items():
        expected = pd.Series(values, name=name)
        got = frame[name].astype(object) if frame[name].dtype == "category" else frame[name]
        pd.testing.assert_series_equal(got, expected, check_dtype=False, check_index=False)


def test_events_are_the_trace():
    frame = tables.events(run_of(POLLS))
    assert list(frame.columns) == list(Event._fields)
    assert [tuple(row) for row in frame.astype(object).itertuples(index=False)] == POLLS
    assert frame["name"].dtype == "category"
    assert frame.side.dtype == "category"


@pytest.mark.parametrize(("name", "side"), [("shouted", "client"), ("opened", "proxy")])
def test_events_that_no_table_knows(name, side):
    with pytest.raises(ValueError, match="expected events with a .*(shouted|proxy)"):
        tables.events(run_of(event(0, name, side)))


def test_processor_time_is_that_of_the_run():
    ticks = [
        event(t, "ticked", side, request=-2 - n, size=size)
        for side, sizes in (("server", (100, 400, 1_400, 3_400, 9_999)), ("client", (7, 8, 9, 10, 11)))
        for n, (t, size) in enumerate(zip((-0.1, 0.1, 2.0, 4.0, 99.0), sizes, strict=True))
    ]
    run = run_of(ticks)
    assert 4.0 <= run.workload.duration_s < 99
    assert tables.processor_time_s(run) == 0.003
    assert tables.processor_time_s(run, "client") == 2e-6
    with pytest.raises(ValueError, match="'client' or 'server', got 'link'"):
        tables.processor_time_s(run, "link")


def test_processor_time_of_several_servers_is_that_of_all_their_loops():
    """They number their ticks in turn, and each counts the time of its own thread."""
    used = {0: (100, 400), 1: (7_000, 9_000)}
    ticks = [
        event(n + 1, "ticked", "server", request=-2 - server - 2 * n, size=size)
        for server, sizes in used.items() for n, size in enumerate(sizes)
    ]  # fmt: skip
    clients = [event(n, "ticked", "client", request=-2 - n, size=n) for n in range(4)]
    run = replace(run_of(ticks, clients), servers=2)
    assert tables.processor_time_s(run) == 0.0023
    assert tables.processor_time_s(run, "client") == 3e-6


def test_processor_time_that_nobody_measured():
    assert np.isnan(tables.processor_time_s(run_of(POLLS)))
    assert np.isnan(tables.processor_time_s(simulate(WebSocket(), WORK)))


def test_connections_of_the_client():
    check(
        tables.connections(run_of(POLLS)),
        {
            "connection": [0, 1],
            "client": [0, 1],
            "opening_s": [-1.0, -0.7],
            "opened_s": [-0.8, -0.5],
            "closed_s": [2.2, nan],
            "requests": [2, 1],
            "read_bytes": [nan, nan],
            "written_bytes": [nan, nan],
        },
    )


def test_connections_of_the_server():
    silent = event(3.0, "opened", "server", connection=7)
    check(
        tables.connections(run_of(POLLS, silent), side="server"),
        {
            "connection": [5, 6, 7],
            "client": [0, 1, -1],
            "opening_s": [nan, nan, nan],
            "opened_s": [-0.9, -0.6, 3.0],
            "closed_s": [2.3, nan, nan],
            "requests": [2, 1, 0],
            "read_bytes": [180, nan, nan],
            "written_bytes": [187, nan, nan],
        },
    )


@pytest.mark.parametrize("function", [tables.connections, tables.open_over_time])
def test_connections_have_two_sides(function):
    with pytest.raises(ValueError, match="expected side 'client' or 'server', got 'link'"):
        function(run_of(POLLS), side="link")


def test_requests_join_both_sides():
    check(
        tables.requests(run_of(POLLS)),
        {
            "request": [0, 1, 2],
            "client": [0, 1, 0],
            "due_s": [0.0, nan, nan],
            "sent_s": [0.1, 0.3, 1.2],
            "received_s": [0.2, 0.4, 1.3],
            "answered_s": [1.0, nan, 2.0],
            "response_s": [1.1, nan, 2.1],
            "held_s": [0.8, nan, 0.7],
            "messages": [1, 0, 0],
            "empty": [False, False, True],
            "failed_status": [-1, -1, -1],
        },
    )


def test_requests_that_failed_are_not_empty():
    answered = event(3.0, "response_sent", "server", client=1, connection=6, request=1, size=0)
    failed = event(3.1, "failed", "client", client=1, connection=1, request=1, size=503)
    frame = tables.requests(run_of(POLLS, answered, failed))
    assert frame.failed_status.tolist() == [-1, 503, -1]
    assert not frame["empty"][1]


def test_requests_that_open_a_stream_are_not_empty():
    for transport in (WebSocket(), SSE()):
        frame = tables.requests(run_of(POLLS, transport=transport))
        assert frame.answered_s.notna().any()
        assert not frame["empty"].any()


def test_deliveries_of_every_message_to_every_client():
    run = run_of(
        published(1, 0.9, 1.0), published(2, 1.9, 2.0), published(3, 3.0, 3.0),
        told(1, 0, 4, 1.1, 1.3), told(2, 0, 4, 2.1),  # client 0: the second was lost on the way
        told(3, 0, 6, 3.1, 3.2),
        told(1, 1, 5, 1.2, 1.4),  # client 1: the run ended before the others came
    )  # fmt: skip
    check(
        tables.deliveries(run),
        {
            "message": [1, 1, 2, 2, 3, 3],
            "client": [0, 1, 0, 1, 0, 1],
            "due_s": [0.9, 0.9, 1.9, 1.9, 3.0, 3.0],
            "published_s": [1.0, 1.0, 2.0, 2.0, 3.0, 3.0],
            "sent_s": [1.1, 1.2, 2.1, nan, 3.1, nan],
            "received_s": [1.3, 1.4, nan, nan, 3.2, nan],
            "latency_s": [0.4, 0.5, nan, nan, 0.2, nan],
            "transit_s": [0.2, 0.2, nan, nan, 0.1, nan],
            "request": [4, 5, -1, -1, 6, -1],
            "state": ["delivered", "delivered", "missed", "pending", "delivered", "pending"],
            "copies": [1, 1, 0, 0, 1, 0],
        },
    )


def test_deliveries_belong_to_the_sending_that_arrived():
    run = run_of(published(1, 0, 0), told(1, 0, 4, 0.1), told(1, 0, 5, 1.0, 1.2))
    frame = tables.deliveries(run).iloc[0]
    assert (frame.sent_s, frame.request, frame.copies) == (1.0, 5, 1)
    assert frame.transit_s == pytest.approx(0.2)


def test_deliveries_count_copies():
    run = run_of(published(1, 0, 0), told(1, 0, 4, 0.1, 0.2), told(1, 0, 4, 0.3, 0.4))
    frame = tables.deliveries(run)
    assert frame.copies.tolist() == [2, 0]
    assert (frame.sent_s[0], frame.received_s[0]) == (0.1, 0.2)
    assert tables.summary(run).counts.extra_copies.tolist() == [1]


def test_deliveries_of_what_nobody_published_show():
    frame = tables.deliveries(run_of(published(1, 0, 0), told(9, 1, 4, 0.1, 0.2)))
    assert frame.message.tolist() == [1, 1, 9, 9]
    assert frame.published_s.isna().tolist() == [False, False, True, True]
    assert frame.state.tolist() == ["pending", "missed", "pending", "delivered"]


def test_latency_counts_from_the_due_time():
    late = tables.deliveries(run_of(published(1, 0, 3.0), told(1, 0, 4, 3.0, 3.1)))
    assert late.latency_s[0] == pytest.approx(3.1)
    undue = tables.deliveries(run_of(published(1, 0, 3.0)[1:], told(1, 0, 4, 3.0, 3.1)))
    assert undue.latency_s.isna().all()


def test_open_over_time():
    check(tables.open_over_time(run_of(POLLS)), {"t_s": [-1.0, -0.7, 2.2], "open": [1, 2, 1]})
    check(tables.open_over_time(run_of(POLLS), "server"), {"t_s": [-0.9, -0.6, 2.3], "open": [1, 2, 1]})


@pytest.mark.parametrize(
    ("name", "side", "function"),
    [
        ("opened", "client", tables.connections),
        ("closed", "client", tables.connections),
        ("request_sent", "client", tables.requests),
        ("response_sent", "server", tables.requests),
        ("published", "server", tables.deliveries),
    ],
)
def test_an_event_that_is_there_twice_is_noticed(name, side, function):
    double = next(one for one in POLLS if one[1:3] == (name, side))
    function(run_of(POLLS))
    with pytest.raises(ValueError, match=f"expected one {name} for each"):
        function(run_of(POLLS, double))


def test_an_event_that_is_not_there_is_noticed():
    run = simulate(ShortPolling(interval_s=0.5, keep_alive=False), WORK, Link(delay_s=0.02))

    def all_of(events):
        less = Run(run.transport, run.workload, run.link, events)
        sides = [tables.connections(less, side) for side in ("client", "server")]
        return [frame.to_csv() for frame in (*sides, tables.requests(less), tables.deliveries(less))]

    whole, seen = all_of(run.events), set()
    for n, (_, name, side, *_) in enumerate(run.events):
        if (name, side) not in seen:
            seen.add((name, side))
            assert all_of(run.events[:n] + run.events[n + 1 :]) != whole, (name, side)
    assert len(seen) >= 13


def test_an_empty_trace():
    run = Run(LongPolling(), WORK)
    for table in (tables.events, tables.requests, tables.deliveries, tables.open_over_time):
        frame = table(run)
        assert frame.empty
        assert len(frame.columns) > 1
    for side in ("client", "server"):
        assert tables.connections(run, side).empty
    row = tables.summary(run).loc["long polling"]
    assert row.counts.drop("empty_share").eq(0).all()
    assert row.latency_s.isna().all()


@pytest.fixture
def made(monkeypatch):
    """The runs of which a table of events was made, each time it was."""
    runs, make = [], tables.trace._make_table
    monkeypatch.setattr(tables.trace, "_make_table", lambda run: runs.append(run) or make(run))
    return runs


def test_figures_and_tables_share_one_table_of_events_per_run(made):
    import lpws

    race = lpws.load_run("race")
    lpws.lifelines(race)
    assert made == list(race.values())
    lpws.ladder(next(iter(race.values())))
    lpws.summary(race)
    assert len(made) == 5


def test_the_table_of_a_run_goes_when_the_run_goes(made):
    import gc
    import weakref

    run = run_of(POLLS)
    frame = weakref.ref(tables.trace.event_table(run))
    made.clear()
    del run
    gc.collect()
    assert frame() is None


def test_a_reader_may_change_what_events_gives_without_changing_other_tables():
    run = run_of(POLLS)
    before = tables.connections(run)
    frame = tables.events(run)
    frame["t"], frame["request"] = 7.0, 7
    frame.loc[:, "connection"] = 7
    pd.testing.assert_frame_equal(tables.connections(run), before)


def test_events_of_a_run_have_names():
    recorded = [tuple(event) for event in POLLS]
    assert not hasattr(recorded[0], "name")
    run = Run(LongPolling(), WORK, None, recorded)
    assert run.events == recorded
    assert [event.name for event in run.events] == [event[1] for event in recorded]


def test_a_run_equals_itself_alone():
    one, other = run_of(POLLS), run_of(POLLS)
    assert one == one
    assert one != other
    assert {one: 1}[one] == 1


def test_summary():
    row = tables.summary({"mine": run_of(POLLS)}).loc["mine"]
    assert row.counts.to_dict() == {
        "opened_client": 2, "opened_server": 2, "opened_client_from_0": 0, "opened_server_from_0": 0,
        "open_peak_client": 2, "open_peak_server": 2, "requests": 3, "empty_share": 0.5,
        "published": 1, "delivered": 1, "missed": 0, "pending": 1, "extra_copies": 0,
    }  # fmt: skip
    # The message that did not reach client 1 is infinitely old, and half of all.
    assert row.latency_s.to_dict() == {
        "median": pytest.approx(0.2), "p99": np.inf, "mean_delivered": pytest.approx(0.2),
    }  # fmt: skip


transports = st.one_of(
    st.builds(Reload, pause_s=st.floats(0.05, 1), keep_alive=st.booleans()),
    st.builds(ShortPolling, interval_s=st.floats(0.1, 2), keep_alive=st.booleans(), aligned=st.booleans()),
    st.builds(LongPolling, hold_s=st.floats(0.1, 5), keep_alive=st.booleans(), cursor=st.booleans()),
    st.builds(SSE),
    st.builds(WebSocket, flush_s=st.sampled_from([0.0, 0.1])),
)
workloads = st.builds(
    Workload, clients=st.integers(1, 4), rate_hz=st.floats(0.5, 10), duration_s=st.floats(0.5, 3),
    pattern=st.sampled_from(["poisson", "periodic", "bursts"]), seed=st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(transports, workloads, st.sampled_from([0.0, 0.01, 0.05]))
def test_what_holds_in_every_run(transport, workload, delay_s):
    run = simulate(transport, workload, Link(delay_s=delay_s))
    names = Counter((name, side) for _, name, side, *_ in run.events)

    told = tables.deliveries(run)
    assert len(told) == names["published", "server"] * workload.clients
    assert told.state.value_counts().sum() == len(told)
    assert told.copies.sum() == names["message_received", "client"]
    assert (told.copies <= 1).all()
    arrived = told[told.state == "delivered"]
    assert len(arrived) == told.received_s.notna().sum()
    assert (arrived.transit_s >= delay_s - 1e-9).all()
    assert (arrived.latency_s >= arrived.transit_s - 1e-9).all()
    if transport.cursor and not transport.at_random:  # else the last readers may not have reloaded
        assert (told.state == "delivered").all()
    in_order = arrived.sort_values(["client", "message"]).groupby("client").received_s
    assert in_order.apply(lambda received_s: received_s.is_monotonic_increasing).all()

    asked = tables.requests(run)
    assert len(asked) == names["request_sent", "client"]
    assert asked.messages.sum() == names["message_sent", "server"]
    assert (asked.held_s.dropna() >= 0).all()
    if isinstance(transport, LongPolling):
        assert (asked.held_s.dropna() <= transport.hold_s + 1e-9).all()
        assert ((asked.messages > 0) | asked["empty"] | asked.answered_s.isna()).all()

    for side in ("client", "server"):
        lines = tables.connections(run, side)
        assert len(lines) == names["opening" if side == "client" else "opened", side]
        assert lines.closed_s.notna().all()
        assert not (lines.closed_s < lines.opened_s).any()
        assert tables.open_over_time(run, side).open.iloc[-1] == 0
    counts = tables.summary(run).counts.iloc[0]
    assert counts.opened_client == counts.opened_server
    assert counts.delivered + counts.missed + counts.pending == counts.published * workload.clients
