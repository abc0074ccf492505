"""The clients of a simulation: the acts of a client, and its life over each transport."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from operator import itemgetter

from ..decisions import Message
from ..specs import SSE, LongPolling, Reload, ShortPolling, WebSocket
from ..trace import NONE
from .server import Server
from .world import REQUEST_BYTES, World


class Client:
    """One simulated client: its acts, and the life that its transport gives it.

    Its life is a generator, and each step of it is an act of the world. It yields the time [s] at which it
    wants to be woken; or None, to be sent the next thing that arrives: messages, and the size of the
    response, unless that does not end.
    """

    __slots__ = ("world", "server", "record", "number", "connection", "request", "cursor", "life", "go_on")

    def __init__(self, world: World, server: Server, number: int) -> None:
        self.world, self.server, self.record, self.number = world, server, world.record, number
        self.connection = self.request = NONE
        self.cursor = 0
        self.life = LIVES[type(world.transport)](self, world.transport)
        self.go_on = self.life.send

    @property
    def done(self) -> bool:
        """True if it has the last message of the run, which nobody knows before the end."""
        return self.cursor == self.world.last and self.world.now_s >= self.world.end_s

    def connect(self) -> Iterator:
        """Connect, which takes a round trip; the server does not know until `accept` or a request."""
        world = self.world
        self.connection = next(world.connections)
        self.record((world.now_s, "opening", "client", self.number, self.connection, NONE, NONE, NONE))
        yield world.now_s + 2 * world.delay_s
        self.record((world.now_s, "opened", "client", self.number, self.connection, NONE, NONE, NONE))

    def ask(self, cursor: int | None, due_s: float | None = None) -> Iterator:
        """Send a request, on the present connection or on a new one, and wait for the answer."""
        world, number = self.world, self.number
        self.request = request = next(world.requests)
        if due_s is not None:
            due = (due_s, "due", "client", number, NONE, request, NONE, NONE)
            if due_s < world.now_s:  # a late poll was due before it is recorded
                insort(world.events, due, key=itemgetter(0))
            else:
                self.record(due)
        if self.connection == NONE:
            yield from self.connect()
        connection = self.connection
        self.record((world.now_s, "request_sent", "client", number, connection, request, NONE, REQUEST_BYTES))
        world.cross(self.server.take, (self, request, cursor))
        self.receive((yield))
        if not world.keep_alive:
            self.close()

    def receive(self, arrived: tuple[list[Message], int]) -> None:
        """Take what has arrived: a response, or what is new on a stream."""
        news, size = arrived
        now_s, number, connection, request = self.world.now_s, self.number, self.connection, self.request
        if size != NONE:
            self.record((now_s, "response_received", "client", number, connection, request, NONE, size))
        for id, text in news:
            self.record((now_s, "message_received", "client", number, connection, request, id, len(text)))
            self.cursor = id
        if news and self.cursor == self.world.last:
            self.world.delivered()

    def close(self) -> None:
        """Close the connection."""
        self.record((self.world.now_s, "closed", "client", self.number, self.connection, NONE, NONE, NONE))
        self.connection = NONE

    def leave(self) -> None:
        """Stop, and close what is open; a transit later the server knows."""
        self.life.close()
        if self.connection != NONE:
            self.world.cross(self.server.leave, self)
            self.close()


def reload(client: Client, spec: Reload) -> Iterator:
    """Request/response: pause, ask, and again."""
    due_s = 0.0
    for pause_s in spec.pauses_s(client.world.workload.seed, client.number):
        due_s += pause_s
        yield due_s
        if client.done:
            return
        yield from client.ask(client.cursor, due_s)
        due_s = client.world.now_s


def poll(client: Client, spec: ShortPolling) -> Iterator:
    """Short polling: ask at every due time."""
    if spec.keep_alive:
        yield from client.connect()
        client.world.cross(client.server.accept, client)
    due_s = spec.first_due_s(client.world.workload.seed, client.number)
    while not client.done:
        yield due_s
        yield from client.ask(client.cursor, due_s)
        # Of the due times that have passed meanwhile, one is made good; the grid stays.
        due_s += max(1, int((client.world.now_s - due_s) / spec.interval_s)) * spec.interval_s


def wait(client: Client, spec: LongPolling) -> Iterator:
    """Long polling: ask, wait for news or the end of the hold, and again, at once or after a pause."""
    due_s = None
    while not client.done:
        yield from client.ask(client.cursor if spec.cursor else None, due_s)
        if spec.pause_s:
            due_s = client.world.now_s + spec.pause_s
            yield due_s


def listen(client: Client, _spec: SSE | WebSocket) -> Iterator:
    """SSE and WebSocket: ask once, and take whatever comes."""
    yield from client.ask(client.cursor)
    while True:
        client.receive((yield))


LIVES = {Reload: reload, ShortPolling: poll, LongPolling: wait, SSE: listen, WebSocket: listen}
