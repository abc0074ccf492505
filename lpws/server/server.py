"""The instrumented server: Tornado in a thread of the kernel, with a loop of its own."""

from __future__ import annotations

import asyncio
import re
import secrets
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

from tornado.web import RequestHandler

from ..health import tick
from ..loopthread import LoopThread, quiet
from ..specs import Outage
from ..specs.fields import within
from ..transports.room import Room
from .counted_stream import Streams
from .doorway import GONE, Doorway
from .handlers import HANDLERS
from .tcpinfo import in_doubt

#: The most events that a server keeps which no run owns: some 40 MB.
MOST_EVENTS = 200_000


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
        Whether it records how late its loop is: always, as a run needs it; or only when something else was
        recorded, so that an idle server costs nothing. Then no run owns the server, and it keeps only the
        latest events, `MOST_EVENTS` of them.
    turn
        Which of how many servers it is, if they share a run: they number connections and ticks in turn.
    backlog
        How many connections can wait at its door until its loop lets them in; the system may have a
        lower limit (on Linux ``net.core.somaxconn``).

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
        turn: tuple[int, int] = (0, 1),
        backlog: int = 4096,  # a crowd connects at once
    ) -> None:
        if origin is not None and not re.fullmatch(r"https?://[^/\s]+", str(origin)):
            raise ValueError(f"expected an origin like 'http://localhost:8888', got {origin!r}")
        self.trace: list[tuple] = []
        self.log: deque[str] = deque(maxlen=20)
        self._origin = origin
        self.prefix = f"/{secrets.token_urlsafe(16)}" if token else ""  # 128 bits
        self._numbers, self._backlog = count(*turn), backlog
        self._handlers = HANDLERS | (handlers or {})
        wanted = (lambda: True) if ticks else _grown(self.trace)
        self._tick = partial(tick, self.trace.append, "server", wanted, turn)
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
            record = self.trace.append
            make_room = partial(self.room_class, record, origin=self._origin, prefix=self.prefix)
            streams = Streams(record, self._numbers)
            make_doorway = partial(Doorway, make_room, self._handlers, streams, self._backlog)
            try:
                # A server whose last name is bound to another one, as when a cell runs twice, stops.
                self._finalizer = weakref.finalize(self, thread.stop)
                self._thread = thread  # last: now `stop` has all that it needs, should an interrupt come
                self._doorway = doorway = thread.start(_serve(self.log, make_doorway, self._tick))
                self.room, self.port, self._streams = doorway.room, doorway.port, doorway.streams
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
        if name in ("room", "port", "_streams", "_doorway"):  # which `start` makes
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
        within("publish(after_s=…)", after_s, 0, 3600)
        if not after_s:
            return self.thread.call(self.room.publish, text)
        self.thread.call(self._publish_after, after_s, text)
        return None

    def _publish_after(self, after_s: float, text: str) -> None:
        asyncio.get_running_loop().call_later(after_s, self.room.publish, text)

    def admit(self, *hosts: str) -> None:
        """Let in requests that name one of these hosts, and pages that came from there.

        Parameters
        ----------
        *hosts
            Each a name, or a name and port: those by which a proxy in front of the server is known, and
            the one by which it calls the server. With ``"*"`` everybody is let in who finds the port, without
            a token as well: for a lesson on strangers, whose handlers have to refuse them by themselves.
        """
        self.thread.call(self.room.admit, hosts)

    def enter(self, context: AbstractAsyncContextManager) -> Any:
        """Enter an asynchronous context in the server's loop, and return what that gives.

        It is left when the server stops; if that takes longer than `lpws.server.doorway.LEAVE_S`, `stop`
        says so in a `TimeoutError`, and the rest ends all the same.

        Parameters
        ----------
        context
            Such as the connection to a broker that all of the server's handlers use.

        Raises
        ------
        TypeError
            If it is none.
        RuntimeError
            If called from the loop's own thread, as a handler is, which would wait for itself.
        """
        if not isinstance(context, AbstractAsyncContextManager):
            expected = "what `async with` takes, as a function with @asynccontextmanager returns it"
            raise TypeError(f"enter: expected {expected}, got {context!r:.100}")
        return self.thread.run(self._doorway.enter, context)

    def in_doubt(self) -> tuple[int, int] | None:
        """Segments that the clients' kernels have not acknowledged, and segments sent again.

        Returns
        -------
        tuple or None
            Both summed over the open connections; None where the system does not tell.
        """
        books = self.thread.call(lambda: [in_doubt(stream.socket) for stream in self._streams])
        return None if None in books else (sum(now for now, _ in books), sum(again for _, again in books))

    def drop(self, hangs_s: float = 0.0) -> int:
        """Close every open connection, as a failing network does, and return how many.

        Parameters
        ----------
        hangs_s
            How long [s] the loop stands still thereafter, so that whoever knocks has to wait.
        """
        return self.thread.call(self._doorway.drop, hangs_s)

    def crash(self) -> int:
        """Go away as a process that is killed, and return how many connections that ends.

        Every connection ends without a goodbye, and new ones are refused. The messages are kept, as by a
        database; `come_back` ends it.
        """
        return self.thread.call(self._doorway.crash)

    def drain(self, jitter_s: float = 0.0) -> None:
        """Say goodbye to everybody, as before a restart; `come_back` ends it.

        New connections are refused. Held requests are answered, with ``Connection: close``; event streams
        end, and WebSockets are closed with 1012. A connection on which nobody waits stays until its next
        answer. A stream that is asked for on such a connection is refused with 503.

        What a plain handler holds, and its event streams, go on: Tornado has no way to end a handler from
        outside, and whoever finished its answer would speak in its name, and make it fail with its own. It
        can look at ``room.draining``, a flag; the end of its answer ends its connection; and `come_back` ends
        what is left, as every drain has to in the end.

        Parameters
        ----------
        jitter_s
            The time [s] over which the goodbyes are spread, each at a random moment.
        """
        self.thread.call(self._doorway.drain, jitter_s)

    def come_back(self) -> None:
        """Listen again, at the same port, after `crash` or `drain`; harmless if it listens.

        Raises
        ------
        OSError
            If somebody else has the port by now.
        """
        self.thread.call(self._doorway.come_back)

    def plan(self, outage: Outage, start: float) -> None:
        """Let an outage come at its time.

        Parameters
        ----------
        outage
            The outage; its `server` is not looked at.
        start
            The moment [s], on `lpws.clock`, from which its times count.
        """
        self.thread.call(self._doorway.plan, outage, start)


