"""The books of a run: what became of its messages, and whether both sides wrote down the same.

Each side records on its own. What the server sent and what the clients received must then be the same
messages, requests, connections and bytes, unless something that the run declares came between them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from operator import itemgetter
from typing import Any

from . import specs
from .trace import NONE

#: From this many acts per second, or this many clients to serve at one moment, a server may be the limit.
MANY_HZ, MANY_AT_ONCE = 2_000, 300
#: By how much [s] a timer may be early, and how long after an outage its last failures may be noticed.
EARLY_S, SLACK_S = 0.02, 0.5
ALL = ("missed", "doubled", "reordered", "unknown", "failed", "pending", "unanswered", "reconnected")
"""What a run may have suffered: a message that a client missed; a copy too many; a message after a later
one; a message that nobody published; a request that failed; a message that was still to come at the end;
a request without an answer; a connection in place of one that had ended."""

_AFTER_AN_END = ("failed", "pending", "unanswered", "reconnected")
_AFTER_A_FAULT = ("missed", *_AFTER_AN_END)


def heavy(transport: specs.Transport, workload: specs.Workload) -> bool:
    """True if a run asks for so much that the server, and not the transport, may be the limit."""
    pause_s = getattr(transport, "interval_s", 0) or getattr(transport, "pause_s", 0)
    polls_hz = workload.clients / pause_s if pause_s and not transport.persistent else 0
    tells_hz = workload.clients * workload.rate_hz if transport.persistent else 0
    at_once = workload.clients if transport.persistent or getattr(transport, "aligned", False) else 0
    return max(polls_hz, tells_hz) >= MANY_HZ or at_once >= MANY_AT_ONCE


class Books:
    """The two sides' accounts of one run, and what follows from comparing them.

    Parameters
    ----------
    run
        A `lpws.run.Run`, whose `health` asks for its books.
    """

    def __init__(self, run: Any) -> None:
        self.run = run
        self.rows: dict[tuple[str, str], list[tuple]] = defaultdict(list)  # (name, side) → events
        for event in run.events:
            self.rows[event[1], event[2]].append(event)
        link = run.link
        self.faulty_link = link is not None and (link.cut_at_s, link.silent_at_s) != (None, None)
        # Clients and servers do not have the same connections, or lost what was on its way.
        self.apart = run.through is not None or bool(run.outages)
        self.heavy = heavy(run.transport, run.workload)

    def requests(self, name: str, side: str = "client") -> set[int]:
        """Requests of the events of this name."""
        return {row[5] for row in self.rows[name, side]}

    def count(self, name: str, side: str, *fields: int) -> Counter:
        """Number of events of this name per value of a field, or per pair of values of two fields.

        What was sent again after an end, by a client or by a proxy, counts once.
        """
        found = map(itemgetter(*fields), self.rows[name, side])
        return Counter(set(found) if self.apart else found)

    def total(self, name: str, side: str) -> int:
        """Bytes of all events of this name."""
        return sum(row[7] for row in self.rows[name, side])

    @cached_property
    def outcome(self) -> dict[str, int]:
        """Counts of what the run suffered, by the names of `ALL`; only what happened is in it."""
        received = self.rows["message_received", "client"]
        seen = dict.fromkeys(map(itemgetter(3, 6), received))  # client and message, in order, without copies
        newest = dict.fromkeys(range(self.run.workload.clients), 0)
        reordered = 0
        for client, message in seen:
            if message > newest.get(client, 0):
                newest[client] = message
            else:
                reordered += 1
        published = sorted({row[6] for row in self.rows["published", "server"]})
        known = set(published)
        got = Counter(client for client, message in seen if message in known)
        unknown = len(seen) - got.total()
        missed = pending = 0
        for client, last in newest.items():
            passed = bisect_left(published, last + 1)  # how many were published up to the client's newest
            missed += passed - got[client]
            pending += len(published) - passed
        found = {
            "missed": missed, "doubled": len(received) - len(seen), "reordered": reordered,
            "unknown": unknown, "failed": len(self.rows["failed", "client"]), "pending": pending,
            "unanswered": len(self._unanswered), "reconnected": len(self._lost),
        }  # fmt: skip
        return {what: number for what, number in found.items() if number}

    @cached_property
    def prompt(self) -> bool:
        """True if no proxy may keep back what was sent."""
        through, transport = self.run.through, self.run.transport
        return through is None or through.prompt(transport.streams and not transport.upgrades)

    def away(self, t: float) -> bool:
        """True if an outage may be the reason of something that a side wrote down at this time [s]."""
        before_s = t - SLACK_S - 4 * self.run.delay_s
        begun = [outage for outage in self.run.outages if t >= outage.at_s - EARLY_S]
        return any(outage.away_s is None or before_s <= outage.end_s for outage in begun)

    @cached_property
    def _by_outages(self) -> set[str]:
        """The parts of the outcome that outages explain, since all of it came while they lasted."""
        asked = {row[5]: row[0] for row in self.rows["request_sent", "client"]}
        times = {"failed": [row[0] for row in self.rows["failed", "client"]], "reconnected": self._lost}
        times["unanswered"] = [asked[request] for request in self._unanswered]
        times |= {"pending": []} if any(outage.away_s is None for outage in self.run.outages) else {}
        return {what for what in times if all(map(self.away, times[what]))}

    @property
    def _by_proxy(self) -> set[str]:
        """The parts of the outcome that a proxy explains: nobody waits because of it whom it let through."""
        kept = self.requests("request_sent") - self.requests("failed")
        kept -= self.requests("request_received", "server")
        ended = {"failed", "reconnected"} & self.outcome.keys() - self._by_outages
        return set(_AFTER_AN_END) - ({"pending"} if self.prompt and not (kept or ended) else set())

    @cached_property
    def in_vain(self) -> set[tuple[int, int]]:
        """Client and message of all that was sent on what had not ended, and should have arrived."""
        transport, rows = self.run.transport, self.rows["message_sent", "server"]
        if not self.apart:
            return {(row[3], row[6]) for row in rows}
        if not self.prompt and transport.streams and not transport.upgrades:
            return set()  # it may lie in the proxy's buffer
        whole = self.requests("response_received")
        if transport.streams:  # only the last one of a client may live at the end
            lives = (self._last_requests & whole) if transport.upgrades else self._last_requests
        else:  # what a proxy has asked twice has two answers, one of which nobody gets
            asked = Counter(row[5] for row in self.rows["request_received", "server"])
            lives = {request for request in whole if asked[request] == 1}
        lives -= self.requests("failed")
        return {(row[3], row[6]) for row in rows if row[5] in lives}

    @cached_property
    def given_up(self) -> set[int]:
        """Requests of which one side alone may know: what lies between the two has ended, or the run."""
        return self.requests("failed") | self._last_requests if self.apart else set()

    @cached_property
    def _unanswered(self) -> set[int]:
        if self.run.transport.streams:
            return set()
        left = self.requests("request_sent") - self.requests("response_received") - self.requests("failed")
        return left - self._last_requests if self.run.transport.persistent else left

    @cached_property
    def _last_requests(self) -> set[int]:
        """The last request of each client, which may be held when the run ends."""
        return set({row[3]: row[5] for row in self.rows["request_sent", "client"]}.values())

    @cached_property
    def _lost(self) -> list[float]:
        """Time [s] of the end of each connection in place of which a client has opened another."""
        ended, lost = {}, []  # client → time of its last connection's end
        rows = self.rows["opened", "client"] + self.rows["closed", "client"]
        for t, name, _side, client, *_ in sorted(rows) if self.run.transport.keep_alive else ():
            if name == "opened" and client in ended:
                lost.append(ended[client])
            ended[client] = t
        return lost

    @cached_property
    def causes(self) -> dict[str, str]:
        """Declared cause of each part of the outcome that has one."""
        run = self.run
        declared: list[tuple[object, Collection[str] | None, str]] = [
            *((True, ALL, cause) for cause in run.causes),
            (self.faulty_link, _AFTER_A_FAULT, "a fault of the link"),
            *((True, self._by_outages, f"the outage of server {each.server}") for each in run.outages[:1]),
            (run.servers > 1 and not run.broker, ("missed", "pending"), "servers that do not share a room"),
            (not run.transport.cursor, ("missed", "pending"), "no cursor"),
            (run.through is not None, run.through and self._by_proxy, "the proxy"),
            (run.transport.at_random, ("pending",), "readers who had not reloaded"),
            (self.heavy, _AFTER_AN_END, "more load than it carries"),
        ]
        found: dict[str, str] = {}
        for holds, explained, cause in declared:
            for what in explained if holds else ():
                if what in self.outcome:
                    found.setdefault(what, cause)
        return found

    @cached_property
    def disturbed(self) -> bool:
        """True if something came between the two sides, so that their books need not balance."""
        return self.faulty_link or any(cause not in HANDLERS for cause in self.run.causes)

    @property
    def uncompared(self) -> str:
        """Sentence on what is not compared, since the two sides need not have it in common; or nothing."""
        if not self.apart or self.disturbed:
            return ""
        why = "the proxy" if self.run.through else f"the outage of server {self.run.outages[0].server}"
        return f"connections and bytes of the two sides are not compared ({why})"

    @cached_property
    def statuses(self) -> dict[int, int]:
        """HTTP status → number of requests that failed with it, in order; those without an answer apart."""
        found = Counter(row[7] for row in self.rows["failed", "client"] if row[7] > 0)
        return dict(sorted(found.items()))

    @cached_property
    def transits(self) -> list[tuple[float, float]]:
        """Times [s] of each message's stamp at the server and of its arrival at the client."""
        key = itemgetter(3, 6, 5)  # client, message, request
        sent = {key(row): row[0] for row in self.rows["message_sent", "server"]}
        received = self.rows["message_received", "client"]
        return [(sent[key(row)], row[0]) for row in received if key(row) in sent]

    def delayed_s(self, late: list[tuple[float, float]]) -> float:
        """90th percentile [s] of the delay of messages that nothing explains; 0 where it proves nothing.

        A delay between the server's stamp and the wire is part of no lateness: it shows only here.

        Parameters
        ----------
        late
            From when to when [s] a part of the instrument was late. For none of these can a message have
            waited longer than they lasted while it was under way, however many parts were late at a time.
        """
        excused = self.disturbed or self.heavy or not self.prompt or self.run.causes
        if excused or self.run.origin != "measured" or not self.transits:
            return 0.0
        marks = [(t, 0) for transit in self.transits for t in transit]
        marks += [mark for begin, end in late if begin < end for mark in ((begin, 1), (end, -1))]
        depth, lost_s, before, lost = 0, 0.0, 0.0, {}  # moment → time lost until then
        for t, step in sorted(marks):
            lost_s += t - before if depth else 0.0
            depth, before, lost[t] = depth + step, t, lost_s
        rest_s = sorted(end - begin - (lost[end] - lost[begin]) for begin, end in self.transits)
        return rest_s[int(0.9 * len(rest_s))] - self.run.delay_s

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """Sentences that say where the two sides' books disagree; none for a run that declares why."""
        if self.run.origin != "measured" or self.disturbed:
            return ()
        return tuple(found for check in CHECKS + COMPARED * (not self.apart) for found in check(self))


