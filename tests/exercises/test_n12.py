"""The tasks of notebook 12: an outbox with a limit, and clients that read, pause, stop or go."""

import pytest
from cells import assert_caught, assert_hinted, assert_says, edited, is_right, made, verdict
from leaks import nothing_left_behind

OUTBOX = """
import asyncio

class Outbox:
    def __init__(self, write, hang_up, limit):
        self.write, self.hang_up, self.limit = write, hang_up, limit
        self.waiting = {}
        self.writer, self.over = None, False

    def put(self, key, text):
        if self.over:
            return
        self.waiting[object() if key is None else key] = text
        if len(self.waiting) > self.limit:
            self.end()
            self.hang_up()
        elif self.writer is None:
            self.writer = asyncio.create_task(self.empty())

    async def empty(self):
        try:
            while self.waiting:
                await self.write(self.waiting.pop(next(iter(self.waiting))))
        except ConnectionError:
            self.end()
        self.writer = None

    def end(self):
        self.over = True
        self.waiting.clear()
"""
WAITS = "        self.waiting[object() if key is None else key] = text\n"
FULL = "        if len(self.waiting) > self.limit:\n"
BEGIN = "        elif self.writer is None:\n            self.writer = asyncio.create_task(self.empty())\n"
HANG_UP = "            self.end()\n            self.hang_up()\n"
CAUGHT = "        except ConnectionError:\n            self.end()\n"
WRITE = "                await self.write(self.waiting.pop(next(iter(self.waiting))))\n"
GOOD = {
    "a dict": OUTBOX,
    "the newest last": edited(OUTBOX, (WAITS, "        self.waiting.pop(key, None)\n" + WAITS)),
    "a list, an event and a writer that stays": """
        import asyncio

        class Outbox:
            def __init__(self, write, hang_up, limit):
                self.write, self.hang_up, self.limit = write, hang_up, limit
                self.waiting, self.news = [], asyncio.Event()
                self.task = asyncio.get_running_loop().create_task(self.run())

            def put(self, key, text):
                if self.waiting is None:
                    return
                for pair in self.waiting:
                    if key is not None and pair[0] == key:
                        pair[1] = text
                        return
                if len(self.waiting) >= self.limit:
                    self.waiting = None
                    self.task.cancel()
                    self.hang_up()
                    return
                self.waiting.append([key, text])
                self.news.set()

            async def run(self):
                while True:
                    await self.news.wait()
                    self.news.clear()
                    while self.waiting:
                        _, text = self.waiting.pop(0)
                        try:
                            await self.write(text)
                        except ConnectionError:
                            self.waiting = None
                            return
    """,
    "callbacks": """
        import asyncio, collections

        class Outbox:
            def __init__(self, write, hang_up, limit):
                self.write, self.hang_up, self.limit = write, hang_up, limit
                self.order, self.values, self.busy, self.closed = collections.deque(), {}, None, False

            def put(self, key, text):
                if self.closed:
                    return
                if key is not None and key in self.values:
                    self.values[key] = text
                    return
                if self.busy is not None and len(self.order) == self.limit:
                    self.close()
                    return self.hang_up()
                self.order.append((key, None if key is not None else text))
                if key is not None:
                    self.values[key] = text
                self.next()

            def next(self, done=None):
                if done is not None:
                    self.busy = None
                    if not done.cancelled() and done.exception() is not None:
                        self.close()
                if self.busy is None and self.order and not self.closed:
                    key, text = self.order.popleft()
                    text = text if key is None else self.values.pop(key)
                    self.busy = asyncio.ensure_future(self.write(text))
                    self.busy.add_done_callback(self.next)

            def close(self):
                self.closed = True
                self.order.clear()
                self.values.clear()
    """,
    "a queue": """
        import asyncio

        class Outbox:
            def __init__(self, write, hang_up, limit):
                self.write, self.hang_up = write, hang_up
                self.queue, self.newest, self.over = asyncio.Queue(limit), {}, False
                self.task = asyncio.create_task(self.run())

            def put(self, key, text):
                if self.over:
                    return
                waits = key is not None and key in self.newest
                if key is not None:
                    self.newest[key] = text
                if not waits:
                    try:
                        self.queue.put_nowait((key, None if key else text))
                    except asyncio.QueueFull:
                        self.close()
                        self.hang_up()

            async def run(self):
                while not self.over:
                    key, text = await self.queue.get()
                    if key is not None:
                        text = self.newest.pop(key)
                    try:
                        await self.write(text)
                    except ConnectionError:
                        self.close()

            def close(self):
                self.over = True
                self.newest = {}
                while not self.queue.empty():
                    self.queue.get_nowait()
    """,
    "a task for each, in turn": """
        import asyncio

        class Outbox:
            def __init__(self, write, hang_up, limit):
                self.write, self.hang_up, self.limit = write, hang_up, limit
                self.turn, self.cells, self.dead = asyncio.Lock(), [], False

            def put(self, key, text):
                if self.dead:
                    return
                for cell in self.cells:
                    if key is not None and cell["key"] == key:
                        cell["text"] = text
                        return
                if len(self.cells) == self.limit:
                    self.dead = True
                    self.cells.clear()
                    self.hang_up()
                    return
                cell = {"key": key, "text": text}
                self.cells.append(cell)
                cell["task"] = asyncio.ensure_future(self.send(cell))

            async def send(self, cell):
                async with self.turn:
                    if self.dead:
                        return
                    self.cells.remove(cell)
                    try:
                        await self.write(cell.pop("text"))
                    except ConnectionError:
                        self.dead = True
                        self.cells.clear()
    """,
    "an ordered dict and a condition": """
        import asyncio, collections, itertools

        class Outbox:
            def __init__(self, write, hang_up, limit):
                self._write, self._hang_up, self._limit = write, hang_up, limit
                self._waiting = collections.OrderedDict()
                self._count = itertools.count()
                self._wake = None
                self._open = True
                self._task = asyncio.ensure_future(self._serve())

            def put(self, key, text):
                if not self._open:
                    return
                key = ("line", next(self._count)) if key is None else ("value", key)
                if key not in self._waiting and len(self._waiting) >= self._limit:
                    self._open = False
                    self._waiting.clear()
                    self._task.cancel()
                    self._hang_up()
                    return
                self._waiting[key] = text
                self._waiting.move_to_end(key)
                if self._wake and not self._wake.done():
                    self._wake.set_result(None)

            async def _serve(self):
                while self._open:
                    if not self._waiting:
                        self._wake = asyncio.get_running_loop().create_future()
                        await self._wake
                    _, text = self._waiting.popitem(last=False)
                    try:
                        await self._write(text)
                    except (ConnectionError, OSError):
                        self._open = False
                        self._waiting.clear()
    """,
    "hangs up on the gone": edited(OUTBOX, (CAUGHT, CAUGHT + "            self.hang_up()\n")),
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_outbox_passes(source, capsys):
    with nothing_left_behind():
        assert is_right(verdict("12.outbox", made(source, "Outbox"), capsys))


@pytest.mark.parametrize("begin", ["...  # your code", "self.write, self.limit = write, limit"])
def test_who_has_not_begun_is_told_what_to_do(begin, capsys):
    stub = f"""
        class Outbox:
            def __init__(self, write, hang_up, limit):
                {begin}

            def put(self, key, text):
                ...
    """
    [line] = verdict("12.outbox", made(stub, "Outbox"), capsys)
    assert line.startswith("… the methods are still empty: begin with a `put`")


@pytest.mark.parametrize(
    ("source", "said"),
    [("Outbox = 7", "✗ expected a class, got 7"),
     ("def Outbox(write, hang_up, limit): ...", "✗ expected a class, got <function"),
     ("class Outbox: pass", "✗ expected a class with a method `put(self, key, text)`, got Outbox"),
     ("class Outbox:\n    def put(self, key, text): print(1)", "✗ is called with (write, hang_up, limit)")],
)  # fmt: skip
def test_what_is_no_outbox_is_told_so(source, said, capsys):
    [line] = verdict("12.outbox", made(source, "Outbox"), capsys)
    assert line.startswith(said)


LOOP = "            while self.waiting:\n"
PASSES = "        except ConnectionError:\n            pass\n"
AFTER = "what an outbox is still to do when its client is gone"
LOST = "how a client is to learn that it has lost a line"
WRONG = {
    "no limit": ([(FULL, "        if False:\n")], "what becomes of a text that cannot wait"),
    "a list that grows": (
        [(FULL, "        if False:\n"), ("object() if key is None else key", "object()")],
        "what becomes of a text that cannot wait",
    ),
    "drops the oldest": ([(HANG_UP, "            self.waiting.pop(next(iter(self.waiting)))\n")], LOST),
    "drops the newest": ([(HANG_UP, "            self.waiting.popitem()\n")], LOST),
    "drops the oldest too early": (
        [(FULL + HANG_UP, "        if len(self.waiting) >= self.limit:\n"
                          "            self.waiting.pop(next(iter(self.waiting)))\n")],
        "what may be dropped without a word",
    ),
    "conflates lines": ([("object() if key is None else key", "key")], "what may be dropped without a word"),
    "conflates nothing": ([("object() if key is None else key", "object()")], "what replaces what"),
    "keeps the old value": (
        [(WAITS, "        self.waiting.setdefault(object() if key is None else key, text)\n")],
        "which of two values of one key is worth keeping",
    ),
    "a value that replaces counts": (
        [(FULL, "        self.count = getattr(self, 'count', 0) + (self.writer is not None)\n"
                "        if self.count > self.limit:\n"),
         (WRITE, "                self.count = len(self.waiting) - 1\n" + WRITE)],
        "what counts as waiting",
    ),
    "one too few": ([("> self.limit", ">= self.limit")], "what counts as waiting"),
    "one too many": ([("> self.limit", "> self.limit + 1")], "how a client is to learn"),
    "a task for each": ([(BEGIN, "        else:\n            asyncio.create_task(self.empty())\n")],
                        "one writer for each client, or one for each text"),
    "hangs up again and again": (
        [(HANG_UP, "            self.waiting.clear()\n            self.hang_up()\n"), (CAUGHT, PASSES)],
        AFTER,
    ),
    "keeps what waits": ([("        self.waiting.clear()\n", "")], AFTER),
    "goes on after it has hung up": (
        [("        if self.over:\n            return\n", ""), (CAUGHT, PASSES)],
        AFTER,
    ),
    "keeps what waits when it hangs up": (
        [(HANG_UP, "            self.over = True\n            self.hang_up()\n")], AFTER,
    ),
    "joins what waits": (
        [(WRITE, "                texts = [*self.waiting.values()]\n                self.waiting.clear()\n"
                 "                await self.write(' '.join(texts))\n")],
        "how many texts one `write` is given",
    ),
    "goes on after the client is gone": ([(CAUGHT, PASSES)], AFTER),
    "lets the error through": ([("except ConnectionError", "except TimeoutError")], "what `write` raises"),
    "a coroutine": ([("    def put", "    async def put")], "who could do the waiting"),
    "begins once": ([("        self.writer = None\n\n", "\n")], "who begins the next write"),
    "looks again and again": (
        [(LOOP, "            while True:\n                if not self.waiting:\n"
                "                    await asyncio.sleep(0)\n                    continue\n")],
        "who could wake the writer",
    ),
    "looks now and then": (
        [(LOOP, "            while True:\n                if not self.waiting:\n"
                "                    await asyncio.sleep(0.5)\n                    continue\n")],
        "who could wake the writer at that moment",
    ),
    "stands still": ([(WAITS, WAITS + "        __import__('time').sleep(1)\n")], "sleeping and awaiting"),
    "the last first": (
        [("self.waiting.pop(next(iter(self.waiting)))", "self.waiting.popitem()[1]")], "waited longest",
    ),
    "writes before it forgets": (
        [(WRITE, "                await self.write(self.waiting[next(iter(self.waiting))])\n"
                 "                self.waiting.pop(next(iter(self.waiting), None), None)\n")],
        "what counts as waiting",
    ),
    "shared by all": (
        [("        self.waiting = {}\n", ""), ("    def __init__", "    waiting = {}\n\n    def __init__")],
        "what belongs to the class",
    ),
    "one writes for all": (
        [("    def __init__", "    lock = asyncio.Lock()\n\n    def __init__"),
         (WRITE, "                async with self.lock:\n    " + WRITE)],
        "who begins the next write",
    ),
    "keeps a history": (
        [(WAITS, WAITS + "        self.all = getattr(self, 'all', []) + [text]\n")],
        "what becomes of a text that cannot wait",
    ),
    "an error": ([("self.waiting = {}", "self.wating = {}")], "what that line expects"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_outbox_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("12.outbox", made(edited(OUTBOX, *changes), "Outbox"), hint, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "a long sleep": ("__import__('time').sleep(60)", "sleeping and awaiting"),
    "an exit": ("__import__('os')._exit(0)", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "much output": ("print('x' * 1_000_000)", ""),
    "a coroutine that is never awaited": ("asyncio.sleep(1)", "was never awaited"),
    "a thread that does not end": (
        "__import__('threading').Thread(target=__import__('threading').Event().wait).start()", "",
    ),
}  # fmt: skip


def doing(what):
    """A good outbox that does something else first whenever a message comes."""
    source = edited(OUTBOX, ("        if self.over:\n", f"        {what}\n        if self.over:\n"))
    return made(source, "Outbox")


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_outbox_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("12.outbox", doing(what), hint, made(OUTBOX, "Outbox"), capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [("last", 1.525, "✓"), ("last", 1.53, "✓"), ("last", 1.5, "✗ not 1.5: that is when it leaves"),
     ("last", 1.55, "✗ not 1.55"),
     ("last", 0.025, "✗ not 0.025: that is the first"), ("last", 0.775, "✗ not 0.775: that is the average"),
     ("last", 1525, "✗ not 1525: in seconds"), ("last", "soon", "✗ expected a number"),
     ("unnoticed", 40, "✓"), ("unnoticed", 39.6, "✓"), ("unnoticed", 41, "✗ not 41"),
     ("unnoticed", 10, "✗ not 10: that is the outbox alone"), ("unnoticed", 30, "✗ not 30: that is when"),
     ("unnoticed", None, "✗ expected a number"), ("unnoticed", 1e9, "✗ not 1e+09")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"12.{task}", answer, said, capsys)
