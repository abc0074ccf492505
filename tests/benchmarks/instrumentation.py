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

from lpws import Server, Workload, specs
from lpws.client import Fleet
from lpws.conditions import undisturbed
from lpws.loop import LoopThread
from lpws.server import GuardedApplication
from lpws.trace import NONE
from lpws.transports import request
from lpws.transports.room import Room

CONNECTIONS = 50
#: A pair is so many turns of each server, in alternation, since the machine's own speed drifts.
TURNS = 10
TURN_S = 0.2


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
    routes = [("/request", BareHandler, {"room": room})]
    app = GuardedApplication(room, routes, log_function=lambda _handler: None)  # strangers refused here too
    http = HTTPServer(app)
    http.add_sockets(sockets)
    yield room, port
    http.stop()
    await http.close_all_connections()


def crowd(port: int) -> Fleet:
    """Clients of one server that record nothing."""
    return Fleet(
        transport=specs.Request(keep_alive=True),
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


async def drive(ports: list[int], pairs: int) -> None:
    """Print, for each pair, how many requests each server answered."""
    fleets = [crowd(port) for port in ports]
    for _ in range(pairs):
        counts = [0, 0]
        for turn in range(2 * TURNS):
            which = (turn + turn // 2) % 2  # 0 1 1 0 0 1 1 0 …
            counts[which] += await answered(fleets[which])
        print(*counts, flush=True)


def main(pairs: int) -> None:
    bare = LoopThread("bare")
    _, bare_port = bare.start(bare_tornado())
    ratios = []
    with undisturbed(), Server() as server:  # as in `measure`
        command = [sys.executable, __file__, "drive", str(server.port), str(bare_port), str(pairs + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
            for pair, line in enumerate(clients.stdout):
                ours, theirs = (int(count) / (TURNS * TURN_S) for count in line.split())
                name = f"pair {pair}" if pair else "warm-up"
                print(f"{name}: {ours:,.0f} with, {theirs:,.0f} without [requests/s]: {ours / theirs:.3f}")
                if pair:
                    ratios.append(ours / theirs)
    bare.stop()
    ratios.sort()
    print(
        f"requests/s, with over without: median {statistics.median(ratios):.3f} "
        f"(from {ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["drive"]:
        asyncio.run(drive([int(port) for port in sys.argv[2:4]], int(sys.argv[4])))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 9)
