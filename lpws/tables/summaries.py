"""The summary of a race, one row per run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..run import Run
from .connection import connections, open_over_time
from .delivery import STATES, deliveries
from .request import requests


def summary(runs: Run | Mapping[str, Run]) -> pd.DataFrame:
    """Counts and latencies of each run, one row per run.

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
    opened_s = {side: connections(run, side).opened_s for side in ("client", "server")}
    row = {("counts", f"opened_{side}"): opened_s[side].notna().sum() for side in opened_s}
    row |= {("counts", f"opened_{side}_from_0"): (opened_s[side] >= 0).sum() for side in opened_s}
    row |= {("counts", f"open_peak_{side}"): max([0, *open_over_time(run, side).open]) for side in opened_s}
    asked = requests(run)
    asked = asked[asked.sent_s.between(0, run.workload.duration_s)]
    answered = asked[asked.answered_s.notna()]
    row["counts", "requests"] = len(asked)
    row["counts", "empty_share"] = answered["empty"].mean() if len(answered) else np.nan
    told = deliveries(run)
    row["counts", "published"] = told.message[told.published_s.notna()].nunique()
    for state in STATES:
        row["counts", state] = (told.state == state).sum()
    row["counts", "extra_copies"] = (told.copies - 1).clip(lower=0).sum()
    age = np.sort(told.latency_s.fillna(np.inf))
    for name, q in (("median", 0.5), ("p99", 0.99)):
        row["latency_s", name] = age[int(np.ceil(q * len(age))) - 1] if len(age) else np.nan
    row["latency_s", "mean_delivered"] = told.latency_s.mean()
    return row
