"""Any Tornado handler, recorded around it: what it is asked and what it says, read where it says it.

A handler that knows nothing of the laboratory calls `write`, `flush`, `finish` or `write_message`. The
class that is served in its place hands all of that on unchanged, and notes it in the trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from tornado.escape import utf8
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import OutputTransform, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..decisions import Message
from ..trace import NONE, clock
from ..transports.room import Room
from ..transports.sse import Parser
from ..wire import ids_and_sizes, sizes
from .handlers import MOST, RoomHandler


def entry(path: str, kind: type[RequestHandler], room: Room) -> tuple:
    """Entry of a handler in Tornado's application: path, class, arguments of `initialize`."""
    if issubclass(kind, RoomHandler):  # it records by itself
        return path, kind, {"room": room}
    base = RecordedSocket if issubclass(kind, WebSocketHandler) else Recorded
    recorded = type(kind.__name__, (base, kind), {"recorded_in": room, "__doc__": kind.__doc__})
    taken = inspect.signature(kind.initialize).parameters.values()
    takes_room = any(one.name == "room" or one.kind is inspect.Parameter.VAR_KEYWORD for one in taken)
    return path, recorded, {"room": room} if takes_room else {}


class Record:
    """The events of one request."""

    def __init__(self, room: Room, request: HTTPServerRequest) -> None:
        self.room, self.stream = room, request.connection.stream
        self.client, self.number = (_number(request, name) for name in ("client", "request"))
        self.append("request_received")
        room.count(room.arrived, self.client)

    def append(self, name: str, message: int = NONE, size: int = NONE, t: float | None = None) -> None:
        """Append an event, now or at `t`."""
        t = clock() if t is None else t
        connection = self.stream.number
        self.room.record((t, name, "server", self.client, connection, self.number, message, size))

    def sent(self, messages: Iterable[tuple[int, int]], t: float | None = None) -> None:
        """Append messages, each an id and a size [bytes]; none once the client has gone."""
        if not self.stream.closed():
            for id, size in messages:
                self.append("message_sent", id, size, t)

    def answered(self, size: int) -> None:
        """Append the end of an answer, unless the client has gone."""
        if not self.stream.closed():
            self.append("response_sent", size=size)


def _number(request: HTTPServerRequest, name: str) -> int:
    """A whole number of the query; NONE if it is missing or none that a client of the fleet can have."""
    try:
        number = int(request.query_arguments[name][-1])
    except (KeyError, ValueError):
        return NONE
    return number if 0 <= number <= MOST else NONE


class Recorded(RequestHandler):
    """Stands before a reader's handler: what it is asked. What it says, `Response` reads."""

    recorded_in: Room

    def initialize(self, **given: Any) -> None:
        self.request.record = Record(self.recorded_in, self.request)
        super().initialize(**given)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        # To write to a client that has just gone is no mistake of the handler's.
        if not isinstance(error, StreamClosedError | WebSocketClosedError):
            super().log_exception(kind, error, trace)

    def send_error(self, status_code: int = 500, **details: Any) -> None:
        if not self.request.record.stream.closed():  # else nobody is left to be told
            super().send_error(status_code, **details)


class RecordedSocket(Recorded):
    """The same for WebSockets, which go past every `Response` once they are open."""

    def open(self, *given: Any, **named: Any) -> Any:
        self.recorded_in.goodbyes.add(self._going_away)
        return super().open(*given, **named)

    def on_close(self) -> None:
        self.recorded_in.goodbyes.discard(self._going_away)
        super().on_close()

    def _going_away(self) -> None:
        # Not `self.close`, which a reader may have written anew.
        WebSocketHandler.close(self, 1012 if self.recorded_in.draining else 1001)  # as `WebSocket.end` does

    def write_message(self, message: Any, binary: bool = False) -> Any:
        t = clock()  # before it leaves
        written = super().write_message(message, binary)  # raises if nothing can be sent any more
        if isinstance(message, str | bytes) and not binary:  # of binary frames the clients hear nothing
            self.request.record.sent(_lines(utf8(message)), t)
        return written


class Response(OutputTransform):
    """The answer of a recorded handler, read as it leaves; of others, nothing is read."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self.record: Record | None = getattr(request, "record", None)
        self.size = 0
        self.rest = b""
        self.parser: Parser | None = None
        self.good = False  # whether it can hold messages

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        if self.record:
            if self.record.room.draining and status_code != 101:
                headers["Connection"] = "close"
            self.good = status_code == 200
            if headers.get("Content-Type", "").startswith("text/event-stream"):
                self.parser = Parser(self.event)
            self.read(chunk, finishing)
        return status_code, headers, chunk

    def transform_chunk(self, chunk: bytes, finishing: bool) -> bytes:
        if self.record:
            self.read(chunk, finishing)
        return chunk

    def read(self, chunk: bytes, finishing: bool) -> None:
        """Record the messages that a piece of the body completes, and the end of the answer."""
        self.size += len(chunk)
        if self.good and self.parser:
            self.parser.feed(chunk)
        elif self.good:
            whole, end, self.rest = (self.rest + chunk).rpartition(b"\n")
            self.record.sent(_lines(whole + end + (self.rest if finishing else b"")))
        if finishing:
            self.record.answered(self.size)

    def event(self, id: int, text: str) -> None:
        """Record an event of a stream."""
        if id > 0:
            self.record.sent(sizes([Message(id, text)]))


def _lines(body: bytes) -> Iterable[tuple[int, int]]:
    """Ids and sizes of the messages in lines; none if they are something else, as the client will say."""
    try:
        return ids_and_sizes(body)
    except ValueError:
        return ()
