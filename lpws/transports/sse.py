"""Server-Sent Events: one response that never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..decisions import Message
from ..trace import clock
from ..wire import sizes
from .broadcast import StreamHandler

if TYPE_CHECKING:
    from .client import Client

#: HTML standard §9.2.7: a comment about every 15 s, so that old proxies do not give up.
COMMENT_S = 15.0


def to_events(messages: Iterable[Message]) -> bytes:
    r"""The messages as events (HTML standard §9.2.6) of a stream whose body ends with its connection.

    >>> to_events([Message(7, "tea is ready")])
    b'id: 7\ndata: tea is ready\n\n'
    """
    return "".join(f"id: {id}\ndata: {text}\n\n" for id, text in messages).encode()


def chunk(data: bytes) -> bytes:
    """The data as one chunk of a body in chunked transfer coding (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def to_chunk(messages: Iterable[Message]) -> bytes:
    r"""The messages as events of a stream, in one chunk.

    >>> to_chunk([Message(7, "tea is ready")])
    b'1a\r\nid: 7\ndata: tea is ready\n\n\r\n'
    """
    return chunk(to_events(messages))


class Handler(StreamHandler):
    """The server half: headers, then an event for each message, for as long as the client stays."""

    async def get(self) -> None:
        cursor = self.cursor()
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        # Else each message waits until the client's TCP has acknowledged the last (Nagle, RFC 896).
        self.stream.set_nodelay(True)
        self.write(f"retry: {1000 * self.seconds('retry', 3600) or 1000:.0f}\n\n")
        # Into chunks, as Tornado would make them; it writes the first and the last. HTTP/1.0 has none.
        self.chunked = self.request.version == "HTTP/1.1"
        self.pack = to_chunk if self.chunked else to_events
        self.gone = asyncio.Event()
        begun = self.flush()  # the head is written; messages may follow
        self.join(cursor)
        try:
            await begun
            while not self.gone.is_set():
                try:
                    await asyncio.wait_for(self.gone.wait(), COMMENT_S)
                except TimeoutError:
                    self.tell(": still here\n\n")
            if not self.stream.closed():
                self.record("response_sent", size=0)  # the end of a stream that has no size
        except OSError:
            pass  # the client has gone; on_connection_close has said so
        finally:
            self.part()

    def tell(self, fields: str) -> None:
        """Send fields that carry no message."""
        data = fields.encode()
        self.send(chunk(data) if self.chunked else data, [])

    def end(self) -> None:
        """End the stream, because the server stops or the client has gone."""
        self.gone.set()

    def on_connection_close(self) -> None:
        if self in self.room.streams:
            self.end()


class Parser:
    """A parser of event streams, for line ends LF and CRLF but not for a lone CR.

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
        """Parse the next piece of the stream; hand on the events that it completes."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r").decode())

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:  # a blank line dispatches the event
            if self.data and self.type in ("", "message"):  # events of other types need listeners
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
        request = next(client.session.requests)

        def take(id: int, text: str, request: int = request) -> None:
            if id < 1:
                raise ValueError(f"expected message ids from 1, got {id} with {text[:60]!r}")
            client.received(sizes([Message(id, text)]), client.http.number, request, clock())

        parser = Parser(take)

        status = 0
        try:
            connection = await client.connect(streams=True)
            response = await connection.get(
                f"&cursor={client.cursor}&retry={client.transport.retry_s}",
                request,
                headers=f"Last-Event-ID: {client.cursor}\r\nAccept: text/event-stream\r\n",
                sink=parser.feed,
            )
            status = response.status
        except OSError:
            pass  # as good as an end of the stream
        if status != 200:
            client.record("failed", client.http.number, request, size=status)
            client.refused(status)
        await client.pause(parser.retry_s)
