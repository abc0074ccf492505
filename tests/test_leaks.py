"""What is left behind is noticed, and what is only garbage is not."""

import gc
import socket

import pytest
from leaks import nothing_left_behind


class Thing:
    """Something that can refer to itself."""

    def __init__(self):
        self.me = self


def test_what_stays_is_noticed():
    with pytest.raises(AssertionError, match="socket"), nothing_left_behind():
        kept = socket.socket()
    kept.close()


@pytest.mark.parametrize("old", [False, True], ids=["new", "from before"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_garbage_is_collected_first(old):
    thing = Thing() if old else None
    with nothing_left_behind():
        thing = thing or Thing()
        thing.socket = socket.socket()
        del thing
    assert gc.get_freeze_count() == 0
