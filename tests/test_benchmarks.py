"""Each benchmark runs; what it measures on a busy machine means nothing and is not looked at."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
#: Subject → what it needs beside the laboratory.
SUBJECTS = {
    "instrumentation": [],
    "broadcast": ["websockets"],
    "crowd": [],
    "last": [],
    "driving": ["aiohttp"],
    "simulating": [],
    "growth": [],
}


def small(*subjects):
    command = [sys.executable, str(BENCHMARKS), "--small", *subjects]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)


@pytest.mark.skipif(sys.platform != "linux", reason="they look into /proc and wait with epoll")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_benchmark_runs(subject):
    for name in SUBJECTS[subject]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: run.py bench installs it")
    done = small(subject)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.partition("\n\n")[2].splitlines()
    assert table[0].split() == ["quantity", "value", "goal", "note"]
    assert len(table) > 4


def test_an_unknown_subject():
    done = small("driving", "speed")
    assert done.returncode == 2
    assert done.stdout.startswith("Unknown: speed. The subjects are " + ", ".join(SUBJECTS))
