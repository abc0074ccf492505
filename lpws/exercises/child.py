"""The process in which a reader's program runs: it serves or calls it, and does what the observer says.

It is started by `lpws.exercises.program` and gives no verdict: it tells what happened.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import logging
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from ..decisions import Message
from .clock import Clock, Loop, Order

# The program may put something else in their place.
_dumps, _loads, _exit = pickle.dumps, pickle.loads, os._exit
#: A process that nobody ends ends by itself after so many seconds.
_LIFE_S = 60
#: How much more memory than at its start the program may take [bytes].
_MEMORY = 512 * 2**20


class Room:
    """The messages so far, and who is to be called with the next one."""

    def __init__(self, child: Child) -> None:
        self.messages: list[Message] = []
        self.listeners: set = set()
        self._child = child

    def publish(self, text: str) -> int:
        """Id of the message that the text became, after every listener was called with it."""
        message = Message(len(self.messages) + 1, text)
        self.messages.append(message)
        for listener in list(self.listeners):
            try:
                if inspect.iscoroutine(waiting := listener(message)):
                    waiting.close()
                    self._child.errors.append("a listener that is a coroutine function, which nobody awaits")
            except Exception as error:
                self._child.note(error)
        return message.id


class Child:
    """The program, its loop and its clock, and the observer's orders."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.clock = Clock()
        self.loop = Loop(self.clock, self.report)
        self.errors: list[str] = []
        self.answers: list[tuple[int, float]] = []  # a client's port, and when it was answered
        self.room = Room(self)
        self.server: _Server | None = None
        self.race: tuple[int, Callable[[], Any]] | None = None
        self.result: Any = None

    def report(self, rests: bool) -> None:
        """Tell the observer how things stand."""
        told = {
            "now_s": self.clock.now_s, "rests": rests, "blocked_s": self.clock.blocked_s,
            "errors": self.errors, "answers": self.answers, "listeners": len(self.room.listeners),
            "stirs": self.clock.stirs, "result": self.result,
        }  # fmt: skip
        self.errors, self.answers, self.result, self.clock.blocked_s = [], [], None, 0.0
        self.clock.stirs = []
        self.say(told)

    def say(self, told: dict[str, Any]) -> None:
        data = _dumps(told)
        self.control.sendall(struct.pack("!I", len(data)) + data)

    def hear(self) -> Any:
        """The observer's next word, of which the first bytes are there."""
        (size,) = struct.unpack("!I", self._exactly(4))
        return _loads(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self.control.recv(size - len(data))):
                _exit(0)  # the observer has gone
            data += more
        return data

    def note(self, error: BaseException) -> None:
        """Keep what the program raised, with the line of the cell that it came from."""
        if isinstance(error, asyncio.CancelledError):
            return
        frames = traceback.extract_tb(error.__traceback__)
        # Frames of the library's own generated code look like a cell's: "<frozen codecs>", or the "<string>"
        # in which a dataclass has its `__init__`.
        own = [frame for frame in frames if "ipykernel" in frame.filename] or [
            frame for frame in frames
            if frame.filename.startswith("<") and not frame.filename.startswith("<frozen")
            and frame.name != "__init__"
        ]  # fmt: skip
        where = f" in line {own[-1].lineno} of the cell" if own else ""
        said = f": {error}" if str(error) else ""
        self.errors.append(f"{type(error).__name__}{said}{where}"[:300])

    # ------------------------------------------------------------------------ what it obeys

    def obey(self) -> None:
        name, *arguments = self.hear()
        order = Order(self.clock.now_s, lambda: True)
        self.loop.order = order
        try:
            getattr(self, f"do_{name}")(order, *arguments)
        except Exception as error:
            self.note(error)

    def do_serve(self, order: Order, path: str) -> None:
        """Serve the program in a room of its own."""
        if self.server is not None:
            self.server.stop()
        self.room = room = Room(self)
        if isinstance(self.program, type):
            takes_room = "room" in inspect.signature(self.program.initialize).parameters
            handlers = [(path, self.program, {"room": room} if takes_room else {})]
        else:
            handlers = self.program.rules()
        sockets = bind_sockets(0, "127.0.0.1")
        if not isinstance(self.program, type):  # so that a client that does not read is soon felt
            sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        self.server = _Server(_Application(self, handlers, log_function=self.answered))
        self.server.add_sockets(sockets)
        self.result = sockets[0].getsockname()[1]

    def do_settle(self, order: Order, arrived: int, closed: int, seconds: float, steps: bool = False) -> None:
        """Come to rest after so many requests and goodbyes, and after so many seconds, or a timer."""
        order.until_s, order.steps = order.until_s + seconds, steps
        server = self.server
        order.seen = lambda: server.arrived >= arrived and server.closed >= closed

    def do_publish(self, order: Order, texts: list[str]) -> None:
        """Publish without a pause, so that the loop does nothing else in between."""
        for text in texts:
            self.room.publish(text)

    def do_race(self, order: Order, turns: int, texts: list[str]) -> None:
        """Publish so many turns of the loop after the next request has arrived, one text a turn."""

        def publish() -> None:
            self.room.publish(texts.pop(0))
            if texts:
                self.later(1, publish)

        self.race = (turns, publish)

    def do_hold(self, order: Order) -> None:
        """Stand still until the next order: what the observer does meanwhile comes at the same moment."""
        self.report(True)
        self.obey()

    def do_pause(self, order: Order, turns: int) -> None:
        """Stand still so many turns of the loop after the next request has arrived."""
        order.seen = lambda: False
        self.race = (turns, lambda: self.do_hold(order))

    def do_written(self, order: Order) -> None:
        """Tell of each connection how many bytes were written, whether more wait, and whether it ended."""
        streams = self.server.streams

        def look() -> bool:  # at rest: a handler that goes on in the next turn may have more to write
            self.result = {port: (each.written, each.writing(), each.closed()) for port, each in streams}
            return True

        order.seen = look

    def do_census(self, order: Order) -> None:
        """Count the requests that are still in memory."""
        gc.collect()
        kind = self.program if isinstance(self.program, type) else RequestHandler
        self.result = sum(issubclass(type(thing), kind) for thing in gc.get_objects())

    def do_call(self, order: Order, *arguments: Any) -> None:
        """Call the program; time passes as it needs."""
        order.until_s += 1e6
        done, order.calling = False, True
        order.seen = lambda: done

        async def call() -> None:
            nonlocal done
            try:
                value = self.program(*arguments)
                self.result = plain(await value if inspect.isawaitable(value) else value)
            except Exception as error:
                self.note(error)
            done, order.until_s = True, self.clock.now_s

        self.calling = self.loop.create_task(call())

    # ------------------------------------------------------------------------ what it sees

    def arrive(self) -> None:
        self.server.arrived += 1
        if self.race is not None:
            turns, act = self.race
            self.race = None
            self.later(turns, act)

    def later(self, turns: int, act: Callable[[], Any]) -> None:
        if turns:
            self.loop.call_soon(self.later, turns - 1, act)
        else:
            act()

    def answered(self, handler: Any) -> None:
        connection = handler.request.connection
        port = connection.context.address[1]
        # A handler may end long after its client has gone; another client may have its port by then.
        if connection.stream in (None, dict(self.server.streams).get(port)):
            self.answers.append((port, self.clock.now_s))

    async def run(self) -> None:
        self.loop.add_reader(self.control, self.obey)
        await self.loop.create_future()