#: Causes after which the books must balance all the same: what a handler does, it does at the server.
HANDLERS = ("a handler of the reader's",)


def _messages(books: Books) -> Iterator[str]:
    sent = books.count("message_sent", "server", 3, 6)
    received = books.count("message_received", "client", 3, 6)
    if sent == received:
        return
    if more := (received - sent).total():
        yield f"{more} messages were received that the server has not sent"
    lost = Counter({pair: n for pair, n in (sent - received).items() if pair in books.in_vain})
    if books.heavy:  # a client that was let go may have had messages under way: none after its last count
        last = {client: message for client, message in sorted(received)}
        lost = Counter({pair: n for pair, n in lost.items() if pair[1] <= last.get(pair[0], 0)})
    if lost:
        yield f"{lost.total()} messages were sent and not received"


def _publishes(books: Books) -> Iterator[str]:
    due, published = books.count("due", "publisher", 6), books.count("published", "server", 6)
    if lost := (due - published).total():
        yield f"{lost} messages were not published"
    if due and (more := (published - due).total()) and not books.run.causes:
        yield f"{more} messages were published by somebody else"


def _requests(books: Books) -> Iterator[str]:
    sent = books.count("request_sent", "client", 3, 5)
    arrived = books.count("request_received", "server", 3, 5)
    if more := (arrived - sent).total():
        yield f"{more} requests arrived that no client of the run sent"
    lost = sum(number for pair, number in (sent - arrived).items() if pair[1] not in books.given_up)
    if lost and not books.heavy:
        yield f"{lost} requests were sent and did not arrive"


