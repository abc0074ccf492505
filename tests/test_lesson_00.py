"""The first notebook, read by somebody who changes its values; test_mutations.py breaks its race."""

import itertools

import booklet
import pytest

PATH = booklet.paths()[0]

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
def test_a_changed_value_gives_a_sentence(name, value):
    assert booklet.rebinding(PATH, VALUES[name], name, value) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("clients", 3), ("rate_hz", 0.001), ("duration_s", 0.01), ("seed", 5), ("rate_hz", 60)],
)
def test_another_race_gives_a_sentence(name, value):
    """What depends on the numbers of the race says what it needs; the rest holds of any race."""
    assert booklet.rebinding(PATH, RACE, name, value) == []


@pytest.mark.parametrize("value", [*booklet.BAD, 1e-9, (), "bursty"])
@pytest.mark.parametrize("exercise", booklet.exercises(PATH))
def test_a_wrong_answer_is_told(exercise, value):
    assert booklet.answered(PATH, exercise, value).startswith("✗")
