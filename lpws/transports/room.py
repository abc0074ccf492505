"""The room that every handler shares, and what every handler has in common."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from hmac import compare_digest
from http import HTTPStatus
from time import get_clock_info
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError

from ..mailbox import Mailbox, Message
from ..trace import NONE, clock
from ..wire import sizes, to_lines

#: How much earlier [s] than asked a hold may end: a loop's timers have a resolution.
EARLY_S = 0.001 + 2 * get_clock_info("monotonic").resolution
#: The largest number that a client or a request may have: the largest that a browser counts to.
MOST = 2**53 - 1


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
    prefix
        What every path begins with: a slash and a token, if there is one.

    Attributes
    ----------
    listeners
        Functions that get every message, in the loop, when it is published. A handler adds its own, and
        discards it when its client has gone.
    """

    def __init__(
        self, record: Callable[[tuple], None], hosts: set[str], origin: str | None = None, prefix: str = ""
    ) -> None:
        self.mailbox = Mailbox()
        self.record = record
        self.hosts = hosts
        self.origin = origin
        self.prefix = prefix
        self.origins = {f"http://{host}" for host in hosts} | ({origin} if origin else set())
        self.proxied = False  # whether requests come through Jupyter's proxy, too: see `lpws.address`
        self.followers: dict[object, Callable[[Message], None]] = {}  # key → what takes each message
        self.streams: set[RoomHandler] = set()  # the `StreamHandler`s at present: SSE and WebSocket
        self.listeners: set[Callable[[Message], object]] = set()  # the same, of plain Tornado handlers
        self.key = b""  # what the clients of a run show as ``run=…``; empty if everybody may ask
        self.strangers: Counter[int] = Counter()  # connection → how many requests without it came
        self.arrived: set[int] = set()  # the clients of which a request has come
        self.waiting: dict[object, asyncio.Future[list[Message]]] = {}

    def refusal(self, request: HTTPServerRequest) -> str | None:
        """Why the request is refused; None if it is not.

        A page of the web must not reach into the kernel. A name that was made to point here (DNS
        rebinding) shows in ``Host``, a foreign page in ``Origin`` (RFC 6455 §10.2). Another user of
        the machine does not know the token. Through a proxy comes what the browser sent, with the
        ``Host`` by which the reader knows the proxy: then it is the token that a rebound page lacks.

        An image or a frame on a foreign page sends no ``Origin``, and its answer cannot be read; but
        a request that is held or counted has done its harm by then. Browsers say where such a request
        comes from (Fetch Metadata, ``Sec-Fetch-Site``). A page of the room may be put into a frame,
        as notebooks do, by whoever knows the token; and a link may always be followed.
        """
        if request.host not in self.hosts and not self.proxied:
            return "Unknown Host"
        origin = request.headers.get("Origin")
        own = self.proxied and origin and origin.partition("://")[2] == request.host
        if origin is not None and origin not in self.origins and not own:
            return "Foreign Origin"
        fetch = {name: request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest")}
        if origin is None and fetch["Site"] in ("cross-site", "same-site"):
            visit = fetch["Mode"] == "navigate" and (self.prefix or fetch["Dest"] == "document")
            if not visit:
                return "Foreign Page"
        if self.key and request.query_arguments.get("run") != [self.key]:
            return "Unknown Client"
        if self.prefix:
            start = request.path[: len(self.prefix) + 1].encode()
            # How long it takes says nothing about how much of it is right.
            if not compare_digest(start, f"{self.prefix}/".encode()):
                return "Wrong Token"
        return None

    @property
    def messages(self) -> list[Message]:
        """All messages, oldest first: ``messages[cursor:]`` is what a client with that cursor lacks."""
        return self.mailbox.log

    @property
    def busy(self) -> bool:
        """Whether a request is held or a stream is open."""
        return bool(self.waiting or self.streams)

    def publish(self, text: str) -> int:
        """Id of the message that the text became, after it was handed to all who listen."""
        size = len(text.encode())  # first, since it raises for what is no text
        message, released = self.mailbox.publish(text)
        self.record((clock(), "published", "server", NONE, NONE, NONE, message.id, size))
        for who in released:
            self.answer(who, [message])
        for take in (*self.followers.values(), *self.listeners):
            try:
                take(message)
            except (StreamClosedError, WebSocketClosedError):
                pass  # its client has just gone
            except Exception:  # one that fails keeps nothing from the others
                said = f"a listener failed on message {message.id}"
                logging.getLogger("tornado.application").exception(said)
        return message.id

    async def ask(self, who: object, cursor: int | None, hold_s: float) -> list[Message]:
        """The messages for a request: at once if there are any, or when its hold ends; then maybe none."""
        news = self.mailbox.ask(who, cursor, hold_s, clock())
        if news is not None:
            return news
        loop = asyncio.get_running_loop()
        self.waiting[who] = answer = loop.create_future()
        timer = loop.call_later(hold_s, self.expire, who)
        try:
            return await answer
        finally:
            timer.cancel()
            del self.waiting[who]
            self.mailbox.leave(who)

    def expire(self, who: object) -> None:
        """Answer a request with nothing, since its hold has ended."""
        if self.mailbox.expire(clock() + EARLY_S, [who]):
            self.answer(who, [])

    def answer(self, who: object, messages: list[Message]) -> None:
        """Let the held request go on with these messages."""
        answer = self.waiting[who]
        if not answer.done():
            answer.set_result(messages)

    def leave(self, who: object) -> None:
        """Let a held request go on with nothing, since its client has gone."""
        if who in self.waiting:
            self.answer(who, [])

    def close(self) -> None:
        """Answer every held request with nothing, and end every stream."""
        for who in list(self.waiting):
            self.leave(who)
        for stream in list(self.streams):
            stream.end()


class RoomHandler(RequestHandler):
    """A handler that knows its room and records what it does."""

    # Side by side in memory: a broadcast looks at them in thousands of handlers.
    __slots__ = ("room", "stream", "client", "connection", "number")

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
            self.room.arrived.add(self.client)

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
        return self._number(int, "cursor", value, None, self.room.mailbox.last)

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
        for id, size in sizes(messages):
            self.record("message_sent", id, size)
        self.record("response_sent", size=len(body))
        self.finish(body or None)

    def compute_etag(self) -> None:
        """No ETag: an answer is never asked for again."""

    def write_error(self, status_code: int, **_: object) -> None:
        body = f"{status_code} {self._reason}\n"
        if self.connection != NONE:  # else the request was refused before `prepare` recorded it
            self.record("response_sent", size=len(body))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(body)

    def _number(self, kind: type, name: str, value: str | None, default: float | None, most: float) -> Any:
        try:
            number = default if value is None else kind(value)
        except ValueError:
            number = -1
        if value is not None and not 0 <= number <= most:  # NaN is not
            whole = "whole " if kind is int else ""
            raise HTTPError(400, reason=f"Expected {name} to be a {whole}number from 0 to {most}")
        return number


class Refused(RoomHandler):
    """The answer to a stranger."""

    def prepare(self) -> None:
        self.room.strangers[self.request.connection.stream.number] += 1
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
