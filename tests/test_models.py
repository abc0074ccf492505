"""The closed forms against simulations of a few lines each, against their limits and each other."""

import inspect
from bisect import bisect_right
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpws import models

D = 0.025  # one transit [s]
R = 2 * D
MESSAGES = 200_000

rates = st.floats(0.01, 100)
times = st.floats(0.001, 10)
delays = st.floats(0, 1)
round_trips = st.integers(0, 2)
property_test = settings(deadline=None)  # a busy machine is no failure


# ------------------------------------------------------------------------------ the simulations


def poisson(rate_hz, n=MESSAGES, seed=1):
    """Times at which messages are published: n of them in the mean time of n, so that their rate is exact."""
    return np.sort(np.random.default_rng(seed).uniform(0, n / rate_hz, n))


def polled(published, asked):
    """Latency of messages that wait for the next request to reach the server, and then a transit."""
    published = published[published < asked[-1]]
    return asked[np.searchsorted(asked, published)] - published + D


def reload_requests(pause_s, handshakes, until_s):
    """Times at which the requests of a reader reach the server, one transit after another."""
    pauses = np.random.default_rng(2).exponential(pause_s, int(1.1 * until_s / (pause_s + R)) + 1000)
    response, connection, request = D, R * handshakes, D
    return np.cumsum(response + pauses + connection + request)


def poll(published, gap_s, hold_s=np.inf, keep=True, batch=True):
    """Latency of each message delivered and the times of the responses, by following the one client."""
    published = published.tolist()
    latency, responses, asked, i = [], [], 0.0, 0
    while i < len(published):
        if not keep and published[i] < asked:
            i += 1  # nobody waits, nothing keeps it
            continue
        leaves = min(max(published[i], asked), asked + hold_s)
        ready = bisect_right(published, leaves, i)
        if not batch:
            ready = min(ready, i + 1)
        latency += [leaves - t + D for t in published[i:ready]]
        responses.append(leaves)
        asked, i = leaves + gap_s, ready
    return np.array(latency), np.array(responses)


def ecdf_distance(sample, cdf):
    """Greatest distance of an ECDF from a distribution function, both looked at on 200 places and at d."""
    where = np.append(np.linspace(0, sample.max() * 1.1, 200), D)
    ecdf = np.searchsorted(np.sort(sample), where, side="right") / len(sample)
    return np.abs(ecdf - cdf(where)).max()


def near(value):
    return pytest.approx(value, rel=0.01)


def near_share(share):
    """Within five standard errors of a share of all messages, at least."""
    return pytest.approx(share, abs=5 * (share * (1 - share) / MESSAGES) ** 0.5)


# ---------------------------------------------------------------------------- request/response


@pytest.mark.parametrize(("pause_s", "handshakes"), [(1.0, 1), (0.05, 0), (0.05, 2), (0.2, 1)])
def test_reload_against_a_simulated_reader(pause_s, handshakes):
    spec = {"pause_s": pause_s, "delay_s": D, "handshakes": handshakes}
    published = poisson(1 / (pause_s + R))
    asked = reload_requests(pause_s, handshakes, published[-1])
    latency = polled(published, asked)
    assert latency.mean() == near(models.reload_latency(**spec))
    assert ecdf_distance(latency, lambda x: models.reload_cdf(x, **spec)) < 0.005


@property_test
@given(pause_s=times, delay_s=delays, handshakes=round_trips)
def test_a_reader_is_worse_served_than_a_timer_and_at_most_twice_as_late(pause_s, delay_s, handshakes):
    spec = {"pause_s": pause_s, "delay_s": delay_s, "handshakes": handshakes}
    timer_s = (2 * delay_s * (1 + handshakes) + pause_s) / 2
    assert timer_s < models.reload_latency(**spec) - delay_s <= 2 * timer_s * (1 + 1e-9)


def test_a_reader_without_pauses_is_a_timer():
    x = np.linspace(0, 0.3, 50)
    timer = models.short_polling_cdf(x, interval_s=2 * R, delay_s=D)
    assert models.reload_cdf(x, pause_s=0, delay_s=D, handshakes=1) == pytest.approx(timer)
    assert models.reload_latency(pause_s=0, delay_s=D, handshakes=1) == pytest.approx(D + R)


