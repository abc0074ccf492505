"""The doctor: each fault that it knows gives one sentence and what to type, and a sound place none."""

import collections
import gzip
import importlib.metadata
import os
import re
import resource
import socket
import subprocess
import sys
import tomllib
import urllib.request

import pytest

from lpws import doctor, measurement, recordings, services
from lpws.__main__ import main
from lpws.doctor import cures, installation
from lpws.run import Run, RunError


def one(finding):
    """The finding, as a sentence and its cure."""
    return finding.what, finding.cure


def test_a_finding_says_what_to_type():
    assert str(doctor.Finding("all well")) == "✓ all well"
    assert str(doctor.Finding("no tea", "make tea")) == "✗ no tea\n  → make tea"
    assert str(doctor.Finding("no tea", "boil\npour")) == "✗ no tea\n  → boil\n  → pour"
    hint = doctor.Finding("tea is hot", "wait", hint=True)
    assert (str(hint), hint.fault) == ("– tea is hot\n  → wait", False)


@pytest.mark.parametrize("look", [look for look in doctor.LOOKS if look is not doctor.trial])
def test_this_place_is_sound(look):
    assert look().fault is False


def test_an_old_python():
    what, cure = one(doctor.python((3, 9, 6)))
    assert what == "this is Python 3.9.6, and lpws needs 3.11 or newer"
    assert cure.endswith("run.py lab")


