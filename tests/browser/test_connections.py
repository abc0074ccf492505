"""How many connections Chromium opens to one origin, and what waits, beside what notebook 11 draws of it.

    python tests/browser/test_connections.py

records `data/11_tabs.json` again, with the Chromium and the nginx of this machine.
"""

import asyncio
import contextlib
import json
import random
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes, Settings
from hpack import Decoder
from hpack.hpack import decode_integer, encode_integer
from hpack.huffman_table import decode_huffman
from playwright.sync_api import TimeoutError as Waited
from playwright.sync_api import sync_playwright
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

import lpws
from lpws import services
from lpws.recordings import DATA

FILE = DATA / "11_tabs.json"
RECORDED = json.loads(FILE.read_text(encoding="utf-8"))
PEM = Path(__file__).resolve().parents[1] / "throwaway.pem"  # its key is public, and opens nothing
#: Chromium speaks HTTP/2 over TLS only, and is to believe any certificate.
TRUSTING = "--ignore-certificate-errors"
#: How long [s] something is awaited that should not come.
IN_VAIN_S = 3.0
#: How long [s] something is awaited that should come.
PATIENCE_S = 30.0
TABS, SOCKETS, POLLS = 7, 300, 10
PAGE = "<!DOCTYPE html><title>a page</title><link rel=icon href=data:,>"
START = "window.opened = []; window.failed = []; window.things = []; const begun = performance.now();"
STREAM = "<script>new EventSource('/stream').onopen = () => { window.live = true; }</script>"
NOTE = "const note = list => () => list.push([number, (performance.now() - begun) / 1000]);"
OPEN = {
    "stream": "thing = new EventSource('/stream')",
    "socket": "thing = new WebSocket(location.href.replace('http', 'ws') + 'socket')",
}


# ------------------------------------------------------------ one origin: nginx, and a server behind it


class Noted(RequestHandler):
    """Notes on which connection to nginx each request came, and in which version."""

    def prepare(self):
        headers = self.request.headers
        asked.append((headers["X-Port"], headers["X-Protocol"]))


class Page(Noted):
    def get(self):
        self.write(PAGE)


class Tab(Noted):
    def get(self):
        self.write(PAGE + STREAM)


class Stream(Noted):
    async def get(self):
        self.gone = asyncio.Event()
        self.set_header("Content-Type", "text/event-stream")
        self.write(":\n\n")
        await self.flush()
        await self.gone.wait()

    def on_connection_close(self):
        self.gone.set()


class Socket(Noted, WebSocketHandler):
    pass


asked = []
HANDLERS = {"/": Page, "/tab": Tab, "/stream": Stream, "/socket": Socket, "/poll": Page}
LOCATION = (
    lpws.Proxy.OPEN + "proxy_set_header Host $http_host; proxy_read_timeout 1h;"
    "proxy_set_header X-Port $remote_port; proxy_set_header X-Protocol $server_protocol;"
)
SECURE = """server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    location / {{ proxy_pass http://servers; {location} }}
}}"""


