"""The tasks of notebook 15: how many servers, judged by simulation."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from itertools import product
from typing import Any

from . import farm
from .observer import Calls, Wrong, shown
from .task import Make, Quick, a_function

_GONE = "who has the lost servers' clients"
_PART = "how to round a fraction of a server"
_MOST = "which limit needs the most servers, and whether one of yours is stricter than what was asked"
_LEFT = "how many servers must remain, and how many clients each takes in; that does not count as busy"
_NOBODY = "whose clients come back if no server is lost"
_UNITS = "the units: seconds, bytes, and shares of one"

#: By limit: what has been forgotten if the number is the least in a world without it, and a hint.
_FORGOTTEN: dict[str, list[tuple[dict[str, float], str]]] = {
    "busy": [
        ({"heartbeat_cpu_s": 0.0}, "all that one processor has to do, also while nobody says anything"),
        ({"delivery_cpu_s": 0.0}, "all that one processor has to do in a second"),
        ({"busy": 1.0}, "what share of each processor stays idle"),
    ],
    "memory": [({"base_bytes": 0}, "what a server needs before the first client comes")],
}
_THINK = {
    "last": "how many clients a server writes to before it reaches the last",
    "busy": "all that one processor has to do in a second, for all its clients",
    "memory": "what a server holds for its clients, and what it needs for itself",
    "back": "whose clients come back, and which servers take them in, one by one",
}


def _round(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def service(draw: random.Random, tight: str, lost: int = 0) -> dict[str, Any]:
    """A service in which one limit asks for the most servers, and the others for far fewer.

    Parameters
    ----------
    draw
        What makes it a little different every time.
    tight
        The limit; "idle" is the processor's, if it has to do little but heartbeats.
    lost
        How many servers may be gone at once.
    """
    # The number of servers that are not lost is not close to a whole one, so that there is no doubt about it.
    left = draw.choice([draw.randrange(6, 20), draw.randrange(20, 130)]) if tight != "back" else (
        draw.randrange(3, 25) + lost)  # fmt: skip
    need = left - draw.uniform(0.35, 0.65)
    share = draw.uniform(5_000, 80_000)  # clients that a server can carry

    def room(limit: str) -> float:
        return 1.0 if limit == tight.replace("idle", "busy") else draw.uniform(2.6, 5)

    asked = {
        "clients": 0, "messages_hz": 0.0,
        "delivery_cpu_s": draw.randrange(20, 80) / 1e6,
        "heartbeat_cpu_s": draw.randrange(100, 300) / 1e6, "heartbeat_every_s": 0.0,
        "handshake_cpu_s": draw.randrange(5, 30) / 1e4,
        "client_bytes": draw.randrange(10, 90) * 1000, "base_bytes": draw.randrange(200, 400) * 10**6,
        "memory_bytes": 0, "last_s": 0.0, "busy": draw.choice([0.5, 0.6, 0.7]), "lost": lost, "back_s": 0.0,
    }  # fmt: skip
    cost_s = asked["delivery_cpu_s"]
    load, deliveries = asked["busy"] / room("busy"), draw.uniform(0.4, 0.6)
    if tight == "idle":
        deliveries = 0.1
    asked["messages_hz"] = _round(load * deliveries / share / cost_s)
    asked["heartbeat_every_s"] = _round(share * asked["heartbeat_cpu_s"] / load / (1 - deliveries))
    asked["last_s"] = _round(share * cost_s * room("last"))
    if tight == "memory":
        asked["base_bytes"] = int(_round(share * asked["client_bytes"] * draw.uniform(0.3, 0.8)))
    held_bytes = asked["base_bytes"] + share * asked["client_bytes"]
    asked["memory_bytes"] = int(_round(held_bytes * room("memory")))
    # By its numbers as they are written, a server can carry a little more or less than its share.
    per_s = asked["messages_hz"] * cost_s + asked["heartbeat_cpu_s"] / asked["heartbeat_every_s"]
    carried = {
        "last": asked["last_s"] / cost_s,
        "memory": (asked["memory_bytes"] - asked["base_bytes"]) / asked["client_bytes"],
    }.get(tight, asked["busy"] / per_s)
    asked["clients"] = int(_round(need * (share if tight == "back" else carried), 4))
    comes_back = asked["clients"] / need * (lost / (need + lost) or draw.uniform(0.05, 0.1))
    asked["back_s"] = _round(comes_back * asked["handshake_cpu_s"] * room("back"), 4)
    return asked


def enough(*tight: str, lost: tuple[int, int] = (0, 0), times: int = 3) -> Callable[[Calls], None]:
    """The behavior: so many servers are asked for as are enough, and hardly more."""

    def behavior(call: Calls) -> None:
        for limit in tight * times:
            asked = service(call.draw, limit, call.draw.randint(*lost))
            try:
                judge(asked, call(asked))
            except Wrong as what:
                # To be pasted into a cell.
                said = f"service = {asked}".replace(": ", ":\0")
                said = textwrap.fill(said, 78, subsequent_indent="    ").replace("\0", " ")
                what.args = (f"{what}\n{said}",)
                raise

    return behavior


def judge(asked: dict[str, Any], answer: Any) -> None:
    """Raise `Wrong` unless so many servers are enough, and no more than one or 10 % more than needed."""
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if type(answer) is not int:
        raise Wrong(f"returned {shown(answer)}", "what is asked for: a whole number of servers")
    if answer < 1:
        raise Wrong("asked for fewer than one server", "who serves the clients")
    answer = min(answer, 10**9)  # which is enough, and more are searched for long
    said = "asked for " + (f"{answer:,} servers" if answer < 10**9 else "a billion servers, or more")
    said = said.removesuffix("s") if answer == 1 else said
    if answer <= asked["lost"]:
        raise Wrong(f"{said}, of which {asked['lost']} may be gone", "who is left")
    if not farm.is_enough(asked, answer):
        raise _too_few(asked, answer, said)
    # More than one and 10 % more than so many.
    fewer = min(answer - 2, (10 * answer - 1) // 11)
    if farm.is_enough(asked, fewer):
        least = farm.least(asked, fewer)
        raise Wrong(f"{said}, but {least:,} are enough", _too_many(asked, answer, least))


def _too_many(asked: dict[str, Any], servers: int, least: int) -> str:
    """A hint for somebody who asks for more servers than are needed."""
    if servers > 50 * least:
        return _UNITS
    if asked["lost"]:
        return _LEFT
    everybody = asked["clients"] * asked["handshake_cpu_s"] / asked["back_s"]
    return _NOBODY if abs(servers - everybody) <= 1 else _MOST


def _too_few(asked: dict[str, Any], servers: int, said: str) -> Wrong:
    """The worst that happens with so few servers."""
    lived = farm.live(asked, servers)
    found = farm.limits(asked, lived)
    # Where work is never done, everything comes later and later.
    limit = "busy" if lived.offered > 1 else max(found, key=lambda name: found[name][0] / found[name][1])
    was, allowed = (value / 1e9 if limit == "memory" else value for value in found[limit])
    digits = next((n for n in range(2, 9) if f"{was:.{n}g}" != f"{allowed:.{n}g}"), 9)
    was, allowed = (f"{float(f'{value:.{digits}g}'):,.9g}" for value in (was, allowed))
    gone = f"with {asked['lost']} of them gone, " if asked["lost"] else ""
    happened = {
        "last": f"the last client heard after {was} s; {allowed} s was allowed",
        "busy": f"a processor had {was} s of work per second; {allowed} s was allowed",
        "memory": f"one held {lived.clients:,} clients and needed {was} GB; it has {allowed} GB",
        "back": f"the last client was back after {was} s; {allowed} s was allowed",
    }[limit]
    return Wrong(f"{said}: {gone}{happened}", _why(asked, servers, limit))


def _why(asked: dict[str, Any], servers: int, limit: str) -> str:
    """A hint for somebody who asks for too few servers to keep to a limit."""
    if limit != "back" and farm.is_enough(asked | {"lost": 0}, servers):
        return _GONE
    for fewer, (forgotten, think) in product((1, 2), _FORGOTTEN.get(limit, [])):
        world = asked | forgotten
        if farm.is_enough(world, servers) and servers - fewer > asked["lost"]:
            was, allowed = farm.limits(world, farm.live(world, servers - fewer))[limit]
            if was > allowed:
                return think
    return _PART if farm.is_enough(asked, servers + 1) else _THINK[limit]


TASKS = {
    "servers": Make(
        stub="`servers_needed` returns nothing yet: how many suffice if only `last_s` matters?",
        expected=a_function("service"),
        stages=[
            [("finds the number when the last client must hear soon", enough("last"))],
            [
                ("finds it for a service that is never quiet", enough("busy")),
                ("finds it for clients that hear nothing but heartbeats all day", enough("idle")),
                ("finds it for servers with little memory", enough("memory")),
            ],
            [("finds it when servers may be gone", enough("last", "busy", "memory", lost=(1, 4), times=2))],
            [("finds it when everybody must be back soon", enough("back", lost=(2, 5), times=4))],
        ],
        scene=Calls,
    ),
    "newcomers": Quick(
        100_000 / 100 / 25,
        {
            4000: "that is an even share, but WebSockets stay where they are",
            200: "the old servers get their turn as well",
            50: "the new servers get their turn as well",
            0: "a returning client is a new connection to the proxy",
            1000: "that is how many come back, to all servers together",
            8: "the proxy takes turns among 25 servers, not with the five new ones as if they were one",
            10: "that is of the clients of one old server; all twenty lose some",
        },
        within=0.0251,
    ),
    "apps": Quick(
        10e6 * 11 / 240,
        {
            500_000: "the shared connection has a heartbeat as well",
            **dict.fromkeys(
                (10e6 / 240, 41_666, 41_667, 41_666.67), "that is what remains; what is saved?"
            ),
            **dict.fromkeys(
                (20e6 * 11 / 240, 916_666, 916_667, 916_666.67), "a ping and its pong are one heartbeat"
            ),
            27_500_000: "that is per minute",
            30_000_000: "that is per minute; and the shared connection has a heartbeat as well",
            110_000_000: "that is in four minutes",
        },
        within=0.02,
    ),
}
