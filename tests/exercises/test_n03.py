"""The tasks of notebook 03: good programs pass, and each kind of bad one gets the hint that fits."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

HELD = """
import asyncio
from tornado.web import RequestHandler

class Held(RequestHandler):
    def initialize(self, room):
        self.room = room

    async def get(self):
        cursor = int(self.get_query_argument("cursor"))
        hold_s = float(self.get_query_argument("hold"))
        if not self.room.messages[cursor:]:
            self.woken = asyncio.Event()
            self.room.listeners.add(self.wake)
            try:
                await asyncio.wait_for(self.woken.wait(), hold_s)
            except TimeoutError:
                pass
            finally:
                self.room.listeners.discard(self.wake)
        self.answer(self.room.messages[cursor:])

    def wake(self, message=None):
        self.woken.set()

    def on_connection_close(self):
        if hasattr(self, "woken"):
            self.wake()

    def answer(self, messages):
        self.write("".join(f"{m.id} {m.text}\\n" for m in messages))
        if not messages:
            self.clear()
            self.set_status(204)
"""
FUTURE = '''
import asyncio
from tornado.web import RequestHandler

class Held(RequestHandler):
    """By a future and the message itself, with 204 at the end of the hold."""
    def initialize(self, room):
        self.room = room

    async def get(self):
        cursor = int(self.get_argument("cursor"))
        news = self.room.messages[cursor:] or await self.wait(float(self.get_argument("hold")))
        if news:
            self.finish("".join(f"{id} {text}\\n" for id, text in news))
        else:
            self.set_status(204)

    async def wait(self, hold):
        self.future = asyncio.get_running_loop().create_future()
        self.room.listeners.add(self.take)
        try:
            return [await asyncio.wait_for(self.future, hold)]
        except TimeoutError:
            return []
        finally:
            self.room.listeners.remove(self.take)

    def take(self, message):
        if not self.future.done():
            self.future.set_result(message)

    def on_connection_close(self):
        self.future.cancel()
'''
CONDITION = '''
from datetime import timedelta
from tornado.locks import Condition
from tornado.web import RequestHandler

class Held(RequestHandler):
    """By Tornado's own means, one condition for all requests of a room."""
    conditions = {}

    def initialize(self, room):
        self.room = room
        self.gone = False

    async def get(self):
        cursor, hold = int(self.get_argument("cursor")), float(self.get_argument("hold"))
        if len(self.room.messages) <= cursor:
            self.condition = Condition()
            self.notify = lambda message: self.condition.notify_all()
            self.room.listeners.add(self.notify)
            await self.condition.wait(timeout=timedelta(seconds=hold))
            self.room.listeners.discard(self.notify)
        if not self.room.messages[cursor:]:
            self.set_status(204)
        if not self.gone:
            for message in self.room.messages[cursor:]:
                self.write(f"{message.id} {message.text}\\n")

    def on_connection_close(self):
        self.gone = True
        self.condition.notify_all()
'''
CALLBACKS = '''
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler
import asyncio

class Held(RequestHandler):
    """A task that is cancelled when the client leaves, and a timer of Tornado's."""
    def initialize(self, room):
        self.room = room

    async def get(self):
        self.task = asyncio.current_task()
        cursor = int(self.get_query_arguments("cursor")[-1])
        queue = asyncio.Queue()
        listener = queue.put_nowait
        self.room.listeners.add(listener)
        timer = IOLoop.current().call_later(float(self.get_query_argument("hold")), queue.put_nowait, None)
        try:
            if len(self.room.messages) == cursor:
                await queue.get()
            await self.flush_lines(self.room.messages[cursor:])
        finally:
            self.room.listeners.discard(listener)
            IOLoop.current().remove_timeout(timer)

    async def flush_lines(self, messages):
        self.set_status(200 if messages else 204)
        for message in messages:
            self.write(f"{message.id} {message.text}\\n".encode())
            await self.flush()

    def on_connection_close(self):
        self.task.cancel()
