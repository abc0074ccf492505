"""What only a notebook needs: claims, guesses, figures with their description."""

from __future__ import annotations

import inspect
import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

from IPython.display import Code, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures.picture import bundle, close

_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def claim(
    sentence: str, left: Any, relation: str, right: Any, *, needs: dict[str, bool] | None = None
) -> None:
    """Print the sentence behind ✓ if it holds in this kernel, behind ✗ and with both values if not.

    Nothing is raised, so that the rest of the notebook runs; the tests compare what is printed.

    Parameters
    ----------
    sentence
        What is claimed.
    left, relation, right
        What makes it true: ``left relation right``, the relation one of ``== != < <= > >=``.
    needs
        What the claim depends on, in words → whether it is so. If the reader changed such a
        value, the claim says what it needs and is not judged.

    Examples
    --------
    >>> claim("two and two are four", 2 + 2, "==", 4)
    ✓ two and two are four
    >>> claim("the median is below the mean", 3.0, "<", 2.0)
    ✗ the median is below the mean: found 3 < 2
    """
    if relation not in _RELATIONS:
        raise ValueError(f"expected one of {', '.join(_RELATIONS)}, got {relation!r}")
    unmet = [need for need, met in (needs or {}).items() if not met]
    if unmet:
        print(f"– needs {', '.join(unmet)}: {sentence}")
    elif _RELATIONS[relation](left, right):
        print(f"✓ {sentence}")
    else:
        print(f"✗ {sentence}: found {_short(left)} {relation} {_short(right)}")


def guess(value: Any, *, least: float = 0.0, most: float = 1e6) -> float:
    """The reader's guess, a number; NaN if it is none, so that figures and tables leave it out.

    Nothing is raised, so that the rest of the notebook runs. On a figure, mark it with `plot` and
    name it with `annotate`, which leaves out what is outside the axes; `text` would not.

    Parameters
    ----------
    value
        What the reader wrote. What is no guess is printed, and what was expected.
    least, most
        The range of sensible guesses.

    Examples
    --------
    >>> guess(0.3, most=1)
    0.3
    >>> guess("half", most=1)
    ✗ your guess: expected a number from 0 to 1, got 'half'; it is left out
    nan
    """
    if _is_number(value) and least <= value <= most:
        return float(value)
    print(f"✗ your guess: expected a number from {least:,g} to {most:,g}, got {value!r}; it is left out")
    return math.nan


def show(figure: Axes | Figure, description: str) -> None:
    """Show a figure, and what it shows in words for people who cannot see it.

    The picture is crisp on today's screens, the same under every backend of Matplotlib, and in
    exports of the notebook; its description is its alternative text there, and stands below it,
    folded.

    Parameters
    ----------
    figure
        A figure or its axes.
    description
        What there is to see, with the values that a reader would read off.
    """
    if isinstance(figure, Axes):
        figure = figure.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise TypeError(f"expected a figure or its axes, got {figure!r}")
    if not description.strip():
        raise ValueError("expected a description of the figure, got an empty one")
    display(bundle(figure, description), raw=True)
    close(figure)


def source(thing: Any) -> Code:
    """The source code of a function, class or module of the laboratory, to read in the notebook."""
    return Code(inspect.getsource(thing), language="python")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
