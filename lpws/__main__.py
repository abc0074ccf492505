"""The laboratory, from the command line: ``python -m lpws doctor`` and ``python -m lpws record NAME``."""

from __future__ import annotations

import argparse
import sys


def doctor(_arguments: argparse.Namespace) -> int:
    """Say what is wrong with this environment, and what to type."""
    from .doctor import examine

    faults = 0
    for finding in examine():
        print(_written(str(finding)), flush=True)
        faults += finding.fault
    return int(faults > 0)


def _written(text: str) -> str:
    """The text with marks that standard output can write: a file on Windows takes no ✓."""
    try:
        "✓✗→".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate({ord("✓"): "ok:", ord("✗"): "FAULT:", ord("–"): "note:", ord("→"): "->"})
    return text


def record(arguments: argparse.Namespace) -> int:
    """Measure a recorded run of data/ again, on this machine, and draw it."""
    from .record import RECORDINGS, record

    if arguments.name not in RECORDINGS:
        known = ", ".join(sorted(RECORDINGS))
        print(f"expected one of the recorded runs ({known}), got {arguments.name!r}", file=sys.stderr)
        return 2
    record(arguments.name)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Exit status of what the command line says: 1 if the doctor found a fault, 2 if it makes no sense."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what cannot be written does not end what can
            stream.reconfigure(errors="replace")
    # What a command needs is imported when it is called: the doctor must come where much is missing.
    parser = argparse.ArgumentParser(prog="python -m lpws", description=__doc__.partition(":")[0] + ".")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("doctor", help=doctor.__doc__).set_defaults(do=doctor)
    recording = commands.add_parser("record", help=record.__doc__)
    recording.add_argument("name", help="of the recording")
    recording.set_defaults(do=record)
    parsed = parser.parse_args(arguments)
    return parsed.do(parsed)


if __name__ == "__main__":
    sys.exit(main())
