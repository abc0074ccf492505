"""What the lessons say of browsers, looked up in one; and the JavaScript that they show, run there."""

import itertools
import re

import booklet
import pytest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from wire import until

import lpws


def javascript(stem, of):
    """The snippet of a notebook that has this in it."""
    said = "\n".join(cell.source for cell in booklet.read(booklet.NOTEBOOKS / f"{stem}.ipynb").cells)
    (found,) = (code for code in re.findall(r"```javascript\n(.*?)```", said, flags=re.S) if of in code)
    return found


class Front(RequestHandler):
    def get(self):
        self.write("<!DOCTYPE html><title>a page</title>")


# ------------------------------------------------------------------ 05: what keeps the snippet from running

#: What is wrong with the article's snippet → how that alone is repaired.
REPAIRS = {
    "the argument": lambda code: code.replace("JSON.parse(;", "JSON.parse(event.data);"),
    "the brace": lambda code: code + "};\n",
    "the port": lambda code: code.replace("localhost:443", "localhost"),
    "onclose": lambda code: code.replace(
        "webSocket.onmessage", "webSocket.onclose = () => console.log('closed');\nwebSocket.onmessage"
    ),
}
SETS = [each for number in range(5) for each in itertools.combinations(REPAIRS, number)]
RUN = """text => {
  try { new Function(text)(); return "runs"; } catch (error) { return error.name; }
}"""


def test_two_of_four_faults_keep_the_snippet_from_running(page):
    """Whichever of the four are repaired, it runs only with both of these."""
    snippet = javascript("05_websockets", "JSON.parse(;")
    with lpws.Server(handlers={"/": Front}) as server:
        page.goto(server.url + "/")
        for repaired in SETS:
            code = snippet
            for name in repaired:
                before, code = code, REPAIRS[name](code)
                assert code != before
            needed = {"the argument", "the brace"} <= set(repaired)
            assert page.evaluate(RUN, code) == ("runs" if needed else "SyntaxError"), repaired


# --------------------------------------------------- 01 and 05: a POST that the browser repeats by itself


class Post(RequestHandler):
    """Publish what is posted; the first time, the connection breaks before the answer."""

    def initialize(self, room):
        self.room = room

    def post(self):
        asked.append(self.request.body)
        self.hear()
        if len(asked) == 1:
            self.request.connection.detach().close()
            self._finished = True
        else:
            self.write("heard")

    def hear(self):
        self.room.publish(self.request.body.decode())


class Keyed(Post):
    """The same, with a key of its own for each message, which is heard once."""

    known = set()

    def hear(self):
        key, text = self.request.body.decode().split(" ", 1)
        if key not in self.known:
            self.known.add(key)
            self.room.publish(text)


asked = []
SAY = """async (path) => {
  await (await fetch("/")).text();  // so that there is a connection, and it is idle
  const answer = await fetch(path, { method: "POST", body: "k7 tea is ready" });
  return await answer.text();
}"""


@pytest.mark.parametrize(("handler", "heard"), [(Post, ["k7 tea is ready"] * 2), (Keyed, ["tea is ready"])])
def test_a_browser_repeats_a_post_by_itself_and_a_key_lets_it_be_heard_once(page, handler, heard):
    """RFC 9110 §9.2.2 says that it should not."""
    asked.clear()
    Keyed.known.clear()
    with lpws.Server(handlers={"/": Front, "/say": handler}) as server:
        page.goto(server.url + "/")
        assert page.evaluate(SAY, "/say") == "heard"
        assert asked == [b"k7 tea is ready"] * 2
        assert [message.text for message in server.room.messages] == heard


# --------------------------------------------------------------- 02 and 07: a poll that a cache answers


