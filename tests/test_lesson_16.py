"""What the notebook on the chat builds, and whether its claims notice what is broken."""

import asyncio
import contextlib
import http.client
import json
import time
from functools import partial

import booklet
import matplotlib
import numpy
import pandas
import pytest

import lpws
from lpws.chat import ChatServer, Robots, handlers
from lpws.server.handlers import LongPolling
from lpws.transports.room import Room

matplotlib.use("Agg")

PATH = booklet.NOTEBOOKS / "16_build_a_chat.ipynb"
cell = partial(booklet.cell, PATH)


def built(**others):
    """The names that the notebook defines, without what its cells do with them."""
    namespace = {
        "np": numpy, "pd": pandas, "json": json, "http": http, "time": time,
        "asyncio": asyncio, "ChatServer": ChatServer, "Robots": Robots, "handlers": handlers, "lpws": lpws,
    }  # fmt: skip
    parts = [
        cell("class Post("),
        cell("def poll(").split("\n\n\nwith ")[0],
        cell("def on_a_train(").split("\n\n\ncopies =")[0],
        cell("class PostOnce(").split("\n\n\nPostOnce.ids")[0],
        cell("def talk("),
        cell("class Train("),
        cell("def ask_time(").split("\n\n\nasked =")[0],
        cell("def comeback("),
    ]
    booklet.execute("\n\n\n".join(parts), namespace)
    namespace.update(others)  # in place: it is where the functions look for each other
    return namespace


#: What is claimed → the cells that print it, after those that they need.
CLAIMS = {
    "heard": ("with lpws.Server(handlers={\"/post\": Post})", 'lpws.claim("Ada was told'),
    "thrice": ("copies =",),
    "once": ("once =",),
    "talk": (
        "with ChatServer() as room, Robots(room, WAYS, link)", 'lpws.claim("all five were here"',
        "transits =", "opened =",
    ),
    "watch": ("guess_ms =", "watched =", "pair =", "due ="),
    "clock": ("asked =",),
    "cut": ("Train.lost.clear()", 'lpws.claim("three times, lines were cut'),
    "comeback": ("peaks =",),
    "strangers": ('with ChatServer() as room, Robots(room, {"Ada"',),
}  # fmt: skip


def claimed(what, **others):
    """What the cells claim, with some names of the notebook bound to something else."""
    namespace = built(**others)
    with ChatServer() if what == "clock" else contextlib.nullcontext() as chat:
        namespace["chat"] = chat
        if chat:
            chat.thread.call(chat.room.tell, "report")  # there is something to read
        said = "".join(booklet.execute(short(cell(start)), namespace) for start in CLAIMS[what])
    return "".join(line for line in said.splitlines(True) if line[0] in "✓✗–")


def short(source):
    """The cell with a shorter conversation."""
    source = source.replace("duration_s=6.0, rate_hz=4.0, seed=6", "duration_s=2.0, rate_hz=12.0, seed=6")
    source = source.replace(
        "duration_s=1.0, rate_hz=8.0, seed=part", "duration_s=0.5, rate_hz=16.0, seed=part"
    )
    source = source.replace("rate_hz=10.0, duration_s=3.0", "rate_hz=30.0, duration_s=1.0")
    # A mutation may keep somebody behind for ever.
    return source.replace("until(lambda: not robots.behind(), 10)", "until(lambda: not robots.behind(), 3)")


@pytest.mark.parametrize("what", CLAIMS)
def test_claims_hold_without_a_mutation(what):
    said = claimed(what)
    assert said.count("✓ ") == len(said.splitlines()) > 0, said


# ------------------------------------------------------------------ what the notebook builds


@pytest.mark.parametrize("whose", ["notebook", "lpws"])
def test_to_speak_once(whose):
    """What the notebook builds and what the laboratory has pass the same test."""
    namespace = built()
    ours = whose == "lpws"
    server = ChatServer() if ours else lpws.Server(handlers={"/post": namespace["PostOnce"]}, token=True)
    with server:
        if ours:
            server.thread.call(server.room.enter, "secret", "Ada", "SSE")

        def say(key, text):
            message = {"key": key, "text": text, "typed": 0.0}
            letter = {"secret": "secret", "said": [message]} if ours else {"name": "Ada"} | message
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            with contextlib.closing(line):
                kind = {"Content-Type": "application/json"}
                line.request("POST", f"{server.prefix}/post", json.dumps(letter), kind)
                answer = json.loads(line.getresponse().read())
                return answer["ids"][0] if ours else answer

        texts = ["tea", '"\\', "né ☕", "<b>", "x" * 500, "tea"]
        ids = [say(str(n), text) for n, text in enumerate(texts)]
        assert ids == list(range(ids[0], ids[0] + len(texts)))
        assert [say(str(n), text) for n, text in enumerate(texts)] == ids
        log = [json.loads(text) for _, text in server.room.mailbox.log]
        assert [message["text"] for message in log if "text" in message] == texts
        assert {message["name"] for message in log} == {"Ada"}


