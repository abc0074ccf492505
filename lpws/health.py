"""Whether a run is fit to be believed: how late the laboratory itself was.

Each part of the laboratory records when it *should* have acted (``due``) and when it acted.
The difference is lateness that belongs to the instrument and not to the transport.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .trace import NONE, Event, clock

#: Period [s] of the ticks that show how late a loop is.
TICK_S = 0.05
#: Ticks are numbered downward from here, below every request and below NONE.
TICK_REQUEST = -2


async def tick(record: Callable[[tuple], None], side: str) -> None:
    """Record without end when a loop should wake, when it does, and how long its thread has computed."""
    due = clock()
    for number in itertools.count():
        due = max(due + TICK_S, clock())
        await asyncio.sleep(due - clock())
        record((due, "due", side, NONE, NONE, TICK_REQUEST - number, NONE, NONE))
        used_us = time.thread_time_ns() // 1000
        record((clock(), "ticked", side, NONE, NONE, TICK_REQUEST - number, NONE, used_us))


#: The act that makes good on a ``due`` event: (side, name of the act) → what is late.
_ACTS = {
    ("publisher", "published"): "publisher",
    ("link", "relayed"): "link",
    ("server", "ticked"): "server loop",
    ("client", "ticked"): "clients' loop",
}

#: Lateness of the 99th percentile [s] from which a run is not fit to be believed.
LIMIT_S = 0.010


@dataclass(frozen=True, repr=False)
class Health:
    """Lateness of each part of the laboratory, and what the server complained of.

    Parameters
    ----------
    lateness_s
        Part → (median, 99th percentile) of its lateness [s].
    log
        What the server had to say about faulty requests and handlers.
    """

    lateness_s: dict[str, tuple[float, float]]
    log: tuple[str, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event], log: Sequence[str] = ()) -> Health:
        """The health of the run with these events."""
        due: dict[tuple, float] = {}
        late: dict[str, list[float]] = {}
        for t, name, side, _client, _connection, request, message, _size in events:
            if t < 0:  # the crowd of connections before the start disturbs nothing that is measured
                continue
            key = message if side == "publisher" or name == "published" else request
            if name == "due":
                due[side, key] = t
                continue
            owner = "publisher" if name == "published" else side
            part = _ACTS.get((owner, name))
            if part is not None and (owner, key) in due:
                late.setdefault(part, []).append(t - due[owner, key])
        return cls({part: _median_and_p99(late[part]) for part in _ACTS.values() if part in late}, tuple(log))

    @property
    def good(self) -> bool:
        """Whether every part was in time and no handler failed."""
        return not self.log and all(p99 < LIMIT_S for _median, p99 in self.lateness_s.values())

    @property
    def resolution_s(self) -> float:
        """Differences of latency below this [s] may be the laboratory's own; NaN if nothing is known."""
        return max((p99 for _median, p99 in self.lateness_s.values()), default=float("nan"))

    @property
    def verdict(self) -> str:
        """Whether the run is fit to be believed and how far, in one line without the details."""
        verdict = "healthy" if self.good else "unfit"
        if self.lateness_s:
            verdict += f": trust differences of latency above {1e3 * self.resolution_s:.1f} ms"
        return verdict + (f"; the server said: {self.log[0]}" if self.log else "")

    def __str__(self) -> str:
        late = ", ".join(f"{part} {1e3 * p99:.1f} ms" for part, (_median, p99) in self.lateness_s.items())
        return f"{self.verdict} (late at p99: {late or 'nothing recorded'})"

    def __repr__(self) -> str:
        return f"<{self}>"


def _median_and_p99(values: list[float]) -> tuple[float, float]:
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, int(0.99 * len(values)))]
