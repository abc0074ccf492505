"""Streams, the common base of SSE and WebSocket: a response that does not end, and one message for all.

Performance: this module is what a message to thousands of clients costs. The plain version packs and
writes each message once per client; see `Broadcast` and `lpws.server.counted_stream.CountedStream.send`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..decisions import Message, Window
from ..trace import clock
from ..wire import sizes
from .room import Room

#: A function from messages to the bytes that go on the wire.
Pack = Callable[[Iterable[Message]], bytes]


class StreamHandler:
    """A server half whose response lasts as long as the client stays, and carries every message."""

    #: The messages as this stream carries them.
    pack: Pack
    #: End the stream, because the server stops or the client has gone.
    end: Callable[[], None]

    def join(self, cursor: int | None, flush_s: float = 0.0) -> None:
        """Send the messages after the cursor, if there is one; then follow the room.

        Parameters
        ----------
        cursor
            Id of the last message that the client has; None if it wants only what comes from now on.
        flush_s
            How long [s] messages are gathered before they go together.
        """
        last = self.room.mailbox.last
        if cursor is not None:
            self.send_all(self.room.mailbox.since(cursor))
        self.broadcast = Broadcast.of(self.room, self.pack, flush_s)  # not earlier: sending may fail
        self.broadcast.members[self] = self.send
        cursor = max(last, cursor or 0)  # up to here it has every message, from here or from another server
        self.broadcast.window.join(self, cursor, ahead=cursor > last)
        self.room.streams.add(self)

    def part(self) -> None:
        """Send no more messages; harmless without `join`."""
        if self in self.room.streams:
            self.room.streams.discard(self)
            self.broadcast.leave(self)

    def send_all(self, messages: list[Message]) -> None:
        """Send the messages, if there are any, by themselves."""
        if messages:
            self.send(self.pack(messages), sizes(messages))

    def send(self, data: bytes, carried: list[tuple[int, int]]) -> None:
        """Send bytes and record the messages in them, each an id and a size, unless the stream is over."""
        stream = self.stream
        if not stream.over:
            # Performance: recorded here, where the plain version would call `self.record`. This loop runs
            # once per message and client.
            record = self.room.record
            for id, size in carried:
                t = clock()
                record((t, "message_sent", "server", self.client, self.connection, self.number, id, size))
            stream.send(data)


class Broadcast:
    """The streams of a room that pack messages alike and gather them for equally long.

    Performance: a message is packed once for all of them, not once per client.
    """

    def __init__(self, room: Room, pack: Pack, flush_s: float) -> None:
        self.room, self.pack, self.window = room, pack, Window(flush_s)
        # Performance: handler → its bound `send`, in order of arrival. The plain version would look the
        # method up in each handler; with thousands of them, each look-up misses the processor's cache and
        # takes longer than the call itself.
        self.members: dict[StreamHandler, Callable] = {}

    @classmethod
    def of(cls, room: Room, pack: Pack, flush_s: float) -> Broadcast:
        """The broadcast of this room, way to pack, and window."""
        key = (cls, pack, flush_s)
        if key not in room.followers:
            room.followers[key] = cls(room, pack, flush_s).take
        return room.followers[key].__self__

    def leave(self, member: StreamHandler) -> None:
        """Forget a member; the last one takes the broadcast with it."""
        del self.members[member]
        self.window.leave(member)
        if not self.members:
            del self.room.followers[type(self), self.pack, self.window.flush_s]

    def take(self, message: Message) -> None:
        """Send a message, or gather it until the window closes."""
        if self.window.take(message):
            if self.window.flush_s:
                asyncio.get_running_loop().call_later(self.window.flush_s, self.flush)
            else:
                self.flush()

    def flush(self) -> None:
        """Send what was gathered to every member, at once."""
        messages, late = self.window.close()
        data, carried = self.pack(messages), sizes(messages)
        for member, send in list(self.members.items()):
            if late and member in late:  # it joined while they were gathered, and has the first of them
                member.send_all(late[member])
            else:
                send(data, carried)
