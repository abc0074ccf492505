"""The tasks of notebook 14: a room in many servers, which meet at a broker."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from .observer import Wrong
from .program import to_bytes
from .rooms import Rooms, complete, once
from .servers import Servers
from .task import Make, Quick

#: Random moments at which a check kills a server, in so many stories.
STORIES, KILLS = 5, 5


def hears(rooms: Rooms) -> None:
    acts = rooms.talk([0.5 + 0.2 * n for n in range(6)] + [33.5], "A", "B")
    cursors = dict.fromkeys(["one", "two", "three"], 0)
    clients = [(0.1, "listen", name, at, 0) for name, at in zip(cursors, "AAB", strict=True)]
    told = rooms.live([(0, "start", "A"), (0, "start", "B"), *clients, *acts], 35)
    complete(told, once(told, acts, "though nothing broke"), cursors, "though nothing broke")


def resumes(rooms: Rooms) -> None:
    rooms.deleted = rooms.draw.randrange(20, 200)
    last, middle = rooms.deleted + 120, rooms.deleted + rooms.draw.randrange(30, 90)
    acts = rooms.talk([0.1 + 0.01 * n for n in range(120)] + [4.5, 4.6, 4.7], "A", "B")
    cursors = {"three": middle, "one": 0, "two": 0, "four": last - 1, "five": last, "six": middle}
    clients = [(4, "listen", name, at, cursors[name]) for name, at in zip(cursors, "CACBCA", strict=True)]
    starts = [(0, "start", "A"), (0, "start", "B"), (3, "start", "C")]
    told = rooms.live([*starts, *clients, *acts], 8)
    complete(told, once(told, acts, "though nothing broke"), cursors, "at servers old and new")


def retries(rooms: Rooms) -> None:
    (_, _, first, tea, _), (_, _, third, milk, _) = rooms.talk([0, 0], "A")
    acts = [(1, "say", first, tea, "A"), (2, "say", first, tea, "B"), (3, "say", "again", tea, "A"),
            (4, "say", third, milk, "B"), (25, "say", "last", "rain", "A")]  # fmt: skip
    starts = [(0, "start", "A"), (0, "start", "B"), (0.1, "listen", "one", "B", 0)]
    told = rooms.live([*starts, *acts], 50, ("kept", "kept", "kept", "mute", "kept", "deaf"))
    stream = once(told, acts, "when its publisher tried again")
    complete(told, stream, {"one": 0}, "when a publisher had tried again")


def survives(rooms: Rooms) -> None:
    for _ in range(STORIES):
        killed(rooms)


def killed(rooms: Rooms) -> None:
    """A story in which servers are killed at random moments."""
    draw, cursors = rooms.draw, dict.fromkeys(["one", "two", "three", "four", "late"], 0)
    acts = rooms.talk(sorted(draw.uniform(0.2, 4) for _ in range(40)), None)
    kills = [(draw.uniform(0.3, 4.2), draw.choice("ABC")) for _ in range(KILLS)]
    servers = [(0, "start", "A"), (0, "start", "B"), (1, "start", "C")]
    servers += [(at_s, "kill", name) for at_s, name in kills]
    servers += [(at_s + 0.3, "start", name) for at_s, name in kills]
    clients = [(2 if name == "late" else 0.1, "listen", name, None, 0) for name in cursors]
    moods = tuple(draw.choices(["kept", "mute", "deaf"], [8, 1, 1], k=60))
    told = rooms.live([*servers, *clients, *acts], 30, moods)
    stream = once(told, acts, "when a server was killed")
    complete(told, stream, cursors, "when a server was killed")


def forgets(rooms: Rooms) -> None:
    acts = [(0, "start", "A"), *rooms.talk([0.1, 0.2], "A")]
    for n in range(1, 7):
        acts += [(n, "listen", f"{n}", "A", 0), (n + 0.5, "leave", f"{n}"), (n + 0.9, "count")]
    counts = rooms.live(acts, 8)["counts"]
    if counts[-1] > counts[0]:
        raise Wrong(f"keeps {counts[-1]} subscriptions when {len(counts)} clients have come and left",
                    "what ends with a listener: `finally`, and `unsubscribe`")  # fmt: skip


def a_room(thing: Any) -> str | None:
    """Sentence on what is wrong with the thing at first sight; None if nothing is."""
    if find_spec("nats") is None:
        return "… this check needs nats-py, the client of NATS; `python3 run.py wild` brings it"
    if not isinstance(thing, type):
        return f"expected a class with `publish` and `listen`, got {thing!r:.60}"
    for name, arguments in {"__init__": "js", "publish": "text, key", "listen": "cursor"}.items():
        try:
            inspect.signature(getattr(thing, name)).bind("self", *arguments.split(", "))
        except (AttributeError, TypeError, ValueError):
            return f"expected a class with a method `{name}(self, {arguments})`"
    return None


TASKS = {
    "room": Make(
        stub="the methods are still empty; begin with `publish`: what does the broker have to be told?",
        expected=a_room,
        wrap=lambda room: Servers(to_bytes(room)),
        stages=[
            [("hears what is said at every server, once", hears)],
            [("resumes after any cursor, also at a server that came later", resumes)],
            [("makes a retry heard once, and the same words of two people twice", retries)],
            [
                (f"loses and doubles nothing when servers are killed at {STORIES * KILLS} random moments",
                 survives),
                ("leaves no subscription behind for clients that have left", forgets),
            ],
        ],
        scene=Rooms,
    ),
    "missed": Quick(
        62,
        {
            38: "that is what is heard",
            0.62: "in percent",
            66.7: "that would be three servers with as many clients each",
            66: "that would be three servers with as many clients each",
            67: "that would be three servers with as many clients each",
            50: "that would be two servers with as many clients each",
        },
        within=0.008,
    ),
    "key": Quick(
        3,
        {
            1: "each try is a request of its own: what would it get?",
            2: "that is the number in the stream, and every arrival gets a new one",
        },
    ),
}  # fmt: skip
