"""Whatever a reader hands in: a true verdict within seconds, and nothing that stays behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cells import assert_caught, assert_harmless, edited, is_right, made, verdict
from leaks import nothing_left_behind
from test_n03 import HELD

from lpws.exercises import check, child, clock, program, task

GET = 'cursor = int(self.get_query_argument("cursor"))\n'


def doing(what, before=""):
    """A good handler that does something else first whenever it is asked."""
    return made(before + edited(HELD, (GET, f"{what}\n        {GET}")), "Held")


HOSTILE = {
    "an endless loop": (doing("while True: pass"), "did not come back within 2 s"),
    "a long sleep": (doing("time.sleep(60)", "import time"), "let the whole server stand still for 60 s"),
    "endless sleeps": (doing("while True: time.sleep(60)", "import time"), "did not come back"),
    "os._exit": (doing("import os; os._exit(0)"), "ended its own process"),
    "sys.exit": (doing("import sys; sys.exit()"), "ended its own process"),
    "a signal": (doing("import os; os.kill(os.getpid(), 9)"), "ended its own process"),
    "a gigabyte": (doing("b'x' * 10**9"), "raised MemoryError"),
    "a loop that is stopped": (
        doing("import asyncio; asyncio.get_running_loop().stop()"), "ended its own process",
    ),
    "a coroutine that is never awaited": (
        made(edited(HELD, ("await asyncio.wait_for(self.woken.wait(), hold_s)", "self.woken.wait()")),
             "Held"),
        "was never awaited",
    ),
    "an error at the start": (
        made(edited(HELD, ("self.room = room", "raise ValueError('no room')")), "Held"),
        "raised ValueError: no room in line 7 of the cell",
    ),
    "no connection": (doing("self.request.connection.stream.close()"), " – think about "),
}  # fmt: skip
HARMLESS = {
    "ten megabytes": doing("print('x' * 10_000_000)"),
    "a fake verdict": doing("print('✓ everything is right')"),
    "a thread that does not end": doing(
        "threading.Thread(target=threading.Event().wait).start()", "import threading"
    ),
    "a thread that never rests": doing(
        "threads or threads.append(threading.Thread(target=spin)) or threads[0].start()",
        "import threading\nthreads = []\ndef spin():\n    while True: pass\n",
    ),
    "a process that does not end": doing(
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])", "import subprocess, sys"
    ),
    "other names": doing(
        "import builtins, json, pickle, os\n"
        "        builtins.print = json.dumps = pickle.dumps = pickle.loads = os._exit = None"
    ),
    "an error in its own log": doing("import logging; logging.error('nobody has news')"),
    "a closed output": doing("import sys, os; sys.stdout.close() if not sys.stdout.closed else 0"),
    "names of the kernel": doing("list(); str(3)", "list = print = json = dict\n"),
}


@pytest.mark.parametrize(("handler", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_program_gets_a_verdict_and_leaves_nothing(handler, hint, capsys):
    assert_caught("03.hold", handler, hint, made(HELD, "Held"), capsys)


@pytest.mark.parametrize("handler", HARMLESS.values(), ids=HARMLESS)
def test_what_a_program_does_besides_does_no_harm(handler, capsys, monkeypatch):
    # A thread that computes makes all of it slow.
    monkeypatch.setitem(program.Program.tell.__kwdefaults__, "within_s", 10.0)
    assert_harmless("03.hold", handler, made(HELD, "Held"), capsys)


def test_what_is_printed_stands_below_the_verdict(capsys):
    lines = verdict("03.hold", doing("print('✓ everything is right')"), capsys)
    head, printed = lines[: lines.index("")], lines[lines.index("") :]
    assert "✓ everything is right" not in head
    assert printed[1] == "Your program printed:"
    assert printed[2] == "✓ everything is right"


def test_it_prints_before_it_dies(capsys):
    lines = verdict("03.hold", doing("import os; print('so far'); os._exit(0)"), capsys)
    assert lines[-2:] == ["Your program printed:", "so far"]


def test_what_cannot_be_sent_is_named(capsys):
    source = "import threading\nkey = threading.Lock()\n" + edited(HELD, (GET, "key.locked(); " + GET))
    [line] = verdict("03.hold", made(source, "Held"), capsys)
    assert line.startswith("✗ cannot be run by itself: `key`, which it uses, cannot leave the notebook")


def test_an_attribute_that_cannot_be_sent_is_named(capsys):
    source = "import threading\n" + edited(
        HELD, ("    def initialize", "    key = threading.Lock()\n    def initialize")
    )
    [line] = verdict("03.hold", made(source, "Held"), capsys)
    assert line.startswith("✗ cannot be run by itself: `key`, which it uses, cannot leave the notebook")


def test_what_carries_too_much_is_said(capsys):
    [line] = verdict("03.hold", doing("len(much)", "much = b'x' * 60_000_000\n"), capsys)
    assert line.startswith("✗ uses 60 MB of the notebook's values")


def test_files_beside_the_notebook_do_not_take_the_library_s_place(tmp_path, monkeypatch, capsys):
    for name in ("random", "socket", "tornado"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not me')", encoding="utf-8")
    (tmp_path / "helpers_of_mine.py").write_text("number = 1", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    assert is_right(verdict("03.hold", doing("import helpers_of_mine"), capsys))


def test_a_running_loop_is_left_alone(capsys):
    async def cell():
        before = asyncio.all_tasks()
        check("03.hold", made(HELD, "Held"))
        assert asyncio.all_tasks() == before

    with nothing_left_behind():
        asyncio.run(cell())
    assert is_right(capsys.readouterr().out.splitlines())


def test_an_interrupt_ends_the_process_too(monkeypatch):
    monkeypatch.setattr(program, "PATIENCE_S", 30)
    begun = threading.Event()
    tell = program.Program.tell

    def told(self, *order, **options):
        begun.set()
        return tell(self, *order, **options, within_s=30)

    monkeypatch.setattr(program.Program, "tell", told)

    def interrupt():
        begun.wait()
        time.sleep(0.3)  # anywhere in it will do
        os.kill(os.getpid(), signal.SIGINT)

    with nothing_left_behind():
        helper = threading.Thread(target=interrupt)
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            check("03.hold", doing("while True: pass"))
        helper.join()


def test_a_verdict_takes_less_than_three_seconds(capsys):
    def takes_s():
        start_s = time.monotonic()
        assert is_right(verdict("03.hold", made(HELD, "Held"), capsys))
        return time.monotonic() - start_s

    assert min(takes_s() for _ in range(3)) < 3  # the other two are for a busy machine


def test_a_thread_of_a_pool_that_has_not_begun_what_it_was_given_is_no_rest():
    """However late the machine lets it begin."""

    def rests():
        [thread] = pool._threads
        return thread.ident in clock._without_work(sys._current_frames())

    interval = sys.getswitchinterval()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        end = time.monotonic() + 10
        while not (rested := rests()) and time.monotonic() < end:
            time.sleep(0.001)
        sys.setswitchinterval(100)  # from here on no thread but this one has its turn
        try:
            pool.submit(int)
            begun = not rests()
        finally:
            sys.setswitchinterval(interval)
    assert rested
    assert begun


def test_a_program_has_so_long_for_all_of_it(monkeypatch, capsys):
    monkeypatch.setattr(program, "LIFE_S", 0.0)
    with nothing_left_behind():
        lines = verdict("03.hold", made(HELD, "Held"), capsys)
    assert lines == [f"✗ {program.SLOW}"]
    assert program.SLOW.startswith("had not come through all of it after 50 s")
    assert program.PATIENCE_S + 50 < child._LIFE_S


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_rest_of_a_long_output_is_not_carried(name, monkeypatch, capsys):
    """So that how long it takes is none of the machine's business."""
    carried = []

    def drain(self):
        with self._process.stdout as output:
            carried.append(output.read())
        self.printed = carried[-1].decode()[:2500]

    monkeypatch.setattr(program.Program, "_drain", drain)
    thing = doing(f"import sys; print('ä' * 10_000_000, file=sys.{name})")
    lines = verdict("03.hold", thing, capsys)
    assert is_right(lines[: lines.index("")])
    assert "äää" in lines[-2]
    assert 2000 < len(carried[0]) <= 100_000


def test_the_same_program_gets_the_same_verdict(monkeypatch, capsys):
    """Also if its cell is run again, which makes another class; another program is drawn something else."""
    source, drawn, seed_of = edited(HELD, ("messages[cursor:])", "messages)")), [], task.seed_of
    monkeypatch.setattr(task, "seed_of", lambda data: drawn.append(seed_of(data)) or drawn[-1])
    first, second = (verdict("03.hold", made(source, "Held"), capsys) for _ in range(2))
    assert first == second
    verdict("03.hold", made(HELD, "Held"), capsys)
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_unknown_task_is_an_error():
    for name in ("03.holt", "77.hold"):
        with pytest.raises(ValueError, match=f"got '{name}'"):
            check(name, 3)


def test_checking_costs_the_kernel_little():
    code = "import sys, lpws; lpws.check('03.timer', 0); print({'pandas', 'tornado'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines() == ["✓ that is right", "set()"]
