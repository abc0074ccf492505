"""The tasks of notebook 07: a transport for each situation."""

import random

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

from lpws.exercises import n07

CHOOSE = """
import lpws

def choose(situation):
    if situation["streams"]:
        return lpws.WebSocket()
    pause_s = situation["oldest_s"] - 3.01 * situation["transit_s"]
    return lpws.LongPolling(pause_s=max(0, pause_s))
"""
GOOD = {
    "pauses": CHOOSE,
    "one of each": """
        from lpws import *
        def choose(s):
            if s["streams"]:
                return WebSocket() if s["says_hz"] else SSE()
            if s["rate_hz"] < 2:
                return LongPolling()
            return ShortPolling(interval_s=s["oldest_s"] - s["transit_s"])
    """,
    "a third of the age": edited(CHOOSE, ('situation["oldest_s"] - 3.01 * situation["transit_s"]',
                                          '0.95 * (situation["oldest_s"] - 3 * situation["transit_s"])')),
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    assert is_right(verdict("07.choose", made(source, "choose"), capsys))


def test_every_situation_can_be_met():
    good = made(CHOOSE, "choose")
    for seed in range(10):

        class Call:
            draw = random.Random(seed)

            def __call__(self, asked):
                chosen = good(asked)
                return {"": type(chosen).__name__} | vars(chosen)

        for stage in n07.TASKS["choose"].stages:
            for _, behavior in stage:
                behavior(Call())  # raises otherwise


def test_who_has_not_begun_is_told_what_to_do(capsys):
    [line] = verdict("07.choose", made("def choose(situation):\n    ...", "choose"), capsys)
    assert line.startswith("… `choose` returns nothing yet")


STREAM, POLL = "lpws.WebSocket()", "lpws.LongPolling(pause_s=max(0, pause_s))"
SHORT = "lpws.ShortPolling(interval_s=situation['oldest_s'] - situation['transit_s'])"
WRONG = {
    "always a WebSocket": ([(POLL, STREAM)], "what a proxy does that waits for the end"),
    "always SSE where it can": ([(STREAM, "lpws.SSE()")], "what it costs to say something"),
    "always long polling": ([(STREAM, "lpws.LongPolling()")], "how many transits the last message"),
    "always short polling": ([(POLL, SHORT)], "what a poll costs that finds nothing"),
    "no pause": ([(POLL, "lpws.LongPolling()")], "how a client can ask less often"),
    "too long a pause": ([("3.01", "1")], "the unluckiest message"),
    "the default": ([(POLL, "lpws.ShortPolling()")], "the unluckiest message"),
    "half a pause": ([("max(0, pause_s)", "max(0, pause_s / 2)")], "how a client can ask less often"),
    "a connection each time": ([("pause_s=max", "keep_alive=False, pause_s=max")], "how many transits a gap"),
    "no cursor": ([("pause_s=max", "cursor=False, pause_s=max")], "what a cursor is for"),
    "a short hold": ([("pause_s=max", "hold_s=1, pause_s=max")], "what a poll costs that finds nothing"),
    "a reader who reloads": ([(POLL, "lpws.Reload(pause_s=0.1)")], "until the next reload"),
    "gathers too long": ([(STREAM, "lpws.WebSocket(flush_s=situation['oldest_s'])")], "gathers messages"),
    "a pause below zero": ([("max(0, pause_s)", "pause_s"), ('situation["streams"]', "False")],
                           "expected a number from 0"),
    "a name": ([(STREAM, "'WebSocket'")], "returned 'WebSocket'"),
    "a class": ([(STREAM, "lpws.WebSocket")], "of which a check can make nothing"),
    "a wrong key": ([('"streams"', '"proxy"')], "raised KeyError: 'proxy'"),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("07.choose", made(edited(CHOOSE, *changes), "choose"), hint, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [("burst", 320, "✓"), ("burst", 220, "✗ not 220: that is short"), ("burst", 1, "✗ not 1"),
     ("burst", 340, "✗ not 340: that would be a burst of five"),
     ("mail", 900, "✗ not 900: that is in an hour"),
     ("pause", 0.4, "✗ not 0.4: that takes off six"),
     ("mail", 15, "✓"), ("mail", 15.04, "✓"), ("mail", 0.25, "✗ not 0.25: that is a second"),
     ("pause", 0.6, "✓"), ("pause", 0.8, "✗ not 0.8: that is with keep-alive")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"07.{task}", answer, said, capsys)
