"""Waves: a crowd that comes back to a server, as a moving picture of density."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from ..simulation.crowd import Stampede
from .film import Film
from .labels import write
from .panel import Drawing
from .style import FAINT, GRAY, INK, LARGE, LOOK, MEDIUM, TRANSPORT_STYLE

#: From one column to the next; the crowd's width in it; where the server's own lane begins.
PITCH, CROWD, LANE = 190, 140, 148
#: Cells of a column, across and per second; how often its number changes.
ACROSS, PER_S, COUNTS = 70, 25, 24
#: How long [s] the film plays, and its end stays.
PLAY_S, REST_S = 12.0, 5.0
AWAY = "#a6a6a6"  # lighter than the blue, for those who see no color
BLUE = TRANSPORT_STYLE["long polling"].color


@rc_context(LOOK)
def waves(
    runs: Mapping[str, Stampede], *, until_s: float | None = None, title: str = "Everybody comes back"
) -> Film:
    """Draw crowds that come back after a restart, column by column, as a moving picture of density.

    Time runs downward. Each attempt is a speck at a random place across its column: gray if it was
    turned away, blue if it was let in. The narrow lane beside it is blue while the server lets clients in.

    Parameters
    ----------
    runs
        Stampedes by label.
    until_s
        Where the picture ends [s]; if not given, with the first of their stories.
    title
        The title above the film.

    Returns
    -------
    Film
        It shows itself as the value of a cell, or by `lpws.show`.

    Raises
    ------
    TypeError, ValueError
        If there is no stampede to draw, or no time.
    """
    if not isinstance(runs, Mapping) or not all(isinstance(run, Stampede) for run in runs.values()):
        raise TypeError(f"waves: expected a dict label → stampede, got {runs!r:.60}")
    if not 1 <= len(runs) <= 6:
        raise ValueError(f"waves: expected one to six stampedes, got {len(runs)}")
    end_s = until_s or min(run.restart.until_s for run in runs.values())
    if not isinstance(end_s, int | float) or not 0.1 <= end_s <= 600:
        raise ValueError(f"waves(until_s=…): expected a number from 0.1 to 600, got {until_s!r}")
    wide = len(runs) * PITCH - 25
    figure = Drawing(figsize=(max(2.08 * len(runs), 7.5), 6.2), dpi=100)
    ax = figure.add_axes((0.065, 0.06, 0.925, 0.69))
    ax.set(xlim=(-4, max(wide, 670)), ylim=(end_s, 0), xticks=[])
    ax.spines[["bottom", "left"]].set_visible(False)
    ax.tick_params("y", length=0, labelcolor=GRAY, labelsize=MEDIUM)
    ax.set_ylabel("seconds since the cut, downward", fontsize=MEDIUM, color=INK)
    words = ", ".join(f"{label}: {_outcome(run, end_s)}" for label, run in runs.items())
    film = Film(figure, words, 0.0, end_s, PLAY_S, REST_S)
    for number, (label, run) in enumerate(runs.items()):
        _column(ax, film, number * PITCH, label, run, end_s)
    veil = {"color": "white", "alpha": 0.96, "linewidth": 0, "zorder": 5}
    film.unveil(ax.add_patch(Rectangle((-4, 0), max(wide, 670), end_s, **veil)))
    (now,) = ax.plot([-4, wide], [0, 0], color=INK, linewidth=1, zorder=7, clip_on=False)
    film.fall(now)
    clients = " or ".join(f"{count:,}" for count in sorted({run.restart.clients for run in runs.values()}))
    figure.text(0.02, 0.965, title, fontsize=LARGE + 2, fontweight="bold", va="top")
    note = f"{clients} clients, each speck an attempt    gray: turned away    blue: let in    "
    note += "lane: the server works"
    figure.text(0.02, 0.915, note, fontsize=MEDIUM, color=GRAY, va="top")
    return film


def _outcome(run: Stampede, end_s: float) -> str:
    """Words on the crowd at the end of the picture."""
    back = int(np.searchsorted(run.back_s, end_s, "right"))
    return f"all back after {run.last_s:.1f} s" if run.last_s <= end_s else f"{back:,} back"


def _column(ax, film: Film, left: float, label: str, run: Stampede, end_s: float) -> None:
    """The density of a crowd, the server's lane, and how many are back."""
    frame = ax.get_xaxis_transform()
    edges = (np.linspace(0, ACROSS, ACROSS + 1), np.linspace(0, end_s, round(end_s * PER_S) + 1))
    across = np.random.default_rng(1).uniform(0, ACROSS, len(run.client))
    away, inside = (
        np.histogram2d(across[kind], run.begun_s[kind], edges)[0].T[..., None]
        for kind in (~run.let_in, run.let_in)
    )
    share = 1 - np.exp(-1.6 * (away + inside))
    color = (away * to_rgb(AWAY) + inside * to_rgb(BLUE)) / np.maximum(away + inside, 1)
    image = 1 - share + share * color
    lane = np.histogram(run.back_s, edges[1])[0] > 0
    busy = np.where(lane[:, None, None], to_rgb(BLUE), to_rgb(FAINT)) * np.ones((1, 1, 1))
    for picture, x0, x1 in ((image, 0, CROWD), (busy, LANE, LANE + 9)):
        ax.imshow(
            picture, extent=(left + x0, left + x1, end_s, 0), aspect="auto", zorder=2, interpolation="nearest"
        )
    ax.add_patch(Rectangle((left, 0), CROWD, end_s, fill=False, edgecolor=FAINT, linewidth=1, zorder=3))
    write(ax, label, (left, 1), (0, 34), frame, fontsize=MEDIUM + 1, fontweight="bold")
    back_s = run.back_s
    for begin_s in np.linspace(0, end_s, COUNTS + 1)[:-1]:
        span = (begin_s, begin_s + end_s / COUNTS)
        text = f"{np.searchsorted(back_s, span[1], 'right'):,} back"
        last = span[1] > end_s * (1 - 0.5 / COUNTS)
        if last:
            text = _outcome(run, end_s)
        said = write(ax, text, (left, 1), (0, 12), frame, fontsize=MEDIUM, color=BLUE)
        film.appear(said, (span[0], None if last else span[1]))
