"""The server of a simulation: the server half of all transports around a mailbox and a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from ..decisions import Mailbox, Message, Window
from ..specs import SSE, WebSocket
from ..trace import NONE
from ..transports.sse import to_chunk
from ..transports.websocket import to_frame
from ..wire import to_lines
from .world import HEAD_BYTES, REQUEST_BYTES, World

#: How each stream packs messages.
PACKS: dict[type, Callable[[Iterable[Message]], bytes]] = {SSE: to_chunk, WebSocket: to_frame}


class Client(Protocol):
    """A client as the server knows it: its number, and the act that brings it what was sent."""

    number: int
    go_on: Callable


@dataclass(slots=True, eq=False)
class Connection:
    """The server's end of a connection."""

    client: Client
    number: int
    request: int = NONE
    read_bytes: int = 0
    written_bytes: int = 0


class Server:
    """The server half of all transports."""

    def __init__(self, world: World) -> None:
        self.world, self.record, self.mailbox = world, world.record, Mailbox()
        self.connections: dict[Client, Connection] = {}
        self.numbers = count()
        self.log_bytes = [0]  # of the log up to each message, as it goes on the wire
        self.followers: dict[Connection, None] = {}  # the open streams, in order of arrival
        self.window = Window(world.transport.flush_s)
        self.pack = PACKS.get(type(world.transport))
        self.hold_s = world.transport.hold_s
        self.expiry_s = -math.inf  # the latest act that ends holds is planned for then

    def accept(self, client: Client) -> None:
        """Accept a connection: the last packet of its handshake has arrived."""
        self.connections[client] = connection = Connection(client, next(self.numbers))
        self.record((self.world.now_s, "opened", "server", NONE, connection.number, NONE, NONE, NONE))

    def take(self, question: tuple[Client, int, int | None]) -> None:
        """Take a request that has arrived, with its cursor: answer it, or hold it."""
        client, request, cursor = question
        if client not in self.connections:  # the handshake's last packet came right before it
            self.accept(client)
        connection, now_s = self.connections[client], self.world.now_s
        connection.request = request
        connection.read_bytes += REQUEST_BYTES
        number = connection.number
        self.record((now_s, "request_received", "server", client.number, number, request, NONE, NONE))
        if self.world.transport.streams:
            self.follow(connection, cursor)
            return
        news = self.mailbox.ask(connection, cursor, self.hold_s, now_s)
        if news is not None:
            self.answer(connection, news)
        elif now_s + self.hold_s > self.expiry_s:  # one act ends all holds up to its time
            self.expiry_s = now_s + self.hold_s
            self.world.at(self.expiry_s, self.expire)

    def follow(self, connection: Connection, cursor: int) -> None:
        """Begin a stream: send what came after the cursor, and from now on every message."""
        if self.world.transport.upgrades:
            self.answer(connection, [])  # the 101
        else:
            connection.written_bytes += HEAD_BYTES  # the head of a response that does not end
        if missed := self.mailbox.since(cursor):
            self.send(connection, missed, len(self.pack(missed)))
        self.window.join(connection, self.mailbox.last)
        self.followers[connection] = None

    def expire(self, _) -> None:
        """End the holds whose time is over; answer their requests empty."""
        for connection in self.mailbox.expire(self.world.now_s):
            self.answer(connection, [])

    def publish(self, text: str) -> None:
        """Append a message that is due to the log; send it to every client that waits."""
        message, released = self.mailbox.publish(text)
        self.log_bytes.append(self.log_bytes[-1] + len(to_lines([message])))
        now_s, id = self.world.now_s, message.id
        self.record((now_s, "due", "publisher", NONE, NONE, NONE, id, NONE))
        self.record((now_s, "published", "server", NONE, NONE, NONE, id, len(text)))
        for connection in released:
            self.answer(connection, [message])
        if self.followers and self.window.take(message):
            if self.window.flush_s:
                self.world.at(now_s + self.window.flush_s, self.flush)
            else:
                self.flush(None)

    def flush(self, _) -> None:
        """Send what was gathered on every stream."""
        messages, late = self.window.close()
        size = len(self.pack(messages))
        for connection in self.followers:
            if connection in late:
                self.send(connection, late[connection], len(self.pack(late[connection])))
            else:
                self.send(connection, messages, size)

    def send(self, connection: Connection, messages: list[Message], size: int) -> None:
        """Send messages on a stream, packed into `size` bytes."""
        self.hand_over(connection, messages)
        connection.written_bytes += size
        self.world.cross(connection.client.go_on, (messages, NONE))

    def answer(self, connection: Connection, news: list[Message]) -> None:
        """Send a response with these messages."""
        world, now_s, client = self.world, self.world.now_s, connection.client
        self.hand_over(connection, news)
        # Ids of a response follow each other.
        body_bytes = self.log_bytes[news[-1].id] - self.log_bytes[news[0].id - 1] if news else 0
        number, request = connection.number, connection.request
        self.record((now_s, "response_sent", "server", client.number, number, request, NONE, body_bytes))
        size = HEAD_BYTES + body_bytes
        connection.written_bytes += size
        world.cross(client.go_on, (news, size))
        if not world.keep_alive:
            self.close(connection)

    def hand_over(self, connection: Connection, messages: list[Message]) -> None:
        """Record that messages are handed to a connection."""
        now_s, client = self.world.now_s, connection.client.number
        number, request = connection.number, connection.request
        for id, text in messages:
            self.record((now_s, "message_sent", "server", client, number, request, id, len(text)))

    def leave(self, client: Client) -> None:
        """Let a client go that has closed its connection, if this side has not done so before."""
        if connection := self.connections.get(client):
            self.mailbox.leave(connection)
            self.window.leave(connection)
            self.followers.pop(connection, None)
            self.close(connection)

    def close(self, connection: Connection) -> None:
        """End a connection that waits for nothing."""
        del self.connections[connection.client]
        now_s, number = self.world.now_s, connection.number
        self.record((now_s, "read", "server", NONE, number, NONE, NONE, connection.read_bytes))
        self.record((now_s, "written", "server", NONE, number, NONE, NONE, connection.written_bytes))
        self.record((now_s, "closed", "server", NONE, number, NONE, NONE, NONE))
