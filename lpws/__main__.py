"""``python -m lpws record NAME``: measure a recorded run of ``data/`` again, and draw it."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import specs
from .experiment import measure
from .run import DATA, Run, save


def race() -> dict[str, Run]:
    """The race of the first notebook, each transport in turn."""
    work = specs.Workload(clients=20, rate_hz=3.0, duration_s=5.0, seed=4)
    link = specs.Link(delay_s=0.025)
    transports = (
        specs.Request(pause_s=1.0),
        specs.ShortPolling(interval_s=1.0),
        specs.LongPolling(hold_s=20.0),
        specs.EventStream(),
        specs.WebSocket(),
    )
    return {transport.label: measure(transport, work, link) for transport in transports}


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


#: Name of a recording → what measures it.
RECORDINGS = {"race": race}


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
