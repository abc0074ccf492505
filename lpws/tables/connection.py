"""Connections of a run, and how many are open."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..run import Run
from ..trace import NONE
from .trace import check_side, event_table, first, once


def connections(run: Run, side: str = "client") -> pd.DataFrame:
    """One row per connection, as one side saw it.

    Parameters
    ----------
    run
        The run.
    side
        ``"client"`` or ``"server"``. Each numbers its own connections; how many were *opened* is the
        same on both, how many are *open* at a moment is not. Behind a proxy the server's connections are
        the proxy's, which may carry requests of many clients; with several servers, the number of one
        is that of its connections modulo `run.servers`.

    Returns
    -------
    DataFrame
        Sorted by `connection`:

        - ``connection``: its number on this side
        - ``client``: whose it is; at the server that of its first request, -1 if there was none
        - ``opening_s``: the client begins to connect; NaN at the server, which cannot know
        - ``opened_s``: connected, or accepted; NaN if it came to nothing
        - ``closed_s``: gone from this side; NaN if that is not in the trace
        - ``requests``: how many were sent (client) or have arrived (server) on it
        - ``read_bytes``, ``written_bytes``: all bytes each way, counted at the server when it closed;
          NaN at the client

    Raises
    ------
    ValueError
        If the side is another, or a connection opened or closed twice.
    """
    check_side(side)
    frame = event_table(run)
    mine = frame[(frame.side == side) & (frame.connection != NONE)]
    result = pd.DataFrame({"connection": np.sort(mine.connection.unique())})
    of = result.connection
    result["client"] = of.map(first(mine, "connection", "client")).fillna(NONE).astype(np.int64)
    for name in ("opening", "opened", "closed"):
        result[f"{name}_s"] = of.map(once(mine, name, "connection"))
    asked = mine[mine["name"] == ("request_sent" if side == "client" else "request_received")]
    result["requests"] = of.map(asked.connection.value_counts()).fillna(0).astype(np.int64)
    for name in ("read", "written"):
        result[f"{name}_bytes"] = of.map(once(mine, name, "connection", "size")).astype(float)
    return result


def open_over_time(run: Run, side: str = "client") -> pd.DataFrame:
    """Number of connections that one side has open, one row per change.

    The client counts from the moment when it begins to connect, the server from the accept.

    Returns
    -------
    DataFrame
        Sorted by ``t_s``; ``open``: the number from then on, until the next row.

    Raises
    ------
    ValueError
        If the side is another.
    """
    check_side(side)
    frame = event_table(run)
    mine = frame[(frame.side == side) & (frame.connection != NONE)]
    begins, ends = mine["name"] == ("opening" if side == "client" else "opened"), mine["name"] == "closed"
    # In the order of the trace: of two changes at one instant, it knows which came first.
    step = (begins.astype(np.int64) - ends)[begins | ends]
    return pd.DataFrame({"t_s": mine.t[step.index].to_numpy(), "open": step.cumsum().to_numpy()})
