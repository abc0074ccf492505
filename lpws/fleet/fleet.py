"""The fleet: the clients of one run, and what they share."""

from __future__ import annotations

from typing import Any

from ..specs import Transport, Workload
from ..transports.client import Client
from ..transports.session import Session


class Fleet(Session):
    """A session with all the clients of a workload; the rest is what else a `Session` takes."""

    def __init__(self, transport: Transport, workload: Workload, *rest: Any, **named: Any) -> None:
        numbers = range(workload.clients)
        super().__init__(transport, workload.seed, numbers, *rest, **named)
        self.clients = [Client(self, number) for number in numbers]

    def announce_last(self, message: int) -> None:
        """Take note of the id of the last message of the run."""
        self.last = message
        for client in self.clients:
            if client.cursor >= message:
                self.has_last(client.number)
