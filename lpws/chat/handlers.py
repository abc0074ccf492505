"""The handlers of a chat: to come in, to speak, to listen in five ways, to go."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from tornado.web import HTTPError

from ..server import handlers
from ..server.handlers import MOST, RoomHandler
from ..trace import NONE, clock
from ..transports.websocket import text_frame
from . import letters
from .room import ChatRoom, Refusal
from .roster import Person

#: Labels of the transports, as a page may name its way in.
WAYS = ("reload", "short polling", "long polling", "SSE", "WebSocket")
#: The most events in one report, and what a page can know of.
MOST_EVENTS = 1_000
REPORTED = ("request_sent", "response_received", "message_received", "failed")


class Guest(RoomHandler):
    """A handler that knows by the ticket in its address whose request it is; without one it is nobody's.

    A number can be guessed, and would let anybody decide who is here and who has gone.
    """

    room: ChatRoom

    def prepare(self) -> None:
        ticket = self.get_query_argument("ticket", None)
        self.guest = self.room.roster.tickets.get(ticket)
        super().prepare()
        if ticket is not None and self.guest is None:
            raise HTTPError(409, reason="Come in first")  # the room has forgotten whose it is

    def whole(self, name: str, default: int | None, most: int) -> int | None:
        if name == "client":  # the trace, too, believes the ticket
            return self.guest.number if self.guest else default
        return super().whole(name, default, most)


class ChatHandler(Guest):
    """A handler that takes JSON, in the body of a POST, and answers with JSON."""

    def take(self, **kinds: type) -> dict[str, Any]:
        """The fields of the body; 415 or 400 if they are not there."""
        # A form of a foreign page cannot have this type, and a script of one would have to ask first.
        if self.request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise HTTPError(415)
        try:
            return letters.parsed(self.request.body, **kinds)
        except ValueError:
            raise HTTPError(400, reason=f"Expected a JSON object with {', '.join(kinds)}") from None

    def person(self, secret: str) -> Person:
        """The person whose secret the request shows; 409 if they have to come in first."""
        person = self.room.roster.people.get(secret)
        if person is None:
            raise HTTPError(409, reason="Come in first")
        return person

    def write_error(self, status_code: int, **given: Any) -> None:
        if wait_s := getattr(given["exc_info"][1], "wait_s", 0):
            self.set_header("Retry-After", wait_s)  # RFC 6585 §4
        super().write_error(status_code, **given)

    def say(self, data: dict) -> None:
        """Answer with this."""
        if self.stream.closed():
            return
        body = json.dumps(data).encode()
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Lpws-Connection", self.connection)
        self.record("response_sent", size=len(body))
        self.finish(body)


class Enter(ChatHandler):
    """To come in, or to change one's name or way in."""

    def post(self) -> None:
        given = self.take(secret=str, name=str, by=str)
        if given["by"] not in WAYS:
            raise HTTPError(400, reason=f"Expected by to be one of {', '.join(WAYS)}")
        if before := self.room.roster.people.get(given["secret"]):
            self.room.spend(before)  # a name that changes all the time is a flood, too
        person = self.room.enter(given["secret"], given["name"], given["by"])
        times = asdict(self.room.times)
        # Of whom the log tells no more, since it has forgotten that they came.
        here = self.room.roster.here if self.room.mailbox.first else []
        people = [{"who": each.number, "name": each.name, "by": each.by} for each in here]
        self.say({"client": person.number, "ticket": person.ticket, "name": person.name, "times": times}
                 | {"people": people})  # fmt: skip


class Post(ChatHandler):
    """To speak: one message or several, in order."""

    def post(self) -> None:
        given = self.take(secret=str, said=list)
        try:
            said = letters.messages(given["said"])
        except ValueError as error:
            raise HTTPError(400, reason=str(error)) from None
        self.say({"ids": self.room.take(self.person(given["secret"]), said)})


class Leave(ChatHandler):
    """To go."""

    def post(self) -> None:
        secret = self.take(secret=str)["secret"]
        if person := self.room.roster.people.get(secret):
            self.room.spend(person)  # who is not let go is soon not heard of
        self.room.part(secret)
        self.say({})


