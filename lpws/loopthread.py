"""An event loop in a thread of its own, and the one door into it."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import selectors
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any

_LOGGERS = [logging.getLogger(f"tornado.{name}") for name in ("access", "application", "general")]

#: The most descriptors that one turn of a loop serves.
AT_ONCE = 16
#: The first descriptor that select() does not take (FD_SETSIZE of the C library).
_FD_SETSIZE = 1024


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers do not wait for the next whole millisecond."""
    if hasattr(selectors, "EpollSelector"):
        selector = _PunctualSelector()
        if selector.fileno() < _FD_SETSIZE:
            return asyncio.SelectorEventLoop(selector)
        selector.close()
    return asyncio.new_event_loop()


if hasattr(selectors, "EpollSelector"):

    class _PunctualSelector(selectors.EpollSelector):
        """An epoll that waits in select(), since select() counts microseconds and epoll milliseconds.

        An epoll is itself a descriptor that can be waited for, so select() has only that one to look at.

        If thousands of descriptors are ready, one turn of the loop serves a few of them. If it served all,
        timers and calls from other threads would wait until the last is done. The other descriptors are
        still ready at the next turn (epoll is level-triggered), and come before those that were served.
        """

        def __init__(self) -> None:
            super().__init__()
            self._few = select.epoll.fromfd(os.dup(self.fileno()))  # the same epoll, asked for a few

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            ready = self._ready()
            if not ready and (timeout is None or timeout > 0):
                select.select([self], [], [], timeout)
                ready = self._ready()
            return ready

        def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
            ready = []
            for descriptor, happened in self._few.poll(0, AT_ONCE):
                try:
                    key = self.get_key(descriptor)
                except KeyError:
                    continue
                # An error or a hang-up is for whoever reads or writes.
                events = selectors.EVENT_READ if happened & ~select.EPOLLOUT else 0
                events |= selectors.EVENT_WRITE if happened & ~select.EPOLLIN else 0
                if events & key.events:
                    ready.append((key, events & key.events))
            return ready

        def close(self) -> None:
            self._few.close()
            super().close()


class LoopThread:
    """A thread that runs an event loop inside an asynchronous context until it is stopped.

    A busy cell of the notebook blocks the kernel's own loop; it does not block this one.

    Parameters
    ----------
    name
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._entered: Future[Any] = Future()
        self._stopping: asyncio.Event | None = None
        self._stopped = False  # whether it was asked to stop
        self._error: BaseException | None = None  # what went wrong after the start

    def start(self, context: AbstractAsyncContextManager) -> Any:
        """Start the thread, enter the context in its loop, and return what entering gives, or raise it."""
        self._context = context
        self._thread.start()
        return self._entered.result()

    def call(self, function: Callable, *args: Any) -> Any:
        """Let the loop call the function, wait, and return what it returns, or raise what it raises.

        Raises
        ------
        RuntimeError
            If called from the loop's own thread, which would wait for itself, or if the loop has ended.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"expected a call from outside the loop of {self._thread.name}, got one in it")
        answer: Future[Any] = Future()

        def run() -> None:
            try:
                answer.set_result(function(*args))
            except BaseException as error:
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        while not wait([answer], timeout=0.5).done:
            if not self._thread.is_alive():
                raise RuntimeError(f"the loop of {self._thread.name} ended before it could answer")
        return answer.result()

    def run(self, function: Callable[..., Coroutine], *args: Any) -> Any:
        """Let the loop run the coroutine function; the same as `call` in all else."""
        # Begun by a call, which sees whether the loop would wait for itself.
        return self.call(lambda: asyncio.run_coroutine_threadsafe(function(*args), self._loop)).result()

    def post(self, function: Callable, *args: Any) -> None:
        """Let the loop call the function, without waiting for it."""
        self._loop.call_soon_threadsafe(function, *args)

    def stop(self) -> None:
        """Leave the context, end the thread, and join it; harmless before the start and after the end.

        Raises, once, what leaving the context raised.
        """
        self._stopped = True  # an interrupt may have come while the thread was being started
        if self._thread.ident is None:
            return
        wait([self._entered])
        if self._stopping is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            error, self._error = self._error, None
            if error is not None:
                raise error

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            if self._entered.done():
                self._error = error  # raised by `stop`: threading would print it into whichever cell runs
            else:
                self._entered.set_exception(error)  # there was no loop to be had

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            made = await self._context.__aenter__()
        except BaseException as error:
            self._entered.set_exception(error)
            return
        self._stopping = asyncio.Event()
        self._entered.set_result(made)
        if not self._stopped:
            await self._stopping.wait()
        await self._context.__aexit__(None, None, None)


@contextmanager
def quiet(log: deque[str], gone: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Keep this thread from printing: its output would land in whichever cell is running.

    Errors of a handler are noted in the log, a line each. A client's mistake is not: the client is told.
    Nor is an error that nobody awaits, if it is one of those that say that a client has `gone`.
    """
    thread = threading.get_ident()

    def note(what: str, error: BaseException | None) -> None:
        log.append(what.partition("\n")[0] + (f": {error!r}" if error else ""))

    def keep(record: logging.LogRecord) -> bool:
        ours = record.thread == thread  # the kernel runs on Tornado, too
        if ours and record.levelno >= logging.ERROR:
            note(record.getMessage(), record.exc_info[1] if record.exc_info else None)
        return not ours

    def missed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, (asyncio.CancelledError, *gone)):
            note(context["message"], error)

    asyncio.get_running_loop().set_exception_handler(missed)
    for logger in _LOGGERS:
        # Others may want to hear less of Tornado: Dask, once imported, only what is critical.
        logger.setLevel(min(logger.getEffectiveLevel(), logging.ERROR))
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in _LOGGERS:
            logger.removeFilter(keep)