def _answers(books: Books) -> Iterator[str]:
    sent, received = books.count("response_sent", "server", 5), books.count("response_received", "client", 5)
    del sent[NONE]
    failed = books.requests("failed")
    own = failed & books.given_up  # a proxy's answers are its own, as is the end of a stream that broke off
    if books.run.transport.streams:
        own |= {row[5] for row in books.rows["response_received", "client"] if books.away(row[0])}
    if more := sum(number for request, number in (received - sent).items() if request not in own):
        yield f"{more} answers were received that the server has not sent"
    if (books.run.transport.streams and not books.run.transport.upgrades) or books.heavy:
        return
    excused = failed | books.given_up
    if books.run.transport.hold_s:  # it may have come when the run was over
        excused |= books._last_requests
    if lost := sum(number for request, number in (sent - received).items() if request not in excused):
        yield f"{lost} answers were sent and not received"


def _same_connections(books: Books) -> Iterator[str]:
    difference = len(books.rows["opened", "server"]) - len(books.rows["opened", "client"])
    if difference > 0:
        yield f"{difference} connections were accepted that no client of the run opened"
    elif difference < 0 and not books.heavy:
        yield f"{-difference} connections were opened that the server did not accept"


def _connections(books: Books) -> Iterator[str]:
    opened = {side: len(books.rows["opened", side]) for side in ("client", "server")}
    begun = len(books.rows["opening", "client"])
    if begun < opened["client"] or (begun > opened["client"] and not books.rows["failed", "client"]):
        yield f"{begun} connections were begun, and {opened['client']} opened"
    ends = [row[0] for row in books.rows["closed", "server"] if row[7] == 1]
    if books.run.through and not books.run.causes and (ends := [t for t in ends if not books.away(t)]):
        yield f"a server ended {len(ends)} connections, and nobody had asked it to"
    refused = [row for row in books.rows["failed", "client"] if row[7] == 502 and not books.away(row[0])]
    if refused and not books.run.causes and any("connect() failed" in line for line in books.run.proxy_log):
        yield f"{len(refused)} requests found no server, and no outage says why"
    for side in opened:
        if left := opened[side] - len(books.rows["closed", side]):
            yield f"{abs(left)} connections of the {side} were opened and not closed"


