"""``python -m lpws record NAME``: measure a recorded run of ``data/`` again."""

from __future__ import annotations

import argparse

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


#: Name of a recording → what measures it.
RECORDINGS = {"race": race}


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lpws", description="The laboratory, from the command line.")
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="measure a recorded run of data/ again, on this machine")
    record.add_argument("name", choices=sorted(RECORDINGS))
    name = parser.parse_args(arguments).name
    runs = RECORDINGS[name]()
    for run in runs.values():
        print(run)
    path = DATA / f"{name}.json.gz"
    save(runs, path)
    print(f"{path.relative_to(DATA.parent)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
