"""The pair that every lesson draws from its own run: connections opened and open, and latency."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..run import Run
from ..tables import deliveries
from .count import steps
from .labels import write
from .panel import Drawing, axes, entitle, label_time, warn
from .style import GRAY, INK, LOOK, MEDIUM, SMALL, style_of

#: Width and height of the figure [inches].
SIZE = (7.5, 4.8)


@rc_context(LOOK)
def connections_and_latency(run: Run, *, title: str | None = None, figure: Figure | None = None) -> Figure:
    """Draw two panels over time: connections opened and open at the server, and latency on arrival.

    Parameters
    ----------
    run
        The run; one that is not over yet is drawn as far as it has come.
    title
        A title in place of the figure's own.
    figure
        A figure to draw on, anew; one of its own if not given.

    Returns
    -------
    Figure
        Its ``axes`` are the two panels.
    """
    if not isinstance(run, Run):
        raise TypeError(f"expected a Run, got {run!r}")
    if figure is None:
        figure = Drawing(figsize=SIZE, dpi=100)
    figure.clear()
    place = {"left": 0.1, "right": 0.83, "bottom": 0.12, "top": 0.87, "hspace": 0.16}
    above, below = figure.subplots(2, sharex=True, gridspec_kw=place)
    style = style_of(run)
    came = deliveries(run).dropna(subset="received_s")
    end_s = max([run.workload.duration_s, *came.received_s])
    now_s = min(run.events[-1].t, end_s) if run.events else 0.0
    _connections(axes(above), run, style, now_s, end_s)
    _latency(axes(below), run, came, style, end_s)
    label_time(below, end_s)
    clients = f"{run.workload.clients} client" + "s" * (run.workload.clients != 1)
    title = title or f"{run.label}: connections at the server, and latency"
    entitle(above, title, f"{clients}; each mark below is a delivery")
    warn(below, [run])
    return figure


def _connections(ax, run: Run, style, now_s: float, end_s: float) -> None:
    """A line for the connections opened so far, an area for those open; each with its name at its end."""
    t, opened = steps(run, "opened", "server", now_s)
    ax.plot(t, opened, drawstyle="steps-post", color=style.color, linewidth=2, label="opened")
    t, count = steps(run, "open", "server", now_s)
    ax.fill_between(t, count, step="post", color=style.color, alpha=0.3, linewidth=0, label="open")
    top = 1.12 * max(1, *opened, *count)
    ax.set(xlim=(0, end_s), ylim=(0, top))
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("connections", fontsize=MEDIUM, color=INK)
    ax.tick_params("x", labelbottom=False)
    mean = np.average(count[:-1], weights=np.diff(t)) if t[-1] > t[0] else count[-1]
    apart = 0.22 * top  # closer to one another names would touch
    open_y = min(count[-1], mean, opened[-1] - apart)
    names = [(opened[-1], f"{opened[-1]:,} opened", "bold")]
    names.append((max(open_y, apart / 2), f"{mean:.3g} open,\non average", "normal"))
    for y, words, weight in names:
        write(ax, words, (end_s, y), (7, 0), va="center", fontsize=MEDIUM, color=style.ink, fontweight=weight)


def _latency(ax, run: Run, came, style, end_s: float) -> None:
    """A dot for each delivery, at the moment when it came, as high as it was old."""
    unit, size = ("s", 1) if came.latency_s.max() >= 1 else ("ms", 1000)
    ax.plot(
        came.received_s, size * came.latency_s, linestyle="none", marker=style.marker, markersize=4,
        markeredgewidth=0, color=style.color, alpha=0.6, clip_on=False, label="delivery",
    )  # fmt: skip
    top = 1.12 * size * max([0.001, *came.latency_s])
    ax.set_ylim(0, top)
    ax.set_ylabel(f"latency [{unit}]", fontsize=MEDIUM, color=INK)
    if not len(came):
        return
    median, p99 = (size * came.latency_s.quantile(share) for share in (0.5, 0.99))
    room = 0.16 * top
    name = {"va": "center", "fontsize": MEDIUM, "color": style.ink}
    write(ax, f"median {median:.3g} {unit}", (end_s, median), (7, 0), fontweight="bold", **name)
    if p99 - median > room:
        write(ax, f"p99 {p99:.3g} {unit}", (end_s, p99), (7, 0), **name)
    transit = size * run.delay_s
    if transit:
        ax.axhline(transit, color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), label="_one transit", zorder=0)
        if abs(transit - median) > room:
            write(ax, "one transit", (end_s, transit), (7, 0), va="center", fontsize=SMALL, color=GRAY)
