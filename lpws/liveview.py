"""A run that is seen while it runs: one figure, drawn anew in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from IPython import get_ipython
from IPython.display import DisplayHandle
from matplotlib.figure import Figure

from .figures.picture import DPI, PAGE_DPI, bundle
from .figures.style import INK, MEDIUM, TRANSPORT_STYLE, axes, entitle, label_time, warn
from .figures.timeline import steps
from .run import Run
from .tables import deliveries

#: Width and height of the figure [inches].
SIZE = (7.5, 4.8)


def live(runs: Iterable[Run]) -> Figure:
    """The figure of a run that grows: its connections, and how old each message was on arrival.

    It is what `measure` takes as `watch`. The figure is shown with its description, and
    then drawn anew in its place; what was drawn last stays, and is all that a saved notebook holds.
    Outside a notebook nothing is shown.

    Who watches disturbs, since the drawing is done in the process of the server. The middle of the
    latencies stays where it is, the few that fall into a drawing grow by tens of milliseconds: for
    numbers, measure again and do not watch.

    Parameters
    ----------
    runs
        The run as far as it has come, again and again, and at last all of it.

    Examples
    --------
    >>> from lpws import LongPolling, Workload, simulate
    >>> live([simulate(LongPolling(), Workload(clients=2, duration_s=1.0))])
    <Figure size 750x480 with 2 Axes>
    """
    figure = Figure(figsize=SIZE)
    show: Callable[[float], None] | None = None
    for run in runs:
        draw(run, figure)
        if show is None:
            show = _place(figure, describe(run))
        else:
            show(PAGE_DPI)  # quickly, since what is drawn while the run lasts disturbs it
    if show is not None:
        show(DPI)
    return figure


def draw(run: Run, figure: Figure) -> None:
    """Draw the run, as far as it has come, over the whole time that it will take."""
    figure.clear()
    place = {"left": 0.12, "right": 0.97, "bottom": 0.2, "top": 0.87, "hspace": 0.1}
    above, below = figure.subplots(2, sharex=True, gridspec_kw=place)
    style = TRANSPORT_STYLE[run.label]
    came = deliveries(run).dropna(subset="received_s")
    end_s = max([run.workload.duration_s, *came.received_s])
    now_s = min(run.events[-1].t, end_s) if run.events else 0.0

    t, opened = steps(run, "opened", "server", now_s)
    axes(above).plot(
        t, opened, drawstyle="steps-post", color=style.color, linewidth=1.8, label="opened"
    )
    t, count = steps(run, "open", "server", now_s)
    above.fill_between(t, count, step="post", color=style.color, alpha=0.3, linewidth=0, label="open")
    above.set(xlim=(0, end_s), ylim=(0, 1.08 * max(1, *opened, *count)))
    above.yaxis.get_major_locator().set_params(integer=True)
    above.yaxis.set_major_formatter("{x:,.0f}")
    above.set_ylabel("connections", fontsize=MEDIUM, color=INK)
    above.tick_params("x", labelbottom=False)

    unit, size = ("s", 1) if came.latency_s.max() >= 1 else ("ms", 1000)
    axes(below).plot(
        came.received_s, size * came.latency_s, linestyle="none", marker=style.marker, markersize=4,
        markeredgewidth=0, color=style.color, alpha=0.6, clip_on=False, label="delivery",
    )  # fmt: skip
    below.set_ylim(0, 1.08 * size * max([0.001, *came.latency_s]))
    below.set_ylabel(f"latency [{unit}]", fontsize=MEDIUM, color=INK)
    label_time(below, end_s)
    half = f", half within {size * came.latency_s.median():.3g} {unit}" if len(came) else ""
    title = f"{run.label}: {opened[-1]:,} opened, {len(came):,} deliveries{half}"
    note = "above: connections at the server (line: opened so far, area: open)    below: a dot each delivery"
    entitle(above, title, note, [])
    warn(below, [run])


def describe(run: Run) -> str:
    """What the figure of the run shows, in words that are the same each time."""
    clients = f"{run.workload.clients} client" + "s" * (run.workload.clients != 1)
    return (
        f"Two panels over {run.workload.duration_s:g} s of {run.label} with {clients}. Above, the "
        "connections at the server: a line for those opened so far, an area for those open. Below, a "
        "dot for each message that reached a client, at the time when it arrived, as high as it was old."
    )


def _place(figure: Figure, description: str) -> Callable[[float], None]:
    """A place for the figure in the notebook; what to call to show it anew there, with its resolution."""
    if not hasattr(get_ipython(), "kernel"):
        return lambda _dpi: None

    handle = DisplayHandle()
    handle.display(bundle(figure, description, PAGE_DPI), raw=True)
    return lambda dpi: handle.update(bundle(figure, description, dpi), raw=True)
