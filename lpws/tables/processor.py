"""Processor time of a run."""

from __future__ import annotations

from ..run import Run
from ..trace import NONE
from .trace import check_side, event_table


def processor_time_s(run: Run, side: str = "server") -> float:
    """Processor time [s] that the thread of one side's loop used while messages were published.

    The clients' loop is one for all of them. The time is read off the loop's ticks, and so may be off by
    the distance of two ticks at either end.

    Parameters
    ----------
    run
        A measured run.
    side
        ``"server"`` or ``"client"``.

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
    frame = event_table(run)
    ticks = frame[(frame["name"] == "ticked") & (frame.side == side) & (frame["size"] != NONE)]
    used_us = ticks["size"][ticks.t.between(0, run.workload.duration_s)].to_numpy()
    return (used_us[-1] - used_us[0]) / 1e6 if len(used_us) > 1 else float("nan")
