"""The simulation against the closed forms, against a few lines by hand, and against what must always hold."""

import gc
from collections import Counter, deque
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpws import models
from lpws.decisions import Mailbox, Window
from lpws.run import FEW, Run
from lpws.simulation import simulate
from lpws.simulation.world import HEAD_BYTES, REQUEST_BYTES
from lpws.specs import SSE, Link, LongPolling, Reload, ShortPolling, WebSocket, Workload
from lpws.trace import NAMES, SIDES, Event

D = 0.05  # one transit [s] wherever it does not matter
within = {"rel": 0.02}  # for seeds that are fixed, so that there is no luck in it

# Readers and short polls have a phase each; the long polls of all clients keep step, so that one will do.
WIDE = Workload(clients=40, rate_hz=2, duration_s=600)


def pick(run, name, side):
    """The events of this name and side."""
    return [event for event in run.events if event[1] == name and event[2] == side]


def latency_s(run):
    """Latency of every delivery [s]."""
    published = {event[6]: event[0] for event in pick(run, "published", "server")}
    return np.array([t - published[id] for t, *_, id, _ in pick(run, "message_received", "client")])


def hz(run, name, side):
    """Events per second and client while messages are published."""
    inside = [t for t, *_ in pick(run, name, side) if 0 <= t < run.workload.duration_s]
    return len(inside) / run.workload.duration_s / run.workload.clients


def noise(share, n):
    """Five standard errors of a share that was found in `n` cases."""
    return 5 * np.sqrt(share * (1 - share) / n)


def rate_hz(run):
    """Realized rate of messages."""
    return len(pick(run, "published", "server")) / run.workload.duration_s


def open_on_average(run, side):
    """Connections open on average while messages are published."""
    first = "opening" if side == "client" else "opened"
    clip = lambda t: np.clip([event[0] for event in t], 0, run.workload.duration_s).sum()  # noqa: E731
    return (clip(pick(run, "closed", side)) - clip(pick(run, first, side))) / run.workload.duration_s


def fed(transport, workload, **link):
    return simulate(transport, workload, Link(**{"delay_s": D, **link}))


# ------------------------------------------------------------------- against the closed forms


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("pause_s", [0.5, 1.0])
def test_reload(pause_s, keep_alive):
    run = fed(Reload(pause_s=pause_s, keep_alive=keep_alive), WIDE)
    form = {"pause_s": pause_s, "delay_s": D, "handshakes": 0 if keep_alive else 1}
    cycle_s = pause_s + 2 * D * (1 + form["handshakes"])
    assert hz(run, "request_received", "server") == pytest.approx(1 / cycle_s, **within)
    late = latency_s(run)
    assert late.mean() == pytest.approx(models.reload_latency(**form), **within)
    for q in (0.1, 0.5, 0.9):
        assert models.reload_cdf(np.quantile(late, q), **form) == pytest.approx(q, abs=0.02)
    # The paradox: a timer of the same rate would make them half as old.
    timer_s = models.short_polling_latency(interval_s=1 / hz(run, "request_sent", "client"), delay_s=D)
    assert late.mean() > 1.15 * timer_s


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_short_polling(rate, keep_alive):
    interval_s = 0.5
    work = Workload(clients=8, rate_hz=rate, duration_s=2500, seed=2)
    run = fed(ShortPolling(interval_s=interval_s, keep_alive=keep_alive), work)
    assert hz(run, "due", "client") == pytest.approx(1 / interval_s, rel=1e-3)
    assert hz(run, "request_received", "server") == pytest.approx(1 / interval_s, rel=1e-3)
    late = latency_s(run)
    reach_s = (
        0 if keep_alive else 2 * D
    )  # a new connection reaches the server later, and so does each of its polls
    assert late.mean() == pytest.approx(
        models.short_polling_latency(interval_s=interval_s, delay_s=D), **within
    )
    assert late.std() == pytest.approx(interval_s / np.sqrt(12), **within)
    assert D <= late.min() <= late.max() <= D + interval_s + 1e-9
    for q in (0.1, 0.5, 0.9):
        form_cdf = models.short_polling_cdf(np.quantile(late, q), interval_s=interval_s, delay_s=D)
        assert form_cdf == pytest.approx(q, abs=0.02)
    answers = pick(run, "response_sent", "server")
    full = [event for event in answers if event[-1]]
    realized = rate_hz(run)
    form = models.nonempty_share(rate_hz=realized, interval_s=interval_s)
    assert len(full) / len(answers) == pytest.approx(form, **within)
    # Had the server kept only the newest, one message a full answer would have been seen.
    seen = len(full) / work.clients / len(pick(run, "published", "server"))
    assert seen == pytest.approx(form / (realized * interval_s), **within)
    first = {event[5]: event[0] for event in pick(run, "due", "client")}
    trips = [t - first[number] for t, _, _, _, _, number, _, _ in pick(run, "request_received", "server")]
    assert trips == pytest.approx([D + reach_s] * len(trips))


