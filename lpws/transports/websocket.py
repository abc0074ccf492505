"""WebSocket: one connection on which both sides send when they like."""

from __future__ import annotations

import asyncio
import base64
import random
import sys
from http import HTTPStatus

import picows
from tornado.web import HTTPError
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


def is_key(text: str) -> bool:
    """Whether this is the key of a handshake: 16 bytes in base64 (RFC 6455 §4.1).

    >>> is_key("dGhlIHNhbXBsZSBub25jZQ==")  # RFC 6455 §1.3
    True
    """
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False


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

    def leave(self, member: Handler) -> None:
        """Forget a member; the last one takes the broadcast with it."""
        del self.members[member]
        if not self.members:
            del self.room.followers[type(self), self.flush_s]

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
            if member.joined < messages[0].id:
                member.send(frame, messages)
            else:  # it came while they were gathered, and has the first of them
                member.send_all([message for message in messages if message.id > member.joined])


class Handler(RoomHandler, WebSocketHandler):
    """The server half: what the client missed, then every message; what it says is published."""

    async def get(self) -> None:
        self.missed = self.cursor()
        self.flush_s = self.seconds("flush", 60)
        self.ping_s = self.seconds("ping", 3600)
        if not is_key(self.request.headers.get("Sec-WebSocket-Key", "")):
            raise HTTPError(400, reason="Expected Sec-WebSocket-Key to be 16 bytes in base64")
        try:
            await super().get()  # ends when the WebSocket does
        finally:
            if self in self.room.streams:
                self.room.streams.discard(self)
                self.broadcast.leave(self)
        if self.get_status() != HTTPStatus.SWITCHING_PROTOCOLS:  # some other part of the handshake
            self.record("response_sent", size=0)

    def open(self) -> None:
        self.record("response_sent", size=0)  # the 101
        self.set_nodelay(True)
        self.stream.farewell = self.farewell
        self.joined = self.room.mailbox.last  # with what it missed, it has everything until here
        if self.missed is not None:
            self.send_all(self.room.mailbox.since(self.missed))
        self.broadcast = Broadcast.of(self.room, self.flush_s)
        self.broadcast.members[self] = None
        self.room.streams.add(self)

    def send_all(self, messages: list[Message]) -> None:
        """Send the messages, if there are any, in a frame of their own."""
        if messages:
            self.send(text_frame(to_lines(messages)), messages)

    def send(self, frame: bytes, messages: list[Message]) -> None:
        """Send a frame that carries the messages."""
        if not self.stream.over:  # RFC 6455 §5.5.1: after a Close frame there is no other
            self.record_messages(messages)
            self.stream.send(frame)

    def on_message(self, message: str | bytes) -> None:
        if self.ws_connection is None:
            pass  # RFC 6455 §7.1.7: after a mistake, what follows is not heard
        elif isinstance(message, bytes):
            self.close(1003, "expected text")  # RFC 6455 §7.4.1: a type of data it cannot accept
        elif "\n" in message or "\r" in message:
            self.close(1008, "expected one line")
        else:
            self.room.publish(message)

    def end(self) -> None:
        """Close it, since the server stops."""
        self.close(1001)  # RFC 6455 §7.4.1: going away

    def farewell(self) -> bytes:
        """The Close frame for a client whose connection Tornado drops without one."""
        error = sys.exc_info()[1]
        if error is None:
            code = 1002  # RFC 6455 §7.4.1: a frame that breaks the protocol
        elif isinstance(error, UnicodeDecodeError):
            code = 1007  # data that is not what its type says
        else:
            code = 1011  # a condition that was not expected
        return b"\x88\x02" + code.to_bytes(2)

    def check_origin(self, origin: str) -> bool:
        return True  # the room has looked

    @property
    def ping_interval(self) -> float:
        return self.ping_s


async def listen(client: Client) -> None:
    """The client half: connect, listen; when it ends, wait a random time and connect again."""
    spec = client.transport
    draw = random.Random(f"retry {client.fleet.workload.seed} {client.number}")
    while True:
        try:
            websocket = await client.upgrade(
                f"&cursor={client.cursor}&flush={spec.flush_s}&ping={spec.ping_s}"
            )
        except (OSError, picows.WSError):
            pass
        else:
            client.ready()
            await websocket.wait_disconnected()
        # RFC 6455 §7.2.3: a random delay, so that not all come back at once.
        await asyncio.sleep(2 * spec.retry_s * draw.random())
