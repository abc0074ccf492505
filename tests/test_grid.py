"""A sweep: the results in order, on both processors, on any executor; its errors, and what it leaves."""

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import loky
import pytest
from leaks import nothing_left_behind as nothing_left

import lpws
from lpws import grid

MOMENTS, SEED = int(os.environ.get("LPWS_MOMENTS", 5)), os.environ["LPWS_SEED"]
#: How long [s] anything here is waited for at most.
LIMIT_S = 60


def product(a, b):
    return a * b


def inverse(a):
    return 1 / a


def pid_beside(number, folder):
    """Number of the process, once another call has begun, too."""
    (folder / f"{number}").touch()
    until(lambda: len(list(folder.iterdir())) == 2)
    return os.getpid()


def ended(number):
    if number == 2:
        os._exit(3)
    time.sleep(0.01)


@contextlib.contextmanager
def nothing_left_behind():
    """Also no thread; that of a queue ends by itself, a moment after the queue."""
    with nothing_left():
        before = threading.active_count()
        try:
            yield
        finally:
            until(lambda: threading.active_count() <= before)


def until(done):
    end_s = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.02)


@pytest.fixture(scope="module", autouse=True)
def _trackers():
    """Python and loky each start a process once that removes what processes share when the kernel is gone."""
    lpws.sweep(product, {"a": [1], "b": [1]})


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


def test_results_are_in_the_order_of_the_grid(threads):
    """Not in the order in which they come; the last argument changes fastest."""
    first = threading.Event()

    def wait(a, b):
        if (a, b) == (1, 5):
            assert first.wait(LIMIT_S)
        first.set()
        return a, b

    whole = {"a": [1, 2], "b": iter([5, 6, 7])}
    assert lpws.sweep(wait, whole, executor=threads) == [(1, 5), (1, 6), (1, 7), (2, 5), (2, 6), (2, 7)]
    assert threads.submit(product, 2, 3).result() == 6  # it is the caller's


@pytest.mark.parametrize(
    ("whole", "found"),
    [({}, [0]), ({"a": []}, []), ({"a": [3], "b": []}, []), ({"fn": [1], "self": [2]}, [3])],
)
def test_grids_that_are_odd(whole, found, threads):
    """No argument is one point, no value none; and `submit` has arguments of such names itself."""
    assert lpws.sweep(lambda **point: sum(point.values()), whole, executor=threads) == found


@pytest.mark.parametrize(
    ("whole", "said"),
    [([1, 2], "expected a grid as {'clients': [10, 100]}, got [1, 2]"),
     ({"a": "abc"}, "expected a grid as {'clients': [10, 100]}, got {'a': 'abc'}"),
     (None, "expected a grid as {'clients': [10, 100]}, got None"),
     ({1: [2]}, "expected a grid as {'clients': [10, 100]}, got {1: [2]}"),
     ({"a": 7}, "expected a grid as {'clients': [10, 100]}, got {'a': 7}")],
)  # fmt: skip
def test_what_is_no_grid(whole, said, threads):
    with pytest.raises(TypeError) as error:
        lpws.sweep(product, whole, executor=threads)
    assert str(error.value) == f"sweep: {said}"


@pytest.mark.parametrize("wrong", [0, -1, 10**9, None, "abc"])
def test_what_is_no_function_and_what_is_no_executor(wrong, threads):
    with pytest.raises(TypeError, match=f"sweep: expected a function, got {wrong!r}"):
        lpws.sweep(wrong, {"a": [1]}, executor=threads)
    if wrong is not None:
        with pytest.raises(TypeError, match=f"expected a concurrent.futures.Executor, got {wrong!r}"):
            lpws.sweep(product, {"a": [1], "b": [1]}, executor=wrong)


def test_simulations_on_processes_are_those_of_this_one():
    transports = [lpws.LongPolling(), lpws.WebSocket()]
    works = [lpws.Workload(clients=clients, rate_hz=2, duration_s=5, seed=1) for clients in (1, 10)]
    links = [lpws.Link(delay_s=0.025)]
    with nothing_left_behind():
        runs = lpws.sweep(lpws.simulate, {"transport": transports, "workload": works, "link": links})
    here = [lpws.simulate(transport, work, links[0]) for transport in transports for work in works]
    assert [run.events for run in runs] == [run.events for run in here]
    assert [len(lpws.deliveries(run)) for run in runs] == [len(lpws.deliveries(run)) for run in here]


@pytest.mark.skipif(loky.cpu_count() < 2, reason="needs two processors")
def test_two_processors_are_used_and_their_processes_end(tmp_path):
    with nothing_left_behind():
        pids = lpws.sweep(pid_beside, {"number": [1, 2], "folder": [tmp_path]})
    assert len({*pids, os.getpid()}) == 3


SCRIPT = """
import os
import lpws

factor = 10

class Pair:
    def __init__(self, a, b): self.sum = a + b

def times(a, b):
    return Pair(a, b).sum * factor, os.getpid()

found = lpws.sweep(times, {"a": [1, 2], "b": [3, 4]})
print([value for value, _ in found], os.getpid() in {pid for _, pid in found})
"""


