"""The tasks of notebook 09: coming back."""

from __future__ import annotations

import contextlib
import inspect
import math
import socket
import struct
import sys
import threading
from collections import Counter
from typing import Any

from .. import models
from .comeback import Comeback
from .observer import Calls, Message, Wrong, ids
from .task import Make, Quick, a_function

#: Clients of a crowd: so many calls, so many in each.
CALLS, EACH = 5, 20
CROWD = CALLS * EACH
_CURSOR = "what the next `connect` is to be told, and when that number moves on"
_TWICE = "how a client sees from a message's number that it has heard it"
_WAIT = "what happens between a failure and the next attempt"
_CHANCE = "everybody who lost the same server at the same moment, and what could tell them apart"


class Clients(Calls):
    """Clients that run the reader's loop, and the story that they live through."""

    def live(
        self, clients: int = 1, *, first_s: float = 1.0, limit_s: float = 8.0, **story: Any
    ) -> list[tuple]:
        """Rows of what the clients did: (client, when [s], what, which)."""
        story |= {"clients": clients, "first_s": first_s, "limit_s": limit_s, "seed": self.draw.random()}
        told = self.program.tell("call", story)
        if told["errors"]:
            raise Wrong(f"raised {told['errors'][0]}", "what that line expects")
        if told["blocked_s"]:
            raise Wrong("let the whole program stand still", "the difference between sleeping and awaiting")
        if not told["rests"]:
            raise Wrong("tried again, thousands of times, while no time passed", _WAIT)
        for _, at_s, what, how in told["result"]:
            if what == "left":
                raise Wrong(
                    f"{how} after {at_s:.3g} s, and heard nothing more", "who else would come back for it"
                )
        return told["result"]

    def crowd(self, each: int = EACH, **story: Any) -> list[tuple]:
        """Rows of what a crowd did, in several calls of so many clients each, numbered through."""
        return [
            (each * call + client, *rest)
            for call in range(CALLS)
            for client, *rest in self.live(each, **story)
        ]

    def news(self, times_s: list[float]) -> list[tuple[float, str]]:
        """A message at each of the times."""
        return [(at_s, f"tea {self.draw.randrange(1000)}") for at_s in times_s]


def tried(did: list[tuple], client: int = 0) -> list[float]:
    """Times [s] at which a client tried to connect."""
    return [at_s for number, at_s, what, _ in did if (number, what) == (client, "tried")]


def waits(did: list[tuple]) -> list[list[float]]:
    """The waits [s] between the attempts of each client; the first is from the cut."""
    times = [tried(did, client) for client in sorted({each[0] for each in did})]
    return [[b - a for a, b in zip(mine, mine[1:], strict=False)] for mine in times]


def complete(did: list[tuple], news: list, how: str) -> None:
    """Raise `Wrong` unless the client heard every message once, in order."""
    heard = [Message(*which) for _, _, what, which in did if what == "heard"]
    sent = [Message(id, text) for id, (_, text) in enumerate(news, 1)]
    count = Counter(heard)
    if twice := [message for message in sent if count[message] > 1]:
        raise Wrong(f"heard {ids(twice)} more than once {how}", _TWICE)
    if lost := [message for message in sent if not count[message]]:
        raise Wrong(f"lost {ids(lost)} {how}", _CURSOR)
    if heard != sent:
        raise Wrong(f"heard {ids(heard)} {how}", "what `hear` is to be called with: the number and the text")


def hears(clients: Clients) -> None:
    news = clients.news([0, 0.5, 2, 7])
    complete(
        clients.live(phases=[(20, "serve", None)], messages=news, until_s=10), news, "though nothing broke"
    )


