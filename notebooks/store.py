"""Executes the notebooks and stores them with their outputs, in a form that changes only with them.

    python3 run.py notebooks               all notebooks of the series
    python3 run.py notebooks 00_start_here those named

The links to the previous and the next notebook, and the map of the series, are written anew, so that they
cannot rot. What says when and where a notebook ran (times, versions, widgets) is left out. The moving
picture that the README shows is drawn anew, too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lpws import record

HERE = Path(__file__).resolve().parent
CONTENTS = "00_start_here"
#: Heading of the map, which every notebook links to. JupyterLab keeps the case of a heading in its
#: anchor, Sphinx does not: lower case, without punctuation, is what both understand.
MAP = "the map of the series"
#: Begin of a name → what is written over the part of the series that begins there.
PARTS = {"08": "Part two: in the wild", "A": "Appendices"}
#: A notebook must end in its own time; a cell that takes longer than this [s] hangs.
CELL_LIMIT_S = 120


def series() -> list[Path]:
    """The notebooks in the order in which they are read."""
    return sorted(HERE.glob("[0-9A-Z]*.ipynb"))


def title(path: Path) -> str:
    """The first heading of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    lines = (line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next(line.removeprefix("# ") for line in lines if line.startswith("# "))


def navigation(path: Path) -> str:
    """Links to the previous notebook, the map of the series, and the next notebook."""
    paths = series()
    place = paths.index(path)
    links = [f"[{MAP}]({CONTENTS}.ipynb#{MAP.replace(' ', '-')})"]
    if place > 0:
        before = paths[place - 1]
        links.insert(0, f"[← {title(before)}]({before.name})")
    if place + 1 < len(paths):
        after = paths[place + 1]
        links.append(f"[{title(after)} →]({after.name})")
    return " · ".join(links)


def the_map() -> str:
    """The list of all notebooks, each with its question."""
    rows, parts = [], dict(PARTS)
    for path in series():
        for begin in [begin for begin in parts if path.stem >= begin]:
            rows += ["", f"**{parts.pop(begin)}**", ""]
        rows.append(f"- {path.stem.replace('_', ' ')}: [{title(path)}]({path.name})")
    return "\n".join([f"## {MAP}", "", *rows])


def tidy(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Leave in the notebook only what is the same each time, and write its links."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        for word in ("execution", "collapsed", "scrolled", "trusted"):
            cell.metadata.pop(word, None)
        if "navigation" in cell.metadata.get("tags", []):
            cell.source = the_map() if cell.get("id") == "map" else navigation(path)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def store(path: Path) -> None:
    """Execute a notebook, from a fresh kernel, and write it back."""
    notebook = nbformat.read(path, as_version=4)
    os.environ["LPWS_PROGRESS"] = "0"  # nobody is watching
    os.environ["LPWS_RECORD"] = "1"  # what experiments with real parts find: see `lpws.or_recorded`
    NotebookClient(
        notebook,
        timeout=CELL_LIMIT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        coalesce_streams=True,  # where what is printed is cut into pieces, chance decides
    ).execute()
    write(notebook, path)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook in the stored form, unless it stands there already."""
    tidy(notebook, path)
    nbformat.validate(notebook)
    if notebook != nbformat.read(path, as_version=4):
        nbformat.write(notebook, path)


def main(names: list[str]) -> None:
    """Store the notebooks named, or all."""
    known = {path.stem: path for path in series()}
    wanted = [Path(name).stem for name in names] or list(known)
    for name in wanted:
        if name not in known:
            sys.exit(f"There is no notebook {name}; there are {', '.join(known)}.")
        print(f"{name} ...", flush=True)
        store(known[name])
    if record.draw():
        print("data/race.svg is drawn anew")
    for path in known.values():  # the links of the others may lead elsewhere now
        write(nbformat.read(path, as_version=4), path)


if __name__ == "__main__":
    main(sys.argv[1:])
