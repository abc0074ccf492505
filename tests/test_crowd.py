"""A crowd that comes back: the simulation, closed forms and real clients against each other; the picture."""

import time
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaks import nothing_left_behind
from tornado.web import RequestHandler

import lpws
from lpws import models
from lpws.figures.film import MOST
from lpws.run import RunError
from lpws.simulation.crowd import STEP_S

FIXED = lpws.Backoff(first_s=1, factor=1, jitter="none")
FULL = lpws.Backoff(first_s=1)


class Welcome(RequestHandler):
    def get(self):
        self.write("welcome back\n")


class Busy(RequestHandler):
    def get(self):
        self.set_status(503)


def overlapping(run):
    """Whether a client began an attempt before its last one had ended."""
    order = np.lexsort((run.begun_s, run.client))
    client, begun_s, ended_s = run.client[order], run.begun_s[order], run.ended_s[order]
    return bool(((begun_s[1:] < ended_s[:-1] - 1e-6) & (client[1:] == client[:-1])).any())


# -------------------------------------------------------------------------------- the simulation

backoffs = st.builds(
    lpws.Backoff, first_s=st.floats(0.05, 4), factor=st.floats(1, 3), limit_s=st.floats(1, 8),
    jitter=st.sampled_from(["none", "full", "equal"]),
)  # fmt: skip
restarts = st.builds(
    lpws.Restart, clients=st.integers(1, 200), away_s=st.floats(0, 2), backlog=st.integers(1, 200),
    patience_s=st.floats(0.05, 5), serves_hz=st.floats(5, 500), until_s=st.floats(0.5, 20),
    seed=st.integers(0, 99),
)  # fmt: skip


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(backoffs, restarts)
def test_whatever_comes_nobody_is_in_two_places(backoff, restart):
    run = lpws.stampede(backoff, restart)
    assert not overlapping(run)
    assert (np.diff(run.begun_s) >= 0).all()
    assert (run.ended_s > run.begun_s - 1e-9).all()
    inside = run.client[run.let_in]
    assert len(inside) == len(set(inside))
    for client in set(inside):  # who is back does not knock again
        assert run.let_in[run.client == client].tolist()[-1]
    back_s = run.back_s
    assert (back_s >= restart.away_s - 2 * STEP_S).all()
    # The server takes in no more than it can, and its door holds no more than its backlog.
    served = np.arange(1, len(back_s) + 1)
    assert (served <= restart.serves_hz * (back_s - restart.away_s + 3 * STEP_S) + 2).all()
    away = run.let_in & (run.begun_s < restart.away_s - STEP_S) & (run.ended_s - run.begun_s > 2 * STEP_S)
    assert away.sum() <= restart.backlog or restart.patience_s > 1  # a SYN that is repeated began earlier
    assert np.allclose((run.ended_s - run.begun_s)[~run.let_in], restart.patience_s)


@pytest.mark.parametrize("clients", [100, 1000, 20_000])
def test_a_crowd_that_finds_room_is_back_after_its_drain(clients):
    restart = lpws.Restart(clients=clients, backlog=clients, away_s=1.5, serves_hz=1000, until_s=60)
    run = lpws.stampede(lpws.Backoff(first_s=0.1), restart)
    expected_s = 1.5 + models.drain_s(clients=clients, serves_hz=1000)
    assert run.last_s == pytest.approx(expected_s, abs=3 * STEP_S)
    assert run.turned_away == 0


@pytest.mark.parametrize(("away_s", "backlog"), [(0.5, 100), (0.5, 900), (0, 50), (2.0, 1000)])
def test_the_window_that_nobody_is_turned_away_in(away_s, backlog):
    need_s = models.jitter_window_s(clients=2000, serves_hz=400, away_s=away_s, backlog=backlog)
    for share, good in ((1.5, True), (0.6, False)):
        wide = lpws.Backoff(first_s=share * need_s, factor=1, limit_s=100)
        run = lpws.stampede(wide, lpws.Restart(
            clients=2000, away_s=away_s, backlog=backlog, serves_hz=400, until_s=60))  # fmt: skip
        assert (run.turned_away == 0) == good