LONG_POLLS = [
    LongPolling(hold_s=300),
    LongPolling(hold_s=300, keep_alive=False),
    LongPolling(hold_s=300, pause_s=0.2),
    LongPolling(hold_s=300, pause_s=0.3, keep_alive=False),
    LongPolling(hold_s=0.2),
    LongPolling(hold_s=0.1, keep_alive=False, pause_s=0.1),
]


def gap(polling, delay_s=D):
    return models.repoll_gap(
        delay_s=delay_s, handshakes=0 if polling.keep_alive else 1, pause_s=polling.pause_s
    )


@pytest.mark.parametrize("polling", LONG_POLLS, ids=str)
@pytest.mark.parametrize("rate", [2.0, 8.0])
def test_long_polling(polling, rate):
    run = fed(polling, Workload(clients=1, rate_hz=rate, duration_s=3600))
    form = {"rate_hz": rate_hz(run), "gap_s": gap(polling), "hold_s": polling.hold_s}
    responses_hz = hz(run, "response_sent", "server")
    assert responses_hz == pytest.approx(models.long_polling_responses_hz(**form), **within)
    late = latency_s(run)
    assert len(late) == len(pick(run, "published", "server"))
    batch = len(late) / len(pick(run, "response_sent", "server"))
    news = 1 - np.exp(-form["rate_hz"] * polling.hold_s)  # in the answer that the gap's messages did not fill
    in_gap = form["rate_hz"] * form["gap_s"]
    assert batch == pytest.approx(in_gap + np.exp(-in_gap) * news, **within)
    gap_share, responses = models.gap_probability(**form), responses_hz * 3600
    assert np.mean(late > D + 1e-9) == pytest.approx(gap_share, rel=0.02, abs=noise(gap_share, responses))
    mean_s = models.long_polling_latency(**form, delay_s=D)
    assert late.mean() == pytest.approx(mean_s, **within)
    assert late.mean() - D == pytest.approx(mean_s - D, rel=0.02, abs=5 * late.std() / np.sqrt(responses))
    worst_s = models.long_polling_worst(gap_s=gap(polling), delay_s=D)
    assert late.min() == pytest.approx(D)
    assert 0.95 * worst_s < late.max() <= worst_s + 1e-9
    for q in (0.5, 0.9):
        form_cdf = models.long_polling_cdf(np.quantile(late, q) + 1e-9, **form, delay_s=D)
        assert form_cdf == pytest.approx(max(q, np.mean(late < D + 1e-9)), abs=0.02)


@pytest.mark.parametrize("hold_s", [0.5, 5.0])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_long_polling_with_nothing_to_say(hold_s, keep_alive):
    polling = LongPolling(hold_s=hold_s, keep_alive=keep_alive)
    run = fed(polling, Workload(clients=3, rate_hz=0.001, duration_s=900, pattern="periodic"))
    idle_hz = models.long_polling_responses_hz(rate_hz=0, gap_s=gap(polling), hold_s=hold_s)
    assert idle_hz == 1 / (gap(polling) + hold_s)
    assert hz(run, "response_sent", "server") == pytest.approx(idle_hz, rel=0.005)


@pytest.mark.parametrize("rate", [2.0, 8.0])
@pytest.mark.parametrize(
    "polling", [LongPolling(cursor=False, hold_s=300), LongPolling(cursor=False, hold_s=0.3)], ids=str
)
def test_long_polling_without_a_cursor(polling, rate):
    run = fed(polling, Workload(clients=1, rate_hz=rate, duration_s=3600))
    lost = 1 - len(latency_s(run)) / len(pick(run, "published", "server"))
    form = models.loss_without_cursor(rate_hz=rate_hz(run), gap_s=gap(polling), hold_s=polling.hold_s)
    assert lost == pytest.approx(form, rel=0.02, abs=noise(form, 3600 * rate))
    assert latency_s(run) == pytest.approx(D)