def _port():
    """A free port, from those that the system gives to no connection meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def origin():
    """The version of an nginx, and its addresses for HTTP/1.1 and for HTTP/2."""
    asked.clear()
    port = _port()
    secure = SECURE.format(port=port, pem=PEM, location=LOCATION)
    with (
        lpws.Server(handlers=HANDLERS, origin=f"https://127.0.0.1:{port}") as server,
        services.nginx(lpws.Proxy(LOCATION, http=secure, connections=2048), [server.port]) as nginx,
    ):
        plain = f"{nginx.host}:{nginx.port}"
        server.admit(plain, f"127.0.0.1:{port}")
        yield nginx.version, {"HTTP/1.1": f"http://{plain}", "HTTP/2": f"https://127.0.0.1:{port}"}


def connections(protocol="HTTP/"):
    """Number of connections to nginx on which a request came in such a version."""
    return len({port for port, version in asked if version.startswith(protocol)})


# ----------------------------------------------------------------------------------- what a page does


@contextlib.contextmanager
def profile(browser):
    """A fresh profile."""
    context = browser.new_context()
    context.set_default_timeout(1000 * PATIENCE_S)
    yield context
    context.close()


def tabs(browser, url, least=0):
    """Tabs of one profile, each with a stream of its own; then one is closed."""
    begun, pages, when = time.monotonic(), [], []
    with profile(browser) as context:
        for number in range(TABS):
            pages.append(context.new_page())
            try:
                pages[-1].goto(f"{url}/tab", timeout=1000 * (PATIENCE_S if number < least else IN_VAIN_S))
                pages[-1].wait_for_function("window.live")
                when.append(round(time.monotonic() - begun, 3))
            except Waited:
                when.append(None)
        said = {"opened": TABS, "loaded": TABS - when.count(None), "connections": connections(), "when": when}
        if None in when:
            pages[0].close()
            pages[when.index(None)].wait_for_function("window.live")
            said["after_closing_one"] = said["loaded"]  # that one has gone, and the one that waited is there
        return said


def opens(page, url, kind, wanted):
    """Open so many streams or WebSockets on one page."""
    page.goto(f"{url}/")
    page.evaluate(f"""wanted => {{
      {START}
      for (let number = 0; number < wanted; number += 1) {{
        {NOTE}
        let {OPEN[kind]};
        thing.onopen = note(opened);
        thing.onerror = note(failed);
        things.push(thing);
      }}
    }}""", wanted)  # fmt: skip


def fetches(page, patient):
    """Whether a poll of the page is answered."""
    page.evaluate("() => { fetch('/poll').then(() => { window.answered = true; }); }")
    try:
        within_s = PATIENCE_S if patient else IN_VAIN_S
        return bool(page.wait_for_function("window.answered", timeout=1000 * within_s))
    except Waited:
        return False


def times(page, wanted):
    """Times [s] at which the things opened, in the order in which they were made; None for the others."""
    at = dict(page.evaluate("opened"))
    return [round(at[number], 3) if number in at else None for number in range(wanted)]


def streams(browser, url, wanted, least=0, patient=False):
    """Streams of one page; then one is closed."""
    with profile(browser) as context:
        page = context.new_page()
        opens(page, url, "stream", wanted)
        page.wait_for_function("least => opened.length >= least", arg=least)
        with contextlib.suppress(Waited):
            page.wait_for_function("all => opened.length === all", arg=wanted, timeout=1000 * IN_VAIN_S)
        when = times(page, wanted)
        open_ = wanted - when.count(None)
        said = {"wanted": wanted, "open": open_, "fetch": fetches(page, patient)}
        said["connections"] = connections()
        if open_ < wanted:
            page.evaluate("things[opened[0][0]].close()")
            page.wait_for_function("more => opened.length === more", arg=open_ + 1)
        return said | {"when": when}


def sockets(browser, url, wanted, patient=False):
    """WebSockets of one page."""
    with profile(browser) as context:
        page = context.new_page()
        opens(page, url, "socket", wanted)
        page.wait_for_function("all => opened.length + failed.length === all", arg=wanted)
        when = times(page, wanted)
        said = {"wanted": wanted, "open": wanted - when.count(None), "failed": when.count(None)}
        return said | {"fetch": fetches(page, patient), "connections": connections(), "when": when}


# ------------------------------------------------------------------ a small server of HTTP/2, by hand


class Extended:
    """A server that offers WebSocket over HTTP/2, and keeps each header block as it came."""

    def __init__(self):
        self.blocks, self.lines, self.sockets = [], [], 0
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(PEM)
        self.tls.set_alpn_protocols(["h2"])

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "https://127.0.0.1:{1}".format(*self.listener.getsockname())
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                line, _ = self.listener.accept()
                threading.Thread(target=self.answer, args=(line,), daemon=True).start()

    def answer(self, plain):
        with contextlib.suppress(OSError), self.tls.wrap_socket(plain, server_side=True) as line:
            if line.selected_alpn_protocol() != "h2":
                return
            self.lines.append(line)
            http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            offered = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, SettingCodes.MAX_CONCURRENT_STREAMS: 100}
            http.local_settings = Settings(client=False, initial_values=offered)
            decode = http.decoder.decode
            http.decoder.decode = lambda data, raw=False: self.blocks.append(bytes(data)) or decode(data, raw)
            http.initiate_connection()
            line.sendall(http.data_to_send())
            while data := line.recv(65_536):
                for event in http.receive_data(data):
                    if isinstance(event, RequestReceived):
                        self.reply(http, event.stream_id, dict(event.headers))
                line.sendall(http.data_to_send())

    def reply(self, http, stream, headers):
        if headers.get(":protocol") == "websocket":
            self.sockets += 1
            http.send_headers(stream, [(":status", "200")])
        elif headers[":path"] == "/":
            cookie = ("set-cookie", "session=24-letters-of-no-session")
            http.send_headers(stream, [(":status", "200"), ("content-type", "text/html"), cookie])
            http.send_data(stream, PAGE.encode(), end_stream=True)
        else:
            http.send_headers(stream, [(":status", "204")], end_stream=True)


def extended(browser, wanted):
    """WebSockets of one page, whose server lets them be streams."""
    with Extended() as server, profile(browser) as context:
        page = context.new_page()
        opens(page, server.url, "socket", wanted)
        page.wait_for_function("all => opened.length === all", arg=wanted)
        assert server.sockets == wanted
        return {"wanted": wanted, "open": wanted, "connections": len(server.lines)}


def polled(browser):
    """The header blocks of a page and its polls, one after another."""
    with Extended() as server, profile(browser) as context:
        page = context.new_page()
        page.goto(f"{server.url}/")
        for _ in range(POLLS):
            page.evaluate("fetch('/news?cursor=7').then(answer => answer.text())")
        assert len(server.blocks) == 1 + POLLS
        assert len(server.lines) == 1
        return server.blocks


def unpacked(block):
    """The same header block, its strings without Huffman's code."""
    said, at = b"", 0

    def string():
        nonlocal at
        packed, (size, used) = block[at] & 128, decode_integer(block[at:], 7)
        data = block[at + used : at + used + size]
        at += used + size
        data = decode_huffman(data) if packed else data
        return bytes(encode_integer(len(data), 7)) + data

    while at < len(block):
        bits = next((bits for bits in (7, 6, 5) if block[at] >> bits & 1), 4)
        index, used = decode_integer(block[at:], bits)
        said += block[at : at + used]
        at += used
        if bits in (4, 6):
            said += (b"" if index else string()) + string()
    return said


