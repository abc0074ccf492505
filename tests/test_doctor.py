"""The doctor: each fault that it knows gives one sentence and what to type, and a sound place none."""

import collections
import gzip
import importlib.metadata
import os
import resource
import socket
import subprocess
import sys
import urllib.request

import pytest

from lpws import doctor, measurement, run
from lpws.__main__ import main
from lpws.run import Run, RunError


def one(findings):
    """The only finding, as a sentence and its cure."""
    (finding,) = findings
    return finding.what, finding.cure


def test_a_finding_says_what_to_type():
    assert str(doctor.Finding("all well")) == "✓ all well"
    assert str(doctor.Finding("no tea", "make tea")) == "✗ no tea\n  → make tea"


@pytest.mark.parametrize("look", [look for look in doctor.LOOKS if look is not doctor.trial])
def test_this_place_is_sound(look):
    assert [finding.cure for finding in look()] == [""]


def test_an_old_python():
    what, cure = one(doctor.python((3, 9, 6)))
    assert what == "this is Python 3.9.6, and lpws needs 3.11 or newer"
    assert cure.endswith("python3 run.py lab")


def test_a_package_that_is_missing_and_one_that_is_old(monkeypatch):
    wanted = [
        "tornado>=99",
        "no-such-thing>=1",
        "other-thing; sys_platform == 'mars'",
        "tested; extra == 'test'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: wanted)
    what, cure = one(doctor.packages())
    tornado = importlib.metadata.version("tornado")
    assert what == f"tornado is {tornado}, and needs to be >=99; no-such-thing is missing"
    assert "pip install" in cure


def test_what_the_notebooks_need_is_asked_for(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: ["no-such-thing; extra == 'lab'"])
    assert one(doctor.packages())[0] == "no-such-thing is missing"


def test_a_python_without_lpws(tmp_path):
    """The sources alone, in a Python that has nothing but its standard library."""
    home = os.path.dirname(os.path.dirname(doctor.__file__))
    command = [sys.executable, "-S", "-m", "lpws", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": home}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    python, lpws, cure = done.stdout.splitlines()
    assert python.startswith("✓ Python 3.")
    assert lpws.startswith("✗ lpws is not installed in this Python")
    assert cure == "  → python3 run.py lab"


@pytest.mark.parametrize(("started", "good"), [("/opt/other/bin/python", False), ("python", True)])
def test_a_kernel_of_another_python(monkeypatch, tmp_path, started, good):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        f'{{"argv": ["{started}"], "display_name": "x", "language": "python"}}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    what, cure = one(doctor.kernel())
    if good:
        assert cure == ""
    else:
        assert started in what
        assert str(folder) in what
        assert "jupyter kernelspec remove python3" in cure


def test_no_loopback(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "create_connection", refuse)
    what, cure = one(doctor.loopback())
    assert "Operation not permitted" in what
    assert "firewall" in cure


@pytest.mark.parametrize(("spared", "good"), [("", False), ("127.0.0.1,localhost", True)])
def test_a_proxy(monkeypatch, spared, good):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", spared)
    assert urllib.request.getproxies()["http"]
    what, cure = one(doctor.proxy())
    assert (cure == "") is good
    assert good or "NO_PROXY=127.0.0.1" in cure


@pytest.mark.parametrize("hard", [1_024, 1_048_576, resource.RLIM_INFINITY])
def test_few_files(monkeypatch, hard):
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, hard))
    what, cure = one(doctor.files())
    assert (cure == "") is (hard != 1_024)
    assert cure == "" or ("1,024" in what and "ulimit -n" in cure)


def test_one_processor(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3})
    what, cure = one(doctor.processors())
    assert what.startswith("there is one processor")
    assert "second one" in cure


def test_recordings_that_are_missing_or_torn(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "DATA", tmp_path)
    assert "no recorded runs" in one(doctor.recordings())[0]
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    what, cure = one(doctor.recordings())
    assert "torn.json.gz" in what
    assert cure == "git checkout -- data"


@pytest.mark.parametrize(("log", "good"), [((), True), (("a fault",), False)])
def test_a_trial(monkeypatch, log, good):
    monkeypatch.setattr(measurement, "measure", lambda *arguments: Run(*arguments, log=log))
    what, cure = one(doctor.trial())
    assert what.startswith("a run of two seconds is healthy" if good else "a run of two seconds is unfit")
    assert (cure == "") is good


def test_a_trial_that_fails(monkeypatch):
    def fail(*_):
        raise RunError("expected quiet")

    monkeypatch.setattr(measurement, "measure", fail)
    assert one(doctor.trial())[0] == "a run of two seconds failed: expected quiet"


def test_a_trial_is_a_real_run():
    """It says what its health says, whatever that is on this machine now."""
    what, _cure = one(doctor.trial())
    assert "trust differences of latency above" in what
    assert all(part in what for part in ("publisher", "link", "server loop", "clients' loop"))


@pytest.mark.parametrize(("faulty", "code", "looked"), [(None, 0, 2), ("first", 1, 2), ("python", 1, 1)])
def test_the_command_looks_at_all_and_its_status_tells(monkeypatch, capsys, faulty, code, looked):
    seen = collections.Counter()

    def look(name):
        def find():
            seen[name] += 1
            yield doctor.Finding(name, "mend it" if name == faulty else "")

        return find

    first = look("python" if faulty == "python" else "first")
    if faulty == "python":
        monkeypatch.setattr(doctor, "python", first)
    monkeypatch.setattr(doctor, "LOOKS", (first, look("second")))
    assert main(["doctor"]) == code
    assert len(seen) == looked
    assert capsys.readouterr().out.count("✗") == code


def test_a_recording_that_there_is_not(capsys):
    assert main(["record", "nonsense"]) == 2
    assert "race" in capsys.readouterr().err


def test_what_is_recorded_can_be_loaded(monkeypatch, tmp_path, capsys):
    """The whole command, with a short run in the place of a long one."""
    from lpws import WebSocket, Workload, recordings, simulate

    monkeypatch.setattr(recordings, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()
    made = {"WebSocket": simulate(WebSocket(), Workload(clients=2, rate_hz=5, duration_s=1))}
    monkeypatch.setattr(recordings, "RECORDINGS", dict.fromkeys(("race", "small"), lambda: made))
    for name, pictures in (("small", 0), ("race", 1)):
        assert main(["record", name]) == 0
        assert run.load(tmp_path / "data" / f"{name}.json.gz")["WebSocket"].transport == WebSocket()
        assert len(list((tmp_path / "data").glob("*.png"))) == pictures  # that of the README
        assert f"data/{name}.json.gz" in capsys.readouterr().out


@pytest.mark.parametrize("late", [0, 3, 99])
def test_a_run_is_recorded_when_the_laboratory_was_in_time(monkeypatch, late):
    """Late so many times, then in time; a machine that is never in time gets no recording."""
    from lpws import Link, WebSocket, Workload, recordings

    measured = []

    def measure(*arguments):
        measured.append(Run(*arguments, log=("late",) * (len(measured) < late)))
        return measured[-1]

    monkeypatch.setattr(recordings, "measure", measure)
    arguments = WebSocket(), Workload(clients=2), Link(delay_s=0.01)
    if late < recordings.ATTEMPTS:
        assert recordings.fit(*arguments) is measured[late]
        assert len(measured) == late + 1
    else:
        with pytest.raises(RunError, match="got 8 that are not, such as <measured run of WebSocket"):
            recordings.fit(*arguments)