@pytest.mark.parametrize(("keep_alive", "saturated", "worst"), [(True, 2, 3), (False, 3, 5)])
def test_long_polling_in_transits(keep_alive, saturated, worst):
    # RFC 6202 §2.2: on average close to one, at most over three; five with a connection for each request.
    polling = LongPolling(hold_s=300, keep_alive=keep_alive)
    seldom, often = (
        latency_s(fed(polling, Workload(clients=1, rate_hz=rate, duration_s=seconds))) / D
        for rate, seconds in ((0.05, 3600), (300, 300))
    )
    assert seldom.mean() == pytest.approx(1, rel=0.02)
    assert often.mean() == pytest.approx(saturated, **within)
    assert often.max() == pytest.approx(worst, **within)


@pytest.mark.parametrize("burst", [1, 2, 10])
@pytest.mark.parametrize("polling", LONG_POLLS[:4], ids=str)
def test_bursts(polling, burst):
    work = Workload(clients=2, rate_hz=burst / 2, duration_s=100, pattern="bursts", burst=burst, spacing_s=0)
    run = fed(polling, work)
    assert len(latency_s(run)) == 2 * 50 * burst
    assert latency_s(run).mean() == pytest.approx(
        models.burst_latency(burst=burst, gap_s=gap(polling), delay_s=D)
    )


def test_a_timer_hides_the_gap():
    run = fed(
        LongPolling(cursor=False, hold_s=300),
        Workload(clients=2, rate_hz=5, duration_s=100, pattern="periodic"),
    )
    assert len(latency_s(run)) == 2 * 500
    assert latency_s(run) == pytest.approx(D)


@pytest.mark.parametrize("gap_s", [0.1, 0.5, 0.8])
def test_crossover(gap_s):
    rate = models.crossover_hz(interval_s=1.0, gap_s=gap_s)
    polling = LongPolling(hold_s=300)

    def long_hz(factor):
        return hz(
            fed(polling, Workload(clients=1, rate_hz=factor * rate, duration_s=3600), delay_s=gap_s / 2),
            "request_sent",
            "client",
        )

    assert long_hz(1) == pytest.approx(1.0, rel=0.03)  # the rate is not quite the realized one
    assert long_hz(0.8) < 0.95
    assert long_hz(1.25) > 1.02


@pytest.mark.parametrize("rate", [0.5, 5.0])
@pytest.mark.parametrize("keep_alive", [True, False])
def test_dominance(rate, keep_alive):
    interval_s = 0.5
    pause_s = models.dominant_pause(interval_s=interval_s, delay_s=D, handshakes=0 if keep_alive else 1)
    work = Workload(clients=10, rate_hz=rate, duration_s=300)
    short = fed(ShortPolling(interval_s=interval_s, keep_alive=keep_alive), work)
    long = fed(LongPolling(hold_s=300, pause_s=pause_s, keep_alive=keep_alive), work)
    assert hz(long, "request_sent", "client") < hz(short, "request_sent", "client")
    assert latency_s(long).mean() < latency_s(short).mean()
    worst_s = models.long_polling_worst(gap_s=interval_s, delay_s=D)
    assert 0.9 * worst_s < latency_s(long).max() <= worst_s + 1e-9
    assert worst_s == D + interval_s


@pytest.mark.parametrize("burst", [2, 3, 5, 10])
def test_bursts_break_the_mean_and_keep_the_rest(burst):
    """A paused long poll asks no more often than short polling, and its oldest is no older; its mean is."""
    interval_s = 0.25
    pause_s = models.dominant_pause(interval_s=interval_s, delay_s=D)
    # Bursts so far apart that each finds a request waiting, and no multiple of the interval apart.
    work = Workload(
        clients=40, rate_hz=burst / 0.93, duration_s=60, pattern="bursts", burst=burst, spacing_s=0
    )
    short = fed(ShortPolling(interval_s=interval_s), work)
    long = fed(LongPolling(hold_s=300, pause_s=pause_s), work)
    assert hz(long, "request_sent", "client") < hz(short, "request_sent", "client")
    assert latency_s(long).max() <= D + interval_s + 1e-9
    model_s = models.burst_latency(burst=burst, gap_s=interval_s, delay_s=D)
    assert latency_s(long).mean() == pytest.approx(model_s)
    if burst > 2:
        assert latency_s(long).mean() > 1.1 * latency_s(short).mean()


