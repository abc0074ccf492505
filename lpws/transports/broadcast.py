"""What Server-Sent Events and WebSocket share: a response that does not end, and messages for all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..mailbox import Message, Window
from ..trace import clock
from ..wire import sizes
from .room import Room

#: What makes of messages the bytes that go on the wire.
Pack = Callable[[Iterable[Message]], bytes]


class StreamHandler:
    """A server half whose response goes on for as long as the client stays, and brings it every message."""

    @staticmethod
    def pack(messages: Iterable[Message]) -> bytes:
        """The messages as this stream carries them."""
        raise NotImplementedError

    def join(self, cursor: int | None, flush_s: float = 0.0) -> None:
        """Send what came after the cursor; from now on send every message, gathered for so long [s]."""
        last = self.room.mailbox.last
        if cursor is not None:
            self.send_all(self.room.mailbox.since(cursor))
        self.broadcast = Broadcast.of(self.room, self.pack, flush_s)  # last: all before it may fail
        self.broadcast.members[self] = self.send
        self.broadcast.window.join(self, last)  # with what it missed, it has everything until there
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
        """Send bytes, which carry messages of these ids and sizes, unless nothing may be said any more."""
        stream = self.stream
        if not stream.over:
            record = self.room.record  # at once, and not by a method: it is what a broadcast does most
            for id, size in carried:
                t = clock()
                record((t, "message_sent", "server", self.client, self.connection, self.number, id, size))
            stream.send(data)

    def end(self) -> None:
        """End the stream, since the server stops or the client has gone."""
        raise NotImplementedError


class Broadcast:
    """All streams of a room that pack messages in one way, and gather them for equally long.

    What they are sent is packed once for all of them.
    """

    def __init__(self, room: Room, pack: Pack, flush_s: float) -> None:
        self.room, self.pack, self.window = room, pack, Window(flush_s)
        # Who → its `send`, in the order in which they came. To look a method up in each of thousands
        # of handlers would take longer than to call it: they are not in the processor's cache.
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
            if late and member in late:  # it came while they were gathered, and has the first of them
                member.send_all(late[member])
            else:
                send(data, carried)
