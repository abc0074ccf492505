"""Short polling: a request every so often, answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace import clock
from .reload import Handler as Handler  # the server cannot tell a poll from a reload

if TYPE_CHECKING:
    from .client import Client


async def listen(client: Client) -> None:
    """The client half: ask at every due time."""
    polling = client.transport
    await client.connect_early()
    client.ready()
    due_s = await client.started() + polling.first_due_s(client.seed, client.number)
    while True:
        await client.sleep_until(due_s)
        await client.ask(f"&cursor={client.cursor}", due=due_s, close=not polling.keep_alive)
        # An answer that took longer delays the one poll that is due; the grid of due times stays.
        missed = int((clock() - due_s) / polling.interval_s)
        due_s += max(1, missed) * polling.interval_s
