"""Recording clients: one HTTP/1.1 connection, one WebSocket, and the client that owns them.

They are light, so that the machine is left to what is measured: httptools and picows read the
wire, and an event is appended for each thing that happens.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httptools
import picows

from .mailbox import Message, from_lines, to_lines
from .specs import Transport, Workload
from .trace import NONE, clock


class Gone(ConnectionError):
    """The connection ended before the answer was complete."""


@dataclass(slots=True)
class Response:
    """An answer: status, body, its bytes on the wire, and when it was complete."""

    status: int
    body: bytes
    size_bytes: int
    t: float


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; one request at a time."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.number = next(client.fleet.connections)
        self.open = False
        self.wanted = True  # whether somebody still waits for it
        self.answer: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self.gone = self.client.fleet.loop.create_future()
        self.open = self.wanted
        self.client.opened(self.number)
        if not self.wanted:
            transport.abort()

    async def get(
        self,
        query: str,
        request: int,
        *,
        close: bool = False,
        headers: str = "",
        sink: Callable[[bytes], None] | None = None,
    ) -> Response:
        """The answer to a request.

        Parameters
        ----------
        query
            What stands behind the path of the transport, after ``client`` and ``request``.
        request
            Number of the request, for the trace.
        close
            Whether to ask that the connection be closed after the answer.
        headers
            Further header lines, each with its line end.
        sink
            Called with each piece of the body as it arrives, which is then not gathered.

        Raises
        ------
        Gone
            If the connection ended first.
        """
        client = self.client
        if close:
            headers += "Connection: close\r\n"
        data = (
            f"GET {client.transport.path}?client={client.number}&request={request}{query} HTTP/1.1\r\n"
            f"Host: {client.fleet.host}\r\n{headers}\r\n"
        ).encode()
        self.body: list[bytes] = []
        self.sink = sink or self.body.append
        self.size_bytes = 0
        self.answer = client.fleet.loop.create_future()
        client.record("request_sent", self.number, request, size=len(data))
        self.transport.write(data)
        response = await self.answer
        client.record("response_received", self.number, request, size=response.size_bytes, t=response.t)
        if close:
            self.close()
            await self.gone  # so that the next connection does not begin before this one ends
        return response

    def data_received(self, data: bytes) -> None:
        self.size_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(Gone(f"expected an HTTP response, got {data[:40]!r} ({error})"))
            self.close()

    # httptools calls the next two.

    def on_body(self, data: bytes) -> None:
        try:
            self.sink(data)
        except ValueError as error:
            self.client.fleet.fail(error)

    def on_message_complete(self) -> None:
        if self.answer is not None and not self.answer.done():
            status = self.parser.get_status_code()
            self.answer.set_result(Response(status, b"".join(self.body), self.size_bytes, clock()))

    def eof_received(self) -> None:
        """Let the transport close; a body without a length would end here, and ours all have one."""

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self.client.closed(self.number)
        if not self.gone.done():  # whoever waits may have been cancelled
            self.gone.set_result(None)
        self.fail(Gone("the connection ended before the answer was complete"))

    def fail(self, error: Exception) -> None:
        """Hand the error to whoever waits for an answer."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)

    def close(self) -> None:
        """Close the connection after what was sent; nothing more can be asked on it."""
        self.open = False
        self.transport.close()


class Socket(picows.WSListener):
    """One WebSocket connection that hands on the lines it receives."""

    def __init__(self, client: Client, number: int, request: int) -> None:
        self.client, self.number, self.request = client, number, request

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.TEXT:
            try:
                self.client.read(frame.get_payload_as_bytes(), self.number, self.request, clock())
            except ValueError as error:
                self.client.fleet.fail(error)
        elif kind is picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, _transport: picows.WSTransport) -> None:
        self.client.closed(self.number)


