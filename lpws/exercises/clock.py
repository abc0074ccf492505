"""Virtual time for a reader's program: it passes when the observer says so, not when it passes outside."""

from __future__ import annotations

import asyncio
import datetime
import importlib.abc
import importlib.machinery
import selectors
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from types import FrameType, ModuleType

_really_sleep, _really_wait, _really_s = time.sleep, threading.Condition.wait, time.monotonic
#: Time [s] without a sign after which a thread counts as resting, and time to wait for one that works.
_GRACE_S, _PATIENCE_S = 0.005, 1.5
#: Turns of the loop in which no time passes, or timers, after which the program counts as never resting.
_TURNS = 3000


class _Unpatched(importlib.abc.MetaPathFinder):
    """Importer of a package with the `datetime` that its compiled modules were built for.

    While pandas is imported, its compiled modules take `datetime.datetime` for the library's own type, and a
    subclass in its place ends the process (a segmentation fault).
    """

    def __init__(self, package: str, real: type[datetime.datetime]) -> None:
        self.package, self.real = package, real

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        virtual, datetime.datetime = datetime.datetime, self.real
        try:
            execute(module)
        finally:
            datetime.datetime = virtual


class Clock:
    """The time that the program sees; `install` puts it in the place of the computer's.

    A blocking sleep in the loop's thread moves the clock, and counts as time in which everything
    stood still. A sleep in another thread waits until the observer has moved the clock.
    """

    def __init__(self) -> None:
        self.now_s = 0.0  # since the start
        self.blocked_s = 0.0  # how long the loop stood still because of a blocking sleep
        self.sleepers: list[float] = []  # when threads that sleep want to go on
        self.parked: set[int] = set()  # threads that wait, however long
        self.looks: dict[int, int] = {}  # a thread that sleeps → how often it has looked at the clock
        self.stirs: list[float] = []  # when a timer of the program's was due, since the last report
        self._wall_s, self._monotonic_s = time.time(), time.monotonic()

    def time(self) -> float:
        return self._wall_s + self.now_s

    def monotonic(self) -> float:
        return self._monotonic_s + self.now_s

    def block(self, seconds: float) -> None:
        """Let the time pass while the whole program stands still."""
        self.now_s += seconds
        self.blocked_s += seconds

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if threading.current_thread() is threading.main_thread():
            self.block(seconds)
        else:
            self._until(self.now_s + seconds, lambda: _really_sleep(0.001))

    def wait(self, condition: threading.Condition, timeout: float | None = None) -> bool:
        """In the place of `Condition.wait`, on which events and queues are built."""
        if timeout is None:
            self.parked.add(threading.get_ident())
            try:
                return _really_wait(condition)
            finally:
                self.parked.discard(threading.get_ident())
        if threading.current_thread() is threading.main_thread():
            told = _really_wait(condition, min(timeout, 0.02))
            if not told:
                self.block(timeout)
            return told
        # As `Condition.wait` does it, but with one lock for all looks at the clock: who is told between
        # two of them must not be forgotten.
        told, lock = False, threading.Lock()
        lock.acquire()
        condition._waiters.append(lock)
        saved = condition._release_save()
        try:
            told = self._until(self.now_s + timeout, lambda: lock.acquire(timeout=0.001))
        finally:
            condition._acquire_restore(saved)
            if not told:
                with suppress(ValueError):
                    condition._waiters.remove(lock)
        return told

    def _until(self, due_s: float, rest: Callable[[], bool | None]) -> bool:
        """Rest again and again until the clock is there; True as soon as a rest says so."""
        thread = threading.get_ident()
        self.sleepers.append(due_s)
        self.looks[thread] = 0
        try:
            while self.now_s < due_s:
                if rest():
                    return True
                self.looks[thread] += 1
            return False
        finally:
            del self.looks[thread]
            self.sleepers.remove(due_s)

    def install(self) -> None:
        for name, function in (("time", self.time), ("monotonic", self.monotonic)):
            setattr(time, name, function)
            setattr(time, f"{name}_ns", lambda function=function: int(function() * 1e9))
        time.perf_counter, time.perf_counter_ns = time.monotonic, time.monotonic_ns
        time.sleep = self.sleep
        clock = self

        class now(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(clock.time(), tz)

            @classmethod
            def utcnow(cls):
                return cls.fromtimestamp(clock.time(), datetime.UTC).replace(tzinfo=None)

        now.__name__ = now.__qualname__ = "datetime"
        datetime.datetime = now
        sys.meta_path.insert(0, _Unpatched("pandas", datetime.datetime.__base__))
        threading.Condition.wait = lambda condition, timeout=None: clock.wait(condition, timeout)


class Order:
    """An order of the observer: go on until a time has come and the program has nothing left to do.

    Parameters
    ----------
    until_s
        The time, on the program's clock.
    seen
        Whether all that the observer has sent is there: a sleep would not be a barrier.
    """

    def __init__(self, until_s: float, seen: Callable[[], bool]) -> None:
        self.until_s, self.seen = until_s, seen
        self.steps = False  # whether to come back when a timer was due
        self.calling = False  # whether a call is to come to its end, however late
        self.turns = 0


class Loop(asyncio.SelectorEventLoop):
    """An event loop on that clock, which says when it has come to rest.

    Parameters
    ----------
    clock
        Its time.
    rested
        Called when an order has been carried out, with whether the program rests at all.
    """

    def __init__(self, clock: Clock, rested: Callable[[bool], None]) -> None:
        self.clock, self.rested = clock, rested
        self.order: Order | None = None
        self.impatient = False  # whether a thread of the program never rests
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.clock.monotonic()

    def rest(self, timeout: float | None, select: Callable[[float | None], list]) -> list:
        """Find something to do for a loop that would wait for so long [s]; let time pass if need be."""
        clock, order = self.clock, self.order
        if order is None:
            return select(None)
        if not order.seen() and not (order.calling and timeout is not None):
            return select(1)
        due_s = [clock.now_s + timeout] if timeout is not None else []
        if threading.active_count() > 1:
            if ready := self._threads(select):
                return ready
            due_s += clock.sleepers
        if due_s and min(due_s) <= order.until_s:
            clock.now_s = max(clock.now_s, min(due_s))
            clock.stirs.append(clock.now_s)
            if order.steps:
                order.until_s = clock.now_s
            self.turn()
            return []
        clock.now_s = max(clock.now_s, order.until_s)
        self.order = None
        self.rested(True)
        return []

    def _threads(self, select: Callable[[float | None], list]) -> list:
        """Wait until the program's threads rest or take too long; return what they have for the loop."""
        clock, end_s, rested = self.clock, _really_s() + _PATIENCE_S, 0
        before = clock.looks.copy()
        while not self.impatient and rested < 2:
            if ready := select(_GRACE_S):
                return ready
            looks = clock.looks.copy()
            idle = clock.parked | {thread for thread in looks if looks[thread] > before.get(thread, -1) + 1}
            idle |= _without_work(sys._current_frames())
            rested += idle.issuperset(sys._current_frames().keys() - {threading.main_thread().ident})
            self.impatient = _really_s() > end_s
        return []

    def turn(self) -> None:
        """Count a turn of the loop; so many of them are no rest."""
        if self.order is not None:
            self.order.turns += 1
            if self.order.turns > _TURNS:
                self.order = None
                self.rested(False)


def _without_work(frames: dict[int, FrameType]) -> set[int]:
    """The threads of pools that wait for something to do, of which there is nothing."""
    waiting: dict[Executor | None, set[int]] = {}
    for thread, frame in frames.items():
        if (frame.f_code.co_name, frame.f_code.co_filename[-9:]) == ("_worker", "thread.py"):
            found = frame.f_locals
            # What it has been given it may not have begun, on a busy machine.
            if found["work_queue"].empty() and found.get("work_item") is None:
                waiting.setdefault(found["executor_reference"](), set()).add(thread)
    # From Python 3.13 on the queue has handed it over by then; the pool's count of the idle tells.
    return {
        thread
        for pool, threads in waiting.items()
        if pool is None or pool._idle_semaphore._value >= len(threads)
        for thread in threads
    }


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do whenever it would have to wait."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is not None and timeout <= 0:
            self._loop.turn()
            return []
        return self._loop.rest(timeout, super().select)
