"""The room that every handler shares, and what every handler has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from tornado.web import HTTPError, RequestHandler

from ..mailbox import Mailbox, Message, to_lines
from ..trace import NONE, clock


class Room:
    """A mailbox with people around it: requests that are held, and followers who get every message.

    Parameters
    ----------
    record
        Takes an event.
    hosts
        The values of ``Host`` that a request may have.
    origin
        The one other origin whose pages may reach this room, if any.
    """

    def __init__(self, record: Callable[[tuple], None], hosts: set[str], origin: str | None = None) -> None:
        self.mailbox = Mailbox()
        self.record = record
        self.hosts = hosts
        self.origins = {f"http://{host}" for host in hosts} | ({origin} if origin else set())
        self.followers: dict[object, Callable[[Message], None]] = {}  # key → what takes each message
        self.streams: set[RoomHandler] = set()  # what is open to followers: SSE and WebSocket
        self.waiting: dict[object, asyncio.Future[list[Message]]] = {}

    @property
    def listening(self) -> int:
        """How many clients would learn of a message at once."""
        return len(self.mailbox.held) + len(self.streams)

    def publish(self, text: str) -> int:
        """Id of the message that the text became, after it was handed to all who listen."""
        message, released = self.mailbox.publish(text)
        self.record((clock(), "published", "server", NONE, NONE, NONE, message.id, len(text.encode())))
        for who in released:
            self.answer(who, [message])
        for take in list(self.followers.values()):
            take(message)
        return message.id

    async def ask(self, who: object, cursor: int | None, hold_s: float) -> list[Message]:
        """The messages for a request: at once if there are any, or when its hold ends; then maybe none."""
        news = self.mailbox.ask(who, cursor, hold_s, clock())
        if news is not None:
            return news
        loop = asyncio.get_running_loop()
        self.waiting[who] = answer = loop.create_future()
        timer = loop.call_later(hold_s, self.expire)
        try:
            return await answer
        finally:
            timer.cancel()

    def expire(self) -> None:
        """Answer the requests whose hold has ended, with nothing."""
        # A loop may wake a timer early by its own resolution; a hold of a millisecond more is no harm.
        for who in self.mailbox.expire(clock() + 0.001):
            self.answer(who, [])

    def answer(self, who: object, messages: list[Message]) -> None:
        """Let the held request go on with these messages."""
        answer = self.waiting.pop(who)
        if not answer.done():
            answer.set_result(messages)

    def leave(self, who: object) -> None:
        """Forget a request whose client has gone; its handler goes on with nothing."""
        self.mailbox.leave(who)
        if who in self.waiting:
            self.answer(who, [])

    def close(self) -> None:
        """Answer every held request with nothing, and end every stream."""
        for who in list(self.waiting):
            self.leave(who)
        for stream in list(self.streams):
            stream.end()


class RoomHandler(RequestHandler):
    """A handler that knows its room, refuses strangers, and records what it does."""

    def initialize(self, room: Room) -> None:
        self.room = room
        self.client = self.number = self.connection = NONE

    def prepare(self) -> None:
        # Before anything else: a page of the web must not reach into the kernel. A name that was
        # made to point here (DNS rebinding) shows in Host, a foreign page in Origin.
        if self.request.host not in self.room.hosts:
            raise HTTPError(403, reason="Unknown Host")
        if self.request.headers.get("Origin", "null") not in self.room.origins and "Origin" in self.request.headers:
            raise HTTPError(403, reason="Foreign Origin")
        self.stream = self.request.connection.stream
        self.connection = self.stream.number
        self.client = self.whole("client", NONE)
        self.number = self.whole("request", NONE)
        self.record("request_received")

    def record(self, name: str, message: int = NONE, size: int = NONE) -> None:
        """Append an event of this request."""
        self.room.record((clock(), name, "server", self.client, self.connection, self.number, message, size))

    def record_messages(self, messages: list[Message]) -> None:
        """Record that the messages are handed to the connection."""
        for message in messages:
            self.record("message_sent", message.id, len(message.text.encode()))

    def whole(self, name: str, default: int | None) -> int | None:
        """An argument of the request as a whole number; 400 if it is none."""
        return self._argument(name, default, int)

    def seconds(self, name: str, most: float) -> float:
        """An argument of the request in seconds, 0 if it is missing; 400 if it is not in [0, most]."""
        value = self._argument(name, 0.0, float)
        if not 0 <= value <= most:
            raise HTTPError(400, reason=f"Expected {name} from 0 to {most:g}")
        return value

    def cursor(self) -> int | None:
        """The cursor of the request, None if it has none; 400 if no client can have it."""
        # A browser that lost its stream names the last id that it saw (HTML standard §9.2.4).
        cursor = self._argument("cursor", None, int, self.request.headers.get("Last-Event-ID"))
        if cursor is not None and not 0 <= cursor <= self.room.mailbox.last:
            raise HTTPError(400, reason=f"Expected a cursor from 0 to {self.room.mailbox.last}")
        return cursor

    def answer(self, messages: list[Message]) -> None:
        """Finish the request with the messages; 204 if there are none."""
        if self.stream.closed():
            return  # the client has gone: nothing is sent, and the trace must not say so
        body = to_lines(messages)
        self.set_header("Cache-Control", "no-store")  # RFC 6202 §5.6
        if messages:
            self.set_header("Content-Type", "text/plain; charset=utf-8")
        else:
            self.set_status(HTTPStatus.NO_CONTENT)
        self.record_messages(messages)
        self.record("response_sent", size=len(body))
        self.finish(body or None)

    def compute_etag(self) -> None:
        """No ETag: an answer is never asked for again."""

    def write_error(self, status_code: int, **_: object) -> None:
        self.record("response_sent", size=0)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")

    def _argument(self, name: str, default: object, kind: type, header: str | None = None) -> object:
        value = header or self.get_query_argument(name, None)
        try:
            return default if value is None else kind(value)
        except ValueError:
            raise HTTPError(400, reason=f"Expected {name} as {kind.__name__}") from None


class NotFound(RoomHandler):
    """The answer to a path that leads nowhere."""

    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)
