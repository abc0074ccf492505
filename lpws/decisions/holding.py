"""The mailbox: what was said, who has read how far, and which requests to answer now or hold."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Message(NamedTuple):
    """A message of the log: its id, counted from 1, and its text, one line."""

    id: int
    text: str


class Mailbox:
    """The message log, and the requests that wait for its next entry.

    A *cursor* is the id of the last message that a client has; 0 before the first.

    Parameters
    ----------
    first, step
        For mailboxes that number their messages in turn: how many ids come before its first message, and
        the distance of two of its ids.
    alone
        Whether nobody else gives ids. If somebody does, a cursor may be ahead of this mailbox.
    most
        The longest log [characters], with a hundred more for each message. Beyond it the oldest messages
        are forgotten; a client with an older cursor sees by the ids that it has lost some.
    """

    def __init__(self, first: int = 0, step: int = 1, *, alone: bool = True, most: float = math.inf) -> None:
        self.first, self.step, self.alone, self.most = first, step, alone, most
        self.log: list[Message] = []
        self._size = 0  # of the log
        # Key of the request → when its hold ends [s], and its cursor, 0 if it has none.
        self.held: dict[Hashable, tuple[float, int]] = {}

    @property
    def last(self) -> int:
        """Id of the newest message; 0 if there is none."""
        return self.log[-1].id if self.log else 0

    def since(self, cursor: int) -> list[Message]:
        """Messages after the cursor, oldest first.

        Raises
        ------
        ValueError
            If the cursor names a message that has not been published.
        """
        if cursor < 0 or (self.alone and cursor > self.last):
            raise ValueError(f"expected a cursor from 0 to {self.last}, got {cursor}")
        # Of its own ids, first + 1, first + 1 + step, …, so many are not above the cursor.
        return self.log[max(0, -((self.first - cursor) // self.step)) :]

    def publish(self, text: str) -> tuple[Message, list[Hashable]]:
        """Append a message to the log; return it, and the keys of the held requests that it answers.

        Raises
        ------
        ValueError
            If the text is more than one line: on the wire, a line is a message.
        """
        if "\n" in text or "\r" in text:
            raise ValueError(f"expected a text of one line, got {text!r}")
        message = Message(self.first + 1 + self.step * len(self.log), text)
        self.log.append(message)
        self._size += len(text) + 100
        while self._size > self.most and len(self.log) > 1:
            self._size -= len(self.log.pop(0).text) + 100
            self.first += self.step
        # A client that has heard this message from another server does not wait for it here.
        released = [who for who, (_, cursor) in self.held.items() if cursor < message.id]
        for who in released:
            del self.held[who]
        return message, released

    def ask(self, who: Hashable, cursor: int | None, hold_s: float, now_s: float) -> list[Message] | None:
        """Answer a request with messages, or hold it and return None.

        Parameters
        ----------
        who
            Key under which `publish` and `expire` name the request again.
        cursor
            Last message that the client has. With None it only learns what is published while
            it waits: whatever came in the gap since its last request is lost to it.
        hold_s
            The longest time to hold the request [s]; 0 answers at once, if need be with nothing.
        now_s
            The present time [s], on the clock that `expire` is given.
        """
        news = [] if cursor is None else self.since(cursor)
        if news or hold_s <= 0:
            return news
        self.held[who] = now_s + hold_s, cursor or 0
        return None

    def expire(self, now_s: float, among: Iterable[Hashable] | None = None) -> list[Hashable]:
        """End the holds whose time is over; return the keys of their requests, to be answered empty.

        Parameters
        ----------
        now_s
            The present time [s], on the clock that `ask` was given.
        among
            Keys of the requests to look at; all, if not given. A server whose timer rings for one
            request looks at that one: looking at 10,000 each time took 1.6 s per hold.
        """
        among = self.held if among is None else among
        ended = [who for who in among if self.held.get(who, (math.inf,))[0] <= now_s]
        for who in ended:
            del self.held[who]
        return ended

    def leave(self, who: Hashable) -> None:
        """Forget a request whose client has gone."""
        self.held.pop(who, None)
