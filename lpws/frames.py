"""Tidy frames of a run: one row an event, a connection, a request, a delivery, a run.

Pure functions of the trace; nothing is recorded twice. Times are seconds from the start of the run
and NaN means "did not happen"; -1 stands in a column of whole numbers that does not apply.
An event that may happen once and is in the trace twice is an error, not a row that goes missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

import numpy as np
import pandas as pd

from .run import Run
from .specs import EventStream, WebSocket
from .trace import NAMES, NONE, SIDES, Event

STATES = ("delivered", "missed", "pending")


def events(run: Run) -> pd.DataFrame:
    """The trace as it was recorded: one row an event.

    Returns
    -------
    DataFrame
        The columns of `lpws.trace.Event`; `t` in seconds, `name` and `side` categorical.

    Raises
    ------
    ValueError
        If an event has a name or a side that the tables of `lpws.trace` do not have.
    """
    columns = {field: map(itemgetter(n), run.events) for n, field in enumerate(Event._fields)}
    frame = {"t": np.fromiter(columns["t"], float, len(run.events))}
    for field, words in (("name", tuple(NAMES)), ("side", SIDES)):
        codes = {word: code for code, word in enumerate(words)}
        try:
            values = np.fromiter(map(codes.__getitem__, columns[field]), np.int8, len(run.events))
        except KeyError as error:
            raise ValueError(f"expected events with a {field} of {', '.join(words)}, got {error}") from None
        frame[field] = pd.Categorical.from_codes(values, categories=list(words))
    for field in Event._fields[3:]:
        frame[field] = np.fromiter(columns[field], np.int64, len(run.events))
    return pd.DataFrame(frame)


def connections(run: Run, side: str = "client") -> pd.DataFrame:
    """One row a connection, as one side saw it.

    Parameters
    ----------
    run
        The run.
    side
        ``"client"`` or ``"server"``. Each numbers its own connections; how many were *opened* is the
        same on both, how many are *open* at a moment is not.

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
    _check_side(side)
    return _connections(events(run), side)


def _connections(frame: pd.DataFrame, side: str) -> pd.DataFrame:
    mine = frame[(frame.side == side) & (frame.connection != NONE)]
    result = pd.DataFrame({"connection": np.sort(mine.connection.unique())})
    of = result.connection
    result["client"] = of.map(_first(mine, "connection", "client")).fillna(NONE).astype(np.int64)
    for name in ("opening", "opened", "closed"):
        result[f"{name}_s"] = of.map(_once(mine, name, "connection"))
    asked = mine[mine["name"] == ("request_sent" if side == "client" else "request_received")]
    result["requests"] = of.map(asked.connection.value_counts()).fillna(0).astype(np.int64)
    for name in ("read", "written"):
        result[f"{name}_bytes"] = of.map(_once(mine, name, "connection", "size")).astype(float)
    return result


def requests(run: Run) -> pd.DataFrame:
    """One row a request, what both sides saw of it side by side.

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
    return _requests(events(run), run)


def _requests(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    frame = frame[frame.request != NONE]
    # Ticks and link chunks count in the same column; they belong to no client and are no requests.
    due = frame[(frame["name"] == "due") & (frame.side == "client") & (frame.client != NONE)]
    frame = frame[~frame["name"].isin(["due", "ticked", "relayed"])]
    result = pd.DataFrame({"request": np.sort(frame.request.unique())})
    of = result.request
    result["client"] = of.map(_first(frame, "request", "client")).fillna(NONE).astype(np.int64)
    result["due_s"] = of.map(_once(due, "due", "request"))
    for column, name in (
        ("sent_s", "request_sent"),
        ("received_s", "request_received"),
        ("answered_s", "response_sent"),
        ("response_s", "response_received"),
    ):
        result[column] = of.map(_once(frame, name, "request"))
    result["held_s"] = result.answered_s - result.received_s
    carried = frame[frame["name"] == "message_sent"].request.value_counts()
    result["messages"] = of.map(carried).fillna(0).astype(np.int64)
    status = of.map(_once(frame, "failed", "request", "size"))
    result["failed_status"] = status.fillna(NONE).astype(np.int64)
    answer_is_all = not isinstance(run.transport, EventStream | WebSocket)
    empty = result.answered_s.notna() & (result.messages == 0) & (result.failed_status == NONE)
    result.insert(result.columns.get_loc("failed_status"), "empty", empty & answer_is_all)
    return result


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
    return _deliveries(events(run), run)


def _deliveries(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    published = _once(frame, "published", "message")
    due = _once(frame[frame.side == "publisher"], "due", "message")
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


def open_over_time(run: Run, side: str = "client") -> pd.DataFrame:
    """How many connections one side has open: one row a change.

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
    _check_side(side)
    return _open_over_time(events(run), side)


def _open_over_time(frame: pd.DataFrame, side: str) -> pd.DataFrame:
    mine = frame[(frame.side == side) & (frame.connection != NONE)]
    begins, ends = mine["name"] == ("opening" if side == "client" else "opened"), mine["name"] == "closed"
    # In the order of the trace: of two changes at one instant, it knows which came first.
    step = (begins.astype(np.int64) - ends)[begins | ends]
    return pd.DataFrame({"t_s": mine.t[step.index].to_numpy(), "open": step.cumsum().to_numpy()})


