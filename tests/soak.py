"""The tests that touch sockets, timers or processes, again and again, in an order drawn from a seed.

    python3 run.py soak [MINUTES] [--seed NUMBER] [--notebooks] [WORD ...]

A file at a time, each in a process of its own and its tests in random order; for half of the time a busy
loop computes beside them. Random moments are fifty of a kind instead of five; what a reader's program is
tried with is drawn from the seed, too, where a test always draws the same. With ``--notebooks`` each
notebook is executed, too, and what it prints compared with what is stored. With words, only files whose
names hold one of them. What fails is told at once, kept in ``test-output/``, and counted at the end.
"""

import argparse
import collections
import contextlib
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "test-output"
#: Words in the source of a test that touches sockets, timers or processes.
TOUCHES = re.compile(
    r"\b(measure|Server|Chat|Relay|RemoteFleet|socket|subprocess|Popen|threading|asyncio|browser|check)\b"
    r"|\bfrom wire\b"
)
#: Not these: they prove what does not change from time to time, and take long.
LEFT_OUT = {
    "test_environments",
    "test_setup",
    "test_benchmarks",
    "test_mutations",
    "test_package",
    "test_soak",
}
#: The longest time [s] that one file may take.
LIMIT_S = 1_800
MINUTES = 30


def subjects(notebooks: bool, words: list[str]) -> list[Path]:
    """The files that are repeated."""
    files = [
        path
        for path in sorted(HERE.rglob("test_*.py"))
        if path.stem not in LEFT_OUT
        and not path.stem.startswith("test_lesson")
        and TOUCHES.search(path.read_text(encoding="utf-8"))
    ]
    if notebooks:
        files += sorted((HERE.parent / "notebooks").glob("*.ipynb"))
    return [path for path in files if not words or any(word in path.name for word in words)]


@contextlib.contextmanager
def company(busy: bool):
    """A busy loop beside what runs inside, or none."""
    if not busy:
        yield
        return
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def attempt(path: Path, busy: bool, seed: int) -> tuple[collections.Counter, list[str], str]:
    """One run of a file: how many tests ended how, those that did not pass, and all that it said."""
    sanitize = f"--nbval-sanitize-with={HERE / 'sanitize.cfg'}"
    strict = ["--nbval", sanitize, "--nbval-current-env", "--nbval-cell-timeout=300"]
    kind = strict if path.suffix == ".ipynb" else ["-p", "no:nbval"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rfE",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        *kind,
        str(path),
    ]
    variables = {"LPWS_SEED": str(seed), "LPWS_MOMENTS": "50"}
    if path.suffix != ".ipynb":
        variables["LPWS_SHUFFLE"] = "1"
    with company(busy):
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | variables, cwd=HERE.parent, timeout=LIMIT_S,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired as ended:
            said = (ended.stdout or b"").decode("utf-8", "replace")
            return collections.Counter(failed=1), [f"{path.name} took longer than {LIMIT_S} s"], said
    return outcome(path.name, done.returncode, done.stdout)


def outcome(name: str, code: int, said: str) -> tuple[collections.Counter, list[str], str]:
    """What pytest's words and its exit status say."""
    last = said.rstrip().rpartition("\n")[2]
    counts = collections.Counter()
    for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)", last):
        counts[{"error": "failed", "xpassed": "failed"}.get(word, word)] += int(number)
    failed = [match[1] for match in re.finditer(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", said, re.M)]
    if code not in (0, 5) and not counts["failed"]:  # it did not come to its last line
        counts["failed"], failed = 1, [f"{name}: exit status {code}"]
    return counts, failed, said


def main(arguments: list[str]) -> int:
    """Repeat until the time is over; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="run.py soak", description=__doc__.partition("\n")[0])
    parser.add_argument("minutes", nargs="?", type=float, default=MINUTES)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--notebooks", action="store_true")
    asked = parser.parse_intermixed_args(arguments)
    files = subjects(asked.notebooks, asked.words)
    if not files:
        print("No test has such a name.")
        return 2
    draw = random.Random(asked.seed)
    print(f"{len(files)} files, {asked.minutes:g} minutes, seed {asked.seed}", flush=True)
    OUTPUT.mkdir(exist_ok=True)
    end = time.monotonic() + 60 * asked.minutes
    total, failures, runs = collections.Counter(), collections.Counter(), collections.Counter()
    turn = 0
    while time.monotonic() < end:
        # Each file once without company and once with it, before any comes a third time.
        turns = [(path, busy) for path in files for busy in (False, True)]
        draw.shuffle(turns)
        for path, busy in turns:
            if time.monotonic() >= end:
                break
            turn += 1
            began, seed = time.monotonic(), draw.randrange(1_000_000)
            counts, failed, said = attempt(path, busy, seed)
            total += counts
            runs[busy] += 1
            failures.update(failed)
            beside = "busy" if busy else "quiet"
            told = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
            took_s = time.monotonic() - began
            print(f"{turn:4} {path.name:30} {beside:5} seed {seed:6} {took_s:6.1f} s  {told}", flush=True)
            if counts["failed"]:
                log = OUTPUT / f"soak-{asked.seed}-{turn}-{path.stem}.txt"
                log.write_text(said, encoding="utf-8")
                for name in failed:
                    print(f"     FAILED {name}")
                print(f"     {log}", flush=True)
    told = ", ".join(f"{total[word]} {word}" for word in ("passed", "failed", "skipped"))
    print(f"\n{runs[False]} runs of a file in quiet and {runs[True]} beside a busy loop: {told}")
    for name, number in failures.most_common():
        print(f"{number:4} x {name}")
    print(f"The same order again: python3 run.py soak {asked.minutes:g} --seed {asked.seed}")
    return int(total["failed"] > 0)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
