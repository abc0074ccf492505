"""The tasks of notebook 08: a heartbeat that finds the dead and spares the slow."""

import random

import pytest
from cells import assert_caught, assert_harmless, assert_hinted, assert_says, edited, is_right, made, verdict

from lpws.exercises.n08 import Heartbeats, lives
from lpws.exercises.program import Program

TASK = """
import asyncio
from tornado.websocket import WebSocketHandler

class Heart(WebSocketHandler):
    def open(self):
        self.interval_s = float(self.get_query_argument("interval"))
        self.timeout_s = float(self.get_query_argument("timeout"))
        self.task = asyncio.create_task(self.beat())

    async def beat(self):
        await asyncio.sleep(self.interval_s)
        while True:
            self.alive = False
            self.ping()
            await asyncio.sleep(self.timeout_s)
            if not self.alive:
                self.close()
                return
            await asyncio.sleep(self.interval_s - self.timeout_s)

    def on_pong(self, data):
        self.alive = True

    def on_message(self, message):
        self.alive = True

    def on_close(self):
        self.task.cancel()
"""
TIMERS = '''
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

class Heart(WebSocketHandler):
    """Two timers, each of which is taken back."""
    def open(self):
        self.loop = IOLoop.current()
        self.interval, self.timeout = (float(self.get_argument(name)) for name in ("interval", "timeout"))
        self.doubt = None
        self.next = self.loop.call_later(self.interval, self.beat)

    def beat(self):
        self.next = self.loop.call_later(self.interval, self.beat)
        self.doubt = self.loop.call_later(self.timeout, self.give_up)
        self.ping(b"still there?")

    def give_up(self):
        self.loop.remove_timeout(self.next)
        self.close(1001, "no sign of life")

    def on_pong(self, data):
        if self.doubt:
            self.loop.remove_timeout(self.doubt)

    on_message = on_pong

    def on_close(self):
        self.loop.remove_timeout(self.next)
        if self.doubt:
            self.loop.remove_timeout(self.doubt)
'''
PERIODIC = '''
import asyncio, time
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketHandler

class Heart(WebSocketHandler):
    """By the clock, with Tornado's own timer; a dead connection is aborted, not closed."""
    def open(self):
        self.life = time.monotonic()
        self.timeout = float(self.get_query_argument("timeout"))
        self.timer = PeriodicCallback(self.beat, 1000 * float(self.get_query_argument("interval")))
        self.timer.start()
        self.waiting = None

    def beat(self):
        self.asked = time.monotonic()
        self.ping()
        self.waiting = asyncio.get_running_loop().call_later(self.timeout, self.look)

    def look(self):
        if self.life < self.asked:
            self.timer.stop()
            self.ws_connection.stream.close()

    def on_pong(self, data):
        self.life = time.monotonic()

    def on_message(self, message):
        self.on_pong(message)

    def on_close(self):
        self.timer.stop()
        if self.waiting:
            self.waiting.cancel()
'''
TORNADO = '''
from tornado.websocket import WebSocketHandler

class Heart(WebSocketHandler):
    """Tornado's own heartbeat."""
    @property
    def ping_interval(self):
        return float(self.get_query_argument("interval"))

    @property
    def ping_timeout(self):
        return float(self.get_query_argument("timeout"))

    def on_message(self, message):
        pass
'''
GOOD = {"a task": TASK, "two timers": TIMERS, "periodic": PERIODIC}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_heartbeat_passes(source, capsys):
    assert is_right(verdict("08.heartbeat", made(source, "Heart"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = """
        from tornado.websocket import WebSocketHandler
        class Heart(WebSocketHandler):
            def open(self): ...
            def on_pong(self, data): ...
            def on_message(self, message): ...
            def on_close(self): ...
    """
    [line] = verdict("08.heartbeat", made(stub, "Heart"), capsys)
    assert line.startswith("… the methods are still empty; begin with `open`")


DRIFTS = """
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler

class Heart(WebSocketHandler):
    def open(self):
        self.loop = IOLoop.current()
        self.interval, self.timeout = (float(self.get_argument(name)) for name in ("interval", "timeout"))
        self.timer = self.loop.call_later(self.interval, self.beat)

    def beat(self):
        self.due = self.loop.time()
        self.ping()
        self.timer = self.loop.call_later(self.timeout, self.close)

    def again(self):
        self.loop.remove_timeout(self.timer)
        self.timer = self.loop.call_later(self.interval, self.beat)

    def on_pong(self, data):
        self.again()

    def on_message(self, message):
        self.again()

    def on_close(self):
        self.loop.remove_timeout(self.timer)
"""
PING, REST = "            self.ping()\n", "await asyncio.sleep(self.interval_s - self.timeout_s)"
WAIT = "await asyncio.sleep(self.timeout_s)"
JUDGE = "if not self.alive:\n                self.close()\n                return"
WRONG = {
    "no ping": (TASK, [(PING, "")], "sent no ping in"),
    "a ping at once": (TASK, [("await asyncio.sleep(self.interval_s)\n", "pass\n")], "pinged after 0"),
    "the timeout on top": (TASK, [(REST, "await asyncio.sleep(self.interval_s)")],
                           "how the wait for the pong counts towards it"),
    "the pong forgotten": (TASK, [("def on_pong", "def on_pang")],
                           "closed the connection of a client that answered every ping at once"),
    "milliseconds": (TASK, [(WAIT, "await asyncio.sleep(self.timeout_s / 1000)"),
                            (REST, "await asyncio.sleep(self.interval_s)")], "how long it may take"),
    "never closes": (TASK, [(JUDGE, "pass")], "still keeps a client that joined and fell silent"),
    "closes at the next ping": (
        TASK, [(WAIT, "await asyncio.sleep(self.interval_s)"), (REST, "pass")], "s were allowed"),
    "two misses": (
        TASK, [("self.alive = False\n", "self.misses = getattr(self, 'misses', 0) + 1\n"),
               ("if not self.alive:", "if self.misses > 1:"), ("self.alive = True", "self.misses = 0")],
        "s were allowed"),
    "half the timeout": (
        TASK, [(WAIT, "await asyncio.sleep(self.timeout_s / 2)"),
               (REST, "await asyncio.sleep(self.interval_s - self.timeout_s / 2)")], "it was to wait"),
    "silence alone": (
        TASK, [(PING, PING + "            await asyncio.sleep(0)\n"),
               (WAIT, "await asyncio.sleep(self.timeout_s - self.timeout_s / 3)"),
               (REST, "await asyncio.sleep(self.interval_s - self.timeout_s * 2 / 3)")], "it was to wait"),
    "the dead after a while": (
        TASK, [("self.alive = False\n", "self.alive = getattr(self, 'beats', 0) > 1; "
                                        "self.beats = getattr(self, 'beats', 0) + 1\n")],
        "still keeps a client that answered two pings and then fell silent"),
    "messages do not count": (TASK, [("def on_message(self, message):\n        self.alive = True",
                                      "def on_message(self, message):\n        pass")],
                              "closed the connection of a busy client"),
    "tornado's own": (TORNADO, [], "closed the connection of a busy client"),
    "one for all": (TASK, [("self.alive = False", "type(self).alive = False"),
                           ("self.alive = True", "type(self).alive = True")], "whose pong it is"),
    "an interval after the pong": (DRIFTS, [], "how the wait for the pong counts towards it"),
    "a task that goes on": (TASK, [("self.task.cancel()", "pass")],
                            "sent a ping over a connection that was closed, or closing"),
    "a flag, and a timer that runs out": (
        TASK, [("self.task.cancel()", "self.gone = True"),
               ("            self.alive = False\n",
                "            if getattr(self, 'gone', False): return\n            self.alive = False\n")],
        "the timer that still runs for it"),
    "goes on after closing": (TIMERS, [("        self.loop.remove_timeout(self.next)\n        self.close(",
                                        "        self.close(")], "that was closed, or closing"),
    "an error": (TASK, [('"interval"', '"intervall"')], ""),
    "sleeps": (TASK, [(WAIT, "__import__('time').sleep(self.timeout_s)")], "let the whole server stand"),
}  # fmt: skip


def test_what_a_heartbeat_inherits_is_not_empty(capsys):
    """Only what it adds is."""
    pongs_alone = TASK + "\nclass Mine(Heart):\n    def on_message(self, message):\n        pass\n"
    said = verdict("08.heartbeat", made(pongs_alone, "Mine"), capsys)
    assert any("closed the connection of a busy client" in line for line in said)
    bare = made(TASK + "\nclass Mine(Heart):\n    pass\n", "Mine")
    assert is_right(verdict("08.heartbeat", bare, capsys))


@pytest.mark.parametrize(("source", "changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_heartbeat_gets_the_hint_that_fits(source, changes, hint, capsys):
    assert_hinted("08.heartbeat", made(edited(source, *changes), "Heart"), hint, capsys)


def doing(what):
    """A good heartbeat that does something else first when somebody joins."""
    return made(edited(TASK, ("    def open(self):\n", f"    def open(self):\n        {what}\n")), "Heart")


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "a long sleep": ("__import__('time').sleep(60)", "stand still for 60 s"),
    "os._exit": ("__import__('os')._exit(0)", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "a coroutine that is never awaited": ("asyncio.sleep(1)", "was never awaited"),
}
HARMLESS = {
    "much output": "print('x' * 1_000_000)",
    "a thread that does not end": "import threading; threading.Thread(target=threading.Event().wait).start()",
}


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_heartbeat_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("08.heartbeat", doing(what), hint, made(TASK, "Heart"), capsys)


@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
def test_what_a_heartbeat_does_besides_does_no_harm(what, capsys):
    assert_harmless("08.heartbeat", doing(what), made(TASK, "Heart"), capsys)


def test_tornado_finds_the_dead_as_the_formula_says():
    """Timeout + U(0, interval), and five seconds more until it lets go: in virtual time, to a step."""
    with Program(made(TORNADO, "Heart")) as program, Heartbeats(program, random.Random(8)) as scene:
        interval_s, timeout_s = scene.interval_s, scene.timeout_s
        step_s, peers, acts = interval_s / 50, [], []
        for _ in range(20):
            peers.append(scene.join())
            acts.append(lives(peers[-1]))
            scene.pass_by(interval_s / 20, *acts)
        scene.pass_by(interval_s, *acts)
        died_s, over_s = scene.now_s, {}
        while scene.now_s < died_s + interval_s + timeout_s + 6:
            scene.settle(step_s)
            for peer in peers:
                peer.look()
                if peer.gone and peer not in over_s:
                    over_s[peer] = scene.now_s
        found_s = sorted(peer.end_s - died_s for peer in peers)
    assert timeout_s <= found_s[0] <= timeout_s + interval_s / 20 + 2 * step_s
    assert timeout_s + interval_s - interval_s / 20 - step_s <= found_s[-1] <= timeout_s + interval_s + step_s
    assert sum(found_s) / 20 == pytest.approx(timeout_s + interval_s / 2, abs=interval_s / 20)
    assert len(over_s) == 20
    assert all(over_s[peer] - peer.end_s == pytest.approx(5, abs=2 * step_s) for peer in peers)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("08.latest", 45, "✓"), ("08.latest", 40, "✗ not 40: that is when the pong is overdue"),
        ("08.latest", 10, "✗ not 10: that is the timeout"), ("08.latest", 15, "✗ not 15: that is the earl"),
        ("08.latest", "long", "✗ expected a number"),
        ("08.keepalive", 0, "✓"), ("08.keepalive", 100, "✗ not 100: who answers the probe"),
        ("08.keepalive", 50, "✗ not 50: they all vanish"),
        ("08.keepalive", 1, "✗ not 1: nginx is one machine"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
