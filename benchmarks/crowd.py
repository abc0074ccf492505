"""Ten thousand clients at once: is every one connected, what memory does it take, does it get everything."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from child import Child
from rooms import MOST
from rows import Row, ratio

import lpws
from lpws import specs, tables
from lpws.fleet.process import RemoteFleet
from lpws.machine import make_room_for_files


def memory_bytes(kind: str, transport: specs.Transport, clients: int) -> float:
    """Memory [bytes] that a room takes for each client that it holds."""
    with Child("rooms.py", kind) as room:
        port = int(room.hear())
        spec = {
            "transport": specs.to_dict(transport),
            "workload": specs.to_dict(lpws.Workload(clients=clients)),
            "address": ("127.0.0.1", port),
            "host": f"127.0.0.1:{port}",
            "grace_s": 5.0,
        }
        before = int(room.ask("memory"))
        with RemoteFleet(spec) as fleet:
            if not transport.persistent:  # they come as the run begins
                fleet.tell(f"start {lpws.clock()!r}")
            while int(room.ask("arrived")) < clients:
                fleet.check()
                time.sleep(0.05)
            return (int(room.ask("memory")) - before) / clients


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    clients, period_s = (50, 0.5) if small else (10_000, 4.0)
    with contextlib.suppress(lpws.RunError):  # if there is no room, the runs say so
        make_room_for_files(MOST)
    for transport in (lpws.WebSocket(), lpws.LongPolling(hold_s=60.0)):
        who = f"{clients:,} clients, {transport.label}"
        spec = {"rate_hz": 1 / period_s, "duration_s": 2 * period_s, "pattern": "periodic"}
        work = lpws.Workload(clients=clients, **spec, seed=1)
        run = lpws.measure(transport, work)
        found = tables.summary(run)
        counts, latency_s = found["counts"].iloc[0], found["latency_s"].iloc[0]
        # Those that were open when the first message was published.
        held = tables.open_over_time(run, "server").query("t_s < @period_s").open.iloc[-1]
        yield Row(f"{who}: held at once", float(held), goal=("at least", clients))
        lost = counts.published * clients - counts.delivered
        yield Row(
            f"{who}: deliveries lost", float(lost), goal=("at most", 0), note=f"of {counts.delivered:,}"
        )
        yield Row(f"{who}: median latency", 1e3 * latency_s["median"], "ms", note=str(run.health))
        ours = [memory_bytes("lpws", transport, clients) for _ in range(1 if small else 3)]
        bare = [memory_bytes("bare", transport, clients) for _ in range(1 if small else 3)]
        yield Row(f"{who}: memory a client", sorted(ours)[len(ours) // 2] / 1024, "KiB")
        yield ratio(f"{who}: memory a client, over bare Tornado", ours, bare, ("at most", 1.25))
