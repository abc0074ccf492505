"""A loop in a thread: what goes wrong is raised where somebody waits, and nowhere else."""

import contextlib
import logging
import sys
import threading

import pytest

import lpws
from lpws.loopthread import LoopThread


@contextlib.asynccontextmanager
async def fails_on_leaving():
    yield 7
    raise ValueError("no tea")


def test_an_error_on_leaving_is_raised_by_stop(nothing_left, capfd):
    thread = LoopThread("a test")
    assert thread.start(fails_on_leaving()) == 7
    with pytest.raises(ValueError, match="no tea"):
        thread.stop()
    thread.stop()  # harmless, and it is not raised again
    assert capfd.readouterr() == ("", "")


def test_a_server_whose_stop_is_interrupted_can_be_stopped(monkeypatch, nothing_left):
    server = lpws.Server().start()
    join = threading.Thread.join

    def interrupted(self, timeout=None):
        monkeypatch.setattr(threading.Thread, "join", join)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.stop()
    server.stop()
    assert repr(server) == "<Server, stopped>"


@pytest.mark.parametrize("line", range(12))
def test_a_server_whose_start_is_interrupted_is_whole(line, nothing_left):
    """An interrupt at each line of `start`: afterwards it can be started, and stopped."""

    server = lpws.Server()
    lines = 0

    def trace(frame, event, _arg):
        if frame.f_code is not lpws.Server.start.__code__:
            return None

        def local(_frame, event, _arg):
            nonlocal lines
            if event == "line":
                lines += 1
                if lines == line + 1:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return local

        return local

    sys.settrace(trace)
    try:
        server.start()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    with server:
        assert server.publish("tea is ready") == 1
    assert repr(server) == "<Server, stopped>"


def test_a_log_is_kept_whatever_others_want_to_hear_of_tornado():
    """Dask, once imported, lets Tornado say only what is critical."""
    general, tornado = logging.getLogger("tornado.general"), logging.getLogger("tornado")
    before = general.level, tornado.level
    try:
        general.setLevel(logging.NOTSET)
        tornado.setLevel(logging.CRITICAL)
        with lpws.Server() as server:
            server.thread.call(general.error, "no tea")
            assert list(server.log) == ["no tea"]
    finally:
        general.setLevel(before[0])
        tornado.setLevel(before[1])