@pytest.mark.parametrize("transport", [SSE(), WebSocket()], ids=str)
def test_push(transport):
    run = fed(transport, Workload(clients=5, rate_hz=10, duration_s=60))
    assert latency_s(run) == pytest.approx(D)
    assert len(latency_s(run)) == 5 * len(pick(run, "published", "server"))
    opening, ready = pick(run, "opening", "client"), pick(run, "response_received", "client")
    if isinstance(transport, WebSocket):
        # A round trip for TCP, and one for the request and its 101.
        assert [b[0] - a[0] for a, b in zip(opening, ready, strict=True)] == pytest.approx([4 * D] * 5)
        assert all(event[0] < 0 for event in ready)
    else:
        assert not ready


@pytest.mark.parametrize("flush_s", [0.02, 0.2, 1.0])
def test_flush_window(flush_s):
    run = fed(WebSocket(flush_s=flush_s), Workload(clients=2, rate_hz=10, duration_s=1000))
    form = {"rate_hz": rate_hz(run), "flush_s": flush_s}
    assert latency_s(run).mean() == pytest.approx(models.flush_window_latency(**form, delay_s=D), **within)
    writes = {(event[0], event[3]) for event in pick(run, "message_sent", "server")}
    # One for each 1 + λδ messages, to each client.
    writes_hz = 2 * form["rate_hz"] / (1 + form["rate_hz"] * flush_s)
    assert len(writes) / 1000 == pytest.approx(writes_hz, **within)


def test_connections_of_short_polling():
    work = Workload(clients=30, rate_hz=1, duration_s=600)
    close, keep = (fed(ShortPolling(keep_alive=keep), work) for keep in (False, True))
    for side in ("client", "server"):
        assert hz(close, "opened", side) * 30 == pytest.approx(30, **within)  # one for each request
        assert hz(keep, "opened", side) == 0
        assert open_on_average(keep, side) == pytest.approx(30)
    # Little's law: each is open for two round trips, those of TCP and of its request.
    assert open_on_average(close, "client") == pytest.approx(30 * 4 * D, **within)
    assert open_on_average(close, "server") == 0  # the server closes first, and takes no time


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_connections_of_long_polling(pause_s):
    work = Workload(clients=2, rate_hz=4, duration_s=3600)
    polling = LongPolling(hold_s=300, pause_s=pause_s, keep_alive=False)
    run = fed(polling, work)
    form = {"rate_hz": rate_hz(run), "gap_s": gap(polling)}
    responses_hz = models.long_polling_responses_hz(**form)
    # In each cycle a client has no connection as the clients see it in its pause, at the server in the gap.
    for side, closed_s in (("client", pause_s), ("server", gap(polling))):
        assert hz(run, "opened", side) * 2 == pytest.approx(2 * responses_hz, **within)
        is_open = 2 * (1 - closed_s * responses_hz)
        assert open_on_average(run, side) == pytest.approx(is_open, **within)


@pytest.mark.parametrize("transport", [LongPolling(), SSE(), WebSocket()], ids=str)
def test_who_stays_connected(transport):
    run = fed(transport, Workload(clients=7, rate_hz=2, duration_s=20))
    for side in ("client", "server"):
        assert hz(run, "opened", side) == 0
        assert open_on_average(run, side) == pytest.approx(7)


@pytest.mark.parametrize("link", [None, Link(delay_s=0)])
@pytest.mark.parametrize(
    "transport", [LongPolling(), LongPolling(keep_alive=False), SSE(), WebSocket()], ids=str
)
def test_without_distance_news_is_instant(transport, link):
    run = simulate(transport, Workload(clients=3, rate_hz=20, duration_s=20), link)
    assert len(latency_s(run)) == 3 * len(pick(run, "published", "server"))
    assert latency_s(run) == pytest.approx(0)


# ------------------------------------------------------------------------------------- by hand


def by_hand(times_s, gap_s):
    """Latencies of long polling with a cursor [s], from nothing but the times of the messages."""
    late_s, waits_from_s, first = [], 0.0, 0
    while first < len(times_s):
        leaves_s, after = max(times_s[first], waits_from_s), first + 1
        if leaves_s > times_s[first]:  # a gap is over: all that came in it go together
            after = sum(t <= leaves_s for t in times_s)
        late_s += [leaves_s + D - t for t in times_s[first:after]]
        waits_from_s, first = leaves_s + gap_s, after
    return late_s


