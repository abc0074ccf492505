"""What a notebook asks and says: guesses, and answers to exercises."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

import lpws

matplotlib.use("Agg")


@pytest.mark.parametrize("value", [0, 0.3, 1, np.float64(0.3), np.int64(1)])
def test_a_guess_is_a_number(value, capsys):
    guess = lpws.guess(value, most=1)
    assert type(guess) is float
    assert guess == value
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "value", [-1, 1.1, 40, 10**400, math.inf, math.nan, None, "abc", "0.3", True, ..., [0.3], 1j]
)
def test_what_is_no_guess_is_said_and_left_out(value, capsys):
    assert math.isnan(lpws.guess(value, most=1))
    said = capsys.readouterr().out
    assert said == f"✗ your guess: expected a number from 0 to 1, got {value!r}; it is left out\n"


def test_a_guess_without_a_range_is_some_positive_number(capsys):
    assert lpws.guess(1e6) == 1e6
    assert math.isnan(lpws.guess(-1))
    assert "expected a number from 0 to 1e+06, got -1;" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["abc", 10**400, 1e6])
def test_a_guess_that_is_left_out_does_not_change_the_figure(value, recwarn, caplog):
    figure, ax = plt.subplots()
    ax.set(xscale="log", yscale="log", xlim=(1, 10), ylim=(1, 10))
    before = figure.get_tightbbox().extents
    guess = lpws.guess(value)
    ax.plot(2, guess, "x")
    ax.annotate("your guess", (2, guess), (6, 6), textcoords="offset points")
    ax.axhline(guess)
    figure.canvas.draw()
    assert (figure.get_tightbbox().extents == before).all()
    assert not recwarn.list
    assert not caplog.records
    plt.close(figure)


def test_a_latency_that_is_left_out_is_not_on_the_ecdf():
    run = lpws.simulate(lpws.WebSocket(), lpws.Workload(clients=1, duration_s=1.0))
    for guess_s, marked in ((0.1, True), (lpws.guess("abc"), False)):
        ax = lpws.ecdf(run, guess_s=guess_s)
        assert any(text.get_text() == "your guess" for text in ax.texts) == marked
        plt.close(ax.figure)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (100, "✓"),
        (100.9, "✓"),
        (99.1, "✓"),
        (101.1, "✗ not 101"),
        (10**400, "✗ not 1000"),
        (None, "✗ expected"),
    ],
)
def test_an_answer_may_be_a_little_off(answer, verdict, capsys):
    lpws.check(answer, 100.0, within=0.01)
    assert capsys.readouterr().out.startswith(verdict)


@pytest.mark.parametrize(("answer", "right"), [(True, 1), (False, 0.0), (1, True), ("1", 1), ([1], (1,))])
def test_an_answer_of_another_kind_is_not_right(answer, right, capsys):
    lpws.check(answer, right)
    assert capsys.readouterr().out.startswith("✗ expected a")
