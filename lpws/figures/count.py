"""Timeline: counts over time, one line per run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context

from ..run import Run
from ..tables import connections, open_over_time, requests
from ..tables.trace import check_side
from .arguments import labeled
from .labels import room_on_the_right, size_of, spread
from .panel import axes, entitle, label_time
from .style import INK, LOOK, MEDIUM, SMALL, styles

WHAT = {
    "opened": ("Connections opened so far", "connections opened"),
    "open": ("Connections open at each moment", "connections open"),
    "requests": ("Requests so far", "requests"),
}


@rc_context(LOOK)
def timeline(
    runs: Run | Mapping[str, Run],
    *,
    what: str = "opened",
    side: str = "server",
    title: str | None = None,
    ax=None,
):
    """Draw a count over the time of publishing, one line per run.

    Parameters
    ----------
    runs
        A run, or runs by label.
    what
        ``"opened"``: connections opened so far, those of the set-up included; ``"open"``: connections
        open at each moment; ``"requests"``: requests so far.
    side
        The side that counts: ``"client"`` or ``"server"``. It matters for ``"open"``.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    check_side(side)
    if what not in WHAT:
        raise ValueError(f"expected what='opened', 'open' or 'requests', got {what!r}")
    runs = labeled(runs)
    of_transport = styles(runs)
    end_s = max(run.workload.duration_s for run in runs.values())
    ax = axes(ax, 7.5, 4)
    ends = []
    for n, (label, run) in enumerate(runs.items()):
        style = of_transport[label]
        t, count = steps(run, what, side, end_s)
        # Lines that coincide: the first is the widest, so that every one shows.
        width = 1.5 + 1.0 * (len(runs) - 1 - n) / max(len(runs) - 1, 1)
        ax.plot(
            t, count, drawstyle="steps-post", color=style.color, linestyle=style.linestyle, linewidth=width,
            label=label,
        )  # fmt: skip
        # What goes up and down says little by where it ends.
        number = round(np.average(count[:-1], weights=np.diff(t)), 2) if what == "open" else count[-1]
        ends.append((f"{label}: {number:,}".removesuffix(".0"), style, count[-1]))
    top = max(1, *(line.get_ydata().max() for line in ax.get_lines()))
    ax.set_ylim(0, 1.05 * top)
    _label_ends(ax, end_s, ends)
    label_time(ax, end_s)
    headline, unit = WHAT[what]
    clients = sorted({run.workload.clients for run in runs.values()})
    ax.set_ylabel(unit, fontsize=MEDIUM, color=INK)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    crowd = f"{' or '.join(map(str, clients))} client{'s' * (clients != [1])}"
    remark = "beside each name its average" if what == "open" else "the count at t = 0 is that of the set-up"
    entitle(ax, title or f"{headline}, counted at the {side}", f"{crowd}; {remark}", runs)
    return ax


def steps(run: Run, what: str, side: str, end_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the line from t = 0 to the end: times [s], and the count from each on."""
    if what == "open":
        frame = open_over_time(run, side)
        t, count = frame.t_s.to_numpy(), frame.open.to_numpy()
    else:
        if what == "opened":
            frame = connections(run, side).opened_s
        else:
            frame = requests(run)["sent_s" if side == "client" else "received_s"]
        t = np.sort(frame.dropna())
        count = np.arange(1, len(t) + 1)
    before, inside = np.searchsorted(t, 0.0, side="right"), np.searchsorted(t, end_s, side="left")
    t = np.concatenate([[0.0], t[before:inside], [end_s]])
    at_0 = count[before - 1] if before else 0
    count = np.concatenate([[at_0], count[before:inside]])
    return t, np.append(count, count[-1])


def _label_ends(ax, end_s: float, ends: list[tuple]) -> None:
    """Write each line's name at its end, apart from each other."""
    gap = 22  # pixels for the leader from line to name
    texts = [
        ax.text(end_s, value, name, color=style.ink, fontsize=SMALL, va="center")
        for name, style, value in ends
    ]
    room_on_the_right(ax, 0.0, end_s, texts, gap=gap + 4)
    pixels = ax.transData.transform([(end_s, value) for _, _, value in ends])
    low, high = ax.get_window_extent().intervaly
    heights = np.array([size_of(text)[1] * 1.25 for text in texts])
    # Of equal lines, the first of the dict is on top.
    wanted = pixels[:, 1] - 1e-6 * np.arange(len(ends))
    to_data = ax.transData.inverted().transform
    centers = spread(wanted, heights, low, high)
    for text, (x, y), center, (_, style, _) in zip(texts, pixels, centers, ends, strict=True):
        text.set_position(to_data((x + gap, center)))
        corners = to_data([(x + 3, y), (x + gap - 4, center)])
        ax.plot(*corners.T, color=style.color, linewidth=0.8, label="_leader", zorder=1)
