"""Processor time of a run."""

from __future__ import annotations

from ..run import Run
from ..trace import NONE
from .trace import check_side


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
    check_side(side)
    used = [
        size
        for t, name, by, _client, _connection, _request, _message, size in run.events
        if name == "ticked" and by == side and size != NONE and 0 <= t <= run.workload.duration_s
    ]
    return (used[-1] - used[0]) / 1e6 if len(used) > 1 else float("nan")
