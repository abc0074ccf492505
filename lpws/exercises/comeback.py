"""The world around a reader's reconnect loop: a server that goes away and comes back, and what the loop did.

It runs in the program's process, on the program's clock, and gives no verdict: it returns what happened.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any


class Lost(ConnectionError):
    """The connection has ended, or there was none; with the time [s] that the server asked for, if it did."""

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Comeback:
    """A reader's loop, to be called with a story: it runs in each of so many clients; returns what they did.

    Parameters
    ----------
    stay
        The loop, a coroutine function of (connect, hear, first_s, limit_s).
    """

    def __init__(self, stay: Callable) -> None:
        self.stay = stay

    async def __call__(self, story: dict[str, Any]) -> list[tuple]:
        """Let the clients live through the story; what they did, as (client, when [s], what, which)."""
        loop, did, lives = asyncio.get_running_loop(), [], []
        random.seed(story["seed"])
        for number in range(story["clients"]):
            client = (Real if "port" in story else Client)(story, number, did)
            stay = self.stay(client.connect, client.hear, story["first_s"], story["limit_s"])
            life = loop.create_task(stay)
            life.add_done_callback(client.end)
            lives.append(life)
        await asyncio.sleep(story["until_s"])
        count = len(did)
        for life in lives:
            life.cancel()
        await asyncio.wait(lives, timeout=1)
        return did[:count]


class Client:
    """A client and its server: when that is there, refuses, is busy, or breaks what it has begun."""

    def __init__(self, story: dict[str, Any], number: int, did: list[tuple]) -> None:
        self.story, self.number, self.did = story, number, did
        self.loop = asyncio.get_running_loop()
        self.begun_s = self.loop.time()

    @property
    def now_s(self) -> float:
        return self.loop.time() - self.begun_s

    def note(self, what: str, which: Any = None) -> None:
        self.did.append((self.number, self.now_s, what, which))

    def end(self, life: asyncio.Task) -> None:
        if not life.cancelled():
            error = life.exception()
            self.note(
                "left", "returned" if error is None else f"raised {type(error).__name__}: {error}"[:200]
            )

    def hear(self, id: int, text: str) -> None:
        self.note("heard", (id, text))

    def phase(self) -> tuple[float, str, Any]:
        """Until when [s] the server does what, and the time that it asks for."""
        return next(phase for phase in self.story["phases"] if self.now_s < phase[0] or phase[0] is None)

    async def connect(self, cursor: int = 0) -> AsyncIterator[tuple[int, str]]:
        """Connect, and ask for all messages after the cursor."""
        self.note("tried", cursor)
        _, how, after_s = self.phase()
        await asyncio.sleep(0.001)
        if how in ("refuse", "busy"):
            raise Lost("refused" if how == "refuse" else "503 Service Unavailable", after_s)
        return self.messages(int(cursor), how)

    async def messages(self, cursor: int, how: str) -> AsyncIterator[tuple[int, str]]:
        until_s = self.phase()[0]
        if how == "slam":
            raise Lost("reset by the server")
        # The last one comes once more: its server does not know whether it arrived.
        for id, (at_s, text) in enumerate(self.story["messages"], 1):
            if id < max(cursor, 1):
                continue
            if at_s > self.now_s:
                await asyncio.sleep(min(at_s, until_s) - self.now_s)
            if self.now_s >= until_s:
                break
            yield id, text
        await asyncio.sleep(max(until_s - self.now_s, 0))
        if how == "reset":
            raise Lost("reset by the server")


class Real(Client):
    """The same with a real connection. It blocks, so that no time passes on the clock meanwhile."""

    async def connect(self, cursor: int = 0) -> AsyncIterator[tuple[int, str]]:
        self.note("tried", cursor)
        try:
            line = socket.create_connection(("127.0.0.1", self.story["port"]), timeout=1)
        except OSError as error:
            raise Lost(str(error)) from None
        return self.read(line, cursor)

    async def read(self, line: socket.socket, cursor: int) -> AsyncIterator[tuple[int, str]]:
        with line:
            try:
                line.sendall(f"{int(cursor)}\n".encode())
                data = b""
                while more := line.recv(4096):
                    *rows, data = (data + more).split(b"\n")
                    for row in rows:
                        id, _, text = row.decode().partition(" ")
                        yield int(id), text
            except OSError as error:
                raise Lost(str(error)) from None
        raise Lost("the connection ended")
