"""Life-lines: the times of a client's connections, and what each was used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context

from ..run import Run
from ..tables import connections, events, requests
from ..tables.trace import check_side
from .arguments import check_client, check_window, labeled
from .labels import room_on_the_right
from .panel import axes, entitle, label_time
from .style import INK, LOOK, MEDIUM, SMALL, styles


@rc_context(LOOK)
def lifelines(
    runs: Run | Mapping[str, Run],
    *,
    client: int = 0,
    clients: Sequence[int] | None = None,
    window_s: tuple[float, float] | None = None,
    side: str = "client",
    title: str | None = None,
    ax=None,
):
    """Draw the connections of one client on each transport, or of several clients in one run.

    A bar is a connection from the moment when it begins to open to its end; it is dark while the
    server holds a request on it. A dot is where a connection opens, a tick is a message.

    Parameters
    ----------
    runs
        Runs by label, for one row each; or a single run.
    client
        Number of the client.
    clients
        For a single run: one row for each of these clients.
    window_s
        Begin and end [s]; if not given the time of publishing, and the set-up if it was just before.
    side
        The side that saw the connections: ``"client"`` or ``"server"``. A tick is where a message is
        received by the client, or sent by the server.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    check_side(side)
    if clients is not None and not isinstance(runs, Run):
        raise ValueError(f"expected a single run with clients={clients!r}, got {runs!r}")
    runs = labeled(runs)
    for number in [client] if clients is None else clients:
        check_client(runs, number)
    of_transport = styles(runs)
    if clients is None:
        rows = [(label, run, client, of_transport[label]) for label, run in runs.items()]
    else:
        ((label, run),) = runs.items()
        rows = [(f"client {number}", run, number, of_transport[label]) for number in clients]
    if window_s is None:
        window_s = _while_publishing(runs.values())
    start_s, end_s = check_window(window_s)

    ax = axes(ax, 7.5, 1.3 + 0.55 * len(rows), left=1.4, right=0.2)
    counts = [
        ax.text(end_s, -n, _row(ax, -n, run, number, style, side, (start_s, end_s)),
                color=style.ink, fontsize=SMALL, va="center")
        for n, (_, run, number, style) in enumerate(rows)
    ]  # fmt: skip
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    room_on_the_right(ax, start_s - 0.012 * (end_s - start_s), end_s, counts, gap=8)
    for text in counts:
        text.set_x(end_s + 8 * (ax.get_xlim()[1] - start_s) / ax.get_window_extent().width)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([-n for n in range(len(rows))], [row[0] for row in rows])
    ax.tick_params("y", length=0)
    for tick, row in zip(ax.get_yticklabels(), rows, strict=True):
        tick.set(color=row[3].ink, fontsize=MEDIUM, fontweight="bold")
    label_time(ax, end_s)
    verb = "arrives" if side == "client" else "is sent"
    whose = f"client {client}" if clients is None else f"{len(rows)} clients, {label}"
    entitle(
        ax,
        title or f"The connections of {whose}, as the {side} sees them",
        f"● opens    pale: open    ▴ a request    dark: the server holds it    | a message {verb}",
        runs,
    )
    return ax


def _while_publishing(runs: Iterable[Run]) -> tuple[float, float]:
    """From the set-up, if it was shortly before, to the last publish [s]."""
    end_s = max(run.workload.duration_s for run in runs)
    set_up_s = np.nanmin([0.0, *(_opening_s(run).min() for run in runs)])
    return (set_up_s if set_up_s > -0.25 * end_s else 0.0), end_s


def _opening_s(run: Run) -> pd.Series:
    """Times [s] at which clients began to connect."""
    frame = events(run)
    return frame.t[frame["name"] == "opening"]


def _row(ax, y: float, run: Run, client: int, style, side: str, window_s: tuple[float, float]) -> str:
    """Draw one row; what to write at its end."""
    start_s, end_s = window_s
    lines = connections(run, side)
    lines = lines[lines.client == client]
    begins = lines.opening_s.fillna(lines.opened_s)
    ends = lines.closed_s.fillna(np.inf)
    bar(ax, begins, ends, window_s, y, 0.52, facecolor=style.color, alpha=0.3, label="open")

    asked = requests(run)
    asked = asked[asked.client == client]
    if not run.transport.streams:  # their one request only opens the stream
        # What is not answered is held until its client leaves, which ends the last connection.
        held_until = asked.answered_s.fillna(ends.max())
        bar(ax, asked.received_s, held_until, window_s, y, 0.24, facecolor=style.color, label="held")
    asked_s = (asked.sent_s if side == "client" else asked.received_s).dropna()
    asked_s = asked_s[asked_s.between(*window_s)]
    mark = {"linestyle": "none", "color": style.ink, "clip_on": False, "zorder": 4}
    ax.plot(asked_s, np.full(len(asked_s), y - 0.31), marker="^", markersize=3.5, label="request", **mark)

    trace = events(run)
    trace = trace[trace.client == client]
    message_s = trace.t[trace["name"] == ("message_received" if side == "client" else "message_sent")]
    message_s = message_s[message_s.between(*window_s)]
    ax.vlines(message_s, y - 0.2, y + 0.2, color=INK, linewidth=1.4, label="message")
    together = message_s.value_counts()
    for t, number in together[together > 1].items():
        place = {"xytext": (0, 1), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        ax.annotate(f"{number}", (t, y + 0.2), fontsize=SMALL - 1, color=INK, **place)

    inside = begins[begins.between(*window_s)]
    ax.plot(inside, np.full(len(inside), y + 0.26), marker="o", markersize=5, label="opening", **mark)
    before = np.count_nonzero((begins < start_s) & (ends > start_s))
    return f"{len(inside)} opened" + (f",\n{before} before" if before else "")


def bar(ax, begins, ends, window_s: tuple[float, float], y: float, height: float, **properties) -> None:
    """Bars from begin to end, as far as they are in the window."""
    begins, ends = np.asarray(begins, float), np.asarray(ends, float)
    shown = (begins <= window_s[1]) & (ends >= window_s[0])
    begins, ends = np.clip(begins[shown], *window_s), np.clip(ends[shown], *window_s)
    properties |= {"linewidth": 0}
    ax.broken_barh(list(zip(begins, ends - begins, strict=True)), (y - height / 2, height), **properties)
