"""What the instruments cost: requests per second with them and without, in alternating pairs.

    python tests/benchmarks/instrumentation.py [PAIRS]

The same handler answers the same polls on the instrumented server and on bare Tornado. The clients
are in a process of their own and ask as fast as they are answered.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application

from lpws import Server, Workload, specs
from lpws.client import Fleet
from lpws.loop import LoopThread
from lpws.trace import NONE
from lpws.transports import request
from lpws.transports.room import Room

CONNECTIONS = 50
SECONDS = 2.0


class BareHandler(request.Handler):
    """The handler of plain requests, without a record."""

    def record(self, *_args: int, **_sizes: int) -> None:
        pass

    def record_messages(self, messages: list) -> None:
        pass


@asynccontextmanager
async def bare_tornado():
    """Room and port of the same room on Tornado's own server."""
    IOStream.number = NONE  # the handler asks for it
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    port = sockets[0].getsockname()[1]
    room = Room(lambda _event: None, {f"127.0.0.1:{port}"})
    app = Application([("/request", BareHandler, {"room": room})], log_function=lambda _handler: None)
    http = HTTPServer(app)
    http.add_sockets(sockets)
    yield room, port
    http.stop()
    await http.close_all_connections()


async def drive(port: int) -> int:
    """How many requests are answered while the clients ask as fast as they can."""
    fleet = Fleet(
        transport=specs.Request(keep_alive=True),
        workload=Workload(clients=CONNECTIONS),
        address=("127.0.0.1", port),
        host=f"127.0.0.1:{port}",
        grace_s=1.0,
        record=lambda _event: None,
    )
    answered = itertools.count()
    end = time.perf_counter() + SECONDS

    async def ask(client) -> None:
        while time.perf_counter() < end:
            assert await client.ask("&cursor=0")
            next(answered)

    await asyncio.gather(*map(ask, fleet.clients))
    return next(answered)


def driven(port: int) -> tuple[float, float]:
    """Requests per second, and CPU time of this process per request [s]."""
    busy_s = time.process_time()
    command = [sys.executable, __file__, "drive", str(port)]
    count = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return count / SECONDS, (time.process_time() - busy_s) / count


def with_instruments() -> tuple[float, float]:
    with Server() as server:
        return driven(server.port)


def without() -> tuple[float, float]:
    thread = LoopThread("bare")
    _, port = thread.start(bare_tornado())
    try:
        return driven(port)
    finally:
        thread.stop()


def main(pairs: int) -> None:
    rates, costs = [], []
    for pair in range(-1, pairs):  # the first pair warms up
        order = (with_instruments, without) if pair % 2 else (without, with_instruments)
        results = {measure: measure() for measure in order}
        (rate, cost), (bare_rate, bare_cost) = results[with_instruments], results[without]
        print(
            f"{'warm-up' if pair < 0 else f'pair {pair + 1}'}: {rate:,.0f} and {bare_rate:,.0f} requests/s, "
            f"{1e6 * cost:.0f} and {1e6 * bare_cost:.0f} µs of CPU a request",
            flush=True,
        )
        if pair >= 0:
            rates.append(rate / bare_rate)
            costs.append(cost / bare_cost)
    for name, ratios in (("requests/s", rates), ("CPU a request", costs)):
        ratios.sort()
        print(
            f"{name}, with over without: median {statistics.median(ratios):.3f} "
            f"(from {ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} pairs)"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["drive"]:
        print(asyncio.run(drive(int(sys.argv[2]))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 9)
