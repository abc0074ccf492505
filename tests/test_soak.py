"""The soak: what it repeats, and that a failure, a crash and a test that hangs are counted."""

import collections
from types import SimpleNamespace

import pytest
import soak

PASSES = "def test_one():\n    pass\n\n\ndef test_other():\n    pass\n"
ENDINGS = {
    "passes": (PASSES, {"passed": 2}),
    "fails": (PASSES + "\n\ndef test_bad():\n    assert False\n", {"passed": 2, "failed": 1}),
    "error": ("import no_such_thing\n", {"failed": 1}),
    "crashes": ("import os\n\n\ndef test_bad():\n    os._exit(3)\n", {"failed": 1}),
    "skips": ("import pytest\n\n\ndef test_it():\n    pytest.skip('why')\n", {"skipped": 1}),
    "hangs": ("import time\n\n\ndef test_bad():\n    time.sleep(600)\n", {"failed": 1}),
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files in the place of the tests: each writes its own name for a mark of the run."""
    monkeypatch.setattr(soak, "HERE", tmp_path / "tests")
    monkeypatch.setattr(soak, "OUTPUT", tmp_path / "output")
    (tmp_path / "tests").mkdir()

    def write(name, text):
        path = tmp_path / "tests" / f"test_{name}.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_counted(files, monkeypatch, ending):
    monkeypatch.setattr(soak, "LIMIT_S", 5 if ending == "hangs" else 60)
    text, expected = ENDINGS[ending]
    counts, failed, _said = soak.attempt(files(ending, text), busy=False, seed=1)
    assert +counts == expected
    assert len(failed) == expected.get("failed", 0)


def test_a_round_takes_each_file_with_and_without_company(files, monkeypatch, capsys):
    for name in ("socket", "fails"):
        files(name, ENDINGS["fails"][0] + "# measure\n")
    files("pure", PASSES)
    company = []
    said = "FAILED x::y - why\n1 failed, 2 passed in 1 s"

    def attempt(path, busy, seed):
        company.append((path.name, busy))
        return soak.outcome(path.name, 1, said)

    monkeypatch.setattr(soak, "attempt", attempt)
    times = iter([0.0, 0.0, *[1.0] * 12, *[100.0] * 99])
    monkeypatch.setattr(soak, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert soak.main(["1", "--seed", "5"]) == 1
    names = "test_fails.py", "test_socket.py"
    assert sorted(company) == [(name, busy) for name in names for busy in (False, True)]
    said = capsys.readouterr().out
    assert "seed 5" in said
    assert "4 x x::y" in said
    assert "2 runs of a file in quiet and 2 beside a busy loop: 8 passed, 4 failed" in said
    assert "python3 run.py soak 1 --seed 5" in said


def test_the_same_seed_is_the_same_order(files, monkeypatch):
    for number in range(8):
        files(f"some{number}", "import socket\n")
    orders = []
    for seed in ("5", "5", "6"):
        seen = []
        monkeypatch.setattr(
            soak, "attempt", lambda *turn, seen=seen: seen.append(turn) or (collections.Counter(), [], "")
        )
        # Its clock alone: other threads of this process look at the computer's.
        monkeypatch.setattr(soak, "time", SimpleNamespace(monotonic=iter(range(40)).__next__))
        assert soak.main(["0.5", "--seed", seed]) == 0
        orders.append(seen)
    assert orders[0] == orders[1] != orders[2]


def test_what_it_repeats():
    """The files of sockets, timers and processes, and no file of formulas."""
    names = {path.stem for path in soak.subjects(notebooks=False, words=[])}
    assert {
        "test_faults",
        "test_broadcasts",
        "test_requests",
        "test_chat",
        "test_measure",
        "test_relay",
        "test_strangers",
    } <= names
    assert not names & {"test_models", "test_figures", "test_specs", "test_decisions"}
    everything = {path.stem for path in soak.subjects(notebooks=True, words=[])}
    assert "00_start_here" in everything
    assert soak.main(["1", "no-such-file"]) == 2


def test_a_busy_loop_ends_with_what_it_stands_beside(nothing_left):
    with soak.company(busy=True):
        pass
