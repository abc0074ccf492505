"""The roster: who is here, by which way in, and since when. No socket and no clock in here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from .allowance import Allowance

#: How many people a room remembers; a stranger at the door must not fill the memory.
MOST_PEOPLE = 10_000


@dataclass
class Person:
    """Somebody who came in.

    Parameters
    ----------
    number
        Of the client, in the trace.
    name
        As it is shown; no two people who are here have the same.
    by
        Label of the transport.
    since_s, since
        When they came, or changed the transport [s]; the newest message at that moment.
    lines
        How many requests and streams of theirs wait for news.
    until_s
        When they count as gone if they do not ask again [s].
    here
        Whether they are.
    allowance
        What they may say.
    """

    number: int
    name: str = ""
    by: str = ""
    since_s: float = 0.0
    since: int = 0
    lines: int = 0
    until_s: float = inf
    here: bool = False
    allowance: Allowance = field(default_factory=Allowance)


@dataclass
class Roster:
    """Everybody who ever came in, by their secret; and who of them is here.

    A poll is not a connection: whoever asks now and then is here as long as they ask again within
    the patience that they named.
    """

    people: dict[str, Person] = field(default_factory=dict)  # secret of a page → who
    everybody: list[Person] = field(default_factory=list)  # by number

    @property
    def here(self) -> list[Person]:
        """Who is here, in the order in which they came."""
        return [person for person in list(self.everybody) if person.here]

    def enter(self, secret: str, name: str, by: str, now_s: float, last: int, patience_s: float) -> bool:
        """Whether it is news that they are here, of this name and by this way.

        Raises
        ------
        ValueError
            If too many people came before.
        """
        if secret not in self.people:
            if len(self.people) >= MOST_PEOPLE:
                raise ValueError(f"expected at most {MOST_PEOPLE} people, got one more")
            self.people[secret] = Person(len(self.everybody))
            self.everybody.append(self.people[secret])
        person = self.people[secret]
        name = self._free(name, person)
        news = (person.here, person.name, person.by) != (True, name, by)
        if (person.here, person.by) != (True, by):
            person.since_s, person.since = now_s, last
        person.here, person.name, person.by = True, name, by
        person.until_s = now_s + patience_s
        return news

    def listen(self, number: int) -> Person | None:
        """Note that a request of theirs has begun to wait; the person, if they had been away."""
        person = self.numbered(number)
        if person is None:
            return None
        person.lines += 1
        back = not person.here
        person.here = True
        return person if back else None

    def pause(self, number: int, now_s: float, patience_s: float) -> None:
        """Note that a request of theirs has ended, and that the next is to come within the patience."""
        person = self.numbered(number)
        if person is not None:
            person.lines -= 1
            person.until_s = now_s + patience_s

    def leave(self, secret: str) -> Person | None:
        """The person who says goodbye, if they were here."""
        person = self.people.get(secret)
        if person is None or not person.here:
            return None
        person.here = False
        return person

    def expire(self, now_s: float) -> Iterator[Person]:
        """Those who have not asked again in time; they are not here any more."""
        for person in self.here:
            if person.lines == 0 and person.until_s < now_s:
                person.here = False
                yield person

    def numbered(self, number: int) -> Person | None:
        """The person with this number, if there is one."""
        return self.everybody[number] if 0 <= number < len(self.everybody) else None

    def _free(self, name: str, person: Person) -> str:
        """The name, or with a number behind it if somebody else who is here has it."""
        taken = {other.name for other in self.here if other is not person}
        names = itertools.chain([name], (f"{name} {n}" for n in itertools.count(2)))
        return next(free for free in names if free not in taken)
