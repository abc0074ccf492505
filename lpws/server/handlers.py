"""Tornado's part of the server halves: how they read a request, answer it and record what they do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn

from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from .. import specs
from ..decisions import Message
from ..trace import NONE, clock
from ..transports import longpolling, reload, shortpolling, sse, websocket
from ..transports.broadcast import StreamHandler
from ..transports.room import Room
from ..wire import sizes, to_lines

#: The largest number that a client or a request may have: the largest that a browser counts to.
MOST = 2**53 - 1


class RoomHandler(RequestHandler):
    """A handler that knows its room and records what it does."""

    # Side by side in memory: a broadcast looks at them in thousands of handlers.
    __slots__ = ("room", "stream", "client", "connection", "number", "broadcast")

    def initialize(self, room: Room) -> None:
        self.room = room
        self.client = self.number = self.connection = NONE

    def prepare(self) -> None:
        self.stream = self.request.connection.stream
        self.connection = self.stream.number
        try:
            self.number = self.whole("request", NONE, MOST)
            self.client = self.whole("client", NONE, MOST)
        finally:
            self.record("request_received")
            self.room.count(self.room.arrived, self.client)
        if self.room.draining and isinstance(self, StreamHandler):
            self.refuse(503, "Restarting")  # it would have to end at once

    def record(self, name: str, message: int = NONE, size: int = NONE) -> None:
        """Append an event of this request."""
        self.room.record((clock(), name, "server", self.client, self.connection, self.number, message, size))

    def whole(self, name: str, default: int | None, most: int) -> int | None:
        """An argument of the request, the default if it is missing; 400 if it is not in 0 … most."""
        return self._number(int, name, self.get_query_argument(name, None), default, most)

    def seconds(self, name: str, most: float) -> float:
        """An argument of the request in seconds, 0 if it is missing; 400 if it is not in [0, most]."""
        return self._number(float, name, self.get_query_argument(name, None), 0.0, most)

    def cursor(self) -> int | None:
        """The cursor of the request, None if it has none; 400 if no client can have it."""
        # A browser that lost its stream names the last id that it saw (HTML standard §9.2.4).
        value = self.request.headers.get("Last-Event-ID") or self.get_query_argument("cursor", None)
        mailbox = self.room.mailbox
        return self._number(int, "cursor", value, None, mailbox.last if mailbox.alone else MOST)

    def answer(self, messages: list[Message]) -> None:
        """Answer the request with the messages; 204 if there are none. It ends when its method does."""
        if self.stream.closed():
            return  # the client has gone: nothing is sent, and the trace must not say so
        body = to_lines(messages)
        self._say_goodbye()
        self.set_header("Cache-Control", "no-store")  # RFC 6202 §5.6
        if messages:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.write(body)
        else:
            self.set_status(HTTPStatus.NO_CONTENT)
        for id, size in sizes(messages):
            self.record("message_sent", id, size)
        self.record("response_sent", size=len(body))
        if messages and self.room.released:  # it steps back for them, and its client shall not wait
            self.set_header("Content-Length", str(len(body)))
            self.flush()

    def refuse(self, status: int, reason: str) -> NoReturn:
        """Answer the request with this status instead."""
        raise HTTPError(status, reason=reason)

    def compute_etag(self) -> None:
        """No ETag: an answer is never asked for again."""

    def write_error(self, status_code: int, **_: object) -> None:
        body = f"{status_code} {self._reason}\n"
        self._say_goodbye()
        if self.connection != NONE:  # else the request was refused before `prepare` recorded it
            self.record("response_sent", size=len(body))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(body)

    def _say_goodbye(self) -> None:
        if self.room.draining:
            self.set_header("Connection", "close")  # RFC 9112 §9.6: the last answer on this connection

    def _number(self, kind: type, name: str, value: str | None, default: float | None, most: float) -> Any:
        try:
            number = default if value is None else kind(value)
        except ValueError:
            number = -1
        if value is not None and not 0 <= number <= most:  # NaN is not
            whole = "whole " if kind is int else ""
            self.refuse(400, f"Expected {name} to be a {whole}number from 0 to {most}")
        return number


class Refused(RoomHandler):
    """The answer to a stranger."""

    def prepare(self) -> None:
        self.room.count(self.room.strangers, self.request.connection.stream.number)
        raise HTTPError(403, reason=self.room.refusal(self.request))


class Preflight(RoomHandler):
    """The answer to a page of the other origin that asks what it may do (Fetch standard §4.8)."""

    def options(self) -> None:
        self.set_header("Access-Control-Allow-Methods", "GET, POST")
        self.set_header("Access-Control-Allow-Headers", "Content-Type")
        self.set_status(HTTPStatus.NO_CONTENT)
        self.record("response_sent", size=0)


class NotFound(RoomHandler):
    """The answer to a path that leads nowhere."""

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)


# Each transport's own half stands in `lpws.transports`, beside its client; here it meets Tornado.


class Reload(reload.Handler, RoomHandler):
    """Plain request/response."""


class ShortPolling(shortpolling.Handler, RoomHandler):
    """Short polling."""


class LongPolling(longpolling.Handler, RoomHandler):
    """Long polling."""


class SSE(sse.Handler, RoomHandler):
    """Server-Sent Events."""


class WebSocket(websocket.Handler, RoomHandler, WebSocketHandler):
    """WebSocket."""


#: Path → the handler of the transport that has it.
HANDLERS: dict[str, type[RoomHandler]] = {
    specs.Reload.path: Reload,
    specs.ShortPolling.path: ShortPolling,
    specs.LongPolling.path: LongPolling,
    specs.SSE.path: SSE,
    specs.WebSocket.path: WebSocket,
}
