"""The tasks of notebook 00: a workload in which a given transport loses; connections; a server's log."""

from __future__ import annotations

from typing import Any

from ..simulation import simulate
from ..specs import SSE, Link, LongPolling, Reload, ShortPolling, WebSocket, Workload
from .observer import Calls, Wrong, shown
from .task import Make, Quick, a_function

#: As many requests or deliveries as are simulated within a second.
_MOST = 100_000
_CONTENDERS = {"short polling": ShortPolling(), "long polling": LongPolling()}


def workload(value: Any) -> Workload:
    """The workload that a function returned.

    Raises
    ------
    Wrong
        If it is none, or too much to simulate.
    """
    try:
        if value[""] != Workload.__name__:
            raise TypeError
        work = Workload(**{name: field for name, field in value.items() if name})
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Wrong(
            f"returned {shown(value)}", "what describes messages and clients: lpws.Workload(…)"
        ) from None
    events = work.clients * max(1, work.rate_hz) * work.duration_s
    if events > _MOST:
        raise Wrong(
            f"returned a workload of {events:,.0f} requests or deliveries, too many to simulate here",
            "how few clients and seconds show the same",
        )
    return work


def requests(name: str, work: Workload) -> int:
    """Number of requests that the clients make in a simulated run."""
    run = simulate(_CONTENDERS[name], work, Link(delay_s=0.025))
    return sum(event[1] == "request_sent" and event[2] == "client" for event in run.events)


def loses(loser: str, winner: str, think: str) -> tuple[str, Any]:
    """The behavior: over the workload for the loser, it makes at least twice as many requests."""

    def behavior(call: Calls) -> None:
        work = workload(call(loser))
        ours, theirs = requests(loser, work), requests(winner, work)
        if ours < 2 * theirs:
            raise Wrong(
                f"for {loser!r}: over {work.rate_hz:g} messages per second ({work.pattern}) for "
                f"{work.duration_s:g} s, {loser} made {ours:,} requests and {winner} {theirs:,}",
                think,
            )

    return f"{loser} makes at least twice as many requests as {winner} over your workload for it", behavior


TASKS = {
    "lose": Make(
        stub="the function returns nothing yet: let it return an lpws.Workload for the transport it is told",
        expected=a_function("name"),
        stages=[
            [
                loses("short polling", "long polling", "when a poll finds nothing, and what a held request "
                      "waits for"),
                loses("long polling", "short polling", "what ends a held request, and how often that can "
                      "happen within the interval of a poll"),
            ]
        ],
        scene=Calls,
    ),
    "connections": Quick(
        10 * 4 * 2,
        {
            10: "that is with keep-alive; where each answer closes, the next poll needs another connection",
            8: "that is one client; there are ten",
            20: "that is how many they open per second",
            40: "that is one poll per second and client; they poll every half second",
            90: "that has a poll at the beginning and one at the end; four seconds are eight intervals",
        },
    ),
    "log": Quick(
        LongPolling.label,
        {
            ShortPolling.label: "that is answered at once; here a request waits for seconds",
            Reload.label: "that is answered at once; here a request waits for seconds",
            SSE.label: "that is one request, whose answer does not end",
            WebSocket.label: "that is one request, and then there are none",
        },
    ),
}  # fmt: skip
