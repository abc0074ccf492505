"""The server of a simulation: the server half of all transports around a mailbox and a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from ..mailbox import Mailbox, Message, Window
from ..specs import SSE, WebSocket
from ..trace import NONE
from ..wire import to_chunk, to_frame, to_lines
from .world import HEAD_BYTES, REQUEST_BYTES, World

if TYPE_CHECKING:
    from .client import Client

#: How each stream packs messages.
PACKS: dict[type, Callable[[Iterable[Message]], bytes]] = {SSE: to_chunk, WebSocket: to_frame}


@dataclass(slots=True, eq=False)
class Line:
    """The server's end of a connection."""

    client: Client
    number: int
    request: int = NONE
    read_bytes: int = 0
    written_bytes: int = 0


class Server:
    """The server half of all transports."""

    def __init__(self, world: World) -> None:
        self.world, self.events, self.mailbox = world, world.events, Mailbox()
        self.lines: dict[Client, Line] = {}
        self.numbers = count()
        self.log_bytes = [0]  # of the log up to each message, as it goes on the wire
        self.followers: dict[Line, None] = {}  # who is sent every message, in the order in which they came
        self.window = Window(world.transport.flush_s)
        self.pack = PACKS.get(type(world.transport))
        self.hold_s = world.transport.hold_s
        self.expiry_s = -math.inf  # up to when the ends of holds are planned

    def accept(self, client: Client) -> None:
        """The last packet of a handshake has arrived."""
        self.lines[client] = line = Line(client, next(self.numbers))
        self.events.append((self.world.now_s, "opened", "server", NONE, line.number, NONE, NONE, NONE))

    def take(self, question: tuple[Client, int, int | None]) -> None:
        """A request has arrived, with its cursor: answer it, or hold it."""
        client, request, cursor = question
        if client not in self.lines:  # the handshake's last packet came right before it
            self.accept(client)
        line, now_s = self.lines[client], self.world.now_s
        line.request = request
        line.read_bytes += REQUEST_BYTES
        self.events.append(
            (now_s, "request_received", "server", client.number, line.number, request, NONE, NONE)
        )
        if self.world.transport.streams:
            self.follow(line, cursor)
            return
        news = self.mailbox.ask(line, cursor, self.hold_s, now_s)
        if news is not None:
            self.answer(line, news)
        elif now_s + self.hold_s > self.expiry_s:  # holds that end together are looked at together
            self.expiry_s = now_s + self.hold_s
            self.world.at(self.expiry_s, self.expire)

    def follow(self, line: Line, cursor: int) -> None:
        """Begin a stream: send what came after the cursor, and from now on every message."""
        if self.world.transport.upgrades:
            self.answer(line, [])  # the 101
        else:
            line.written_bytes += HEAD_BYTES  # the head of a response that does not end
        if missed := self.mailbox.since(cursor):
            self.send(line, missed, len(self.pack(missed)))
        self.window.join(line, self.mailbox.last)
        self.followers[line] = None

    def expire(self, _) -> None:
        """Holds end, if no message came first."""
        for line in self.mailbox.expire(self.world.now_s):
            self.answer(line, [])

    def publish(self, text: str) -> None:
        """A message is due: it enters the log, and goes to all who wait."""
        message, released = self.mailbox.publish(text)
        self.log_bytes.append(self.log_bytes[-1] + len(to_lines([message])))
        now_s, id = self.world.now_s, message.id
        self.events.append((now_s, "due", "publisher", NONE, NONE, NONE, id, NONE))
        self.events.append((now_s, "published", "server", NONE, NONE, NONE, id, len(text)))
        for line in released:
            self.answer(line, [message])
        if self.followers and self.window.take(message):
            if self.window.flush_s:
                self.world.at(now_s + self.window.flush_s, self.flush)
            else:
                self.flush(None)

    def flush(self, _) -> None:
        """Send what was gathered on every stream."""
        messages, late = self.window.close()
        size = len(self.pack(messages))
        for line in self.followers:
            if line in late:
                self.send(line, late[line], len(self.pack(late[line])))
            else:
                self.send(line, messages, size)

    def send(self, line: Line, messages: list[Message], size: int) -> None:
        """Send messages on a stream, packed into so many bytes."""
        self.hand_over(line, messages)
        line.written_bytes += size
        self.world.cross(line.client.go_on, (messages, NONE))

    def answer(self, line: Line, news: list[Message]) -> None:
        """Send a response with these messages."""
        world, now_s, client = self.world, self.world.now_s, line.client
        self.hand_over(line, news)
        # Ids of a response follow each other.
        body_bytes = self.log_bytes[news[-1].id] - self.log_bytes[news[0].id - 1] if news else 0
        self.events.append(
            (now_s, "response_sent", "server", client.number, line.number, line.request, NONE, body_bytes)
        )
        size = HEAD_BYTES + body_bytes
        line.written_bytes += size
        world.cross(client.go_on, (news, size))
        if not world.keep_alive:
            self.close(client)

    def hand_over(self, line: Line, messages: list[Message]) -> None:
        """Record that messages are handed to a connection."""
        now_s, number, connection, request = self.world.now_s, line.client.number, line.number, line.request
        for id, text in messages:
            self.events.append((now_s, "message_sent", "server", number, connection, request, id, len(text)))

    def close(self, client: Client) -> None:
        """The connection ends, if this side has not ended it before."""
        if line := self.lines.pop(client, None):
            self.mailbox.leave(line)
            self.window.leave(line)
            self.followers.pop(line, None)
            now_s, number = self.world.now_s, line.number
            self.events += (
                (now_s, "read", "server", NONE, number, NONE, NONE, line.read_bytes),
                (now_s, "written", "server", NONE, number, NONE, NONE, line.written_bytes),
                (now_s, "closed", "server", NONE, number, NONE, NONE, NONE),
            )
