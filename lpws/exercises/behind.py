"""A Tornado server behind a proxy, and clients in front of it, watched from both sides by one observer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import socket
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from ..loopthread import quiet
from .observer import Answer, Wrong
from .web import TEXT, frame

#: Longest time [s] that bytes may be under way; shorter than nginx's timeout in this task.
PATIENCE_S = 0.8
#: It is waited in steps [s], of which a late one counts once: nothing moves while the machine stands still.
_STEP_S = 0.05


class Scene:
    """The server, the address of the proxy before it, and all that goes through: an asynchronous context.

    Parameters
    ----------
    listener
        The socket on which the server listens.
    front
        The proxy's port.
    draw
        Source of randomness for message texts.
    """

    def __init__(self, listener: socket.socket, front: int, draw: random.Random) -> None:
        self.listener, self.front, self.draw = listener, front, draw
        self.host = f"127.0.0.1:{front}"
        self.arrivals: list[asyncio.Future] = []
        self._clients: list[Client] = []

    async def __aenter__(self) -> Scene:
        self._silence = quiet(deque())
        self._silence.__enter__()
        kinds = {"answer": Plain, "held": Held, "stream": Stream, "socket": Socket}
        paths = [(f"/{name}", kind, {"scene": self}) for name, kind in kinds.items()]
        self._server = HTTPServer(Application(paths))
        self._server.add_socket(self.listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        self._server.stop()
        await self._server.close_all_connections()
        self._silence.__exit__(None, None, None)

    def text(self) -> str:
        """Message text that no configuration can predict."""
        return f"tea number {self.draw.randrange(10**9)} is ready"

    async def client(self, path: str, **headers: str) -> Client:
        """A client that has sent a request, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front)
        client = Client(reader, writer, asyncio.get_running_loop().create_future())
        self._clients.append(client)
        self.arrivals.append(client.arrival)
        headers = {"Host": self.host, "Connection": "keep-alive", "Accept-Encoding": "gzip"} | headers
        lines = [f"GET {path}?request={len(self.arrivals) - 1} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return client

    async def web_client(self, **headers: str) -> Client:
        """A client that has asked for a WebSocket."""
        key = base64.b64encode(self.draw.randbytes(16)).decode()
        client = await self.client(
            "/socket", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key,
            Sec_WebSocket_Version="13", **headers,
        )  # fmt: skip
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        client.accept = base64.b64encode(digest).decode()
        return client


async def _patience(what: asyncio.Future, after_step: Callable[[], None] | None = None) -> None:
    """Wait until it is done, or for as many steps as there are in `PATIENCE_S`."""
    for _ in range(round(PATIENCE_S / _STEP_S)):
        if (await asyncio.wait([what], timeout=_STEP_S))[0]:
            break
        if after_step:
            after_step()


class Client:
    """A connection to the proxy, a request on it, and all that has come back."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arrival: asyncio.Future
    ) -> None:
        self.reader, self.writer, self.arrival = reader, writer, arrival
        self.data, self.ended, self.accept = b"", False, ""
        self._last_s = asyncio.get_running_loop().time()
        self.quiet_s = 0.0  # before the last bytes that came, or the end

    @property
    def handler(self) -> Any:
        """The handler to which the request came; None if it did not."""
        return self.arrival.result() if self.arrival.done() else None

    async def until(
        self,
        done: Callable[[Client], bool],
        within_s: float | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> bool:
        """Read until `done(self)` is true; return whether that happened in time, or with patience."""

        async def read() -> None:
            while not done(self) and not self.ended:
                try:
                    more = await self.reader.read(65_536)
                except OSError:
                    more = b""
                now_s = asyncio.get_running_loop().time()
                self.quiet_s, self._last_s = now_s - self._last_s, now_s
                self.data += more
                self.ended = not more

        reading = asyncio.ensure_future(read())
        await (
            _patience(reading, after_step) if within_s is None else asyncio.wait([reading], timeout=within_s)
        )
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        return bool(done(self))

    async def arrived(self) -> bool:
        """Wait until the request has come to the server; True if it has."""
        await _patience(self.arrival)
        return self.arrival.done()

    async def moved(self, within_s: float) -> bool:
        """Read; True if anything came in this time, or the connection ended."""
        before = len(self.data)
        return await self.until(lambda client: client.ended or len(client.data) > before, within_s)

    async def got(self) -> bool:
        """Read the answer; True if it is what the handler said."""
        whole = await self.until(Client.complete)
        answer = self.so_far()
        return whole and (answer.status, answer.body) == (200, self.handler and self.handler.text.encode())

    async def heard(self, text: str = "") -> bool:
        """Make the server send text on its stream; return whether all it has sent arrives."""

        def beat() -> None:
            # In a silence, nginx's own timeout would end the stream, and let go what had been held back:
            # what is told of a proxy that gathers would depend on how late the steps are.
            if self.handler:
                self.handler.say(":\n\n")

        if text:
            self.handler.say(text)
        return await self.until(
            lambda client: client.handler and client.so_far().body == client.handler.said.encode(),
            after_step=beat,
        )

    async def says(self, text: str) -> bool:
        """Send a text over the WebSocket; True if the server hears it, and is heard."""
        self.writer.write(frame(TEXT, text.encode()))
        return await self.until(lambda client: client.data.endswith(echo(text)))

    def complete(self) -> bool:
        """True if nothing of the answer is missing."""
        return self._parsed()[1]

    def so_far(self) -> Answer:
        """The part of the answer that has come; its status is 0 before there is a head."""
        return self._parsed()[0]

    def _parsed(self) -> tuple[Answer, bool]:
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return Answer(0, {}, b"", 0.0), False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(":") for line in lines):  # RFC 9110 §5.3: one list of values
            before = headers.get(name.lower())
            headers[name.lower()] = f"{before}, {value.strip()}" if before else value.strip()
        status = int(first.split()[1])
        if headers.get("transfer-encoding") == "chunked":
            body, whole = b"", False
            while not whole and (chunk := re.match(rb"([0-9a-fA-F]+)\r\n", rest)):
                size, start = int(chunk[1], 16), chunk.end()
                body, rest, whole = body + rest[start : start + size], rest[start + size + 2 :], not size
        else:
            size = int(headers.get("content-length", -1))
            body = rest if size < 0 else rest[:size]
            whole = status in (101, 204, 304) or (self.ended if size < 0 else len(body) == size)
        coding = headers.get("content-encoding", "identity")
        if coding == "gzip":
            body = zlib.decompressobj(31).decompress(body)
        elif coding != "identity":
            raise Wrong(f"an answer came with `Content-Encoding: {coding}`, but its body is something else",
                        "what a client does to a body before it reads it")  # fmt: skip
        return Answer(status, headers, body, 0.0), whole

    def opened(self) -> bool:
        """True if a WebSocket has been accepted as RFC 6455 §4.1 requires."""
        answer = self.so_far()
        words = [answer.headers.get(name, "").lower() for name in ("upgrade", "connection")]
        accept = answer.headers.get("sec-websocket-accept")
        return answer.status == 101 and words == ["websocket", "upgrade"] and accept == self.accept


def echo(text: str) -> bytes:
    """The frame with which `Socket` answers."""
    words = f"heard {text}".encode()
    return bytes([0x80 | TEXT, len(words)]) + words


class Plain(RequestHandler):
    """Answers at once."""

    def initialize(self, scene: Scene) -> None:
        self.text, self.released = scene.text(), asyncio.Event()
        self.address = self.request.connection.context.address
        self.arrival = scene.arrivals[int(self.get_query_argument("request"))]

    def prepare(self) -> None:
        if not self.arrival.done():  # otherwise nginx is retrying
            self.arrival.set_result(self)

    def get(self) -> None:
        self.write(self.text)

    def on_finish(self) -> None:
        self.released.set()

    on_connection_close = on_finish


class Held(Plain):
    """Answers when it is released."""

    async def get(self) -> None:
        await self.released.wait()
        super().get()


class Stream(Plain):
    """Sends its head and `retry` at once, and then what it is told."""

    said = ""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.say("retry: 3000\n\n")
        await self.released.wait()

    def say(self, text: str) -> None:
        """Send the text, unless the response or its connection has ended."""
        self.said += text
        if not self.released.is_set():
            self.write(text)
            self.flush()


class Socket(WebSocketHandler):
    """Repeats what it hears."""

    initialize, prepare = Plain.initialize, Plain.prepare

    def on_message(self, message: str | bytes) -> None:
        self.write_message(f"heard {message}")
