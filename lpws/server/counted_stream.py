"""Connections that are counted where they are accepted, with their bytes; public names of Tornado only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, UnsatisfiableReadError

from ..loopthread import AT_ONCE
from ..relay import reset_at_close
from ..trace import NONE, clock
from .tcpinfo import payload_bytes

#: The most memory [bytes] that may wait for one client to read, beside what the two kernels hold for it …
MOST_WAITING = 4_000_000
#: … and for all clients of a server together.
MOST_IN_ALL = 64_000_000
#: What Tornado keeps for each write that waits, beside its data [bytes]: a future and its callback.
_PER_WRITE = 500
#: How much more must wait for a client [bytes] until it is looked at again.
_PORTION = 65_536
#: So many descriptors are left to the notebook, and for so long [s] the door is shut when there is none.
_SPARE, _SHUT_S = 32, 0.2
#: The answer to a request whose head is too large (RFC 6585 §5).
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


class Streams(set):
    """The open connections of a server.

    Parameters
    ----------
    record
        Called with each event.
    numbers
        Numbers of the connections.
    """

    #: The memory [bytes] that waits for the clients of all of them; each adds what changes of its own.
    waiting = 0

    def __init__(self, record: Callable[[tuple], None], numbers: Iterator[int]) -> None:
        super().__init__()
        self.record, self.numbers = record, numbers


class CountedStream(IOStream):
    """A connection that counts its bytes, records its two ends, and does not end without a word.

    A client that does not read is hung up on, before it costs its server much more than `most_waiting`.

    Attributes
    ----------
    most_waiting
        The most memory [bytes] that may wait for this client to read; `MOST_WAITING` if nobody says else.
    asked
        Whether a request has come that was let in.
    farewell
        What gives its last words, should Tornado find none; as yet there are none.
    over
        Whether nothing may be said any more: it is closed, or a Close frame was its last word.
    expected
        Whether it may end: the client has gone, or one of them has said that this is the end.
    """

    most_waiting: float = MOST_WAITING

    # Tornado's socket is here, too: side by side in memory is what a broadcast looks at, in thousands.
    __slots__ = ("socket", "over", "waiting", "bytes_written", "bytes_read")
    __slots__ += ("number", "streams", "farewell", "expected")
    __slots__ += ("asked", "begun", "given", "writes", "looked", "counted")

    def __init__(self, *args: Any, streams: Streams, **kwargs: Any) -> None:
        self.number = next(streams.numbers)
        self.streams = streams  # all that are open
        streams.record((clock(), "opened", "server", NONE, self.number, NONE, NONE, NONE))
        self.bytes_read = self.bytes_written = 0
        # Since data last began to wait: bytes written before, bytes written or given, and in how many writes;
        # how much waited when it was last looked at; and how much of what waits in all is its own.
        self.begun = self.given = self.writes = self.looked = self.counted = 0
        self.farewell: Callable[[], bytes] = bytes  # which gives b""
        self.over = self.expected = self.asked = False
        self.waiting = False  # whether there may be data that wait for room in the socket
        super().__init__(*args, **kwargs)
        streams.add(self)

    # Performance: the plain version counts around `super().read_from_fd(…)` and `super().write_to_fd(…)`.
    # Every request passes here, and that call would cost more than the counting; so the next two repeat
    # the line that Tornado's have.

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        try:
            size = self.socket.recv_into(buf)
        except BlockingIOError:
            return None
        if size == 0:
            self.farewell, self.expected = bytes, True  # the client has gone
        self.bytes_read += size
        return size

    def write_to_fd(self, data: bytes | memoryview) -> int:
        size = self.socket.send(data)
        self.bytes_written += size
        if self.counted:
            self._count(self.backlog)
        return size

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        # Tornado hands over whole frames as bytes; 0x88 begins a Close frame (RFC 6455 §5.2).
        if isinstance(data, bytes) and data.startswith(b"\x88"):
            self.farewell, self.over, self.expected = bytes, True, True
        before = self.backlog
        if not before:
            self.begun = self.given = self.bytes_written
            self.writes = 0
        self.given += len(data)
        self.writes += 1
        written = super().write(data)
        self.waiting = self.writing()
        if self.waiting:
            self._count(self.backlog)
            self.looked = min(self.looked, before)
            if self.counted > self.looked + _PORTION:
                self._look(before)
        return written

    @property
    def unsent(self) -> int:
        """Number of bytes that wait for room in the socket."""
        return self.given - self.bytes_written if self.writing() else 0

    @property
    def backlog(self) -> int:
        """Memory [bytes] that these take, about: they themselves, and a part of the writes they came by."""
        written = self.given - self.begun
        return (unsent := self.unsent) and unsent + int(unsent * _PER_WRITE * self.writes / written)

    def _count(self, backlog: int) -> None:
        """Count what waits for this client in what waits in all."""
        self.streams.waiting += backlog - self.counted
        self.counted = backlog

    def _look(self, before: int) -> None:
        """Hang up on the client if too much waits for it; of too much in all, if its share is large."""
        self.looked, total = self.counted, self.streams.waiting
        # A long answer by itself is not too much: its client may read as fast as it can.
        if before > self.most_waiting or (total > MOST_IN_ALL and self.counted > total / len(self.streams)):
            said = f"hung up on a client that did not read: {self.unsent:,} bytes waited for it"
            logging.getLogger("tornado.general").error(said)
            reset_at_close(self.socket)  # so that the kernel, too, keeps nothing for it
            self.close()

    def send(self, data: bytes) -> None:
        """Send data at once, as far as the socket takes it; the rest goes before all that is written later.

        Performance: the plain version is ``self.write(data)``, which takes three times as long.
        """
        size = 0
        try:
            if not (self.waiting and self.writing()):
                self.waiting = False
                size = self.write_to_fd(data)
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(exc_info=(type(error), error, error.__traceback__))
            return
        if size < len(data):
            self.write(memoryview(data)[size:])

    def close(self, exc_info: Any = False) -> None:
        self.expected = self.expected or bool(exc_info or self.error)
        if not self.closed() and not self.writing():
            too_large = isinstance(exc_info, UnsatisfiableReadError)
            if words := TOO_LARGE if too_large else self.farewell():
                with contextlib.suppress(OSError):  # nobody is left to hear it
                    self.write_to_fd(memoryview(words))
        super().close(exc_info)

    def close_fd(self) -> None:
        counts = {"read": self.bytes_read, "written": self.bytes_written}
        if kernel := payload_bytes(self.socket):  # a second opinion, while there is a socket to ask
            counts["kernel_read"], counts["kernel_written"] = kernel
        super().close_fd()
        self.over = True
        self._count(0)
        self.streams.discard(self)
        t = clock()
        for name, size in (*counts.items(), ("closed", NONE if self.expected else 1)):
            self.streams.record((t, name, "server", NONE, self.number, NONE, NONE, size))


class Door(socket.socket):
    """A listening socket that lets a few connections in, and then says that there is none for now.

    Tornado accepts up to 128 in one turn of the loop, which takes 70 ms: timers and clients that are
    connected would wait. Those who are left at the door are still there in the next turn (epoll's
    level-triggered mode).
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.setblocking(False)
        self._entered = 0  # in this turn

    def accept(self) -> tuple[socket.socket, Any]:
        if self._entered == AT_ONCE:
            self._entered = 0
            raise BlockingIOError
        try:
            accepted = super().accept()
        except OSError as error:
            self._entered = 0
            if error.errno not in (errno.EMFILE, errno.ENFILE):  # such as that there is none
                raise
            IOLoop.current().update_handler(self, 0)  # else epoll says again and again that somebody knocks
            IOLoop.current().call_later(_SHUT_S, self._open)
            raise BlockingIOError from error
        self._entered += 1
        return accepted

    def _open(self) -> None:
        if self.fileno() >= 0:  # it may be closed by now
            IOLoop.current().update_handler(self, IOLoop.READ)


class CountingServer(HTTPServer):
    """An HTTP server that counts connections where they are accepted."""

    def initialize(self, *args: Any, streams: Streams, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.streams = streams

    def handle_stream(self, stream: IOStream, address: tuple) -> None:
        connection = stream.socket
        # A new descriptor is the lowest that is free: its number says how many are left.
        most = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 0  # Windows knows no such limit
        if 0 < most - _SPARE <= connection.fileno():
            # Whoever has been here for longest and asked for nothing goes; else whoever comes.
            goes = min((s for s in self.streams if not s.asked), key=lambda s: s.number, default=stream)
            goes.close()
            if goes is stream:
                return
            connection = connection.dup()  # moves to what is free now, so that the spare ones stay so
            stream.close()
        sizes = {"max_buffer_size": self.max_buffer_size, "read_chunk_size": self.read_chunk_size}
        super().handle_stream(CountedStream(connection, streams=self.streams, **sizes), address)