def test_a_poll_can_be_cached_and_then_costs_a_304(page):
    """Polls of one page within `max-age` reach the server once; afterwards, an ETag saves the body."""
    scores, seen = booklet.read_through(booklet.NOTEBOOKS / "07_choosing.ipynb")["Scores"], []

    class Long(scores):
        def get(self):
            super().get()
            self.set_header("Cache-Control", f"public, max-age={len(seen) and 0 or 1000}")

        def on_finish(self):
            seen.append(self.get_status())

    with lpws.Server(handlers={"/": Front, "/scores": Long}) as server:
        server.publish("1 : 0")
        page.goto(server.url + "/")
        text = "how => fetch('/scores', { cache: how }).then(answer => answer.text())"
        assert [page.evaluate(text, "default") for _ in range(3)] == ["1 : 0"] * 3
        until(lambda: seen == [200])  # which is written down a moment after the answer
        assert page.evaluate(text, "no-cache") == "1 : 0"
        until(lambda: seen == [200, 304])
        server.publish("1 : 1")
        assert page.evaluate(text, "no-cache") == "1 : 1"
        until(lambda: seen == [200, 304, 200])


# ----------------------------------------------------- 02 and 03: the loops that ask again, in a browser

#: Runs the loop with an answer that is always the same, and a clock that the test holds.
LOOP = """async ({ code, status, body, overdue }) => {
  const asked = [], waiting = [], shown = [];
  const turns = async () => { for (let n = 0; n < 50; n += 1) await Promise.resolve(); };
  const ring = async () => { waiting.splice(0).forEach(done => done()); await turns(); };
  const fetch = async (url) => {
    asked.push(url);
    if (asked.length > 20) await new Promise(() => {});  // it spins
    if (overdue) await ring();  // the answer took longer than the pause
    if (status === 0) throw new TypeError("Failed to fetch");
    return new Response(status === 204 ? null : body, { status });
  };
  const console = { log: line => shown.push(line) };
  const Async = (async () => {}).constructor;
  new Async("fetch", "setTimeout", "console", code)(fetch, done => waiting.push(done), console);
  const settle = async () => { for (let n = 0; n < 20; n += 1) { await turns(); await rest(); } };
  const rest = () => new Promise(done => { const one = new MessageChannel();
    one.port1.onmessage = done; one.port2.postMessage(0); });
  await settle();
  const first = asked.length;
  await ring();
  await settle();
  return { first, second: asked.length, last: asked.at(-1), shown };
}"""


@pytest.mark.parametrize(
    ("status", "body"),
    [(204, ""), (200, ""), (200, "\n"), (500, "oops"), (502, "<html>"), (200, "<!doctype html>"), (0, "")],
)
def test_the_loop_of_long_polling_waits_before_it_asks_again_if_it_got_nothing(page, status, body):
    code = javascript("03_long_polling", "/held?cursor=")
    with lpws.Server(handlers={"/": Front}) as server:
        page.goto(server.url + "/")
        options = {"code": code, "status": status, "body": body, "overdue": False}
        said = page.evaluate(LOOP, options)
        assert said == {"first": 1, "second": 2, "last": "/held?cursor=0", "shown": []}


def test_the_loop_of_long_polling_asks_at_once_after_a_message_and_after_a_hold(page):
    code = javascript("03_long_polling", "/held?cursor=")
    with lpws.Server(handlers={"/": Front}) as server:
        page.goto(server.url + "/")
        options = {"code": code, "status": 200, "body": "1 tea\n2 cold\n", "overdue": False}
        said = page.evaluate(LOOP, options)
        assert said["shown"][:2] == ["1 tea", "2 cold"]
        assert said["last"] == "/held?cursor=2"
        assert said["first"] == 2, "at once after the first answer, whose like then brings nothing new"
        assert page.evaluate(LOOP, options | {"status": 204, "overdue": True})["first"] > 1


@pytest.mark.parametrize(
    ("status", "body", "cursor", "shown"),
    [
        (200, "1 tea\n2 cold\n", 2, ["1 tea", "2 cold"]), (204, "", 0, []), (200, "", 0, []),
        (500, "1 oops", 0, []), (200, "<!doctype html>", 0, []), (0, "", 0, []),
    ],
)  # fmt: skip
def test_the_loop_of_short_polling_asks_once_per_interval_whatever_comes(page, status, body, cursor, shown):
    """And shows once what comes twice."""
    code = javascript("02_short_polling", "/news?cursor=")
    with lpws.Server(handlers={"/": Front}) as server:
        page.goto(server.url + "/")
        said = page.evaluate(LOOP, {"code": code, "status": status, "body": body, "overdue": False})
        assert said == {"first": 1, "second": 2, "last": f"/news?cursor={cursor}", "shown": shown}


