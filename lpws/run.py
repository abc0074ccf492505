"""A run: what was asked for, what happened, and on which machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat

from . import specs
from .health import Health
from .outcome import Books
from .trace import Event

#: How many events get the names of their fields at a time.
FEW = 1_000


@dataclass(frozen=True, eq=False)  # a run equals itself alone, so that a table of it can be kept
class Run:
    """One experiment, measured or simulated.

    Parameters
    ----------
    transport, workload, link
        The specification that was run; `link` is None where clients and server share the loopback.
    events
        All events of both sides, sorted by time; t = 0 is the start, when publishing begins.
        Events with t < 0 prepared the start: the clients' connections, for example. If they are plain
        tuples, the list has `Event`s in their places from here on.
    origin
        ``"measured"`` or ``"simulated"``.
    machine
        The machine on which it was measured: system, processors, versions.
    log
        Lines that the server logged about faulty requests and handlers.
    causes
        Declared causes beyond the specification: a handler of the reader's, a crash, a proxy. What
        follows from the specification itself (a link that is cut, no cursor) is not repeated here.
    faults
        Sentences about what went wrong with the instrument, as far as it noticed.
    through
        The proxy between clients and servers, if there was one.
    servers
        The number of servers behind it. The one of a connection is its number at the server, modulo this.
    broker
        Whether each message was published at all of them, as by a broker that takes no time.
    outages
        When servers were away.
    reconnect
        The waits of clients that have lost their server, in place of the transport's own.
    proxy_log
        Lines of the proxy's log.
    """

    transport: specs.Transport
    workload: specs.Workload
    link: specs.Link | None = None
    events: list[Event] = field(default_factory=list, repr=False)
    origin: str = "measured"
    machine: dict = field(default_factory=dict, repr=False)
    log: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    through: specs.Proxy | None = None
    servers: int = 1
    broker: bool = False
    outages: tuple[specs.Outage, ...] = ()
    reconnect: specs.Backoff | None = None
    proxy_log: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Recorded as plain tuples; from here on their fields have names.
        if self.events and type(self.events[0]) is not Event:
            if not isinstance(self.events, list):  # such as the trace of a server that no run owns
                object.__setattr__(self, "events", list(self.events))
            _name_fields(self.events)

    @property
    def label(self) -> str:
        """Name of the transport, as it stands in figures."""
        return self.transport.label

    @property
    def delay_s(self) -> float:
        """One transit of the link [s]; 0 on loopback."""
        return self.link.delay_s if self.link else 0.0

    @cached_property
    def health(self) -> Health:
        """The verdict on the run: whether to believe it, and how far."""
        return Health.of(self.events, self.log, Books(self))

    def __repr__(self) -> str:
        given = self.transport, self.workload, self.link, self.through, *self.outages, self.reconnect
        parts = [repr(spec) for spec in given if spec is not None]
        parts += [f"{self.servers} servers"] if self.servers > 1 else []
        tail = f"; {self.health}" if self.origin == "measured" else ""
        return f"<{self.origin} run of {', '.join(parts)}: {len(self.events):,} events{tail}>"


def _name_fields(events: list) -> None:
    """Put an `Event` in the place of each plain tuple.

    Performance: the plain version is ``events[:] = map(Event._make, events)``. It takes 0.24 µs per event,
    and memory for all of them twice; this one takes 0.16 µs. It makes each event without a call of Python,
    after it has counted their fields; and a few at a time, so that the memory of these serves the next.
    """
    for start in range(0, len(events), FEW):
        few = events[start : start + FEW]
        if set(map(len, few)) != {len(Event._fields)}:
            list(map(Event._make, few))  # raises, and says how many fields it got
        events[start : start + FEW] = map(tuple.__new__, repeat(Event), few)


class RunError(RuntimeError):
    """A run that could not be finished; `run` holds what happened until then, None if it did not begin."""

    run: Run | None = None


def _version(name: str) -> str | None:
    """Version of a package; None if it is not installed, as uvloop is not on Windows."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def machine() -> dict:
    """System, number of processors, and versions that matter to a measurement, by name."""
    packages = ("tornado", "httptools", "picows", "uvloop", "numpy", "pandas", "matplotlib")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }
