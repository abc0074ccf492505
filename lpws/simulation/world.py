"""The world of a simulation: a list of acts, and of when each is to happen.

The earliest is taken and done, which puts further acts on the list; between two of them nothing
happens, so that the clock jumps.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count

from ..specs import Transport, Workload

# Bytes are for scale: heads about as long as those of the recording client and of Tornado.
REQUEST_BYTES, HEAD_BYTES = 90, 160


class World:
    """The world that both sides share: the time, the acts to come, the trace, and the distance."""

    def __init__(self, transport: Transport, workload: Workload, delay_s: float) -> None:
        self.transport, self.workload, self.delay_s = transport, workload, delay_s
        self.keep_alive = transport.keep_alive
        self.acts: list[tuple] = []  # a heap of (when, number, act, its argument)
        self.crossing: deque[tuple] = deque()  # the same, of the acts that `cross` plans
        self.events: list[tuple] = []  # sorted by time
        self.record = self.events.append
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
