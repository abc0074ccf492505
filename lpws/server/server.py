"""The instrumented server: Tornado in a thread of the kernel, with a loop of its own."""

from __future__ import annotations

import asyncio
import re
import secrets
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, OutputTransform, RequestHandler
from tornado.websocket import WebSocketClosedError

from ..health import tick
from ..loopthread import LoopThread, quiet
from ..transports.room import Room
from .counted_stream import CountedStream, CountingServer, Door
from .handlers import HANDLERS, NotFound, Preflight, Refused
from .plain import Recorded, Response, entry

#: The largest message or body [bytes] that a client may send.
MOST_BYTES = 65_536
#: The largest head of a request [bytes].
MOST_HEAD_BYTES = 16_384


class GuardedApplication(Application):
    """An application that turns strangers away, whatever they ask for."""

    def __init__(self, room: Room, *args: Any, **kwargs: Any) -> None:
        self.room = room
        super().__init__(*args, **kwargs)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        kind = None
        if self.room.refusal(request):
            kind = Refused
        elif request.method == "OPTIONS" and request.headers.get("Origin", "") == self.room.origin:
            kind = Preflight
        if kind is not None:
            return self.get_handler_delegate(request, kind, {"room": self.room})
        request.path = request.path.removeprefix(self.room.prefix)
        # What goes wrong with a handler is logged with its address: the log must not tell the token.
        request.uri = request.uri.removeprefix(self.room.prefix)
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


