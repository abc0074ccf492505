"""What all tests share."""

import os
import random
import re
import zlib

import nursery
import pytest
from leaks import nothing_left_behind

#: The folder of the tests that drive a browser.
BROWSER = "tests/browser/"
LESSONS = "tests/test_lessons.py"
THROUGH = "tests/test_through.py"
#: What takes longest begins first, so that no worker is left alone with it at the end.
FIRST = (BROWSER, "tests/test_environments.py")
#: Those that are about the processes of the laboratory, or measure them from outside: they start new ones.
ABOUT_PROCESSES = {"test_faults.py", "test_checking.py", "truth"}


def pytest_configure():
    """A seed for what happens at random moments, for all processes of the tests; `LPWS_SEED` repeats one."""
    os.environ.setdefault("LPWS_SEED", str(random.randrange(1_000_000)))


def pytest_report_header():
    moments = os.environ.get("LPWS_MOMENTS", 5)
    return f"random moments: LPWS_SEED={os.environ['LPWS_SEED']} LPWS_MOMENTS={moments}"


@pytest.hookimpl(tryfirst=True)  # before pytest puts together what shares an expensive fixture
def pytest_collection_modifyitems(items):
    """Within a file in an order drawn from the seed, if that is asked for, as `run.py soak` does."""
    if os.environ.get("LPWS_SHUFFLE"):
        random.Random(os.environ["LPWS_SEED"]).shuffle(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file at a time, as with ``--dist loadfile``, but all of the browser together, and lessons one by one.

    They wait most of the time: for pages and kernels, for what a lesson lets happen. Two workers that drive a
    browser at once would leave the processors idle, and so would one that has all lessons to the end. What
    goes through a proxy waits even more, and beside a browser it is late: it comes last, a test at a time.
    """
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            if nodeid.startswith(BROWSER):
                return BROWSER
            file, _, test = nodeid.partition("::")
            if file == THROUGH:
                return nodeid.partition("[")[0]
            lesson = re.search(r"\[((?:\d\d|[A-Z])_\w+)", test)
            return f"{file} {lesson[1]}" if file == LESSONS and lesson else file

        def _assign_work_unit(self, node):
            for scope in reversed(FIRST):
                if scope in self.workqueue:
                    self.workqueue.move_to_end(scope, last=False)
            for scope in [scope for scope in self.workqueue if scope.startswith(THROUGH)]:
                self.workqueue.move_to_end(scope)
            super()._assign_work_unit(node)

    return Files(config, log)


@pytest.fixture(scope="session")
def forks():
    """What forks them."""
    with nursery.Nursery() as forks:
        yield forks


@pytest.fixture(scope="module", autouse=True)
def _forked(request):
    """Processes of clients and of readers' programs begin at once (`nursery`), but for the soak's."""
    new = not nursery.POSSIBLE or os.environ.get("LPWS_SHUFFLE")
    if new or ABOUT_PROCESSES & {*request.path.parts}:
        yield
        return
    module = request.getfixturevalue("forks").module()
    with pytest.MonkeyPatch.context() as patch:
        for home in ("lpws.fleet.process", "lpws.exercises.program"):
            patch.setattr(f"{home}.subprocess", module)
        yield


@pytest.fixture(scope="session", autouse=True)
def _draws():
    """In the soak, a program is drawn other names and times than in the tests, with each seed others."""
    if not os.environ.get("LPWS_SHUFFLE"):
        yield
        return
    from lpws.exercises import task

    seed, seed_of = os.environ["LPWS_SEED"].encode(), task.seed_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "seed_of", lambda data: zlib.crc32(seed, seed_of(data)))
        yield


@pytest.fixture
def nothing_left():
    """`nothing_left_behind` around a whole test."""
    with nothing_left_behind():
        yield
