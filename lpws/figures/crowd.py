"""Rain: the messages that fall on many clients, run by run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..run import Run
from ..tables import deliveries
from .arguments import check_window, labeled
from .labels import write
from .panel import axes, entitle
from .style import GRAY, INK, LOOK, MEDIUM, styles

FEW = 60  # clients that still have a column each to be seen


@rc_context(LOOK)
def rain(
    runs: Run | Mapping[str, Run], *, window_s: tuple[float, float] | None = None, title: str | None = None
) -> Figure:
    """Draw every message on its way to every client, as a drop that falls from publishing to arrival.

    Time runs downward, a column is a client. By push the drops of one message land together, a
    curtain; short polls catch them one by one, a mist; polls in step all at once, as hail.

    Parameters
    ----------
    runs
        A run, or runs by label; a panel for each, side by side.
    window_s
        Begin and end [s]; if not given, while messages are published.
    title
        A title in place of the figure's own.

    Returns
    -------
    Figure
        Its ``axes`` are the panels.
    """
    runs = labeled(runs)
    start_s, end_s = check_window(window_s or (0.0, max(run.workload.duration_s for run in runs.values())))
    panels = np.ravel(axes(None, 7.5, 5.2, columns=len(runs), sharey=True, gridspec_kw={"wspace": 0.12}))
    panels[0].set_ylim(end_s, start_s)
    for ax, (label, run), style in zip(panels, runs.items(), styles(runs).values(), strict=True):
        _panel(ax, run, style, (start_s, end_s))
        write(ax, label, (0, 1), (0, 6), "axes fraction", fontsize=MEDIUM, fontweight="bold", color=style.ink)
    panels[0].set_ylabel("time [s], downward", fontsize=MEDIUM)
    clients = sorted({run.workload.clients for run in runs.values()})
    note = f"{' or '.join(map(str, clients))} clients side by side; each drop falls until it arrives"
    entitle(panels[0], title or "What falls on a crowd", note, runs, lift=20)
    return panels[0].figure


def _panel(ax, run: Run, style, window_s: tuple[float, float]) -> None:
    """A column per client: a trail for each message, and a drop where it arrives."""
    start_s, end_s = window_s
    told = deliveries(run)
    told = told[(told.published_s < end_s) & ~(told.received_s < start_s)]
    x = told.client.to_numpy()
    ax.set(xlim=(-1, run.workload.clients), xticks=[])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params("y", length=0, labelcolor=GRAY)
    few = run.workload.clients <= FEW
    trail = {"color": style.color, "linewidth": 1.1 if few else 0.5, "alpha": 0.3 if few else 0.1}
    ax.vlines(x, told.published_s, told.received_s.fillna(end_s).clip(upper=end_s), label="falling", **trail)
    landed = told.received_s.le(end_s).to_numpy()
    ax.plot(
        x[landed], told.received_s[landed], linestyle="none", marker="o" if few else ",", markersize=2.6,
        markeredgewidth=0, color=style.ink, label="landed",
    )  # fmt: skip
    for t in run.workload.due_times_s():
        if start_s <= t <= end_s:
            ax.axhline(
                t, color=INK, linewidth=0.5, linestyle=(0, (1, 3)), alpha=0.5, zorder=0, label="_published"
            )
