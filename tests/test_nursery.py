"""A process that is forked is what a new one would be."""

import contextlib
import os
import signal
import subprocess
import sys

import nursery
import pytest
from leaks import nothing_left_behind

import lpws
from lpws.exercises import program
from lpws.fleet import process

pytestmark = pytest.mark.skipif(
    not nursery.POSSIBLE or "LPWS_SHUFFLE" in os.environ, reason="on Linux, but for the soak"
)


@pytest.fixture(scope="module", autouse=True)
def _now():
    """One that finds what is there now, whatever other tests have left in the environment."""
    with nursery.Nursery() as forks, pytest.MonkeyPatch.context() as patch:
        for home in process, program:
            patch.setattr(home, "subprocess", forks.module())
        yield


STATE = """
def state():
    import gc, os, resource, sys, threading
    streams = [(each.encoding, each.errors, each.line_buffering, each.write_through)
               for each in (sys.stdin, sys.stdout, sys.stderr)]
    return {
        "modules": sorted(sys.modules), "path": sys.path, "argv": sys.argv, "flags": list(sys.flags),
        "main": sys.modules["__main__"].__spec__.name, "variables": dict(os.environ), "folder": os.getcwd(),
        "files": sorted(os.listdir("/proc/self/fd")), "session": os.getsid(0) == os.getpid(),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE), "threads": threading.active_count(),
        "frozen": gc.get_freeze_count(), "collects": gc.isenabled(), "streams": streams,
    }
"""
CHANCE = """
def chance():
    import random
    return random.random()
"""


def told(source, name):
    """What a function returns in the process of a reader's program."""
    cell = {"__name__": "__main__"}
    exec(source, cell)
    with program.Program(cell[name]) as one:
        report = one.tell("call", within_s=20)
    assert not report["errors"]
    return report["result"], isinstance(one._process, nursery.Copy)


def test_a_copy_finds_what_a_new_process_finds(monkeypatch):
    copied, is_copy = told(STATE, "state")
    assert is_copy
    monkeypatch.setattr(program, "subprocess", subprocess)
    new, is_copy = told(STATE, "state")
    assert not is_copy
    assert copied == new


def test_each_copy_has_its_own_chance():
    assert told(CHANCE, "chance") != told(CHANCE, "chance")


@pytest.mark.parametrize("what", ["path", "folder", "variable"])
def test_in_other_circumstances_a_new_process_begins(what, tmp_path, monkeypatch):
    if what == "path":
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    elif what == "folder":
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.setenv("LPWS_SEED", "another")
    found, is_copy = told(STATE, "state")
    assert not is_copy
    assert found["variables"]["LPWS_SEED"] == os.environ["LPWS_SEED"]


def test_a_run_s_clients_are_a_copy_too(nothing_left, monkeypatch):
    kinds, end = [], process.RemoteFleet.end

    def note(fleet):
        kinds.append(type(fleet.process))
        end(fleet)
        kinds.append(fleet.process.wait())

    monkeypatch.setattr(process.RemoteFleet, "end", note)
    run = lpws.measure(lpws.WebSocket(), lpws.Workload(clients=2, rate_hz=50, duration_s=0.1))
    assert kinds == [nursery.Copy, 0]
    assert run.health.outcome == {}


@contextlib.contextmanager
def begun():
    """Clients that have not been told what to do."""
    copy = process.start("-m", "lpws.fleet", stderr=subprocess.STDOUT)
    assert isinstance(copy, nursery.Copy)
    try:
        yield copy
    finally:
        copy.kill()
        copy.wait(20)
        copy.stdout.close()
        copy.stdin.close()


def test_a_copy_tells_how_it_ended():
    with begun() as copy:
        copy.stdin.write(b"no specification\n")
        copy.stdin.close()
        assert b"JSONDecodeError" in copy.stdout.read()
        assert copy.wait(20) == 1
    with begun() as copy:
        with pytest.raises(subprocess.TimeoutExpired):
            copy.wait(0.01)
        assert copy.poll() is None
        copy.kill()
        assert copy.wait(20) == copy.poll() == -signal.SIGKILL
        copy.kill()  # which says nothing about who has its number now


def test_a_copy_that_nobody_has_waited_for_is_left_behind():
    stack = contextlib.ExitStack()
    with stack, pytest.raises(AssertionError, match="children"), nothing_left_behind():
        stack.enter_context(begun())