def test_a_package_that_is_missing_and_one_that_is_old(monkeypatch):
    wanted = [
        "tornado>=99",
        "no-such-thing>=1",
        "other-thing; sys_platform == 'mars'",
        "tested; extra == 'test'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: wanted)
    monkeypatch.setattr(sys, "prefix", "/opt/readers-own")
    what, cure = one(doctor.packages())
    tornado = importlib.metadata.version("tornado")
    assert what == f"tornado is {tornado}, and needs to be >=99; no-such-thing is missing"
    assert cure == cures.install("tornado>=99") + "\n" + cures.install("no-such-thing>=1")


def test_everything_that_lpws_asks_for_is_loaded_once():
    project = tomllib.loads((cures.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {name.partition(">")[0].lower() for name in project["dependencies"] if ";" not in name}
    assert {name.lower() for name in installation.IMPORTED} == names


def test_a_package_that_does_not_load(monkeypatch, tmp_path):
    (tmp_path / "torn.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(installation, "IMPORTED", ("json", "torn"))
    what, cure = one(doctor.packages())
    assert what == "torn is there and does not load (division by zero)"
    assert cure == cures.install("torn", again=True)


# What to type


@pytest.fixture(params=["posix", "windows"])
def system(request, monkeypatch):
    """Cures for a system, whichever this is."""
    monkeypatch.setattr(cures, "WINDOWS", request.param == "windows")
    return request.param


def test_what_to_type_to_set_up(monkeypatch, tmp_path, system):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cures, "CHECKOUT", tmp_path.resolve())
    monkeypatch.setattr(sys, "_base_executable", "/opt/py thon/bin/python3")
    version = "{}.{}".format(*sys.version_info)
    python = {"posix": "'/opt/py thon/bin/python3'", "windows": f"py -{version}"}[system]
    assert cures.set_up() == f"{python} run.py lab"
    monkeypatch.chdir("/")
    assert cures.set_up() == f"{python} {cures.quoted(tmp_path.resolve() / 'run.py')} lab"


@pytest.mark.parametrize("folder", ["/opt/env", "C:\\env", "C:\\Jo Doe\\env"])
@pytest.mark.parametrize("tool", ["pip", "uv", ""])
def test_what_to_type_to_install(monkeypatch, system, folder, tool):
    python = f"{folder}\\python.exe" if ":" in folder else f"{folder}/bin/python"
    monkeypatch.setattr(sys, "executable", python)
    monkeypatch.setattr(cures, "find_spec", lambda name: name == tool or None)
    monkeypatch.setattr(cures.shutil, "which", lambda name: name if name == tool else None)
    typed = cures.install("tea>=1.2", "cup").splitlines()
    if system == "posix":
        named, tea = (python if folder == "/opt/env" else f"'{python}'"), "'tea>=1.2'"
        path = named
    else:
        named = python if " " not in folder else "python"
        path, tea = (python if " " not in folder else f'"{python}"'), '"tea>=1.2"'
    usual = f"{named} -m pip install {tea} cup"
    assert typed == {
        "pip": [usual],
        "uv": [f"uv pip install --python {path} {tea} cup"],
        "": [f"{named} -m ensurepip", usual],
    }[tool]  # fmt: skip
    again = cures.install("cup", again=True)
    assert ("--reinstall" in again) is (tool == "uv")
    assert ("--force-reinstall" in again) is (tool != "uv")


@pytest.mark.parametrize("name", ["nginx", "nats"])
def test_a_real_program_that_is_missing_is_a_hint(monkeypatch, name):
    monkeypatch.setenv(f"LPWS_{name.upper()}", "")
    finding = getattr(doctor, name)()
    assert (finding.fault, finding.hint) == (False, True)
    assert finding.what == f"{name} is not here: its lessons show recorded runs"
    assert finding.cure == cures.wild()


@pytest.mark.parametrize("name", ["nginx", "nats"])
def test_a_real_program_that_does_not_start_is_a_fault(monkeypatch, name, tmp_path):
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\necho no tea\nexit 3\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv(f"LPWS_{name.upper()}", str(path))
    what, cure = one(getattr(doctor, name)())
    assert what == f"{path} did not start: no tea"
    assert cure == f"take another {name} than {path}, as by: {cures.wild()}"


@pytest.mark.parametrize("name", ["nginx", "nats"])
def test_a_real_program_is_named_with_its_version_and_place(name):
    what, _ = one(getattr(doctor, name)())
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+ answers \({services.find(name)}\)", what)


def test_what_to_type_for_the_real_programs(monkeypatch, tmp_path, system):
    """Whoever made the environment: by run.py, by the file of hashes, or where there is no checkout."""
    monkeypatch.setattr(cures, "CHECKOUT", tmp_path.resolve())
    assert cures.wild() == cures.install("lpws[wild]")
    (tmp_path / "requirements-wild.txt").touch()
    by_hash = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r"]
    assert cures.wild() == cures.install(*by_hash, str(tmp_path.resolve() / "requirements-wild.txt"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "lpws-stamp.txt").touch()
    assert cures.wild() == cures.set_up("wild")
    assert cures.wild().endswith("run.py wild") or cures.WINDOWS


def test_no_command_for_windows_needs_another_shell(monkeypatch, system):
    """Windows has two; neither knows `export`, `unset`, single quotes, or a python3."""
    monkeypatch.setattr(sys, "_base_executable", "C:\\Python311\\python.exe")
    commands = [
        cures.set_up(),
        cures.install("a>=1"),
        cures.without("PYTHONPATH"),
        cures.with_variable("NO_PROXY", "127.0.0.1"),
        cures.rename("a b", "c"),
    ]
    known = [word in " ".join(commands) for word in ("export", "unset", "'", "python3 ", "mv ", "&&")]
    assert any(known) is (system == "posix")
    assert len([line for line in "\n".join(commands).splitlines() if "pip" not in line]) == 4


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_the_report_goes_through_any_encoding(encoding):
    """As redirected on Windows; what cannot be written has a word in its place."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "lpws", "doctor"], capture_output=True,
        env={"PYTHONPATH": str(cures.CHECKOUT), "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.stderr == b""
    first, second, third = done.stdout.decode(encoding).splitlines()
    assert first.startswith("✓ Python" if encoding == "utf-8" else "ok: Python")
    assert second.startswith("✗ lpws" if encoding == "utf-8" else "FAULT: lpws")
    assert third.startswith("  → " if encoding == "utf-8" else "  -> ")


def test_what_the_notebooks_need_is_asked_for(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: ["no-such-thing; extra == 'lab'"])
    assert one(doctor.packages())[0] == "no-such-thing is missing"


def test_a_python_without_lpws(tmp_path):
    """The sources alone, in a Python that has nothing but its standard library."""
    home = str(cures.CHECKOUT)
    command = [sys.executable, "-S", "-m", "lpws", "doctor"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": home}, capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (1, "")
    python, lpws, cure = done.stdout.splitlines()
    assert python.startswith("✓ Python 3.")
    assert lpws.startswith("✗ lpws is not installed in this Python")
    assert cure.startswith("  → ")
    assert cure.endswith("run.py lab")


@pytest.mark.parametrize(("started", "good"), [("/opt/other/bin/python", False), ("python", True)])
def test_a_kernel_of_another_python(monkeypatch, tmp_path, started, good):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        f'{{"argv": ["{started}"], "display_name": "x", "language": "python"}}',
        encoding="utf-8",
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    what, cure = one(doctor.kernel())
    if good:
        assert cure == ""
    else:
        assert started in what
        assert str(folder) in what
        assert cure == f"mv {folder} {folder}-other"  # and nothing is lost


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
    found = doctor.proxy()
    assert not found.fault  # lpws itself asks no proxy
    assert (found.cure == "") is good
    assert good or found.cure == "export NO_PROXY=127.0.0.1,localhost"


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
    monkeypatch.setattr(recordings, "DATA", tmp_path)
    assert "no recorded runs" in one(doctor.recordings())[0]
    (tmp_path / "torn.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    (tmp_path / "whole.json.gz").write_bytes(gzip.compress(b"{}"))
    what, cure = one(doctor.recordings())
    assert "torn.json.gz" in what
    assert cure == "take data/torn.json.gz from the project again"
    (tmp_path.parent / ".git").mkdir()
    what, cure = one(doctor.recordings())
    assert cure == f"git -C {tmp_path.parent} checkout -- data/torn.json.gz"


@pytest.mark.parametrize(("log", "good"), [((), True), (("a fault",), False)])
def test_a_trial(monkeypatch, log, good):
    monkeypatch.setattr(measurement, "measure", lambda *arguments: Run(*arguments, log=log))
    what, cure = one(doctor.trial())
    assert what.startswith("a run of two seconds is healthy" if good else "a run of two seconds is unfit")
    assert (cure == "") is good


@pytest.mark.parametrize(("label", "package"), [("WebSocket", "picows"), ("SSE", "httptools")])
def test_clients_that_are_not_served(monkeypatch, label, package):
    def fail(transport, work):
        if transport.label == label:
            raise RunError("expected a handshake")

    monkeypatch.setattr(measurement, "measure", fail)
    what, cure = one(doctor.transports())
    assert what == f"clients of {label} are not served: expected a handshake"
    assert cure == cures.install(package, again=True)


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
            return doctor.Finding(name, "fix it" if name == faulty else "")

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
    from lpws import WebSocket, Workload, record, simulate

    monkeypatch.setattr(record, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()
    made = {"WebSocket": simulate(WebSocket(), Workload(clients=2, rate_hz=5, duration_s=1))}
    monkeypatch.setattr(record, "RECORDINGS", dict.fromkeys(("race", "small"), lambda: made))
    for name in ("small", "race"):
        assert main(["record", name]) == 0
        assert recordings.load(tmp_path / "data" / f"{name}.json.gz")["WebSocket"].transport == WebSocket()
        assert f"data/{name}.json.gz" in capsys.readouterr().out


@pytest.mark.parametrize("late", [0, 3, 99])
def test_a_run_is_recorded_when_the_laboratory_was_in_time(monkeypatch, late):
    """Late so many times, then in time; a machine that is never in time gets no recording."""
    from lpws import WebSocket, Workload, record

    measured = []

    def measure(*arguments):
        measured.append(Run(*arguments, log=("late",) * (len(measured) < late)))
        return measured[-1]

    monkeypatch.setattr(record, "measure", measure)
    arguments = WebSocket(), Workload(clients=2)
    if late < record.ATTEMPTS:
        assert record.fit(*arguments) is measured[late]
        assert len(measured) == late + 1
    else:
        with pytest.raises(RunError, match="got 8 that are not, such as <measured run of WebSocket"):
            record.fit(*arguments)