class _Application(Application):
    """Says when a request has arrived."""

    def __init__(self, child: Child, handlers: list, **settings: Any) -> None:
        super().__init__(handlers, **settings)
        self._child = child

    def find_handler(self, request: Any, **options: Any) -> Any:
        delegate = super().find_handler(request, **options)
        execute = delegate.execute

        def executed() -> Any:
            self._child.arrive()
            return execute()

        delegate.execute = executed
        return delegate


class _Server(HTTPServer):
    """Counts the requests that have arrived, the bytes written and the connections that have ended."""

    arrived = 0

    def initialize(self, *given: Any, **options: Any) -> None:
        super().initialize(*given, **options)
        self.streams: list[tuple[int, Any]] = []  # each connection, after its client's port

    @property
    def closed(self) -> int:
        # Tornado calls `on_close` for a WebSocket at once, and never if an `on_connection_close` raises.
        return sum(stream.done or stream.closed() for _, stream in self.streams)

    def on_close(self, server_conn: Any) -> None:
        super().on_close(server_conn)
        server_conn.stream.done = True

    def handle_stream(self, stream: Any, address: tuple) -> None:
        self.streams.append((address[1], stream))
        stream.done, stream.written, write = False, 0, stream.write_to_fd

        def written(data: memoryview) -> int:
            count = write(data)
            stream.written += count
            return count

        stream.write_to_fd = written
        # Small writes leave at once (no waiting for an ACK, as Nagle's algorithm does): that takes real
        # time, in which none passes here, and a client would see them too late on the program's clock.
        stream.set_nodelay(True)
        stream.set_nodelay = lambda value: None  # Tornado turns it off again after each response
        super().handle_stream(stream, address)


