"""The handlers of a chat: to come in, to speak, to listen in five ways, to go."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from tornado.web import HTTPError

from ..trace import NONE, clock
from ..transports import eventstream, longpolling, request, websocket
from ..transports.room import MOST, RoomHandler
from ..transports.websocket import text_frame
from .room import MOST_NAME, MOST_TEXT, ChatRoom, clean
from .roster import Person

#: Labels of the transports, as a page may name its way in.
WAYS = ("reload", "short polling", "long polling", "SSE", "WebSocket")
#: The longest secret or key of a page.
MOST_KEY = 64
#: The most events in one report, and what a page can know of.
MOST_EVENTS = 1_000
REPORTED = ("request_sent", "response_received", "message_received", "failed")


def is_time(value: Any) -> bool:
    """Whether it can be a time [s] of the server's clock; NaN and infinity cannot."""
    return type(value) in (int, float) and abs(value) < 1e12


def fields(body: str | bytes, **kinds: type) -> dict[str, Any]:
    """The fields of a JSON object, each of its kind.

    Raises
    ------
    ValueError
        If it is something else.
    """
    data = json.loads(body)
    good = isinstance(data, dict) and all(
        is_time(data.get(name)) if kind is float else isinstance(data.get(name), kind)
        for name, kind in kinds.items()
    )
    keys = [data[name] for name in ("secret", "key") if name in kinds] if good else [""]
    if not all(0 < len(key) <= MOST_KEY for key in keys):
        raise ValueError(f"Expected an object with {', '.join(kinds)}")
    return data


class ChatHandler(RoomHandler):
    """A handler that takes JSON, in the body of a POST, and answers with JSON."""

    room: ChatRoom

    def take(self, **kinds: type) -> dict[str, Any]:
        """The fields of the body; 415 or 400 if they are not there."""
        # A form of a foreign page cannot have this type, and a script of one would have to ask first.
        if self.request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise HTTPError(415)
        try:
            return fields(self.request.body, **kinds)
        except (ValueError, RecursionError):
            raise HTTPError(400, reason=f"Expected a JSON object with {', '.join(kinds)}") from None

    def clean(self, text: str, most: int) -> str:
        """The text as it is told to everybody; 400 if there is too little or too much of it."""
        try:
            return clean(text, most)
        except ValueError as error:
            raise HTTPError(400, reason=str(error)) from None

    def person(self, secret: str) -> Person:
        """Whose secret it is; 409 if they have to come in first."""
        person = self.room.roster.people.get(secret)
        if person is None:
            raise HTTPError(409, reason="Come in first")
        return person

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
        try:
            person = self.room.enter(given["secret"], self.clean(given["name"], MOST_NAME), given["by"])
        except ValueError as error:
            raise HTTPError(503, reason=str(error)) from None
        self.say({"client": person.number, "name": person.name, "times": asdict(self.room.times)})


class Post(ChatHandler):
    """To speak."""

    def post(self) -> None:
        given = self.take(secret=str, key=str, text=str, typed=float)
        text = self.clean(given["text"], MOST_TEXT)
        self.say({"id": self.room.say(self.person(given["secret"]), given["key"], text, given["typed"])})


class Leave(ChatHandler):
    """To go."""

    def post(self) -> None:
        self.room.leave(self.take(secret=str)["secret"])
        self.say({})


class Clock(ChatHandler):
    """The server's clock, for a page to set its own by."""

    def get(self) -> None:
        self.say({"now": clock()})


class Report(ChatHandler):
    """What a page recorded, on the server's clock, for the trace."""

    def post(self) -> None:
        given = self.take(secret=str, key=str, events=list)
        person, done = self.person(given["secret"]), given["key"]
        if (person.number, done) not in self.room.ids:
            rows = [self.row(person, *self.checked(event)) for event in given["events"][:MOST_EVENTS]]
            self.room.ids[person.number, done] = len(rows)
            for row in rows:
                self.room.record(row)
        self.say({"events": self.room.ids[person.number, done]})

    def checked(self, event: Any) -> list:
        """Time, name, request, message and size; 400 if the event has something else."""
        if isinstance(event, list) and len(event) == 5:
            t, name, *numbers = event
            whole = all(type(n) is int and NONE <= n <= MOST for n in numbers)
            if is_time(t) and name in REPORTED and whole:
                return event
        raise HTTPError(400, reason="Expected events like [12.5, 'message_received', 4, 7, 20]")

    def row(self, person: Person, t: float, name: str, request: int, message: int, size: int) -> tuple:
        """The event, as it is in the trace."""
        return (t, name, "client", person.number, NONE, request, message, size)


# The five ways to listen are those of the laboratory. Whoever listens is here.


class Listening(RoomHandler):
    """What all of them have in common: the room knows who listens."""

    room: ChatRoom

    async def get(self) -> None:
        patience_s = self.seconds("patience", 3600) + self.room.times.away_s
        self.set_header("Lpws-Connection", self.connection)
        self.room.listens(self.client)
        try:
            await super().get()
        finally:
            self.room.roster.pause(self.client, clock(), patience_s)

    @property
    def line(self) -> str:
        """What a stream says of itself, since a page cannot see the headers of its answer."""
        return json.dumps({"kind": "beat", "connection": self.connection})


class Reload(Listening, request.Handler):
    """Plain request and response."""


class ShortPolling(Listening, request.Handler):
    """Short polling, which the server cannot tell from that."""


class LongPolling(Listening, longpolling.Handler):
    """Long polling."""


class EventStream(Listening, eventstream.Handler):
    """SSE, with events of another type as signs of life: a page does not see comments."""

    async def get(self) -> None:
        asyncio.get_running_loop().call_soon(self.beat)  # as soon as the stream has begun
        await super().get()

    def beat(self) -> None:
        """Give a sign of life."""
        if self in self.room.streams:
            self.write(f"event: beat\ndata: {self.line}\n\n")
            self.flush().add_done_callback(asyncio.Future.exception)  # as in take


class WebSocket(Listening, websocket.Handler):
    """WebSocket, on which the page also speaks."""

    def open(self) -> None:
        super().open()
        self.beat()

    def beat(self) -> None:
        """Give a sign of life: a page does not see pings. No message has the id 0."""
        self.send(text_frame(f"0 {self.line}\n".encode()), [])

    def on_message(self, message: str | bytes) -> None:
        if self.ws_connection is None:
            return
        try:
            given = fields(message, secret=str, key=str, text=str, typed=float)
            person = self.room.roster.people[given["secret"]]
            self.room.say(person, given["key"], clean(given["text"], MOST_TEXT), given["typed"])
        except (ValueError, KeyError, RecursionError):
            self.close(1008, "expected a message as a post has it")  # RFC 6455 §7.4.1


HANDLERS = {
    "/enter": Enter,
    "/post": Post,
    "/leave": Leave,
    "/clock": Clock,
    "/report": Report,
    "/request": Reload,
    "/shortpolling": ShortPolling,
    "/longpolling": LongPolling,
    "/eventstream": EventStream,
    "/websocket": WebSocket,
}
