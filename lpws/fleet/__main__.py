"""The fleet: N clients in a process of their own, ``python -m lpws.fleet``.

A JSON specification comes in on the first line of standard input, commands on the lines that
follow; frames go out on standard output. The process ends when its standard input ends, so that
it cannot outlive its kernel.

In: ``start T`` (the start of the run, on the common clock), ``last ID`` (the last message's id:
a client that has it is done), ``stop``. Out: a line ``WORD SIZE``, then SIZE bytes: ``ready``
(each client is connected as far as it will be before the first message), ``events`` (marshalled
tuples), ``done`` (no client is left, or it was told to stop; how many events there were, marshalled).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import marshal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from .. import specs
from ..health import tick
from ..transports import HALVES
from .fleet import Fleet

#: Clients that begin in one turn of the loop: each takes some 0.1 ms to connect.
AT_ONCE = 100
#: Period [s] at which the events are handed over; a fleet that dies loses those of one period at most.
HAND_OVER_S = 0.1


async def run(spec: dict, commands: Iterable[bytes], out: BinaryIO) -> None:
    """Run the clients until all have the last message, or the commands say stop or end."""
    events: list[tuple] = []
    # What a `Session` takes; its own specifications have come as dicts.
    given = {name: specs.from_dict(each) if isinstance(each, dict) else each for name, each in spec.items()}
    fleet = Fleet(**given, record=events.append)
    # What fails in a callback of a connection, asyncio would print, and drop the connection.
    fleet.loop.set_exception_handler(
        lambda _loop, said: fleet.fail(said.get("exception") or RuntimeError(said["message"]))
    )
    reader = threading.Thread(target=_read, args=(commands, fleet), name="lpws commands", daemon=True)
    reader.start()

    # One thread writes, in order: a pipe that is full must not hold up the clients.
    with ThreadPoolExecutor(1, thread_name_prefix="lpws report") as writer:

        def report(word: str, data: bytes = b"") -> None:
            writer.submit(_write, out, word, data)

        total = 0

        def hand_over() -> None:
            nonlocal total
            total += len(events)
            report("events", marshal.dumps(events))
            events.clear()

        listen = HALVES[type(fleet.transport)].listen
        over = False

        def begin(life: Coroutine) -> asyncio.Task:
            task = asyncio.create_task(life)
            task.add_done_callback(ended)
            return task

        def ended(task: asyncio.Task) -> None:
            # To wait for the first of ten thousand tasks would hold up the loop; so each reports itself.
            if not over:
                error = None if task.cancelled() else task.exception()
                fleet.fail(error or RuntimeError("a client ended before the run was over"))

        helpers = [begin(tick(events.append, "client")), begin(_every(HAND_OVER_S, hand_over))]
        lives: list[asyncio.Task] = []
        try:
            for number, client in enumerate(fleet.clients):
                lives.append(begin(listen(client)))
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)  # let them connect, before the next do
            await _first(fleet.ready.wait(), fleet.finished.wait(), fleet.broken)
            report("ready")
            await _first(fleet.finished.wait(), fleet.broken)
            over = True
            if not fleet.transport.persistent:
                await _first(_until(lambda: _quiet(fleet, lives)), asyncio.sleep(fleet.grace_s))
        finally:
            over = True
            for task in lives + helpers:
                task.cancel()
            await asyncio.gather(*lives, *helpers, return_exceptions=True)
            for client in fleet.clients:
                client.close()
            await _first(_until(lambda: not fleet.opening and not fleet.open), asyncio.sleep(fleet.grace_s))
            hand_over()
        if fleet.broken.done():  # something failed while the connections ended
            fleet.broken.result()
        report("done", marshal.dumps(total))
        writer.submit(reader.join)  # the fleet ends when the commands do


def _read(commands: Iterable[bytes], fleet: Fleet) -> None:
    """Let the fleet obey each line of the commands, and stop at their end."""

    def obey(line: bytes) -> None:
        word, _, value = line.decode().strip().partition(" ")
        if word == "start":
            fleet.start.set_result(float(value))
        elif word == "last":
            fleet.announce_last(int(value))
        else:
            fleet.finished.set()

    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is left to obey
        for line in commands:
            fleet.loop.call_soon_threadsafe(obey, line)
        fleet.loop.call_soon_threadsafe(fleet.finished.set)


def _write(out: BinaryIO, word: str, data: bytes) -> None:
    out.write(b"%s %d\n%s" % (word.encode(), len(data), data))
    out.flush()


async def _first(*awaitables: Awaitable) -> None:
    """Wait until one ends, and raise what it raises; cancel the others that are coroutines.

    Membership is looked up in a set: in a tuple, 10,000 tasks held up the loop for 1.5 s.
    """
    tasks = {asyncio.ensure_future(awaitable) for awaitable in awaitables}
    ended, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in running - set(awaitables):
        task.cancel()
    for task in ended:
        task.result()


def _quiet(fleet: Fleet, tasks: list[asyncio.Task]) -> bool:
    """Let go the clients that wait for no answer; return whether that was all of them.

    A client that waits is left until it is answered, so that both sides count the same.
    """
    asking = [client.asking for client in fleet.clients]
    for task, busy in zip(tasks, asking, strict=True):
        if not busy:
            task.cancel()
    return not any(asking)


async def _every(period_s: float, function: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(period_s)
        function()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def main() -> None:
    """Run a fleet on standard input and output."""
    # Raw: the thread that waits for commands holds no lock of a buffer, which would stop Python's end.
    commands = sys.stdin.buffer.raw
    spec = json.loads(commands.readline())
    gc.freeze()
    gc.disable()  # a run is short and its events hold no cycles; a collection would be a pause
    live(spec, commands, sys.stdout.buffer)


def live(spec: dict, commands: Iterable[bytes], out: BinaryIO) -> None:
    """Run the clients on a loop of their own: uvloop's, where there is one."""
    try:
        from uvloop import new_event_loop
    except ImportError:  # on Windows
        new_event_loop = None
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run(spec, commands, out))


if __name__ == "__main__":
    main()
