"""The host: a friendly robot that lives in the room itself, greets who comes, and answers who speaks."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Iterator

from ..decisions import Message
from ..trace import NONE, clock
from .room import ChatRoom

NAME, HOME = "Robin", "lives in the kernel"
#: How long [s] it takes to think, and to boil water.
THINKS_S, BOILS_S = 0.8, 5.0
#: Transport → what is to be noticed about it.
HOW = {
    "reload": "now news reaches you only when you press Reload. Ask me for tea, wait, and press it.",
    "short polling": "now your page asks every second. Look at the strip below: most answers bring nothing.",
    "long polling": "now your page asks, and the server keeps the question until there is an answer.",
    "SSE": "now your page has asked once, and the answer never ends: I write on and on.",
    "WebSocket": "now we share one connection, on which both of us speak when we like.",
}


def replies(message: dict, met: dict[int, str]) -> Iterator[tuple[float, str]]:
    """After how long [s] the host says what, because of a message of the room; mostly nothing.

    Parameters
    ----------
    message
        As `ChatRoom` has it.
    met
        Number of each person whom it has met → the transport by which they listened last.

    Examples
    --------
    >>> list(replies({"kind": "came", "who": 3, "name": "Ada", "by": "SSE"}, {}))
    [(0.8, "Hello, Ada! Say something, or ask me for tea: I'll call you when it's ready.")]
    """
    who, name, by = (message.get(key) for key in ("who", "name", "by"))
    if message["kind"] == "came":
        if who not in met:
            yield THINKS_S, f"Hello, {name}! Say something, or ask me for tea: I'll call you when it's ready."
        elif met[who] != by and by in HOW:
            yield THINKS_S, f"{name}, {HOW[by]}"
        met[who] = by
    elif message["kind"] == "said":
        text = message["text"]
        if re.search(r"\btea\b", text, re.IGNORECASE):
            yield THINKS_S, f"I'm putting the kettle on. Wait for it, {name}."
            yield THINKS_S + BOILS_S, f"Tea is ready, {name}!"
        elif re.search(r"\b(hi|hello|hey|good (morning|evening))\b", text, re.IGNORECASE):
            yield THINKS_S, f"Hello, {name}! How would you like to hear my answers? You can choose above."
        else:
            took_ms = 1000 * (message["at"] - message["typed"])
            yield (
                THINKS_S,
                f"“{text[:40]}” reached me {took_ms:.0f} ms after you sent it. "
                "The number behind this line says how long it took to reach you.",
            )


class Host:
    """The host of a room. It costs nothing while nobody speaks: it has no connection, and polls nothing.

    Parameters
    ----------
    room
        Whose loop it is made in.
    """

    def __init__(self, room: ChatRoom) -> None:
        self.room = room
        self.met: dict[int, str] = {}
        self.busy: set[int] = set()  # whom it is about to answer: one at a time for each
        self.person = room.enter(secrets.token_hex(16), NAME, HOME)
        room.roster.listen(self.person)  # as long as the room lasts
        room.listeners.add(self.hear)

    def hear(self, message: Message) -> None:
        """Take a message of the room, and answer it after a while."""
        told = json.loads(message.text)
        who = told.get("who", NONE)
        if who in (NONE, self.person.number):  # the room, the notebook, or itself
            return
        answers = list(replies(told, self.met))
        if who in self.busy:
            return
        loop = asyncio.get_running_loop()
        for wait_s, text in answers:
            self.busy.add(who)
            loop.call_later(THINKS_S, self.busy.discard, who)
            loop.call_later(wait_s, self.say, text)

    def say(self, text: str) -> None:
        """Say something, to everybody."""
        self.room.say(self.person, secrets.token_hex(8), text, clock())