def processor_time_s(run: Run, side: str = "server") -> float:
    """Processor time [s] that the thread of one side's loop used while messages were published.

    Of the clients it is that of all together. Ticks say it, so that it is known to the distance of two
    ticks at either end.

    Returns
    -------
    float
        From the first tick at t ≥ 0 to the last one at t ≤ `duration_s`; NaN where nobody measured it,
        as in a simulated run.

    Raises
    ------
    ValueError
        If the side is another.
    """
    _check_side(side)
    used = [
        size
        for t, name, by, _client, _connection, _request, _message, size in run.events
        if name == "ticked" and by == side and size != NONE and 0 <= t <= run.workload.duration_s
    ]
    return (used[-1] - used[0]) / 1e6 if len(used) > 1 else float("nan")


def summary(runs: Run | Mapping[str, Run]) -> pd.DataFrame:
    """One row a run: what a race shows.

    Parameters
    ----------
    runs
        A run, or label → run.

    Returns
    -------
    DataFrame
        Two groups of columns. ``counts``, which a second run of the same specification repeats, or
        nearly so:

        - ``opened_client``, ``opened_server``: connections, those of the set-up included
        - ``opened_client_from_0``, ``opened_server_from_0``: of these, while the run lasted (t ≥ 0)
        - ``open_peak_client``, ``open_peak_server``: the most that were open at one moment
        - ``requests``: sent while messages were published, t in [0, `duration_s`]
        - ``empty_share``: of these, those answered with nothing, among those answered; NaN if none was
        - ``published``, ``delivered``, ``missed``, ``pending``: messages, and message × client
        - ``extra_copies``: messages that reached a client once more than they should

        ``latency_s``, which varies with the machine and its mood:

        - ``median``, ``p99``: of *all* messages, those not delivered counted as infinitely old
        - ``mean_delivered``: of those that arrived; NaN if none did
    """
    if isinstance(runs, Run):
        runs = {runs.label: runs}
    rows = {label: _summary(run) for label, run in runs.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    counts = [column for column in table.columns if column[0] == "counts" and column[1] != "empty_share"]
    return table.astype(dict.fromkeys(counts, np.int64))


def _summary(run: Run) -> dict:
    row = {}
    trace = events(run)
    sides = {side: _connections(trace, side) for side in ("client", "server")}
    for side, frame in sides.items():
        row["counts", f"opened_{side}"] = frame.opened_s.notna().sum()
    for side, frame in sides.items():
        row["counts", f"opened_{side}_from_0"] = (frame.opened_s >= 0).sum()
    for side in sides:
        row["counts", f"open_peak_{side}"] = max([0, *_open_over_time(trace, side).open])
    asked = _requests(trace, run)
    asked = asked[asked.sent_s.between(0, run.workload.duration_s)]
    answered = asked[asked.answered_s.notna()]
    row["counts", "requests"] = len(asked)
    row["counts", "empty_share"] = answered["empty"].mean() if len(answered) else np.nan
    told = _deliveries(trace, run)
    row["counts", "published"] = told.message[told.published_s.notna()].nunique()
    for state in STATES:
        row["counts", state] = (told.state == state).sum()
    row["counts", "extra_copies"] = (told.copies - 1).clip(lower=0).sum()
    age = np.sort(told.latency_s.fillna(np.inf))
    for name, q in (("median", 0.5), ("p99", 0.99)):
        row["latency_s", name] = age[int(np.ceil(q * len(age))) - 1] if len(age) else np.nan
    row["latency_s", "mean_delivered"] = told.latency_s.mean()
    return row


def _check_side(side: str) -> None:
    if side not in ("client", "server"):
        raise ValueError(f"expected side 'client' or 'server', got {side!r}")


def _once(frame: pd.DataFrame, name: str, key: str, value: str = "t") -> pd.Series:
    """Value of the event of this name, by key. Raises ValueError if a key has two."""
    rows = frame[(frame["name"] == name) & (frame[key] != NONE)]
    twice = rows[key].duplicated()
    if twice.any():
        which = rows[key][twice].iloc[0]
        raise ValueError(f"expected one {name} for each {key}, got another for {key} {which}")
    return rows.set_index(key)[value]


def _first(frame: pd.DataFrame, key: str, value: str) -> pd.Series:
    """The first value that any event gives, by key."""
    return frame[frame[value] != NONE].drop_duplicates(key).set_index(key)[value]


def _row(frame: pd.DataFrame, ids: np.ndarray, clients: np.ndarray) -> np.ndarray:
    """Where an event's message and client are in the table of all messages × all clients."""
    return np.searchsorted(ids, frame.message) * len(clients) + np.searchsorted(clients, frame.client)


def _filled(n: int, missing: float, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """An array of n values, all missing but those."""
    result = np.full(n, missing)
    result[where] = values
    return result


def _sent_s(sent: pd.DataFrame, row_of_sent: np.ndarray, result: pd.DataFrame) -> np.ndarray:
    """When each row was sent: by the request that brought it or, if none did, the first time."""
    t = sent.t.to_numpy()
    row, first = np.unique(row_of_sent, return_index=True)
    first_s = _filled(len(result), np.nan, row, t[first])
    matching = sent.request.to_numpy() == result.request.to_numpy()[row_of_sent]
    row, first = np.unique(row_of_sent[matching], return_index=True)
    matching_s = _filled(len(result), np.nan, row, t[matching][first])
    return np.where(result.received_s.isna(), first_s, matching_s)