# ------------------------------------------------------------------------------- short polling


@pytest.mark.parametrize(("rate_hz", "interval_s"), [(0.3, 1.0), (2.0, 1.0), (5.0, 0.2)])
def test_short_polling_against_a_simulated_client(rate_hz, interval_s):
    spec = {"interval_s": interval_s, "delay_s": D}
    published = poisson(rate_hz)
    asked = np.arange(0.37 * interval_s, published[-1] + interval_s, interval_s)
    latency = polled(published, asked)
    assert latency.mean() == near(models.short_polling_latency(**spec))
    assert ecdf_distance(latency, lambda x: models.short_polling_cdf(x, **spec)) < 0.005

    found, _ = np.histogram(published, asked)
    assert (found > 0).mean() == near(models.nonempty_share(rate_hz=rate_hz, interval_s=interval_s))


# -------------------------------------------------------------------------------- long polling


# A hold short enough to run out, one that seldom does, and none; few, some and many messages in a gap.
@pytest.mark.parametrize("hold_s", [0.1, 2.0, np.inf])
@pytest.mark.parametrize(("rate_hz", "gap_s"), [(2.0, R), (10.0, 2 * R), (40.0, 3 * R)])
def test_long_polling_against_a_simulated_client(rate_hz, gap_s, hold_s):
    spec = {"rate_hz": rate_hz, "gap_s": gap_s, "hold_s": hold_s}
    published = poisson(rate_hz)
    latency, responses = poll(published, gap_s, hold_s)
    late = latency > D + 1e-9
    p = models.gap_probability(**spec)
    assert len(latency) == len(published)  # the cursor loses nothing
    assert latency.mean() == near(models.long_polling_latency(delay_s=D, **spec))
    assert late.mean() == near_share(p)
    assert latency.max() <= models.long_polling_worst(gap_s=gap_s, delay_s=D) + 1e-9
    assert latency.max() == near(models.long_polling_worst(gap_s=gap_s, delay_s=D))
    assert len(responses) / published[-1] == near(models.long_polling_responses_hz(**spec))
    assert ecdf_distance(latency, lambda x: models.long_polling_cdf(x, delay_s=D, **spec)) < 0.01
    # The step stands at d and not a little before it.
    assert models.long_polling_cdf([D - 1e-9, D], delay_s=D, **spec) == pytest.approx([0, 1 - p])


@pytest.mark.parametrize("hold_s", [0.1, np.inf])
@pytest.mark.parametrize(("rate_hz", "gap_s"), [(2.0, R), (10.0, 2 * R), (40.0, 3 * R)])
def test_loss_without_cursor_against_a_simulated_client(rate_hz, gap_s, hold_s):
    latency, _ = poll(poisson(rate_hz), gap_s, hold_s, keep=False)
    loss = models.loss_without_cursor(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)
    assert 1 - len(latency) / MESSAGES == near_share(loss)
    assert latency.max() == pytest.approx(D)  # what is not lost was waited for


@pytest.mark.parametrize("burst", [1, 2, 7])
def test_burst_against_a_simulated_client(burst):
    published = np.sort(np.repeat(np.arange(1.0, 50.0), burst))
    published += np.tile(np.arange(burst) * 1e-7, 49)  # the first alone, the others a moment later
    latency, responses = poll(published, R)
    assert latency.mean() == pytest.approx(models.burst_latency(burst=burst, gap_s=R, delay_s=D), rel=1e-4)
    assert len(responses) == 49 * min(burst, 2)


def test_a_timer_never_meets_the_gap():
    latency, _ = poll(np.arange(1.0, 100.0, 1.05 * R), R, keep=False)
    assert len(latency) == len(np.arange(1.0, 100.0, 1.05 * R))
    assert latency == pytest.approx(D)


