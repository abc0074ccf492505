"""The way from one program to another, in a world where time is virtual."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class Pipe:
    """A way that takes so long [s]. What leaves first arrives first, which two timers do not promise."""

    def __init__(self, delay_s: float, arrive: Callable[[Any], None]) -> None:
        self.delay_s, self.arrive = delay_s, arrive
        self.things: deque[Any] = deque()
        self.loop = asyncio.get_running_loop()

    def send(self, thing: Any) -> None:
        self.things.append(thing)
        self.loop.call_later(self.delay_s, lambda: self.arrive(self.things.popleft()))
