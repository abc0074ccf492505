"""Bytes to scale, and one frame bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from textwrap import wrap

import numpy as np
from matplotlib import rc_context
from matplotlib.collections import PolyCollection

from .labels import write
from .panel import axes, entitle
from .style import GRAY, INK, LARGE, LOOK, MEDIUM, PALE, SMALL, TRANSPORT_STYLE, Style

HEAD = "#cdc9c2"  # bytes that are no message
REQUEST = "#7d776e"  # those of them that a client sends
MOST = 5000  # squares in one figure; more bytes share one
#: What carries no transport's name has these colors, in turn.
OTHER = Style(INK, INK, "o")


@rc_context(LOOK)
def bytes_to_scale(
    sizes: Mapping[str, int | Mapping[str, int]],
    *,
    transports: Mapping[str, str] | None = None,
    across: int = 24,
    title: str | None = None,
    note: str | None = None,
    ax=None,
):
    """Draw a square per byte: each thing a block, the message in it colored, the bytes around it gray.

    Parameters
    ----------
    sizes
        Name → number of bytes, or parts of it → number of bytes; the part ``"message"`` is colored,
        and so is a thing without parts; the part ``"request"`` has a darker gray than the others.
    transports
        Name → label of the transport whose color it has; a name that is such a label needs none.
    across
        Squares in a row of a block.
    title, note
        A title and a note in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    if not sizes:
        raise ValueError("expected at least one thing with a size, got none")
    parts = {
        name: dict(size) if isinstance(size, Mapping) else {"message": size} for name, size in sizes.items()
    }
    for name, part in parts.items():
        if not all(isinstance(number, (int, np.integer)) and number >= 0 for number in part.values()):
            raise ValueError(f"expected whole numbers of bytes for {name!r}, got {part}")
    totals = {name: sum(part.values()) for name, part in parts.items()}
    unit = next(10**n for n in range(12) if sum(totals.values()) <= MOST * 10**n)
    step = across + 6
    highest = max(-(-total // unit) for total in totals.values()) / across

    lines = {
        name: wrap(", ".join(f"{number:,} {what}" for what, number in part.items()), 24)
        if len(part) > 1 else []
        for name, part in parts.items()
    }  # fmt: skip
    more = 15 * max(0, *(len(each) - 1 for each in lines.values()))  # room for those [points]
    height = min(max(7.0 * highest / (step * len(sizes)), 0.4), 4.2)
    ax = axes(ax, 7.5, 1.9 + more / 72 + height, left=0.15, right=0.15)
    ax.set(xlim=(-0.5, step * len(sizes) - 5), ylim=(0, highest + 1))
    ax.set_aspect("equal", adjustable="box", anchor="SW")
    for n, (name, part) in enumerate(parts.items()):
        style = TRANSPORT_STYLE.get((transports or {}).get(name, name), OTHER)
        message, total = part.get("message", 0), totals[name]
        ends = [-(-end // unit) for end in (0, message, message + part.get("request", 0), total)]
        colors = {"message": style.color, "request": REQUEST, "around it": HEAD}
        for (label, color), (begin, end) in zip(colors.items(), pairwise(ends), strict=True):
            _squares(ax, n * step, begin, end, across, color, label)
        top = np.ceil(-(-total // unit) / across)
        _name(ax, (n * step, top), name, total, lines[name], style)
    ax.axhline(-0.25, color=PALE, linewidth=0.8, clip_on=False)
    ax.set_axis_off()
    square = "a square is a byte" if unit == 1 else f"a square is {unit:,} bytes"
    dark = ", dark: the request" * any("request" in part for part in parts.values())
    entitle(ax, title or "Bytes to scale", note or f"{square}; colored: the message{dark}", lift=56 + more)
    return ax


def _squares(ax, left: float, begin: int, end: int, across: int, color: str, label: str) -> None:
    """The squares from one number to another of a block, filled from below."""
    number = np.arange(begin, end)
    x, y = left + number % across, number // across
    corners = np.array([(0.08, 0.08), (0.92, 0.08), (0.92, 0.92), (0.08, 0.92)])
    squares = np.column_stack([x, y])[:, None, :] + corners
    ax.add_collection(PolyCollection(squares, facecolor=color, linewidth=0, label=label), autolim=False)


def _name(ax, at: tuple[float, float], name: str, total: int, lines: list[str], style: Style) -> None:
    """Write over a block how many bytes it has, its name and its parts."""
    above = 5 + 15 * len(lines)
    write(ax, "\n".join(lines), at, (0, 5), fontsize=SMALL, color=GRAY, va="bottom", linespacing=1.15)
    write(ax, name, at, (0, above + 4), fontsize=MEDIUM, fontweight="bold")
    write(ax, f"{total:,}", at, (0, above + 21), fontsize=LARGE + 8, fontweight="bold", color=style.ink)
