"""The task of notebook 16: a whole chat, which a crowd of robots tries."""

import itertools
import random
import socket
import struct

import pytest
from cells import assert_caught, assert_harmless, assert_hinted, assert_says, edited, is_right, made, verdict
from tornado.web import RequestHandler

from lpws.exercises import n16
from lpws.exercises.chats import Chat, Chats, Entry
from lpws.exercises.observer import Wrong
from lpws.exercises.program import Program, Unfit, to_bytes

CHAT = """
import asyncio
import json

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler


def chat():
    log, ids, here, news = [], {}, [], asyncio.Event()

    def tell(kind, name, **more):
        log.append(json.dumps({"kind": kind, "name": name} | more))
        news.set(), news.clear()  # wakes all who wait just now
        return len(log)

    def checked(text, most):
        if not isinstance(text, str) or not 0 < len(text) <= most:
            raise HTTPError(400)
        return text

    class Post(RequestHandler):
        def post(self):
            try:
                said = json.loads(self.request.body)
                key, name, text = said["key"], said["name"], said["text"]
            except (ValueError, TypeError, KeyError, RecursionError):
                raise HTTPError(400) from None
            checked(key, 64), checked(name, 24), checked(text, 1000)
            if key not in ids:  # and no `await` until it is
                ids[key] = tell("said", name, text=text)
            self.write({"id": ids[key]})

    class Stream(RequestHandler):
        async def get(self):
            name = checked(self.get_query_argument("name", ""), 24)
            last = self.get_query_argument("cursor", "")
            last = self.request.headers.get("Last-Event-ID", last)
            cursor = int(last) if last in map(str, range(len(log) + 1)) else 0
            self.set_header("Content-Type", "text/event-stream")
            here.append(name)
            if here.count(name) == 1:
                tell("came", name)
            try:
                while True:
                    for data in log[cursor:]:
                        cursor += 1
                        self.write(f"id: {cursor}\\ndata: {data}\\n\\n")
                    await self.flush()  # as fast as this client reads
                    if cursor == len(log):  # nothing came meanwhile
                        await news.wait()
            except StreamClosedError:
                here.remove(name)
                if name not in here:
                    tell("left", name)

        def on_connection_close(self):
            news.set(), news.clear()  # now `flush` finds it closed

    return {"/post": Post, "/stream": Stream}
"""
ENDS = edited(
    CHAT[CHAT.index("            except StreamClosedError") : CHAT.index("        def on_connection")]
)
LOOP = CHAT[CHAT.index("            try:\n                while") : CHAT.index("        def on_connection")]
SAYS = 'ids[key] = tell("said", name, text=text)'
LOOK = f"            if key not in ids:  # and no `await` until it is\n                {SAYS}\n"
READS = CHAT[CHAT.index("            try:\n                said") : CHAT.index("            checked(key")]
CHECKS = "checked(key, 64), checked(name, 24), checked(text, 1000)"
DATA = 'self.write(f"id: {cursor}\\ndata: {data}\\n\\n")'
CURSOR = "int(last) if last in map(str, range(len(log) + 1)) else 0"
CAME = """            if here.count(name) == 1:
                tell("came", name)
"""
LEFT = """                if name not in here:
                    tell("left", name)
"""
NEWS = """                    if cursor == len(log):  # nothing came meanwhile
                        await news.wait()
"""
TAKES_ROOM = "        def initialize(self, room):\n            self.room = room\n\n"
TASK = "            self.task = asyncio.current_task()\n"
BODY = "json.loads(self.request.body)"
WAITS = "await news.wait()"
CLOSES = "news.set(), news.clear()  # now `flush` finds it closed"
#: Streams with a queue each, which is filled where the log grows.
QUEUES = edited(
    CHAT,
    ("here, news = [], {}, [], asyncio.Event()", "here, queues = [], {}, [], []"),
    (
        "        news.set(), news.clear()  # wakes all who wait just now\n",
        "        for queue in queues:\n            queue.put_nowait((len(log), log[-1]))\n",
    ),
    (
        LOOP,
        """            self.queue = asyncio.Queue()
            for number, data in enumerate(log, 1):
                if number > cursor:
                    self.queue.put_nowait((number, data))
            queues.append(self.queue)
            try:
                while got := await self.queue.get():
                    self.write("id: {}\\ndata: {}\\n\\n".format(*got))
                    await self.flush()
            except StreamClosedError:
                pass
            finally:
                queues.remove(self.queue)
                here.remove(name)
                if name not in here:
                    tell("left", name)

""",
    ),
    (CLOSES, "self.queue.put_nowait(None)"),
)
FILLS = QUEUES[
    QUEUES.index("            for number, data in enumerate") : QUEUES.index("            queues.append")
]
LISTENS = "            queues.append(self.queue)\n"
#: A chat that writes to all streams wherever something is said.
WRITES = edited(
    CHAT,
    ("here, news = [], {}, [], asyncio.Event()", "here, streams = [], {}, [], []"),
    (
        "        news.set(), news.clear()  # wakes all who wait just now\n",
        """        for stream in list(streams):
            stream.send(len(log))
""",
    ),
    (
        LOOP,
        """            self.gone = asyncio.Event()
            for number in range(cursor + 1, len(log) + 1):
                self.send(number)
            streams.append(self)
            await self.gone.wait()
            streams.remove(self)
            here.remove(name)
            if name not in here:
                tell("left", name)

        def send(self, number):
            try:
                self.write(f"id: {number}\\ndata: {log[number - 1]}\\n\\n")
                self.flush()
            except StreamClosedError:
                pass

""",
    ),
    (CLOSES, "self.gone.set()"),
)
#: As one writes it first: whoever goes is crossed off where Tornado says so.
BOOKS = edited(
    CHAT,
    (
        "            try:\n                while True",
        "            self.name = name\n            try:\n                while name in here",
    ),
    (ENDS, "            except StreamClosedError:\n                pass\n\n"),
    (
        CLOSES,
        """here.remove(self.name)
            if self.name not in here:
                tell("left", self.name)""",
    ),
)
ROOM = """
import asyncio, json
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

class Room:
    def __init__(self):
        self.entries, self.numbers, self.tabs = [], {}, {}
        self.grown = asyncio.Event()

    def wake(self):
        self.grown.set()
        self.grown = asyncio.Event()

    def append(self, **entry):
        self.entries.append(entry)
        self.wake()
        return len(self.entries)

    def comes(self, name):
        self.tabs[name] = self.tabs.get(name, 0) + 1
        if self.tabs[name] == 1:
            self.append(kind="came", name=name)

    def goes(self, name):
        self.tabs[name] -= 1
        if not self.tabs[name]:
            del self.tabs[name]
            self.append(name=name, kind="left")

def is_good(text, most):
    return isinstance(text, str) and 1 <= len(text) <= most

class Handler(RequestHandler):
    def initialize(self, room):
        self.room = room

class Post(Handler):
    def post(self):
        try:
            letter = json.loads(self.request.body.decode())
        except (ValueError, RecursionError):
            letter = None
        if not isinstance(letter, dict):
            self.set_status(400)
            return
        key, name, text = (letter.get(field) for field in ("key", "name", "text"))
        if not (is_good(key, 64) and is_good(name, 24) and is_good(text, 1000)):
            self.send_error(400)
            return
        if (number := self.room.numbers.get(key)) is None:
            number = self.room.numbers[key] = self.room.append(kind="said", name=name, text=text)
        self.finish(json.dumps({"id": number, "said": text}))

class Stream(Handler):
    async def get(self):
        name = self.get_query_argument("name", None)
        if not is_good(name, 24):
            self.send_error(400)
            return
        try:
            cursor = int(self.request.headers.get("Last-Event-ID") or self.get_query_argument("cursor", 0))
        except ValueError:
            cursor = 0
        if not 0 <= cursor <= len(self.room.entries):
            cursor = 0
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.write("retry: 500\\n\\n")
        self.room.comes(name)
        try:
            while not self.request.connection.stream.closed():
                while cursor < len(self.room.entries):
                    data = json.dumps(self.room.entries[cursor])
                    cursor += 1
                    self.write(f"data: {data}\\r\\nid: {cursor}\\r\\n\\r\\n")
                    await self.flush()
                try:
                    await asyncio.wait_for(self.room.grown.wait(), 15)
                except asyncio.TimeoutError:
                    self.write(": still here\\n\\n")
                    await self.flush()
        except StreamClosedError:
            pass
        finally:
            self.room.goes(name)

    def on_connection_close(self):
        self.room.wake()

def chat():
    room = Room()
    return [("/post", Post, {"room": room}), ("/stream", Stream, dict(room=room))]
"""
#: A chat that is no new one: its state is global.
GLOBAL = edited(
    ROOM,
    ("    def initialize(self, room):\n        self.room = room\n", "    room = Room()\n"),
    (
        ROOM[ROOM.index("def chat") :],
        "from tornado.web import Application\n\ndef chat():\n"
        "    return Application([('/post', Post), (r'/stream', Stream)], debug=False)\n",
    ),
)
GOOD = {
    "the solution": CHAT,
    "a long log in parts": edited(
        CHAT,
        ("for data in log[cursor:]", "for data in log[cursor : cursor + 10]"),
        (NEWS, NEWS + "                    else:\n                        await asyncio.sleep(0.001)\n"),
    ),
    "queues": QUEUES,
    "writes to all, and waits for nobody": WRITES,
    "a room, rules and heartbeats": ROOM,
    "an application": edited(
        ROOM,
        (
            ROOM[ROOM.index("    return [(") :],
            "    from tornado.web import Application\n"
            "    rules = [('/post', Post, {'room': room}), (r'/stream', Stream, {'room': room})]\n"
            "    return Application(rules, debug=False)\n",
        ),
    ),
    "waits before it says that somebody left": edited(
        CHAT,
        (
            LEFT,
            """                asyncio.get_running_loop().call_later(5, leaves, name)
""",
        ),
        (
            CAME,
            """            if name not in present:
                present.add(name)
                tell("came", name)
""",
        ),
        (
            "    class Post",
            """    present = set()

    def leaves(name):
        if name not in here and name in present:
            present.discard(name)
            tell("left", name)

    class Post""",
        ),
    ),
    "hangs up on whoever does not read": edited(
        CHAT,
        ("await self.flush()  # as", "await asyncio.wait_for(self.flush(), 0.25)  # as"),
        (
            "except StreamClosedError:\n",
            "except (StreamClosedError, asyncio.TimeoutError):\n"
            "                self.request.connection.stream.close()\n",
        ),
        ("if cursor == len(log):", "if cursor == len(log) and not self.request.connection.stream.closed():"),
    ),
    "writes into a store, with the key noted before": edited(
        CHAT,
        (
            LOOK,
            """            if key not in ids:
                ids[key] = asyncio.get_running_loop().create_future()
                await asyncio.sleep(0.01)
                ids[key].set_result(tell("said", name, text=text))
            self.write({"id": await ids[key]})
            return
""",
        ),
        ("        def post", "        async def post"),
    ),
    "a lock around it all": edited(
        CHAT,
        (
            LOOK,
            """            async with lock:
                if key not in ids:
                    await asyncio.sleep(0)
                    ids[key] = tell("said", name, text=text)
""",
        ),
        ("        def post", "        async def post"),
        ("    class Post", "    lock = asyncio.Lock()\n\n    class Post"),
    ),
    "says more than it has to": edited(
        CHAT,
        ("| more)", "| more | {'at': 12.5, 'n': len(log) + 1})"),
        (
            'self.write({"id": ids[key]})',
            'self.set_status(201)\n            self.write({"id": ids[key], "here": sorted(here)})',
        ),
    ),
    "UTF-8, and no half a character": edited(
        CHAT,
        ("| more)", "| more, ensure_ascii=False)"),
        (
            READS,
            READS.replace(
                "\n            except", "\n                text.encode()\n            except"
            ).replace("KeyError", "KeyError, AttributeError"),
        ),
    ),
    "looks twenty times per second": edited(
        CHAT,
        ("await news.wait()", "await asyncio.sleep(0.05)"),
    ),
    "cancels its `get`": edited(
        CHAT,
        ("            here.append(name)\n", "            here.append(name)\n" + TASK),
        ("            except StreamClosedError:\n", "            finally:\n"),
        (CLOSES, "self.task.cancel()"),
    ),
    "cancels a task that its `get` awaits": edited(
        CHAT,
        ("async def get(self):", "async def serve(self):"),
        ("            except StreamClosedError:\n", "            finally:\n"),
        (
            "        def on_connection",
            "        async def get(self):\n"
            "            self.task = asyncio.create_task(self.serve())\n"
            "            await self.task\n\n        def on_connection",
        ),
        (CLOSES, "self.task.cancel()"),
    ),
    "keeps a log of its own": edited(
        CHAT,
        (
            "            except StreamClosedError:\n",
            "            except StreamClosedError:\n"
            "                __import__('logging').error('a client has gone: %s', name)\n",
        ),
    ),
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_chat_passes(source, capsys):
    lines = verdict("16.chat", made(source, "chat"), capsys)
    assert is_right(lines), lines
    assert len(lines) == len(BEHAVIORS)


BEHAVIORS = [behavior for stage in n16.CHAT.stages for _, behavior in stage]


def tried(source, seeds, behaviors=tuple(BEHAVIORS)):
    """What is wrong with a chat, behavior by behavior, for each of these seeds."""
    wrong = []
    with Program(Chats(to_bytes(made(source, "chat")))) as program:
        for seed, behavior in itertools.product(seeds, behaviors):
            try:
                with Chat(program, random.Random(seed)) as chat:
                    behavior(chat)
            except Wrong as what:
                wrong.append((behavior.__name__, seed, f"{what}"))
    return wrong


@pytest.mark.parametrize("five", range(4))
def test_the_solution_passes_whatever_is_drawn(five):
    assert tried(CHAT, range(5 * five, 5 * five + 5)) == []


#: What is changed; the behavior that fails first, and what is said of it.
WRONG = {
    "numbers from 0": ([("return len(log)", "return len(log) - 1")], "which number a log begins with"),
    "no number in the answer": (
        [('self.write({"id": ids[key]})', 'self.write("ok")')],
        "what the page wants to know",
    ),
    "the method of a form": ([("def post", "def put")], "which method handles it"),
    "two wrong names": ([("/post", "/posts")], "the addresses in what"),
    "further fields go on": (
        [(SAYS, 'ids[key] = tell(**{"kind": "said", **said})')],
        "which fields of a post go into the log",
    ),
    "further fields are refused": (
        [(CHECKS, CHECKS + "\n            if len(said) > 3: raise HTTPError(400)")],
        "which fields of a post go into the log",
    ),
    "another status": (
        [("raise HTTPError(400)\n        return text", "raise HTTPError(403)\n        return text")],
        "answered with status 403",
    ),
    "a key is compared with the text": (
        [("if key not in ids:", "if (key, text) not in ids:"), ("ids[key]", "ids[key, text]")],
        "what a key stands for",
    ),
    "a key with another text": (
        [
            (
                SAYS,
                SAYS
                + "\n            elif text not in log[ids[key] - 1]:\n                raise HTTPError(409)",
            )
        ],
        "what a key stands for",
    ),
    "ten keys": (
        [(SAYS, SAYS + "\n                for old in list(ids)[:-10]: del ids[old]")],
        "for how long a page may retry",
    ),
    "the last fifty only": (
        [
            (
                "            self.set_header",
                "            cursor = cursor or max(0, len(log) - 50)\n            self.set_header",
            )
        ],
        "the first message *after* the cursor",
    ),
    "digits": (
        [(CURSOR, "int(last) if last.isdigit() and int(last) <= len(log) else 0")],
        "when a client came with cursor=²",
    ),
    "only what is said wakes": (
        [
            (
                "        news.set(), news.clear()  # wakes all who wait just now\n",
                "        kind == 'said' and (news.set(), news.clear())\n",
            )
        ],
        "whether `came` and `left` wake a stream",
    ),
    "no keys": ([("if key not in ids:", "if True:")], "the answer is the old one"),
    "an answer of its own for a retry": (
        [(SAYS, SAYS + "\n            else:\n                raise HTTPError(409)")],
        "the answer is the old one",
    ),
    "nothing for a retry": (
        [(SAYS, SAYS + "\n            else:\n                return")],
        "what the page wants to know",
    ),
    "by the words": (
        [(CHECKS, CHECKS + "\n            key = name + text")],
        "known by its key alone",
    ),
    "the last key only": ([(SAYS, "ids.clear()\n                " + SAYS)], "for how long a page may retry"),
    "an await between": (
        [(SAYS, "await asyncio.sleep(0)\n                " + SAYS), ("def post", "async def post")],
        "each `await` between looking up the key",
    ),
    "a store, and then the key": (
        [(SAYS, "await asyncio.sleep(0.05)\n                " + SAYS), ("def post", "async def post")],
        "each `await` between looking up the key",
    ),
    "the key before the checks": (
        [
            (
                CHECKS,
                "checked(key, 64)\n            known = key in ids\n"
                "            ids.setdefault(key, len(log) + 1)\n"
                "            checked(name, 24), checked(text, 1000)",
            ),
            (LOOK, "            if not known:\n                tell('said', name, text=text)\n"),
        ],
        "what is checked before anybody is told",
    ),
    "the message before the checks": (
        [(f"            {CHECKS}\n", ""), (LOOK, LOOK + f"            {CHECKS}\n")],
        "the checks come first",
    ),
    "no try around the JSON": (
        [
            (
                READS,
                "            said = json.loads(self.request.body)\n"
                '            key, name, text = said["key"], said["name"], said["text"]\n',
            )
        ],
        "raised ",
    ),
    "broken JSON only": (
        [("(ValueError, TypeError, KeyError, RecursionError)", "ValueError")],
        ", when somebody posted",
    ),
    "an error of the server": ([("HTTPError(400) from", "HTTPError(500) from")], "what anybody may post"),
    "no limits": (
        [("raise HTTPError(400)\n        return text", "pass\n        return text")],
        "what anybody may post",
    ),
    "no limit on texts": ([(", checked(text, 1000)", "")], "what anybody may post"),
    "no limit on names": ([(", checked(name, 24)", "")], "what anybody may post"),
    "counts bytes": ([("len(text) <= most", "len(text.encode()) <= most")], "with a key of 64 characters"),
    "one too few": ([("len(text) <= most", "len(text) < most")], "with a key of 64 characters"),
    "one too many": ([("len(text) <= most", "len(text) <= most + 1")], "what anybody may post"),
    "no look at the kind": ([("not isinstance(text, str) or not", "not")], "when somebody posted"),
    "cuts": (
        [(CHECKS, CHECKS.replace("checked(text, 1000)", "1") + "\n            text = str(text)[:1000]")],
        "what anybody may post",
    ),
    "strips": ([("text=text", "text=text.strip()")], "between the post and the stream: nothing"),
    "escapes": (
        [
            ("text=text", "text=xhtml_escape(text)"),
            ("import json\n", "import json\nfrom tornado.escape import xhtml_escape\n"),
        ],
        "`textContent`",
    ),
    "JSON by hand": (
        [
            (
                'json.dumps({"kind": kind, "name": name} | more)',
                '\'{"kind": "%s", "name": "%s", "text": "%s"}\' % (kind, name, more["text"]) if more else '
                'json.dumps({"kind": kind, "name": name})',
            )
        ],
        "what `json.dumps` makes of a line break",
    ),
    "Python instead of JSON": ([('json.dumps({"kind"', 'str({"kind"')], "who makes the JSON"),
    "half a character stays": (
        [("| more)", "| more, ensure_ascii=False)")],
        "when somebody had posted half a character",
    ),
    "no kind of stream": (
        [('            self.set_header("Content-Type", "text/event-stream")\n', "")],
        "an EventSource gives up",
    ),
    "no flush": ([("await self.flush()  # as", "pass  # as")], "until there is a `flush`"),
    "one line end": ([('{data}\\n\\n"', '{data}\\n"')], "the empty line that ends an event"),
    "no ids": ([('f"id: {cursor}\\ndata', 'f"data')], "what an EventSource is to name"),
    "a type": ([('f"id:', 'f"event: said\\nid:')], "`onmessage` gets"),
    "it ends": ([("while True:", "while cursor < len(log):"), (NEWS, "")], "what keeps an answer open"),
    "it begins with what is new": ([(CURSOR, "len(log)")], "the first message *after* the cursor"),
    "no cursor": ([(CURSOR, "0")], "the first message *after* the cursor"),
    "the cursor again": (
        [
            (
                "for data in log[cursor:]",
                "cursor = max(cursor - 1, 0)\n                    for data in log[cursor:]",
            )
        ],
        "sent message",
    ),
    "as texts": (
        [
            ("for data in log[cursor:]", "for number, data in [*enumerate(log, 1)][cursor:]"),
            (
                "                while True:\n",
                "                while True:\n                    begin = last if first else '0'\n",
            ),
        ],
        "",
    ),
    "no Last-Event-ID": ([('self.request.headers.get("Last-Event-ID", last)', "last")], "a header names"),
    "the old address first": (
        [
            (
                'last = self.request.headers.get("Last-Event-ID", last)',
                'last = last or self.request.headers.get("Last-Event-ID", "")',
            )
        ],
        "which is newer",
    ),
    "whole numbers only": (
        [(CURSOR, "int(last) if 0 <= int(last) <= len(log) else 0")],
        "raised ValueError",
    ),
    "a cursor ahead": (
        [(CURSOR, "int(last) if last.isdecimal() else 0"), ("== len(log)", ">= len(log)")],
        "an impossible cursor",
    ),
    "a cursor ahead is the end": (
        [(CURSOR, "min(int(last) if last.isdecimal() else 0, len(log))")],
        "an impossible cursor",
    ),
    "a cursor below 0": (
        [(CURSOR, "int(last) if last.lstrip('-').isdecimal() and int(last) <= len(log) else 0")],
        "an impossible cursor",
    ),
    "refuses a cursor": (
        [
            (
                "            here.append(name)\n",
                "            if last not in map(str, range(len(log) + 1)): raise HTTPError(400)\n"
                "            here.append(name)\n",
            )
        ],
        "it gives up for good",
    ),
    "nobody is named": (
        [
            (
                'name = checked(self.get_query_argument("name", ""), 24)',
                'name = self.get_query_argument("name", "?")',
            )
        ],
        "what a stream needs before it begins",
    ),
    "every name is refused": ([(CAME, CAME + "            raise HTTPError(400)\n")], ", whose name is '"),
    "nobody without a cursor": ([('"cursor", ""', '"cursor"')], "a client that came without a cursor"),
    "the last 250 only": (
        [(f"            cursor = {CURSOR}\n", f"            cursor = {CURSOR} or max(0, len(log) - 250)\n")],
        "somebody gets who has nothing yet",
    ),
    "fifty keys": (
        [(SAYS, SAYS + "\n                for old in list(ids)[:-50]: del ids[old]")],
        "for how long a page may retry",
    ),
    "keys for ten minutes": (
        [(SAYS, SAYS + "\n                asyncio.get_running_loop().call_later(600, ids.pop, key)")],
        "for how long a page may retry",
    ),
    "the last words of a key": (
        [
            (
                SAYS,
                SAYS
                + "\n            else:\n                log[ids[key] - 1] = json.dumps("
                + "{'kind': 'said', 'name': name, 'text': text})",
            )
        ],
        "after a known key had come with other words – think about what a key stands for",
    ),
    "a room that nobody hands over": (
        [("    class Post(RequestHandler):\n", f"    class Post(RequestHandler):\n{TAKES_ROOM}")],
        "what a handler's `initialize` is called with",
    ),
    "nobody awaits what tells": ([("    def tell", "    async def tell")], "who awaits it"),
    "the newest tab is the one that counts": (
        [
            ("    class Post", "    latest = {}\n\n    class Post"),
            (CAME, "            name in latest or tell('came', name)\n            latest[name] = self\n"),
            (LEFT, "                latest.get(name) is self and tell('left', latest.pop(name) and name)\n"),
        ],
        "two tabs of one person, one of them closed",
    ),
    "counts as JavaScript does": (
        [("len(text) <= most", "len(text.encode('utf-16-le', 'surrogatepass')) <= 2 * most")],
        "with a key of 64 characters",
    ),
    "the beginning of a key": ([(CHECKS, CHECKS + "\n            key = key[:32]")], "known by its key alone"),
    "small letters": ([(CHECKS, CHECKS + "\n            key = key.lower()")], "known by its key alone"),
    "an error for a known key": (
        [(CHECKS, "if str(key) in ids and name == 7: raise HTTPError(500)\n            " + CHECKS)],
        "a known key with a number for a name",
    ),
    "another field for the name": ([('"name": name} | more', '"user": name} | more')], "what a page reads"),
    "another kind": ([('tell("said"', 'tell("message"')], "what a page reads"),
    "a text in a text": (
        [('append(json.dumps({"kind"', 'append(json.dumps(json.dumps({"kind"'), ("| more))", "| more)))")],
        "what a page reads",
    ),
    "a handler per name": (
        [("    class Post", "    by = {}\n    class Post"), (CAME, CAME + "            by[name] = self\n")],
        "what still holds a stream",
    ),
    "nobody comes": ([(CAME, ""), (LEFT, "")], "whom to tell that somebody is here"),
    "each tab comes": ([("if here.count(name) == 1:", "if True:")], "with the first they come"),
    "one tab leaves, and all do": (
        [("if name not in here:", "if True:")],
        "two tabs of one person, one of them closed",
    ),
    "nobody leaves": ([(LEFT, "")], "how Tornado tells a handler"),
    "who speaks has come": (
        [(SAYS, 'tell("came", name)\n                ' + SAYS)],
        "what was told before",
    ),
    "it shows at the next message": (
        [
            (
                "        def on_connection_close(self):\n"
                f"            {CLOSES}\n",
                "",
            )
        ],
        "how Tornado tells a handler",
    ),
    "asks every half second": (
        [("await news.wait()", "await asyncio.sleep(0.5)")],
        "who could wake each stream",
    ),
    "asks all the time": ([("await news.wait()", "await asyncio.sleep(0)")], "looks again and again"),
    "stands still": (
        [(SAYS, "__import__('time').sleep(0.2)\n                " + SAYS)],
        "sleeping and awaiting",
    ),
    "does not look again": (
        [("if cursor == len(log):  # nothing came meanwhile", "if True:")],
        "while `flush` waits for a client",
    ),
    "an error": ([("log.append(", "log.apend(")], "raised AttributeError"),
    "no handlers": ([('return {"/post": Post, "/stream": Stream}', "")], "returned None"),
    "an error at the start": ([("log, ids, here", "log, ids = here")], "raised "),
}
del WRONG["as texts"]
WRONG |= {
    "Latin-1": (
        [(BODY, 'json.loads(self.request.body.decode("latin-1"))')],
        "the post and the stream: nothing",
    ),
    "what is no UTF-8 is replaced": (
        [(BODY, 'json.loads(self.request.body.decode("utf-8", "replace"))')],
        "what anybody may post",
    ),
    "a list of pairs": ([(BODY, f"dict({BODY})")], "what anybody may post"),
    "brackets in brackets": ([(", RecursionError)", ")")], "raised RecursionError"),
    "one Content-Type only": (
        [
            (
                CHECKS,
                CHECKS
                + "\n            if 'json' not in self.request.headers['Content-Type']: raise HTTPError(400)",
            )
        ],
        "whatever its Content-Type",
    ),
    "the key goes out": ([("text=text)", "text=text, key=key)")], "which fields of a post go into the log"),
    "all but the key goes out": (
        [(SAYS, "del said['key']\n                ids[key] = tell(**said | {'kind': 'said'})")],
        "which fields of a post go into the log",
    ),
    "the key is stripped": ([(CHECKS, CHECKS + "\n            key = key.strip()")], "known by its key alone"),
    "no blanks": ([("0 < len(text)", "0 < len(text.strip())")], "what a valid post is"),
    "normalizes": (
        [("text=text", "text=__import__('unicodedata').normalize('NFC', text)")],
        "the post and the stream: nothing",
    ),
    "a 503 for the second": (
        [
            (
                SAYS,
                "ids[key] = None\n                await asyncio.sleep(0.01)\n                "
                + SAYS
                + "\n            if ids[key] is None: raise HTTPError(503)",
            ),
            ("def post", "async def post"),
        ],
        "all get the first one's number",
    ),
    "the larger cursor": (
        [
            (
                'last = self.request.headers.get("Last-Event-ID", last)',
                'last = max(last, self.request.headers.get("Last-Event-ID", ""), key=lambda n: n.zfill(9))',
            )
        ],
        "which is newer",
    ),
    "comes before it looks at the cursor": (
        [
            ("            here.append(name)\n" + CAME, ""),
            (
                "            last = self.get_query",
                "            here.append(name)\n" + CAME + "            last = self.get_query",
            ),
        ],
        "an impossible cursor",
    ),
    "infinity": (
        [
            (
                f"            cursor = {CURSOR}\n",
                "            try:\n                cursor = int(float(last))\n"
                "            except ValueError:\n                cursor = 0\n"
                "            cursor *= 0 <= cursor <= len(log)\n",
            )
        ],
        "when a client came with cursor=inf",
    ),
    "digits without end": (
        [(CURSOR, "int(last) if last.isdecimal() and int(last) <= len(log) else 0")],
        "when a client came with cursor=9999",
    ),
    "an error when a client goes": ([(CLOSES, "news.sett()")], "raised AttributeError: 'Event' object"),
    "`wait_for` on what all share": (
        [
            ("asyncio.Event()", "[]"),
            (
                "        news.set(), news.clear()  # wakes all who wait just now\n",
                "        while news:\n            (future := news.pop()).done() or future.set_result(None)\n",
            ),
            (
                WAITS,
                "if not news or news[0].done():\n"
                "                            news[:] = [asyncio.get_running_loop().create_future()]\n"
                "                        try:\n"
                "                            await asyncio.wait_for(news[0], 1)\n"
                "                        except asyncio.TimeoutError:\n"
                "                            pass",
            ),
            (CLOSES, "pass"),
        ],
        "what else waits for a future that is canceled",
    ),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_chat_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("16.chat", made(edited(CHAT, *changes), "chat"), hint, capsys)


#: Of streams with queues.
WRONG_QUEUES = {
    "it listens too late": (
        [(LISTENS, "            await asyncio.sleep(0.01)\n" + LISTENS)],
        "what may be said at each `await`",
    ),
    "it listens after a long log": (
        [
            (
                FILLS,
                """            for number, data in list(enumerate(log, 1))[cursor:]:
                self.write(f"id: {number}\\ndata: {data}\\n\\n")
                await self.flush()
""",
            )
        ],
        "what may be said at each `await`",
    ),
    "it listens too early": (
        [(LISTENS, ""), (FILLS, LISTENS + "            await asyncio.sleep(0.01)\n" + FILLS)],
        "what may be said at each `await`",
    ),
    "drops what does not fit": (
        [
            ("asyncio.Queue()", "asyncio.Queue(len(log) + 25)"),
            (
                "queue.put_nowait((len(log), log[-1]))",
                "queue.full() or queue.put_nowait((len(log), log[-1]))",
            ),
        ],
        "while `flush` waits for a client",
    ),
    "a stream of a minute": (
        [("await self.queue.get()", "await asyncio.wait_for(self.queue.get(), 60)")], "raised TimeoutError",
    ),
    "a queue for a name": (
        [
            ("    def tell", "    names = {}\n\n    def tell"),
            (
                LISTENS,
                "            if name in names: queues.remove(names[name])\n"
                "            names[name] = self.queue\n" + LISTENS,
            ),
            ("queues.remove(self.queue)", "if names.get(name) is self.queue: queues.remove(names.pop(name))"),
        ],
        "two tabs",
    ),
    "keeps the queues": (
        [
            ("        def on_connection", "            kept.append(self)\n\n        def on_connection"),
            ("    class Post", "    kept = []\n\n    class Post"),
        ],
        "what still holds a stream",
    ),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG_QUEUES.values(), ids=WRONG_QUEUES)
def test_a_wrong_chat_with_queues_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("16.chat", made(edited(QUEUES, *changes), "chat"), hint, capsys)


WRONG_WRITES = {
    "everybody waits for the slow": (
        [
            ("    def tell", "    async def tell"),
            (" = tell(", " = await tell("),
            ("  tell(", "  await tell("),
            ("def post", "async def post"),
            ("            stream.send", "            await stream.send"),
            ("                self.send", "                await self.send"),
            ("        def send", "        async def send"),
            ("            self.flush()", "            await self.flush()"),
        ],
        "what `post` waits for, and who waits with it",
    ),
    "the new one does not hear that it has come": (
        [(CAME, ""), ("            streams.append(self)\n", CAME + "            streams.append(self)\n")],
        "",
    ),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG_WRITES.values(), ids=WRONG_WRITES)
def test_a_wrong_chat_that_writes_to_all_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("16.chat", made(edited(WRITES, *changes), "chat"), hint, capsys)


def test_who_goes_while_somebody_speaks_is_a_ghost_in_books_that_tornado_is_to_close(capsys):
    for _ in range(3):
        lines = verdict("16.chat", made(BOOKS, "chat"), capsys)
        [wrong] = [line for line in lines if line.startswith("✗")]
        assert "never calls `on_connection_close`" in wrong


STATE = "log, ids, here, news = [], {}, [], "


@pytest.mark.parametrize(
    "source",
    [
        GLOBAL,
        "log, ids, here = [], {}, []\n" + edited(CHAT, (STATE, "news = ")),
        "ids = {}\n" + edited(CHAT, (STATE, "log, here, news = [], [], ")),
        edited(CHAT, (STATE, "log, here, news = [], [], "), ("def chat()", "def chat(ids={})")),
        "here = []\n" + edited(CHAT, (STATE, "log, ids, news = [], {}, ")),
    ],
    ids=["everything", "log, keys and names", "keys", "keys by default", "names"],
)
def test_a_chat_that_is_the_same_each_time_is_no_new_one(source, capsys):
    [wrong] = [line for line in verdict("16.chat", made(source, "chat"), capsys) if line.startswith("✗")]
    assert wrong.endswith("where log, keys and names live: in the function, or beside it")


#: Of those that wait before they say that somebody left.
WRONG_WAITS = {
    "twelve seconds": ([("call_later(5,", "call_later(12,")], "how soon `left` is to follow"),
    "one timer for all": (
        [
            (
                "asyncio.get_running_loop().call_later(5, leaves, name)",
                "[old.cancel() for old in timers]\n"
                "                timers[:] = [asyncio.get_running_loop().call_later(3, leave)]",
            ),
            (
                "    def leaves",
                "    timers, leave = [], lambda: [leaves(name) for name in list(present)]\n\n    def leaves",
            ),
        ],
        "others who come and go",
    ),
    "no head without news": (
        [
            ("for data in log[cursor:]:", "due = log[cursor:]\n                    for data in due:"),
            (
                "await self.flush()  # as",
                "if due or self.request.connection.stream.closed(): await self.flush()  # as",
            ),
        ],
        "the head is due at once",
    ),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG_WAITS.values(), ids=WRONG_WAITS)
def test_a_wrong_chat_that_waits_gets_the_hint_that_fits(changes, hint, capsys):
    chat = edited(GOOD["waits before it says that somebody left"], *changes)
    assert_hinted("16.chat", made(chat, "chat"), hint, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "a long sleep": ("__import__('time').sleep(60)", "sleeping and awaiting"),
    "an exit": ("__import__('os')._exit(0)", "ended its own process"),
    "sys.exit": ("raise SystemExit", "ended its own process"),
    "an interrupt": ("raise KeyboardInterrupt", ""),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "a coroutine that is never awaited": ("asyncio.sleep(1)", "was never awaited"),
    "an end of the loop": ("asyncio.get_running_loop().stop()", "ended its own process"),
    "no connection": ("self.request.connection.stream.close()", ""),
    "a canceled task": ("asyncio.current_task().cancel()", ""),
    "no end of an answer": ("self.set_header('Content-Length', '5')", ""),
}
#: Once.
HARMLESS = {
    "much output": "print('x' * 1_000_000)",
    "a thread that does not end": (
        "__import__('threading').Thread(target=__import__('threading').Event().wait).start()"
    ),
    "a task that does not end": "asyncio.get_running_loop().create_task(asyncio.sleep(1e9))",
    "a process that does not end": "__import__('subprocess').Popen(['sleep', '30'])",
    "a fake verdict": "print('✓ everything is right')",
}


def doing(what, where="key not in ids"):
    """A good chat that does something else first whenever somebody says something new."""
    return made(
        edited(CHAT, (f"            if {where}:", f"            {what}\n            if {where}:")), "chat"
    )


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_chat_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("16.chat", doing(what), hint, made(CHAT, "chat"), capsys)


@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
def test_what_a_chat_does_besides_does_no_harm(what, capsys):
    assert_harmless("16.chat", doing(f"ids or {what}"), made(CHAT, "chat"), capsys)


@pytest.mark.parametrize("what", ["while True: pass", "1 / 0", "raise SystemExit"])
@pytest.mark.parametrize("where", ["here.count(name) == 1", "cursor == len(log)"])
def test_a_hostile_stream_gets_a_verdict_and_leaves_nothing(what, where, capsys):
    source = f"def act():\n    {what}\n" + edited(CHAT, (f"if {where}:", f"if {where} and not act():"))
    assert_caught("16.chat", made(source, "chat"), "", made(CHAT, "chat"), capsys)


@pytest.mark.parametrize(
    "what", ["while True: pass", "raise SystemExit", "__import__('time').sleep(60)", "return chat"]
)
def test_a_hostile_start_gets_a_verdict_and_leaves_nothing(what, capsys):
    source = edited(CHAT, ("def chat():\n", f"def chat():\n    {what}\n"))
    assert_caught("16.chat", made(source, "chat"), "", made(CHAT, "chat"), capsys)


def test_who_has_the_port_of_somebody_who_left_is_not_taken_for_them(monkeypatch):
    """A handler may end long after its client has gone."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    def connect(address, timeout):
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it frees its port
        own.settimeout(timeout)
        own.bind(("127.0.0.1", ports.pop() if ports else 0))
        own.connect(address)
        return own

    lingers = made(edited(CHAT, (CLOSES, "pass")), "chat")
    ports = [port, port]
    with Program(Chats(to_bytes(lingers))) as program, Chat(program, random.Random(1)) as chat:
        monkeypatch.setattr(socket, "create_connection", connect)
        gone = chat.join("Ada")
        chat.hear()
        gone.leave()
        chat.settle()
        stays = chat.join("Ben")
        assert stays.address == gone.address
        chat.hear()  # Ada's `get` ends
        assert chat.log[-1] == Entry("left", "Ada")
        assert not stays.ended


@pytest.mark.parametrize("act", ["join", "line"])
def test_nobody_can_connect_to_a_program_that_has_ended(act):
    ended = pytest.raises(Unfit, match="ended its own process")
    with (
        Program(Chats(to_bytes(made(CHAT, "chat")))) as program,
        ended,
        Chat(program, random.Random(1)) as chat,
    ):
        program._process.kill()
        program._process.wait()
        chat.join("Ada") if act == "join" else chat.line()


def test_what_is_written_is_told_when_the_server_rests():
    """And not in the midst of it, as if that were all."""
    with Program(Chats(to_bytes(made(CHAT, "chat")))) as program, Chat(program, random.Random(1)) as chat:
        chat.hold()
        stream = chat.join("Ada")
        count, waits, closed = program.tell("written")["result"][stream.address]
    assert count > 0
    assert not waits
    assert not closed


STUB = """
import asyncio, json
from tornado.web import HTTPError, RequestHandler

def chat():
    log, ids, here = [], {}, []

    class Post(RequestHandler):
        def post(self):
            ...  # self.request.body, HTTPError(400), self.write({"id": 7})

    class Stream(RequestHandler):
        async def get(self):
            ...

        def on_connection_close(self):
            ...

    return {"/post": Post, "/stream": Stream}
"""


@pytest.mark.parametrize("source", [STUB, edited(STUB, ("            ...\n", "            pass\n")),
                                    "def chat():\n    ..."])  # fmt: skip
def test_a_stub_is_told_how_to_begin(source, capsys):
    [line] = verdict("16.chat", made(source, "chat"), capsys)
    assert line.startswith("… the methods are still empty: begin with `post`")


def test_whoever_has_begun_hears_of_the_first_step_and_of_the_next(capsys):
    begun = edited(CHAT, (CHAT[CHAT.index("            name = checked"):CHAT.index("        def on_conn")],
                          "            ...\n\n"))  # fmt: skip
    first, second = verdict("16.chat", made(begun, "chat"), capsys)
    assert first == "✓ accepts a post, and answers with its number"
    assert second.startswith(
        "✗ ended the answer to a client that came with cursor=0 at once, with nothing in it"
    )


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (None, "expected a function `chat()`"),
        ({"/post": 1}, "expected a function `chat()`"),
        (Chat, "got the class Chat"),
        (lambda one: one, "called without arguments"),
        (lambda: {"/post": 5}, "with status 404"),
        (lambda: [], "returned []"),
        (lambda: 7, "returned 7"),
        (lambda: {}, "returned {}"),
        (lambda: {"/post": "x y"}, "✗"),
        (lambda: ["/post"], "returned ['/post'], where"),
        (lambda: (RequestHandler, Chat), "returned (RequestHandler, Chat), where"),
    ],
)
def test_what_is_no_chat_is_told_what_is_expected(thing, said, capsys):
    [line] = verdict("16.chat", thing, capsys)
    assert line.startswith("✗ ")
    assert said in line


def test_the_same_program_gets_the_same_verdict(capsys):
    source = edited(CHAT, ("checked(text, 1000)", "checked(text, 2000)"))
    first, second = (verdict("16.chat", made(source, "chat"), capsys) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("keys", 2, "✓"),
        ("keys", 1, "✗ not 1: what does the second post find"),
        ("keys", 0, "✗ not 0: does anything"),
        ("keys", 3, "✗ not 3: how many posts"),
        ("keys", "two", "✗ expected a number"),
        ("typed", 4, "✓"),
        ("typed", 3, "✗ not 3: where do"),
        ("typed", 2, "✗ not 2: that is true of a stream"),
        ("typed", 1, "✗ not 1: the message first"),
        ("typed", 5, "✗ not 5: how many times"),
        ("typed", 6, "✗ not 6: are the connections not open"),
        ("typed", -1, "✗ not -1"),
    ],
)
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"16.{task}", answer, said, capsys)
