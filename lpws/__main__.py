"""``python -m lpws record NAME``: measure a recorded run of ``data/`` again, and draw it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .recordings import RECORDINGS
from .run import DATA, Run, save


def draw(runs: dict[str, Run], path: Path) -> None:
    """Draw the latencies of the runs beside the connections of one client."""
    from matplotlib.figure import Figure

    from .figures import ecdf, lifelines

    figure = Figure(figsize=(15.5, 4.4))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3})
    ecdf(runs, ax=left)
    lifelines(runs, ax=right)
    # Without the version of matplotlib: the same runs make the same picture.
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m lpws", description="The laboratory, from the command line."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="measure a recorded run of data/ again, on this machine")
    record.add_argument("name", choices=sorted(RECORDINGS))
    name = parser.parse_args(arguments).name
    runs = RECORDINGS[name]()
    for run in runs.values():
        print(run)
    path = DATA / f"{name}.json.gz"
    save(runs, path)
    draw(runs, DATA / f"{name}.png")
    print(f"{path.relative_to(DATA.parent)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
