"""What the instruments cost: requests with them and without, events, and frames of events."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
import timeit
from collections.abc import Iterator

from child import Child
from rows import Row, middle, ratio

from lpws import Run, ShortPolling, Workload, specs
from lpws.fleet.fleet import Fleet
from lpws.tables import events, requests
from lpws.trace import NONE, clock

CONNECTIONS = 50
#: A pair is so many turns of each server, in alternation, since the machine's own speed drifts.
TURNS = 20
TURN_S = 0.05


def crowd(port: int) -> Fleet:
    """Clients of one server that record nothing."""
    return Fleet(
        transport=specs.Reload(keep_alive=True),
        workload=Workload(clients=CONNECTIONS),
        address=("127.0.0.1", port),
        host=f"127.0.0.1:{port}",
        grace_s=1.0,
        record=lambda _event: None,
    )


async def answered(fleet: Fleet) -> int:
    """How many requests are answered in a turn in which the clients ask as fast as they can."""
    end, number = time.perf_counter() + TURN_S, itertools.count()

    async def ask(client) -> None:
        while time.perf_counter() < end:
            assert await client.ask("&cursor=0")
            next(number)

    await asyncio.gather(*map(ask, fleet.clients))
    return next(number)


async def drive(ports: list[int]) -> None:
    """Be the clients: a line names a server, the answer is how many requests it answered in a turn."""
    fleets = [crowd(port) for port in ports]
    for line in sys.stdin:
        print(await answered(fleets[int(line)]), flush=True)


def requests_per_second(pairs: int) -> dict[str, list[float]]:
    """Room → requests per second of its processor time, in each pair.

    A server that is driven as fast as it can answer spends all its time on that, so that this is
    its requests/s; if others use the machine too, it does not count their time.
    """
    kinds = ("lpws", "bare")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    # Each in a process of its own: Python adapts its code to the one kind of stream that it sees.
    with Child("rooms.py", kinds[0]) as ours, Child("rooms.py", kinds[1]) as bare:
        rooms = dict(zip(kinds, (ours, bare), strict=True))
        with Child("instrumentation.py", *(room.hear() for room in rooms.values())) as clients:
            for pair in range(pairs + 1):
                number, seconds = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
                for turn in range(2 * TURNS):
                    which = (turn + turn // 2) % 2  # 0 1 1 0 0 1 1 0 …
                    kind = kinds[which]
                    before = float(rooms[kind].ask("cpu"))
                    number[kind] += int(clients.ask(str(which)))
                    seconds[kind] += float(rooms[kind].ask("cpu")) - before
                if pair:  # the first warms up
                    for kind in kinds:
                        found[kind].append(number[kind] / seconds[kind])
    return found


def seconds_of(statement, number: int, repeats: int = 7) -> float:
    """The least time [s] of one execution; more is somebody else's."""
    return min(timeit.repeat(statement, number=number, repeat=repeats)) / number


def million(number: int) -> Run:
    """A run with so many events, of requests as short polling has them."""
    rows = []
    for request in range(number // 5):
        who = (request % 100, request % 100, request)
        t = request / 1000
        rows.append((t, "due", "client", request % 100, NONE, request, NONE, NONE))
        for n, (name, side) in enumerate(
            (("request_sent", "client"), ("request_received", "server"),
             ("response_sent", "server"), ("response_received", "client"))
        ):  # fmt: skip
            rows.append((t + n / 10_000, name, side, *who, NONE, 100))
    return Run(ShortPolling(), Workload(clients=100), None, rows)


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    found = requests_per_second(1 if small else 9)
    what = "requests per second of processor time"
    yield middle(f"{what}, with instruments", found["lpws"], "/s")
    yield middle(f"{what}, bare Tornado", found["bare"], "/s")
    yield ratio(f"{what}, with over without", found["lpws"], found["bare"], ("at least", 0.95))

    trace: list[tuple] = []
    who = (7, 7, 1234)

    def record() -> None:
        trace.append((clock(), "response_sent", "server", *who, NONE, 100))

    yield Row("an event", 1e9 * seconds_of(record, 1_000 if small else 200_000), "ns")

    run = million(10_000 if small else 1_000_000)
    for name, table in (("the frame of events", events), ("the table of requests", requests)):
        took_s = []
        for _ in range(1 if small else 5):
            before = time.process_time()
            table(run)
            took_s.append(time.process_time() - before)
        yield middle(f"{len(run.events):,} events to {name}", took_s, "s", ("at most", 2.0))


if __name__ == "__main__":
    asyncio.run(drive([int(port) for port in sys.argv[1:]]))
