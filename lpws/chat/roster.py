"""The roster: who is here, by which transport, and since when. No socket and no clock in here."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from .allowance import Allowance
from .names import look

#: Name under which the notebook's own messages appear; no person may have it.
NOTEBOOK = "the notebook"
#: The most people that may be here; every page lists them all.
MOST_HERE = 1_000
#: The most people who have gone that are remembered; beyond it, the one who went first is forgotten.
MOST_GONE = 1_000
#: The most letters of one person that are remembered, so that one that is sent again counts once.
MOST_DONE = 200
#: The rate limit of newcomers: one per `PACE_S` in the long run, and `AT_ONCE` at one moment.
PACE_S, AT_ONCE = 0.25, 250


class Done(dict[str, int]):
    """The outcome of each of a person's letters, by its key; the latest `MOST_DONE` of them.

    Examples
    --------
    >>> done = Done()
    >>> for number in range(MOST_DONE + 1):
    ...     done[str(number)] = number
    >>> len(done) == MOST_DONE, "0" in done, "1" in done
    (True, False, True)
    """

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        if len(self) > MOST_DONE:
            del self[next(iter(self))]


@dataclass(eq=False)
class Person:
    """Somebody who came in.

    Parameters
    ----------
    number
        Of the client, in the trace.
    secret
        Proof that a letter is theirs. It never stands in an address.
    ticket
        Proof that a request to listen is theirs. It stands in addresses, and serves for nothing else.
    name
        The name as it is shown; no two people who are remembered have names that look alike.
    by
        Label of the transport.
    since_s, since
        Time [s] at which they came or changed the transport, and the newest message at that moment.
    lines
        Number of their requests and streams that wait for news.
    until_s
        Time [s] from which they count as gone, unless they ask again.
    here
        Whether they are here.
    allowance, reporting
        Rate limits of their messages and of their reports.
    said, reported
        Id of each of their messages, and number of events of each report, by key.
    """

    number: int
    secret: str = field(default="", repr=False)
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    name: str = ""
    by: str = ""
    since_s: float = 0.0
    since: int = 0
    lines: int = 0
    until_s: float = inf
    here: bool = False
    allowance: Allowance = field(default_factory=Allowance, repr=False)
    reporting: Allowance = field(default_factory=Allowance, repr=False)
    said: Done = field(default_factory=Done, repr=False)
    reported: Done = field(default_factory=Done, repr=False)


class Crowded(Exception):
    """There is no room for one more, for so long [s]."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"expected at most {MOST_HERE} people, and {AT_ONCE} newcomers at once")
        self.wait_s = wait_s


class Roster:
    """Everybody who came in, by their secret and by their ticket; and who of them is here.

    A poll is not a connection: whoever asks now and then is here as long as they ask again within
    the patience that they named.
    """

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}  # secret → who; whoever left last is last
        self.tickets: dict[str, Person] = {}
        self.newcomers = Allowance()
        self._numbers = itertools.count()

    @property
    def everybody(self) -> list[Person]:
        """Everybody who is remembered, in the order in which they first came."""
        return sorted(list(self.people.values()), key=lambda person: person.number)

    @property
    def here(self) -> list[Person]:
        """The people who are here, in the order in which they first came."""
        return [person for person in self.everybody if person.here]

    def enter(self, secret: str, name: str, by: str, now_s: float, last: int, patience_s: float) -> bool:
        """Let somebody in; return whether it is news that they are here, of this name and by this way.

        Raises
        ------
        Crowded
            If too many are here, or too many new people came just now.
        """
        person = self.people.get(secret)
        if person is None:
            person = self._newcomer(secret, now_s)
        name = self._free(name, person)
        news = (person.here, person.name, person.by) != (True, name, by)
        if (person.here, person.by) != (True, by):
            person.since_s, person.since = now_s, last
        person.here, person.name, person.by = True, name, by
        person.until_s = now_s + patience_s
        return news

    def listen(self, person: Person) -> bool:
        """Note that a request of theirs has begun to wait; return whether they had been away."""
        person.lines += 1
        back = not person.here
        person.here = True
        return back

    def pause(self, person: Person, now_s: float, patience_s: float) -> None:
        """Note that a request of theirs has ended, and that the next is to come within the patience."""
        person.lines -= 1
        person.until_s = now_s + patience_s

    def leave(self, secret: str) -> Person | None:
        """Let somebody go who says goodbye; return them, if they were here."""
        person = self.people.get(secret)
        if person is None or not person.here:
            return None
        self._gone(person)
        return person

    def forget(self, secret: str | None) -> None:
        """Forget somebody who has gone; harmless if they are here, or nobody."""
        person = self.people.get(secret)
        if person is not None and not person.here:
            del self.people[person.secret], self.tickets[person.ticket]

    def expire(self, now_s: float) -> Iterator[Person]:
        """Those who have not asked again in time; they are not here any more."""
        for person in self.here:
            if person.lines == 0 and person.until_s < now_s:
                self._gone(person)
                yield person

    def _newcomer(self, secret: str, now_s: float) -> Person:
        if sum(person.here for person in self.people.values()) >= MOST_HERE:
            raise Crowded(PACE_S)
        if wait_s := self.newcomers.take(now_s, PACE_S, PACE_S * (AT_ONCE - 1)):
            raise Crowded(wait_s)
        person = Person(next(self._numbers), secret)
        self.people[secret] = self.tickets[person.ticket] = person
        return person

    def _gone(self, person: Person) -> None:
        person.here = False
        self.people[person.secret] = self.people.pop(person.secret)  # to the end
        gone = [other for other in self.people.values() if not other.here]
        for other in gone[: max(0, len(gone) - MOST_GONE)]:
            self.forget(other.secret)

    def _free(self, name: str, person: Person) -> str:
        """The name, or with a number behind it if somebody else has one that looks like it.

        The name of somebody who has gone is still theirs: else a newcomer could pass for them, and
        what `ChatServer.run` says of the name would be of somebody else.
        """
        taken = {look(other.name) for other in self.people.values() if other is not person}
        taken.add(look(NOTEBOOK))
        names = itertools.chain([name], (f"{name} {n}" for n in itertools.count(2)))
        return next(free for free in names if look(free) not in taken)