@pytest.mark.parametrize("polling", LONG_POLLS[:4], ids=str)
@pytest.mark.parametrize("pattern", ["poisson", "bursts"])
def test_long_polling_by_hand(polling, pattern):
    work = Workload(clients=2, rate_hz=8, duration_s=100, pattern=pattern, burst=5, spacing_s=0.03, seed=5)
    expected_s = np.repeat(by_hand(work.due_times_s(), gap(polling)), 2)
    assert np.sort(latency_s(fed(polling, work))) == pytest.approx(np.sort(expected_s))


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("interval_s", [0.01, 0.06, 1.0])
def test_short_polling_by_hand(interval_s, keep_alive):
    work = Workload(clients=3, rate_hz=1, duration_s=3)
    run = fed(ShortPolling(interval_s=interval_s, keep_alive=keep_alive), work)
    sent, due = pick(run, "request_sent", "client"), pick(run, "due", "client")
    trip_s = 2 * D if keep_alive else 4 * D
    for client in range(3):
        first_s = run.transport.first_due_s(work.seed, client)
        t, expected_s = first_s, []
        while t < 3:
            expected_s.append(t)  # a poll begins when it is due and the last answer is in
            t = max(t + trip_s, first_s + interval_s * (1 + round((t - first_s) // interval_s + 1e-9)))
        begun_s = [e[0] - (0 if keep_alive else 2 * D) for e in sent if e[3] == client]
        assert begun_s[: len(expected_s)] == pytest.approx(expected_s)
        grid = [(e[0] - first_s) / interval_s for e in due if e[3] == client]
        assert grid == pytest.approx(np.round(grid))
        assert all(b > a + 0.5 for a, b in pairwise(grid))
        late_s = np.array(begun_s) - [e[0] for e in due if e[3] == client]
        assert late_s.max() < interval_s + 1e-9  # what was missed before is skipped, not made good


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_reader_by_hand(keep_alive):
    work = Workload(clients=3, rate_hz=1, duration_s=20)
    run = fed(Reload(pause_s=0.5, keep_alive=keep_alive), work)
    for client in range(3):
        pauses_s, t = run.transport.pauses_s(work.seed, client), 0.0
        for n, event in enumerate(e for e in pick(run, "due", "client") if e[3] == client):
            t += next(pauses_s)
            assert event[0] == pytest.approx(t)
            t += 2 * D if keep_alive and n else 4 * D  # the first one has to connect


# ------------------------------------------------------------------------- what always holds

seconds = lambda most: st.floats(0.02, most) | st.sampled_from([0.05, 0.1, 0.5])  # noqa: E731
flags = st.booleans()
transports = st.one_of(
    st.builds(Reload, pause_s=seconds(1), keep_alive=flags),
    st.builds(ShortPolling, interval_s=seconds(1), keep_alive=flags, aligned=flags),
    st.builds(
        LongPolling, hold_s=seconds(3), keep_alive=flags, cursor=flags, pause_s=st.just(0.0) | seconds(1)
    ),
    st.builds(SSE),
    st.builds(WebSocket, flush_s=st.just(0.0) | seconds(1)),
)
workloads = st.builds(
    Workload,
    clients=st.integers(1, 5),
    rate_hz=st.floats(0.2, 30),
    duration_s=st.floats(0.1, 3),
    pattern=st.sampled_from(["poisson", "periodic", "bursts"]),
    burst=st.integers(1, 6),
    spacing_s=st.just(0.0) | st.floats(0, 0.3),
    size_bytes=st.integers(1, 300),
    seed=st.integers(0, 99),
)
links = st.none() | st.builds(Link, delay_s=st.sampled_from([0.0, 0.05]) | st.floats(0, 0.3))


def check(run):
    """Assert what holds of every run."""
    transport, work, d = run.transport, run.workload, run.delay_s
    at = {}  # (name, side) → (request, message, client) → time
    for event in run.events:
        t, name, side, client, connection, request, message, _ = event
        assert name in NAMES and side in SIDES  # noqa: PT018
        key = (client, request, message) if request >= 0 or message >= 0 else (name, connection)
        assert key not in at.setdefault((name, side), {}), event
        at[name, side][key] = t
    of = lambda name, side: at.get((name, side), {})  # noqa: E731
    times = [event[0] for event in run.events]
    assert times == sorted(times)
    assert run.origin == "simulated"

    # Whatever arrives was sent, one transit before; what was sent arrives, unless the client has gone.
    for what, there, here in (
        ("request", "client", "server"),
        ("response", "server", "client"),
        ("message", "server", "client"),
    ):
        sent, received = of(f"{what}_sent", there), of(f"{what}_received", here)
        assert received.keys() <= sent.keys()
        assert all(t == sent[key] + d for key, t in received.items())
        lost = [t for key, t in sent.items() if key not in received]
        assert all(t + d >= max(of("closed", "client").values()) for t in lost)
        assert not lost or there == "server"

    # Each client is sent what was published, once and in order; at the end nothing is unaccounted for.
    published = {message for _, _, message in of("published", "server")}
    assert (
        list(of("published", "server").values())
        == work.due_times_s()
        == list(of("due", "publisher").values())
    )
    assert published == set(range(1, len(published) + 1))
    counts = Counter()
    for client in range(work.clients):
        ids = [e[6] for e in pick(run, "message_received", "client") if e[3] == client]
        assert all(a < b for a, b in pairwise(ids))
        assert published.issuperset(ids)
        last = max(ids, default=0)
        counts["delivered"] += len(ids)
        counts["missed"] += sum(id < last and id not in ids for id in published)
        counts["pending"] += sum(id > last for id in published)
    assert counts.total() == len(published) * work.clients
    if transport.cursor:
        assert counts["missed"] == 0
        # A reader may take a pause of ten times the mean, once in e¹⁰.
        assert counts["pending"] == 0 or isinstance(transport, Reload)

    # Requests: answered once, in time, one after the other.
    end_s = max(work.duration_s, work.due_times_s()[-1])
    received, answered = of("request_received", "server"), of("response_sent", "server")
    assert answered.keys() <= received.keys()
    unanswered = Counter(client for client, _, _ in received.keys() - answered.keys())
    if isinstance(transport, SSE):
        assert unanswered == dict.fromkeys(range(work.clients), 1)
    elif isinstance(transport, LongPolling):
        assert all(n == 1 for n in unanswered.values())
    else:
        assert not unanswered
    hold_s = transport.hold_s
    full = {(client, request) for client, request, _ in of("message_sent", "server")}
    for key, t in answered.items():
        assert 0 <= t - received[key] <= hold_s + 1e-9
        if key[:2] not in full and not isinstance(transport, WebSocket):  # nothing to say: held to the end
            assert t - received[key] == pytest.approx(hold_s)
    back = of("response_received", "client")
    if isinstance(transport, ShortPolling):  # no poll is cut off by the end
        assert back.keys() == of("request_sent", "client").keys()
    for client in range(work.clients):
        mine = sorted((t, key) for key, t in of("request_sent", "client").items() if key[0] == client)
        assert all(back[a] <= t for (_, a), (t, _) in pairwise(mine))
        # Who has everything asks no more; the last request may just have been connecting.
        served = [
            t
            for (who, _, id), t in of("message_received", "client").items()
            if (who, id) == (client, len(published))
        ]
        assert not served or all(t <= max(end_s, *served) + 2 * d for t, _ in mine)

    # Connections: both sides see the same ones, each for as long as it should.
    opening, opened, closed = of("opening", "client"), of("opened", "client"), of("closed", "client")
    accepted, gone = of("opened", "server"), of("closed", "server")
    assert len(opening) == len(closed)
    assert len(opened) == len(accepted) == len(gone)
    for (_, connection), t in opened.items():
        assert t == opening["opening", connection] + 2 * d
        assert accepted["opened", connection] == t + d  # equally far, so that they are numbered alike
    assert all(gone["closed", number] >= t for (_, number), t in accepted.items())
    if transport.persistent:
        assert sum(t < 0 for t in opened.values()) == sum(t < 0 for t in accepted.values()) == work.clients
    if transport.keep_alive:
        assert len(opening) <= work.clients
    else:
        assert len(opened) == len(of("request_sent", "client"))

    # Bytes: what the two sides wrote is what the connections carried.
    size = lambda name, side: sum(event[7] for event in pick(run, name, side))  # noqa: E731
    assert size("read", "server") == size("request_sent", "client") == REQUEST_BYTES * len(received)
    if not isinstance(transport, SSE | WebSocket):
        assert size("written", "server") == size("response_sent", "server") + HEAD_BYTES * len(answered)
        assert size("response_received", "client") <= size("written", "server")

    # The end: clients stay, or come back, until the last message is there, but not for ever.
    assert max(closed.values()) <= end_s + transport.patience_s + 1 + 10 * d + 1e-9
    if transport.keep_alive and not isinstance(transport, Reload):
        assert min(closed.values()) >= end_s
    return counts


def test_a_hold_that_ends_before_the_start():
    """Set-up is a part of the run: a short hold of a first request may be over before t = 0."""
    work = Workload(clients=1, rate_hz=1.0, duration_s=1.0, seed=0)
    check(simulate(LongPolling(hold_s=0.03125, keep_alive=False), work, Link(delay_s=0.05)))


@settings(max_examples=250, derandomize=True, deadline=None, database=None)
@given(transports, workloads, links)
def test_every_run(transport, workload, link):
    run = simulate(transport, workload, link)
    check(run)
    assert (run.transport, run.workload, run.link) == (transport, workload, link)


def test_a_run_repeats_itself_and_a_seed_does_not():
    a, b, c = (simulate(ShortPolling(), Workload(seed=seed), Link()).events for seed in (1, 1, 2))
    assert a == b
    assert a != c


def test_what_never_arrives_is_counted():
    # Without a cursor the second message of each burst falls into the gap, and the last is never heard of.
    work = Workload(clients=3, rate_hz=2, duration_s=3, pattern="bursts", burst=2, spacing_s=0.01)
    assert check(fed(LongPolling(cursor=False), work)) == {"delivered": 9, "missed": 6, "pending": 3}


@pytest.mark.parametrize("size", [20, 300])
def test_what_is_lost_without_a_cursor_is_counted(size):
    work = Workload(clients=3, rate_hz=20, duration_s=5, size_bytes=size)
    counts = check(fed(LongPolling(cursor=False), work))
    assert counts["missed"] > 50
    assert counts["delivered"] > 50


# ------------------------------------------------------------------ a broken mailbox is noticed


def since_skips_one(self, cursor):
    return self.log[cursor + 1 :]


def since_repeats_one(self, cursor):
    return self.log[max(0, cursor - 1) :]


def ask_never_holds(self, who, cursor, hold_s, now_s):
    return [] if cursor is None else self.since(cursor)


def ask_holds_in_spite_of_news(self, who, cursor, hold_s, now_s):
    self.held[who] = now_s + hold_s, 0


def ask_holds_twice_as_long(self, who, cursor, hold_s, now_s):
    return Mailbox_ask(self, who, cursor, 2 * hold_s, now_s)


def publish_keeps_holding(self, text):
    released = list(self.held)
    message, _ = Mailbox_publish(self, text)
    self.held.update(dict.fromkeys(released, (1e9, 0)))
    return message, released


def publish_forgets_one(self, text):
    message, released = Mailbox_publish(self, text)
    return message, released[1:]


def expire_ends_nothing(self, now_s):
    return []


def expire_lets_go_too_early(self, now_s):
    return Mailbox_expire(self, now_s + 0.5)


Mailbox_ask, Mailbox_publish, Mailbox_expire = Mailbox.ask, Mailbox.publish, Mailbox.expire


@pytest.mark.parametrize(
    "mutant",
    [
        since_skips_one,
        since_repeats_one,
        ask_never_holds,
        ask_holds_in_spite_of_news,
        ask_holds_twice_as_long,
        publish_keeps_holding,
        publish_forgets_one,
        expire_ends_nothing,
        expire_lets_go_too_early,
    ],
)
def test_a_broken_mailbox_is_noticed(mutant, monkeypatch):
    work = Workload(clients=3, rate_hz=2, duration_s=20, seed=3)

    def look():
        run = fed(LongPolling(hold_s=0.8), work)
        check(run)
        form = models.long_polling_responses_hz(rate_hz=rate_hz(run), gap_s=2 * D, hold_s=0.8)
        assert hz(run, "response_sent", "server") == pytest.approx(form, rel=0.2)

    look()
    monkeypatch.setattr(Mailbox, mutant.__name__.partition("_")[0], mutant)
    with pytest.raises(AssertionError):
        look()


def take_opens_none(self, message):
    return Window_take(self, message) and False


def take_opens_always(self, message):
    return Window_take(self, message) or True


def close_repeats(self):
    messages, late = Window_close(self)
    self.gathered = messages[-1:]
    return messages, late


def close_loses_all_but_one(self):
    messages, late = Window_close(self)
    return messages[:1], late


Window_take, Window_close = Window.take, Window.close


@pytest.mark.parametrize(
    "mutant", [take_opens_none, take_opens_always, close_repeats, close_loses_all_but_one]
)
def test_a_broken_window_is_noticed(mutant, monkeypatch):
    work = Workload(clients=3, rate_hz=20, duration_s=4, seed=3)

    def look():
        run = fed(WebSocket(flush_s=0.2), work)
        check(run)
        sent = sorted({e.t for e in pick(run, "message_sent", "server")})
        assert all(b - a > 0.2 - 1e-9 for a, b in pairwise(sent))

    look()
    monkeypatch.setattr(Window, mutant.__name__.partition("_")[0], mutant)
    with pytest.raises((AssertionError, IndexError)):  # a window without a message is none
        look()


# ------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("long polling", Workload()), TypeError, r"expected a transport, got 'long polling'"),
        ((LongPolling, Workload()), TypeError, r"expected a transport, got <class"),
        ((LongPolling(), 20), TypeError, r"expected a Workload, got 20"),
        ((LongPolling(), Workload(), 0.025), TypeError, r"expected a Link or None, got 0\.025"),
        (
            (LongPolling(), Workload(), Link(cut_at_s=1)),
            ValueError,
            r"expected a link that .*, got Link\(.*cut_at_s=1",
        ),
        (
            (LongPolling(), Workload(), Link(silent_at_s=1)),
            ValueError,
            r"expected a link that .*silent_at_s=1",
        ),
    ],
)
def test_wrong_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        simulate(*arguments)


@pytest.mark.parametrize("number", [1, FEW, 2 * FEW + 1])
def test_plain_tuples_become_events(number):
    plain = [(n / 8, "due", "publisher", -1, -1, -1, n, -1) for n in range(number)]
    run = Run(SSE(), Workload(), None, list(plain))
    assert run.events == plain
    assert {type(event) for event in run.events} == {Event}
    assert run.events[-1].message == number - 1


@pytest.mark.parametrize("kind", [tuple, deque])
def test_events_need_not_come_in_a_list(kind):
    plain = 2 * FEW * [(0.0, "due", "publisher", -1, -1, -1, 1, -1)]
    run = Run(SSE(), Workload(), None, kind(plain))
    assert run.events == plain
    assert {type(event) for event in run.events} == {Event}


@pytest.mark.parametrize("odd", [(), (0.0, "due"), (0.0, "due", "publisher", -1, -1, -1, 1, -1, -1)])
def test_what_is_no_event_is_refused(odd):
    plain = 2 * FEW * [(0.0, "due", "publisher", -1, -1, -1, 1, -1)]
    with pytest.raises(TypeError, match=f"Expected 8 arguments, got {len(odd)}"):
        Run(SSE(), Workload(), None, [*plain, odd])
    with pytest.raises(FrozenInstanceError):
        Run(SSE(), Workload(), None, plain).events = []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled):
    import gc

    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        simulate(LongPolling(), Workload(clients=1, duration_s=1))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