def test_the_rule_of_the_notebook_is_the_page_s():
    source = handlers.__spec__.origin.replace("handlers.py", "page/listener.js")
    with open(source, encoding="utf-8") as file:
        assert "Math.min(times.retry_most_s, times.retry_s * 2 ** n)" in file.read()
    times = lpws.chat.Times()
    assert (times.retry_s, times.retry_most_s) == (0.5, 20.0)
    longest = built()["longest"]
    assert [longest(n) for n in (0, 1, 5, 6, 60)] == [0.5, 1.0, 16.0, 20.0, 20.0]


# -------------------------------------------------------------------------------- mutations


def forgets_keys(monkeypatch, namespace):
    real = namespace["on_a_train"]
    namespace["on_a_train"] = lambda handler, **said: real(namespace["Post"], **said)


def doubles(monkeypatch, namespace):
    """A room that takes every message of a robot for a new one."""
    real = handlers.ChatRoom.say
    count = iter(range(10**6))
    say = lambda self, person, key, *rest: real(self, person, f"{key} {next(count)}", *rest)  # noqa: E731
    monkeypatch.setattr(handlers.ChatRoom, "say", say)


def loses_on_reconnection(monkeypatch, namespace):
    """A server that begins with what comes now, whatever the cursor says."""
    real = handlers.RoomHandler.cursor
    monkeypatch.setattr(
        handlers.RoomHandler, "cursor", lambda self: self.room.mailbox.last if real(self) else real(self)
    )


def goes_back(monkeypatch, namespace):
    """A server that begins with one message too many."""
    real = handlers.RoomHandler.cursor
    monkeypatch.setattr(handlers.RoomHandler, "cursor", lambda self: max((real(self) or 0) - 1, 0))


def deaf_stream(monkeypatch, namespace):
    """An event stream without one message."""
    real = handlers.SSE.send

    def send(self, chunk, carried):
        if 9 not in dict(carried):
            real(self, chunk, carried)

    monkeypatch.setattr(handlers.SSE, "send", send)


def slow_push(monkeypatch, namespace):
    """A WebSocket that gathers messages for a while."""
    monkeypatch.setattr(
        handlers.WebSocket, "flush_s", property(lambda self: 0.3, lambda self, value: None), raising=False
    )


def closes_each_time(monkeypatch, namespace):
    """Polls, short and long, that close their connection."""
    for half in (handlers.ShortPolling, LongPolling):
        monkeypatch.setattr(half, "prepare", closing(half.prepare))


def closing(prepare):
    def closing_too(self):
        prepare(self)
        self.set_header("Connection", "close")

    return closing_too


def no_chance(monkeypatch, namespace):
    rules = cell("def comeback(").replace("longest(n) * draw.random(size)", "longest(n) * np.ones(size)")
    booklet.execute(rules, namespace)


def wrong_clock(monkeypatch, namespace):
    monkeypatch.setattr(handlers.Clock, "get", lambda self: self.say({"now": handlers.clock() + 60}))


def looks_at_nothing(monkeypatch, namespace):
    monkeypatch.setattr(Room, "refusal", lambda self, request: None)


@pytest.mark.parametrize(
    ("mutation", "what", "sentence"),
    [
        (forgets_keys, "once", "with a key, three posts made one message"),
        (doubles, "cut", "yet the room has each message once, in order"),
        (loses_on_reconnection, "cut", "nobody lost one"),
        (goes_back, "talk", "none came twice"),
        (deaf_stream, "talk", "none is missed or pending, on any transport"),
        (slow_push, "talk", "on a WebSocket and by SSE the median was below three"),
        (closes_each_time, "talk", "four of them kept a single connection"),
        (closes_each_time, "watch", "and each kept its one connection"),
        (no_chance, "comeback", "with it, the greatest crowd is less than a fifth of that"),
        (wrong_clock, "clock", "the clock is off by at most half of the best round trip"),
        (looks_at_nothing, "strangers", "the four get nothing but 403"),
    ],
)
def test_a_claim_notices_what_is_broken(monkeypatch, mutation, what, sentence):
    namespace = built()
    mutation(monkeypatch, namespace)
    assert f"✗ {sentence}" in claimed(what, **namespace)


def test_no_address_and_no_token_is_stored():
    """The kernel they belonged to is gone, and a dead window says nothing."""
    outputs = json.dumps([cell.outputs for cell in booklet.code(PATH)])
    assert "instead" in cell("chat = ChatServer().start()")
    assert "the page of the chat opens here" in outputs
    for what in ("http://127.0.0.1:", "<iframe", "<object", "/proxy/"):
        assert what not in outputs