# ------------------------------------------- 08: the page that asks, and the browser that answers for it

#: Runs the snippet with timers that the test rings; the clock leaps a minute with each.
BEATS = """({ code, url }) => {
  Object.assign(window, { made: [], heard: 0, shown: [], ticks: new Map(), rests: [], now: 0 });
  class Counted extends WebSocket {
    constructor(url) {
      super(url);
      made.push(this);
      this.addEventListener("message", () => { heard += 1; });
    }
  }
  const every = then => { const key = {}; ticks.set(key, then); return key; };
  window.tick = () => { now += 60_000; [...ticks.values()].forEach(then => then()); };
  new Function(
    "WebSocket", "Date", "setInterval", "clearInterval", "setTimeout", "url", "show", code + "; connect();"
  )(Counted, { now: () => now }, every, key => ticks.delete(key), then => rests.push(then), url,
    text => shown.push(text));
}"""
OPEN = "() => made.at(-1).readyState === 1"


def test_a_page_gives_up_a_silent_connection_and_keeps_one_that_answers(page):
    """However seldom its timer runs."""
    names = {}
    for cell in booklet.code(booklet.NOTEBOOKS / "08_dead_lines.ipynb"):
        if cell.id in ("news", "pinged", "others"):
            booklet.execute(cell.source, names)
    code = javascript("08_dead_lines", 'socket.send("beat")')

    class Answering(names["Answering"]):
        ping_interval = 0

    with (
        lpws.Server(handlers={"/": Front, "/news": Answering}) as server,
        lpws.Relay(lpws.Link(delay_s=0), server.port) as relay,
    ):
        here = "{}:{}".format(*relay.address)
        server.room.admit([here])
        page.goto(f"http://{here}/")
        page.evaluate(BEATS, {"code": code, "url": f"ws://{here}/news"})
        page.wait_for_function(OPEN)
        for beats in range(1, 6):
            page.evaluate("tick()")
            page.wait_for_function("beats => heard === beats", arg=beats)
        assert page.evaluate("[made.length, rests.length]") == [1, 0]
        relay.silence()
        page.evaluate("tick()")
        assert page.evaluate("rests.length") == 0, "an answer may still come"
        page.evaluate("tick()")
        assert page.evaluate("[rests.length, ticks.size]") == [1, 0]
        page.evaluate("rests.pop()()")
        relay.silence(False)
        page.wait_for_function(OPEN)
        server.publish("tea is ready")
        page.wait_for_function("() => shown.length > 0")
        assert page.evaluate("[made.length, shown]") == [2, ["1 tea is ready"]]


BUSY = """() => {
  for (const end = Date.now() + 15_000; Date.now() < end; ) {
    const ask = new XMLHttpRequest();
    ask.open("GET", "/pongs", false);  // the page stands still until the answer is here
    ask.send();
    if (Number(ask.responseText) >= 3) return true;
  }
  return false;
}"""


def test_a_browser_answers_pings_while_its_page_is_busy(page):
    """So they do not find a page that hangs."""
    pongs = []

    class Pinging(WebSocketHandler):
        ping_interval = 0.05
        ping_timeout = 0  # it does not hang up on a machine that is late

        def on_pong(self, data):
            pongs.append(data)

    class Pongs(RequestHandler):
        def get(self):
            self.write(str(len(pongs) - before))

    with lpws.Server(handlers={"/": Front, "/news": Pinging, "/pongs": Pongs}) as server:
        page.goto(server.url + "/")
        page.evaluate("""() => new Promise(done => {
          window.socket = new WebSocket(location.href.replace("http", "ws") + "news");
          socket.onopen = done;
        })""")
        before = len(pongs)
        assert page.evaluate(BUSY)