class Server:
    """A server for every transport, on a free port of 127.0.0.1, that prints nothing.

    Parameters
    ----------
    origin
        The one other origin whose pages may reach it, such as ``"http://localhost:8888"``.
    handlers
        Path → handler class, in place of the laboratory's own or beside them: any that Tornado can
        serve. Its `initialize` gets the room if it takes an argument `room`.
    token
        Whether its address has a part that nobody can guess, drawn anew for each server: every user
        of the machine reaches 127.0.0.1.
    ticks
        Whether it always records how late its loop is, as a run needs it; else only when something else
        was recorded, so that an idle server costs nothing.

    Examples
    --------
    >>> with Server() as server:
    ...     server.publish("hi")
    1
    """

    #: What is made when it starts.
    room_class: type[Room] = Room

    def __init__(
        self,
        *,
        origin: str | None = None,
        handlers: dict[str, type[RequestHandler]] | None = None,
        token: bool = False,
        ticks: bool = False,
    ) -> None:
        if origin is not None and not re.fullmatch(r"https?://[^/\s]+", str(origin)):
            raise ValueError(f"expected an origin like 'http://localhost:8888', got {origin!r}")
        self.trace: list[tuple] = []
        self.log: deque[str] = deque(maxlen=20)
        self._origin = origin
        self.prefix = f"/{secrets.token_urlsafe(16)}" if token else ""  # 128 bits
        self._ticks = ticks
        self._handlers = HANDLERS | (handlers or {})
        self._thread: LoopThread | None = None

    def start(self) -> Server:
        """Start it, and return it; harmless if it runs.

        Raises
        ------
        OSError
            If no port can be had.
        """
        if self._thread is None:
            thread = LoopThread("lpws server")
            make_room = partial(self.room_class, self.trace.append, origin=self._origin, prefix=self.prefix)
            try:
                # A server whose last name is bound to another one, as when a cell runs twice, stops.
                self._finalizer = weakref.finalize(self, thread.stop)
                self._thread = thread  # last: now `stop` has all that it needs, should an interrupt come
                wanted = None if self._ticks else _grown(self.trace)
                serving = _serve(self.trace.append, self.log, make_room, self._handlers, wanted)
                self.room, self.port, self._streams = thread.start(serving)
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; harmless if it does not run."""
        if self._thread is not None:
            # Not the finalizer, which forgets what it has begun: an interrupt may make this the first of two.
            self._thread.stop()
            self._thread = None
            self._finalizer.detach()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __getattr__(self, name: str) -> Any:
        if name in ("room", "port", "_streams"):  # which `start` makes
            raise RuntimeError(f"expected a server that was started, got one without {name}: use `with`")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<Server at {self.url}>" if self._thread else "<Server, stopped>"

    @property
    def running(self) -> bool:
        """True from `start` to `stop`."""
        return self._thread is not None

    @property
    def host(self) -> str:
        """Name and port, as in the ``Host`` header."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Address of the server with its token, if it has one, and without a path."""
        return f"http://{self.host}{self.prefix}"

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._streams)

    @property
    def thread(self) -> LoopThread:
        """The thread of its loop.

        Raises
        ------
        RuntimeError
            If the server does not run.
        """
        if self._thread is None:
            raise RuntimeError("expected a running server, got a stopped one: use `with Server() as server:`")
        return self._thread

    def publish(self, text: str, *, after_s: float = 0.0) -> int | None:
        """Publish a message now, and return its id; or leave that to the loop's timer, and return nothing.

        Parameters
        ----------
        text
            One line.
        after_s
            How long [s] from now. A server that has stopped by then publishes nothing.

        Raises
        ------
        TypeError, ValueError
            If the text is not a str of one line, or the delay not a time of an hour at most.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text (str), got {text!r}")
        if isinstance(after_s, bool) or not isinstance(after_s, int | float):
            raise TypeError(f"publish(after_s=…): expected a number of seconds, got {after_s!r}")
        if not 0 <= after_s <= 3600:
            raise ValueError(f"publish(after_s=…): expected 0 to 3600 seconds, got {after_s!r}")
        if not after_s:
            return self.thread.call(self.room.publish, text)
        self.thread.call(self._publish_after, after_s, text)
        return None

    def _publish_after(self, after_s: float, text: str) -> None:
        asyncio.get_running_loop().call_later(after_s, self.room.publish, text)

    def drop(self) -> int:
        """Close every open connection, as a failing network does, and return how many."""
        return self.thread.call(self._drop)

    def _drop(self) -> int:
        streams = list(self._streams)
        for stream in streams:
            stream.farewell = bytes  # no last words
            stream.close()
        return len(streams)


def _grown(trace: list[tuple]) -> Callable[[], bool]:
    """A function that is true if something was recorded since it was last true."""
    seen = 0

    def grown() -> bool:
        nonlocal seen
        if len(trace) <= seen:
            return False
        seen = len(trace) + 2  # with the tick itself
        return True

    return grown


@asynccontextmanager
async def _serve(
    record: Callable[[tuple], None],
    log: deque[str],
    make_room: Callable[..., Room],
    handlers: dict[str, type[RequestHandler]],
    wanted: Callable[[], bool] | None,
) -> AsyncIterator[tuple[Room, int, set[CountedStream]]]:
    """The room, the port and the open connections of a server that serves inside this context.

    It is no method, so that the thread does not keep the `Server` alive.
    """
    try:
        sockets = bind_sockets(0, "127.0.0.1", backlog=4096)  # a crowd connects at once
    except OSError as error:
        said = f"expected a free port of 127.0.0.1, got none ({error.strerror or error}): "
        raise OSError(error.errno, said + "shut down kernels or programs that you do not need") from error
    sockets = [Door(fileno=each.detach()) for each in sockets]
    port = sockets[0].getsockname()[1]
    room = make_room(hosts={f"127.0.0.1:{port}", f"localhost:{port}"})
    room.gone = (StreamClosedError, WebSocketClosedError)
    try:
        entries = [entry(path, kind, room) for path, kind in handlers.items()]
        transforms: list[Callable] = [partial(LetIn, origin=room.origin)] if room.origin else []
        if any(issubclass(kind, Recorded) for _, kind, _ in entries):
            transforms.append(Response)
        app = GuardedApplication(
            room,
            entries,
            default_handler_class=NotFound,
            default_handler_args={"room": room},
            transforms=transforms,
            log_function=lambda _handler: None,
            websocket_max_message_size=MOST_BYTES,
        )
        http = CountingServer(app, record=record, max_header_size=MOST_HEAD_BYTES, max_body_size=MOST_BYTES)
        with quiet(log):
            http.add_sockets(sockets)
            ticks = asyncio.create_task(tick(record, "server", *([wanted] if wanted else [])))
            try:
                yield room, port, http.streams
            finally:
                ticks.cancel()
                await _end(http, room)
    finally:
        for socket in sockets:
            socket.close()


async def _end(http: CountingServer, room: Room) -> None:
    """Leave nothing open, and nobody without an answer."""
    http.stop()
    room.close()
    # Fifty turns of the loop: handlers that were woken answer, clients answer a Close frame.
    for _ in range(50):
        if not room.busy:
            break
        await asyncio.sleep(0.001)
    for stream in list(http.streams):
        stream.close()
    await http.close_all_connections()
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=0.1)
