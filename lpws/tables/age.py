"""The age of a client's knowledge, moment by moment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..run import Run
from .connection import connections
from .request import requests


def age_over_time(run: Run, client: int = 0, *, until_s: float | None = None) -> pd.DataFrame:
    """Age of a client's knowledge over time, as the corners of a sawtooth.

    The age at t is t minus the latest moment up to which the client knows everything that was published.
    A response, with messages or without, tells everything up to the moment when it was sent. While the
    server holds a request, and on a stream, silence tells as much: "nothing was published until one
    transit ago". That takes a connection that is alive: the silence of a dead one tells nothing. A message
    that is lost for good, as without a cursor, does not show in an age. At t = 0 a client knows everything.

    Parameters
    ----------
    run
        The run.
    client
        Number of the client.
    until_s
        End of the line [s]; if not given, the end of publishing.

    Returns
    -------
    DataFrame
        ``t_s``, ``age_s``, from t = 0; where the age falls, two rows have one time.
    """
    until_s = run.workload.duration_s if until_s is None else until_s
    corners, known_s = [(0.0, 0.0)], 0.0
    for at_s, of_s, held_until_s in _told(run, client, until_s):
        if at_s <= until_s and of_s > known_s:
            corners += [(at_s, at_s - known_s), (at_s, at_s - of_s)]
            known_s = of_s
        # From then on knowledge grows with time, as long as the client waits on a held request or stream.
        end_s = min(held_until_s, until_s)
        if end_s > max(at_s, known_s + run.delay_s):
            corners += [(max(at_s, known_s + run.delay_s), run.delay_s), (end_s, run.delay_s)]
            known_s = end_s - run.delay_s
    corners.append((until_s, until_s - known_s))
    return pd.DataFrame([corner for corner in corners if corner[0] >= 0], columns=["t_s", "age_s"])


def mean_age_s(run: Run, client: int = 0, *, until_s: float | None = None) -> float:
    """Mean age [s] of a client's knowledge: the area under `age_over_time`, divided by its duration.

    Parameters
    ----------
    run, client, until_s
        As `age_over_time` takes them.
    """
    line = age_over_time(run, client, until_s=until_s)
    area = (np.diff(line.t_s) * (line.age_s.to_numpy()[1:] + line.age_s.to_numpy()[:-1])).sum() / 2
    return float(area / line.t_s.iloc[-1])


def _told(run: Run, client: int, until_s: float) -> list[tuple[float, float, float]]:
    """Moments at which the client learns something, sorted: (at [s], all up to [s], and on until [s])."""
    asked = requests(run)
    asked = asked[(asked.client == client) & asked.received_s.notna()]
    told = [(r.response_s, r.answered_s, -np.inf) for r in asked.itertuples() if r.response_s <= until_s]
    if run.transport.streams:
        mine = connections(run)
        ends = mine.closed_s[mine.client == client].dropna().to_numpy()
        untils = [min([*ends[ends > at_s], np.inf]) for at_s in asked.received_s]
    else:
        untils = asked.answered_s.fillna(np.inf)
    for received_s, end_s in zip(asked.received_s, untils, strict=True):
        if end_s > received_s:
            told.append((received_s + run.delay_s, received_s, end_s + run.delay_s))
    return sorted(told)
