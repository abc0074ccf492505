"""The tasks of notebook 00: a workload in which a given transport loses; connections; a server's log."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

LOSE = """
import lpws

def lose(name):
    if name == "short polling":
        return lpws.Workload(clients=5, rate_hz=0.1, duration_s=60)
    return lpws.Workload(clients=5, rate_hz=20, duration_s=10)
"""
GOOD = {
    "rates": LOSE,
    "a dictionary": """
        from lpws import Workload
        rates = {"short polling": 0.05, "long polling": 8}
        lose = lambda name: Workload(rate_hz=rates[name], duration_s=30)
    """,
    "bursts": """
        import lpws
        def lose(name):
            if name.startswith("long"):
                return lpws.Workload(pattern="bursts", burst=5, spacing_s=0.1, rate_hz=5)
            return lpws.Workload(pattern="bursts", burst=5, rate_hz=0.5, duration_s=60)
    """,
    "a coroutine": edited(LOSE, ("def lose", "async def lose")),
    "with pandas": """
        import lpws, pandas
        def lose(name):
            table = pandas.DataFrame({"name": ["short polling", "long polling"], "rate_hz": [0.1, 20]})
            [rate_hz] = table[table.name == name].rate_hz
            return lpws.Workload(clients=5, rate_hz=float(rate_hz), duration_s=20)
    """,
    "an object": """
        import lpws
        class Lose:
            def __call__(self, name):
                return lpws.Workload(rate_hz=0.1 if "short" in name else 10, duration_s=20)
        lose = Lose()
    """,
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    assert is_right(verdict("00.lose", made(source, "lose"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    [line] = verdict("00.lose", made("def lose(name):\n    ...", "lose"), capsys)
    assert line.startswith("… the function returns nothing yet")


FEW, MANY = "rate_hz=0.1, duration_s=60", "rate_hz=20, duration_s=10"
WRONG = {
    "the default": ([(FEW, ""), (MANY, "")], "what a held request waits for"),
    "the other way round": ([('"short polling"', '"long polling"')], "short polling made"),
    "one for all": ([(MANY, FEW)], "for 'long polling': over 0.1 messages"),
    "hardly": ([(MANY, "rate_hz=1.5, duration_s=30")], "within the interval of a poll"),
    "nothing": ([("    return lpws.Workload(clients=5, rate_hz=20", "    (dict)(a=1, b=2")], "returned None"),
    "a dictionary": ([(f"lpws.Workload(clients=5, {MANY})", "dict(rate_hz=20)")], "returned {'rate_hz': 20}"),
    "two": ([(f"lpws.Workload(clients=5, {MANY})", "[lpws.Workload()] * 2")], "[Workload(…), Workload(…)]"),
    "a number": ([(f"lpws.Workload(clients=5, {MANY})", "20")], "returned 20"),
    "its own class": (
        [("import lpws", "import lpws, dataclasses\n@dataclasses.dataclass\nclass Workload:\n    x: int = 3"),
         ("return lpws.Workload(clients=5, rate_hz=20, duration_s=10)", "return Workload()")],
        "what describes messages",
    ),
    "the class": (
        [("return lpws.Workload(clients=5, rate_hz=20, duration_s=10)", "return lpws.Workload")],
        "✗ returned <class 'lpws.specs.workload.Workload'>, of which a check can make nothing",
    ),
    "text as a number": ([("rate_hz=20", "rate_hz='20'")], "got '20' in line 7 of the cell"),
    "too much": ([(MANY, "rate_hz=1000, duration_s=3600")], "too many to simulate here"),
    "out of range": ([("rate_hz=20", "rate_hz=-1")], "raised ValueError: Workload(rate_hz=…)"),
    "a spelling": ([("rate_hz=20", "rate=20")], "raised TypeError"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("00.lose", made(edited(LOSE, *changes), "lose"), hint, capsys)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (3, "✗ expected a function of (name), got 3"),
        (made("def lose(): return 3", "lose"), "✗ is called with (name), and that does not fit"),
    ],
    ids=["a number", "no argument"],
)
def test_what_cannot_be_called_is_said(thing, said, capsys):
    assert_says("00.lose", thing, said, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("00.connections", 80, "✓"), ("00.connections", 10, "✗ not 10: that is with keep-alive"),
        ("00.connections", 90, "✗ not 90: that has a poll at the beginning and one at the end"),
        ("00.log", "Long-Polling", "✓"), ("00.log", "websocket", "✗ not websocket: that is one request"),
        ("00.log", "long polling", "✓"), ("00.log", "SSE", "✗ not SSE: that is one request"),
        ("00.log", "short polling", "✗ not short polling: that is answered at once"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
