"""The judge of an answer: a number, a word, a choice."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Mapping
from typing import Any


def verdict(
    answer: Any, right: Any, hints: Mapping[Any, str] | None = None, within: float = 0.0, exact: bool = False
) -> str:
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
    exact
        Whether capitals, hyphens and the blanks at the ends of a text count.
    """
    same = operator.eq if exact else _same
    if answer is ...:
        return "… put your answer in place of the three dots, and run the cell again"
    if callable(right):
        try:
            good = right(answer)
        except (TypeError, ValueError) as error:
            return f"✗ {error}"
    elif not _is_of_a_kind(answer, right):
        name = type(right).__name__
        kind = "number" if _is_number(right) else {"str": "string"}.get(name, name)
        return f"✗ expected a {kind}, got {answer!r}"
    else:
        room = within * abs(right) if _is_number(right) else 0
        good = same(answer, right) or (room and right - room <= answer <= right + room)
    if good:
        return "✓ that is right"
    hint = next((hint for wrong, hint in (hints or {}).items() if same(answer, wrong)), None)
    return f"✗ not {_said(answer)}{': ' + hint if hint else ''}"


def _said(answer: Any) -> str:
    """The answer in a sentence: a text as it is, unless that would hide what it holds."""
    if isinstance(answer, float):
        return f"{answer:.3g}"
    if isinstance(answer, str) and (repr(answer)[1:-1] != answer or answer.strip() != answer or not answer):
        return repr(answer)
    return str(answer)


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