def test_the_window_by_hand():
    assert models.jitter_window_s(clients=1000, serves_hz=400, away_s=0.5, backlog=100) == 5.0
    assert models.jitter_window_s(clients=1000, serves_hz=400, away_s=0, backlog=100) == 2.25
    assert models.jitter_window_s(clients=50, serves_hz=400, away_s=0, backlog=100) == 0


def test_only_the_drain_counts_not_the_crowd():
    """A hundred times the clients, the room and the speed: the same story."""
    small = lpws.stampede(FULL, lpws.Restart())
    large = lpws.stampede(FULL, lpws.Restart(clients=100_000, backlog=10_000, serves_hz=40_000))
    assert np.quantile(large.back_s, 0.9) == pytest.approx(np.quantile(small.back_s, 0.9), rel=0.15)
    assert large.turned_away / 100_000 == pytest.approx(small.turned_away / 1000, rel=0.15)


def test_a_hundred_thousand_take_less_than_ten_seconds():
    begun = time.process_time()
    run = lpws.stampede(FULL, lpws.Restart(clients=100_000, backlog=10_000, serves_hz=40_000))
    assert len(run.back_s) == 100_000
    assert time.process_time() - begun < 10


def test_without_jitter_the_crowd_stays_together():
    for backoff in (FIXED, replace(FIXED, factor=2)):
        run = lpws.stampede(backoff, lpws.Restart(until_s=8))
        waves = run.attempts(0.2)
        assert waves[5] == 1000  # a second after the cut
        assert np.count_nonzero(waves) <= 2 * 8 / 1.5
    assert run.attempts(0.1).sum() == len(run.client)


def test_full_jitter_takes_less_work_than_equal_and_both_end():
    for seed in range(5):
        restart = lpws.Restart(clients=3000, until_s=60, seed=seed)
        full, equal = (lpws.stampede(replace(FULL, jitter=name), restart) for name in ("full", "equal"))
        assert max(full.last_s, equal.last_s) < np.inf
        assert np.quantile(full.back_s, 0.95) < np.quantile(equal.back_s, 0.95)


def test_a_dropped_syn_is_repeated_after_one_and_three_seconds():
    restart = lpws.Restart(clients=40, backlog=10, away_s=0, serves_hz=1000, patience_s=9)
    run = lpws.stampede(lpws.Backoff(first_s=0.001), restart)
    took_s = run.ended_s - run.begun_s
    assert run.turned_away == 0
    assert {round(float(each)) for each in took_s} <= {0, 1, 3, 7}
    assert (took_s < 0.5).sum() >= 10


def test_the_same_seed_tells_the_same_story_and_another_one_another():
    one, two, other = (lpws.stampede(FULL, lpws.Restart(seed=seed)) for seed in (1, 1, 2))
    assert (one.begun_s == two.begun_s).all()
    assert len(one.client) != len(other.client) or (one.begun_s != other.begun_s).any()
    assert repr(one).startswith("<stampede of 1,000 clients, simulated: ")


@pytest.mark.parametrize("wrong", [("full", None), (FULL, "restart"), (None, None)])
def test_what_is_no_specification_is_refused(wrong):
    with pytest.raises(TypeError, match="stampede: expected a (Backoff|Restart), got "):
        lpws.stampede(*wrong)


# ---------------------------------------------------------------------------------- real clients


def test_a_thousand_real_clients_are_back_each_once():
    restart = lpws.Restart(clients=1000, backlog=4096, away_s=0.3, patience_s=5, until_s=8)
    with nothing_left_behind():
        run = lpws.stampede(lpws.Backoff(first_s=0.5), restart, handler=Welcome)
    assert run.origin == "measured"
    assert sorted(run.client[run.let_in]) == list(range(1000))
    assert not overlapping(run)
    assert run.back_s[0] > 0.3 - 0.001


