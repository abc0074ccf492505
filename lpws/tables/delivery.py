"""Deliveries of a run: messages × clients."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..run import Run
from ..trace import NONE
from .trace import event_table, once

STATES = ("delivered", "missed", "pending")


def deliveries(run: Run) -> pd.DataFrame:
    """One row for each message and each client that should get it, whether it did or not.

    Returns
    -------
    DataFrame
        Every message × every client, sorted by `message`, then `client`:

        - ``message``, ``client``: their numbers
        - ``due_s``: when it was to be published; NaN if nobody said
        - ``published_s``: it entered the server's log; NaN if it was sent or received without
        - ``sent_s``: the server handed it to this client's connection, for the sending that arrived
          or, if none did, the first; NaN if it never did
        - ``received_s``: it arrived, the first time; NaN if it did not
        - ``latency_s``: from *due* to received, so that a publisher that is late does not make
          messages look young (coordinated omission); NaN if it is not delivered
        - ``transit_s``: from sent to received
        - ``request``: the request that brought it; -1 if none
        - ``state``: categorical, by what this client received alone: ``delivered``; ``missed``, if
          it has a later message and not this one; ``pending``, if the run ended before it had this
          one or a later one
        - ``copies``: how many times it arrived; more than 1 is a fault

    Raises
    ------
    ValueError
        If one message was published twice.
    """
    frame = event_table(run)
    published = once(frame, "published", "message")
    due = once(frame[frame.side == "publisher"], "due", "message")
    sent = frame[frame["name"] == "message_sent"]
    received = frame[frame["name"] == "message_received"]
    # Published or not: what arrived out of nowhere must show.
    ids = np.unique(np.concatenate([published.index, sent.message, received.message])).astype(np.int64)
    clients = np.unique(np.concatenate([np.arange(run.workload.clients), sent.client, received.client]))
    pair = ["message", "client"]
    every = pd.MultiIndex.from_product([ids, clients], names=pair)
    arrived = received.drop_duplicates(pair).set_index(pair)
    # Of several sendings the one that arrived counts or, if none did, the first.
    request = sent.join(arrived.request.rename("brought_by"), on=pair).brought_by
    sent = sent[request.isna() | (request == sent.request)].drop_duplicates(pair).set_index(pair)

    result = every.to_frame()
    result["due_s"] = result.message.map(due)
    result["published_s"] = result.message.map(published)
    result["sent_s"] = sent.t
    result["received_s"] = arrived.t
    result["latency_s"] = result.received_s - result.due_s
    result["transit_s"] = result.received_s - result.sent_s
    result["request"] = arrived.request.reindex(every, fill_value=NONE)
    passed_by = result.message < result.client.map(received.groupby("client").message.max())
    state = np.where(result.received_s.notna(), 0, np.where(passed_by, 1, 2))
    result["state"] = pd.Categorical.from_codes(state, list(STATES))
    result["copies"] = received.groupby(pair).size().reindex(every, fill_value=0)
    return result.reset_index(drop=True)