@pytest.mark.parametrize(("handshakes", "saturated", "worst"), [(0, 2, 3), (1, 3, 5), (2, 4, 7)])
def test_transits_of_long_polling(handshakes, saturated, worst):
    gap_s = models.repoll_gap(delay_s=1, handshakes=handshakes)
    idle, busy = models.long_polling_latency(rate_hz=[1e-9, 1e9], gap_s=gap_s, delay_s=1)
    assert idle == pytest.approx(1)
    assert busy == pytest.approx(saturated)
    assert models.long_polling_worst(gap_s=gap_s, delay_s=1) == worst


def test_gap_counts_transits_and_the_pause():
    response, tcp, tls, request = 1, 2, 2, 1
    assert models.repoll_gap(delay_s=1, handshakes=0, pause_s=0.5) == response + 0.5 + request
    assert models.repoll_gap(delay_s=1, handshakes=1, pause_s=0.5) == response + 0.5 + tcp + request
    assert models.repoll_gap(delay_s=1, handshakes=2, pause_s=0.5) == response + 0.5 + tcp + tls + request


@property_test
@given(rate_hz=rates, gap_s=times, hold_s=times, delay_s=delays)
def test_identities_of_long_polling(rate_hz, gap_s, hold_s, delay_s):
    spec = {"rate_hz": rate_hz, "gap_s": gap_s, "hold_s": hold_s}
    p, r = models.gap_probability(**spec), models.long_polling_responses_hz(**spec)
    assert 0 < p <= 1
    assert r <= 1 / gap_s
    mean_s = models.long_polling_latency(delay_s=delay_s, **spec)
    assert delay_s < mean_s <= models.long_polling_worst(gap_s=gap_s, delay_s=delay_s) - gap_s / 2 + 1e-9
    # The mean is the area above the distribution function.
    x = np.linspace(delay_s, delay_s + gap_s, 10_001)
    above = 1 - models.long_polling_cdf(x, delay_s=delay_s, **spec)
    assert delay_s + np.trapezoid(above, x) == pytest.approx(mean_s)
    # A buffer can only help: what finds the gap is late with it, lost without it.
    assert models.loss_without_cursor(**spec) <= p * (1 + 1e-9)


@property_test
@given(rate_hz=rates, gap_s=times)
def test_a_long_hold_is_no_hold(rate_hz, gap_s):
    for form in (models.long_polling_responses_hz, models.gap_probability):
        limit = form(rate_hz=rate_hz, gap_s=gap_s)
        assert form(rate_hz=rate_hz, gap_s=gap_s, hold_s=1e5) == pytest.approx(limit)
    loss = rate_hz * gap_s / (1 + rate_hz * gap_s)
    assert models.loss_without_cursor(rate_hz=rate_hz, gap_s=gap_s, hold_s=1e5) == pytest.approx(loss)


@property_test
@given(rate_hz=st.tuples(rates, rates).map(sorted), gap_s=times, hold_s=times)
def test_more_messages_mean_more_responses_and_later_messages(rate_hz, gap_s, hold_s):
    spec = {"rate_hz": rate_hz, "gap_s": gap_s, "hold_s": hold_s}
    for form in (models.long_polling_responses_hz, models.gap_probability):
        few, many = form(**spec)
        assert few <= many * (1 + 1e-9)
    fewer, more = models.long_polling_responses_hz(
        rate_hz=rate_hz[0], gap_s=gap_s, hold_s=[hold_s, hold_s / 2]
    )
    assert fewer < more * (1 + 1e-9)


def test_nothing_published():
    silent = {"rate_hz": 0, "gap_s": R}
    assert models.long_polling_responses_hz(**silent) == 0
    assert models.long_polling_responses_hz(**silent, hold_s=20) == pytest.approx(1 / (R + 20))
    assert models.gap_probability(**silent, hold_s=20) == pytest.approx(R / (R + 20))
    assert models.loss_without_cursor(**silent) == 0
    assert models.nonempty_share(rate_hz=0, interval_s=1) == 0


# -------------------------------------------------------- short polling against long polling


