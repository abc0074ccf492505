"""The link: a TCP relay on loopback with the delay, and the faults, of a distance.

On loopback a transit takes some tens of microseconds, and every transport looks alike. The relay
keeps each chunk until it is due on the other side. A new connection takes a round trip more: over a
distance the handshake takes one, on loopback almost no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable

from .loopthread import LoopThread, quiet
from .specs import Link
from .trace import NONE, clock

#: The most [bytes] that may be on its way in one direction of a connection; more waits at its sender.
MOST_BYTES = 1 << 20


def reset_at_close(connection: socket.socket) -> None:
    """Let the kernel send a reset (RST) when it is closed, in place of FIN, and keep nothing for its peer."""
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # SO_LINGER, on and 0 s
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class Relay:
    """A relay to a port of 127.0.0.1, as a context manager; clients connect to its `address`.

    Parameters
    ----------
    link
        Delay and faults. The times of faults are counted from `begin`.
    port
        Where the server listens.
    record
        Called with each event, if given: when a chunk was due, and when it left.
    log
        Gets the lines that would otherwise be printed, if given.
    """

    def __init__(
        self,
        link: Link,
        port: int,
        record: Callable[[tuple], None] | None = None,
        log: deque[str] | None = None,
    ) -> None:
        self.link, self.port, self.record = link, port, record or (lambda event: None)
        self.log = deque(maxlen=20) if log is None else log
        self.crossings: set[Crossing] = set()
        self.silent = False
        self.spoke_s = 0.0  # when the last silence ended
        self.numbers = itertools.count()
        self._thread = LoopThread("lpws link")

    def __enter__(self) -> Relay:
        try:
            self.address = self._thread.start(self._serve())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()

    def begin(self, start: float) -> None:
        """Schedule the faults, counted from `start` [s]."""
        self._thread.call(self._schedule, start)

    def cut(self) -> None:
        """Reset every connection that crosses the link; new ones may follow."""
        self._thread.call(self._cut)

    def silence(self, silent: bool = True) -> None:
        """Deliver nothing to either side from now on; or, with False, deliver what was kept back.

        Neither side is told, as on a dead link. Nothing is missing once the link is alive again: over a
        real distance TCP would send again what was lost.
        """
        self._thread.call(self._silence, silent)

    def _schedule(self, start: float) -> None:
        loop, link = asyncio.get_running_loop(), self.link
        now = clock()
        if link.cut_at_s is not None:
            loop.call_later(start + link.cut_at_s - now, self._cut)
        if link.silent_at_s is not None:
            begin = start + link.silent_at_s - now
            loop.call_later(begin, self._silence, True)
            loop.call_later(begin + link.silent_for_s, self._silence, False)

    def _cut(self) -> None:
        for crossing in list(self.crossings):
            crossing.reset()

    def _silence(self, silent: bool) -> None:
        self.silent = silent
        if not silent:
            self.spoke_s = clock()
        for crossing in self.crossings:
            crossing.near.bring()
            crossing.far.bring()

    @contextlib.asynccontextmanager
    async def _serve(self) -> AsyncIterator[tuple[str, int]]:
        loop = asyncio.get_running_loop()
        with quiet(self.log):
            listener = await loop.create_server(lambda: Crossing(self).near, "127.0.0.1", 0, backlog=4096)
            if not listener.sockets:  # asyncio passes over a socket that it cannot make
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            try:
                yield listener.sockets[0].getsockname()
            finally:
                # The last connection has been accepted, and a task is about to take over its socket, which
                # it cannot do once the listener is closed. So accept nobody else, and let the tasks run.
                with contextlib.suppress(NotImplementedError):  # Windows
                    for knocked in listener.sockets:
                        loop.remove_reader(knocked)
                await asyncio.sleep(0)
                listener.close()
                # asyncio begins an accepted connection in a task; these end before the last cut.
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                self._cut()
                await asyncio.sleep(0)  # the transports close


class Crossing:
    """One connection over the link: the end near the client, and the end near the server."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.loop = asyncio.get_running_loop()
        self.near, self.far = End(self), End(self)
        self.near.other, self.far.other = self.far, self.near

    def begin(self) -> None:
        """Connect to the server when the client's handshake, a round trip and a transit, would reach it."""
        self.relay.crossings.add(self)
        delay_s = self.relay.link.delay_s
        # Over a distance a client waits a round trip for the answer to its SYN before it sends. Here it
        # can send at once, so the relay holds its first bytes for that round trip.
        self.near.open_at = clock() + 2 * delay_s
        self.knock = self.loop.create_task(self._knock(3 * delay_s))

    async def _knock(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            await self.loop.create_connection(lambda: self.far, "127.0.0.1", self.relay.port)
        except OSError:  # the server refuses, and so the client is refused
            self.reset()

    def reset(self) -> None:
        """Reset both sides at once, and drop what is in flight."""
        self.relay.crossings.discard(self)
        self.knock.cancel()
        for end in (self.near, self.far):
            end.reset()


class End(asyncio.Protocol):
    """One end of a crossing: sends what arrives here into the link, and delivers what the link brings."""

    other: End

    def __init__(self, crossing: Crossing) -> None:
        self.crossing, self.relay = crossing, crossing.relay
        self.transport: asyncio.Transport | None = None
        self.open_at = 0.0  # [s]; what arrives earlier leaves as if it had arrived then
        self.full = False  # whether the peer's buffer is full (backpressure)
        self.ready_s = 0.0  # when the peer last began to take data again
        self.heard_all = self.said_all = False  # whether a FIN came in here, went out here
        self.lost = False  # whether the connection is gone
        self.chunks: deque[tuple[float, bytes | None]] = deque()  # (due here [s], data; None is a FIN)
        self.size = 0  # bytes in the chunks
        self.timer: asyncio.TimerHandle | None = None  # rings when the first chunk is due

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self is self.crossing.near:
            self.crossing.begin()
        elif self.lost:  # cut while it knocked
            self.reset()
        else:
            self.bring()

    def data_received(self, data: bytes) -> None:
        self.send(data)

    def eof_received(self) -> bool:
        self.heard_all = True
        self.send(None)
        return not self.said_all  # whether the other direction is still open

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost, self.full = True, False
        self.bring()  # what waited here is for nobody
        if self.other.lost:
            self.relay.crossings.discard(self.crossing)
        else:
            self.send(None)

    def reset(self) -> None:
        """Drop the connection so that its peer gets a reset (RST), not an orderly end (FIN)."""
        self.lost = True
        if self.transport is not None and not self.transport.is_closing():
            reset_at_close(self.transport.get_extra_info("socket"))
            self.transport.abort()

    def send(self, data: bytes | None) -> None:
        """Send a chunk into the link; it is due at the other end after one transit."""
        due = max(clock(), self.open_at) + self.relay.link.delay_s
        other = self.other
        other.chunks.append((due, data))
        other.size += len(data or b"")
        if len(other.chunks) == 1:
            other.wait(due)
        if other.size > MOST_BYTES and self.transport is not None:  # as TCP's window does, once it is full
            self.transport.pause_reading()

    def wait(self, due: float) -> None:
        """Set the one timer to the first chunk's due time."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.crossing.loop.call_later(due - clock(), self.bring)

    # asyncio's transport calls these two when its write buffer is full, and when it has room again.

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full, self.ready_s = False, clock()
        self.bring()

    def bring(self) -> None:
        """Deliver the chunks that are due, and set the timer for the next."""
        if self.transport is None or self.relay.silent or self.full:
            return  # connection_made, the end of the silence or resume_writing calls this again
        while self.chunks and not self.full:
            due, data = self.chunks[0]
            now = clock()
            if now < due:
                self.wait(due)
                return
            self.chunks.popleft()
            before, self.size = self.size, self.size - len(data or b"")
            if self.size <= MOST_BYTES < before and self.other.transport is not None:
                self.other.transport.resume_reading()
            if self.lost:
                continue
            if data is None:
                self._say_end()
                continue
            number = next(self.relay.numbers)
            due = max(due, self.relay.spoke_s, self.ready_s)  # a chunk kept back on purpose is not late
            self.relay.record((due, "due", "link", NONE, NONE, number, NONE, NONE))
            self.relay.record((now, "relayed", "link", NONE, NONE, number, NONE, len(data)))
            self.transport.write(data)

    def _say_end(self) -> None:
        self.said_all = True
        if self.heard_all or self.other.lost:
            self.transport.close()  # both directions have ended
        elif not self.transport.is_closing():
            with contextlib.suppress(OSError):  # it has just been reset
                self.transport.write_eof()  # a half-closed connection still brings answers
