"""WebSocket: one connection on which both sides send when they like."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..decisions import Message
from ..wire import to_lines
from .broadcast import StreamHandler

if TYPE_CHECKING:
    from .client import Client


def is_key(text: str) -> bool:
    """True if the text is the key of a handshake: 16 bytes in base64 (RFC 6455 §4.1).

    >>> is_key("dGhlIHNhbXBsZSBub25jZQ==")  # RFC 6455 §1.3
    True
    """
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False


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


def to_frame(messages: Iterable[Message]) -> bytes:
    r"""The messages in one text frame.

    >>> to_frame([Message(7, "tea is ready")])
    b'\x81\x0f7 tea is ready\n'
    """
    return text_frame(to_lines(messages))


class Handler(StreamHandler):
    """The server half: send what the client missed, then every message; publish what the client sends."""

    pack = staticmethod(to_frame)
    ping_interval = 0.0  # [s], which Tornado looks at; 0 is never

    async def get(self) -> None:
        self.missed = self.cursor()
        self.flush_s = self.seconds("flush", 60)
        self.ping_interval = self.seconds("ping", 3600)
        if not is_key(self.request.headers.get("Sec-WebSocket-Key", "")):
            self.refuse(400, "Expected Sec-WebSocket-Key to be 16 bytes in base64")
        try:
            await super().get()  # ends when the WebSocket does
        finally:
            self.part()
        if self.get_status() != HTTPStatus.SWITCHING_PROTOCOLS:  # some other part of the handshake
            self.record("response_sent", size=0)

    def open(self) -> None:
        self.record("response_sent", size=0)  # the 101
        self.set_nodelay(True)
        self.stream.farewell = self.farewell
        self.join(self.missed, self.flush_s)

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
        """Close the WebSocket, because the server stops: for good, or to start again."""
        # 1001 going away (RFC 6455 §7.4.1), 1012 service restart (IANA's registry).
        self.close(1012 if self.room.draining else 1001)

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


async def listen(client: Client) -> None:
    """The client half: connect, listen; when it ends, wait a random time and connect again."""
    spec = client.transport
    for pause_s in spec.retries_s(client.seed, client.number):
        try:
            websocket = await client.upgrade(
                f"&cursor={client.cursor}&flush={spec.flush_s}&ping={spec.ping_s}"
            )
        except OSError:
            pass
        else:
            client.ready()
            await websocket.wait_disconnected()
        await client.pause(pause_s)
