"""What the laboratory's link and the kernel's own TCP make of the same exchanges, in transits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

import lpws

LINK = lpws.Link(delay_s=0.05)
#: Two messages, one millisecond apart, and long enough nothing for five transits.
PAIRS = lpws.Workload(clients=4, rate_hz=4, duration_s=1.5, pattern="bursts", burst=2, spacing_s=0.001)
#: One message, of 45 segments of TCP.
LARGE = lpws.Workload(clients=4, rate_hz=2, duration_s=0.5, pattern="periodic", size_bytes=65_000)


def first(run: lpws.Run) -> pd.Series:
    told = lpws.deliveries(run)
    return told.latency_s[told.message % 2 == 1]


def second(run: lpws.Run) -> pd.Series:
    """Latency of the second of two messages; under polling, where it came in an answer of its own.

    A client that a busy machine keeps from asking again finds both when it asks at last: then the second
    did not fall into the gap that is timed here, and may come sooner.
    """
    told = lpws.deliveries(run)
    carried = told.set_index(["message", "client"]).request
    second = told[told.message % 2 == 0]
    if run.transport.streams:
        return second.latency_s
    before = carried.reindex(zip(second.message - 1, second.client, strict=True)).to_numpy()
    return second.latency_s[second.request.to_numpy() != before]


def _exchange(run: lpws.Run) -> pd.Series:
    """From the request to its answer."""
    asked = lpws.requests(run)
    return asked.response_s - asked.sent_s


def _new_exchange(run: lpws.Run) -> pd.Series:
    """From the beginning of a request's own connection to its answer."""
    events = lpws.events(run)
    connection = events[events["name"] == "request_sent"].set_index("request").connection
    begun = connection.map(lpws.connections(run).set_index("connection").opening_s)
    asked = lpws.requests(run)
    return asked.response_s - asked.request.map(begun)


def _connected(run: lpws.Run) -> pd.Series:
    table = lpws.connections(run)
    return table.opened_s - table.opening_s


class Row(NamedTuple):
    """One row of the table: what is timed, on which run, and how many transits each should show."""

    what: str
    transport: lpws.specs.Transport
    workload: lpws.Workload
    time: Callable[[lpws.Run], pd.Series]
    relay: int
    kernel: int


_SOCKET, _STREAM = lpws.WebSocket(), lpws.SSE()
_OPEN, _NEW = lpws.ShortPolling(interval_s=0.4), lpws.ShortPolling(interval_s=0.4, keep_alive=False)
_HELD, _HELD_NEW = lpws.LongPolling(), lpws.LongPolling(keep_alive=False)

#: The one row in which the kernel may take longer than that: how fast its flights grow is its own affair.
SLOW_START = "WebSocket: a first message of 65,000 bytes"

ROWS = [
    Row("WebSocket: a message", _SOCKET, PAIRS, first, 1, 1),
    Row("WebSocket: the next, 1 ms later", _SOCKET, PAIRS, second, 1, 1),
    Row("SSE: a message", _STREAM, PAIRS, first, 1, 1),
    Row("SSE: the next, 1 ms later", _STREAM, PAIRS, second, 1, 1),
    Row("request and answer, connection open", _OPEN, PAIRS, _exchange, 2, 2),
    Row("request and answer, new connection", _NEW, PAIRS, _new_exchange, 4, 4),
    Row("WebSocket: handshake, new connection", _SOCKET, PAIRS, _new_exchange, 4, 4),
    Row("long polling: a message", _HELD, PAIRS, first, 1, 1),
    Row("long polling: the next, 1 ms later", _HELD, PAIRS, second, 3, 3),
    Row("the same, each on a new connection", _HELD_NEW, PAIRS, second, 5, 5),
    # Where the relay is no kernel: it holds back a client's first bytes, not the client itself; and
    # it knows no slow start, in which the first flight is ten segments (RFC 6928 §2), the next twice that.
    Row("the client believes it is connected", _NEW, PAIRS, _connected, 0, 2),
    Row(SLOW_START, _SOCKET, LARGE, first, 1, 5),
]


def table(measure: Callable[..., lpws.Run], over_kernel: Callable[..., lpws.Run]) -> pd.DataFrame:
    """One row for each of `ROWS`: times [s] over the relay and over the kernel's TCP.

    The least of them tells the number of transits, since a busy machine only adds to it; the median
    tells what it adds.

    Parameters
    ----------
    measure, over_kernel
        Each takes transport, workload, link and gives a run.
    """
    rows, runs = [], {}
    for row in ROWS:
        key = row.transport, row.workload
        if key not in runs:
            runs[key] = {"relay": measure(*key, LINK), "kernel": over_kernel(*key, LINK)}
        line: dict[str, object] = {"what": row.what}
        for name, run in runs[key].items():
            time_s = row.time(run)
            line |= {
                f"{name}_transits": getattr(row, name),
                f"{name}_least_s": time_s.min(),
                f"{name}_median_s": time_s.median(),
            }
        rows.append(line)
    return pd.DataFrame(rows)
