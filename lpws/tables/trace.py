"""The table of events, made once per run, and the look-ups that the other tables are made with."""

from __future__ import annotations

from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from ..run import Run
from ..trace import NAMES, NONE, SIDES, Event

#: Performance: run → its one table of events, with which every other table begins. The plain version makes
#: it anew for each table: `lifelines` of five runs made 20, and now makes 5. It goes when its run goes.
_TABLES: WeakKeyDictionary[Run, pd.DataFrame] = WeakKeyDictionary()


def events(run: Run) -> pd.DataFrame:
    """The trace as it was recorded, one row per event.

    Returns
    -------
    DataFrame
        The columns of `lpws.trace.Event`; `t` in seconds, `name` and `side` categorical.

    Raises
    ------
    ValueError
        If an event has a name or a side that the tables of `lpws.trace` do not have.
    """
    return event_table(run).copy()


def event_table(run: Run) -> pd.DataFrame:
    """The run's one table of events, to read and not to change; `events` gives a copy."""
    if run not in _TABLES:
        _TABLES[run] = _make_table(run)
    return _TABLES[run]


def _make_table(run: Run) -> pd.DataFrame:
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


def check_side(side: str) -> None:
    """Raise ValueError unless the side is ``"client"`` or ``"server"``."""
    if side not in ("client", "server"):
        raise ValueError(f"expected side 'client' or 'server', got {side!r}")


def once(frame: pd.DataFrame, name: str, key: str, value: str = "t") -> pd.Series:
    """Value of the event of this name, by key. Raises ValueError if a key has two."""
    rows = frame[(frame["name"] == name) & (frame[key] != NONE)]
    twice = rows[key].duplicated()
    if twice.any():
        which = rows[key][twice].iloc[0]
        raise ValueError(f"expected one {name} for each {key}, got another for {key} {which}")
    return rows.set_index(key)[value]


def first(frame: pd.DataFrame, key: str, value: str) -> pd.Series:
    """The first value that any event gives, by key."""
    return frame[frame[value] != NONE].drop_duplicates(key).set_index(key)[value]
