"""Where the browser is not where the kernel is: the address that it needs, the way there, who is let in."""

import asyncio
import http.client
import json
import select
import time

import picows
import pytest
from browser.jupyter import jupyterlab

import lpws
from lpws import address

BASE_URL = "/user/ada/"  # as a hub would have it
LIMIT_S = 20.0


@pytest.fixture
def server():
    with lpws.Server(token=True) as server:
        yield server
        assert not server.log


# ------------------------------------------------------------------------------- which address


@pytest.fixture
def jupyter(monkeypatch, tmp_path):
    """Puts the kernel below a Jupyter server that says this of itself."""
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)

    def below(**said):
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", "4711")
        (tmp_path / "jpserver-4711.json").write_text(json.dumps(said), encoding="utf-8")

    return below


def direct(server):
    return f"{server.url}/page"


def through(server, base_url):
    return f"{base_url}proxy/{server.port}{server.prefix}/page"


def test_without_jupyter_it_is_the_servers_own(server, jupyter, monkeypatch, capsys):
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert lpws.page_url(server, "/page") == direct(server)
    monkeypatch.setenv("SSH_CONNECTION", "a script that was started over SSH")
    assert lpws.page_url(server, "/page") == direct(server)
    assert server.room.proxied is False
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
def test_on_the_readers_own_machine_it_is_the_servers_own(server, jupyter, hostname):
    jupyter(hostname=hostname, base_url="/lab/")
    assert lpws.page_url(server, "/page") == direct(server)
    assert lpws.page_url(server, "/page", proxied=True) == through(server, "/lab/")


@pytest.mark.parametrize("hostname", ["0.0.0.0", "lab.example"])
def test_a_jupyter_that_serves_other_machines_hands_on(server, jupyter, hostname, capsys):
    jupyter(hostname=hostname, base_url="/lab/")
    assert lpws.page_url(server, "/page") == through(server, "/lab/")
    assert server.room.proxied is True
    assert capsys.readouterr().out == ""
    assert lpws.page_url(server, "/page", proxied=False) == direct(server)


def test_a_jupyter_that_was_started_over_ssh_hands_on(server, jupyter, monkeypatch):
    jupyter(hostname="localhost", base_url="/")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    assert lpws.page_url(server, "/page") == through(server, "/")


