"""The benchmarks: how fast the laboratory is, beside others in the same run.

    python benchmarks [--small] [SUBJECT ...]

Every ratio is a median of pairs that were measured in alternation. Without a subject all run but
growth, which takes five minutes and must be named. With ``--small`` each subject runs in seconds, to
see that it runs; its numbers mean nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback

from rows import Row, table

USUAL = ("instrumentation", "broadcast", "crowd", "last", "driving", "simulating")
SUBJECTS = (*USUAL, "growth")


def main(arguments: list[str]) -> int:
    """Run the subjects, print the table; 1 if one of them could not be run."""
    small = "--small" in arguments
    names = [name for name in arguments if name != "--small"] or USUAL
    if unknown := set(names) - set(SUBJECTS):
        print(f"Unknown: {', '.join(sorted(unknown))}. The subjects are {', '.join(SUBJECTS)}.")
        return 2
    found: list[Row] = []
    failed = 0
    for name in names:
        began = time.perf_counter()
        print(f"{name} …", flush=True)
        try:
            for row in importlib.import_module(name).rows(small):
                found.append(row)
                print("   ", "  ".join(cell for cell in row.cells() if cell), flush=True)
        except Exception:
            traceback.print_exc()
            found.append(Row(name, float("nan"), note="failed, see above"))
            failed = 1
        load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{name}: {time.perf_counter() - began:.0f} s{load}", flush=True)
    print("\n" + table(found))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
