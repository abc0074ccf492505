"""How fast a run is simulated: requests a second, how the time grows, a crowd, a sweep, and memory."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Iterator

from loky import ProcessPoolExecutor, cpu_count
from rows import Row, in_turns, middle, ratio

import lpws

TRANSPORTS = (
    lpws.Reload(pause_s=1.0),
    lpws.ShortPolling(interval_s=1.0),
    lpws.LongPolling(hold_s=20.0),
    lpws.SSE(),
    lpws.WebSocket(),
)


def exchanges(run: lpws.Run) -> int:
    """Requests, or on a stream the messages that were delivered, each of them an exchange."""
    streams = isinstance(run.transport, lpws.SSE | lpws.WebSocket)
    name, side = ("message_received", "client") if streams else ("request_received", "server")
    return sum(event[1] == name and event[2] == side for event in run.events)


def speed_hz(transport: lpws.specs.Transport, clients: int) -> float:
    """Exchanges that are simulated in a second of processor time."""
    work = lpws.Workload(clients=clients, rate_hz=1.0, duration_s=10.0, seed=1)
    before = time.process_time()
    run = lpws.simulate(transport, work, lpws.Link(delay_s=0.025))
    took_s = time.process_time() - before
    return exchanges(run) / took_s


def memory_bytes(clients: int) -> tuple[float, float]:
    """Memory an event that a run keeps, and the most that it needed on the way, both in bytes."""
    work = lpws.Workload(clients=clients, rate_hz=1.0, duration_s=10.0, seed=1)
    simulate = lpws.simulate  # it loads its module, which is not to be counted
    tracemalloc.start()
    try:
        run = simulate(lpws.ShortPolling(interval_s=1.0), work, lpws.Link(delay_s=0.025))
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return kept / len(run.events), most / len(run.events)


def count(clients: int, seed: int) -> int:
    """Exchanges of a run with that seed: a point of a grid."""
    work = lpws.Workload(clients=clients, rate_hz=1.0, duration_s=10.0, seed=seed)
    return exchanges(lpws.simulate(lpws.ShortPolling(interval_s=1.0), work))


def sweep_s(grid: dict, workers: int) -> float:
    """Time that a sweep takes with so many processes, with what it takes to start and to end them."""
    before = time.perf_counter()
    with ProcessPoolExecutor(workers) as executor:
        lpws.sweep(count, grid, executor=executor)
    return time.perf_counter() - before


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    few, many, rounds = (10, 40, 1) if small else (500, 4_000, 5)
    for transport in TRANSPORTS:
        turns = {clients: lambda n=clients, t=transport: speed_hz(t, n) for clients in (few, many)}
        found = in_turns(turns, rounds)
        goal = ("at least", 100_000)
        yield middle(f"simulate, {transport.label}: exchanges", found[many], "/s", goal)
        slower = [a / b for a, b in zip(found[few], found[many], strict=True)]
        what = f"simulate, {transport.label}: time an exchange, {many:,} over {few:,} clients"
        yield Row(what, statistics.median(slower), goal=("at most", 2.0))

    work = lpws.Workload(clients=100 if small else 10_000, rate_hz=0.1, duration_s=60.0, seed=1)
    before = time.process_time()
    run = lpws.simulate(lpws.ShortPolling(interval_s=1.0), work)
    took_s = time.process_time() - before
    what = f"simulate, {work.clients:,} clients for a minute, a poll a second"
    yield Row(what, took_s, "s", ("at most", 10.0), f"{exchanges(run):,} polls")

    grid = {"clients": [few if small else 2 * few], "seed": range(4 if small else 40)}
    workers = cpu_count()
    found = in_turns({n: lambda n=n: sweep_s(grid, n) for n in {1, workers}}, 1 if small else 3)
    what = f"sweep over {len(grid['seed'])} points: time on one processor over that on {workers}"
    goal = ("at least", 0.7 * workers) if workers > 1 else None
    yield ratio(what, found[1], found[workers], goal)

    kept, most = memory_bytes(few)
    yield Row(
        "simulate, short polling: memory an event", kept, "bytes", note=f"at most {most:.0f} on the way"
    )
