"""WebSocket: one connection on which both sides send when they like."""

from __future__ import annotations

import asyncio
import random

import picows
from tornado.websocket import WebSocketHandler

from ..client import Client
from ..mailbox import Message, to_lines
from .room import Room, RoomHandler


def text_frame(payload: bytes) -> bytes:
    r"""A final, unmasked text frame, as a server sends it (RFC 6455 §5.2).

    >>> text_frame(b"Hello")  # RFC 6455 §5.7
    b'\x81\x05Hello'
    """
    size = len(payload)
    if size <= 125:
        head = bytes([0x81, size])
    elif size <= 0xFFFF:
        head = b"\x81\x7e" + size.to_bytes(2)
    else:
        head = b"\x81\x7f" + size.to_bytes(8)
    return head + payload


class Broadcast:
    """All WebSockets of a room that gather messages for equally long.

    A frame is encoded once for all of them.
    """

    def __init__(self, room: Room, flush_s: float) -> None:
        self.room, self.flush_s = room, flush_s
        self.members: dict[Handler, None] = {}  # a dict keeps the order in which they came
        self.gathered: list[Message] = []

    @classmethod
    def of(cls, room: Room, flush_s: float) -> Broadcast:
        """The broadcast of this room and window."""
        key = (cls, flush_s)
        if key not in room.followers:
            room.followers[key] = cls(room, flush_s).take
        return room.followers[key].__self__

    def take(self, message: Message) -> None:
        """Send a message, or gather it until the window closes."""
        self.gathered.append(message)
        if self.flush_s == 0:
            self.flush()
        elif len(self.gathered) == 1:  # the first message opens the window
            asyncio.get_running_loop().call_later(self.flush_s, self.flush)

    def flush(self) -> None:
        """Send what was gathered to every member, in one frame."""
        messages, self.gathered = self.gathered, []
        frame = text_frame(to_lines(messages))
        for member in list(self.members):
            member.send(frame, messages)


class Handler(RoomHandler, WebSocketHandler):
    """The server half: what the client missed, then every message; what it says is published."""

    async def get(self) -> None:
        self.missed = self.cursor()
        self.flush_s = self.seconds("flush", 60)
        self.ping_s = self.seconds("ping", 3600)
        if not self.request.headers.get("Sec-WebSocket-Key"):
            self.set_status(400)
        await super().get()

    def open(self) -> None:
        self.record("response_sent", size=0)  # the 101
        self.set_nodelay(True)
        self.broadcast = Broadcast.of(self.room, self.flush_s)
        # What is gathered now comes with the next flush.
        known = self.room.mailbox.last - len(self.broadcast.gathered)
        if self.missed is not None and (news := self.room.mailbox.since(self.missed)[: known - self.missed]):
            self.send(text_frame(to_lines(news)), news)
        self.broadcast.members[self] = None
        self.room.streams.add(self)

    def send(self, frame: bytes, messages: list[Message]) -> None:
        """Send a frame that carries the messages."""
        stream = self.stream
        if stream.closed():
            return
        self.record_messages(messages)
        # With nothing waiting, hand the frame to the socket directly: a third of the price of
        # write_message. The socket may take a part only; the stream sends the rest.
        sent = 0
        try:
            if not stream.writing():
                sent = stream.write_to_fd(memoryview(frame))
        except BlockingIOError:
            pass
        except OSError as error:
            stream.close(exc_info=(type(error), error, error.__traceback__))
            return
        if sent < len(frame):
            stream.write(frame[sent:])

    def on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.close(1003, "expected text")  # RFC 6455 §7.4.1: a type of data it cannot accept
        elif "\n" in message or "\r" in message:
            self.close(1008, "expected one line")
        else:
            self.room.publish(message)

    def on_close(self) -> None:
        if hasattr(self, "broadcast"):
            del self.broadcast.members[self]
            self.room.streams.discard(self)

    def end(self) -> None:
        """Close it, since the server stops."""
        self.close(1001)  # RFC 6455 §7.4.1: going away

    def check_origin(self, origin: str) -> bool:
        return True  # prepare has looked

    @property
    def ping_interval(self) -> float:
        return self.ping_s


async def listen(client: Client) -> None:
    """The client half: connect, listen; when it ends, wait a random time and connect again."""
    spec = client.transport
    draw = random.Random(f"retry {client.fleet.workload.seed} {client.number}")
    while True:
        try:
            websocket = await client.upgrade(f"&cursor={client.cursor}&flush={spec.flush_s}&ping={spec.ping_s}")
        except (OSError, picows.WSError):
            pass
        else:
            client.ready()
            await websocket.wait_disconnected()
        # RFC 6455 §7.2.3: a random delay, so that not all come back at once.
        await asyncio.sleep(2 * spec.retry_s * draw.random())
