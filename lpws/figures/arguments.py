"""The arguments that figures share, checked: runs under their labels, a client, a window."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

from ..run import Run


def labeled(runs: Run | Mapping[str, Run]) -> dict[str, Run]:
    """The runs of a figure, by label; a single run has the label of its transport.

    Raises
    ------
    TypeError
        If the argument is something else.
    ValueError
        If there is none.
    """
    if isinstance(runs, Run):
        return {runs.label: runs}
    if not isinstance(runs, Mapping):
        raise TypeError(f"expected a Run or a dict label → Run, got {runs!r}")
    for label, run in runs.items():
        if not (isinstance(label, str) and isinstance(run, Run)):
            raise TypeError(f"expected a dict label → Run, got {label!r}: {run!r}")
    if not runs:
        raise ValueError("expected at least one run, got an empty dict")
    return dict(runs)


def check_client(runs: Mapping[str, Run], client: int) -> None:
    """Raise unless all runs have the client."""
    for label, run in runs.items():
        if not isinstance(client, Integral) or not 0 <= client < run.workload.clients:
            last = run.workload.clients - 1
            raise ValueError(f"expected a client from 0 to {last} of the run {label!r}, got {client!r}")


def check_window(window_s: tuple[float, float]) -> tuple[float, float]:
    """The window, if it is one."""
    try:
        start_s, end_s = window_s
        if start_s < end_s:
            return float(start_s), float(end_s)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"expected window_s=(start, end) in seconds with start < end, got {window_s!r}")
