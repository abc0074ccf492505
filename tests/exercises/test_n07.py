"""The tasks of notebook 07: a transport for each situation."""

import random

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

from lpws import Link, LongPolling, Reload, ShortPolling, WebSocket, Workload, simulate
from lpws.exercises import n07
from lpws.exercises.observer import Calls

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
    "spends its budget": """
        import lpws

        def choose(situation):
            if situation["streams"]:
                return lpws.WebSocket()
            trip_s = 2 * situation["transit_s"]
            most_s = situation["oldest_s"] - situation["transit_s"] - trip_s
            for part in range(1000):
                hears_hz = lpws.models.long_polling_responses_hz(
                    rate_hz=situation["rate_hz"], gap_s=trip_s + part / 1000 * most_s, hold_s=20)
                if hears_hz + situation["says_hz"] <= situation["requests_hz"]:
                    break
            return lpws.LongPolling(pause_s=part / 1000 * most_s)
    """,
    "a third of the age": edited(CHOOSE, ('situation["oldest_s"] - 3.01 * situation["transit_s"]',
                                          '0.95 * (situation["oldest_s"] - 3 * situation["transit_s"])')),
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    assert is_right(verdict("07.choose", made(source, "choose"), capsys))


SIMULATES = """
    import lpws

    def choose(situation):
        link, work = lpws.Link(delay_s=situation["transit_s"]), lpws.Workload(
            clients=1, rate_hz=situation["rate_hz"], duration_s=60)
        pause_s = max(0, situation["oldest_s"] - 3.01 * situation["transit_s"])
        for way in (lpws.WebSocket(), lpws.LongPolling(pause_s=pause_s)):
            if situation["streams"] or not way.streams:
                ages = lpws.deliveries(lpws.simulate(way, work, link)).latency_s
                if ages.max() <= situation["oldest_s"]:
                    return way
"""


def test_who_simulates_has_the_time_to_import_what_it_takes(monkeypatch, capsys):
    assert is_right(verdict("07.choose", made(SIMULATES, "choose"), capsys))
    monkeypatch.setattr(n07.Choices, "patience_s", 0.01)
    [line] = verdict("07.choose", made(SIMULATES, "choose"), capsys)
    assert line.startswith("✗ did not come back within 0.01 s, and was ended")
    monkeypatch.undo()
    assert n07.Choices.patience_s > 4 * Calls.patience_s  # a loop without an end is found soon elsewhere


@pytest.mark.parametrize("name", ["pauses", "one of each", "spends its budget"])
def test_every_situation_can_be_met(name):
    good = made(GOOD[name], "choose")
    for seed in range(10):

        class Call:
            draw = random.Random(seed)

            def __call__(self, asked):
                chosen = good(asked)
                return {"": type(chosen).__name__} | vars(chosen)

        for stage in n07.TASKS["choose"].stages:
            for _, behavior in stage:
                behavior(Call())  # raises otherwise


@pytest.mark.parametrize(
    "way",
    [LongPolling(), LongPolling(pause_s=0.4), LongPolling(hold_s=0.3), LongPolling(keep_alive=False),
     ShortPolling(interval_s=0.3), ShortPolling(interval_s=0.1), WebSocket(),
     ShortPolling(keep_alive=False, interval_s=0.35), ShortPolling(keep_alive=False, interval_s=0.1),
     Reload(pause_s=0.5), Reload(pause_s=0.5, keep_alive=True)],
    ids=repr,
)  # fmt: skip
def test_a_long_simulation_asks_as_often_as_is_said(way):
    run = simulate(way, Workload(clients=1, rate_hz=3, duration_s=2000), Link(delay_s=0.08))
    asked = sum(0 < time_s < 2000 and name == "request_sent" for time_s, name, *_ in run.events)
    said_hz = n07.hears_hz(way, {"rate_hz": 3, "transit_s": 0.08})
    assert asked / 2000 == pytest.approx(said_hz, rel=0.03)


def test_who_has_not_begun_is_told_what_to_do(capsys):
    [line] = verdict("07.choose", made("def choose(situation):\n    ...", "choose"), capsys)
    assert line.startswith("… `choose` returns nothing yet")


STREAM, POLL = "lpws.WebSocket()", "lpws.LongPolling(pause_s=max(0, pause_s))"
SHORT = "lpws.ShortPolling(interval_s=situation['oldest_s'] - situation['transit_s'])"
HEARS = (
    "lpws.models.long_polling_responses_hz(rate_hz=situation['rate_hz'], gap_s=2 * situation['transit_s'])"
)
UNSAID = f"lpws.LongPolling() if {HEARS} <= situation['requests_hz'] else {POLL}"
UNSAID_SHORT = (
    "lpws.ShortPolling(interval_s=1 / situation['requests_hz']) "
    f"if 1 / situation['requests_hz'] + situation['transit_s'] <= situation['oldest_s'] else {POLL}"
)
RARE = f"lpws.LongPolling(pause_s=0.25) if situation['rate_hz'] < 1 else {POLL}"
WRONG = {
    "always a WebSocket": ([(POLL, STREAM)], "what a proxy does that waits for the end"),
    "always SSE where it can": ([(STREAM, "lpws.SSE()")], "what it costs to say something"),
    "always long polling": ([(STREAM, "lpws.LongPolling()")], "how many transits the last message"),
    "always short polling": ([(POLL, SHORT)], "what a poll costs that finds nothing"),
    "what is said forgotten": ([(POLL, UNSAID)], "what is said by the client itself"),
    "a budget for polls alone": ([(POLL, UNSAID_SHORT)], "what is said by the client itself"),
    "no pause": ([(POLL, "lpws.LongPolling()")], "how a client can ask less often"),
    "too long a pause": ([("3.01", "1")], "the unluckiest message"),
    "too long a pause for what is rare": ([(POLL, RARE)], "the unluckiest message"),
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
     ("pause", 0.5, "✗ not 0.5: that takes off the transit of the message"),
     ("pause", 0.4, "✗ not 0.4: that takes off six"),
     ("mail", 15, "✓"), ("mail", 15.04, "✓"), ("mail", 0.25, "✗ not 0.25: that is a second"),
     ("pause", 0.6, "✓"), ("pause", 0.8, "✗ not 0.8: that is with keep-alive")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"07.{task}", answer, said, capsys)