def test_real_and_simulated_crowds_knock_alike():
    """In half seconds; the clients of both wait by the same law, and a busy machine is only late."""
    restart = lpws.Restart(clients=400, backlog=4096, away_s=0.2, patience_s=5, until_s=9)
    wide = lpws.Backoff(first_s=6)
    real, ideal = (lpws.stampede(wide, restart, handler=handler) for handler in (Welcome, None))
    for run in (real, ideal):
        first_s = np.sort(run.begun_s)[:400]
        # Uniform between 0 and 6 s: the distance from that law, as Kolmogorov and Smirnov measure it.
        gap = np.abs(np.arange(1, 401) / 400 - np.clip(first_s / 6, 0, 1)).max()
        assert gap < 0.15
    assert len(real.back_s) == len(ideal.back_s) == 400


def test_a_real_door_holds_its_backlog_and_the_others_wait_a_second():
    restart = lpws.Restart(clients=200, backlog=20, away_s=0.5, patience_s=6)
    run = lpws.stampede(lpws.Backoff(first_s=0.05), restart, handler=Welcome)
    took_s = (run.ended_s - run.begun_s)[run.let_in]
    assert len(took_s) == 200
    # One more than the backlog fits on Linux; some come when the server is there already.
    assert (took_s >= 1).sum() > 100


def test_real_clients_that_run_out_of_patience_try_again():
    restart = lpws.Restart(clients=200, backlog=20, away_s=0.6, patience_s=0.2, until_s=6)
    run = lpws.stampede(lpws.Backoff(first_s=0.1), restart, handler=Welcome)
    assert run.turned_away > 100
    assert (run.ended_s - run.begun_s)[~run.let_in].min() >= 0.2 - 0.01


def test_clients_that_are_answered_503_are_not_back():
    restart = lpws.Restart(clients=10, away_s=0, until_s=1)
    run = lpws.stampede(lpws.Backoff(first_s=0.1, factor=1), restart, handler=Busy)
    assert len(run.back_s) == 0
    assert run.turned_away > 20
    assert run.last_s == np.inf


def test_more_than_a_machine_can_hold_is_refused():
    with pytest.raises(ValueError, match="expected at most 5,000 clients, got 6,000"):
        lpws.stampede(FULL, lpws.Restart(clients=6000), handler=Welcome)


def test_clients_that_die_are_noticed(monkeypatch):
    monkeypatch.setattr("lpws.crowd.to_dict", lambda spec: {"kind": "nothing"})
    with nothing_left_behind(), pytest.raises(RunError, match="ended before their time; .*expected a spec"):
        lpws.stampede(FULL, lpws.Restart(clients=2), handler=Welcome)


# ------------------------------------------------------------------------------------ the picture


@pytest.fixture(scope="module")
def runs():
    return {name: lpws.stampede(way, lpws.Restart()) for name, way in (("fixed", FIXED), ("full", FULL))}


def test_the_film_keeps_to_its_size(runs):
    film = lpws.waves({f"{name} {n}": run for n in range(3) for name, run in runs.items()})
    assert len(film.moving) <= MOST
    assert len(film.svg) < 300_000
    ElementTree.fromstring(film.svg)


def test_the_film_says_how_the_stories_end(runs):
    film = lpws.waves(runs)
    fixed, full = runs.values()
    said = f"fixed: {len(fixed.back_s)} back, full: all back after {full.last_s:.1f} s"
    assert film.words == said
    texts = [text.get_text() for text in film.figure.axes[0].texts]
    assert "fixed" in texts
    assert any(text.endswith(" back") for text in texts)


@pytest.mark.parametrize(("wrong", "error"), [({}, ValueError), ({"a": 1}, TypeError), ([], TypeError)])
def test_no_stampede_no_picture(wrong, error):
    with pytest.raises(error, match="waves: expected"):
        lpws.waves(wrong)


@pytest.mark.parametrize("until_s", [-1, "abc", 10**9])
def test_no_time_no_picture(runs, until_s):
    with pytest.raises(ValueError, match=r"waves\(until_s=…\): expected a number"):
        lpws.waves(runs, until_s=until_s)
