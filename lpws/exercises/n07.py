"""The tasks of notebook 07: which transport, when."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from .. import models
from ..simulation import simulate
from ..specs import SSE, Link, LongPolling, Reload, ShortPolling, Transport, WebSocket, Workload
from .observer import Calls, Wrong, shown
from .task import Make, Quick, a_function

#: How far above the budget a choice may be: who simulates, or computes with another hold, is not exact.
_ROOM = 1.05
_TRANSPORTS = {kind.__name__: kind for kind in (Reload, ShortPolling, LongPolling, SSE, WebSocket)}


class Choices(Calls):
    """Calls of a function that may simulate what it chooses from, and first imports all that this takes."""

    patience_s = 10.0


def _transport(value: Any) -> Transport:
    try:
        return _TRANSPORTS[value[""]](**{name: field for name, field in value.items() if name})
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Wrong(
            f"returned {shown(value)}", "what can be chosen: lpws.ShortPolling(…) and the others"
        ) from None


def _short(transport: Transport) -> str:
    """The transport with what was chosen of it, and without what was not."""
    given = (f"{name}={value!r:.6}" for name, value in vars(transport).items()
             if value != getattr(type(transport)(), name))  # fmt: skip
    return f"{type(transport).__name__}({', '.join(given)})"


def situation(
    draw: random.Random,
    *,
    rate_hz: float,
    oldest: float,
    says_hz: float = 0.0,
    streams: bool = True,
    tight: bool = False,
) -> dict[str, Any]:
    """A situation near these values, in which at least one transport does what is asked.

    Parameters
    ----------
    draw
        What makes it a little different every time.
    rate_hz
        Messages per second to the client.
    oldest
        How old a message may be, in transits.
    says_hz
        How often per second the client says something; over a WebSocket, that is no request.
    streams
        Whether everything on the way lets a response through that does not end, and a WebSocket.
    tight
        Whether the budget is enough for hearing by long polling without a pause, but not for saying as well.
    """
    transit_s = draw.choice([0.01, 0.02, 0.04, 0.08])
    oldest_s = round(oldest * transit_s * draw.uniform(1, 1.2), 3)
    # With a pause, a message is at most three transits and the pause old.
    polls_hz = min(rate_hz + 0.1, 1 / (oldest_s - transit_s)) if oldest_s > 3 * transit_s else 0.5
    asked = {
        "rate_hz": round(rate_hz * draw.uniform(0.8, 1.2), 3), "oldest_s": oldest_s,
        "says_hz": says_hz, "streams": streams, "transit_s": transit_s,
    }  # fmt: skip
    budget_hz = 0.2 + 1.4 * polls_hz + (0 if says_hz > 5 else says_hz)
    if tight:
        budget_hz = hears_hz(LongPolling(), asked) + says_hz / 2
    return asked | {"requests_hz": round(budget_hz, 3)}


def hears_hz(chosen: Transport, asked: dict[str, Any]) -> float:
    """Requests per second to hear the messages, on average over a time without end.

    Not counted in the simulation: one of 20 s begins and ends anywhere, and has messages by chance.
    """
    if chosen.streams:
        return 0.0
    handshakes = 0 if chosen.keep_alive else 1
    gap_s = models.repoll_gap(
        delay_s=asked["transit_s"], handshakes=handshakes, pause_s=getattr(chosen, "pause_s", 0.0)
    )
    gap_s = max(gap_s, getattr(chosen, "interval_s", 0.0))
    # An answer at once is one after a hold of 0.
    return models.long_polling_responses_hz(rate_hz=asked["rate_hz"], gap_s=gap_s, hold_s=chosen.hold_s)


def fits(sentence: str, think: str, **values: Any) -> tuple[str, Callable[[Calls], None]]:
    """The behavior: what is chosen for such a situation does what is asked."""

    def behavior(call: Calls) -> None:
        for _ in range(3):
            asked = situation(call.draw, **values)
            chosen = _transport(call(asked))
            if chosen.streams and not asked["streams"]:
                raise Wrong(
                    f"chose {_short(chosen)} for {asked}",
                    "what a proxy does that waits for the end of a response",
                )
            asks_hz = hears_hz(chosen, asked)
            # The unluckiest message is seldom among the first; nor should it take a second to meet it.
            seconds = min(300 / asked["rate_hz"], 3000 / (asks_hz + asked["rate_hz"]), 3600.0)
            work = Workload(
                clients=1, rate_hz=asked["rate_hz"], duration_s=seconds, seed=call.draw.randrange(99)
            )
            run = simulate(chosen, work, Link(delay_s=asked["transit_s"]))
            said_hz = 0 if chosen.upgrades else asked["says_hz"]
            requests_hz = asks_hz + said_hz
            ages_s, said = _ages_s(run), f"chose {_short(chosen)} for {asked}"
            if lost := ages_s.count(float("inf")):
                raise Wrong(f"{said}: {lost} of {len(ages_s)} messages never came", "what a cursor is for")
            if max(ages_s) > asked["oldest_s"] + 1e-6:
                raise Wrong(f"{said}: a message was {max(ages_s):.3g} s old", _late(chosen, asked))
            if requests_hz > _ROOM * asked["requests_hz"]:
                raise Wrong(f"{said}: that takes {requests_hz:.3g} requests per second on average", think)

    return sentence, behavior


def _late(chosen: Transport, asked: dict[str, Any]) -> str:
    """A hint for a message that was too old."""
    if chosen.upgrades:
        return "for how long the server gathers messages before it sends them"
    if chosen.at_random:
        return "how long a reader may take until the next reload"
    if asked["streams"]:
        return "how many transits the last message of a flood takes, if it has to wait for a request"
    if not chosen.keep_alive:
        return "how many transits a gap has, if each request opens a connection"
    return "the unluckiest message: what it waits for, and that it then travels"


def _ages_s(run: Any) -> list[float]:
    """Age of each message on arrival [s]; infinite if it did not come."""
    published, ages_s = {}, {}
    for time_s, name, side, _, _, _, message, _ in run.events:
        if name == "published":
            published[message], ages_s[message] = time_s, float("inf")
        elif name == "message_received" and side == "client":
            ages_s[message] = time_s - published[message]
    return list(ages_s.values())


TASKS = {
    "choose": Make(
        stub="`choose` returns nothing yet: let it return a transport for the situation that it is given",
        expected=a_function("situation"),
        stages=[
            [
                fits("finds one for news that is rare, and urgent", "what a poll costs that finds nothing",
                     rate_hz=0.05, oldest=5, streams=False),
                fits("finds one for a stream of prices that must be fresh",
                     "what each answer costs when there is much to say", rate_hz=10, oldest=1.6),
            ],
            [
                fits("finds one for a game, in which the player talks as much as the server",
                     "what it costs to say something", rate_hz=10, oldest=1.6, says_hz=10),
                fits("finds one for a dashboard behind a proxy that lets no stream through",
                     "how a client can ask less often, and what it may cost in age",
                     rate_hz=20, oldest=40, streams=False),
                fits("finds one for a chat behind such a proxy",
                     "the gap, the pause, and what is said by the client itself",
                     rate_hz=3, oldest=80, says_hz=1.0, streams=False, tight=True),
            ],
        ],
        scene=Choices,
    ),
    "mail": Quick(
        60 * models.crossover_hz(interval_s=4.0, gap_s=0.05),
        {
            0.25: "that is a second; how many is it a minute?",
            4: "that is the interval; how many intervals has a minute?",
            240: "one mail per interval, not one interval per mail",
            900: "that is in an hour; how many is it a minute?",
            60: "that would be so for a poll each second",
        },
        within=0.03,
    ),
    "burst": Quick(
        1000 * models.burst_latency(burst=4, gap_s=0.4, delay_s=0.02),
        {
            220: "that is short polling, for which it does not matter who comes together",
            20: "that is the first of the four; the others find a gap",
            420: "that is each of the other three",
            340: "that would be a burst of five",
            400: "that is the gap; who of the four waits through it?",
            300: "and the transit that each of them takes?",
            0.32: "in milliseconds",
        },
        within=0.01,
    ),
    "pause": Quick(
        models.dominant_pause(interval_s=1.0, delay_s=0.1, handshakes=1),
        {
            1.0: "that is her pause; the gap is longer than the pause",
            0.8: "that is with keep-alive; a new connection costs another round trip",
            0.9: "that takes off one transit; how many are in her gap?",
            0.5: "that takes off the transit of the message itself, which short polling has as well",
            0.4: "that takes off six transits; her gap has four besides the pause",
            0.7: "that takes off three transits; count those of a new connection once more",
        },
        within=0.001,
    ),
}  # fmt: skip
