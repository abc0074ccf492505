"""The session: the state that the clients of one run share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field

from ..specs import Backoff, Transport


@dataclass
class Session:
    """The state that the clients of one run share: the server's address, counters, the record, progress.

    Parameters
    ----------
    transport
        The transport that every client uses.
    seed
        Of every random choice.
    numbers
        Numbers of the clients.
    address
        Host and port to connect to: the server's, or the link's that leads to it.
    host
        The server's own name and port, for the ``Host`` header.
    grace_s
        Time [s] to allow for a few transits.
    record
        Called with each event.
    prefix
        Beginning of every path of the server: a slash and its token, if it has one.
    key
        Argument ``run`` of every request, by which the server tells it from a stranger's; may be empty.
    reconnect
        The waits of a client that has lost its server; None for those of the transport.
    proxied
        Whether a proxy may refuse a client for which the start waits.
    connections, requests
        Counters that give the next number.
    """

    transport: Transport
    seed: int
    numbers: Iterable[int]
    address: tuple[str, int]
    host: str
    grace_s: float
    record: Callable[[tuple], None]
    prefix: str = ""
    key: str = ""
    reconnect: Backoff | None = None
    proxied: bool = False
    connections: itertools.count = field(default_factory=itertools.count)
    requests: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.path = self.prefix + self.transport.path
        self.question = f"{self.path}?" + (f"run={self.key}&" if self.key else "")
        self.loop = asyncio.get_running_loop()
        self.start: asyncio.Future[float] = self.loop.create_future()
        self.unready = set(self.numbers)  # clients that are not connected yet
        self.ready = asyncio.Event()
        self.last: int | None = None  # id of the last message of the run, once it is known
        self.behind = set(self.numbers)  # clients that do not have it
        self.finished = asyncio.Event()
        self.broken = self.loop.create_future()  # raises what must end the run
        self.opening: set[asyncio.Task] = set()  # connections that are being made
        self.open: set[int] = set()  # connections

    def fail(self, error: Exception) -> None:
        """End the run with this error."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def begin(self, opening: Coroutine) -> asyncio.Task:
        """Begin to open a connection; a task, which the run waits for at its end."""
        task = self.loop.create_task(opening)
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)
        return task

    def has_last(self, client: int) -> None:
        """Note that a client has the last message of the run."""
        self.behind.discard(client)
        if not self.behind:
            self.finished.set()
