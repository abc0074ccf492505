"""A function run at every point of a grid, on all processors of this machine or of others."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from functools import partial
from typing import Any

from .machine import BAR_S, progress


def sweep(
    function: Callable[..., Any], grid: Mapping[str, Iterable[Any]], *, executor: Executor | None = None
) -> list[Any]:
    """Results of a function at every point of a grid, in the order of the grid.

    Parameters
    ----------
    function
        `simulate`, or a function written in a cell. It is called with keyword arguments.
    grid
        Argument → its values. Every combination is a point; the values of the last argument change fastest,
        as in `itertools.product`.
    executor
        What runs the calls: any `concurrent.futures.Executor`, such as Dask's ``Client.get_executor()``. It
        is the caller's, and goes on afterwards. Without one, loky's processes, as many as there are
        processors; they end with the sweep.

    Raises
    ------
    TypeError
        If the function, the grid or the executor is none.
    Exception
        The first error of the function, with a note that names its point, as ``sweep: no result for a=0``.
        Points not yet begun are left out. If a worker dies, the point is the first that is left without one.

    Notes
    -----
    The bar shows in a sweep that takes longer than three seconds, if somebody is there to see it.

    Examples
    --------
    >>> from lpws import LongPolling, ShortPolling, Workload, simulate
    >>> works = [Workload(clients=clients, rate_hz=1, duration_s=5) for clients in (1, 10)]
    >>> runs = sweep(simulate, {"transport": [LongPolling(), ShortPolling()], "workload": works})
    >>> [(run.label, run.workload.clients) for run in runs]
    [('long polling', 1), ('long polling', 10), ('short polling', 1), ('short polling', 10)]
    """
    if not callable(function):
        raise TypeError(f"sweep: expected a function, got {function!r:.100}")
    if not isinstance(grid, Mapping) or not all(map(_is_list, grid, grid.values())):
        raise TypeError(f"sweep: expected a grid as {{'clients': [10, 100]}}, got {grid!r:.100}")
    if not isinstance(executor, Executor | None):
        raise TypeError(f"sweep(executor=…): expected a concurrent.futures.Executor, got {executor!r:.100}")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    futures: dict[Future, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        with _interrupted_later():
            if executor is None:
                executor = stack.enter_context(_processes(len(points)))
            # There is something left to cancel only after an error or an interrupt.
            stack.callback(lambda: [future.cancel() for future in futures])
            for point in points:
                futures[executor.submit(partial(function, **point))] = point
        done, rest = wait(futures, BAR_S, FIRST_EXCEPTION)
        if rest:
            bar = progress("sweep", len(points), lambda: len(done), "points")
            show = stack.enter_context(bar)
        while rest and not any(map(Future.exception, done)):
            show()
            done, rest = wait(futures, 0.1, FIRST_EXCEPTION)
        for future, point in futures.items():
            if future.done() and (error := future.exception()):
                where = ", ".join(f"{name}={value!r:.100}" for name, value in point.items())
                error.add_note(f"sweep: no result for {where}")
                raise error
        return [future.result() for future in futures]


def _is_list(name: Any, values: Any) -> bool:
    return isinstance(name, str) and isinstance(values, Iterable) and not isinstance(values, str)


@contextlib.contextmanager
def _processes(most: int) -> Iterator[Executor]:
    """Processes on all processors, at most so many, which are gone afterwards."""
    from loky import ProcessPoolExecutor, cpu_count

    most = max(1, min(most, cpu_count()))
    executor = ProcessPoolExecutor(most, initializer=_begin, initargs=(os.getpid(),))
    finished = False
    try:
        yield executor
        finished = True
    finally:
        with _interrupted_later():
            executor.shutdown(kill_workers=not finished)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Hold an interrupt back meanwhile: it would leave a process that nobody knows of."""
    came: list[int] = []
    mine = threading.current_thread() is threading.main_thread()  # it reaches no other
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if mine else None
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _begin(kernel: int) -> None:
    """Prepare a worker: it is the kernel's to end, and goes with it when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt reaches all processes of a kernel
    if os.name == "posix":  # on Windows it ends when it has nothing more to do
        threading.Thread(target=_end_with, args=(kernel,), daemon=True).start()


def _end_with(kernel: int) -> None:
    while os.getppid() == kernel:
        time.sleep(0.5)
    os._exit(1)
