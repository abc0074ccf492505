"""Processor time of a run."""

from __future__ import annotations

from ..health import which_loop
from ..run import Run
from ..trace import NONE
from .trace import check_side, event_table


def processor_time_s(run: Run, side: str = "server") -> float:
    """Processor time [s] that the threads of one side's loops used while messages were published.

    Each server has a loop; the clients' is one for all of them. The time is read off the loops' ticks, and
    so may be off by the distance of two ticks at either end.

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
    ticks = ticks[ticks.t.between(0, run.workload.duration_s)]
    used_us = ticks["size"].groupby(which_loop(ticks.request, run.servers if side == "server" else 1))
    return (used_us.last() - used_us.first()).sum() / 1e6 if len(ticks) > 1 else float("nan")
