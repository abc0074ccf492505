"""An event loop in a thread of its own, and the one door into it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager
from typing import Any


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

    def start(self, context: AbstractAsyncContextManager) -> Any:
        """What the context gives on entering, in the loop; raises what it raises."""
        self._context = context
        self._thread.start()
        return self._entered.result()

    def call(self, function: Callable, *args: Any) -> Any:
        """What the function returns, or raises, when the loop calls it.

        Raises
        ------
        RuntimeError
            If called from the loop itself, which would wait for itself, or if the loop has ended.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"expected a call from outside the loop of {self._thread.name}, got one from inside")
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

    def post(self, function: Callable, *args: Any) -> None:
        """Let the loop call the function, and do not wait."""
        self._loop.call_soon_threadsafe(function, *args)

    def stop(self) -> None:
        """Leave the context, end the thread, and join it; harmless before the start and after the end."""
        if self._thread.ident is None:
            return
        wait([self._entered])
        if self._stopping is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                pass  # it has just ended by itself
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            made = await self._context.__aenter__()
        except BaseException as error:
            self._entered.set_exception(error)
            return
        self._stopping = asyncio.Event()
        self._entered.set_result(made)
        await self._stopping.wait()
        await self._context.__aexit__(None, None, None)
