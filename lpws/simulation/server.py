"""The server of a simulation: the server half of all transports around a mailbox."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from ..mailbox import Mailbox, Message
from ..specs import SSE, WebSocket
from ..trace import NONE
from ..wire import to_lines
from .world import HEAD_BYTES, REQUEST_BYTES, World

if TYPE_CHECKING:
    from .client import Client

# What a stream puts around a short message beside its id.
FRAME_BYTES = {SSE: 17, WebSocket: 2}


@dataclass(slots=True, eq=False)
class Line:
    """The server's end of a connection."""

    client: Client
    number: int
    request: int = NONE
    cursor: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class Server:
    """The server half of all transports."""

    def __init__(self, world: World) -> None:
        self.world, self.events, self.mailbox = world, world.events, Mailbox()
        self.lines: dict[Client, Line] = {}
        self.numbers = count()
        self.log_bytes = [0]  # of the log up to each message, as it goes on the wire
        # A stream is a request that is held for ever, and again after each message.
        self.streams = isinstance(world.transport, SSE | WebSocket)
        self.frame_bytes = FRAME_BYTES.get(type(world.transport))
        self.hold_s = math.inf if self.streams else getattr(world.transport, "hold_s", 0.0)
        self.flush_s = getattr(world.transport, "flush_s", 0.0)
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
        if self.streams:
            if isinstance(self.world.transport, WebSocket):
                self.answer(line, [])  # the 101
            else:
                line.written_bytes += HEAD_BYTES  # the head of a response that does not end
        news = self.mailbox.ask(line, cursor, self.hold_s, now_s)
        if news is not None:
            self.answer(line, news)
        elif now_s + self.hold_s > self.expiry_s:  # holds that end together are looked at together
            self.expiry_s = now_s + self.hold_s
            self.world.at(self.expiry_s, self.expire)

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
            if self.flush_s:  # the first message opens a window; when it closes, all that came go together
                self.world.at(now_s + self.flush_s, self.stream, line)
            elif self.streams:
                self.stream(line)
            else:
                self.answer(line, [message])

    def stream(self, line: Line) -> None:
        """Send all that is new on a stream, and hold it again."""
        news = self.mailbox.ask(line, line.cursor, self.hold_s, self.world.now_s)
        line.cursor = self.mailbox.last
        self.mailbox.ask(line, line.cursor, self.hold_s, self.world.now_s)
        self.answer(line, news)

    def answer(self, line: Line, news: list[Message]) -> None:
        """Send a response, or what is new on one that does not end."""
        world, now_s, client = self.world, self.world.now_s, line.client
        number, connection, request = client.number, line.number, line.request
        body_bytes = 0
        for id, text in news:
            self.events.append((now_s, "message_sent", "server", number, connection, request, id, len(text)))
            body_bytes += self.log_bytes[id] - self.log_bytes[id - 1]
        if self.streams and news:
            size, arrives = self.frame_bytes + body_bytes, NONE
        else:
            self.events.append(
                (now_s, "response_sent", "server", number, connection, request, NONE, body_bytes)
            )
            size = arrives = HEAD_BYTES + body_bytes
        line.written_bytes += size
        world.cross(client.go_on, (news, arrives))
        if not world.keep_alive:
            self.close(client)

    def close(self, client: Client) -> None:
        """The connection ends, if this side has not ended it before."""
        if line := self.lines.pop(client, None):
            self.mailbox.leave(line)
            now_s, number = self.world.now_s, line.number
            self.events += (
                (now_s, "read", "server", NONE, number, NONE, NONE, line.read_bytes),
                (now_s, "written", "server", NONE, number, NONE, NONE, line.written_bytes),
                (now_s, "closed", "server", NONE, number, NONE, NONE, NONE),
            )
