"""Long polling: a request that the server holds until it has news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace import clock

if TYPE_CHECKING:
    from .client import Client

#: The longest hold [s] that a client may ask for. RFC 6202 §5.5: browsers give up after 300 s.
MOST_S = 300.0


class Handler:
    """The server half: answer with what is new, now or within the hold."""

    async def get(self) -> None:
        if self.stream.closed():
            return  # the client is gone with its request, and on_connection_close will not be called
        self.answer(await self.room.ask(self, self.cursor(), self.seconds("hold", MOST_S)))
        # When this method ends, Tornado reads the next request, which takes longer than the answer has.
        await self.room.step_back(self)

    def on_connection_close(self) -> None:
        self.room.leave(self)


async def listen(client: Client) -> None:
    """The client half: ask, wait for the answer, ask again."""
    polling = client.transport
    await client.connect_early()
    client.ready()  # the first request is on its way; the server says when it is held
    due_s = None
    while True:
        cursor = f"&cursor={client.cursor}" if polling.cursor else ""
        answered = await client.ask(
            f"&hold={polling.hold_s}{cursor}",
            due=due_s,
            close=not polling.keep_alive,
            timeout_s=polling.hold_s + 5,
        )
        due_s = clock() + polling.pause_s if answered and polling.pause_s else None
        if not answered:
            await client.pause(max(polling.pause_s, 0.1))
        elif due_s:
            await client.sleep_until(due_s)
