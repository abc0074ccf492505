"""A message to thousands of WebSockets: how long until the last client has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from child import Child
from rooms import MOST, TEXT
from rows import Row, in_turns, middle, ratio

from lpws.machine import make_room_for_files
from lpws.transports.websocket import text_frame

ROOMS = ("lpws", "bare", "picows", "websockets")


def broadcast_s(room: Child, listeners: Child, id: int) -> float:
    """Time [s] from the publish to the last client."""
    size = len(text_frame(f"{id} {TEXT}\n".encode()))
    listeners.process.stdin.write(f"{size}\n")
    began = float(room.ask("publish"))
    return float(listeners.hear()) - began


def to_last(clients: int, rounds: int) -> dict[str, list[float]]:
    """Room → time [s] to the last client, in so many rounds with each of a few sets of rooms.

    One process is a tenth faster than the next one like it for all its life, and who is set up first
    is slower: each set is new, and another room begins.
    """
    found: dict[str, list[float]] = {kind: [] for kind in ROOMS}
    for first in range(len(ROOMS)):
        for kind, times_s in of_one_set((*ROOMS[first:], *ROOMS[:first]), clients, rounds).items():
            found[kind] += times_s
    return found


def of_one_set(kinds: Sequence[str], clients: int, rounds: int) -> dict[str, list[float]]:
    """The same, with one set of rooms."""
    make_room_for_files(MOST)  # for the children too
    with contextlib.ExitStack() as stack:
        pairs = {}
        for kind in kinds:
            room = stack.enter_context(Child("rooms.py", kind))
            listeners = stack.enter_context(Child("listeners.py", room.hear(), clients))
            assert listeners.hear() == "ready"
            pairs[kind] = room, listeners
        ids = dict.fromkeys(kinds, 0)

        def one(kind: str) -> float:
            # The Tornado rooms count their messages, the others call each the first.
            ids[kind] = ids[kind] + 1 if kind in ("lpws", "bare") else 1
            return broadcast_s(*pairs[kind], ids[kind])

        turns = {kind: lambda kind=kind: one(kind) for kind in kinds}
        in_turns(turns, 2)  # warm
        return in_turns(turns, rounds)


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    for clients in (50,) if small else (5_000, 10_000):
        found = to_last(clients, 1 if small else 7)
        who = f"to {clients:,} clients"
        for kind, times_s in found.items():
            yield middle(f"broadcast {who}, to the last: {kind}", [1e3 * t for t in times_s], "ms")
        ours = found["lpws"]
        yield ratio(f"broadcast {who}, over websockets", ours, found["websockets"], ("at most", 1.0))
        yield ratio(f"broadcast {who}, over picows", ours, found["picows"], ("at most", 1.2))
        yield ratio(f"broadcast {who}, over bare Tornado", ours, found["bare"], None)
