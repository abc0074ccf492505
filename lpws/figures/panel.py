"""Axes in the look of all figures, on figures that a notebook shows as pictures; titles, notes, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..run import Run
from .picture import bundle
from .style import FAINT, FONT, GRAY, GROUND, INK, LARGE, LOOK, MEDIUM, PALE, SMALL


class Drawing(Figure):
    """A figure that a notebook shows as a picture when it is the last value of a cell."""

    def _repr_mimebundle_(self, **_) -> dict[str, str]:
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
    """Write a title, a line that says how to read the figure, and a warning of unfit runs.

    Parameters
    ----------
    ax
        The Axes.
    title
        A sentence that says what to see.
    note
        How to read the figure, under the title.
    runs
        The runs in the figure; one that is unfit is named under the Axes, with the reason.
    lift
        Room [points] to leave free between the Axes and the title.
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
