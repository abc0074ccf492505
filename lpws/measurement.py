"""Measurement, one way to a run: a server here, clients in a second process, a workload between them."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter, itemgetter

from tornado.web import RequestHandler

from . import specs
from .barrier import wait_for_clients
from .fleet.process import FleetDied, FleetInThread, RemoteFleet
from .machine import make_room_for_files, progress, undisturbed
from .outcome import HANDLERS
from .run import Run, RunError, machine
from .serving import Serving
from .specs.fields import within
from .trace import NONE, clock

#: The longest time [s] that a fleet may take until it is connected.
READY_S = 30.0
#: The longest time [s] that a fleet may take until it has ended.
END_S = 30.0
#: Time [s] from the barrier to the start of the run, so that no client hears of it too late.
LEAD_S = 0.05
#: The least time [s] between two looks at a run, and the most of the time that looking may take.
LOOK_S, LOOK_SHARE = 0.4, 0.2


class _Stopped(Exception):
    """The reader interrupted the run."""


def measure(
    transport: specs.Transport,
    workload: specs.Workload,
    link: specs.Link | None = None,
    *,
    handler: type | None = None,
    through: specs.Proxy | None = None,
    servers: int = 1,
    broker: bool = False,
    outages: Sequence[specs.Outage] = (),
    reconnect: specs.Backoff | None = None,
    clients_in: str = "process",
    watch: Callable[[Iterable[Run]], object] | None = None,
) -> Run:
    """Measure a workload over a transport; return the run.

    Blocks until the run is over: the kernel is idle meanwhile, so that it disturbs nothing.

    Parameters
    ----------
    transport, workload, link
        The specification to run; without a link, clients and server share the loopback.
    handler
        A `tornado.web.RequestHandler` or `WebSocketHandler` of your own, in place of the transport's
        server half. If its `initialize` takes an argument `room`, it gets the room: ``room.messages``,
        ``room.listeners``, ``room.publish``.
    through
        A proxy between the link and the servers. What it does to the clients is an outcome of the run.
    servers
        The number of servers behind the proxy, which takes them in turn.
    broker
        Whether every message is published at all of them, as by a broker that takes no time. Else they take
        turns, and each has a room of its own: a client hears what is published at its server.
    outages
        When servers are away.
    reconnect
        How long clients wait before they try again after a failure or the end of a stream, in place of the
        transport's own wait. Short polling and reload keep to their own times.
    clients_in
        ``"process"``, or ``"thread"`` to see what clients in the kernel itself would disturb.
    watch
        A function that gets the run as far as it has come, to iterate over: first before it begins,
        then at most two or three times per second, and last when it is over. `live` draws it. Its work
        disturbs the run.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be.
    RunError
        If the run could not be finished; the message says what to do.
    lpws.services.Missing
        If a proxy is asked for, and this machine has no nginx.
    """
    outages = tuple(outages)
    for name, value, kinds in (
        ("transport", transport, specs.TRANSPORTS),
        ("workload", workload, (specs.Workload,)),
        ("link", link, (specs.Link, type(None))),
        ("through", through, (specs.Proxy, type(None))),
        *(("outages", outage, (specs.Outage,)) for outage in outages),
        ("reconnect", reconnect, (specs.Backoff, type(None))),
    ):
        if not isinstance(value, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"measure({name}=…): expected {expected}, got {value!r}")
    if clients_in not in ("process", "thread"):
        raise ValueError(f"measure(clients_in=…): expected 'process' or 'thread', got {clients_in!r}")
    within("measure(servers=…)", servers, 1, 64, whole=True)
    if through is not None and through.http2:
        said = "expected a proxy for HTTP/1.1, which the clients speak, got http2=True (see notebook 11)"
        raise ValueError(f"measure(through=…): {said}")
    if servers > 1 and through is None:
        raise ValueError(f"measure(servers={servers}): several servers need a proxy before them: through=…")
    if absent := [outage.server for outage in outages if outage.server >= servers]:
        raise ValueError(f"measure(outages=…): expected servers from 0 to {servers - 1}, got {absent[0]}")
    for first, then in pairwise(sorted(outages, key=attrgetter("server", "at_s"))):
        if first.server == then.server and (first.away_s is None or first.end_s >= then.at_s):
            raise ValueError(f"measure(outages=…): expected {then} to begin after the end of {first}")
    if watch is not None and not callable(watch):
        raise TypeError(f"measure(watch=…): expected a function such as lpws.live, got {watch!r}")
    if handler is not None and not (isinstance(handler, type) and issubclass(handler, RequestHandler)):
        expected = "a subclass of tornado.web.RequestHandler"
        raise TypeError(f"measure(handler=…): expected {expected}, got {handler!r}")
    # Per client the server holds one socket, a link two more, clients in the kernel another; and every
    # second client may have an old connection beside its new one.
    each = 1.5 + (2 if link else 0) + (clients_in == "thread")
    # A proxy, which is bound by the same limit, holds two, and as many again of one that is being replaced.
    theirs = min(through.connections, 3 * workload.clients) + 64 if through else 0
    make_room_for_files(max(int(workload.clients * each) + 64 * servers, theirs))
    spec = Run(
        transport, workload, link, through=through, servers=servers, broker=bool(broker), outages=outages,
        reconnect=reconnect,
    )  # fmt: skip
    return _Experiment(spec, handler, clients_in).run(watch)


class _Experiment:
    """One call of `measure`.

    All the work is done in a thread of its own. Python delivers an interrupt to the main thread alone,
    which only waits here; so an interrupt comes between no two lines of the work, and every context
    below is left in order.
    """

    def __init__(self, spec: Run, handler: type | None, clients_in: str) -> None:
        self.spec, self.handler = spec, handler
        self.transport, self.workload, self.link = spec.transport, spec.workload, spec.link
        # A request without this key comes from no client of the run.
        self.key = secrets.token_urlsafe(6)
        self.events: list[tuple] = []  # of the publisher and the link
        self.serving = Serving(spec, handler, self.key, self.events.append)
        self.faults: list[str] = []  # of the instrument
        self.make_fleet = {"process": RemoteFleet, "thread": FleetInThread}[clients_in]
        self.clients: RemoteFleet | None = None
        self.machine: dict = {}
        self.start: float | None = None
        self.stopped, self.over = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, name="lpws experiment", daemon=True)

    def run(self, watch: Callable[[Iterable[Run]], object] | None) -> Run:
        """Do the work, and return its run."""
        try:
            if watch is None:
                self.thread.start()
                with progress(self.transport.label, self.workload.duration_s, self._passed_s) as show:
                    # Not join: Python 3.11 takes a thread for ended when an interrupt comes inside its join.
                    while not self.over.wait(0.2):
                        show()
            else:
                looks = self._looks()
                watch(looks)
                for _ in looks:  # the watcher may have stopped iterating early
                    pass
                # It may also have closed the iterator, even before the first look.
                if self.thread.ident is None:
                    self.thread.start()
                while not self.over.wait(0.2):
                    pass
        except BaseException:
            self.stopped.set()
            if self.thread in threading.enumerate():  # it has been started, even if it does not run yet
                self.over.wait(READY_S)
            raise
        finally:
            if self.over.is_set():
                self.thread.join()
        if isinstance(self.error, FleetDied):
            said = f"; the server says: {self.serving.log[0]}" if self.serving.log else ""
            self.error = RunError(f"{self.error}{said}")
        elif isinstance(self.error, OSError):
            said = self.error.strerror or self.error
            self.error = RunError(f"{said}; run the cell again, and if it says so again, restart the kernel")
        if isinstance(self.error, RunError):
            self.error.run = self._run()
        if self.error is not None:
            raise self.error
        return self._run()

    def _looks(self) -> Iterator[Run]:
        """Start the work after the first look; yield the run as far as it has come, until it is over."""
        yield self._run()
        self.thread.start()
        pause_s = LOOK_S
        while not self.over.wait(pause_s):
            if self.start is not None:
                begun = clock()
                yield self._run()
                pause_s = max(LOOK_S, (clock() - begun) * (1 / LOOK_SHARE - 1))
        if self.error is None:
            yield self._run()

    def _passed_s(self) -> float:
        """Time [s] since the start of the run; 0 before."""
        return 0.0 if self.start is None else clock() - self.start

    def _run(self) -> Run:
        start = clock() if self.start is None else self.start
        # Before the events: what is over by now, and counted, has all of them.
        over, total = self.over.is_set(), self.clients.total if self.clients else None
        theirs = self.clients.events() if self.clients else []
        events = [(t - start, *rest) for t, *rest in [*self.serving.events(), *self.events, *theirs]]
        events.sort(key=itemgetter(0))
        log = (*self.serving.log, *(self._doubts(events) if over else ()))
        causes, faults = [], [*self.faults, *self.serving.faults]
        if self.handler is not None:
            causes += HANDLERS
        if self.error is not None or not over:
            causes.append("the run was broken off" if self.error else "the run is not over")
        if self.clients and (strangers := sum(self.serving.strangers.values())):
            faults.append(f"{strangers} requests came that no client of the run sent")
        if total is not None and total != len(theirs):
            faults.append(f"{len(theirs):,} of {total:,} events of the clients have come")
        return dataclasses.replace(
            self.spec, events=events, machine=self.machine, log=log, causes=tuple(causes),
            faults=tuple(faults), proxy_log=self.serving.proxy_log,
        )  # fmt: skip

    def _doubts(self, events: Iterable[tuple]) -> Iterator[str]:
        """Sentences on what a reader's handler seems to have left undone; none if the link explains it."""
        faulty = self.link and (self.link.cut_at_s, self.link.silent_at_s) != (None, None)
        faulty = faulty or self.spec.through or self.spec.outages
        if self.handler is None or self.error or faulty:
            return
        asked, answered, received = (
            {event[5] for event in events if event[1] == name}
            for name in ("request_sent", "response_received", "message_received")
        )
        if not received:
            yield "no client received a message: does the handler send them?"
        elif not self.transport.persistent and asked - answered:
            yield f"{len(asked - answered)} of {len(asked)} requests got no answer: does the handler finish?"

    def _work(self) -> None:
        try:
            with undisturbed():
                self._measure()
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()

    def _measure(self) -> None:
        self.machine = machine()
        with contextlib.ExitStack() as stack:
            serving = stack.enter_context(self.serving)
            if serving.proxy:
                self.machine["nginx"] = serving.proxy.version
            # The time [s] for ten transits, more than any exchange needs even on a busy machine.
            self.far_s = 10 * self.link.delay_s if self.link else 0.0
            # All clients may be answered at the same moment, which takes the server some 0.4 ms each.
            self.grace_s = 1 + self.far_s + 0.001 * self.workload.clients
            self.clients = self.make_fleet(
                {
                    "transport": specs.to_dict(self.transport),
                    "workload": specs.to_dict(self.workload),
                    "address": serving.address,
                    "host": serving.host,
                    "grace_s": self.grace_s,
                    "key": self.key,
                    "reconnect": self.spec.reconnect and specs.to_dict(self.spec.reconnect),
                    "proxied": self.spec.through is not None,
                }
            )
            stack.enter_context(self.clients)
            wait_for_clients(self.spec, serving, self.clients, READY_S + self.far_s, self._until)
            self.start = clock() + LEAD_S
            self.clients.tell(f"start {self.start!r}")
            serving.begin(self.start)
            self.clients.tell(f"last {self._publish()}")
            self._drain()

    def _publish(self) -> int:
        """Publish each message at its intended time; return the id of the last."""
        number = 0
        for number, due_s in enumerate(self.workload.due_times_s(), 1):
            due = self.start + due_s
            self._pause_until(due)
            self.events.append((due, "due", "publisher", NONE, NONE, NONE, number, NONE))
            self.serving.publish(number, self.workload.payload(number))
        self._pause_until(self.start + self.workload.duration_s)
        return number

    def _drain(self) -> None:
        """Let the clients fetch what they lack, as long as their patience lasts, then let them go."""
        patience_s = self.transport.patience_s + self.grace_s
        if self.link and self.link.silent_at_s is not None:  # patience begins when the link speaks again
            patience_s += max(0, self.link.silent_at_s + self.link.silent_for_s - self.workload.duration_s)
        if self.spec.outages:
            back_s = max(outage.end_s for outage in self.spec.outages)
            patience_s += max(0, back_s - self.workload.duration_s)
            patience_s += self.spec.reconnect.limit_s if self.spec.reconnect else 0
        limit, sent = clock() + READY_S, self._sent()
        while not (done := self._until(lambda: "done" in self.clients.said, patience_s)):
            before, sent = sent, self._sent()
            # In a kernel that computes the server is slow: while it sends, the clients go on waiting.
            if sent == before or clock() >= limit:
                break
        if not done:
            self.clients.tell("stop")
            if not self._until(lambda: "done" in self.clients.said, END_S + 2 * self.grace_s):
                self.faults.append("the clients did not end when they were told to")
                return
        self.serving.leave(lambda quiet: self._until(quiet, 4 + self.grace_s))

    def _sent(self) -> int:
        """Number of messages that the server has handed to clients so far."""
        return sum(event[1] == "message_sent" for event in self.serving.events())

    def _until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Wait until the condition is true, at most for the limit; return whether it is."""
        end = clock() + limit_s
        while not (true := condition()) and clock() < end:
            self._pause_until(clock() + 0.002)
        return true

    def _pause_until(self, t: float) -> None:
        """Wait until the clock shows `t`, unless the run is stopped or the clients die."""
        while (rest := t - clock()) > 0:
            if self.stopped.wait(min(rest, 0.25)):
                raise _Stopped
            self.clients.check()
