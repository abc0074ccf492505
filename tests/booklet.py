"""A notebook as the tests read it: its cells, and its code run in this process."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from pathlib import Path
from types import FunctionType

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

import lpws
from lpws.figures.film import Film

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
    found = [unescape(alt) for alt in re.findall(r'<img alt="([^"]*)"[^>]* src="data:image/', html)]
    # Notebooks that have not been stored again keep it in the metadata.
    old = [output.get("metadata", {}).get("image/png", {}).get("alt") for output in outputs]
    return found + [alt for alt in old if alt]


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


def run(path: Path, namespace: dict, *starts: str, change: dict[str, str] | None = None) -> str:
    """What the cells print that begin so, in the order of the notebook, with texts replaced."""
    said, unchanged = "", set(change or {})
    for each in code(path):
        source = each.source.lstrip()
        if source.startswith(starts):
            for old, new in (change or {}).items():
                if old in source:
                    unchanged.discard(old)
                    source = source.replace(old, new)
            said += execute(source, namespace)
    assert not unchanged, "what is to be changed is there"
    return said


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


@contextlib.contextmanager
def imagined(drawn: bool = False, measure: Callable = twin) -> Iterator[None]:
    """Inside, a notebook's runs are simulated, and its figures, drawn or not, are shown to nobody."""

    def put_away(figure, _description):
        if drawn:
            figure = figure.figure if isinstance(figure, Film) else figure.get_figure(root=True)
            figure.draw_without_rendering()
        plt.close("all")

    with pytest.MonkeyPatch.context() as patch:
        remember(patch)
        patch.setattr(lpws, "measure", measure)
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


def rebound(source: str, name: str, value: object) -> str:
    """The source with another value where the name gets its first: a variable, a default, an argument."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword):
            pairs = [(node.arg, node.value)]
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args.args[-len(node.args.defaults) :] if node.args.defaults else []
            pairs = [(each.arg, given) for each, given in zip(arguments, node.args.defaults, strict=True)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            given = node.value.elts if isinstance(node.value, ast.Tuple) else []
            pairs = [
                (getattr(to, "id", None), value)
                for to, value in zip(node.targets[0].elts, given, strict=False)
            ]
        elif isinstance(node, ast.Assign):
            pairs = [(getattr(node.targets[0], "id", None), node.value)]
        else:
            continue
        found += [given for target, given in pairs if target == name]
    return put(source, min(found, key=lambda node: (node.lineno, node.col_offset)), repr(value))


def put(source: str, node: ast.AST, text: str) -> str:
    """The source with a text in place of the node."""
    lines = source.encode().splitlines(keepends=True)  # its places are counted in bytes
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    return (source.encode()[:start] + text.encode() + source.encode()[end:]).decode()


def retyped(source: str, parameter: str, value: object) -> str:
    """The source with another value for the number with which the parameter ends, where it first stands."""
    assert parameter in source
    before = re.fullmatch(r"(.*?)[\d.]+", parameter)[1]
    return source.replace(parameter, f"{before}{value!r}", 1)


def complaints(sources: list[str], namespace: dict) -> list[str]:
    """What a reader gets who changed a value in the first of these cells, if it is not what they expect.

    A sentence that says what was expected is fine, printed or raised; so is a claim that says what it
    needs. A claim that does not hold is not, and any other error is raised.
    """
    said = ""
    try:
        for source in sources:
            said += execute(source, namespace)
    except (TypeError, ValueError) as error:
        if "expected" not in str(error):
            raise
    return [line for line in said.splitlines() if line.startswith("✗") and "expected" not in line]


def changing(sources: list[str], path: Path) -> list[str]:
    """The `complaints` of a reader who has read the notebook, and runs some of its cells as changed."""
    with imagined():
        return complaints(sources, read_through(path))


def rebinding(path: Path, starts: tuple[str, ...], name: str, value: object) -> list[str]:
    """The `complaints` of a reader who binds the name to the value in the first cell that begins so."""
    first, *others = [cell(path, start) for start in starts]
    return changing([rebound(first, name, value), *others], path)


def retyping(path: Path, start: str, parameter: str, value: object) -> str:
    """The `complaint` of the cell for a value in place of the number with which the parameter ends."""
    with imagined():
        return complaint(retyped(cell(path, start), parameter, value), read_through(path))


def guessing(path: Path, start: str, number: str, value: object, figure: str) -> bool:
    """Whether the value is taken as a guess, in place of that number; with it the figure is drawn."""
    namespace = read_through(path)
    with imagined(drawn=True):
        said = execute(retyped(cell(path, start), number, value), namespace)
        execute(cell(path, figure), namespace)
    refused = said.startswith("✗ your guess: expected a number from ")
    assert refused or "✗" not in said
    return not refused


def exercises(path: Path) -> list:
    """The exercises, each as a parameter of a test."""
    return [pytest.param(each.source, id=each.id) for each in code(path) if tagged(each, "exercise")]


def answered(path: Path, exercise: str, answer: object) -> str:
    """What the exercise says of the answer."""
    name = exercise.partition(" = ...")[0]
    return execute(rebound(exercise, name, answer), read_through(path))