def _grown(trace: list[tuple]) -> Callable[[], bool]:
    """A function that is true if something was recorded since the last tick; it forgets old events."""

    def grown() -> bool:
        if (over := len(trace) - MOST_EVENTS) > 0:
            del trace[: over + MOST_EVENTS // 4]
        return bool(trace) and trace[-1][1:3] != ("ticked", "server")

    return grown


@asynccontextmanager
async def _serve(
    log: deque[str], make_doorway: Callable[[], Doorway], ticks: Callable[[], Coroutine]
) -> AsyncIterator[Doorway]:
    """The way into a server that serves inside this context.

    It is no method, so that the thread does not keep the `Server` alive.
    """
    with quiet(log, GONE):
        doorway = make_doorway()
        ticking = asyncio.create_task(ticks())
        try:
            yield doorway
        finally:
            ticking.cancel()
            await _end(doorway)


async def _end(doorway: Doorway) -> None:
    """Leave nothing open, and nobody without an answer."""
    doorway.http.stop()  # who knocks is refused
    doorway.room.close()
    # Fifty turns of the loop: handlers that were woken answer, clients answer a Close frame.
    for _ in range(50):
        if not doorway.room.busy:
            break
        await asyncio.sleep(0.001)
    for stream in list(doorway.streams):
        stream.close()
    try:
        await doorway.beside.aclose()
    finally:
        await doorway.http.close_all_connections()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=0.1)