def test_a_hub_hands_on(server, jupyter, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    assert lpws.page_url(server, "/page") == through(server, BASE_URL)


def test_that_the_proxy_is_missing_is_said_in_a_sentence(server, jupyter, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    monkeypatch.setattr(address, "find_spec", lambda _name: None)
    assert lpws.page_url(server, "/page") == direct(server)
    assert server.room.proxied is False
    said = capsys.readouterr().out
    assert "install jupyter-server-proxy" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_jupyter_left_half_written_is_no_jupyter(server, jupyter, tmp_path, text):
    jupyter(hostname="0.0.0.0")
    (tmp_path / "jpserver-4711.json").write_text(text, encoding="utf-8")
    assert lpws.page_url(server, "/page") == direct(server)


def test_a_server_without_a_token_is_not_opened():
    with lpws.Server() as server:
        with pytest.raises(ValueError, match=r"Server\(token=True\)"):
            lpws.page_url(server)
        assert server.room.proxied is False


def test_a_server_that_does_not_run_has_no_address(server):
    server.stop()
    for proxied in (True, False):
        with pytest.raises(RuntimeError, match="expected a running server"):
            lpws.page_url(server, proxied=proxied)


# ------------------------------------------------------------------------------- who is let in


def ask(host, path, **headers):
    """Status and body of an answer; no header but these."""
    line = http.client.HTTPConnection(host, timeout=LIMIT_S)
    try:
        line.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        return answer.status, answer.read().decode()
    finally:
        line.close()


@pytest.mark.parametrize(
    ("headers", "own", "proxied"),
    [
        ({}, 200, 200),
        ({"Origin": "http://HOST"}, 200, 200),
        ({"Host": "hub.example"}, "Unknown Host", 200),
        ({"Host": "hub.example", "Origin": "https://hub.example"}, "Unknown Host", 200),
        ({"Host": "hub.example:8000", "Origin": "http://hub.example:8000"}, "Unknown Host", 200),
        ({"Host": "hub.example:8000", "Origin": "http://hub.example"}, "Unknown Host", "Foreign Origin"),
        ({"Host": "hub.example", "Origin": "https://evil.example"}, "Unknown Host", "Foreign Origin"),
        ({"Host": "hub.example", "Origin": "https://evil.example/hub.example"}, "Unknown Host",
         "Foreign Origin"),
        ({"Host": "hub.example", "Origin": "null"}, "Unknown Host", "Foreign Origin"),
        ({"Host": "hub.example", "Origin": ""}, "Unknown Host", "Foreign Origin"),
        ({"Origin": "https://evil.example"}, "Foreign Origin", "Foreign Origin"),
    ],
)  # fmt: skip
def test_only_pages_of_the_readers_own_host_are_let_in(server, headers, own, proxied):
    headers = {name: value.replace("HOST", server.host) for name, value in headers.items()}

    def answer(prefix):
        status, body = ask(server.host, f"{prefix}/reload", **headers)
        return body.removeprefix("403 ").strip() if status == 403 else 200

    server.publish("news")
    assert answer(server.prefix) == own
    lpws.page_url(server, proxied=True)
    assert answer(server.prefix) == proxied
    # A name that was made to point here has Host and Origin of its own, and no token.
    for guess in ("", "/", "/guess", server.prefix[:-1]):
        assert answer(guess) != 200


# --------------------------------------------------------------------------------- the way there


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with jupyterlab(tmp_path_factory.mktemp("lab"), BASE_URL) as url:
        yield url.split("/")[2]  # its host


@pytest.fixture
def url(server, lab, monkeypatch):
    """The address of the server as a page of JupyterLab has it."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    url = lpws.page_url(server, "")
    assert url.startswith(f"{BASE_URL}proxy/{server.port}/")
    return url


def until(condition):
    """Waits until it is so."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def begin(lab, path, **headers):
    """A connection on which a request has been sent."""
    line = http.client.HTTPConnection(lab, timeout=LIMIT_S)
    line.request("GET", path, headers=headers)
    return line


def test_a_request(server, lab, url):
    server.publish("news")
    assert ask(lab, f"{url}/reload?cursor=0", Origin=f"http://{lab}") == (200, "1 news\n")


def test_each_request_comes_on_a_connection_of_its_own(server, lab, url):
    line = http.client.HTTPConnection(lab, timeout=LIMIT_S)
    for _ in range(3):
        line.request("GET", f"{url}/reload")
        assert line.getresponse().read() == b""
    line.close()
    assert len({event[4] for event in server.trace if event[1] == "request_received"}) == 3


def test_a_held_request(server, lab, url):
    line = begin(lab, f"{url}/longpolling?hold=20&cursor=0")
    until(lambda: server.room.waiting)
    server.publish("news")
    assert line.getresponse().read() == b"1 news\n"
    line.close()


def test_an_event_stream_comes_piece_by_piece_to_whom_asks_for_one(server, lab, url):
    streams = {
        accept: begin(lab, f"{url}/sse?cursor=0", Accept=accept)
        for accept in ("*/*", "text/event-stream")
    }
    until(lambda: len(server.room.streams) == 2)
    answer = streams["text/event-stream"].getresponse()
    for text in ("one", "two"):
        server.publish(text)
        while (line := answer.readline()) != f"data: {text}\n".encode():
            assert line
    # The other one has been sent as much, and has not even heard that it is answered.
    assert not select.select([streams["*/*"].sock], [], [], 0)[0]
    server.thread.call(server.room.close)
    assert streams["*/*"].getresponse().read().count(b"data: ") == 2
    for line in streams.values():
        line.close()


class Frames(picows.WSListener):
    """The texts that came, and the code of the close at last."""

    def __init__(self):
        self.came = asyncio.Queue()

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.came.put_nowait(frame.get_payload_as_utf8_text())
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            self.came.put_nowait(frame.get_close_code())


def test_a_websocket(server, lab, url):
    async def talk():
        line, frames = await picows.ws_connect(
            Frames, f"ws://{lab}{url}/websocket?cursor=0", extra_headers={"Origin": f"http://{lab}"}
        )
        line.send(picows.WSMsgType.TEXT, b"from the page")
        assert await frames.came.get() == "1 from the page\n"
        server.publish("from the kernel")
        assert await frames.came.get() == "2 from the kernel\n"
        server.thread.call(server.room.close)
        closed = await frames.came.get()
        await line.wait_disconnected()
        return closed

    # The end comes through; that the server said 1001 (going away) does not.
    assert asyncio.run(asyncio.wait_for(talk(), LIMIT_S)) == picows.WSCloseCode.NO_INFO


def test_a_foreign_page_does_not_get_through(server, lab, url):
    server.publish("secret")
    assert ask(lab, f"{url}/reload?cursor=0", Origin="http://evil.example") == (403, "403 Foreign Origin\n")
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",  # RFC 6455 §1.3
        "Sec-WebSocket-Version": "13",
    }
    assert ask(lab, f"{url}/websocket", **handshake, Origin="http://evil.example")[0] == 403
    assert ask(lab, url.replace(server.prefix, "/guess") + "/reload") == (403, "403 Wrong Token\n")
    assert not [event for event in server.trace if event[1] == "message_sent"]
