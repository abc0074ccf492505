"""The gap: the time in which no request waits at the server, and the messages published in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context

from ..run import Run
from ..tables import deliveries, requests
from .arguments import check_client, check_window
from .labels import write
from .panel import axes, entitle, warn
from .style import GRAY, INK, LARGE, LOOK, MEDIUM, PALE, style_of

HIGH = 0.62  # of a strip, where the next one is 1 below


@rc_context(LOOK)
def gap_strip(
    run: Run,
    *,
    client: int = 0,
    rows: int = 6,
    window_s: tuple[float, float] | None = None,
    title: str | None = None,
    ax=None,
):
    """Draw one client's time as strips: colored while the server holds a request, white in the gap.

    A ring is a message that found a held request. In the gap, a black ring is a message that had to wait,
    and a black dot one that never arrived.

    Parameters
    ----------
    run
        A run of long polling.
    client
        Number of the client.
    rows
        Number of strips into which the time is cut, like lines of text.
    window_s
        Begin and end [s]; if not given, the time in which messages are published.
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
    if run.transport.streams:
        raise ValueError(f"expected a run whose requests are answered, got {run.transport!r}")
    if not (isinstance(rows, int) and 1 <= rows <= 20):
        raise ValueError(f"expected from 1 to 20 rows, got {rows!r}")
    start_s, end_s = (0.0, run.workload.duration_s) if window_s is None else check_window(window_s)
    style = style_of(run)
    length_s = (end_s - start_s) / rows

    ax = axes(ax, 7.5, 0.8 + 0.6 * rows)
    ax.set(xlim=(0, length_s), ylim=(-rows + 1 - 0.55 * HIGH, 0.55 * HIGH))
    held = _held(run, client, end_s)
    for row in range(rows):
        low_s, high_s = start_s + row * length_s, start_s + (row + 1) * length_s
        place = (-row - HIGH / 2, HIGH)
        ax.broken_barh([(0, length_s)], place, facecolor="none", edgecolor=PALE, linewidth=0.8)
        inside = held[(held.end_s > low_s) & (held.begin_s < high_s)].clip(low_s, high_s) - low_s
        spans = list(zip(inside.begin_s, inside.end_s - inside.begin_s, strict=True))
        ax.broken_barh(spans, place, facecolor=style.color, linewidth=0, label="held")
    told = _published(run, client, held)
    told = told[told.published_s.between(start_s, end_s, inclusive="left")]
    row = ((told.published_s - start_s) // length_s).clip(upper=rows - 1)
    marks = {
        "met": {"markerfacecolor": "white", "markeredgecolor": style.ink},
        "waited": {"markerfacecolor": "white", "markeredgecolor": INK},
        "lost": {"markerfacecolor": INK, "markeredgecolor": INK},
    }
    for kind, colors in marks.items():
        of = told.kind == kind
        ax.plot(
            told.published_s[of] - start_s - row[of] * length_s, -row[of], linestyle="none", marker="o",
            markersize=7, markeredgewidth=1.6, label=kind, clip_on=False, zorder=3, **colors,
        )  # fmt: skip
    ax.set_yticks(-np.arange(rows), [f"{start_s + row * length_s:g} s" for row in range(rows)], color=GRAY)
    ax.tick_params("y", length=0)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    _verdict(ax, told, style)
    color = {"long polling": "blue"}.get(run.label, "colored")
    note = f"{color}: the server holds the request of client {client}    white: the gap, nobody waits there"
    entitle(ax, title or "What is published in the gap", note)
    warn(ax, [run], drop=68)
    return ax


def _held(run: Run, client: int, end_s: float) -> pd.DataFrame:
    """Times at which the server held a request of the client: ``begin_s``, ``end_s``."""
    asked = requests(run)
    asked = asked[(asked.client == client) & asked.received_s.notna()]
    return pd.DataFrame({"begin_s": asked.received_s, "end_s": asked.answered_s.fillna(end_s)})


def _published(run: Run, client: int, held: pd.DataFrame) -> pd.DataFrame:
    """The messages, and what became of each: it met a held request, waited for one, or was lost."""
    told = deliveries(run)
    told = told[(told.client == client) & told.published_s.notna()]
    begins, ends = held.begin_s.to_numpy(), held.end_s.to_numpy()
    at_s = told.published_s.to_numpy()
    # A held request is answered when a message enters, so that its end is at or just after that.
    met = ((begins <= at_s[:, None]) & (at_s[:, None] <= ends)).any(axis=1)
    # Without a cursor, what was published in a gap is lost, even if no later message has shown it yet.
    forgotten = (told.state == "pending") & (not getattr(run.transport, "cursor", True))
    lost = (told.state == "missed") | forgotten
    kind = np.where(lost, "lost", np.where(met, "met", "waited"))
    return told.assign(kind=kind)


def _verdict(ax, told: pd.DataFrame, style) -> None:
    """Write below the strips how many messages fell into the gap, and what became of them."""
    lost, waited = (np.count_nonzero(told.kind == kind) for kind in ("lost", "waited"))
    if lost:
        number, words = lost, "messages were published in the gap and lost: the black dots"
    else:
        number, words = waited, "messages were published in the gap and had to wait: the black rings"
    large = {"fontsize": LARGE + 10, "fontweight": "bold"}
    count = write(ax, f"{number} of {len(told)}", (0, 0), (0, -38), "axes fraction", **large)
    write(ax, words, (1, 0), (10, 9), count, fontsize=MEDIUM)
    others = "the others met a request that the server held"
    write(ax, others, (1, 0), (10, -6), count, fontsize=MEDIUM, color=style.ink)
