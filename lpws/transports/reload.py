"""Plain request/response: a reader who reloads when they feel like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace import clock

if TYPE_CHECKING:
    from .client import Client


class Handler:
    """The server half: answer at once with what is new."""

    async def get(self) -> None:
        self.answer(await self.room.ask(self, self.cursor(), hold_s=0))


async def listen(client: Client) -> None:
    """The client half: pause, ask, read, and again."""
    reload = client.transport
    client.ready()
    last_s = await client.started()
    for pause_s in reload.pauses_s(client.seed, client.number):
        due_s = last_s + pause_s
        await client.sleep_until(due_s)
        await client.ask(f"&cursor={client.cursor}", due=due_s, close=not reload.keep_alive)
        last_s = clock()
