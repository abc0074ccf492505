"""A run in virtual time: the mailbox and the events of a measurement, without sockets and without waiting.

A simulation is a list of acts and of when each is to happen. The earliest is taken and done, which
puts further acts on the list; between two of them nothing happens, so that the clock jumps. Who is
answered, and when, the same `Mailbox` decides as in a measurement; the network is a delay, and the
server takes no time.
"""

from __future__ import annotations

import gc
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter

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
    # An event is for ever: to look for garbage among millions of them takes as long as the rest.
    collecting = gc.isenabled()
    gc.disable()
    try:
        events = World(transport, workload, link.delay_s if link else 0.0).run()
    finally:
        if collecting:
            gc.enable()
    return Run(transport, workload, link, events, origin="simulated")


class World:
    """What both sides share: the time, the list of acts, the trace, and the distance between them."""

    def __init__(self, transport: Transport, workload: Workload, delay_s: float) -> None:
        self.transport, self.workload, self.delay_s = transport, workload, delay_s
        self.keep_alive = getattr(transport, "keep_alive", True)
        self.acts: list[tuple] = []  # a heap of (when, number, act, its arguments)
        self.crossing: deque[tuple] = deque()  # the same, of the acts that `cross` plans
        self.events: list[tuple] = []
        self.numbers, self.requests, self.connections = count(), count(), count()
        # Connections and a WebSocket's handshake, a round trip each, are over just before the start.
        self.now_s = -4 * delay_s - 0.001
        self.due_times_s = workload.due_times_s()
        self.end_s = max(workload.duration_s, self.due_times_s[-1])
        self.last = len(self.due_times_s)  # id of the last message
        self.behind = workload.clients  # how many clients do not have it

    def record(self, name: str, side: str, who=(NONE, NONE, NONE), message=NONE, size=NONE) -> None:
        """Append an event of this moment; `who` is client, connection and request."""
        client, connection, request = who
        self.events.append((self.now_s, name, side, client, connection, request, message, size))

    def at(self, when_s: float, act, *arguments) -> None:
        """Plan an act. Its number keeps those of one moment in the order in which they were planned."""
        heappush(self.acts, (when_s, next(self.numbers), act, arguments))

    def cross(self, act, *arguments) -> None:
        """Plan an act of the other side, one transit from now."""
        # All transits take equally long, so that these happen in the order in which they were planned.
        self.crossing.append((self.now_s + self.delay_s, next(self.numbers), act, arguments))

    @property
    def next_s(self) -> float:
        """When the next act is to happen [s]; infinite if none is planned."""
        return min((acts[0][0] for acts in (self.acts, self.crossing) if acts), default=math.inf)

    def run_until(self, when_s: float) -> None:
        """Do one act after the other, up to then."""
        acts, crossing = self.acts, self.crossing
        while acts or crossing:
            if not crossing or acts and acts[0] < crossing[0]:
                if acts[0][0] > when_s:
                    break
                self.now_s, _, act, arguments = heappop(acts)
            else:
                if crossing[0][0] > when_s:
                    break
                self.now_s, _, act, arguments = crossing.popleft()
            act(*arguments)
        self.now_s = when_s

    def run(self) -> list[tuple]:
        """All events, sorted, when every client has the last message or patience is over."""
        server = Server(self)
        clients = [Client(self, server, number) for number in range(self.workload.clients)]
        for client in clients:
            client.go_on()
        for due_s in self.due_times_s:
            self.at(due_s, server.publish, "x" * self.workload.size_bytes)
        self.run_until(self.end_s)
        deadline_s = self.end_s + self.transport.patience_s + 1 + 6 * self.delay_s
        while self.behind and self.now_s < deadline_s:
            self.run_until(min(self.next_s, deadline_s))
        self.run_until(self.now_s + 4 * self.delay_s)  # a poll may just have begun to connect
        for client in clients:
            client.leave()
        self.run_until(self.now_s + self.delay_s)
        # They refer to the world, which is freed at once if it does not refer to them.
        self.acts.clear()
        self.crossing.clear()
        self.events.sort(key=itemgetter(0))  # a late poll was due before it was recorded
        return self.events


