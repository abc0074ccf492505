"""The way into a server: who is let in, the port at which it listens, and how it goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from socket import create_server
from time import sleep
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import Application, OutputTransform, RequestHandler
from tornado.websocket import WebSocketClosedError

from ..specs import Outage
from ..trace import clock
from ..transports.room import Room
from .counted_stream import CountingServer, Door, Streams
from .handlers import NotFound, Preflight, Refused
from .plain import Recorded, Response, entry

#: Errors that say that a client has gone.
GONE = (StreamClosedError, WebSocketClosedError)
#: The largest message or body [bytes] that a client may send.
MOST_BYTES = 65_536
#: The largest head of a request [bytes].
MOST_HEAD_BYTES = 16_384
#: The longest time [s] that what runs beside a server may take to end with it.
LEAVE_S = 5.0


class GuardedApplication(Application):
    """An application that turns strangers away, whatever they ask for."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        kind, stream, room = None, request.connection.stream, self.settings["room"]
        asks_to_close = request.headers.get("Connection", "").lower() == "close"  # as Tornado reads it
        stream.expected = asks_to_close or request.version == "HTTP/1.0"
        if room.refusal(request):
            kind = Refused
        elif request.method == "OPTIONS" and request.headers.get("Origin", "") == room.origin:
            kind = Preflight
        if kind is not None:
            return self.get_handler_delegate(request, kind, {"room": room})
        request.path = request.path.removeprefix(room.prefix)
        stream.asked = True
        # What goes wrong with a handler is logged with its address: the log must not tell the token.
        request.uri = request.uri.removeprefix(room.prefix)
        return super().find_handler(request, **kwargs)


class LetIn(OutputTransform):
    """The header that lets pages of one other origin read the answers (CORS; Fetch standard §3.3)."""

    def __init__(self, request: HTTPServerRequest, origin: str) -> None:
        self.origin = origin

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        headers["Access-Control-Allow-Origin"] = self.origin
        return status_code, headers, chunk


class Doorway:
    """The application of a server, and the port of 127.0.0.1 that leads to it.

    All of it belongs to the loop in which it is made.

    Parameters
    ----------
    make_room
        Makes the room, given the ``hosts`` by which it is reached.
    handlers
        Path → handler class.
    streams
        Gets the open connections.
    backlog
        How many connections can wait until the loop lets them in.
    """

    def __init__(
        self,
        make_room: Callable[..., Room],
        handlers: dict[str, type[RequestHandler]],
        streams: Streams,
        backlog: int,
    ) -> None:
        self.streams, self.backlog = streams, backlog
        self.beside = AsyncExitStack()  # what runs beside it, such as a connection to a broker
        self.port = 0  # any that is free
        door = self._bind()
        try:
            self.room = make_room(hosts={f"127.0.0.1:{self.port}", f"localhost:{self.port}"})
            self.room.gone = GONE
            entries = [entry(path, kind, self.room) for path, kind in handlers.items()]
            transforms: list[Callable] = []
            if self.room.origin:
                transforms.append(partial(LetIn, origin=self.room.origin))
            if any(issubclass(kind, Recorded) for _, kind, _ in entries):
                transforms.append(Response)
            self.app = GuardedApplication(
                entries,
                room=self.room,
                default_handler_class=NotFound,
                default_handler_args={"room": self.room},
                transforms=transforms,
                log_function=self._answered,
                websocket_max_message_size=MOST_BYTES,
            )
            self._let_in(door)
        except BaseException:
            door.close()
            raise

    def _bind(self) -> Door:
        try:
            listener = create_server(("127.0.0.1", self.port), backlog=self.backlog)
        except OSError as error:
            said = f"expected a free port of 127.0.0.1, got none ({error.strerror or error}): "
            raise OSError(error.errno, said + "shut down kernels or programs that you do not need") from error
        self.port = listener.getsockname()[1]
        return Door(fileno=listener.detach())

    def _let_in(self, door: Door) -> None:
        self.http = CountingServer(
            self.app,
            streams=self.streams,
            max_header_size=MOST_HEAD_BYTES,
            max_body_size=MOST_BYTES,
            body_timeout=30.0,  # [s]
        )
        self.http.add_socket(door)
        self.door = door

    async def enter(self, context: AbstractAsyncContextManager) -> Any:
        """Enter a context, to be left with the server, and return what it gives."""
        given = await context.__aenter__()
        self.beside.push_async_callback(self._leave, context)
        return given

    async def _leave(self, context: AbstractAsyncContextManager) -> None:
        # Not `asyncio.timeout`, which waits for a context that takes no notice of it.
        leaving = asyncio.ensure_future(context.__aexit__(None, None, None))
        if not (await asyncio.wait([leaving], timeout=LEAVE_S))[0]:
            leaving.cancel()
            name = getattr(getattr(context, "gen", None), "__name__", type(context).__name__)
            raise TimeoutError(f"expected `{name}` to end within {LEAVE_S:g} s of its server, it did not")
        leaving.result()

    def _answered(self, handler: RequestHandler) -> None:
        stream, head = handler.request.connection.stream, handler._headers
        # RFC 9112 §9.6: who has said that an answer is the last one on its connection closes that. Not if
        # the head was on its way before the goodbyes: the client may have asked again. But a stream is over.
        last = head.get("Connection") == "close" or "Content-Length" not in head
        if self.room.draining and last and handler.get_status() != 101 and not stream.writing():
            stream.close()

    def drop(self, hangs_s: float = 0.0) -> int:
        """End every open connection without a goodbye, stand still [s], and return how many they were."""
        streams = list(self.streams)
        for stream in streams:
            stream.farewell, stream.expected = bytes, False  # no last words
            stream.close()
        sleep(hangs_s)
        return len(streams)

    def crash(self) -> int:
        """Go away as a process that is killed: its kernel closes every socket; return how many."""
        self.http.stop()  # who knocks is refused
        return self.drop()

    def drain(self, jitter_s: float) -> None:
        """Go away with a goodbye to everybody, each at a random time within the jitter [s]."""
        self.http.stop()
        self.room.draining = True
        self.room.close(jitter_s)

    def come_back(self) -> None:
        """Listen again, at the same port; what a drain has left over ends. Harmless if it listens."""
        if self.door.fileno() < 0:  # it is closed
            self.drop()
            self.room.draining = False
            self._let_in(self._bind())

    def plan(self, outage: Outage, start: float) -> None:
        """Let the outage come at its time, counted from the start [s] on `lpws.clock`."""
        loop, at_s = asyncio.get_running_loop(), start + outage.at_s - clock()
        loop.call_later(at_s, *([self.crash] if outage.how == "crash" else [self.drain, outage.jitter_s]))
        if outage.away_s is not None:
            loop.call_later(at_s + outage.away_s, self.come_back)