class Clock(ChatHandler):
    """The server's clock, for a page to set its own by."""

    def get(self) -> None:
        self.say({"now": clock()})


class Report(ChatHandler):
    """The report of a page: the events that it recorded, on the server's clock, for the trace."""

    def post(self) -> None:
        given = self.take(secret=str, key=str, events=list)
        person, done = self.person(given["secret"]), given["key"]
        if done not in person.reported:
            rows = [self.row(person, *self.checked(event)) for event in given["events"][:MOST_EVENTS]]
            self.room.spend(person, "reporting")
            person.reported[done] = len(rows)
            for row in rows:
                self.room.record(row)
        self.say({"events": person.reported[done]})

    def checked(self, event: Any) -> list:
        """Time, name, request, message and size; 400 if the event has something else."""
        if isinstance(event, list) and len(event) == 5:
            t, name, *numbers = event
            whole = all(type(n) is int and NONE <= n <= MOST for n in numbers)
            if letters.is_time(t) and name in REPORTED and whole:
                return event
        raise HTTPError(400, reason="Expected events like [12.5, 'message_received', 4, 7, 20]")

    def row(self, person: Person, t: float, name: str, request: int, message: int, size: int) -> tuple:
        """The event, as it is in the trace."""
        return (t, name, "client", person.number, NONE, request, message, size)


# The five ways to listen are those of the laboratory. Whoever listens with a ticket is here.


class Listening(Guest):
    """The common base of all listening handlers: the room knows who listens."""

    async def get(self) -> None:
        patience_s = self.seconds("patience", 3600) + self.room.times.away_s
        self.set_header("Lpws-Connection", self.connection)
        if self.guest is None:
            await super().get()
            return
        self.room.listens(self.guest)
        try:
            await super().get()
        finally:
            self.room.roster.pause(self.guest, clock(), patience_s)

    @property
    def line(self) -> str:
        """The first line of a stream, in place of the answer's headers, which a page cannot read."""
        return json.dumps({"kind": "beat", "connection": self.connection})


class Reload(Listening, handlers.Reload):
    """Plain request and response."""


class ShortPolling(Listening, handlers.Reload):
    """Short polling, which the server cannot tell from that."""


class LongPolling(Listening, handlers.LongPolling):
    """Long polling."""


class SSE(Listening, handlers.SSE):
    """SSE, with events of another type as signs of life: a page does not see comments."""

    async def get(self) -> None:
        asyncio.get_running_loop().call_soon(self.beat)  # as soon as the stream has begun
        await super().get()

    def beat(self) -> None:
        """Give a sign of life."""
        if self in self.room.streams:
            self.tell(f"event: beat\ndata: {self.line}\n\n")


class WebSocket(Listening, handlers.WebSocket):
    """WebSocket, on which the page also speaks."""

    def open(self) -> None:
        super().open()
        self.beat()

    def tell(self, line: str) -> None:
        """Send a line that is no message: none has the id 0."""
        self.send(text_frame(f"0 {line}\n".encode()), [])

    def beat(self) -> None:
        """Give a sign of life: a page does not see pings."""
        self.tell(self.line)

    def on_message(self, message: str | bytes) -> None:
        if self.ws_connection is None:
            return
        try:
            given = letters.parsed(message, secret=str, said=list)
            person, said = self.room.roster.people[given["secret"]], letters.messages(given["said"])
        except (ValueError, KeyError):
            self.close(1008, "expected a letter as a post has it")  # RFC 6455 §7.4.1
            return
        try:
            answer = {"ids": self.room.take(person, said)}
        except Refusal as refusal:
            answer = {"status": refusal.status_code, "wait": refusal.wait_s}
        self.tell(json.dumps({"kind": "answer"} | answer))


HANDLERS = {
    "/enter": Enter,
    "/post": Post,
    "/leave": Leave,
    "/clock": Clock,
    "/report": Report,
    "/reload": Reload,
    "/shortpolling": ShortPolling,
    "/longpolling": LongPolling,
    "/sse": SSE,
    "/websocket": WebSocket,
}
