"""What the clients of one run share: where the server is, the counters, the record."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from ..specs import Transport, Workload
from ..transports.client import Client


@dataclass
class Fleet:
    """What the clients of one run share: where the server is, the counters, the record.

    Parameters
    ----------
    transport, workload
        What every client is to do.
    address
        Where to connect: the server, or the link that leads to it.
    host
        The server's own name and port, for the ``Host`` header.
    grace_s
        How long a few transits may take [s].
    record
        Takes an event.
    prefix
        What every path of the server begins with: its token, if it has one.
    key
        What every request shows, so that the server knows it from a stranger's; empty if it asks for none.
    """

    transport: Transport
    workload: Workload
    address: tuple[str, int]
    host: str
    grace_s: float
    record: Callable[[tuple], None]
    prefix: str = ""
    key: str = ""
    last: int | None = None  # id of the last message of the run, once it is known
    connections: itertools.count = field(default_factory=itertools.count)
    requests: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.path = self.prefix + self.transport.path
        self.question = f"{self.path}?" + (f"run={self.key}&" if self.key else "")
        self.loop = asyncio.get_running_loop()
        self.start: asyncio.Future[float] = self.loop.create_future()
        self.unready = set(range(self.workload.clients))  # who is not connected yet
        self.ready = asyncio.Event()
        self.behind = set(range(self.workload.clients))  # who does not have the last message
        self.finished = asyncio.Event()
        self.broken = self.loop.create_future()  # raises what must end the run
        self.opening: set[asyncio.Task] = set()  # connections that are being made
        self.open: set[int] = set()  # connections
        self.clients = [Client(self, number) for number in range(self.workload.clients)]

    def fail(self, error: Exception) -> None:
        """End the run with this error."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def announce_last(self, message: int) -> None:
        """Take note of the id of the last message of the run."""
        self.last = message
        for client in self.clients:
            if client.cursor >= message:
                self.has_last(client.number)

    def has_last(self, client: int) -> None:
        """Note that a client has the last message of the run."""
        self.behind.discard(client)
        if not self.behind:
            self.finished.set()
