"""A WebSocket as its client sees it, frame by frame."""

from __future__ import annotations

import base64
import select
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode

from .observer import Client, Message, Scene, Wrong, parse

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
#: How long [s] bytes may take that the server has written; if they take longer, time passes in vain.
_BRIEFLY_S = 0.002


class Frame(NamedTuple):
    """A frame that a server sent."""

    opcode: int
    payload: bytes


def frame(opcode: int, payload: bytes, key: bytes = b"\x37\xfa\x21\x3d", fin: bool = True) -> bytes:
    """A frame as a client sends it: masked with the key.

    >>> frame(TEXT, b"Hello").hex(" ")  # RFC 6455 §5.7
    '81 85 37 fa 21 3d 7f 9f 4d 51 58'
    """
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    masked = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    return bytes([fin << 7 | opcode]) + length + key + masked


class WebClient(Client):
    """A client with a WebSocket.

    Parameters
    ----------
    scene, number
        As for a `Client`.
    query
        What it asks for.
    """

    #: Times [s] that pass on the program's clock, one after the other, as long as the server does not read.
    patience_s: tuple[float, ...] = ()

    def __init__(self, scene: Scene, number: int, **query: Any) -> None:
        super().__init__(scene, number)
        scene.clients[self.address] = self
        self.code: int | None = None  # of the Close frame that came
        self.ended = False
        self._frames: list[Frame] = []
        key = base64.b64encode(scene.draw.randbytes(16)).decode()
        target = f"{scene.path}?{urlencode({'client': number, 'request': 1} | query)}"
        self.socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{scene.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        scene.sent += 1
        for _ in self._waits():
            if self.answers or self._shaken():
                break
        else:
            raise Wrong("did not answer the handshake", "what runs before `open`, and what it waits for")
        if self.answers[0].status != 101:
            raise Wrong(
                f"answered the handshake with status {self.answers[0].status}, and not with 101",
                "who may connect, and what an error in `prepare` or `initialize` does",
            )

    def _waits(self) -> Iterator[None]:
        """Let no time pass, and then each of `patience_s`; the caller looks after each of them."""
        for pause_s in (0.0, *self.patience_s):
            self.scene.settle(pause_s)
            yield

    def _shaken(self) -> bool:
        """True if an answer to the handshake has come without a word of the server that it is written."""
        self.half()
        if parsed := parse(self.data):
            answer, self.data = parsed
            self.answers.append(answer)
        return parsed is not None

    def take(self, at_s: float) -> None:
        if not self.answers:
            super().take(at_s)

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send a frame, and wait until the server has come to it."""
        with suppress(OSError):
            self.socket.sendall(frame(opcode, payload, self.scene.draw.randbytes(4)))
        self._frames = self.hear()
        self.scene.settle()

    def hear(self) -> list[Frame]:
        """All frames that have come since the last time.

        A ping is behind everything that the server has sent when its pong has come.
        """
        mark = self.scene.draw.randbytes(4)
        with suppress(OSError):
            self.socket.sendall(frame(PING, mark))
        while not self.ended:
            while got := self._next():
                if got == (PONG, mark):
                    heard, self._frames = self._frames, []
                    return heard
                if got.opcode == CLOSE:
                    self.ended = True
                    self.code = struct.unpack("!H", got.payload[:2])[0] if len(got.payload) > 1 else 1005
                elif got.opcode != PONG:
                    self._frames.append(got)
            if self.ended:
                break
            more = self._more()
            self.ended = not more
            self.data += more
        heard, self._frames = self._frames, []
        return heard

    def _more(self) -> bytes:
        """The bytes that come next, at least the pong; none if the connection has ended."""
        if self.patience_s:
            for _ in self._waits():
                if select.select([self.socket], [], [], _BRIEFLY_S)[0]:
                    break
        try:
            return self.socket.recv(1_000_000)
        except TimeoutError:
            raise self._deaf() from None
        except OSError:
            return b""

    def _deaf(self) -> Wrong:
        """Sentence on a server that does not read."""
        return Wrong(
            "did not read on after a client had spoken",
            "what `open` and `on_message` wait for, and who waits",
        )

    def _next(self) -> Frame | None:
        """A frame at the beginning of what has come, if it is complete."""
        data = self.data
        if len(data) < 2:
            return None
        size, start = data[1] & 127, 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return None
        self.data = data[start + size :]
        return Frame(data[0] & 15, data[start : start + size])

    def messages(self) -> list[Message]:
        """The messages that have come since the last time.

        Raises
        ------
        Wrong
            If a frame is not one message.
        """
        heard = self.hear()
        if self.ended:
            how = "without a Close frame" if self.code is None else f"with code {self.code}"
            raise Wrong(f"closed the connection of a client ({how})", "who decides that a WebSocket ends")
        return [_message(each) for each in heard]


def _message(got: Frame) -> Message:
    if got.opcode != TEXT:
        raise Wrong(
            f"sent {got.payload[:40]!r} in a frame with opcode {got.opcode}", "which frames carry text"
        )
    text = got.payload.decode(errors="replace").removesuffix("\n")
    id, _, words = text.partition(" ")
    if not id.isdecimal():
        raise Wrong(
            f"sent {text[:60]!r}, where a client expects a frame such as '7 tea is ready'",
            "what a frame holds: the number of a message, a space, its text",
        )
    if "\n" in text:
        raise Wrong(f"sent {text[:60]!r} in one frame", "how a client sees where a message ends")
    return Message(int(id), words)
