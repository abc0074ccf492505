"""A farm of servers in virtual time: how late its last client hears, and how much its servers have to do.

Clients are dealt out to the servers in turn, and those of lost servers to the others. The server with
the most clients is followed. It does one thing after the other, in the order in which they come: it writes a
message to all its clients, answers a heartbeat, takes in a client that comes back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

#: Heartbeats are told apart up to so many; of more, some that follow each other are taken together. They are
#: then late by one part in so many of the time that is watched, which is far below what a check looks at.
_PIECES = 20_000
#: Messages that are watched; nobody looks at the first, which finds a server that has nothing to do.
_MESSAGES = 3


class Lived(NamedTuple):
    """State of the fullest of the servers that are left, and the return of those who had lost theirs."""

    clients: int
    last_s: float
    busy: float
    offered: float
    memory_bytes: float
    back_s: float


def ends_s(comes_s: np.ndarray, takes_s: np.ndarray) -> np.ndarray:
    """Times [s] at which things are done that come at these times, in order, and are done one by one.

    >>> ends_s(np.array([0.0, 1.0, 9.0]), np.array([3.0, 1.0, 1.0]))
    array([ 3.,  4., 10.])
    """
    done_s = np.cumsum(takes_s)
    # Since a thing came that found nothing to do, the server has not rested.
    return done_s + np.maximum.accumulate(comes_s - (done_s - takes_s))


def work(service: dict[str, Any], clients: int, periods: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The things that a server with so many clients has to do between so many messages and the next.

    Returns
    -------
    arrays
        When [s] each comes and how long [s] it takes, in order; and which of them are messages.
    """
    period_s = 1 / service["messages_hz"]
    beats = periods * period_s * clients / service["heartbeat_every_s"]
    pieces = int(min(np.ceil(beats), _PIECES))
    beats_s = (np.arange(pieces) + 0.5) * (periods * period_s / max(pieces, 1))
    messages_s = np.arange(periods) * period_s
    at = np.searchsorted(beats_s, messages_s)
    takes_s = np.full(pieces, beats / max(pieces, 1) * service["heartbeat_cpu_s"])
    return (
        np.insert(beats_s, at, messages_s),
        np.insert(takes_s, at, clients * service["delivery_cpu_s"]),
        at + np.arange(periods),
    )


def live(service: dict[str, Any], servers: int) -> Lived:
    """Let a farm of so many servers live through its losses; more servers than it may lose."""
    each, left = service["clients"] // servers, servers - service["lost"]
    clients = -(-service["clients"] // left)
    period_s = 1 / service["messages_hz"]
    comes_s, takes_s, messages = work(service, clients, _MESSAGES)
    done_s = ends_s(comes_s, takes_s)
    begins_s, end_s = done_s - takes_s, _MESSAGES * period_s
    watched_s = np.clip(done_s, period_s, end_s) - np.clip(begins_s, period_s, end_s)

    # Just before a message, as many come back at once as this server did not have.
    before_s, took_s, _ = work(service, each, 1)
    lost_s = np.append(before_s, np.full(2, period_s))
    back_s = ends_s(lost_s, np.append(took_s, [0, (clients - each) * service["handshake_cpu_s"]]))
    return Lived(
        clients,
        float(np.max(done_s[messages] - comes_s[messages])),
        float(watched_s.sum() / (end_s - period_s)),
        float(takes_s.sum() / end_s),
        service["base_bytes"] + clients * service["client_bytes"],
        float(back_s[-1] - period_s) if service["lost"] else 0.0,
    )


def limits(service: dict[str, Any], lived: Lived) -> dict[str, tuple[float, float]]:
    """By limit, what there was of it and what is allowed."""
    return {
        "busy": (max(lived.busy, lived.offered if lived.offered > 1 else 0), service["busy"]),
        "last": (lived.last_s, service["last_s"]),
        "memory": (lived.memory_bytes, service["memory_bytes"]),
        "back": (lived.back_s, service["back_s"]),
    }


def is_enough(service: dict[str, Any], servers: int) -> bool:
    """True if a farm of so many servers keeps to all limits."""
    if servers <= service["lost"]:
        return False
    return all(was <= allowed for was, allowed in limits(service, live(service, servers)).values())


def least(service: dict[str, Any], most: int) -> int:
    """The least number of servers that is enough, if so many are."""
    few = 0  # are not enough
    while most - few > 1:
        middle = (few + most) // 2
        few, most = (few, middle) if is_enough(service, middle) else (middle, most)
    return most
