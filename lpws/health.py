"""The health of a run, which says whether to believe it: the instrument, and what the run suffered.

*The instrument* is unfit if it was late, or if its books do not balance. Each part of the laboratory
records when it *should* have acted (``due``) and when it acted; the difference is lateness that belongs
to the instrument and not to the transport. *The outcome* is what the run suffered. With a cause that the
run declares it is a result; without one, nobody knows what happened, and the run is unfit as well.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from .outcome import Books
from .trace import NONE, Event, clock

#: Period [s] of the ticks that show how late a loop is.
TICK_S = 0.05
#: Ticks are numbered downward from here, below every request and below NONE.
TICK_REQUEST = -2


async def tick(
    record: Callable[[tuple], None],
    side: str,
    wanted: Callable[[], bool] = lambda: True,
    turn: tuple[int, int] = (0, 1),
) -> None:
    """Record without end when a loop should wake, when it does, and how long its thread has computed.

    Parameters
    ----------
    record
        Takes an event.
    side
        Whose loop it is.
    wanted
        Whether a tick is to be recorded, asked at each.
    turn
        Which of how many loops it is, if several share a record: they number their ticks in turn.
    """
    due = clock()
    for number in itertools.count(*turn):
        due = max(due + TICK_S, clock())
        await asyncio.sleep(due - clock())
        if wanted():
            record((due, "due", side, NONE, NONE, TICK_REQUEST - number, NONE, NONE))
            used_us = time.thread_time_ns() // 1000
            record((clock(), "ticked", side, NONE, NONE, TICK_REQUEST - number, NONE, used_us))


def which_loop(request: int, servers: int) -> int:
    """Number of the server to whose loop the tick with this number belongs."""
    return (TICK_REQUEST - request) % servers


#: The act that makes good on a ``due`` event: (side, name of the act) → what is late.
_ACTS = {
    ("publisher", "published"): "publisher",
    ("link", "relayed"): "link",
    ("server", "ticked"): "server loop",
    ("client", "ticked"): "clients' loop",
}

#: The parts that are loops, and tick.
_LOOPS = {"server loop", "clients' loop"}

#: Lateness of the 99th percentile [s] from which a run is not fit to be believed.
LIMIT_S = 0.010
#: A loop that computes for so much of the time in which it is late is busy, and not kept waiting.
BUSY_SHARE = 0.7


@dataclass(frozen=True, repr=False)
class Health:
    """The verdict on a run: lateness of each part, books that differ, and what the run suffered.

    Parameters
    ----------
    lateness_s
        Part → (median, 99th percentile) of its lateness [s].
    log
        What the server had to say about faulty requests and handlers.
    faults
        What is wrong with the instrument, beside its lateness; a sentence each.
    outcome
        Counts of what the run suffered, by the names of `lpws.outcome.ALL`.
    causes
        Declared cause of each part of the outcome that has one.
    uncompared
        A sentence on what of the two sides' books is not compared, if anything.
    statuses
        HTTP status → number of requests that failed with it.
    overloaded
        The parts that were late because they computed without pause, under a load that asks for it.
    """

    lateness_s: dict[str, tuple[float, float]]
    log: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    outcome: dict[str, int] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    overloaded: frozenset[str] = frozenset()
    uncompared: str = ""
    statuses: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Sequence[Event], log: Sequence[str] = (), books: Books | None = None) -> Health:
        """The health of the run with these events; of its outcome only with its books."""
        # First, since a timer that fires a little early stands before the moment at which it was due.
        due = {
            (side, request, message): t
            for t, name, side, _client, _connection, request, message, _size in events
            if name == "due" and t >= 0
        }
        # Part → each of its loops, as every server has one → when it acted, how late, and computed so far.
        loops: dict[str, dict[int, list[tuple[float, float, int]]]] = {}
        acts: list[tuple[str, float, float]] = []  # which part acted when, and how late
        servers = books.run.servers if books else 1
        for t, name, side, _client, _connection, request, message, size in events:
            if t < 0:  # the crowd of connections before the start disturbs nothing that is measured
                continue
            owner = "publisher" if name == "published" else side
            part, act = _ACTS.get((owner, name)), (owner, request, message)
            if part is not None and act in due:
                late_s = t - due[act]
                loop = which_loop(request, servers) if part == "server loop" else 0
                loops.setdefault(part, {}).setdefault(loop, []).append((t, late_s, size))
                acts.append((part, t, late_s))
        late = {part: [*map(_quantiles, loops[part].values())] for part in _ACTS.values() if part in loops}
        lateness_s = {part: max(each, key=itemgetter(1))[:2] for part, each in late.items()}
        if books is None:
            return cls(lateness_s, tuple(log))
        busy = {part for part in _LOOPS & late.keys() if any(map(_busy, loops[part].values()))}
        overloaded = busy if books.heavy else set()
        if "server loop" in overloaded:  # they share the kernel's process with it
            overloaded |= {"publisher", "link"} & lateness_s.keys()
        faults = [*books.run.faults, *books.faults]
        # Between its ticks each part may have been as late as it often is, and a message may have met that
        # of all but the publisher, whose is over; a proxy may have been as late as any: nobody knows.
        often_s = {part: max(p90 for _median, _p99, p90 in each) for part, each in late.items()}
        met_s = [s for part, s in often_s.items() if part != "publisher"]
        excused_s = sum(met_s) + (max(met_s, default=0) if books.run.through else 0)
        # A loop that ticks later than it often does may have stood still ever since the tick before.
        spans = [(t - by_s - TICK_S * (part in _LOOPS and by_s > often_s[part]), t) for part, t, by_s in acts]
        if (delayed_s := books.delayed_s(spans)) >= LIMIT_S + excused_s:
            faults.append(f"one message in ten was {1e3 * delayed_s:.0f} ms late, and nothing says why")
        found = books.outcome, books.causes, frozenset(overloaded), books.uncompared, books.statuses
        return cls(lateness_s, tuple(log), tuple(faults), *found)

    @property
    def late(self) -> list[str]:
        """The parts that were too late, and not because of the load."""
        late = [part for part, (_median, p99) in self.lateness_s.items() if p99 >= LIMIT_S]
        return [part for part in late if part not in self.overloaded]

    @property
    def unexplained(self) -> dict[str, int]:
        """Counts of the part of the outcome for which the run declares no cause."""
        return {what: number for what, number in self.outcome.items() if what not in self.causes}

    @property
    def good(self) -> bool:
        """True if the instrument was in time and complete, no handler failed, and all else is explained."""
        return not (self.log or self.faults or self.late or self.unexplained)

    @property
    def resolution_s(self) -> float:
        """Smallest difference of latency [s] to believe: the worst lateness at p99; NaN if none is known."""
        return max((p99 for _median, p99 in self.lateness_s.values()), default=float("nan"))

    @property
    def verdict(self) -> str:
        """One line that says whether the run is to be believed, and how far; without the details."""
        verdict = "healthy" if self.good else "unfit"
        if self.lateness_s:
            verdict += f": trust differences of latency above {1e3 * self.resolution_s:.1f} ms"
        said = [f"the server said: {self.log[0]}"] if self.log else []
        statuses = ", ".join(f"{n:,} × {status}" for status, n in self.statuses.items())
        words = {"failed": f"failed: {statuses}"} if statuses else {}
        told = [
            f"{n:,} {words.get(what, what)} ({self.causes.get(what, 'unexplained')})"
            for what, n in self.outcome.items()
        ]
        return "; ".join(filter(None, [verdict, *said, *self.faults, *told, self.uncompared]))

    def __str__(self) -> str:
        late = ", ".join(
            f"{part} {1e3 * p99:.1f} ms" + (" by the load" if part in self.overloaded else "")
            for part, (_median, p99) in self.lateness_s.items()
        )
        return f"{self.verdict} (late at p99: {late or 'nothing recorded'})"

    def __repr__(self) -> str:
        return f"<{self}>"


def _quantiles(acts: list[tuple[float, float, int]]) -> tuple[float, ...]:
    """Median, 99th and 90th percentile [s] of how late acts were."""
    late_s = sorted(late_s for _t, late_s, _computed in acts)
    return tuple(late_s[min(len(late_s) - 1, int(share * len(late_s)))] for share in (0.5, 0.99, 0.9))


def _busy(ticks: list[tuple[float, float, int]]) -> bool:
    """True if a loop spent its late ticks computing; False if something else kept it waiting."""
    elapsed_s = computed_s = 0.0
    for (before_s, _, before_us), (t, late_s, used_us) in itertools.pairwise(ticks):
        if late_s >= LIMIT_S:
            elapsed_s += t - before_s
            computed_s += (used_us - before_us) / 1e6
    return elapsed_s > 0 and computed_s >= BUSY_SHARE * elapsed_s