@dataclass
class Client:
    """One client of a fleet: its cursor, its connections, and what it records.

    The client halves of the transports are written in terms of its methods.
    """

    fleet: Fleet
    number: int
    cursor: int = 0
    asking: bool = False  # whether it waits for an answer
    http: Connection | None = None
    websocket: picows.WSTransport | None = None

    @property
    def transport(self) -> Transport:
        """What it is to do."""
        return self.fleet.transport

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
        """Record the messages of an answer or a frame.

        Raises
        ------
        ValueError
            If it does not hold messages, one a line.
        """
        try:
            messages = from_lines(body)
        except ValueError:
            messages = []
        if body and not (messages and body.endswith(b"\n")):
            example = to_lines([Message(7, "tea is ready")])
            raise ValueError(f"expected lines like {example!r}, got {body[:60]!r}")
        self.received(messages, connection, request, t)

    def received(self, messages: Iterable[Message], connection: int, request: int, t: float) -> None:
        """Record the messages and move the cursor past them.

        Raises
        ------
        ValueError
            If a message has no id.
        """
        for message in messages:
            if message.id < 1:
                raise ValueError(f"expected message ids from 1, got {message.id} with {message.text[:60]!r}")
            self.record("message_received", connection, request, message.id, len(message.text.encode()), t)
            self.cursor = message.id
        if self.cursor == self.fleet.last:
            self.fleet.has_last(self.number)

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
        """Sleep until the clock shows `t` [s]."""
        await asyncio.sleep(t - clock())

    async def connect(self) -> Connection:
        """An open connection: the present one, or a new one."""
        if self.http is None or not self.http.open:
            self.http = http = Connection(self)
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
            async with asyncio.timeout(timeout_s + self.fleet.grace_s):
                http = await self.connect()
                connection = http.number
                response = await http.get(query, request, close=close)
        except (OSError, TimeoutError):
            self.drop()
        else:
            status = response.status
            if status in (200, 204):
                self.read(response.body, connection, request, response.t)
                return True
        finally:
            self.asking = False
        self.record("failed", connection, request, size=max(status, 0))
        return False

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
        host, port = self.fleet.address
        self.record("opening", number)
        stream = socket.socket()
        try:
            stream.setblocking(False)
            await self.fleet.loop.sock_connect(stream, self.fleet.address)
            self.opened(number)
            self.record("request_sent", number, request, size=0)
            websocket, _ = await picows.ws_connect(
                lambda: Socket(self, number, request),
                f"ws://{host}:{port}{self.transport.path}?client={self.number}&request={request}{query}",
                extra_headers={"Host": self.fleet.host},
                websocket_handshake_timeout=5 + self.fleet.grace_s,
                socket_factory=lambda _url: stream,
            )
        except BaseException as error:
            stream.close()
            self.closed(number)
            if isinstance(error, Exception):  # not when the run is over
                response = getattr(error, "response", None)
                self.record("failed", number, request, size=int(response.status) if response else 0)
            raise
        self.record("response_received", number, request, size=0)
        self.websocket = websocket
        return websocket

    def close(self) -> None:
        """Close what is open, after what was sent."""
        if self.http is not None and self.http.open:
            self.http.close()
        if self.websocket is not None and not self.websocket.is_disconnected:
            self.websocket.send_close(picows.WSCloseCode.OK)
            self.websocket.disconnect()


@dataclass
class Fleet:
    """What the clients of one run share: where the server is, the counters, the record.

    Parameters
    ----------
    transport, workload
        What every client is to do.
    address
        Where to connect: the server, or the link that leads to it.
    host
        The server's own name and port, for the ``Host`` header.
    grace_s
        How long a few transits may take [s].
    record
        Takes an event.
    """

    transport: Transport
    workload: Workload
    address: tuple[str, int]
    host: str
    grace_s: float
    record: Callable[[tuple], None]
    last: int | None = None  # id of the last message of the run, once it is known
    connections: itertools.count = field(default_factory=itertools.count)
    requests: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.start: asyncio.Future[float] = self.loop.create_future()
        self.unready = set(range(self.workload.clients))  # who is not connected yet
        self.ready = asyncio.Event()
        self.behind = set(range(self.workload.clients))  # who does not have the last message
        self.finished = asyncio.Event()
        self.broken = self.loop.create_future()  # raises what must end the run
        self.opening: set[asyncio.Task] = set()  # connections that are being made
        self.open: set[int] = set()  # connections
        self.clients = [Client(self, number) for number in range(self.workload.clients)]

    def fail(self, error: Exception) -> None:
        """End the run with this error."""
        if not self.broken.done():
            self.broken.set_exception(error)

    def announce_last(self, message: int) -> None:
        """Take note of the id of the last message of the run."""
        self.last = message
        for client in self.clients:
            if client.cursor >= message:
                self.has_last(client.number)

    def has_last(self, client: int) -> None:
        """Note that a client has the last message of the run."""
        self.behind.discard(client)
        if not self.behind:
            self.finished.set()
