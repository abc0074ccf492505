"""What all tests share."""

import pytest
from leaks import nothing_left_behind


@pytest.fixture
def nothing_left():
    """`nothing_left_behind` around a whole test."""
    with nothing_left_behind():
        yield