def _bytes(books: Books) -> Iterator[str]:
    if books.run.outages:  # what a server that goes away had not read yet, only the kernel knows
        return
    for name in ("read", "written"):
        told = {row[4]: row[7] for row in books.rows[f"kernel_{name}", "server"]}
        ours = {row[4]: row[7] for row in books.rows[name, "server"]}
        wrong = sum(ours.get(connection) != size for connection, size in told.items())
        if books.apart and name == "read":  # a proxy may send a request on a connection that is being closed
            wrong = sum(ours.get(connection, size + 1) > size for connection, size in told.items())
        if wrong:
            yield f"on {wrong} connections the kernel's TCP counts other bytes {name} than the server"


def _same_bytes(books: Books) -> Iterator[str]:
    if books.run.transport.streams or books.heavy or books.rows["failed", "client"]:
        return
    if books.total("request_sent", "client") != books.total("read", "server"):
        yield "the server read other bytes than the clients wrote"
    last = books._last_requests if books.run.transport.persistent else set()
    unsure = books.requests("response_sent", "server") ^ books.requests("response_received")
    differ = books.total("response_received", "client") != books.total("written", "server")
    if differ and not unsure & last:
        yield "the clients read other bytes than the server wrote"


def _too_early(books: Books) -> Iterator[str]:
    if any(end - begin < books.run.delay_s - 1e-4 for begin, end in books.transits):
        yield "a message arrived before the link can have brought it"


CHECKS: tuple[Callable[[Books], Iterator[str]], ...] = (
    _messages, _publishes, _requests, _answers, _connections, _bytes, _too_early,
)  # fmt: skip
#: What the two sides have in common unless a proxy or an outage came between them.
COMPARED = (_same_connections, _same_bytes)
