"""Server-Sent Events: one response that never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado.iostream import StreamClosedError

from ..client import Client
from ..mailbox import Message
from ..trace import clock
from .room import RoomHandler

#: HTML standard §9.2.7: a comment about every 15 s, so that old proxies do not give up.
COMMENT_S = 15.0


def to_fields(message: Message) -> str:
    """A message as an event of the stream (HTML standard §9.2.6)."""
    return f"id: {message.id}\ndata: {message.text}\n\n"


class Handler(RoomHandler):
    """The server half: headers, then an event for each message, for as long as the client stays."""

    async def get(self) -> None:
        cursor = self.cursor()
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        # Else each message waits until the client's TCP has acknowledged the last (Nagle, RFC 896).
        self.stream.set_nodelay(True)
        self.write(f"retry: {1000 * self.seconds('retry', 3600) or 1000:.0f}\n\n")
        self.gone = asyncio.Event()
        for message in self.room.mailbox.since(cursor) if cursor is not None else []:
            self.take(message)
        self.room.followers[self] = self.take
        self.room.streams.add(self)
        try:
            await self.flush()
            while not self.gone.is_set():
                try:
                    await asyncio.wait_for(self.gone.wait(), COMMENT_S)
                except TimeoutError:
                    self.write(": still here\n\n")
                    await self.flush()
        except StreamClosedError:
            pass  # the client has gone; on_connection_close has said so
        finally:
            del self.room.followers[self]
            self.room.streams.discard(self)

    def take(self, message: Message) -> None:
        """Send a message."""
        self.record_messages([message])
        self.write(to_fields(message))
        self.flush().add_done_callback(asyncio.Future.exception)  # a client that has gone is no error

    def end(self) -> None:
        """End the stream, since the server stops or the client has gone."""
        self.gone.set()

    def on_connection_close(self) -> None:
        if self in self.room.streams:
            self.end()


class Parser:
    """What an event stream says, line by line; a lone CR as line end is not known here.

    Parameters
    ----------
    take
        Called with the id and the data of each event that is a message.
    """

    def __init__(self, take: Callable[[int, str], None]) -> None:
        self.take = take
        self.rest = b""
        self.id = 0
        self.data: list[str] = []
        self.type = ""
        self.retry_s = 1.0

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the stream; events that it completes are handed on."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r").decode())

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:  # a blank line dispatches the event
            if self.data and self.type in ("", "message"):  # others are for those who listen to them
                self.take(self.id, "\n".join(self.data))
            self.data, self.type = [], ""
        elif name == "data":
            self.data.append(value)
        elif name == "event":
            self.type = value
        elif name == "id" and value.isdecimal():
            self.id = int(value)
        elif name == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1000
        # Anything else, a comment too, is ignored (HTML standard §9.2.6).


async def listen(client: Client) -> None:
    """The client half: read the stream; when it ends, wait and connect again where it ended."""
    while True:
        request = next(client.fleet.requests)

        def take(id: int, text: str, request: int = request) -> None:
            client.received(Message(id, text), client.http.number, request, clock())

        parser = Parser(take)

        def read(chunk: bytes, parser: Parser = parser) -> None:
            client.ready()  # the stream has begun
            parser.feed(chunk)

        status = 0
        try:
            connection = await client.connect()
            response = await connection.get(
                f"&cursor={client.cursor}&retry={client.transport.retry_s}",
                request,
                headers=f"Last-Event-ID: {client.cursor}\r\nAccept: text/event-stream\r\n",
                sink=read,
            )
            status = response.status
        except OSError:
            pass  # as good as an end of the stream
        if status != 200:
            client.record("failed", client.http.number, request, size=status)
        await asyncio.sleep(parser.retry_s)