def comes_back(clients: Clients) -> None:
    for end in ("reset", "serve"):
        news = clients.news([0, 1, 2, 3, 15, 16, 30, 50, 51])
        phases = [
            (2.5, end, None),
            (6, "refuse", None),
            (20, end, None),
            (24, "busy", None),
            (200, "serve", None),
        ]
        did = clients.live(phases=phases, messages=news, until_s=100)
        count = len(tried(did))
        if count == 1:
            raise Wrong(
                "did not connect again after its connection had ended"
                if end == "serve"
                else "did not connect again after its connection had been reset",
                "every way in which a line ends",
            )
        complete(did, news, "over a server that came and went")
        heard = 0
        for _, _, what, which in did:
            if what == "tried" and which != heard:
                raise Wrong(f"asked with cursor={which!r:.20} when it had heard message {heard}", _CURSOR)
            heard = which[0] if what == "heard" else heard


def comes_back_for_real(clients: Clients) -> None:
    texts = [f"tea {clients.draw.randrange(1000)}" for _ in range(9)]
    with cutting(texts, [3, 0, 1, 2, 9, 9]) as port:
        did = clients.live(port=port, first_s=0.5, until_s=120)
    complete(did, [(0, text) for text in texts], "over real connections that were reset")


@contextlib.contextmanager
def cutting(texts: list[str], portions: list[int]):
    """A real server that resets a connection after so many messages, and the next one after so many."""

    def serve() -> None:
        for portion in portions:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                line.settimeout(1)
                # SO_LINGER, on and 0 s: the kernel sends RST in place of FIN.
                line.setsockopt(
                    socket.SOL_SOCKET,
                    socket.SO_LINGER,
                    struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0),
                )
                with contextlib.suppress(OSError, ValueError):
                    cursor = int(line.recv(100))
                    rows = [f"{id} {text}\n" for id, text in enumerate(texts, 1) if id >= max(cursor, 1)]
                    line.sendall("".join(rows[: portion + 1]).encode() + b"torn"[: portion % 4])
        listener.close()  # whoever comes now is refused

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(3)
        thread = threading.Thread(target=serve, name="lpws cuts", daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(2)


def spreads(clients: Clients) -> None:
    first_s = clients.draw.choice([1, 2, 4])
    for end in ("reset", "serve"):  # broken off, or simply at its end
        did = clients.crowd(phases=[(5, end, None), (5 + 9 * first_s, "refuse", None), (500, "serve", None)],
                            messages=[],
                            first_s=first_s, limit_s=16 * first_s, until_s=5 + 8 * first_s)  # fmt: skip
        for attempt in range(2):
            moments = [mine[attempt] - 5 * (attempt == 0) for mine in waits(did) if len(mine) > attempt]
            bound_s = first_s * 2**attempt
            most = densest(moments, bound_s / 5)
            if most > 0.75 * CROWD:
                raise Wrong(
                    f"let {most} of {CROWD} clients try again within {bound_s / 5:.2g} s, in attempt number "
                    f"{attempt + 1} after the same {'cut' if end == 'reset' else 'end'}, "
                    f"with first_s={first_s}",
                    _CHANCE,
                )


def densest(moments: list[float], window_s: float) -> int:
    """The most of the moments that lie in one window of this length."""
    return max((sum(0 <= other - at_s <= window_s for other in moments) for at_s in moments), default=0)


def yields(clients: Clients) -> None:
    for how, words in (
        ("refuse", "refused every connection"),
        ("slam", "ended every connection at once"),
        ("busy", "answered 503 to every attempt"),
    ):
        did = clients.crowd(2, phases=[(300, how, None)], messages=[], first_s=1.0, limit_s=16.0, until_s=90)
        waited = waits(did)
        longest = max(max(mine, default=90) for mine in waited)
        if longest > 16.1:
            raise Wrong(
                f"waited {longest:.3g} s with limit_s=16, while its server {words}",
                "the longest wait that anybody may have to sit through when all is well again",
            )
        if min(len(mine) for mine in waited) < 7:
            raise Wrong(f"stopped trying while its server {words}", "when a client may give up")
        early, late = (
            sum(sum(mine[span]) for mine in waited) / len(waited) / 2 for span in (slice(2), slice(5, 7))
        )
        if late < 3 * early:
            think = (
                "when an attempt has succeeded: at the connection, or at the first message"
                if how == "slam"
                else ("what a server needs that is still away after the fifth attempt")
            )
            raise Wrong(
                f"waited {late:.2g} s on average after five failures, and {early:.2g} s after the first, "
                f"while its server {words}",
                think,
            )


def recovers(clients: Clients) -> None:
    news = clients.news([100 + n for n in range(30)])
    did = clients.live(EACH, phases=[(60, "refuse", None), (120, "reset", None), (200, "serve", None)],
                       messages=news, first_s=1.0, limit_s=16.0, until_s=140)  # fmt: skip
    late = [
        min((at_s for at_s in tried(did, client) if at_s >= 120), default=140) - 120 for client in range(EACH)
    ]
    if max(late) > 1.1:
        raise Wrong(
            f"came back {max(late):.3g} s after a short cut, with first_s=1, long after the bad times",
            "which failures in a row count, and when the count begins anew",
        )


def obeys(clients: Clients) -> None:
    asked_s = clients.draw.choice([20, 25, 30])
    did = clients.crowd(phases=[(5, "reset", None), (asked_s, "busy", asked_s), (500, "serve", None)],
                        messages=[], first_s=4.0, limit_s=16.0, until_s=3 * asked_s)  # fmt: skip
    second = []
    for client in range(CROWD):
        after = [at_s for at_s in tried(did, client) if at_s > 5]
        if len(after) > 1 and after[0] < asked_s:
            second.append(after[1] - after[0])
    if min(second, default=0) < asked_s - 0.01:
        raise Wrong(
            f"came back after {min(second, default=0):.3g} s, where the server had asked for {asked_s} s",
            "what `error.retry_after_s` says",
        )
    if (most := densest(second, 0.1)) > 0.75 * len(second):
        raise Wrong(
            f"let {most} of {len(second)} clients wait exactly the {asked_s} s that the server had asked for",
            "a crowd that is told one number, all at the same moment",
        )


def a_loop(thing: Any) -> str | None:
    """Sentence on what is wrong with the thing at first sight; None if nothing is."""
    problem = a_function("connect, hear, first_s, limit_s")(thing)
    if problem is None and not inspect.iscoroutinefunction(thing):
        problem = "expected a function that can await (`async def`), got one that cannot"
    return problem


def _never(answer: Any) -> bool:
    """True if an answer says never, in a word or as an infinite number."""
    return answer == math.inf or (isinstance(answer, str) and answer.strip().casefold() == "never")


RECONNECT = Make(
    stub="the loop is still empty: begin with one connection, and call `hear` with each message",
    expected=a_loop,
    wrap=Comeback,
    stages=[
        [("hears what comes over one connection", hears)],
        [
            ("comes back with its cursor, loses nothing and hears nothing twice", comes_back),
            ("does so over real connections that are reset", comes_back_for_real),
        ],
        [
            ("spreads a crowd, from the first attempt on", spreads),
            ("waits longer while the server stays away, up to the limit, and never gives up", yields),
        ],
        [
            ("is back soon when the bad times are over", recovers),
            ("comes no earlier than the server asks for, and not all at that moment", obeys),
        ],
    ],
    scene=Clients,
)

TASKS = {
    "reconnect": RECONNECT,
    "drain": Quick(
        models.drain_s(clients=20_000, serves_hz=800),
        {
            5: "that is the window of RFC 6455; can the server take in so many in it?",
            0.04: "that is the other way round",
            25.5: "that adds half a second of being away; it is asked how long the server works",
        },
        within=0.001,
    ),
    "back": Quick(
        _never,
        {
            5: "who reads that header? An EventSource does not",
            3: "that is when its connection ends; this one was answered, with a status that is not 200",
            0: "it does not try at once, either",
        },
    ),
    "line": Quick(
        3,
        {
            1: "that is where a fresh start belongs, once",
            2: "the cursor has to outlive the connection, and it does",
            4: "a failure counts; that is as it should be",
            5: "the wait grows and is drawn; look at when it begins anew",
        },
    ),
}
