"""Labels that do not collide: room for them, names along lines, names at line ends."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def write(ax, words: str, at: tuple[float, float], away: tuple[float, float] = (0, 0), frame="data", **style):
    """Write words that far [points] from a place, inside the axes or not; the text."""
    return ax.annotate(words, at, away, frame, textcoords="offset points", annotation_clip=False, **style)


def size_of(text) -> tuple[float, float]:
    """Width and height of a text [pixels]."""
    box = text.get_window_extent()
    return box.width, box.height


def room_on_the_right(ax, start_s: float, end_s: float, texts: list, gap: float = 0) -> None:
    """Set the x limits so that texts that begin at `end_s` fit into the axes."""
    needed = max((size_of(text)[0] for text in texts), default=0) + gap
    width = ax.get_window_extent().width
    share = min(needed / width, 0.6)
    ax.set_xlim(start_s, end_s + (end_s - start_s) * share / (1 - share))


def spread(wanted: np.ndarray, heights: np.ndarray, low: float, high: float) -> np.ndarray:
    """Centers near the wanted ones, in the same order, of things that do not overlap.

    Neighbors that would overlap become one thing, centered on what they want; until none do.

    >>> spread(np.array([0.0, 1.0, 9.0]), np.array([2.0, 2.0, 2.0]), -10, 10).tolist()
    [-0.5, 1.5, 9.0]
    """
    order = np.argsort(wanted, kind="stable")
    blocks = []  # (center, height, members)
    for index in order:
        block = (wanted[index], heights[index], [index])
        while True:
            center, height, members = block
            center = min(max(center, low + height / 2), max(high - height / 2, low + height / 2))
            block = (center, height, members)
            if not blocks or blocks[-1][0] + blocks[-1][1] / 2 <= center - height / 2 + 1e-9:
                break
            before = blocks.pop()
            mean = np.average([before[0], center], weights=[len(before[2]), len(members)])
            block = (mean, before[1] + height, before[2] + members)
        blocks.append(block)
    result = np.empty(len(wanted))
    for center, height, members in blocks:
        edge = center - height / 2
        for index in members:
            result[index] = edge + heights[index] / 2
            edge += heights[index]
    return result


class Placer:
    """Finds places for names beside lines, where they cover neither a line nor another name.

    All in pixels, so the limits of the axes must be set before.
    """

    def __init__(self, ax) -> None:
        self.ax = ax
        self.lines: dict[str, np.ndarray] = {}  # name → points [pixels] that must not be covered
        self.boxes: list[tuple[float, float, float, float]] = []
        self.frame = ax.get_window_extent().extents

    def avoid(self, name: str, x, y) -> None:
        """Keep off a line, given by its corners in data coordinates."""
        points = dense(self.ax.transData.transform(np.column_stack([x, y])))
        x0, y0, x1, y1 = self.frame
        inside = ((points >= (x0, y0 - 1)) & (points <= (x1 + 1, y1 + 1))).all(axis=1)
        self.lines[name] = points[inside]

    def beside(self, name: str, height: float, gap: float = 9) -> list[tuple[float, float, str]]:
        """Places (x, y, side) [pixels] along a line: where no other line is near, nearest to a height first.

        The height is a share of that of the axes.
        """
        points = self.lines[name]
        points = points[:: max(len(points) // 80, 1)]
        others = [line for other, line in self.lines.items() if other != name]
        others = np.concatenate([np.empty((0, 2)), *others])
        crowded = np.array([(np.abs(others - point).max(axis=1) < gap).any() for point in points])
        away = np.abs(points[:, 1] - self.ax.transAxes.transform((0, height))[1])
        return [
            (*points[n], side)
            for company in (False, True)
            for sides in (("right", "left"), ("above", "below"))
            for n in np.argsort(away, kind="stable")
            if crowded[n] == company
            for side in sides
        ]

    def place(self, text, places: Iterable[tuple[float, float, str]], gap: float = 9) -> tuple[float, float]:
        """Move the text to the best of the places (x, y, side) [pixels]; which, in data coordinates."""
        width, height = size_of(text)
        points = np.concatenate([np.empty((0, 2)), *self.lines.values()])
        best, chosen, least = None, None, np.inf
        for x, y, side in places:
            left = {"right": x + gap, "left": x - gap - width}.get(side, x - width / 2)
            low = {"above": y + gap / 2, "below": y - gap / 2 - height}.get(side, y - height / 2)
            box = (left, low, left + width, low + height)
            cost = self._cost(box, points)
            if cost < least:
                best, chosen, least = box, (x, y), cost
            if cost == 0:
                break
        to_data = self.ax.transData.inverted().transform
        text.set(position=to_data((best[0], (best[1] + best[3]) / 2)), ha="left", va="center")
        self.boxes.append(best)
        return tuple(to_data(chosen))

    def _cost(self, box: tuple[float, float, float, float], points: np.ndarray) -> float:
        left, low, right, high = box
        inside = (points > (left - 3, low - 1)) & (points < (right + 3, high + 1))
        covered = np.count_nonzero(inside.all(axis=1))
        clashes = sum(
            x0 - 6 < right and left < x1 + 6 and y0 < high and low < y1 for x0, y0, x1, y1 in self.boxes
        )
        x0, y0, x1, y1 = self.frame
        outside = left < x0 or right > x1 or low < y0 or high > y1
        return covered + 1000 * clashes + 1000 * outside


def dense(corners: np.ndarray, step: float = 3.0) -> np.ndarray:
    """Points at most `step` apart along the line through the corners, shape (n, 2)."""
    if len(corners) < 2:
        return corners
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    along = np.concatenate([[0], np.cumsum(lengths)])
    where = np.append(np.arange(0, along[-1], step), along[-1])
    return np.column_stack([np.interp(where, along, corners[:, i]) for i in (0, 1)])
