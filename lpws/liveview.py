"""The view of a run while it runs: one figure, drawn anew in its place."""

from __future__ import annotations

from collections.abc import Iterable

from IPython import get_ipython
from IPython.display import DisplayHandle
from matplotlib.figure import Figure

from .figures.pair import SIZE, connections_and_latency
from .figures.panel import Drawing
from .figures.picture import DPI, PAGE_DPI, bundle
from .run import Run


def live(runs: Iterable[Run]) -> Figure:
    """Show a figure of a run while it runs: its connections, and the latency of each message.

    Pass it to `measure` as `watch`. The figure is shown with its description, and then drawn anew in its
    place; the last drawing stays, and is all that a saved notebook holds. Outside a notebook nothing is
    shown.

    Watching disturbs the run, since the server's process does the drawing. The median latency stays the
    same, but the few messages that fall into a drawing take tens of milliseconds longer: for numbers,
    measure again without watching.

    Parameters
    ----------
    runs
        The run as far as it has come, again and again; at last all of it.

    Returns
    -------
    Figure
        The last drawing.

    Examples
    --------
    >>> from lpws import LongPolling, Workload, simulate
    >>> live([simulate(LongPolling(), Workload(clients=2, duration_s=1.0))])
    <Drawing size 750x480 with 2 Axes>
    """
    figure, run, place = Drawing(figsize=SIZE, dpi=100), None, DisplayHandle()
    in_notebook, show = hasattr(get_ipython(), "kernel"), place.display
    for run in runs:
        connections_and_latency(run, figure=figure)
        if in_notebook:  # quickly, since what is drawn while the run lasts disturbs it
            show(bundle(figure, describe(run), PAGE_DPI), raw=True)
            show = place.update
    if in_notebook and run:
        show(bundle(figure, describe(run), DPI), raw=True)
    return figure


def describe(run: Run) -> str:
    """Description of the run's figure, in words that are the same each time."""
    clients = f"{run.workload.clients} client" + "s" * (run.workload.clients != 1)
    return (
        f"Two panels over {run.workload.duration_s:g} s of {run.label} with {clients}. Above, the "
        "connections at the server: a line for those opened so far, an area for those open. Below, a "
        "dot for each message that reached a client, at the time when it arrived, as high as it was old."
    )