# ----------------------------------------------------------------------------------- garbage


def test_a_simulation_leaves_nothing_but_its_events():
    for _ in range(3):  # of other tests: what ends one thing may leave another
        gc.collect()
    gc.disable()
    try:
        for transport in (Reload(), ShortPolling(), LongPolling(), SSE(), WebSocket()):
            simulate(transport, Workload(clients=20, duration_s=2), Link(delay_s=0.01))
        assert gc.collect() < 20, "no cycle of clients, and no world"
    finally:
        gc.enable()


def test_many_events_are_not_looked_through_for_garbage_at_once(monkeypatch):
    monkeypatch.setattr("lpws.simulation.MANY", 0)
    run = simulate(WebSocket(), Workload(clients=2))
    young = {id(each) for generation in (0, 1) for each in gc.get_objects(generation=generation)}
    assert not young & set(map(id, run.events))
    assert gc.get_freeze_count() == 0, "and they are not kept from ever being looked at"


def test_what_the_reader_froze_stays_frozen(monkeypatch):
    monkeypatch.setattr("lpws.simulation.MANY", 0)
    theirs = []
    gc.freeze()
    try:
        simulate(WebSocket(), Workload(clients=2))
        assert id(theirs) not in {id(each) for each in gc.get_objects()}
    finally:
        gc.unfreeze()
    assert id(theirs) in {id(each) for each in gc.get_objects()}, "else the test says nothing"
