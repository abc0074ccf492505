"""What the tests of the server share: a new server for each test, and one that no mistake may harm."""

import pytest
from wire import FRIEND, POLL, Bug, BugInSocket, Plain, ask

from lpws.server.server import Server


@pytest.fixture(autouse=True)
def _prints_nothing(request, caplog):
    # capfd opens files, and anew in each phase of a test, which `nothing_left` would notice.
    captured = request.getfixturevalue("capsys" if "nothing_left" in request.fixturenames else "capfd")
    yield
    assert captured.readouterr() == ("", "")
    assert not caplog.get_records("call"), "these would be printed where there is no pytest"


@pytest.fixture
def server(nothing_left):
    with Server(
        origin=FRIEND, handlers={"/plain": Plain, "/bug": Bug, "/bug-in-socket": BugInSocket}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def lab():
    """A server that many mistakes in a row must not harm."""
    with Server(origin=FRIEND, handlers={"/plain": Plain}) as server:
        yield server
        assert ask(server, POLL)[0] == 204
        assert not server.log