def test_a_function_of_the_main_module():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT_S)
    assert (done.stdout, done.stderr) == ("[40, 50, 50, 60] False\n", "")


def test_a_function_of_a_cell():
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3").execute()
    [output] = notebook.cells[0].outputs
    assert output.text == "[40, 50, 50, 60] False\n"


# ------------------------------------------------------------------------------------ errors


def note_of(kind, function, whole):
    """The note of the error, and not the error, with which everything would be kept that it went through."""
    with pytest.raises(kind) as error:
        lpws.sweep(function, whole)
    return error.value.__notes__[0]


def test_an_error_names_its_point(threads):
    with pytest.raises(ZeroDivisionError) as error:
        lpws.sweep(inverse, {"a": [1, 2, 0, 3]}, executor=threads)
    assert error.value.__notes__ == ["sweep: no result for a=0"]


def test_an_error_in_a_process_names_its_point():
    with nothing_left_behind():
        note = note_of(ZeroDivisionError, inverse, {"a": [1, 2, 0, 3]})
    assert note == "sweep: no result for a=0"


def test_an_error_leaves_out_what_has_not_begun():
    begun, go = [], threading.Event()

    def fail(number):
        begun.append(number)
        if number == 0:
            raise ValueError("no")
        assert go.wait(LIMIT_S)

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="no"):
            lpws.sweep(fail, {"number": range(1000)}, executor=executor)
        go.set()
    assert begun in ([0], [0, 1])


def test_a_worker_that_ends_is_an_error_and_not_a_wait():
    before = threading.active_count()
    note = note_of(concurrent.futures.BrokenExecutor, ended, {"number": [1, 2, 3]})
    until(lambda: threading.active_count() <= before)
    assert note.startswith("sweep: no result for number=")


# -------------------------------------------------------------------------------- interrupts

INTERRUPTED = """
import os, sys, threading, time
import lpws
from multiprocessing import resource_tracker
from loky.backend import resource_tracker as lokys

def slow(number):
    time.sleep(60)

print("go", flush=True)
try:
    lpws.sweep(slow, {"number": range(4)})
except KeyboardInterrupt:
    print("interrupted")
end_s = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < end_s:  # of a queue, which ends by itself
    time.sleep(0.02)
with open(f"/proc/self/task/{os.getpid()}/children") as children:
    kept = {str(each._resource_tracker._pid) for each in (resource_tracker, lokys)}
    print(set(children.read().split()) - kept, threading.active_count())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks into /proc")
def test_an_interrupt_at_any_moment_leaves_nothing():
    """It goes to all processes of a group, as a terminal and a kernel send it."""
    draw = random.Random(SEED)
    for _ in range(MOMENTS):
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED], start_new_session=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as script:  # fmt: skip
            try:
                assert script.stdout.readline() == "go\n"
                time.sleep(draw.uniform(0.05, 2))
                os.killpg(script.pid, signal.SIGINT)
                said, _ = script.communicate(timeout=LIMIT_S)
            finally:
                script.kill()
        assert said == "interrupted\nset() 1\n"


@pytest.mark.skipif(os.name == "nt", reason="a worker there ends when it has nothing more to do")
def test_workers_end_with_a_kernel_that_is_killed(tmp_path):
    code = f"""
import os, pathlib, time
import lpws

def slow(number):
    pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)

lpws.sweep(slow, {{"number": range(4)}})
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as script:
        try:
            until(lambda: list(tmp_path.iterdir()))
        finally:
            script.kill()
    until(lambda: not any(lives(path.name) for path in tmp_path.iterdir()))


def lives(pid):
    """True if a process computes; one that has ended may wait to be asked how."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, encoding="utf-8").stdout
    return bool(said.strip()) and not said.startswith("Z")


# ---------------------------------------------------------------------------- other executors


def test_the_bar_counts_points(monkeypatch, threads, capfd):
    monkeypatch.setattr(grid, "BAR_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("LPWS_PROGRESS", "1")
    go = threading.Event()
    timer = threading.Timer(0.2, go.set)
    timer.start()
    lpws.sweep(lambda number: go.wait(LIMIT_S), {"number": range(3)}, executor=threads)
    timer.join(LIMIT_S)
    assert "of 3 points" in capfd.readouterr().err


def test_a_cluster_of_dask():
    distributed = pytest.importorskip("distributed", reason="run.py test installs the extra cluster")
    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    cell = {"__name__": "__main__"}
    exec(SCRIPT.partition("found =")[0], cell)
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster, timeout=LIMIT_S) as client,
        client.get_executor() as executor,
    ):
        found = lpws.sweep(cell["times"], {"a": [1, 2], "b": [3, 4]}, executor=executor)
        with pytest.raises(ZeroDivisionError) as error:
            lpws.sweep(inverse, {"a": [1, 0]}, executor=executor)
    assert [value for value, _ in found] == [40, 50, 50, 60]
    assert os.getpid() not in {pid for _, pid in found}
    assert error.value.__notes__ == ["sweep: no result for a=0"]
