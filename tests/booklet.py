"""A notebook as the tests read it: its cells, and its code run in this process."""

from __future__ import annotations

import ast
import contextlib
import io
from pathlib import Path

import nbformat

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


def code(path: Path) -> list[nbformat.NotebookNode]:
    """The code cells."""
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def printed(cell: nbformat.NotebookNode) -> str:
    """What the stored cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def execute(source: str, namespace: dict) -> str:
    """What the source prints when it runs in the namespace."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "<cell>", "exec"), namespace)
    return out.getvalue()


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
    old = min(found, key=lambda node: (node.lineno, node.col_offset))
    lines = source.encode().splitlines(keepends=True)  # its places are counted in bytes
    start = sum(map(len, lines[: old.lineno - 1])) + old.col_offset
    end = sum(map(len, lines[: old.end_lineno - 1])) + old.end_col_offset
    return (source.encode()[:start] + repr(value).encode() + source.encode()[end:]).decode()


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