@property_test
@given(interval_s=times, share=st.floats(0, 0.999))
def test_requests_cross_at_the_crossover(interval_s, share):
    gap_s = share * interval_s
    cross_hz = models.crossover_hz(interval_s=interval_s, gap_s=gap_s)
    below, at, above = models.long_polling_responses_hz(
        rate_hz=np.array([0.99, 1, 1.01]) * cross_hz, gap_s=gap_s
    )
    assert at == pytest.approx(1 / interval_s, rel=1e-9)
    assert below < 1 / interval_s < above


@pytest.mark.parametrize(("share", "above"), [(0, 0), (0.25, 0.03), (0.5, 0.13), (5 / 6, 0.59)])
def test_crossover_is_close_to_one_message_per_interval(share, above):
    cross_hz = models.crossover_hz(interval_s=2.0, gap_s=share * 2.0)
    assert cross_hz * 2.0 - 1 == pytest.approx(above, abs=0.005)


def test_no_pause_is_left_where_a_round_trip_fills_the_interval():
    assert models.dominant_pause(interval_s=1, delay_s=0.25, handshakes=1) == 0
    assert 0.6 < 2 * 0.1 * 3  # the last bit of a round trip is no reason to refuse
    assert models.dominant_pause(interval_s=0.6, delay_s=0.1, handshakes=2) == 0


@property_test
@given(rate_hz=rates, delay_s=st.floats(0.001, 0.1), handshakes=round_trips, interval_s=st.floats(0.6, 10))
def test_a_pause_is_never_worse_for_random_messages(rate_hz, delay_s, handshakes, interval_s):
    link = {"delay_s": delay_s, "handshakes": handshakes}
    pause_s = models.dominant_pause(interval_s=interval_s, **link)
    gap_s = models.repoll_gap(pause_s=pause_s, **link)
    short = {"interval_s": interval_s, "delay_s": delay_s}
    assert models.long_polling_worst(gap_s=gap_s, delay_s=delay_s) == pytest.approx(delay_s + interval_s)
    mean_s = models.long_polling_latency(rate_hz=rate_hz, gap_s=gap_s, delay_s=delay_s)
    assert mean_s <= models.short_polling_latency(**short) + 1e-9
    requests_hz = models.long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s)
    assert requests_hz <= 1 / interval_s + 1e-9


@pytest.mark.parametrize(("burst", "than_short"), [(1, -1), (2, 0), (3, 1), (10, 1)])
def test_bursts_of_more_than_two_break_it(burst, than_short):
    paused_s = models.burst_latency(burst=burst, gap_s=0.25, delay_s=D)
    short_s = models.short_polling_latency(interval_s=0.25, delay_s=D)
    assert np.sign(round(float(paused_s - short_s), 9)) == than_short


# --------------------------------------------------------------------------- bytes per message


@pytest.mark.parametrize("rate_hz", [0.2, 20.0])
def test_bytes_of_polling_are_those_of_all_exchanges_shared_by_all_messages(rate_hz):
    published = poisson(rate_hz)
    size = {"payload_bytes": 20, "header_bytes": 765, "rate_hz": rate_hz}
    polls = published[-1] / 0.5
    model = models.polling_bytes_per_message(requests_hz=2.0, **size)
    assert (765 * polls + 20 * MESSAGES) / MESSAGES == near(model)

    _, responses = poll(published, R, hold_s=2.0)
    requests_hz = models.long_polling_responses_hz(rate_hz=rate_hz, gap_s=R, hold_s=2.0)
    model = models.polling_bytes_per_message(requests_hz=requests_hz, **size)
    assert (765 * len(responses) + 20 * MESSAGES) / MESSAGES == near(model)


def test_bytes_of_an_event_stream_are_those_of_its_chunk():
    event = b"id: 42\ndata: " + b"x" * 100 + b"\n\n"
    chunk = b"%x\r\n" % len(event) + event + b"\r\n"
    assert models.sse_bytes_per_message(payload_bytes=100) == len(chunk)


# RFC 6455 §5.2: the length is 7, 16 or 64 bits; a client's frame carries a mask of 32 bits.
@pytest.mark.parametrize(
    ("payload", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (10**7, 10)]
)
def test_bytes_of_a_websocket_frame(payload, header):
    assert models.websocket_bytes_per_message(payload_bytes=payload) == payload + header
    assert models.websocket_bytes_per_message(payload_bytes=payload, from_client=True) == payload + header + 4


