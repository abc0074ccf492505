"""A namespace is a world of its own, and where there is none, a test says so."""

import os
import socket

import pytest
from namespaces import Namespace, need


def test_what_listens_in_one_is_not_there_in_another(nothing_left):
    need("ip")
    with (
        Namespace() as one,
        Namespace() as other,
        one.call(socket.create_server, ("127.0.0.1", 0)) as listener,
    ):
        address = listener.getsockname()
        one.call(socket.create_connection, address).close()
        with pytest.raises(ConnectionRefusedError):
            other.call(socket.create_connection, address)


def test_it_goes_with_its_last_user(nothing_left):
    """The thread's namespace has another number than ours, and ours is as before."""
    need("ip")
    ours = os.readlink("/proc/thread-self/ns/net")
    with Namespace() as namespace:
        assert namespace.call(os.readlink, "/proc/thread-self/ns/net") != ours
    assert os.readlink("/proc/thread-self/ns/net") == ours


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there is no root here, nor a namespace")
@pytest.mark.parametrize(
    ("user", "path", "reason"), [(1000, os.environ["PATH"], "only root"), (0, "/nowhere", "not there: ip")]
)
@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_where_there_is_none_the_reason_is_said(monkeypatch, user, path, reason, ci, outcome):
    """A skip for a reader, a failure where all must be had."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("CI", ci)
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match=reason) as caught:
        need("ip")
    assert caught.type is outcome
