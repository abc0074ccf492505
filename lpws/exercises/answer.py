"""The judge of an answer: a number, a word, a choice."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any


def verdict(answer: Any, right: Any, hints: Mapping[Any, str] | None = None, within: float = 0.0) -> str:
    """One line: whether the answer is right, with a hint if it is not.

    Parameters
    ----------
    answer
        The reader's; ``...`` stands for none yet.
    right
        The right answer, computed rather than written down; or a function that says whether an
        answer is right.
    hints
        Wrong answer → what to think about again.
    within
        How far, relative to the right answer, a number may be off.
    """
    if answer is ...:
        return "… put your answer in place of the three dots, and run the cell again"
    if callable(right):
        try:
            good = right(answer)
        except (TypeError, ValueError) as error:
            return f"✗ {error}"
    elif not _is_of_a_kind(answer, right):
        kind = "a number" if _is_number(right) else f"a {type(right).__name__}"
        return f"✗ expected {kind}, got {answer!r}"
    else:
        room = within * abs(right) if _is_number(right) else 0
        good = _same(answer, right) or (room and right - room <= answer <= right + room)
    if good:
        return "✓ that is right"
    hint = next((hint for wrong, hint in (hints or {}).items() if _same(answer, wrong)), None)
    said = f"{answer:.3g}" if isinstance(answer, float) else f"{answer}"
    return f"✗ not {said}{': ' + hint if hint else ''}"


def _same(answer: Any, value: Any) -> bool:
    """True if both are equal; a name may be written with capitals, or a hyphen for the blank."""
    if isinstance(answer, str) and isinstance(value, str):
        return _plain(answer) == _plain(value)
    return answer == value


def _plain(name: str) -> str:
    return name.strip(" ").casefold().replace("-", " ").replace("_", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_of_a_kind(answer: Any, right: Any) -> bool:
    """True if both are numbers or of one type; True and False are no numbers here, as they are to Python."""
    if _is_number(right):
        return _is_number(answer)
    return isinstance(answer, type(right))
