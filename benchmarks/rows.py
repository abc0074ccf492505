"""What a benchmark found: rows of a table, and ratios from pairs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """One quantity, and what was hoped of it.

    Parameters
    ----------
    what
        The quantity, in words.
    value, unit
        What it is; NaN if it could not be had.
    goal
        ``(relation, limit)`` as in ``("at most", 1.25)``, or None if the value is only told.
    note
        How it came about: the spread, or why there is no value.
    """

    what: str
    value: float
    unit: str = ""
    goal: tuple[str, float] | None = None
    note: str = ""

    @property
    def mark(self) -> str:
        """``✓`` or ``✗``, if there was a goal; ``–`` if there was and no value could be had."""
        if self.goal is None:
            return ""
        if self.value != self.value:
            return "–"
        relation, limit = self.goal
        return "✓" if {"at least": self.value >= limit, "at most": self.value <= limit}[relation] else "✗"

    def cells(self) -> list[str]:
        """The row as it is printed."""
        value = f"{number(self.value)} {self.unit}".strip() if self.value == self.value else "–"
        goal = f"{self.goal[0]} {number(self.goal[1])}" if self.goal else ""
        return [self.mark, self.what, value, goal, self.note]


def number(value: float) -> str:
    """The number with the digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """The rows, in columns."""
    cells = [["", "quantity", "value", "goal", "note"], *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def in_turns(measure: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each function measures in each round; the order is turned round from one to the next.

    The machine's own speed drifts: only what was measured side by side is compared.
    """
    found: dict[str, list[float]] = {name: [] for name in measure}
    for turn in range(rounds):
        for name in list(measure) if turn % 2 == 0 else reversed(measure):
            found[name].append(measure[name]())
    return found


def ratio(what: str, above: Sequence[float], below: Sequence[float], goal: tuple[str, float] | None) -> Row:
    """The median of the ratios of each round, with their spread."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    note = f"from {ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} pairs"
    return Row(what, statistics.median(ratios), goal=goal, note=note)


def middle(what: str, values: Sequence[float], unit: str, goal: tuple[str, float] | None = None) -> Row:
    """The median of the values, with their spread."""
    note = f"from {number(min(values))} to {number(max(values))} in {len(values)}"
    return Row(what, statistics.median(values), unit, goal, note)