def read(blocks):
    """The fields of a page and of its polls, which are all alike."""
    decoder = Decoder()
    page, *polls = [[list(field) for field in decoder.decode(block)] for block in blocks]
    assert polls == polls[:1] * POLLS
    return [page, polls[0]]


# --------------------------------------------------------------------------------- beside the recording


def counts(story):
    """The story without its times."""
    return {key: value for key, value in story.items() if key != "when"}


@pytest.fixture(scope="module")
def trusting(browser):
    """A browser that takes any certificate."""
    from .conftest import launched

    with launched(browser.browser_type, TRUSTING) as one:
        yield one


@pytest.fixture
def urls():
    """The addresses of an origin."""
    with origin() as (_, addresses):
        yield addresses


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_tabs_wait_for_a_connection_or_share_one(version, trusting, urls):
    recorded = RECORDED["tabs"][version]
    assert counts(tabs(trusting, urls[version], recorded["loaded"])) == counts(recorded)


@pytest.mark.parametrize(
    ("version", "name"),
    [("HTTP/1.1", "streams"), ("HTTP/2", "streams"), ("HTTP/2", "hundred"), ("HTTP/2", "many")],
)
def test_streams_wait_for_a_connection_or_share_one(version, name, trusting, urls):
    recorded = RECORDED[name][version]
    again = streams(trusting, urls[version], recorded["wanted"], recorded["open"], recorded["fetch"])
    assert counts(again) == counts(recorded)


