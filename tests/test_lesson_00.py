"""The first notebook, read by somebody who changes its values; test_mutations.py breaks its race."""

import itertools
from functools import cache

import booklet
import matplotlib
import matplotlib.pyplot as plt
import pytest

import lpws

CELLS = booklet.code(booklet.paths()[0])
EXERCISES = [cell for cell in CELLS if booklet.tagged(cell, "exercise")]


@cache
def finished():
    """The names after the whole notebook, its measurements replaced by simulations."""
    matplotlib.use("Agg")
    namespace = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpws, "measure", lambda *spec, **_: lpws.simulate(*spec))
        patch.setattr(lpws, "show", lambda *_: plt.close("all"))
        for cell in CELLS:
            booklet.execute(cell.source, namespace)
    return namespace


TWO = ("quick =", "short, push =", "wanted =", 'two["WebSocket"].health')
RACE = ("work =", "from lpws import models", "told =", "asked =", "import pandas", "simulated =")
PAIRS = ("pairs =", "table =", "transits =")
#: A name that the reader sees a value of → the cell that it is in, and those that use it.
VALUES = {
    "guess_s": ("import lpws", *TWO),
    "delay_s": ("import lpws", *TWO, *RACE, *PAIRS),
    "clients": TWO,
    "rate_hz": TWO,
    "duration_s": TWO,
    "seed": TWO,
    "interval_s": TWO,
    "guess_opened": ("guess_opened =", "import pandas"),
    "guess_slowest": ("guess_opened =", "import pandas"),
    "pause_s": RACE,
    "hold_s": RACE,
    "guess_transits": ("guess_transits =", "transits ="),
    "burst": PAIRS,
    "spacing_s": PAIRS,
    "pattern": PAIRS,
}
MORE = [
    ("delay_s", 0.1),
    ("clients", 1),
    ("rate_hz", 0.001),
    ("duration_s", 0.001),
    ("interval_s", 0.02),
    ("pause_s", 0.01),
    ("hold_s", 0.1),
    ("burst", 1),
    ("burst", 7),
    ("spacing_s", 0.1),
    ("pattern", "poisson"),
    ("pattern", "periodic"),
]


@pytest.mark.parametrize(("name", "value"), [*itertools.product(VALUES, booklet.BAD), *MORE])
def test_a_changed_value_gives_a_sentence(monkeypatch, name, value):
    monkeypatch.setattr(lpws, "measure", lambda *spec, **_: lpws.simulate(*spec))
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    sources = [next(c.source for c in CELLS if c.source.startswith(start)) for start in VALUES[name]]
    sources[0] = booklet.rebound(sources[0], name, value)
    assert booklet.complaints(sources, dict(finished())) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("clients", 3), ("rate_hz", 0.001), ("duration_s", 0.01), ("seed", 5), ("rate_hz", 60)],
)
def test_another_race_gives_a_sentence(monkeypatch, name, value):
    """What depends on the numbers of the race says what it needs; the rest holds of any race."""
    monkeypatch.setattr(lpws, "measure", lambda *spec, **_: lpws.simulate(*spec))
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    sources = [next(c.source for c in CELLS if c.source.startswith(start)) for start in RACE]
    sources[0] = booklet.rebound(sources[0], name, value)
    assert booklet.complaints(sources, dict(finished())) == []


@pytest.mark.parametrize("value", [*booklet.BAD, 1e-9, (), "bursty"])
@pytest.mark.parametrize("cell", EXERCISES, ids=[cell.id for cell in EXERCISES])
def test_a_wrong_answer_is_told(cell, value):
    name = cell.source.partition(" = ...")[0]
    said = booklet.execute(booklet.rebound(cell.source, name, value), dict(finished()))
    assert said.startswith("✗")