class _Beginning(io.FileIO):
    """An output that passes on the beginning of what is printed: no more is shown, and the rest takes time.

    Ten megabytes go through a pipe in hundreds of pieces, each of which waits for the observer to read.
    """

    left = 100_000  # bytes

    def write(self, data) -> int:
        with memoryview(data) as view:
            self.left -= super().write(view[: self.left]) if self.left > 0 else 0
            return len(view)


class _Log(logging.Handler):
    """Takes what Tornado and asyncio complain of."""

    def __init__(self, child: Child) -> None:
        super().__init__(logging.ERROR)
        self._child = child

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._child.note(error)
        elif record.name.startswith("tornado") or (
            record.name == "asyncio" and "destroyed" not in record.getMessage()
        ):  # and not what the program itself has to say
            self._child.errors.append(record.getMessage().partition("\n")[0][:300])


def plain(value: Any) -> Any:
    """The value as what Python itself has: tuples, lists, dicts, text, bytes and numbers.

    What the program returns is compared by the observer, and must not bring its own ``==``.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {"": type(value).__name__} | {
            name: plain(getattr(value, name)) for name in value.__dataclass_fields__
        }
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "item") and not isinstance(value, Iterable):  # a number of NumPy
        return plain(value.item())
    if isinstance(value, Iterable):
        items = [plain(item) for item in islice(value, 100_000)]
        return tuple(items) if isinstance(value, tuple) else items
    raise TypeError(f"your function returned {value!r:.100}, of which a check can make nothing")


def main() -> None:
    port, token = sys.stdin.readline().split()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if hasattr(signal, "alarm"):
        signal.alarm(_LIFE_S)
    control = socket.create_connection(("127.0.0.1", int(port)))
    control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    control.sendall(token.encode())
    os.set_inheritable(control.fileno(), False)
    child = Child(control)
    for name in ("stdout", "stderr"):
        output = _Beginning(getattr(sys, name).fileno(), "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(output, "utf-8", "backslashreplace", write_through=True))
    logging.root.addHandler(_Log(child))
    warnings.showwarning = lambda message, *_, **__: child.errors.append(str(message)[:300])
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", ".*was never awaited", RuntimeWarning)
    child.clock.install()
    try:
        child.program = child.hear()
    except Exception as error:
        child.say({"refused": f"{type(error).__name__}: {error}"})
        return
    limit_memory()
    child.say({"refused": None})
    asyncio.Runner(loop_factory=lambda: child.loop).run(child.run())


def limit_memory() -> None:
    """Let a program that takes a gigabyte meet a `MemoryError`, and not the reader's computer."""
    with suppress(ImportError, OSError, ValueError):  # not every system counts it
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:
            now = int(pages.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (now + _MEMORY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    try:
        main()
    finally:
        sys.stdout.flush()
        _exit(3)  # a thread of the program must not keep the process
