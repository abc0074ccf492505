"""The room of a chat: what is said, once each; who is here; and a beat, which shows that a line is alive."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

from tornado.web import HTTPError

from ..trace import NONE, clock
from ..transports.room import Room
from . import names
from .allowance import Allowance
from .roster import NOTEBOOK, Crowded, Person, Roster

#: The longest name and the longest text, in characters.
MOST_NAME, MOST_TEXT = 24, 1000
#: How long ago [s] a page may say that a message was typed: it may have been offline meanwhile.
MOST_AGE_S = 86_400.0
#: As much as so many people may say, all together may say.
VOICES = 10


@dataclass(frozen=True)
class Times:
    """The times of a chat [s], which the server tells every page."""

    interval_s: float = 1.0  # of short polling; a page may take a multiple
    hold_s: float = 25.0  # long polling; RFC 6202 §5.5: 30 s is safe
    beat_s: float = 5.0  # after three without a sign of life, a stream is taken for dead
    timeout_s: float = 10.0  # a request that should be answered at once
    retry_s: float = 0.5  # the first pause before another attempt is shorter than this …
    retry_most_s: float = 20.0  # … and each next one may be twice as long, up to this
    away_s: float = 8.0  # who is not heard of for this long, beyond what they said, is gone
    reload_s: float = 120.0  # how long somebody who reloads may read
    pace_s: float = 0.2  # a person may say one thing in this time in the long run …
    burst_s: float = 6.0  # … and, after a silence as long as this, as much at once as in all of it

    def faster(self, speed: float) -> Times:
        """The same times, divided by a speed.

        Raises
        ------
        ValueError
            If the speed is not above 0.
        """
        if not speed > 0:
            raise ValueError(f"expected a speed above 0, got {speed!r}")
        return Times(**{field.name: getattr(self, field.name) / speed for field in fields(self)})


class Refusal(HTTPError):
    """A refusal of the room: its reason, as an HTTP status.

    Parameters
    ----------
    status
        Its number.
    reason
        In words.
    wait_s
        After how long [s] it would be taken, if that is the reason.
    """

    def __init__(self, status: int, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(status, reason=reason)
        self.wait_s = ceil(wait_s)  # RFC 9110 §10.2.3: whole seconds


class ChatRoom(Room):
    """A room whose messages say who, what and when, in JSON.

    Each is an object with a `kind`: ``said`` (with `text`), ``came`` (somebody is here now, or changed
    the name or the way in), ``left``, ``report`` (the server asks the pages for what they recorded).
    All go through the one message log, so that every transport brings all of them, in order.
    """

    times = Times()  # `ChatServer` may have others
    most = 1_000_000  # everybody who comes is sent the whole log

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.roster = Roster()
        self.allowance, self.reporting = Allowance(), Allowance()  # of all together, as a person has them
        self.loop = asyncio.get_running_loop()
        self.timer = self.loop.call_later(self.times.beat_s, self.beat)

    def enter(self, secret: str, name: str, by: str) -> Person:
        """Let somebody come in, or come again with another name or by another way; return who it is.

        Raises
        ------
        Refusal
            400 for a name that is none, 503 while there is no room.
        """
        now_s, last = clock(), self.mailbox.last
        try:
            name = clean(names.plain(name), MOST_NAME)
            news = self.roster.enter(secret, name, by, now_s, last, self.times.away_s)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        except Crowded as crowded:
            raise Refusal(503, "Too many people just now", crowded.wait_s) from None
        person = self.roster.people[secret]
        if news:
            self.tell("came", person)
        return person

    def part(self, secret: str) -> None:
        """Say that somebody has gone."""
        if (person := self.roster.leave(secret)) is not None:
            self.tell("left", person)

    def listens(self, person: Person) -> None:
        """Note that somebody waits for news."""
        if self.roster.listen(person):
            self.tell("came", person)

    def spend(self, person: Person, what: str = "allowance") -> None:
        """Let somebody do one thing more of which everybody is told, or for which there is this allowance.

        Raises
        ------
        Refusal
            429, if that is too much just now (RFC 6585 §4), for this person or for the room.
        """
        # The person first: whoever is too quick must not use up what the others may say.
        for whose, pace_s in ((person, self.times.pace_s), (self, self.times.pace_s / VOICES)):
            if wait_s := getattr(whose, what).take(clock(), pace_s, self.times.burst_s):
                raise Refusal(429, "Too quick", wait_s)

    def take(self, person: Person, messages: list[dict[str, Any]]) -> list[int]:
        """Ids of the messages that the room took: of all, or of those before the first that it refuses.

        Whoever sends the rest again begins with the one that was refused, and so learns why.

        Raises
        ------
        Refusal
            If it is the very first.
        """
        ids = []
        for message in messages:
            try:
                text = clean(message["text"], MOST_TEXT)
                if message["key"] not in person.said:
                    self.spend(person)
            except Refusal:
                if ids:
                    break
                raise
            ids.append(self.say(person, message["key"], text, message["typed"]))
        return ids

    def say(self, person: Person, key: str, text: str, typed_s: float) -> int:
        """Id of the message; the same key makes the same message, so that a post may be repeated."""
        if not person.here:  # their line is dead, and nobody knew
            person.here = True
            self.tell("came", person)
        if key not in person.said:
            person.said[key] = self.tell("said", person, typed_s, key=key, text=text)
        return person.said[key]

    def publish(self, text: str) -> int:
        """Say something as the notebook, which is in no list of people; return the id of the message.

        Raises
        ------
        ValueError
            If nothing of the text shows, or if it is too long.
        """
        try:
            text = clean(text, MOST_TEXT)
        except Refusal as refusal:
            raise ValueError(refusal.reason) from None
        return self.tell("said", who=NONE, name=NOTEBOOK, by=NOTEBOOK, key="", text=text)

    def tell(self, kind: str, person: Person | None = None, typed_s: float | None = None, **more: Any) -> int:
        """Id of a message of this kind, which is told to everybody."""
        now_s = clock()
        # The page's clock may be wrong: nothing was typed in the future.
        typed_s = now_s if typed_s is None else min(max(typed_s, now_s - MOST_AGE_S), now_s)
        about = {"who": person.number, "name": person.name, "by": person.by} if person else {}
        when = {"typed": round(typed_s, 6), "at": round(now_s, 6)}
        text = json.dumps({"kind": kind} | about | when | more, ensure_ascii=False)
        text.encode()  # raises for what is no text, before anything is recorded of it
        self.record((typed_s, "due", "publisher", NONE, NONE, NONE, self.mailbox.last + 1, NONE))
        return super().publish(text)

    def beat(self) -> None:
        """Give each stream a sign of life, and note who has gone without one."""
        for person in self.roster.expire(clock()):
            self.tell("left", person)
        for stream in list(self.streams):
            stream.beat()
        self.timer = self.loop.call_later(self.times.beat_s, self.beat)

    def close(self, jitter_s: float = 0.0) -> None:
        if not self.draining:  # else it comes back
            self.timer.cancel()
        super().close(jitter_s)


def clean(text: str, most: int) -> str:
    r"""The text on one line, without control characters, if it has at most `most` characters.

    Raises
    ------
    Refusal
        400, if nothing is left, or too much.

    Examples
    --------
    >>> clean(" tea\n is \x00ready ", 20)
    'tea is ready'
    """
    text = text.encode(errors="replace").decode()  # half of a pair of surrogates is no character
    text = "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
    text = " ".join(text.split())
    if not 0 < len(text) <= most:
        raise Refusal(400, f"Expected 1 to {most} characters, got {len(text)}")
    return text
