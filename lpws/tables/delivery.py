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

    every_row = _row(received, ids, clients)
    row_of_received, first = np.unique(every_row, return_index=True)
    n = len(ids) * len(clients)
    result = pd.DataFrame({"message": np.repeat(ids, len(clients)), "client": np.tile(clients, len(ids))})
    result["due_s"] = result.message.map(due)
    result["published_s"] = result.message.map(published)
    result["received_s"] = _filled(n, np.nan, row_of_received, received.t.to_numpy()[first])
    result["latency_s"] = result.received_s - result.due_s
    result["request"] = _filled(n, NONE, row_of_received, received.request.to_numpy()[first])
    result.insert(4, "sent_s", _sent_s(sent, _row(sent, ids, clients), result))
    result.insert(7, "transit_s", result.received_s - result.sent_s)

    newest = np.zeros(len(clients), np.int64)
    np.maximum.at(newest, np.searchsorted(clients, received.client), received.message.to_numpy())
    passed_by = result.message.to_numpy() < np.tile(newest, len(ids))
    state = np.where(result.received_s.notna(), 0, np.where(passed_by, 1, 2))
    result["state"] = pd.Categorical.from_codes(state, list(STATES))
    result["copies"] = np.bincount(every_row, minlength=n)
    return result


def _sent_s(sent: pd.DataFrame, row_of_sent: np.ndarray, result: pd.DataFrame) -> np.ndarray:
    """Time [s] at which each row was sent: by the request that brought it or, if none did, the first time."""
    t = sent.t.to_numpy()
    row, first = np.unique(row_of_sent, return_index=True)
    first_s = _filled(len(result), np.nan, row, t[first])
    matching = sent.request.to_numpy() == result.request.to_numpy()[row_of_sent]
    row, first = np.unique(row_of_sent[matching], return_index=True)
    matching_s = _filled(len(result), np.nan, row, t[matching][first])
    return np.where(result.received_s.isna(), first_s, matching_s)


def _row(frame: pd.DataFrame, ids: np.ndarray, clients: np.ndarray) -> np.ndarray:
    """Row of each event's message and client in the table of all messages × all clients."""
    return np.searchsorted(ids, frame.message) * len(clients) + np.searchsorted(clients, frame.client)


def _filled(n: int, missing: float, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """An array of n values, all missing but those given, shape (n,)."""
    result = np.full(n, missing)
    result[where] = values
    return result
