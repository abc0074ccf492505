"""Parts of a notebook: claims, guesses, figures with their description, experiments with real parts."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import math
import numbers
import operator
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from IPython.display import Code, DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures.film import Film
from .figures.picture import PAGE_DPI, bundle, close
from .recordings import DATA
from .run import machine
from .services import Missing
from .services.programs import as_missing

#: How long a slider rests until its figure is drawn sharp [s].
REST_S = 0.4
#: What the function of a slider is to be.
DRAWN = "a function that returns a figure or its axes"
#: What the experiments of a notebook found in this kernel: name of the recording → call → result.
_FOUND: dict[str, dict[str, Any]] = {}
#: The recordings of which the reader has been told.
_TOLD: set[str] = set()
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
    """Print the sentence after ✓ if it holds in this kernel, or after ✗ with both values if it does not.

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


def show(figure: Axes | Figure | Film, description: str) -> None:
    """Show a figure, with a description in words for people who cannot see it.

    The picture is crisp on today's screens, the same under every backend of Matplotlib, and in
    exports of the notebook; its description is its alternative text there, and stands below it,
    folded.

    Parameters
    ----------
    figure
        A figure or its axes; or a film, such as that of `replay`.
    description
        What there is to see, with the values that a reader would read off.
    """
    if not description.strip():
        raise ValueError("expected a description of the figure, got an empty one")
    if isinstance(figure, Film):
        display(figure.bundle(description), raw=True)
    else:
        display(bundle(_figure(figure, "a figure or its axes"), description), raw=True)


def slider(draw: Callable[..., Axes | Figure], description: str, **ranges: tuple | list) -> None:
    """Show a figure with a slider for each of its values, which draws it anew in its place.

    The figure is an ordinary output: it stays when the notebook is saved, and is all that a reader
    without a kernel sees. Where ipywidgets is missing it stands alone, with a sentence.

    Parameters
    ----------
    draw
        What draws the figure from the values, fast: by `simulate` or a model. Its defaults are the
        values to begin with.
    description
        What there is to see, for people who cannot see it, with the values to begin with.
    ranges
        Name of a value → ``(least, most, step)``, or a list of what can be chosen.

    Examples
    --------
    >>> def teeth(interval_s=1.0): ...
    >>> slider(teeth, "A sawtooth.", interval_s=(0.1, 2.0, 0.1))  # doctest: +SKIP
    """
    values = {name: _begin(draw, name, choice) for name, choice in ranges.items()}
    figure = _figure(draw(**values), DRAWN)
    handle = DisplayHandle()
    if importlib.util.find_spec("ipywidgets") is None:
        handle.display(bundle(figure, description), raw=True)
        print(f"with ipywidgets, a slider; without, change {', '.join(values)} in the cell and run it again")
        return
    widgets = {name: _widget(name, choice, values[name]) for name, choice in ranges.items()}
    waiting: list[asyncio.TimerHandle] = []

    def redraw(_change=None) -> None:
        values = {name: widget.value for name, widget in widgets.items()}
        try:
            figure = _figure(draw(**values), DRAWN)
        except (TypeError, ValueError) as error:
            handle.update({"text/plain": f"✗ {error}"}, raw=True)
            return
        said = ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
        words = f"{description} Now {said}."
        # At once, and sharp when the slider rests.
        while waiting:
            waiting.pop().cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            handle.update(bundle(figure, words), raw=True)
        else:
            handle.update(bundle(figure, words, PAGE_DPI), raw=True)
            waiting.append(loop.call_later(REST_S, lambda: handle.update(bundle(figure, words), raw=True)))

    for name, widget in widgets.items():
        widget.observe(redraw, "value")
        data = widget._repr_mimebundle_()
        display(data | {"text/plain": f"a slider for {name}, while a kernel runs"}, raw=True)
    handle.display(bundle(figure, description), raw=True)


def _begin(draw: Callable, name: str, choice: tuple | list) -> Any:
    """The value to begin with: the default of `draw`'s argument, or the first that can be chosen."""
    if not (isinstance(choice, list) and choice or isinstance(choice, tuple) and len(choice) == 3):
        raise ValueError(f"expected {name}=(least, most, step) or a list, got {choice!r}")
    parameters = inspect.signature(draw).parameters
    if name not in parameters:
        raise ValueError(f"expected a function with an argument {name}, got one with {list(parameters)}")
    default = parameters[name].default
    if isinstance(choice, list):
        return default if default in choice else choice[0]
    least, most, _ = choice
    return default if _is_number(default) and least <= default <= most else least


def _widget(name: str, choice: tuple | list, value: Any) -> Any:
    """The slider of one value."""
    import ipywidgets

    look = {"description": name, "style": {"description_width": "initial"}}
    if isinstance(choice, list):
        return ipywidgets.SelectionSlider(options=choice, value=value, **look)
    least, most, step = choice
    whole = all(isinstance(each, int) for each in choice)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(min=least, max=most, step=step, value=value, **look)


def _figure(drawn: Any, expected: str) -> Figure:
    """The figure, or that of axes, which pyplot then forgets."""
    figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
    if not isinstance(figure, Figure):
        raise TypeError(f"expected {expected}, got {figure!r}")
    close(figure)
    return figure


def or_recorded(name: str) -> Callable[[Callable], Callable]:
    """A decorator: the experiment or, where a real part of it is missing, what it found elsewhere.

    The first call that shows a recorded result says so. While a notebook is stored (``LPWS_RECORD`` is
    set), what its experiments find is written into ``data/NAME.json``.

    Parameters
    ----------
    name
        Of the recording. An experiment is a function of the notebook, or a coroutine function; its result is
        made of numbers, texts, lists, and dictionaries with texts as keys, and comes back as JSON would
        bring it.

    Examples
    --------
    >>> @or_recorded("questions")
    ... def answer(question):
    ...     return {"answer": (42,)}
    >>> answer("?")
    {'answer': [42]}
    """
    path = DATA / f"{name}.json"

    def decorate(experiment: Callable) -> Callable:
        def found(asked: str, result: Any) -> Any:
            result = _FOUND.setdefault(name, {})[asked] = json.loads(json.dumps(result))
            if os.environ.get("LPWS_RECORD"):
                text = json.dumps({"machine": machine(), "results": _FOUND[name]}, indent=1)
                path.write_text(text + "\n", encoding="utf-8", newline="\n")
            return result

        def recorded(asked: str, error: Missing | ModuleNotFoundError) -> Any:
            if not (missing := as_missing(error)):
                raise error
            results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}
            if asked not in results:
                raise Missing(f"{missing}; nothing is recorded of {asked}") from None
            if name not in _TOLD:
                _TOLD.add(name)
                print(f"{missing}. Until then you see what was recorded on another machine.")
            return results[asked]

        @wraps(experiment)
        def run(*given: Any) -> Any:
            asked = call(experiment, given)
            try:
                return found(asked, experiment(*given))
            except (Missing, ModuleNotFoundError) as error:
                return recorded(asked, error)

        @wraps(experiment)
        async def run_awaited(*given: Any) -> Any:
            asked = call(experiment, given)
            try:
                return found(asked, await experiment(*given))
            except (Missing, ModuleNotFoundError) as error:
                return recorded(asked, error)

        return run_awaited if inspect.iscoroutinefunction(experiment) else run

    return decorate


def call(experiment: Callable, given: tuple) -> str:
    """The call of an experiment, as it would be written."""
    return f"{experiment.__name__}({', '.join(map(repr, given))})"


def source(thing: Any) -> Code:
    """The source code of a function, class or module of the laboratory, to read in the notebook."""
    return Code(inspect.getsource(thing), language="python")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