'''
THREADS = """
import asyncio, threading
from datetime import datetime, timedelta
from tornado.web import RequestHandler

class Held(RequestHandler):
    def initialize(self, room):
        self.room, self.woken = room, threading.Event()

    async def get(self):
        cursor = int(self.get_argument("cursor"))
        end = datetime.now() + timedelta(seconds=float(self.get_argument("hold")))
        wake = lambda message: self.woken.set()
        self.room.listeners.add(wake)
        while not self.room.messages[cursor:] and datetime.now() < end and not self.woken.is_set():
            left_s = (end - datetime.now()).total_seconds()
            await asyncio.get_running_loop().run_in_executor(None, self.woken.wait, left_s)
        self.room.listeners.discard(wake)
        self.set_status(200 if self.room.messages[cursor:] else 204)
        self.finish("".join(f"{m.id} {m.text}\\n" for m in self.room.messages[cursor:]) or None)

    def on_connection_close(self):
        self.woken.set()
"""
LOOK = "if not self.room.messages[cursor:]:"
WAIT = "await asyncio.wait_for(self.woken.wait(), hold_s)"
ANSWER = "self.answer(self.room.messages[cursor:])"
FIRST = f"        {LOOK}"
#: A handler that looks for the end of its hold once per second.
SLICES = edited(
    HELD,
    (
        WAIT,
        """end_s = asyncio.get_running_loop().time() + hold_s
                while not self.woken.is_set():
                    left_s = end_s - asyncio.get_running_loop().time()
                    if left_s <= 0:
                        break
                    await asyncio.wait([asyncio.create_task(self.woken.wait())], timeout=min(1, left_s))""",
    ),
)
DRAWN = "__import__('random').uniform(0.001, 0.1)"


def looking_up(source, *, first="0", last="0"):
    """The handler with a look-up that takes so long [s] at the places 1 and 3 of the lesson's exercise."""
    return edited(
        source,
        (FIRST, f"        await asyncio.sleep({first})\n{FIRST}"),
        (ANSWER, f"await asyncio.sleep({last})\n        {ANSWER}"),
    )


GOOD = {
    "threads": THREADS, "event": HELD, "future": FUTURE, "condition": CONDITION, "queue": CALLBACKS,
    "looks up its user first": looking_up(HELD, first="0.002"),
    "looks up its user last": looking_up(HELD, last="0.002"),
    "looks up its user twice": looking_up(HELD, first="0.4", last="0.5"),
    "looks up its user, now and then long": looking_up(HELD, first=DRAWN, last=DRAWN),
    "looks up its user once": edited(
        HELD,
        (FIRST, "        if not self.known:\n            await asyncio.sleep(0.05)\n"
                f"            type(self).known = True\n{FIRST}"),
        ("    def initialize", "    known = False\n\n    def initialize"),
    ),
    "slices": SLICES, "looks up its user, and slices": looking_up(SLICES, last="0.03"),
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_handler_passes(source, capsys):
    assert is_right(verdict("03.hold", made(source, "Held"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = """
        from tornado.web import RequestHandler
        class Held(RequestHandler):
            def initialize(self, room):
                self.room = room
            async def get(self):
                '''Hold the request.'''
                ...
    """
    [line] = verdict("03.hold", made(stub, "Held"), capsys)
    assert line.startswith("… `get` is still empty")
    [line] = verdict("03.hold", ..., capsys)
    assert line.startswith("… put your")


WRONG = {
    "does not hold": ([(WAIT, "pass")], "answered at once (status 204), with nothing to tell"),
    "its own hold": ([(WAIT, "await asyncio.wait_for(self.woken.wait(), 20)")], " 20 s"),
    "no timeout": ([(WAIT, "await self.woken.wait()")], "still held a request"),
    "whole seconds": ([("hold_s)", "int(hold_s))")], "the part after the point"),
    "rounded seconds": ([("hold_s)", "round(hold_s))")], "the part after the point"),
    "escaped for a page": (
        [("{m.text}", "{__import__('html').escape(m.text)}")], "which was '<b> is tea & milk",
    ),
    "ten at most": (
        [("self.answer(self.room.messages[cursor:])", "self.answer(self.room.messages[cursor:][-10:])")],
        "away for long",
    ),
    "milliseconds": ([("hold_s)", "hold_s / 1000)")], "answered after"),
    "never woken": ([("self.woken.set()", "pass")], "still held its requests after a message"),
    "polls": (
        [(WAIT, "t = 0\n                while not self.woken.is_set() and t < hold_s:\n"
                "                    await asyncio.sleep(0.5); t += 0.5")],
        "s after the message was published",
    ),
    "spins": (
        [(WAIT, "while not self.woken.is_set(): await asyncio.sleep(0)")],
        "looks again and again",
    ),
    "blocks": ([(WAIT, "import time; time.sleep(hold_s)")], "let the whole server stand still"),
    "only one": (
        [("self.room.listeners.add(self.wake)", "self.room.listeners.clear(); "
          "self.room.listeners.add(self.wake)")],
        "and the message released 1 of them",
    ),
    "no cursor": (
        [(LOOK, "cursor = len(self.room.messages)\n        if True:")],
        "published while the client was asking again",
    ),
    "everything again": ([("self.room.messages[cursor:])", "self.room.messages)")], "again, which"),
    "newest first": (
        [("self.answer(self.room.messages[cursor:])", "self.answer(self.room.messages[cursor:][::-1])")],
        "in this order",
    ),
    "newest only": (
        [("self.answer(self.room.messages[cursor:])", "self.answer(self.room.messages[cursor:][-1:])")],
        "lost message",
    ),
    "off by one": (
        [("messages[cursor:])", "messages[max(0, cursor - 1):])")],
        "again, which the client said it had",
    ),
    "counts anew": (
        [("{m.id} {m.text}\\n\" for m in messages", "{n} {m.text}\\n\" for n, m in enumerate(messages, 1)")],
        "which was",
    ),
    "twice": ([("for m in messages", "for m in [*messages, *messages]")], "in one answer"),
    "json": ([('"".join(f"{m.id} {m.text}\\n" for m in messages)', "{'messages': messages}")],
             "where a client expects lines such as"),
    "waits for nobody": ([("if hasattr(self, \"woken\")", "if False")], "have left, for nobody"),
    "leaves its listener": ([("self.room.listeners.discard(self.wake)", "pass")], "`room.listeners`"),
    "looks, then pauses, then waits": (
        [("self.woken = asyncio.Event()", "self.woken = asyncio.Event(); await asyncio.sleep(0)")],
        "getting ready to wait",
    ),
    "looks, then waits for a database, then waits": (
        [("self.woken = asyncio.Event()", "self.woken = asyncio.Event(); await asyncio.sleep(0.02)")],
        "getting ready to wait",
    ),
    "looks, waits for a database before and after, then waits": (
        [(FIRST, f"        await asyncio.sleep(0.05)\n{FIRST}"),
         ("self.woken = asyncio.Event()", "self.woken = asyncio.Event(); await asyncio.sleep(0.002)")],
        "getting ready to wait",
    ),
    "looks, waits for a slow database before and after, then waits": (
        [(FIRST, f"        await asyncio.sleep({DRAWN})\n{FIRST}"),
         ("self.woken = asyncio.Event()", f"self.woken = asyncio.Event(); await asyncio.sleep({DRAWN})")],
        "getting ready to wait",
    ),
    "whole seconds, rounded up": (
        [("hold_s)", "__import__('math').ceil(hold_s))")], "the part after the point",
    ),
    "late": ([(ANSWER, f"await asyncio.sleep(1.7)\n        {ANSWER}")],
             "answered 1.7 s after the message was published"),
    "polls often": (
        [(WAIT, "t = 0\n                while not self.woken.is_set() and t < hold_s:\n"
                "                    await asyncio.sleep(0.05); t += 0.05")],
        "in which nothing was published, and answered",
    ),
    "200 at the end of a hold": ([("self.set_status(204)", "pass")], "answered with status 200 and nothing"),
    "one message per answer": (
        [("self.answer(self.room.messages[cursor:])", "self.answer(self.room.messages[cursor:cursor + 1])")],
        "1 only, where the client lacks",
    ),
    "an error": ([('int(self.get_query_argument("cursor"))', 'int(self.get_query_argument("curser"))')],
                 "status 400"),
    "an error when a client goes": (
        [('if hasattr(self, "woken")', "if self.woken_up")], "raised AttributeError: 'Held'",
    ),
    "a mistake": ([("self.answer(self.room", "self.answers(self.room")], "raised AttributeError: 'Held'"),
    "a listener that is never awaited": ([("def wake", "async def wake")], "which nobody awaits"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_handler_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("03.hold", made(edited(HELD, *changes), "Held"), hint, capsys)


def test_a_future_that_is_set_twice_is_said(capsys):
    source = edited(FUTURE, ("if not self.future.done():\n            ", ""))
    lines = verdict("03.hold", made(source, "Held"), capsys)
    [line] = [line for line in lines if "raised InvalidStateError" in line and "in line 2" in line]
    assert "`wait_for`, which cancels it" in line


# As a reader of the lesson writes it: its listener takes itself off at the next message, if one comes.
LESSON = """
import asyncio
from tornado.web import RequestHandler

class Held(RequestHandler):
    def initialize(self, room):
        self.room = room

    async def get(self):
        cursor = int(self.get_query_argument("cursor"))
        if not self.room.messages[cursor:]:
            try:
                await asyncio.wait_for(self.next_message(), float(self.get_query_argument("hold")))
            except TimeoutError:
                self.set_status(204)
            finally:
                self.room.listeners.discard(self.take)
        for message in self.room.messages[cursor:]:
            self.write(f"{message.id} {message.text}\\n")

    def next_message(self):
        self.future = future = asyncio.Future()
        def take(message):
            self.room.listeners.discard(take)
            if not future.done():
                future.set_result(message)
        self.take = take
        self.room.listeners.add(take)
        return future

    def on_connection_close(self):
        self.room.listeners.discard(self.take)
        self.future.cancel()
"""
FINALLY = "            finally:\n                self.room.listeners.discard(self.take)\n"


def test_the_lesson_s_handler_with_its_two_defects_repaired_passes(capsys):
    assert is_right(verdict("03.hold", made(LESSON, "Held"), capsys))


@pytest.mark.parametrize("guard", ["if not future.done():", "if True:"])
def test_a_listener_left_after_a_hold_is_counted_before_the_next_message(guard, capsys):
    source = edited(LESSON, (FINALLY, ""), ("if not future.done():", guard))
    wrong = [line for line in verdict("03.hold", made(source, "Held"), capsys) if line.startswith("✗")]
    assert wrong == [
        "✗ left 2 functions in `room.listeners` after the hold of their requests was over – think about who "
        "takes a function out again, whichever way the request ends"
    ]


# Listens before it looks, which is right, and goes without taking its listener out.
LISTENS_FIRST = """
import asyncio
from tornado.web import RequestHandler

class Held(RequestHandler):
    def initialize(self, room):
        self.room = room

    async def get(self):
        cursor = int(self.get_query_argument("cursor"))
        self.future = asyncio.Future()
        take = lambda message: self.future.done() or self.future.set_result(message)
        self.room.listeners.add(take)
        if self.room.messages[cursor:]:
            return self.tell(cursor)
        try:
            await asyncio.wait_for(self.future, float(self.get_query_argument("hold")))
        except TimeoutError:
            return self.set_status(204)
        finally:
            self.room.listeners.discard(take)
        self.tell(cursor)

    def tell(self, cursor):
        for message in self.room.messages[cursor:]:
            self.write(f"{message.id} {message.text}\\n")

    def on_connection_close(self):
        self.future.cancel()
"""


def wrong_lines(source, capsys):
    return [line for line in verdict("03.hold", made(source, "Held"), capsys) if line.startswith("✗")]


def test_a_listener_left_by_an_answer_at_once_is_counted(capsys):
    assert wrong_lines(LISTENS_FIRST, capsys) == [
        "✗ left 3 functions in `room.listeners` after requests that it answered at once – think about who "
        "takes a function out again, whichever way the request ends"
    ]
    early = "            self.room.listeners.discard(take)\n            return self.tell(cursor)"
    right = edited(LISTENS_FIRST, ("            return self.tell(cursor)", early))
    assert is_right(verdict("03.hold", made(right, "Held"), capsys))


def test_a_hold_without_an_end_is_said_once_and_not_as_news_held_back(capsys):
    assert wrong_lines(edited(HELD, (WAIT, "await self.woken.wait()")), capsys) == [
        "✗ still held a request a minute after its hold was over – think about what ends a request for which "
        "no message comes"
    ]
    [line] = wrong_lines(edited(HELD, (WAIT, "await asyncio.wait_for(self.woken.wait(), 30)")), capsys)
    assert "for 30 s – think about who says how long" in line


#: The end of one hold ends the wait of all.
SHARED = edited(HELD, ("    pass\n", "    [wake() for wake in [*self.room.listeners]]\n"))


def test_an_empty_answer_before_the_hold_is_over_is_not_called_a_message_lost(capsys):
    [line] = wrong_lines(SHARED, capsys)
    assert line.startswith("✗ answered a request with nothing, ")
    assert "s before its hold was over" in line


def test_a_client_that_stays_is_not_ended_with_those_that_leave(capsys):
    source = edited(
        HELD, ("    def initialize", "    all = set()\n\n    def initialize"),
        ("            try:", "            self.all.add(self)\n            try:"),
        ("            self.wake()", "            for each in self.all: each.wake()"),
        ("                self.room.listeners.discard", "                self.all.discard(self)\n"
         "                self.room.listeners.discard"),
    )  # fmt: skip
    source = source.replace("for each in self.all:", "for each in list(self.all):")
    [line] = wrong_lines(source, capsys)
    assert line.startswith("✗ answered a request with nothing, ")


def test_a_get_that_waits_after_its_listener_has_gone_is_said(capsys):
    source = edited(LESSON, ("self.future.cancel()", "pass"))
    wrong = [line for line in verdict("03.hold", made(source, "Held"), capsys) if line.startswith("✗")]
    assert len(wrong) == 1
    assert "the listener is gone, but `get` still waits" in wrong[0]


def test_a_wait_between_the_look_and_the_listener_gets_one_verdict(capsys):
    for pause_s in ("0.001", "0.02"):
        pause = f"            await asyncio.sleep({pause_s})\n            try:\n"
        source = edited(LESSON, ("            try:\n", pause))
        wrong = [line for line in verdict("03.hold", made(source, "Held"), capsys) if line.startswith("✗")]
        assert len(wrong) == 1, wrong
        assert "getting ready to wait" in wrong[0]


def test_one_message_per_answer_is_not_called_lost(capsys):
    source = edited(
        LESSON,
        (
            "in self.room.messages[cursor:]:\n            self.write",
            "in self.room.messages[cursor:][:1]:\n            self.write",
        ),
    )
    wrong = [line for line in verdict("03.hold", made(source, "Held"), capsys) if line.startswith("✗")]
    assert len(wrong) == 1
    assert "lost" not in wrong[0]


@pytest.mark.parametrize("thing", [3, "Held", lambda room: None, dict], ids=["3", "text", "lambda", "dict"])
def test_what_is_no_handler_is_said(thing, capsys):
    [line] = verdict("03.hold", thing, capsys)
    assert line.startswith("✗ expected a class that derives from RequestHandler, got ")


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("03.transits", 7, "✓"), ("03.transits", 1, "✗ not 1: that is the luckiest"),
        ("03.transits", 5, "✗ not 5: that is TCP alone"), ("03.transits", 4, "✗ not 4"),
        ("03.timer", 0, "✓"), ("03.timer", 0.0, "✓"), ("03.timer", 0.2, "✗ not 0.2: that is the formula"),
        ("03.transits", 175, "✗ not 175: that is in milliseconds"),
        ("03.timer", 1 / 3, "✗ not 0.333: that is the share at ten"),
        ("03.timer", 0.33, "✗ not 0.33: that is the share at ten"),
        ("03.timer", 0.5, "✗ not 0.5: that is λG at ten"),
        ("03.timer", "none", "✗ expected a number"), ("03.place", 2, "✓"), ("03.place", 3, "✗ not 3: then"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
