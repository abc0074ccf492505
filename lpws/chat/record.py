"""The record of one person of a chat, as a run of one client."""

from __future__ import annotations

import json
from functools import cached_property
from operator import itemgetter

from .. import specs
from ..health import Health
from ..run import Run, machine
from ..trace import NONE
from .room import ChatRoom
from .roster import Person

#: Label → transport.
TRANSPORTS = {kind.label: kind for kind in specs.TRANSPORTS}


class ChatRun(Run):
    """A run in which a message is due when somebody types it; its way to the server is no lateness."""

    @cached_property
    def health(self) -> Health:
        """The verdict on the run."""
        return Health.of([event for event in self.events if event[1:3] != ("due", "publisher")], self.log)


def told(room: ChatRoom) -> list[dict]:
    """All messages of a room, as its pages get them."""
    return [json.loads(text) | {"id": id} for id, text in list(room.mailbox.log)]


def run_of(
    trace: list[tuple], person: Person, now_s: float, link: specs.Link | None = None, after: int = 0
) -> Run:
    """The run of one person, who becomes client 0 of it, from `since_s` until now.

    What was told before is not in it: it came all at once, with their first request.

    Parameters
    ----------
    trace
        Of the server, with what the page or the robot recorded.
    person
        Who.
    now_s
        The end of the run [s], on the clock of the trace.
    link
        What was between them and the server.
    after
        Id of a message: only later ones are in the run, which begins when this one was told.
    """
    since, start_s = person.since, person.since_s
    first = next((event[6] for event in trace if event[1] == "published"), 0)
    after = max(after, first) if first > since + 1 else after  # what came before is forgotten
    if after > since:
        since = after
        start_s = next(event[0] for event in trace if event[1] == "published" and event[6] == after)
    mine = [event for event in trace if event[3] == person.number and event[0] >= person.since_s]
    connections = {event[4] for event in mine if event[2] == "server"}
    events = [(t, name, side, 0, *rest) for t, name, side, _, *rest in mine if _later(rest[2], since)]
    for event in trace:
        t, name, side, client, connection, _, message, _ = event
        if name == "published" or side == "publisher":
            wanted = message > since
        elif connection != NONE:  # it came or went; it may have come before, and serve others too
            wanted = client == NONE and side == "server" and connection in connections
        else:
            wanted = side == "server" and t >= start_s  # ticks
        if wanted:
            events.append(event)
    events = [(t - start_s, *rest) for t, *rest in events]
    events.sort(key=itemgetter(0))
    duration_s = min(max(now_s - start_s, 0.001), 3600)
    number = sum(event[1] == "published" for event in events)
    rate_hz = min(max(number / duration_s, 0.001), 10_000)
    work = specs.Workload(clients=1, rate_hz=rate_hz, duration_s=duration_s)
    return ChatRun(TRANSPORTS[person.by](), work, link, events, "measured", machine())


def _later(message: int, since: int) -> bool:
    """True if an event is of no message, or of one that was told later."""
    return message == NONE or message > since
