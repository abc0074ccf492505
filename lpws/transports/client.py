"""A client of a fleet: its cursor, its connections and what it records."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import picows

from ..specs import Transport
from ..trace import NONE, clock
from ..wire import ids_and_sizes
from .connection import Connection, Socket


@dataclass
class Client:
    """One client of a fleet: its cursor, its connections, and what it records.

    The client halves of the transports are written in terms of its methods.
    """

    fleet: Any  # the `lpws.fleet.fleet.Fleet` that it belongs to
    number: int
    cursor: int = 0
    asking: bool = False  # whether it waits for an answer
    http: Connection | None = None
    websocket: picows.WSTransport | None = None

    @property
    def transport(self) -> Transport:
        """What it is to do."""
        return self.fleet.transport

    @property
    def seed(self) -> int:
        """Of every random choice of the run."""
        return self.fleet.workload.seed

    def record(
        self,
        name: str,
        connection: int = NONE,
        request: int = NONE,
        message: int = NONE,
        size: int = NONE,
        t: float | None = None,
    ) -> None:
        """Append an event, now or at `t`."""
        t = clock() if t is None else t
        self.fleet.record((t, name, "client", self.number, connection, request, message, size))

    def read(self, body: bytes, connection: int, request: int, t: float) -> None:
        """Record the messages of an answer, or of frames, and move the cursor past them.

        Raises
        ------
        ValueError
            If it does not hold messages with ids from 1, one a line.
        """
        self.received(ids_and_sizes(body), connection, request, t)

    def received(self, messages: Iterable[tuple[int, int]], connection: int, request: int, t: float) -> None:
        """Record messages, each an id and a size [bytes], and move the cursor past them."""
        record, client = self.fleet.record, self.number  # at once: this loop is what a burst costs
        for message, size in messages:
            record((t, "message_received", "client", client, connection, request, message, size))
            self.cursor = message
        if self.cursor == self.fleet.last:
            self.fleet.has_last(client)

    def opened(self, connection: int) -> None:
        """Record that a connection is open."""
        self.fleet.open.add(connection)
        self.record("opened", connection)

    def closed(self, connection: int) -> None:
        """Record that a connection is closed, once."""
        if connection in self.fleet.open:
            self.fleet.open.discard(connection)
            self.record("closed", connection)

    def ready(self) -> None:
        """Say that it is connected as far as it will be before the first message."""
        self.fleet.unready.discard(self.number)
        if not self.fleet.unready:
            self.fleet.ready.set()

    async def started(self) -> float:
        """The start of the run [s], once it has been announced."""
        return await asyncio.shield(self.fleet.start)

    async def sleep_until(self, t: float) -> None:
        """Sleep until the clock shows `t` [s]; what is late already is not delayed by a turn of the loop."""
        if (rest_s := t - clock()) > 0:
            await asyncio.sleep(rest_s)

    async def connect(self, kind: type[Connection] = Connection) -> Connection:
        """An open connection: the present one, or a new one of this kind."""
        if self.http is None or not self.http.open:
            self.http = http = kind(self)
            self.record("opening", http.number)
            loop, opening = self.fleet.loop, self.fleet.opening
            task = loop.create_task(loop.create_connection(lambda: http, *self.fleet.address))
            opening.add(task)
            task.add_done_callback(opening.discard)
            try:
                # Shielded, since the server may know of it already: it is opened, and then closed.
                await asyncio.shield(task)
            except asyncio.CancelledError:
                http.wanted = False
                raise
        return self.http

    async def ask(
        self, query: str = "", *, due: float | None = None, close: bool = False, timeout_s: float = 10.0
    ) -> bool:
        """Whether a request was answered; its messages are recorded.

        Parameters
        ----------
        query
            Further arguments of the request, each with its ``&``.
        due
            When the request should be sent [s], if it is sent at intended times.
        close
            Whether the connection is to serve this request only.
        timeout_s
            How long the server may take for the answer [s]; the way there and back comes on top.

        Raises
        ------
        ValueError
            If the answer does not hold messages.
        """
        request = next(self.fleet.requests)
        if due is not None:
            self.record("due", request=request, t=due)
        connection = status = NONE
        self.asking = True
        try:
            http, until_s = self.http, clock() + timeout_s + self.fleet.grace_s
            if http is None or not http.open:
                async with asyncio.timeout(timeout_s + self.fleet.grace_s):
                    http = await self.connect()
            connection = http.number
            response = await http.get(query, request, until_s=until_s, close=close)
        except (OSError, TimeoutError):
            self.drop()
        else:
            status = response.status
            if status in (200, 204):
                if response.body:
                    self.read(response.body, connection, request, response.t)
                return True
        finally:
            self.asking = False
        self.record("failed", connection, request, size=max(status, 0))
        return False

    def refused(self, status: int) -> None:
        """Take note of an answer that opens no stream; before the start it ends the run, since all wait."""
        if status and not self.fleet.start.done():
            path = self.fleet.transport.path
            self.fleet.fail(ConnectionError(f"expected {path} to let the clients in, it answered {status}"))

    def drop(self) -> None:
        """Give up the present connection, if any: what it may still bring is too late."""
        if self.http is not None and self.http.open:
            self.http.open = False
            self.http.transport.abort()

    async def upgrade(self, query: str) -> picows.WSTransport:
        """An open WebSocket whose messages are recorded.

        Raises
        ------
        OSError, picows.WSError
            If there is no connection, or the server refuses the handshake.
        """
        request = next(self.fleet.requests)
        number = next(self.fleet.connections)
        self.record("opening", number)
        opening = self.fleet.opening
        task = self.fleet.loop.create_task(self._shake_hands(number, request, query))
        opening.add(task)
        task.add_done_callback(opening.discard)
        try:
            # Shielded: the loop does not forget a socket that is closed while it connects.
            self.websocket = await asyncio.shield(task)
        except asyncio.CancelledError:  # the run is over
            task.add_done_callback(_hang_up)
            raise
        except Exception as error:
            response = getattr(error, "response", None)
            status = int(response.status) if response else 0
            self.record("failed", number, request, size=status)
            self.refused(status)
            raise
        self.record("response_received", number, request, size=0)
        return self.websocket

    async def _shake_hands(self, number: int, request: int, query: str) -> picows.WSTransport:
        host, port = self.fleet.address
        stream = socket.socket()
        try:
            stream.setblocking(False)
            await self.fleet.loop.sock_connect(stream, self.fleet.address)
            self.opened(number)
            self.record("request_sent", number, request, size=0)
            websocket, _ = await picows.ws_connect(
                lambda: Socket(self, number, request),
                f"ws://{host}:{port}{self.fleet.question}client={self.number}&request={request}{query}",
                extra_headers={"Host": self.fleet.host},
                websocket_handshake_timeout=5 + self.fleet.grace_s,
                enable_auto_pong=False,  # the socket is to see every frame
                use_aiofastnet=False,  # 1.2 on uvloop does not tell of a reset right behind data
                socket_factory=lambda _url: stream,
            )
        except BaseException:
            stream.close()
            self.closed(number)
            raise
        return websocket

    def close(self) -> None:
        """Close what is open, after what was sent."""
        if self.http is not None and self.http.open:
            self.http.close()
        if self.websocket is not None and not self.websocket.is_disconnected:
            self.websocket.send_close(picows.WSCloseCode.OK)
            self.websocket.disconnect()


def _hang_up(handshake: asyncio.Task) -> None:
    """Close the WebSocket of a handshake for which nobody waits any more."""
    if not handshake.cancelled() and handshake.exception() is None:
        handshake.result().disconnect()
