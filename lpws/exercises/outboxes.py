"""The world around a reader's outbox: clients that read, pause, stop or leave, and what each of them got.

It runs in the program's process, on the program's clock, and gives no verdict: it returns what happened.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from typing import Any


class Text(str):
    """A text of which the world knows whether it is still in memory."""

    __slots__ = ("client",)
    client: Client

    def __del__(self) -> None:
        self.client.kept -= 1


class Client:
    """A client, and the connection over which its outbox writes.

    Parameters
    ----------
    number
        Which one it is.
    did
        Where it notes what happens, as (client, when [s], what, which).
    pace_s
        How long it takes for one text.
    stops_s, goes_on_s
        From when and until when it reads nothing.
    leaves_s
        When it is gone for good.
    lingers_s
        How long its connection outlives a `hang_up`: what is being written may still be taken.
    """

    def __init__(
        self,
        number: int,
        did: list[tuple],
        pace_s: float = 0.001,
        stops_s: float = 1e6,
        goes_on_s: float = 1e6,
        leaves_s: float = 1e6,
        lingers_s: float = 0.0,
    ) -> None:
        self.number, self.did, self.pace_s = number, did, pace_s
        self.stops_s, self.goes_on_s, self.lingers_s = stops_s, goes_on_s, lingers_s
        self.kept = 0  # texts that are in memory
        self.putting = False  # whether `put` is being called
        self.loop = asyncio.get_running_loop()
        self.begun_s = self.loop.time()
        self.gone = self.loop.create_future()
        self.loop.call_later(leaves_s, self.end)

    @property
    def now_s(self) -> float:
        return self.loop.time() - self.begun_s

    def note(self, what: str, which: Any = None) -> None:
        self.did.append((self.number, self.now_s, what, which))

    def text(self, text: str) -> Text:
        made = Text(text)
        made.client = self
        self.kept += 1
        return made

    async def write(self, text: str) -> None:
        """Give the client a text; return when its socket has taken it."""
        self.note("began", f"{text}")
        taken_s = self.now_s + self.pace_s
        if self.stops_s <= taken_s < self.goes_on_s:
            taken_s = self.goes_on_s + self.pace_s
        await asyncio.wait([self.gone], timeout=taken_s - self.now_s)
        if self.gone.done():
            self.note("failed", f"{text}")
            raise ConnectionError("the client has gone")
        self.note("took", f"{text}")

    def hang_up(self) -> None:
        """End the connection."""
        self.note("hung up", self.putting)
        if self.lingers_s:
            self.loop.call_later(self.lingers_s, self.end)
        else:
            self.end()

    def end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class Outboxes:
    """A reader's class, to be called with a story: each client gets an outbox; returns what they did.

    Parameters
    ----------
    outbox
        The class, to be made from (write, hang_up, limit), with a method `put` of (key, text).
    """

    def __init__(self, outbox: Callable) -> None:
        self.outbox = outbox

    async def __call__(self, story: dict[str, Any]) -> list[tuple]:
        """Put what the story says, when it says so; what happened, as (client, when [s], what, which)."""
        others = asyncio.all_tasks()
        did: list[tuple] = []
        clients = [Client(number, did, **how) for number, how in enumerate(story["clients"])]
        outboxes = [self.outbox(client.write, client.hang_up, story["limit"]) for client in clients]
        for at_s, number, key, text in story["puts"]:
            client = clients[number]
            if at_s > client.now_s + 1e-9:  # else it is the same turn of the loop
                await asyncio.sleep(at_s - client.now_s)
            client.note("put", text)
            client.putting = True
            if inspect.iscoroutine(answer := outboxes[number].put(key, client.text(text))):
                answer.close()
                client.note("awaits")
            client.putting = False
            client.note("kept", client.kept)
        await asyncio.sleep(story["until_s"] - clients[0].now_s)
        for client in clients:
            client.note("end")
        gc.collect()
        for client in clients:
            client.note("kept", client.kept)
        ending = asyncio.all_tasks() - others
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=1)
        return did
