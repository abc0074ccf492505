"""Measures `link.csv`, `wire.csv`, `silence.csv`, `lost.csv` and `moved.json` of `data/` again (Linux, root).

    python tests/truth/record.py

The machine should have nothing else to do. With names, as in ``record.py silence``, only these.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from pathlib import Path

import lost
import moved
import pandas as pd
import silence
import transits
import tun
from namespaces import Namespace
from times import distances
from watch import watched

import lpws
from lpws.recordings import DATA

WORK = lpws.Workload(clients=10, rate_hz=20, duration_s=10.0, seed=1)
TRANSPORTS = [
    lpws.Reload(pause_s=0.5),
    lpws.Reload(pause_s=0.5, keep_alive=True),
    lpws.ShortPolling(interval_s=0.5),
    lpws.LongPolling(),
    lpws.SSE(),
    lpws.WebSocket(),
]
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95, "p99": 0.99}


def link() -> pd.DataFrame:
    """The laboratory's link beside the kernel's own TCP."""
    with tun.line(transits.LINK.delay_s) as (near, far):
        return transits.table(lpws.measure, functools.partial(tun.measure, near, far))


def lag() -> pd.DataFrame:
    """One row a transport and a name: how far its events are from their packets."""
    rows = []
    with Namespace() as namespace, tempfile.TemporaryDirectory() as folder:
        for transport in TRANSPORTS:
            seen = watched(namespace, Path(folder), transport, WORK)
            print(seen.run)
            for name, group in distances(seen).groupby("name", sort=False):
                row = {
                    "transport": transport.label,
                    "keep_alive": transport.keep_alive,
                    "name": name,
                    "events": len(group),
                }
                rows.append(row | {f"{key}_s": group.distance_s.quantile(q) for key, q in QUANTILES.items()})
    return pd.DataFrame(rows)


def path_that_dies() -> pd.DataFrame:
    """What TCP learns of a path that loses every packet."""
    return silence.changes(silence.measure(1.0, 20.0))


#: How often the ways of a lost packet are measured until nothing but that packet was late.
ATTEMPTS = 20


def packet_that_is_lost() -> pd.DataFrame:
    """What one lost packet delays, each way; nothing was late before it, nor for long after."""
    tables = []
    for way in lost.WAYS:
        for _ in range(ATTEMPTS):
            table = lost.measure(way)
            late = lost.delayed(table).number
            if late.min() == lost.LOST and late.max() < lost.LOST + 2 * lost.STREAMS:
                break
        else:
            raise RuntimeError(f"expected a machine that has nothing else to do, got {ATTEMPTS} late runs")
        tables.append(table)
    return pd.concat(tables)


def address_that_changes() -> pd.DataFrame:
    """Polls that were held, and answered, as a table of one row."""
    found = moved.measure()
    (DATA / "moved.json").write_text(json.dumps(found) + "\n", encoding="utf-8", newline="\n")
    return pd.DataFrame([found])


TABLES = {"link": link, "wire": lag, "silence": path_that_dies, "lost": packet_that_is_lost}


def main(names: list[str]) -> None:
    """Write these tables, or all."""
    if not names or "moved" in names:
        print(address_that_changes())
    for name in [name for name in names or TABLES if name != "moved"]:
        path, table = DATA / f"{name}.csv", TABLES[name]()
        table.round(6).to_csv(path, index=False)
        print(table.round(6).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
