"""Where the browser is not where the kernel is: the address that it needs, the way there, who is let in."""

import asyncio
import contextlib
import http.client
import json
import re
import select
import socket
from pathlib import Path

import picows
import pytest
import tornado.httpclient
import tornado.httpserver
import tornado.netutil
import tornado.web
from browser.jupyter import jupyterlab
from wire import HANDSHAKE, until

import lpws
import lpws.jupyter
from lpws.loopthread import LoopThread

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
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "SSH_CONNECTION", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)

    def below(number=4711, **said):
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", "4711")
        (tmp_path / f"jpserver-{number}.json").write_text(json.dumps(said), encoding="utf-8")

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
    monkeypatch.setattr(lpws.jupyter, "find_spec", lambda _name: None)
    assert lpws.page_url(server, "/page") == direct(server)
    assert server.room.proxied is False
    said = capsys.readouterr().out
    assert "install jupyter-server-proxy" in said
    assert said.count("\n") == 1


class Jupyter(tornado.web.RequestHandler):
    """What a Jupyter server says to those who know its token: of its kernels and, maybe, by its proxy."""

    def initialize(self, proxy, kernel):
        self.proxy, self.kernel = proxy, kernel

    async def get(self, path):
        assert self.request.headers["Authorization"] == "token secret"
        if path == f"lab/api/kernels/{self.kernel}":
            return
        proxied = re.fullmatch(r"lab/proxy/(\d+)/", path)
        if not self.proxy or not proxied:
            raise tornado.web.HTTPError(404)
        url = f"http://127.0.0.1:{proxied[1]}/"
        answer = await tornado.httpclient.AsyncHTTPClient().fetch(url, raise_error=False)
        self.set_status(answer.code)
        self.write(answer.body)


@contextlib.contextmanager
def jupyter_server(proxy=True, kernel="", address="127.0.0.1"):
    """One that runs: its port."""

    @contextlib.asynccontextmanager
    async def serving():
        application = tornado.web.Application([("/(.*)", Jupyter, {"proxy": proxy, "kernel": kernel})])
        application.settings["log_function"] = lambda _handler: None
        [listener] = tornado.netutil.bind_sockets(0, address, socket.AF_INET)
        server = tornado.httpserver.HTTPServer(application)
        server.add_sockets([listener])
        yield listener.getsockname()[1]
        server.stop()
        await server.close_all_connections()

    thread = LoopThread("a Jupyter server")
    yield thread.start(serving())
    thread.stop()


@pytest.mark.parametrize("proxy", [True, False])
def test_jupyter_is_asked_whether_it_hands_on(server, jupyter, capsys, proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which is not asked
    with jupyter_server(proxy) as port:
        jupyter(hostname="0.0.0.0", base_url="/lab/", port=port, token="secret")
        expected = through(server, "/lab/") if proxy else direct(server)
        assert lpws.page_url(server, "/page") == expected
    said = capsys.readouterr().out
    assert ("install jupyter-server-proxy where JupyterLab is installed" in said) is not proxy
    assert server.room.proxied is proxy


def test_a_jupyter_that_cannot_be_asked_is_believed_to_hand_on(server, jupyter, monkeypatch):
    monkeypatch.setattr(lpws.jupyter, "_ASK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        jupyter(hostname="0.0.0.0", base_url="/", port=mute.getsockname()[1])
        assert lpws.page_url(server, "/page") == through(server, "/")


def test_a_jupyter_for_all_addresses_says_localhost_and_hands_on(server, jupyter):
    """As with ``--ip='*'``: it is reached by the address of the machine, so browsers elsewhere reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback")
    for where, expected in (("0.0.0.0", through(server, "/lab/")), ("127.0.0.1", direct(server))):
        with jupyter_server(address=where) as port:
            jupyter(hostname="localhost", base_url="/lab/", port=port, token="secret")
            assert lpws.page_url(server, "/page") == expected


def test_a_jupyter_is_found_by_its_kernel_where_the_parent_is_only_a_handle(server, jupyter, monkeypatch):
    """As on Windows; of two servers only one knows the kernel."""
    monkeypatch.setattr(lpws.jupyter, "kernel_id", lambda: "k-2")
    with jupyter_server(kernel="k-1") as other, jupyter_server(kernel="k-2") as ours:
        jupyter(hostname="0.0.0.0", base_url="/lab/", port=other, token="secret")
        jupyter(2, hostname="0.0.0.0", base_url="/lab/", port=ours, token="secret")
        monkeypatch.setenv("JPY_PARENT_PID", "1876")
        assert lpws.page_url(server, "/page") == direct(server)  # a script: no kernel of anybody
        monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/x.ipynb")
        assert lpws.jupyter.record()["port"] == ours
        assert lpws.page_url(server, "/page") == through(server, "/lab/")


def test_a_kernel_knows_its_own_name(tmp_path):
    """In a real one, which a Jupyter server knows under the name of its connection file."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    try:
        said = []
        client.execute_interactive(
            "from lpws import jupyter; print(jupyter.kernel_id())", timeout=60, store_history=False,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )  # fmt: skip
        assert "".join(said).strip() == Path(manager.connection_file).stem.removeprefix("kernel-")
        assert lpws.jupyter.kernel_id() == ""
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


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


# ------------------------------------------------------------------------ what a notebook shows


def test_a_live_page_has_a_title_and_something_instead(server):
    page = lpws.live_page(
        server, "/page?a=1&b=2", title='The "stream"', instead="A <stream> was here.", height=99
    )
    bundle = page._repr_mimebundle_()
    html = bundle["text/html"]
    assert page.url == f"{server.url}/page?a=1&b=2"
    assert f'data="{server.url}/page?a=1&amp;b=2" title="The &quot;stream&quot;"' in html
    assert "height:99px" in html
    assert html.index("<object") < html.index("A &lt;stream&gt; was here.") < html.index("</object>")
    assert (
        f'href="{server.url}/page?a=1&amp;b=2" target="_blank" rel="noopener"'
        in html.partition("</object>")[2]
    )
    assert bundle["text/plain"] == "A <stream> was here."


def test_a_live_page_behind_a_hub_is_where_the_browser_finds_it(server, jupyter, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    page = lpws.live_page(server, "/page", title="t", instead="i")
    assert f'data="{through(server, BASE_URL)}"' in page._repr_mimebundle_()["text/html"]


def test_a_live_page_that_must_not_go_through_jupyter_does_not(server, jupyter, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    page = lpws.live_page(server, "/page", title="The stream", instead="A stream.", proxied=False)
    assert page.url == direct(server)
    assert server.room.proxied is False


def test_nobody_watches_and_no_address_is_kept(server, monkeypatch):
    monkeypatch.setenv("LPWS_PROGRESS", "0")
    bundle = lpws.live_page(server, "/page", title="t", instead="A <stream> was here.")._repr_mimebundle_()
    assert bundle["text/html"] == "<p style='margin:0.6em 0'>A &lt;stream&gt; was here.</p>"
    assert server.prefix not in str(bundle)


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
        accept: begin(lab, f"{url}/sse?cursor=0", Accept=accept) for accept in ("*/*", "text/event-stream")
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
    assert ask(lab, f"{url}/websocket", **HANDSHAKE, Origin="http://evil.example")[0] == 403
    assert ask(lab, url.replace(server.prefix, "/guess") + "/reload") == (403, "403 Wrong Token\n")
    assert not [event for event in server.trace if event[1] == "message_sent"]
