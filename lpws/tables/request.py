"""Requests of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..run import Run
from ..trace import NONE
from .trace import event_table, first, once


def requests(run: Run) -> pd.DataFrame:
    """One row per request, with what both sides saw of it.

    Returns
    -------
    DataFrame
        Sorted by `request`:

        - ``request``, ``client``: their numbers; client -1 if nobody said whose it is
        - ``due_s``: when it was to be sent; NaN if it is sent whenever the last one is answered
        - ``sent_s``, ``received_s``: it leaves the client, it has arrived at the server
        - ``answered_s``, ``response_s``: the answer leaves the server, it is complete at the client;
          NaN while a request is held and for a stream that has not ended
        - ``held_s``: from received to answered
        - ``messages``: how many the server sent in answer to it
        - ``empty``: answered, with no message; never so for a stream, whose answer only opens it
        - ``failed_status``: HTTP status of a request that failed, 0 if there was none; -1 if it did not

    Raises
    ------
    ValueError
        If one request was sent, received or answered twice.
    """
    frame = event_table(run)
    frame = frame[frame.request != NONE]
    # Ticks and link chunks count in the same column; they belong to no client and are no requests.
    due = frame[(frame["name"] == "due") & (frame.side == "client") & (frame.client != NONE)]
    frame = frame[~frame["name"].isin(["due", "ticked", "relayed"])]
    if run.through:  # a proxy sends a request again if a server goes away with it: the last one counts
        twice = frame.duplicated(["name", "request"], keep="last")
        frame = frame[~(twice & frame["name"].isin(["request_received", "response_sent"]))]
    result = pd.DataFrame({"request": np.sort(frame.request.unique())})
    of = result.request
    result["client"] = of.map(first(frame, "request", "client")).fillna(NONE).astype(np.int64)
    result["due_s"] = of.map(once(due, "due", "request"))
    for column, name in (
        ("sent_s", "request_sent"),
        ("received_s", "request_received"),
        ("answered_s", "response_sent"),
        ("response_s", "response_received"),
    ):
        result[column] = of.map(once(frame, name, "request"))
    result["held_s"] = result.answered_s - result.received_s
    carried = frame[frame["name"] == "message_sent"].request.value_counts()
    result["messages"] = of.map(carried).fillna(0).astype(np.int64)
    status = of.map(once(frame, "failed", "request", "size"))
    result["failed_status"] = status.fillna(NONE).astype(np.int64)
    empty = result.answered_s.notna() & (result.messages == 0) & (result.failed_status == NONE)
    result.insert(result.columns.get_loc("failed_status"), "empty", empty & (not run.transport.streams))
    return result
