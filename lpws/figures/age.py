"""Freshness: the age of a client's knowledge, as an area."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context

from ..run import Run
from ..tables import age_over_time, mean_age_s
from .arguments import check_client, labeled
from .labels import write
from .panel import axes, entitle
from .style import FAINT, GRAY, INK, LARGE, LOOK, MEDIUM, PALE, SMALL, styles

ROOM = 0.35  # free height between two rows, as a share of the highest tooth


@rc_context(LOOK)
def freshness(
    runs: Run | Mapping[str, Run],
    *,
    client: int = 0,
    until_s: float | None = None,
    title: str | None = None,
    ax=None,
):
    """Draw the age of a client's knowledge over time: a filled sawtooth, whose area is the mean age.

    Parameters
    ----------
    runs
        A run, or label → run; one row each, all to one scale.
    client
        Whose knowledge.
    until_s
        Where to stop [s]; if not given, when publishing ends.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    runs = labeled(runs)
    check_client(runs, client)
    of_transport = styles(runs)
    lines = {label: age_over_time(run, client, until_s=until_s) for label, run in runs.items()}
    end_s = max(line.t_s.iloc[-1] for line in lines.values())
    unit, size = ("ms", 1000) if max(line.age_s.max() for line in lines.values()) < 0.5 else ("s", 1)
    step = _step(max(line.age_s.max() for line in lines.values()))

    # Each row is as high as it needs to be, and all are to one scale.
    heights = {label: max(line.age_s.max(), step) * (1 + ROOM) for label, line in lines.items()}
    ax = axes(ax, 7.5, 1.2 + min(0.8 * len(runs) + 1, 4.8), left=1.6 if len(runs) > 1 else 1.45, right=1.0)
    bases, base = {}, 0.0
    for label in runs:
        base -= heights[label]
        bases[label] = base
    ax.set_ylim(base, 0.0)
    ax.set_xlim(0, end_s)
    for label, run in runs.items():
        style, line, base = of_transport[label], lines[label], bases[label]
        for tick in np.arange(step, line.age_s.max(), step)[:4]:
            ax.plot([0, end_s], [base + tick] * 2, color=FAINT, linewidth=0.8, zorder=0, label="_guide")
            scale = {"ha": "right", "va": "center", "color": GRAY}
            write(ax, f"{size * tick:g} {unit}", (0, base + tick), (-6, 0), fontsize=SMALL, **scale)
        age = base + line.age_s
        ax.fill_between(line.t_s, age, base, color=style.color, alpha=0.38, linewidth=0, label="age")
        ax.plot(line.t_s, age, color=style.color, linewidth=1.4, label=label, zorder=3)
        ax.plot([0, end_s], [base] * 2, color=PALE, linewidth=0.8, label="_ground")
        bold = {"color": style.ink, "fontweight": "bold", "va": "bottom"}
        write(ax, label, (0, base), (-44, 3), fontsize=MEDIUM, ha="right", **bold)
        mean = mean_age_s(run, client, until_s=until_s)
        words = f"{mean:.2f} s" if unit == "s" else f"{1000 * mean:.0f} ms"
        write(ax, words, (end_s, base), (10, 1), fontsize=LARGE + 3, **bold)
    _messages(ax, runs, end_s)
    write(ax, "on average", (1, 1), (10, 1), "axes fraction", fontsize=SMALL, color=GRAY, va="bottom")
    ax.spines["left"].set_visible(False)
    ax.set_yticks([])
    ax.set_xlabel("time [s]", fontsize=MEDIUM)
    note = "the age falls when a response says: this is all there was, one transit ago"
    entitle(ax, title or "How old is what the client knows?", note, runs, lift=14)
    return ax


def _messages(ax, runs: Mapping[str, Run], end_s: float) -> None:
    """Mark above all rows where messages are published, if all runs have the same."""
    published = {tuple(run.workload.due_times_s()) for run in runs.values()}
    if len(published) != 1:
        return
    times_s = [t for t in published.pop() if t <= end_s]
    above = ax.get_xaxis_transform()
    mark = {"marker": "v", "linestyle": "none", "markersize": 5.5, "color": INK, "clip_on": False}
    ax.plot(times_s, np.full(len(times_s), 1.0), transform=above, label="published", **mark)
    if len(times_s) <= 60:
        dotted = {"color": INK, "linewidth": 0.6, "linestyle": (0, (1, 3)), "alpha": 0.6}
        ax.vlines(times_s, 0, 1, transform=above, zorder=1, **dotted)
    write(ax, "published", (0, 1), (-44, 0), "axes fraction", fontsize=SMALL, ha="right", va="center")


def _step(highest: float) -> float:
    """A round distance of guide lines, of which two or three fit under the highest tooth."""
    power = 10.0 ** np.floor(np.log10(max(highest, 1e-6)))
    return next(step for step in (power * part for part in (5, 2, 1, 0.5, 0.2)) if step <= highest / 2)
