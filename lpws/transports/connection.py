"""One HTTP/1.1 connection and one WebSocket that record what happens on them.

Performance: they stand in for an HTTP client like aiohttp's, and are light so that the processor is left to
the server that is measured. httptools and picows (both C) read the wire. The whole fleet may take 0.2 of a
core per 5,000 requests per second; `python3 run.py bench` shows what it takes here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
import picows

from ..trace import NONE, clock

TEXT, PING, CLOSE = picows.WSMsgType.TEXT, picows.WSMsgType.PING, picows.WSMsgType.CLOSE


class Gone(ConnectionError):
    """The connection ended before the answer was complete."""


@dataclass(slots=True)
class Response:
    """An answer: status, body, bytes on the wire, time of its end [s], and whether it is the last."""

    status: int
    body: bytes
    size_bytes: int
    t: float
    last: bool


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; one request at a time.

    Parameters
    ----------
    number, client
        Of the connection and of its client, for the trace.
    question
        Beginning of every request's target: the path, a ``?``, and the arguments that never change.
    host
        The server's own name and port.
    record
        Called with each event.
    opened, closed
        Called with the number when the connection is open, and when it is gone.
    fail
        Called with an error of a sink, which is the laboratory's own and no fault of the server.
    """

    def __init__(
        self,
        number: int,
        client: int,
        question: str,
        host: str,
        record: Callable[[tuple], None],
        opened: Callable[[int], None],
        closed: Callable[[int], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.number, self.client = number, client
        self.record, self.opened, self.closed, self.broken = record, opened, closed, fail
        # Performance: the parts of a request before its number and after its query never change.
        self.before = f"GET {question}client={client}&request="
        self.after = f" HTTP/1.1\r\nHost: {host}\r\n"
        self.open = False
        self.wanted = True  # whether somebody still waits for it
        self.answer: asyncio.Future[Response] | None = None
        self.until_s = math.inf  # when it gives up the answer
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self.loop = asyncio.get_running_loop()
        self.gone = self.loop.create_future()
        self.open = self.wanted
        self.opened(self.number)
        if not self.wanted:
            transport.abort()

    async def get(
        self,
        query: str,
        request: int,
        *,
        until_s: float = math.inf,
        close: bool = False,
        headers: str = "",
        sink: Callable[[bytes], None] | None = None,
    ) -> Response:
        """Send a request; return its answer.

        Parameters
        ----------
        query
            Arguments after ``client`` and ``request``, each with its ``&``.
        request
            Number of the request, for the trace.
        until_s
            Time [s] by which the answer must be complete.
        close
            Whether to ask that the connection be closed after the answer.
        headers
            Further header lines, each with its line end.
        sink
            Called with each piece of the body as it arrives; the answer's body is then empty.

        Raises
        ------
        Gone
            If the connection ended first.
        TimeoutError
            If the time was over first.
        """
        # Performance: every request of a run passes here, so its events are appended in place, where the
        # plain version would call `Client.record`.
        record, client, connection = self.record, self.client, self.number
        if not self.open:  # it has ended since it was opened, before whoever waited for it could go on
            raise Gone("the connection ended before the request was sent")
        if close:
            headers += "Connection: close\r\n"
        data = f"{self.before}{request}{query}{self.after}{headers}\r\n".encode()
        self.body: list[bytes] = []
        self.sink = sink or self.body.append
        self.size_bytes = 0
        self.answer, self.until_s = self.loop.create_future(), until_s
        if self.timer is None:
            self.watch()
        elif until_s < self.armed_s:  # an earlier limit than the timer is set to
            self.timer.cancel()
            self.watch()
        record((clock(), "request_sent", "client", client, connection, request, NONE, len(data)))
        self.transport.write(data)
        response = await self.answer
        t, size = response.t, response.size_bytes
        record((t, "response_received", "client", client, connection, request, NONE, size))
        if close or response.last:  # RFC 9112 §9.6: either side may end the connection after an answer
            self.close()
            await self.gone  # so that the next connection does not begin before this one ends
        return response

    def data_received(self, data: bytes) -> None:
        self.size_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:  # an error of ours, not of the server
            self.broken(error.__context__ or error)
        except httptools.HttpParserError as error:
            self.fail(Gone(f"expected an HTTP response, got {data[:40]!r} ({error})"))
            self.close()

    # httptools calls the next two.

    def on_body(self, data: bytes) -> None:
        try:
            self.sink(data)
        except Exception as error:
            self.broken(error)

    def on_message_complete(self) -> None:
        status, answer = self.parser.get_status_code(), self.answer
        if answer is not None and not answer.done():
            last = not self.parser.should_keep_alive()
            answer.set_result(Response(status, b"".join(self.body), self.size_bytes, clock(), last))
        elif answer is None or not (answer.cancelled() or answer.exception()):
            # Nobody has asked for it, nor given it up (RFC 9112 §9.2: it is no answer).
            self.record((clock(), "failed", "client", self.client, self.number, NONE, NONE, status))
            self.close()

    def eof_received(self) -> None:
        """Let the transport close. A body without a length would end here; ours all have a length."""

    def watch(self) -> None:
        """Give up the answer if its time is over; else set the timer for the rest.

        Performance: the plain version sets and cancels a timer per request, which took a quarter of the
        fleet's time. Here one timer per connection rings, finds a later limit, and is set again.
        """
        self.timer = None
        if self.answer.done() or self.until_s == math.inf:
            return
        if (rest_s := self.until_s - clock()) > 0:
            self.armed_s = self.until_s
            self.timer = self.loop.call_later(rest_s, self.watch)
        else:
            self.fail(TimeoutError("the time was over before the answer was complete"))

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        if self.timer is not None:
            self.timer.cancel()
        self.closed(self.number)
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


class StreamConnection(Connection):
    """A connection that calls `begun` as soon as the head of a good answer has come."""

    def __init__(self, *given: Any, begun: Callable[[], None]) -> None:
        super().__init__(*given)
        self.begun = begun

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() == 200:
            self.begun()


class Socket(picows.WSListener):
    """One WebSocket connection that hands on the lines it receives.

    Frames that were read together are handed on together, with the time at which they were read.

    Parameters
    ----------
    number, request
        Of the connection, and of the request that opened it.
    read
        Called with the lines of frames that came together, the two numbers, and the time [s].
    closed
        Called with the number when the connection is gone.
    fail
        Called with an error of `read`.
    """

    __slots__ = ("number", "request", "read", "closed", "fail", "payloads", "t")

    def __init__(
        self,
        number: int,
        request: int,
        read: Callable[[bytes, int, int, float], None],
        closed: Callable[[int], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.number, self.request = number, request
        self.read, self.closed, self.fail = read, closed, fail
        self.payloads: list[bytes] = []  # read and not yet handed on

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is TEXT:
            if not self.payloads:
                self.t = clock()
            payload = frame.get_payload_as_bytes()
            if payload and not payload.endswith(b"\n"):  # the end of a frame ends its last line
                payload += b"\n"
            self.payloads.append(payload)
        elif kind is PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()
        if frame.last_in_buffer:
            self.hand_on()

    def on_ws_disconnected(self, _transport: picows.WSTransport) -> None:
        self.hand_on()
        try:
            self.closed(self.number)
        except Exception as error:
            self.fail(error)

    def hand_on(self) -> None:
        """Hand on the payloads that have been read so far."""
        payloads, self.payloads = self.payloads, []
        if payloads:
            try:
                self.read(b"".join(payloads), self.number, self.request, self.t)
            except Exception as error:  # picows would drop the connection, and say nothing
                self.fail(error)
