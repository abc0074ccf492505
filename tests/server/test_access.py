"""Strangers: whom the server refuses, on every path, and whom it serves."""

import pytest
from wire import FRIEND, HANDSHAKE, PATHS, POLL, SOCKET, ask, names, say

from lpws.server.server import Server

STRANGERS = [
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}"},
    {"Host": "127.0.0.1"},
    {"Host": "localhost"},
    {"Host": "127.0.0.1:1"},
    {"Host": "127.0.0.2:{port}"},
    {"Host": "localhost.evil.example:{port}"},
    {"Host": "[::1]:{port}"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:{port}/"},
    {"Origin": "http://127.0.0.1:{port}, http://evil.example"},
    {"Origin": "http://localhost:8889"},
    {"Origin": "https://localhost:8888"},
    {"Origin": "http://localhost:8888.evil.example"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    # An image, a script or a frame of a foreign page sends no Origin.
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=repr)
def test_strangers_are_refused_on_every_path(lab, stranger):
    stranger = {name: value.format(port=lab.port) for name, value in stranger.items()}
    lab._thread.call(int)  # an answer is sent before it is recorded: that of the test before this one
    before = len(names(lab))
    for path in [*PATHS, "/plain", "/", "/nowhere", f"{POLL}?cursor=x"]:
        for method in ("GET", "POST", "OPTIONS"):
            assert ask(lab, path, method, **stranger)[0] == 403
        assert ask(lab, path, **HANDSHAKE | stranger)[0] == 403
    assert ask(lab, POLL, **stranger)[1] == (
        "403 Unknown Host\n"
        if "Host" in stranger
        else "403 Foreign Origin\n"
        if "Origin" in stranger
        else "403 Foreign Page\n"
    )
    assert len(names(lab)) == before, "a stranger is no request of the run"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:{port}", "http://localhost:{port}", FRIEND])
def test_own_pages_and_the_given_origin_are_served(lab, host, origin):
    known = {"Host": f"{host}:{lab.port}", "Origin": origin and origin.format(port=lab.port)}
    assert ask(lab, POLL, **known)[0] == 204
    assert ask(lab, "/plain", **known) == (200, "plain")
    assert ask(lab, SOCKET, **HANDSHAKE | known)[0] == 101


@pytest.mark.parametrize(
    "friend",
    [
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # typed in
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },  # a link
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": FRIEND},
    ],
    ids=repr,
)
def test_whoever_comes_from_the_servers_own_pages_or_by_a_link_is_served(lab, friend):
    assert ask(lab, POLL, **friend)[0] == 204


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("kind", ["iframe", "object"])
def test_whoever_knows_the_token_may_put_a_page_into_a_frame(nothing_left, site, kind):
    with Server(token=True) as server:
        frame = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": kind}
        assert ask(server, server.prefix + POLL, **frame)[0] == 204
        assert ask(server, POLL, **frame)[0] == 403
        image = frame | {"Sec-Fetch-Mode": "no-cors"}
        assert ask(server, server.prefix + POLL, **image)[0] == 403, "but nothing else"


def test_without_an_origin_given_there_is_none(nothing_left):
    with Server() as server:
        assert ask(server, POLL, Origin=FRIEND)[0] == 403
        assert ask(server, POLL, Origin=server.url)[0] == 204


@pytest.mark.parametrize(
    "origin", ["localhost:8888", "ftp://localhost", "http://", "http://localhost:8888/", "*", 1]
)
def test_an_origin_that_no_browser_sends_is_refused(origin):
    with pytest.raises(ValueError, match="expected an origin like 'http://localhost:8888', got "):
        Server(origin=origin)


def test_a_request_names_its_host_once(lab):
    assert ask(lab, POLL, Host=None)[0] == 400
    assert ask(lab, POLL, Host="")[0] in (400, 403)
    assert say(lab, f"GET {POLL} HTTP/1.1\r\nHost: {lab.host}\r\nHost: {lab.host}\r\n\r\n".encode()) == 400
    assert say(lab, f"GET {POLL} HTTP/1.0\r\n\r\n".encode()) == 403
