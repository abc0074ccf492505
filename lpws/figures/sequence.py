"""Ladder: a sequence diagram to scale, drawn from the trace."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context

from ..run import Run
from ..tables import connections, deliveries, requests
from .arguments import check_client, check_window
from .labels import size_of
from .panel import axes, entitle
from .style import GRAY, INK, LOOK, MEDIUM, PALE, SMALL, styles

CLIENT, SERVER = 0.0, 1.0  # where the life-lines stand


@rc_context(LOOK)
def ladder(
    run: Run,
    *,
    client: int = 0,
    window_s: tuple[float, float] | None = None,
    title: str | None = None,
    ax=None,
):
    """Draw all that went between one client and the server, time downward and to scale.

    Parameters
    ----------
    run
        The run.
    client
        Which client.
    window_s
        Begin and end [s]; if not given, around the message that was oldest on arrival.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    if not isinstance(run, Run):
        raise TypeError(f"expected a Run, got {run!r}")
    check_client({run.label: run}, client)
    told = deliveries(run)
    told = told[told.client == client]
    start_s, end_s = _around_the_oldest(run, told) if window_s is None else check_window(window_s)
    style = styles({run.label: run})[run.label]

    ax = axes(ax, 7.5, 5, left=0.8, right=0.6)
    ax.set_ylim(end_s, start_s)
    labels = _label_deliveries(ax, run, told, style)
    _make_room(ax, labels)
    for x, name in ((CLIENT, f"client {client}"), (SERVER, "server")):
        ax.plot([x, x], [start_s, end_s], color=INK, linewidth=1.5, label="_life-line")
        _head(ax, x, name, "center")
    _connecting(ax, run, client)
    asked = requests(run)
    _held(ax, asked, run, client, style)
    _exchanges(ax, asked, told, run, client, style)
    _published(ax, told, (start_s, end_s))

    ax.spines["bottom"].set_visible(False)
    ax.set_xticks([])
    ax.set_ylabel("time [s], downward", fontsize=MEDIUM, color=INK)
    entitle(ax, title or _headline(run, told, (start_s, end_s), client), _note(run), [run], lift=14)
    return ax


def _around_the_oldest(run: Run, told: pd.DataFrame) -> tuple[float, float]:
    """A window [s] around the message that was oldest on arrival, wide enough to see its neighbors."""
    least_s = max(14 * run.delay_s, 0.005)
    missed = told[(told.state == "missed") & told.due_s.notna()]
    if len(missed):  # infinitely old
        return missed.due_s.iloc[0] - least_s / 2, missed.due_s.iloc[0] + least_s / 2
    if not told.latency_s.notna().any():
        return 0.0, run.workload.duration_s
    told = told[told.latency_s.notna()].sort_values("received_s")
    # Of those that are about equally old, the one in the densest company.
    first, last = (told.received_s.searchsorted(told.received_s + by * least_s / 2) for by in (-1, 1))
    about_s = run.delay_s / 2 or 0.05 * told.latency_s.max()
    rank = np.where(told.latency_s >= told.latency_s.max() - about_s, last - first, -1)
    oldest = told.iloc[rank.argmax()]
    margin_s = max(0.15 * oldest.latency_s, (least_s - oldest.latency_s) / 2, 3 * run.delay_s)
    return oldest.due_s - margin_s, oldest.received_s + margin_s


def _age(run: Run, latency_s: float) -> str:
    """A latency in words: in transits, where there is a distance."""
    if not run.delay_s:
        return f"{1e3 * latency_s:.3g} ms"
    transits = latency_s / run.delay_s
    return f"{transits:.1f} transits" if transits < 100 else f"{transits:,.0f} transits"


def _headline(run: Run, told: pd.DataFrame, window_s: tuple[float, float], client: int) -> str:
    missed = told.message[(told.state == "missed") & told.published_s.between(*window_s)]
    if len(missed):
        return f"{run.label}: message {missed.iloc[0]} never reaches client {client}"
    shown = told[told.received_s.between(*window_s) & told.latency_s.notna()]
    if shown.empty:
        return f"{run.label}: no message reaches client {client} here"
    oldest = shown.loc[shown.latency_s.idxmax()]
    return f"{run.label}: message {oldest.message:.0f} takes {_age(run, oldest.latency_s)}"


def _note(run: Run) -> str:
    if run.transport.streams:
        return "colored: messages, each with its age since it was due"
    connecting = "" if run.transport.keep_alive else "    ● connects"
    return f"gray: requests{connecting}    colored: answers, thin if empty    bar: held by the server"


def _label_deliveries(ax, run: Run, told: pd.DataFrame, style) -> list:
    """Write beside the client how old each message is on arrival; where it gets crowded, the oldest only."""
    end_s, start_s = ax.get_ylim()
    shown = told[told.received_s.between(start_s, end_s)]
    labels = []
    for received_s, group in shown.groupby("received_s"):
        group = group.sort_values("message")
        oldest_s = group.latency_s.max()
        if len(group) == 1:
            words = f"#{group.message.iloc[0]}  {_age(run, oldest_s)}"
        else:
            words = f"#{group.message.iloc[0]}–{group.message.iloc[-1]}  up to {_age(run, oldest_s)}"
        text = ax.text(CLIENT, received_s, words, color=style.ink, fontsize=SMALL, ha="right", va="center")
        labels.append((oldest_s, text))
    return _thinned(ax, labels)