@dataclass(slots=True, eq=False)
class Line:
    """The server's end of a connection."""

    client: Client
    number: int
    who: tuple = ()  # client, connection and request, as they stand in an event
    cursor: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class Server:
    """The server half of all transports."""

    def __init__(self, world: World) -> None:
        self.world, self.record, self.mailbox = world, world.record, Mailbox()
        self.lines: dict[Client, Line] = {}
        self.numbers = count()
        # A stream is a request that is held for ever, and again after each message.
        self.streams = isinstance(world.transport, EventStream | WebSocket)
        self.hold_s = math.inf if self.streams else getattr(world.transport, "hold_s", 0.0)
        self.flush_s = getattr(world.transport, "flush_s", 0.0)
        self.expiry_s = -math.inf  # up to when the ends of holds are planned

    def accept(self, client: Client) -> None:
        """A client has connected."""
        self.lines[client] = line = Line(client, next(self.numbers))
        self.record("opened", "server", (NONE, line.number, NONE))

    def take(self, client: Client, request: int, cursor: int | None) -> None:
        """A request has arrived: answer it, or hold it."""
        line, now_s = self.lines[client], self.world.now_s
        line.who = (client.number, line.number, request)
        line.read_bytes += REQUEST_BYTES
        self.record("request_received", "server", line.who)
        if isinstance(self.world.transport, WebSocket):
            self.answer(line, [])  # the 101
        elif self.streams:
            line.written_bytes += HEAD_BYTES  # the head of a response that does not end
        news = self.mailbox.ask(line, cursor, self.hold_s, now_s)
        if news is not None:
            self.answer(line, news)
        elif now_s + self.hold_s > self.expiry_s:  # holds that end together are looked at together
            self.expiry_s = now_s + self.hold_s
            self.world.at(self.expiry_s, self.expire)

    def expire(self) -> None:
        """Holds end, if no message came first."""
        for line in self.mailbox.expire(self.world.now_s):
            self.answer(line, [])

    def publish(self, text: str) -> None:
        """A message is due: it enters the log, and goes to all who wait."""
        message, released = self.mailbox.publish(text)
        self.record("due", "publisher", message=message.id)
        self.record("published", "server", message=message.id, size=len(text))
        for line in released:
            if self.flush_s:  # the first message opens a window; when it closes, all that came go together
                self.world.at(self.world.now_s + self.flush_s, self.stream, line)
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
        for id, text in news:
            self.record("message_sent", "server", line.who, id, len(text))
        body_bytes, head_bytes = len(to_lines(news)) if news else 0, HEAD_BYTES
        if whole := not (self.streams and news):
            self.record("response_sent", "server", line.who, size=body_bytes)
        else:
            head_bytes = FRAME_BYTES[type(self.world.transport)]
        line.written_bytes += head_bytes + body_bytes
        self.world.cross(line.client.go_on, news, head_bytes + body_bytes if whole else NONE)
        if not self.world.keep_alive:
            self.close(line.client)

    def close(self, client: Client) -> None:
        """The connection ends, if this side has not ended it before."""
        if line := self.lines.pop(client, None):
            self.mailbox.leave(line)
            for name, size in (("read", line.read_bytes), ("written", line.written_bytes), ("closed", NONE)):
                self.record(name, "server", (NONE, line.number, NONE), size=size)


class Client:
    """What a client can do.

    What it does is a generator. It yields the time at which it wants to be woken, or nothing to
    be woken by what arrives.
    """

    __slots__ = ("world", "record", "server", "number", "who", "cursor", "life", "news", "size")

    def __init__(self, world: World, server: Server, number: int) -> None:
        self.world, self.record, self.server, self.number = world, world.record, server, number
        self.who = ()  # client, connection and request, as they stand in an event; empty if not connected
        self.cursor = 0
        self.life = LIVES[type(world.transport)](self, world.transport)

    @property
    def done(self) -> bool:
        """Whether it has the last message of the run, which nobody knows before the end."""
        return self.cursor == self.world.last and self.world.now_s >= self.world.end_s

    def go_on(self, news: list[Message] | None = None, size: int = NONE) -> None:
        """Wake up: it is time, or something has arrived."""
        self.news, self.size = news, size
        if (when_s := next(self.life, None)) is not None:
            self.world.at(max(when_s, self.world.now_s), self.go_on)

    def connect(self) -> Iterator:
        """Connect, which takes a round trip; a transit later the server knows."""
        self.who = (self.number, next(self.world.connections), NONE)
        self.record("opening", "client", self.who)
        yield self.world.now_s + 2 * self.world.delay_s
        self.record("opened", "client", self.who)
        self.world.cross(self.server.accept, self)

    def send(self, cursor: int | None, due_s: float | None = None) -> Iterator:
        """Send a request, on the connection that there is or on a new one."""
        request = next(self.world.requests)
        if due_s is not None:
            self.world.events.append((due_s, "due", "client", self.number, NONE, request, NONE, NONE))
        if not self.who:
            yield from self.connect()
        self.who = (*self.who[:2], request)
        self.record("request_sent", "client", self.who, size=REQUEST_BYTES)
        self.world.cross(self.server.take, self, request, cursor)

    def receive(self) -> None:
        """Take what has arrived: a response, or what is new on a stream."""
        if self.size != NONE:
            self.record("response_received", "client", self.who, size=self.size)
        for id, text in self.news:
            self.record("message_received", "client", self.who, id, len(text))
            self.cursor = id
        if self.news and self.cursor == self.world.last:
            self.world.behind -= 1

    def ask(self, cursor: int | None, due_s: float | None = None) -> Iterator:
        """Send a request and wait for the response."""
        yield from self.send(cursor, due_s)
        yield
        self.receive()
        if not self.world.keep_alive:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self.record("closed", "client", (*self.who[:2], NONE))
        self.who = ()

    def leave(self) -> None:
        """Stop, and close what is open; a transit later the server knows."""
        self.life.close()
        if self.who:
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
    yield from client.send(client.cursor)
    while True:
        yield
        client.receive()


LIVES = {Request: reload, ShortPolling: poll, LongPolling: wait, EventStream: listen, WebSocket: listen}
