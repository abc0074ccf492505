"""A notebook as the tests read it: its cells, and its code run in this process."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import copy
import inspect
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import cache, wraps
from html import unescape
from pathlib import Path
from types import FunctionType

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

import lpws
from lpws.figures.film import Film
from lpws.notebook import call

matplotlib.use("Agg")

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def paths() -> list[Path]:
    """The notebooks of the series."""
    return sorted(NOTEBOOKS.glob("[0-9A-Z]*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook."""
    return nbformat.read(path, as_version=4)


def tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Whether the cell has the tag."""
    return tag in cell.metadata.get("tags", [])


@cache
def code(path: Path) -> tuple[nbformat.NotebookNode, ...]:
    """The code cells."""
    return tuple(cell for cell in read(path).cells if cell.cell_type == "code")


def cell(path: Path, start: str, *changes: tuple[str, str]) -> str:
    """The source of the code cell that begins so, or else has a line that does, with texts replaced."""
    sources = [each.source for each in code(path)]
    begin = [source for source in sources if source.startswith(start)]
    (found,) = begin or [source for source in sources if f"\n{start}" in source]
    for old, new in changes:
        assert old in found
        found = found.replace(old, new)
    return found


def printed(cell: nbformat.NotebookNode) -> str:
    """What the stored cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def descriptions(outputs: list) -> list[str]:
    """Those of the pictures among the outputs, which a screen reader says."""
    html = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    return [unescape(alt) for alt in re.findall(r'<img alt="([^"]*)"[^>]* src="data:image/', html)]


def execute(source: str, namespace: dict) -> str:
    """What the source prints when it runs in the namespace; one that awaits gets a loop, as in a kernel."""
    out = io.StringIO()
    code = compile(source, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(out):
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(FunctionType(code, namespace)())
        else:
            exec(code, namespace)
    return out.getvalue()


stampede = cache(lpws.stampede)

#: What is simulated for one test need not be simulated for the next, if neither breaks the simulation.
simulate = cache(lpws.simulate)


def _once_a_run(table: Callable) -> Callable:
    """The function of a run, which works it out once."""
    known = {}

    def remembered(run, *side):
        key = id(run), *side
        if key not in known:
            known[key] = run, table(run, *side)  # with the run, so that no other gets its id
        return known[key][1].copy()

    return remembered


_TABLES = {name: _once_a_run(getattr(lpws, name)) for name in ("deliveries", "requests", "connections")}


def remember(patch: pytest.MonkeyPatch) -> None:
    """Let what is simulated, and the tables of a run, be worked out once."""
    patch.setattr(lpws, "simulate", simulate)
    for name, table in _TABLES.items():
        patch.setattr(lpws, name, table)


def twin(transport, work, link=None, **_) -> lpws.Run:
    """The simulated run of what is to be measured; without what befalls the link on the way."""
    return simulate(transport, work, link and lpws.Link(delay_s=link.delay_s))


def recalled(live: tuple[str, ...] = ()) -> Callable:
    """`lpws.or_recorded` the other way round: what is recorded is shown, and only the rest runs.

    Parameters
    ----------
    live
        Names of experiments that run even so.
    """

    def or_recorded(name: str) -> Callable:
        path = lpws.DATA / f"{name}.json"
        results = json.loads(path.read_text(encoding="utf-8"))["results"]

        def decorate(experiment: Callable) -> Callable:
            def known(given: tuple) -> bool:
                return call(experiment, given) in results and experiment.__name__ not in live

            def remembered(given: tuple):
                return copy.deepcopy(results[call(experiment, given)])

            @wraps(experiment)
            def run(*given):
                return remembered(given) if known(given) else json.loads(json.dumps(experiment(*given)))

            @wraps(experiment)
            async def run_awaited(*given):
                return remembered(given) if known(given) else json.loads(json.dumps(await experiment(*given)))

            return run_awaited if inspect.iscoroutinefunction(experiment) else run

        return decorate

    return or_recorded


@contextlib.contextmanager
def imagined(drawn: bool = False, measure: Callable = twin, live: tuple[str, ...] = ()) -> Iterator[None]:
    """Inside, a notebook's runs are simulated, and its figures, drawn or not, are shown to nobody.

    Of its experiments with real parts, those run that are named or were not recorded.
    """

    def put_away(figure, _description):
        if drawn:
            figure = figure.figure if isinstance(figure, Film) else figure.get_figure(root=True)
            figure.draw_without_rendering()
        plt.close("all")

    with pytest.MonkeyPatch.context() as patch:
        remember(patch)
        patch.setattr(lpws, "measure", measure)
        patch.setattr(
            lpws, "stampede", lambda backoff, restart=None, *, handler=None: stampede(backoff, restart)
        )
        patch.setattr(lpws, "or_recorded", recalled(live))
        patch.setattr(lpws, "show", put_away)
        yield


@cache
def _names_after(path: Path) -> dict:
    namespace = {}
    with imagined():
        for each in code(path):
            execute(each.source, namespace)
    return namespace


def read_through(path: Path) -> dict:
    """The names after the whole notebook, its runs simulated; tables of runs are the reader's own."""
    names = _names_after(path).items()
    return {name: dict(value) if isinstance(value, dict) else value for name, value in names}


def to_the_end_and_back(path: Path) -> list[str]:
    """The claims of all cells, run in order and then in reverse, their runs simulated."""
    sources, namespace, said = [each.source for each in code(path)], {}, ""
    with imagined():
        for source in [*sources, *reversed(sources)]:
            said += execute(source, namespace)
    return [line for line in said.splitlines() if line[:1] in ("✓", "✗", "–")]


def spec(run: lpws.Run) -> tuple:
    """What was run."""
    return run.transport, run.workload, run.link


#: What a reader may write in place of a number.
BAD = (0, -1, 10**9, None, "abc")


def complaint(source: str, namespace: dict) -> str:
    """The sentence with which the source ends, in what it expected; empty if it runs to its end."""
    said = ""
    try:
        execute(source, dict(namespace))
    except (TypeError, ValueError) as error:
        said = repr(error)
    assert not said or "expected" in said, f"{said} does not help"
    return said


def put(source: str, node: ast.AST, text: str) -> str:
    """The source with a text in place of the node."""
    lines = source.encode().splitlines(keepends=True)  # its places are counted in bytes
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    return (source.encode()[:start] + text.encode() + source.encode()[end:]).decode()