def _thinned(ax, labels: list[tuple[float, object]]) -> list:
    """Texts that do not overlap in height: those of the highest rank, the rest removed."""
    kept = []
    for _, text in sorted(labels, key=lambda label: -label[0]):
        y = ax.transData.transform(text.get_position())[1]
        height = size_of(text)[1]
        if all(abs(y - other) > height for other, _ in kept):
            kept.append((y, text))
        else:
            text.remove()
    return [text for _, text in kept]


def _make_room(ax, labels: list) -> None:
    """Set the x limits so that the labels fit on the left and the publishes on the right."""
    width = ax.get_window_extent().width
    left = max((size_of(text)[0] for text in labels), default=0) + 24
    right = 110
    between = max(width - left - right, 0.3 * width)
    ax.set_xlim(CLIENT - left / between, SERVER + right / between)
    for text in labels:
        text.set_x(CLIENT - 12 / between)


def _head(ax, x: float, name: str, align: str) -> None:
    ax.annotate(
        name, (x, 1), (0, 4), ("data", "axes fraction"), textcoords="offset points", ha=align, va="bottom",
        fontsize=MEDIUM, fontweight="bold", color=INK, annotation_clip=False,
    )  # fmt: skip


def arrow(ax, start: tuple[float, float], end: tuple[float, float], color: str, width: float, name: str):
    """An arrow between two places in data coordinates, cut off where the axes end."""
    note = ax.annotate(
        "", end, start, annotation_clip=False, zorder=3,
        arrowprops={"arrowstyle": "-|>", "mutation_scale": 6 + 3 * width, "shrinkA": 0, "shrinkB": 0,
                    "color": color, "linewidth": width},
    )  # fmt: skip
    note.set_gid(name)
    note.arrow_patch.set_clip_box(ax.bbox)
    return note


def _connecting(ax, run: Run, client: int) -> None:
    """A bar at the client while it begins a connection, and a dot where it begins."""
    lines = connections(run)
    lines = lines[lines.client == client]
    end_s, start_s = ax.get_ylim()
    lines = lines[lines.opening_s.between(start_s, end_s)]
    for line in lines.itertuples():
        ax.broken_barh(
            [(CLIENT - 0.02, 0.02)], (line.opening_s, line.opened_s - line.opening_s),
            facecolor=PALE, linewidth=0, label="connecting",
        )  # fmt: skip
    ax.plot(
        np.full(len(lines), CLIENT), lines.opening_s, linestyle="none", marker="o", markersize=5, color=INK,
        label="opening",
    )  # fmt: skip


def _held(ax, asked: pd.DataFrame, run: Run, client: int, style) -> None:
    """A bar at the server while it holds a request."""
    if run.transport.streams:
        return
    asked = asked[(asked.client == client) & asked.received_s.notna()]
    end_s = run.events[-1].t if run.events else 0.0
    for request in asked.itertuples():
        until_s = end_s if np.isnan(request.answered_s) else request.answered_s
        ax.broken_barh(
            [(SERVER, 0.03)], (request.received_s, until_s - request.received_s),
            facecolor=style.color, alpha=0.4, linewidth=0, label="held",
        )  # fmt: skip


def _exchanges(ax, asked: pd.DataFrame, told: pd.DataFrame, run: Run, client: int, style) -> None:
    """Arrows of requests, and of what came back: answers, or the messages of a stream."""
    end_s, start_s = ax.get_ylim()
    asked = asked[asked.client == client]
    for request in asked[(asked.received_s >= start_s) & (asked.sent_s <= end_s)].itertuples():
        arrow(ax, (CLIENT, request.sent_s), (SERVER, request.received_s), GRAY, 1.0, "request")
    for answer in asked[(asked.response_s >= start_s) & (asked.answered_s <= end_s)].itertuples():
        width = 2.0 if answer.messages else 0.8
        arrow(ax, (SERVER, answer.answered_s), (CLIENT, answer.response_s), style.color, width, "answer")
    if run.transport.streams:
        for message in told[(told.received_s >= start_s) & (told.sent_s <= end_s)].itertuples():
            arrow(ax, (SERVER, message.sent_s), (CLIENT, message.received_s), style.color, 2.0, "message")


def _published(ax, told: pd.DataFrame, window_s: tuple[float, float]) -> None:
    """Arrows from the right where messages enter the server, with their numbers where there is room."""
    shown = told[told.published_s.between(*window_s)].sort_values("published_s")
    _head(ax, SERVER + 0.05 + 0.22, "published", "left")
    groups: list[list] = []  # messages that are published so close together that their names share a place
    for message in shown.itertuples():
        t = message.published_s
        arrow(ax, (SERVER + 0.22, t), (SERVER + 0.035, t), INK, 1.2, "published")
        if groups and _height(ax, t - groups[-1][0].published_s) < 1.5 * SMALL:
            groups[-1].append(message)
        else:
            groups.append([message])
    for group in groups:
        names = [f"#{m.message}{'' if m.state == 'delivered' else f' {m.state}'}" for m in group]
        words = ", ".join(names) if len(names) <= 3 else f"{names[0]} to {names[-1]}"
        ax.text(SERVER + 0.24, group[0].published_s, words, fontsize=SMALL, color=INK, va="center")


def _height(ax, duration_s: float) -> float:
    """Height [points] of a duration on the figure."""
    start_s, end_s = sorted(ax.get_ylim())
    return duration_s / (end_s - start_s) * ax.get_window_extent().height * 72 / ax.figure.dpi
