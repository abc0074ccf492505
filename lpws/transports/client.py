"""A client: its cursor, its connections, and what it records."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import picows

from ..specs import Transport
from ..trace import NONE, clock
from ..wire import ids_and_sizes
from .connection import Connection, Socket, StreamConnection
from .session import Session


@dataclass
class Client:
    """One client: its cursor, its connections, and what it records.

    The client halves of the transports are written in terms of its methods.
    """

    session: Session
    number: int
    cursor: int = 0
    asking: bool = False  # whether it waits for an answer
    http: Connection | None = None
    websocket: picows.WSTransport | None = None
    draw: random.Random | None = None  # of the waits
    waits: Iterator[float] | None = None  # the rest of those in a row of tries

    @property
    def transport(self) -> Transport:
        """The transport that it uses."""
        return self.session.transport

    @property
    def seed(self) -> int:
        """Seed of every random choice of the run."""
        return self.session.seed

    def record(
        self, name: str, connection: int = NONE, request: int = NONE, size: int = NONE, t: float | None = None
    ) -> None:
        """Append an event, now or at `t`."""
        t = clock() if t is None else t
        self.session.record((t, name, "client", self.number, connection, request, NONE, size))

    def read(self, body: bytes, connection: int, request: int, t: float) -> None:
        """Record the messages of an answer, or of frames, and move the cursor past them.

        Raises
        ------
        ValueError
            If it does not hold messages with ids from 1, one per line.
        """
        self.received(ids_and_sizes(body), connection, request, t)

    def received(self, messages: Iterable[tuple[int, int]], connection: int, request: int, t: float) -> None:
        """Record messages, each an id and a size [bytes], and move the cursor past them."""
        # Performance: recorded here, where the plain version would call `self.record`: a burst of messages
        # costs the fleet this loop and little else.
        record, client = self.session.record, self.number
        for message, size in messages:
            record((t, "message_received", "client", client, connection, request, message, size))
            self.cursor = message
        if self.cursor == self.session.last:
            self.session.has_last(client)

    def opened(self, connection: int) -> None:
        """Record that a connection is open."""
        self.session.open.add(connection)
        self.record("opened", connection)

    def closed(self, connection: int) -> None:
        """Record that a connection is closed, once."""
        if connection in self.session.open:
            self.session.open.discard(connection)
            self.record("closed", connection)

    def ready(self) -> None:
        """Say that it is connected as far as it will be before the first message, or connected again."""
        self.waits = None
        self.session.unready.discard(self.number)
        if not self.session.unready:
            self.session.ready.set()

    async def started(self) -> float:
        """The start of the run [s], once it has been announced."""
        return await asyncio.shield(self.session.start)

    async def sleep_until(self, t: float) -> None:
        """Sleep until the clock shows `t` [s]; return at once, without a turn of the loop, if it is past."""
        if (rest_s := t - clock()) > 0:
            await asyncio.sleep(rest_s)

    async def connect(self, *, streams: bool = False) -> Connection:
        """Connect unless it is connected; return the connection.

        With `streams` the client is ready as soon as the head of a good answer has come.
        """
        if self.http is None or not self.http.open:
            session = self.session
            said = (session.record, self.opened, self.closed, session.fail)
            given = (next(session.connections), self.number, session.question, session.host, *said)
            http = StreamConnection(*given, begun=self.ready) if streams else Connection(*given)
            self.http = http
            self.record("opening", http.number)
            opening = session.begin(session.loop.create_connection(lambda: http, *session.address))
            try:
                # Shielded, since the server may have accepted it already: it is opened, and then closed.
                await asyncio.shield(opening)
            except asyncio.CancelledError:
                http.wanted = False
                raise
        return self.http

    async def connect_early(self) -> None:
        """Connect before the first request, unless each request has a connection of its own."""
        if self.transport.keep_alive:
            with suppress(OSError):  # the first request tries again
                await self.connect()

    async def ask(
        self, query: str = "", *, due: float | None = None, close: bool = False, timeout_s: float = 10.0
    ) -> bool:
        """Send a request and record the messages of its answer; return whether it was answered.

        Parameters
        ----------
        query
            Further arguments of the request, each with its ``&``.
        due
            Intended time [s] of the request, for transports that ask at intended times.
        close
            Whether the connection is to serve this request only.
        timeout_s
            Time [s] that the server may take for the answer; the session's `grace_s` comes on top.

        Raises
        ------
        ValueError
            If the answer does not hold messages.
        """
        request = next(self.session.requests)
        if due is not None:
            self.record("due", request=request, t=due)
        connection = status = NONE
        self.asking = True
        try:
            http, until_s = self.http, clock() + timeout_s + self.session.grace_s
            if http is None or not http.open:
                async with asyncio.timeout(timeout_s + self.session.grace_s):
                    http = await self.connect()
            connection = http.number
            response = await http.get(query, request, until_s=until_s, close=close)
        except (OSError, TimeoutError):
            self.drop()
        else:
            status = response.status
            if status in (200, 204):
                self.waits = None
                if response.body:
                    self.read(response.body, connection, request, response.t)
                return True
        finally:
            self.asking = False
        self.record("failed", connection, request, size=max(status, 0))
        return False

    async def pause(self, own_s: float) -> None:
        """Sleep before another try: as long as the session's backoff says, or else `own_s` [s]."""
        if self.session.reconnect is not None:
            if self.waits is None:
                self.draw = self.draw or random.Random(f"backoff {self.seed} {self.number}")
                self.waits = self.session.reconnect.waits_s(self.draw)
            own_s = next(self.waits)
        await asyncio.sleep(own_s)

    def refused(self, status: int) -> None:
        """End the run if the start barrier waits for the stream that this answer refuses."""
        if status and not (self.session.start.done() or self.session.proxied):
            path = self.session.transport.path
            self.session.fail(ConnectionError(f"expected {path} to let the clients in, it answered {status}"))

    def drop(self) -> None:
        """Abort the present connection, if any: an answer that it may still bring is too late."""
        if self.http is not None and self.http.open:
            self.http.open = False
            self.http.transport.abort()

    async def upgrade(self, query: str) -> picows.WSTransport:
        """Open a WebSocket whose messages are recorded, and return it.

        Raises
        ------
        OSError
            If there is no connection, or the server refuses the handshake.
        """
        request = next(self.session.requests)
        number = next(self.session.connections)
        self.record("opening", number)
        opening = self.session.begin(self._shake_hands(number, request, query))
        try:
            # Shielded: a socket that is closed while it connects stays registered with the loop.
            self.websocket = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the run is over
            opening.add_done_callback(_hang_up)
            raise
        except Exception as error:
            response = getattr(error, "response", None)
            status = int(response.status) if response else 0
            self.record("failed", number, request, size=status)
            self.refused(status)
            if isinstance(error, picows.WSError):
                raise ConnectionError(f"expected {self.session.path} to open a WebSocket: {error}") from error
            raise
        self.record("response_received", number, request, size=0)
        return self.websocket

    async def _shake_hands(self, number: int, request: int, query: str) -> picows.WSTransport:
        host, port = self.session.address
        stream = socket.socket()
        try:
            stream.setblocking(False)
            await self.session.loop.sock_connect(stream, (host, port))
            self.opened(number)
            self.record("request_sent", number, request, size=0)
            websocket, _ = await picows.ws_connect(
                lambda: Socket(number, request, self.read, self.closed, self.session.fail),
                f"ws://{host}:{port}{self.session.question}client={self.number}&request={request}{query}",
                extra_headers={"Host": self.session.host},
                websocket_handshake_timeout=5 + self.session.grace_s,
                enable_auto_pong=False,  # the socket is to see every frame
                use_aiofastnet=False,  # 1.2 on uvloop does not tell of a reset right behind data
                socket_factory=lambda _url: stream,
            )
            if websocket.response is None:  # picows does not raise if the connection ends instead
                raise ConnectionError("the connection ended before the WebSocket was open")
        except BaseException:
            stream.close()
            self.closed(number)
            raise
        return websocket

    def close(self) -> None:
        """Close the open connection, after the data that was sent."""
        if self.http is not None and self.http.open:
            self.http.close()
        if self.websocket is not None and not self.websocket.is_disconnected:
            self.websocket.send_close(picows.WSCloseCode.OK)
            self.websocket.disconnect()


def _hang_up(handshake: asyncio.Task) -> None:
    """Close the WebSocket of a handshake for which nobody waits any more."""
    if not handshake.cancelled() and handshake.exception() is None:
        handshake.result().disconnect()
