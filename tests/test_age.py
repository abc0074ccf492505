"""The age of what a client knows, against sums done otherwise."""

import numpy as np
import pytest

import lpws
from lpws import tables

LINK = lpws.Link(delay_s=0.1)
LONG = lpws.Workload(clients=2, rate_hz=1, duration_s=400, seed=5)


def ages(run, times_s, client=0):
    """The age at each moment, straight from its definition."""
    asked = tables.requests(run).query(f"client == {client}").dropna(subset="received_s")
    result = []
    for t in times_s:
        known = [0.0]
        for one in asked.itertuples():
            if one.response_s <= t:
                known.append(one.answered_s)
            if one.received_s + run.delay_s <= t:  # what is held at t - d, or was at its end
                end_s = np.inf if np.isnan(one.answered_s) else one.answered_s
                if run.label in ("SSE", "WebSocket"):
                    end_s = np.inf
                known.append(min(t - run.delay_s, end_s))
        result.append(t - max(known))
    return np.array(result)


@pytest.mark.parametrize(
    "transport",
    [
        lpws.Reload(), lpws.ShortPolling(), lpws.LongPolling(hold_s=1.5), lpws.LongPolling(keep_alive=False),
        lpws.SSE(), lpws.WebSocket(),
    ],
)  # fmt: skip
def test_the_age_is_that_of_its_definition(transport):
    run = lpws.simulate(transport, lpws.Workload(clients=2, rate_hz=1, duration_s=8, seed=5), LINK)
    line = tables.age_over_time(run, 1)
    times_s = np.random.default_rng(1).uniform(0.001, 7.999, 300)
    assert np.interp(times_s, line.t_s, line.age_s) == pytest.approx(ages(run, times_s, 1), abs=1e-6)
    assert line.t_s.is_monotonic_increasing
    assert (line.t_s.iloc[0], line.t_s.iloc[-1]) == (0, 8)


def test_mean_ages_are_those_of_the_textbook():
    """C/2 + d; the paradox of inspection, E[X²]/(2 E[X]) + d for pauses X; one transit."""
    polled = lpws.simulate(lpws.ShortPolling(interval_s=1), LONG, LINK)
    assert tables.mean_age_s(polled) == pytest.approx(0.5 + 0.1, rel=0.01)
    pushed = lpws.simulate(lpws.WebSocket(), LONG, LINK)
    assert tables.mean_age_s(pushed) == pytest.approx(0.1, rel=0.01)
    reloaded = lpws.simulate(lpws.Reload(pause_s=1), LONG, LINK)
    answered_s = tables.requests(reloaded).query("client == 0").response_s
    apart_s = np.diff(answered_s[answered_s <= 400])
    expected_s = (apart_s**2).sum() / 2 / apart_s.sum() + 0.1
    assert tables.mean_age_s(reloaded) == pytest.approx(expected_s, rel=0.02)


def test_a_stream_that_ends_tells_nothing_more():
    run = lpws.simulate(lpws.SSE(), lpws.Workload(clients=1, rate_hz=1, duration_s=8, seed=5), LINK)
    cut = lpws.Run(
        run.transport, run.workload, run.link,
        [event for event in run.events if event[0] < 4] + [(4.0, "closed", "client", 0, 0, -1, -1, 0)],
    )  # fmt: skip
    line = tables.age_over_time(cut)
    assert np.interp([3.9, 5.1, 8.0], line.t_s, line.age_s) == pytest.approx([0.1, 1.1, 4.0])
