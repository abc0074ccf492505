"""What the browser sends to a server for pages of its own and of others, beside what notebook 13 shows.

    python tests/browser/test_knocking.py

records `data/strangers.json` again, with the Chromium of this machine.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from lpws.recordings import DATA

#: Cookie → its attributes; the server sets them all when somebody visits it.
COOKIES = {
    "strict": "HttpOnly; SameSite=Strict", "lax": "SameSite=Lax", "bare": "", "none": "SameSite=None; Secure",
}  # fmt: skip
#: Who asks: by which name the server is known, the host of the page, and whether its port is the server's.
PAGES = {
    "own": ("127.0.0.1", "127.0.0.1", True),
    "port": ("127.0.0.1", "127.0.0.1", False),
    "site": ("127.0.0.1", "localhost", False),
    "sandbox": ("127.0.0.1", "127.0.0.1", False),
    "rebound": ("evil.example", "evil.example", True),
    "sibling": ("chat.tea.example", "blog.tea.example", False),
}
#: How a page asks; each is a function of the address.
KINDS = {
    "WebSocket": "url => { new WebSocket(url.replace('http', 'ws')); }",
    "EventSource": "url => { new EventSource(url, {withCredentials: true})"
    ".onerror = error => error.target.close(); }",
    "fetch": "url => { fetch(url, {credentials: 'include'}).catch(() => 0); }",
    "fetch no-cors": "url => { fetch(url, {credentials: 'include', mode: 'no-cors'}).catch(() => 0); }",
    "fetch POST": "url => { fetch(url, {method: 'POST', body: 'text=hi', credentials: 'include'})"
    ".catch(() => 0); }",
    "image": "url => { new Image().src = url; }",
    "frame": "url => { document.body.append(Object.assign(document.createElement('iframe'), {src: url})); }",
    "link": "url => { const a = Object.assign(document.createElement('a'), {href: url}); "
    "document.body.append(a); a.click(); }",
    "form POST": "url => { document.body.innerHTML = '<form method=post><input name=text value=hi></form>'; "
    "document.forms[0].action = url; document.forms[0].submit(); }",
}
#: A sandboxed frame may not send its window elsewhere.
STAYS = [kind for kind in KINDS if kind not in ("frame", "link", "form POST")]
KEPT = (
    "host", "origin", "referer", "cookie", "connection", "upgrade", "content-type", "content-length",
    "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user",
    "sec-websocket-version", "sec-websocket-key",
)  # fmt: skip
#: Where the pages' images are, under which policy of the page; the page's own address holds a token.
POLICIES = {"": "browser's own", "unsafe-url": "unsafe-url"}
#: What cannot be seen here: of a browser that this machine does not have, as its makers' tests say.
ELSEWHERE = {
    "firefox": {
        "WebSocket": {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "websocket", "Sec-Fetch-Site": "…"},
        "source": "https://searchfox.org/firefox-main/source/dom/security/test/sec-fetch/test_websocket.html",
    },
    "safari": {
        "WebSocket": {"Sec-Fetch-Mode": "websocket", "Sec-Fetch-Site": "…"},
        "source": "https://github.com/WebKit/WebKit/pull/6296",
    },
}


class Listener(BaseHTTPRequestHandler):
    """Notes what it is asked; whoever visits it gets all cookies."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path)
        body = b"<!DOCTYPE html><title>a page</title><link rel=icon href=data:,><p>"
        asked = parse_qs(path.query)
        if "n" in asked:
            self.server.heard(asked["n"][0], self)
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        self.send_response(200)
        if path.path == "/visit":
            for name, attributes in COOKIES.items():
                self.send_header("Set-Cookie", f"{name}=1; Path=/; {attributes}".rstrip("; "))
        if "policy" in asked:
            self.send_header("Referrer-Policy", asked["policy"][0])
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Place(ThreadingHTTPServer):
    """A server that keeps the requests that have a number."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Listener)
        self.known, self.came = {}, threading.Condition()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def heard(self, number, request):
        headers = {name: value for name, value in request.headers.items() if name.lower() in KEPT}
        with self.came:
            self.known.setdefault(number, {"method": request.command, "path": "/ask", "headers": headers})
            self.came.notify_all()

    def wait_for(self, number):
        with self.came:
            assert self.came.wait_for(lambda: number in self.known, timeout=10), f"nobody asked {number}"
            return self.known[number]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


def told(request, ours, theirs):
    """The request with ports that everybody knows, and a key of no handshake."""
    headers = {}
    for name, value in request["headers"].items():
        for port, known in ((ours, "8001"), (theirs, "8002")):
            value = value.replace(f":{port}", f":{known}")
        if name.lower() == "referer":
            value = value.partition("?")[0]
        headers[name] = "dGhlIHNhbXBsZSBub25jZQ==" if name.lower() == "sec-websocket-key" else value
    return request | {"headers": headers}


def knocks(open_, who):
    """What the server hears from a kind of page, by how it asks."""
    server, host, own = PAGES[who]
    found = {}
    with Place() as ours, Place() as theirs:
        page = open_()
        at = f"http://{server}:{ours.server_port}"
        # The name that was made to point here is no place where anybody has logged in.
        if who != "rebound":
            page.goto(f"{at}/visit")
        if who == "own":
            page.goto(f"{at}/ask?n=address")
            found["address"] = ours.wait_for("address")
        for kind in STAYS if who == "sandbox" else KINDS:
            page.goto(f"http://{host}:{(ours if own else theirs).server_port}/page")
            frame = page
            if who == "sandbox":
                page.set_content("<iframe sandbox='allow-scripts' srcdoc='<p>'></iframe>")
                frame = page.frames[1]
            frame.evaluate(KINDS[kind], f"{at}/ask?n={kind.replace(' ', '+')}")
            found[kind] = ours.wait_for(kind)
            if kind in ("link", "form POST"):
                page.wait_for_url("**/ask?*")
        ports = ours.server_port, theirs.server_port
    return {kind: told(request, *ports) for kind, request in found.items()}


def referers(open_):
    """What servers read in `Referer` when a page with a token in its address shows an image of theirs."""
    found = {}
    with Place() as ours, Place() as theirs:
        ports = {":" + str(ours.server_port): ":8001", ":" + str(theirs.server_port): ":8002"}
        for policy, name in POLICIES.items():
            page = open_()
            query = "token=secret" + (f"&policy={policy}" if policy else "")
            page.goto(f"http://127.0.0.1:{ours.server_port}/page?{query}")
            for whose, place in (("own", ours), ("other", theirs)):
                number = f"{name} {whose}"
                url = f"http://127.0.0.1:{place.server_port}/ask?n={number.replace(' ', '+')}"
                page.evaluate(KINDS["image"], url)
                value = place.wait_for(number)["headers"].get("Referer", "")
                for port, known in ports.items():
                    value = value.replace(port, known)
                found.setdefault(name, {})[whose] = value
    return found


RECORDED = DATA / "strangers.json"
TELLING = ("Host", "Origin", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("who", PAGES)
def test_the_browser_sends_what_the_recording_says(who, window, recorded):
    again = knocks(window, who)
    assert again.keys() == recorded["requests"][who].keys()
    for kind, request in again.items():
        before = recorded["requests"][who][kind]
        assert request["method"] == before["method"]
        for name in TELLING:
            assert request["headers"].get(name) == before["headers"].get(name), (kind, name)


def test_a_pages_address_leaves_it_by_referer_only_where_the_page_says_so(window, recorded):
    assert referers(window) == recorded["referers"]


@pytest.mark.parametrize(
    ("policy", "origin", "referer"),
    [("", "own", "origin"), ("same-origin", "own", None), ("no-referrer", "null", None)],
)
def test_a_policy_and_what_a_page_then_says_of_itself(policy, origin, referer, window):
    """Its form to its own server, and its image to another."""
    with Place() as ours, Place() as theirs:
        at = f"http://127.0.0.1:{ours.server_port}"
        page = window()
        page.goto(f"{at}/page?policy={policy}")
        page.evaluate(KINDS["image"], f"http://127.0.0.1:{theirs.server_port}/ask?n=image")
        says = theirs.wait_for("image")["headers"]
        assert says.get("Referer") == (f"{at}/" if referer else None)
        page.evaluate(KINDS["form POST"], f"{at}/ask?n=form")
        says = ours.wait_for("form")["headers"]
        assert says["Origin"] == (at if origin == "own" else origin)
        assert says["Sec-Fetch-Site"] == "same-origin"


def test_a_server_on_another_port_gets_the_cookies(window):
    with Place() as ours, Place() as theirs:
        page = window()
        page.goto(f"http://127.0.0.1:{ours.server_port}/visit")
        page.goto(f"http://127.0.0.1:{theirs.server_port}/ask?n=visit")
        cookies = theirs.wait_for("visit")["headers"]["Cookie"]
    assert {pair.partition("=")[0] for pair in cookies.split("; ")} == set(COOKIES)


def record():
    """Write the recording."""
    from conftest import launched, windows
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        launched(playwright.chromium) as browser,
        windows(browser) as open_,
    ):
        about = {"browser": f"Chromium {browser.version}", "cookies": COOKIES}
        about["requests"] = {who: knocks(open_, who) for who in PAGES}
        about["referers"] = referers(open_)
    RECORDED.write_text(json.dumps(about | ELSEWHERE, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