# --------------------------------------------------------------------------- many clients, load


@pytest.mark.parametrize("rate_hz", [2.0, 50.0])
def test_flush_in_windows_that_a_message_opens(rate_hz):
    published = poisson(rate_hz)
    flushed, ends = [], -1.0
    for t in published.tolist():
        if t > ends:
            ends = t + 0.05
        flushed.append(ends)
    latency = np.array(flushed) - published + D
    assert latency.mean() == near(models.flush_window_latency(rate_hz=rate_hz, flush_s=0.05, delay_s=D))


# ---------------------------------------------------------------------------- all of the forms

FORMS = {
    name: form
    for name, form in vars(models).items()
    if inspect.isfunction(form) and form.__module__.startswith(models.__name__)
}
#: Arguments that suit every form; the others are 1.
SUITABLE = {"delay_s": 0.01, "gap_s": 0.05, "hold_s": 20.0}


def call(form, values):
    """The form's result; where a distribution function is evaluated is its one positional argument."""
    where = [values[name] for name in values if name == "latency_s"]
    return form(*where, **{name: value for name, value in values.items() if name != "latency_s"})


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.fixture
def values(form):
    return {name: SUITABLE.get(name, 1.0) for name in inspect.signature(form).parameters}


#: What an argument that is left out stands for: keep-alive, no waiting, no limit.
LEFT_OUT = {"hold_s": np.inf, "framing_bytes": 21}


def test_arguments_that_are_left_out_mean_the_same_in_every_form(form, values):
    given = inspect.signature(form).parameters
    left_out = {
        name: LEFT_OUT.get(name, 0) for name in values if given[name].default is not inspect.Parameter.empty
    }
    needed = {name: value for name, value in values.items() if name not in left_out}
    assert call(form, needed) == call(form, needed | left_out)


def test_number_in_number_out_and_array_in_array_out(form, values):
    number = call(form, values)
    assert type(number) is float
    for name in values:
        array = call(form, values | {name: np.full(3, values[name])})
        assert array.tolist() == pytest.approx([number] * 3)


def test_bad_arguments_are_refused_by_name(form, values):
    for name in values:
        for bad in [np.nan] if name == "latency_s" else [np.nan, -1.0]:
            with pytest.raises(ValueError, match=rf"{form.__name__}\({name}=…\): expected .*, got {bad}"):
                call(form, values | {name: bad})


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        (
            models.crossover_hz,
            {"interval_s": 1, "gap_s": 1},
            r"interval_s above gap_s, got .*=1.0, gap_s=1.0",
        ),
        (models.crossover_hz, {"interval_s": [2, 1], "gap_s": 1.5}, "interval_s above gap_s, got"),
        (
            models.dominant_pause,
            {"interval_s": 0.3, "delay_s": 0.1, "handshakes": 1},
            "at least .* 0.4, got .*0.3",
        ),
        (models.burst_latency, {"burst": 0, "gap_s": 1, "delay_s": 0}, "at least 1 message, got 0"),
        (models.reload_latency, {"pause_s": 0, "delay_s": 0}, "no 0/0, got pause_s=0.0, delay_s=0.0"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(form, values, message):
    with pytest.raises(ValueError, match=message):
        form(**values)


@property_test
@given(
    spec=st.fixed_dictionaries(
        {"delay_s": delays, "rate_hz": rates, "gap_s": times, "interval_s": times, "pause_s": times}
    ),
    x=st.lists(st.floats(-1, 30), min_size=2, max_size=20).map(sorted),
)
@pytest.mark.parametrize("name", [name for name in FORMS if name.endswith("_cdf")])
def test_distribution_functions_rise_from_0_to_1(name, spec, x):
    wanted = inspect.signature(FORMS[name]).parameters.keys() & spec.keys()
    share = FORMS[name]([-1.0, *x, 1e6], **{name: spec[name] for name in wanted})
    assert share[0] == 0
    assert share[-1] == pytest.approx(1)
    assert all(a <= b + 1e-12 for a, b in pairwise(share))
