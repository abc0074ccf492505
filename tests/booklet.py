"""A notebook as the tests read it: its cells, and its code run in this process."""

from __future__ import annotations

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
