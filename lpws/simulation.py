"""A run in virtual time: the mailbox and the events of a measurement, without sockets and without waiting.

A simulation is a list of acts and of when each is to happen. The earliest is taken and done, which
puts further acts on the list; between two of them nothing happens, so that the clock jumps. Who is
answered, and when, the same `Mailbox` decides as in a measurement; the network is a delay, and the
server takes no time.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter

from .conditions import undisturbed
from .mailbox import Mailbox, Message, to_lines
from .run import Run
from .specs import EventStream, Link, LongPolling, Request, ShortPolling, Transport, WebSocket, Workload
from .trace import NONE

# Bytes are for scale: heads about as long as those of the recording client and of Tornado, and what
# a stream puts around a short message beside its id.
REQUEST_BYTES, HEAD_BYTES = 90, 160
FRAME_BYTES = {EventStream: 17, WebSocket: 2}


def simulate(transport: Transport, workload: Workload, link: Link | None = None) -> Run:
    """The run that `measure` would return if nothing took time but the transits of the link.

    It makes the same random choices as the measurement, and ends as that does.

    Raises
    ------
    TypeError, ValueError
        If an argument is no specification; if the link has faults, which only `measure` can show.

    Examples
    --------
    >>> run = simulate(LongPolling(), Workload(clients=1, rate_hz=1, duration_s=1, pattern="periodic"))
    >>> [(t, name) for t, name, side, *_ in run.events if side == "server" and t >= 0][:3]
    [(1.0, 'published'), (1.0, 'message_sent'), (1.0, 'response_sent')]
    """
    kinds = {"a transport": Transport, "a Workload": Workload, "a Link or None": Link | None}
    for (expected, kind), value in zip(kinds.items(), (transport, workload, link), strict=True):
        if not isinstance(value, kind):
            raise TypeError(f"simulate: expected {expected}, got {value!r}")
    if link is not None and (link.cut_at_s is not None or link.silent_at_s is not None):
        raise ValueError(f"simulate: expected a link that is neither cut nor silent, got {link!r}")
    with undisturbed():
        events = World(transport, workload, link.delay_s if link else 0.0).run()
    return Run(transport, workload, link, events, origin="simulated")


class World:
    """What both sides share: the time, the list of acts, the trace, and the distance between them."""

    def __init__(self, transport: Transport, workload: Workload, delay_s: float) -> None:
        self.transport, self.workload, self.delay_s = transport, workload, delay_s
        self.keep_alive = getattr(transport, "keep_alive", True)
        self.acts: list[tuple] = []  # a heap of (when, number, act, its argument)
        self.crossing: deque[tuple] = deque()  # the same, of the acts that `cross` plans
        self.events: list[tuple] = []  # sorted by time
        self.numbers, self.requests, self.connections = count(), count(), count()
        # Connections and a WebSocket's handshake, a round trip each, are over just before the start.
        self.now_s = -4 * delay_s - 0.001
        self.due_times_s = workload.due_times_s()
        self.end_s = max(workload.duration_s, self.due_times_s[-1])
        self.last = len(self.due_times_s)  # id of the last message
        self.behind = workload.clients  # how many clients do not have it

    def at(self, when_s: float, act, argument=None) -> None:
        """Plan an act. Its number keeps those of one moment in the order in which they were planned."""
        heappush(self.acts, (when_s, next(self.numbers), act, argument))

    def cross(self, act, argument) -> None:
        """Plan an act of the other side, one transit from now."""
        # All transits take equally long, so that these happen in the order in which they were planned.
        self.crossing.append((self.now_s + self.delay_s, next(self.numbers), act, argument))

    def run_until(self, until_s: float) -> None:
        """Do one act after the other, up to then, or up to what one of them has put in its place.

        An act that returns a time is done again then, or now if that is over.
        """
        acts, crossing, numbers, self.until_s = self.acts, self.crossing, self.numbers, until_s
        while acts or crossing:
            if crossing and (not acts or crossing[0] < acts[0]):
                if crossing[0][0] > self.until_s:
                    break
                self.now_s, _, act, argument = crossing.popleft()
            else:
                if acts[0][0] > self.until_s:
                    break
                self.now_s, _, act, argument = heappop(acts)
            try:
                when_s = act(argument)
            except StopIteration:  # a client has done what it had to do
                continue
            if when_s is not None:
                now_s = self.now_s
                heappush(acts, (when_s if when_s > now_s else now_s, next(numbers), act, None))
        self.now_s = self.until_s

    def delivered(self) -> None:
        """A client has the last message; the run ends when all have."""
        self.behind -= 1
        if not self.behind:
            self.until_s = max(self.end_s, self.now_s)

    def run(self) -> list[tuple]:
        """All events, sorted, when every client has the last message or patience is over."""
        server = Server(self)
        clients = [Client(self, server, number) for number in range(self.workload.clients)]
        for client in clients:
            if (when_s := client.go_on(None)) is not None:
                self.at(max(when_s, self.now_s), client.go_on)
        for due_s in self.due_times_s:
            self.at(due_s, server.publish, "x" * self.workload.size_bytes)
        deadline_s = self.end_s + self.transport.patience_s + 1 + 6 * self.delay_s
        self.run_until(deadline_s)
        self.run_until(self.now_s + 4 * self.delay_s)  # a poll may just have begun to connect
        for client in clients:
            client.leave()
        self.run_until(self.now_s + self.delay_s)
        # They refer to the world, which is freed at once if it does not refer to them.
        self.acts.clear()
        self.crossing.clear()
        return self.events


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
        self.streams = isinstance(world.transport, EventStream | WebSocket)
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


class Client:
    """What a client can do.

    What it does is a generator, and to go on is an act. It yields the time at which it wants to be
    woken, or nothing to be sent what arrives: news, and the size of the response unless it does not end.
    """

    __slots__ = ("world", "server", "events", "number", "connection", "request", "cursor", "life", "go_on")

    def __init__(self, world: World, server: Server, number: int) -> None:
        self.world, self.server, self.events, self.number = world, server, world.events, number
        self.connection = self.request = NONE
        self.cursor = 0
        self.life = LIVES[type(world.transport)](self, world.transport)
        self.go_on = self.life.send

    @property
    def done(self) -> bool:
        """Whether it has the last message of the run, which nobody knows before the end."""
        return self.cursor == self.world.last and self.world.now_s >= self.world.end_s

    def connect(self) -> Iterator:
        """Connect, which takes a round trip; the server does not know until `accept` or a request."""
        world = self.world
        self.connection = next(world.connections)
        self.events.append((world.now_s, "opening", "client", self.number, self.connection, NONE, NONE, NONE))
        yield world.now_s + 2 * world.delay_s
        self.events.append((world.now_s, "opened", "client", self.number, self.connection, NONE, NONE, NONE))

    def ask(self, cursor: int | None, due_s: float | None = None) -> Iterator:
        """Send a request, on the connection that there is or on a new one, and wait for what arrives."""
        world, number = self.world, self.number
        self.request = request = next(world.requests)
        if due_s is not None:
            due = (due_s, "due", "client", number, NONE, request, NONE, NONE)
            if due_s < world.now_s:  # a late poll was due before it is recorded
                insort(world.events, due, key=itemgetter(0))
            else:
                self.events.append(due)
        if self.connection == NONE:
            yield from self.connect()
        line = self.connection
        self.events.append(
            (world.now_s, "request_sent", "client", number, line, request, NONE, REQUEST_BYTES)
        )
        world.cross(self.server.take, (self, request, cursor))
        self.receive((yield))
        if not world.keep_alive:
            self.close()

    def receive(self, arrived: tuple[list[Message], int]) -> None:
        """Take what has arrived: a response, or what is new on a stream."""
        news, size = arrived
        now_s, number, line, request = self.world.now_s, self.number, self.connection, self.request
        if size != NONE:
            self.events.append((now_s, "response_received", "client", number, line, request, NONE, size))
        for id, text in news:
            self.events.append((now_s, "message_received", "client", number, line, request, id, len(text)))
            self.cursor = id
        if news and self.cursor == self.world.last:
            self.world.delivered()

    def close(self) -> None:
        """Close the connection."""
        self.events.append(
            (self.world.now_s, "closed", "client", self.number, self.connection, NONE, NONE, NONE)
        )
        self.connection = NONE

    def leave(self) -> None:
        """Stop, and close what is open; a transit later the server knows."""
        self.life.close()
        if self.connection != NONE:
            self.world.cross(self.server.close, self)
            self.close()


def reload(client: Client, spec: Request) -> Iterator:
    """Request/response: pause, ask, and again."""
    due_s = 0.0
    for pause_s in client.world.workload.pauses_s(spec, client.number):
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
    due_s = client.world.workload.first_due_s(spec, client.number)
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


def listen(client: Client, _spec: EventStream | WebSocket) -> Iterator:
    """SSE and WebSocket: ask once, and take whatever comes."""
    yield from client.ask(client.cursor)
    while True:
        client.receive((yield))


LIVES = {Request: reload, ShortPolling: poll, LongPolling: wait, EventStream: listen, WebSocket: listen}
