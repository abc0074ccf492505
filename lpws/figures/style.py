"""The grammar that all figures share: a font, a color per transport, axes, titles; arguments checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from ..run import Run

INK = "#222222"  # text, messages, the model
GRAY = "#6e6e6e"  # remarks; light, and still easy to read on white (contrast 5.1)
PALE = "#b0b0b0"  # spines, requests, the recorded run
FAINT = "#e9e7e3"  # lines that guide the eye
GROUND = "#ffffff"  # what all is drawn on, in a dark room too
SMALL, MEDIUM, LARGE = 9.5, 11, 13.5  # sizes of text [points]
#: The figures' font, and where signs come from that it lacks.
FONT = ["Lpws Sans", "DejaVu Sans"]

for _face in sorted((Path(__file__).parent / "fonts").glob("*.ttf")):
    fontManager.addfont(_face)


@dataclass(frozen=True)
class Style:
    """The look of a run: color, line and marker.

    Parameters
    ----------
    color
        Of lines and areas; one for each transport, from the palette of Okabe and Ito (2008), which
        readers who do not see all colors can tell apart.
    ink
        The same, dark enough for text on white (contrast of at least 4.5).
    marker
        A second cue beside the color.
    linestyle
        Tells runs of one transport apart. Never dashed: that is the model's.
    """

    color: str
    ink: str
    marker: str
    linestyle: str | tuple = "-"


#: Label of a transport → how it is drawn.
TRANSPORT_STYLE = {
    "reload": Style("#D55E00", "#A84A00", "o"),
    "short polling": Style("#E69F00", "#8A5F00", "s"),
    "long polling": Style("#0072B2", "#0072B2", "^"),
    "SSE": Style("#009E73", "#007A59", "v"),
    "WebSocket": Style("#CC79A7", "#A8487C", "D"),
}

#: Beginnings of the names of those of Matplotlib's settings that a picture depends on.
DRAWN = (
    "axes.", "errorbar.", "figure.subplot.", "font.", "grid.", "hatch.", "legend.", "lines.", "markers.",
    "mathtext.", "patch.", "path.", "scatter.", "text.", "xaxis.", "xtick.", "yaxis.", "ytick.",
)  # fmt: skip
#: What Matplotlib's settings are while one of our figures is made or drawn; nowhere else.
LOOK = {name: value for name, value in matplotlib.rcParamsDefault.items() if name.startswith(DRAWN)} | {
    "font.family": FONT,
    "font.size": SMALL,
    "mathtext.fontset": "custom",
    "mathtext.rm": FONT[0],
    "mathtext.it": FONT[0],
    "text.color": INK,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.labelsize": MEDIUM,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": LARGE,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[INK, *(style.color for style in TRANSPORT_STYLE.values())]),
    "axes.grid": False,
    "grid.color": FAINT,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "ytick.alignment": "center",
    "legend.facecolor": GROUND,
    "legend.edgecolor": GROUND,
    "hatch.color": INK,
    "patch.edgecolor": INK,
}

#: Line styles of the first, second, … run of one transport in a figure.
VARIANTS = ("-", "-.", (0, (1, 1.2)), (0, (6, 1, 1, 1, 1, 1)))


def labelled(runs: Run | Mapping[str, Run]) -> dict[str, Run]:
    """The runs of a figure, label → run; a single run has the label of its transport.

    Raises
    ------
    TypeError
        If that is something else.
    ValueError
        If there is none.
    """
    if isinstance(runs, Run):
        return {runs.label: runs}
    if not isinstance(runs, Mapping):
        raise TypeError(f"expected a Run or a dict label → Run, got {runs!r}")
    for label, run in runs.items():
        if not (isinstance(label, str) and isinstance(run, Run)):
            raise TypeError(f"expected a dict label → Run, got {label!r}: {run!r}")
    if not runs:
        raise ValueError("expected at least one run, got an empty dict")
    return dict(runs)


def styles(runs: Mapping[str, Run]) -> dict[str, Style]:
    """Label → style: the color of the transport, the line style of its first, second, … run."""
    seen = Counter()
    result = {}
    for label, run in runs.items():
        variant = VARIANTS[seen[run.label] % len(VARIANTS)]
        result[label] = replace(TRANSPORT_STYLE[run.label], linestyle=variant)
        seen[run.label] += 1
    return result


def check_side(side: str) -> None:
    """Raise unless the side is one that has connections."""
    if side not in ("client", "server"):
        raise ValueError(f"expected side 'client' or 'server', got {side!r}")


def check_client(runs: Mapping[str, Run], client: int) -> None:
    """Raise unless all runs have the client."""
    for label, run in runs.items():
        if not isinstance(client, Integral) or not 0 <= client < run.workload.clients:
            last = run.workload.clients - 1
            raise ValueError(f"expected a client from 0 to {last} of the run {label!r}, got {client!r}")


def check_window(window_s: tuple[float, float]) -> tuple[float, float]:
    """The window, if it is one."""
    try:
        start_s, end_s = window_s
        if start_s < end_s:
            return float(start_s), float(end_s)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"expected window_s=(start, end) in seconds with start < end, got {window_s!r}")


class Drawing(Figure):
    """A figure that a notebook shows as a picture when it is the last value of a cell."""

    def _repr_mimebundle_(self, **_) -> dict[str, str]:
        from .picture import bundle  # which imports this module

        titles = [ax.get_title(loc="left") or ax.get_title() for ax in self.axes]
        return bundle(self, next(filter(None, titles), "a figure"))


class Panel(Axes):
    """Axes that a notebook shows as the picture of their figure."""

    name = "panel"

    def _repr_mimebundle_(self, **_) -> dict[str, str]:
        return self.get_figure(root=True)._repr_mimebundle_()


def axes(
    ax=None,
    width: float = 7.5,
    height: float = 4.2,
    *,
    rows: int = 1,
    columns: int = 1,
    left: float = 0.72,
    right: float = 0.4,
    **options,
):
    """Axes in the style of all figures, on a figure of their own that pyplot does not know.

    Parameters
    ----------
    ax
        Axes to give the style to, instead of new ones.
    width, height
        Of the figure [inches]; 7.5 inches are 750 pixels in a notebook.
    rows, columns
        Of a grid of Axes.
    left, right
        Room beside the Axes, for names [inches].
    options
        More for `Figure.subplots`, such as ``sharex=True`` or ``height_ratios=[2, 1]``.

    Returns
    -------
    Axes, or an array of them if there are several

    Raises
    ------
    ValueError
        If a size is none that a page could show.

    Examples
    --------
    >>> ax = axes(height=3)
    >>> upper, lower = axes(height=5, rows=2, sharex=True)
    """
    if ax is not None:
        return _dressed(ax)
    for name, value, least, most in (
        ("width", width, 1, 40), ("height", height, 1, 40), ("rows", rows, 1, 20),
        ("columns", columns, 1, 20), ("left", left, 0, 5), ("right", right, 0, 5),
    ):  # fmt: skip
        if not isinstance(value, (int, float)) or not least <= value <= most:
            raise ValueError(f"axes({name}=…): expected a number from {least} to {most}, got {value!r}")
    with matplotlib.rc_context(LOOK):
        figure = Drawing(figsize=(width, height), dpi=100)
        figure.subplots_adjust(left=left / width, right=1 - right / width)
        grid = figure.subplots(rows, columns, subplot_kw={"axes_class": Panel}, **options)
    for each in np.ravel(grid):
        _dressed(each)
    return grid


def _dressed(ax):
    """The Axes in our style, whatever style they were made in."""
    figure = ax.get_figure(root=True)
    figure.set_facecolor(GROUND)
    ax.set_facecolor(GROUND)
    ax.set_prop_cycle(LOOK["axes.prop_cycle"])
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    for which in ("major", "minor"):
        ax.tick_params(
            which=which, color=PALE, labelcolor=INK, labelsize=SMALL, labelfontfamily=FONT, grid_color=FAINT
        )
    return ax


def entitle(
    ax, title: str, note: str = "", runs: Mapping[str, Run] | Iterable[Run] = (), *, lift: float = 0
) -> None:
    """Write the title, a line that says how to read the figure, and what is wrong with its runs.

    `lift` is how much [points] to leave free above the axes.
    """
    ax.set_title(
        title, loc="left", fontsize=LARGE, fontweight="bold", fontfamily=FONT, color=INK,
        pad=(24 if note else 10) + lift,
    )  # fmt: skip
    if note:
        ax.annotate(
            note, (0, 1), (0, 8 + lift), "axes fraction", textcoords="offset points",
            fontsize=SMALL, fontfamily=FONT, color=GRAY, va="bottom", annotation_clip=False,
        )  # fmt: skip
    warn(ax, runs)


def warn(ax, runs: Mapping[str, Run] | Iterable[Run], *, drop: float = 42) -> None:
    """Write under the axes, `drop` [points] below them, which runs are not fit to be believed, and why."""
    named = runs.items() if isinstance(runs, Mapping) else [(run.label, run) for run in runs]
    unfit = [(label, run) for label, run in named if run.origin == "measured" and not run.health.good]
    if unfit:
        text = "\n".join(fill(f"{label}: {run.health.verdict}", 96) for label, run in unfit)
        ax.annotate(
            text, (0, 0), (0, -drop), "axes fraction", textcoords="offset points",
            fontsize=SMALL, fontfamily=FONT, color=INK, va="top", annotation_clip=False,
        )  # fmt: skip


def label_time(ax, end_s: float) -> None:
    """Name the time axis and end it where time ends: what is right of that is room for labels."""
    start_s, right_s = ax.get_xlim()
    ax.set_xlabel("time [s]", fontsize=MEDIUM, color=INK, x=(end_s - start_s) / (right_s - start_s) / 2)
    ax.spines["bottom"].set_bounds(start_s, end_s)
    ax.set_xticks([tick for tick in ax.get_xticks() if start_s <= tick <= end_s])
