"""What all tests share."""

import os
import random

import pytest
from leaks import nothing_left_behind


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


@pytest.fixture
def nothing_left():
    """`nothing_left_behind` around a whole test."""
    with nothing_left_behind():
        yield