def test_websockets_have_a_limit_of_their_own(trusting, urls):
    recorded = RECORDED["sockets"]["HTTP/1.1"]
    assert counts(sockets(trusting, urls["HTTP/1.1"], recorded["wanted"], True)) == counts(recorded)


def test_websockets_take_connections_of_their_own_beside_http_2(trusting, urls):
    recorded = RECORDED["websockets_h2"]["without"]
    assert counts(sockets(trusting, urls["HTTP/2"], recorded["wanted"], True)) == counts(recorded)
    assert connections("HTTP/2") == 1


def test_websockets_are_streams_where_the_server_lets_them(trusting):
    recorded = RECORDED["websockets_h2"]["with"]
    assert extended(trusting, recorded["wanted"]) == recorded


def test_the_recorded_header_blocks_are_like_those_of_the_browser(trusting):
    recorded = [bytes.fromhex(block) for block in RECORDED["blocks"]["chromium"]]
    blocks = polled(trusting)
    for one, other in zip(read(blocks), read(recorded), strict=True):
        one, other = ({name for name, _ in fields} for fields in (one, other))
        assert len(one & other) >= 0.7 * len(one | other)
    for each in (blocks, recorded):
        assert [len(block) for block in each[3:]] == [len(each[2])] * (POLLS - 2)
        assert 10 * len(each[2]) < len(each[0])


def test_a_recorded_block_without_huffman_says_the_same():
    recorded = RECORDED["blocks"]
    blocks = [bytes.fromhex(block) for block in recorded["chromium"]]
    assert [unpacked(block).hex() for block in blocks] == recorded["unpacked"]
    assert read(map(unpacked, blocks)) == read(blocks) == recorded["fields"]


def record():
    """Write the recording."""
    from conftest import launched

    said = {"tabs": {}, "streams": {}, "hundred": {}, "many": {}, "sockets": {}, "websockets_h2": {}}
    with sync_playwright() as playwright, launched(playwright.chromium, TRUSTING) as browser:
        for version in ("HTTP/1.1", "HTTP/2"):
            with origin() as (_, urls):
                said["tabs"][version] = tabs(browser, urls[version])
            with origin() as (_, urls):
                said["streams"][version] = streams(browser, urls[version], TABS)
        for name, wanted in {"hundred": 100, "many": 150}.items():
            with origin() as (_, urls):
                said[name]["HTTP/2"] = streams(browser, urls["HTTP/2"], wanted)
        with origin() as (_, urls):
            said["sockets"]["HTTP/1.1"] = sockets(browser, urls["HTTP/1.1"], SOCKETS)
        with origin() as (nginx, urls):
            said["websockets_h2"]["without"] = sockets(browser, urls["HTTP/2"], 10)
        said["websockets_h2"]["with"] = extended(browser, 10)
        blocks = polled(browser)
        said["blocks"] = {
            "chromium": [block.hex() for block in blocks],
            "unpacked": [unpacked(block).hex() for block in blocks],
            "fields": read(blocks),
        }
        about = {"chromium": browser.version, "nginx": nginx}
    FILE.write_text(_text(about | said) + "\n", encoding="utf-8", newline="\n")


def _text(value, depth=0):
    """JSON with a list of numbers or of pairs on a line of its own."""
    if not isinstance(value, dict):
        return json.dumps(value)
    pad = "\n" + " " * depth
    inner = ",".join(f"{pad} {json.dumps(key)}: {_text(each, depth + 1)}" for key, each in value.items())
    return f"{{{inner}{pad}}}"


if __name__ == "__main__":
    record()
