"""The tasks of notebook 05: a WebSocket handler, and a decoder of frames."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

CHAT = """
from tornado.websocket import WebSocketHandler

class Chat(WebSocketHandler):
    def initialize(self, room):
        self.room = room

    def open(self):
        cursor = int(self.get_query_argument("cursor"))
        for message in self.room.messages[cursor:]:
            self.tell(message)
        self.room.listeners.add(self.tell)

    def on_message(self, message):
        if isinstance(message, bytes):
            self.close(1003, "text, please")
            return
        self.room.publish(message)

    def on_close(self):
        self.room.listeners.discard(self.tell)

    def tell(self, message):
        self.write_message(f"{message.id} {message.text}")
"""
QUEUE = '''
import asyncio
from tornado.websocket import WebSocketClosedError, WebSocketHandler

class Chat(WebSocketHandler):
    """A queue and a task for each client, and coroutines everywhere."""
    def initialize(self, room):
        self.room, self.queue = room, asyncio.Queue()

    async def open(self):
        cursor = int(self.get_argument("cursor", "0"))
        for message in self.room.messages[cursor:]:
            self.queue.put_nowait(message)
        self.room.listeners.add(self.queue.put_nowait)
        self.task = asyncio.create_task(self.send())

    async def send(self):
        while True:
            message = await self.queue.get()
            try:
                await self.write_message("%d %s\\n" % message)
            except WebSocketClosedError:
                return

    async def on_message(self, message):
        if type(message) is bytes:
            self.close(code=1003)
        else:
            self.room.publish(message)

    def on_close(self):
        self.room.listeners.remove(self.queue.put_nowait)
        self.task.cancel()
'''
CLASS_WIDE = '''
from tornado.websocket import WebSocketHandler

class Chat(WebSocketHandler):
    """One listener for each room, and a set of clients; the position of each is kept."""
    clients = {}

    def initialize(self, room):
        self.room = room

    def open(self):
        self.sent = int(self.get_query_argument("cursor"))
        self.clients.setdefault(id(self.room), set()).add(self)
        self.heard = lambda message: self.go_on()
        self.room.listeners.add(self.heard)
        self.go_on()

    def go_on(self):
        for message in self.room.messages[self.sent:]:
            self.sent = message.id
            self.write_message(f"{message.id} {message.text}".encode(), binary=False)

    def on_message(self, message):
        if isinstance(message, str):
            self.room.publish(message)
        else:
            self.close(1003)

    def on_close(self):
        self.clients[id(self.room)].discard(self)
        self.room.listeners.discard(self.heard)
'''
LISTEN = "self.room.listeners.add(self.tell)\n"
TELL = 'self.write_message(f"{message.id} {message.text}")'
CATCH_UP = "for message in self.room.messages[cursor:]:\n            self.tell(message)\n        "
SAID = "self.room.publish(message)"
ASYNCIO = ("from tornado", "import asyncio\nfrom tornado")


def awaiting(method, what, source=CHAT):
    """The handler, whose method awaits something first, as a look-up of the user would."""
    head = source[source.index(f"def {method}(") :].partition("\n")[0]
    return edited(source, (head, f"async {head}\n        await {what}"), ASYNCIO)


#: What follows is left to a task, which first awaits something.
LATER = {
    "open": edited(
        CHAT, ("def open(self):", "def open(self):\n        self.task = asyncio.create_task(self.join())\n\n"
               "    async def join(self):\n        await asyncio.sleep(0.02)"), ASYNCIO),
    "on_message": edited(
        CHAT, (SAID, "self.task = asyncio.create_task(self.say(message))\n\n"
               f"    async def say(self, message):\n        await asyncio.sleep(0.3)\n        {SAID}"),
        ASYNCIO),
}  # fmt: skip
GOOD = {
    "plain": CHAT, "queue": QUEUE, "positions": CLASS_WIDE,
    "slow to send": edited(QUEUE, ("try:", "await asyncio.sleep(0.001)\n            try:")),
    **{f"{method} looks up for {time_s} s": awaiting(method, f"asyncio.sleep({time_s})")
       for method in ("open", "on_message") for time_s in (0, 0.001, 0.2, 5)},
    "asks a thread": awaiting("open", "asyncio.to_thread(sum, [1, 2])"),
    "prepares": edited(CHAT, ("def open", "async def prepare(self):\n        await asyncio.sleep(0.02)\n\n"
                              "    def open"), ASYNCIO),
    **{f"leaves {method} to a task": source for method, source in LATER.items()},
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_handler_passes(source, capsys):
    assert is_right(verdict("05.handler", made(source, "Chat"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = """
        from tornado.websocket import WebSocketHandler
        class Chat(WebSocketHandler):
            def initialize(self, room): self.room = room
            def open(self): ...
            def on_message(self, message): ...
            def on_close(self): ...
    """
    [line] = verdict("05.handler", made(stub, "Chat"), capsys)
    assert line.startswith("… the methods are still empty: begin with `open`")
    [line] = verdict("05.decode", made("def decode(data): ...", "decode"), capsys)
    assert line.startswith("… `decode` returns nothing yet")


POLLS = [
    (LISTEN, "self.task = asyncio.create_task(self.look(len(self.room.messages)))\n\n"
     "    async def look(self, cursor):\n        while True:\n"
     "            for message in self.room.messages[cursor:]:\n"
     "                cursor = message.id\n                self.tell(message)\n"
     # No time at which the check publishes is a multiple of it, so that no look comes at the same moment.
     "            await asyncio.sleep(0.09)\n"),
    ("self.room.listeners.discard(self.tell)", "self.task.cancel()"), ASYNCIO,
]
LISTENS_FIRST = [(LISTEN, "pass\n"), (CATCH_UP, LISTEN + "        " + CATCH_UP),
                 ("def open", "async def open"), ASYNCIO]
WRONG = {
    "nobody listens": ([(LISTEN, "pass\n")], "did not send message 1 to a client that joined with cursor=0"),
    "one message": ([(TELL, f"{TELL}; self.room.listeners.discard(self.tell)")], "for how long"),
    "text only": ([(TELL, "self.write_message(message.text)")], "the number"),
    "bytes": ([(TELL, TELL[:-1] + ".encode(), binary=True)")], "in a frame with opcode 2"),
    "json": ([(TELL, 'self.write_message({"id": message.id})')], "where a client expects a frame such as"),
    "twice": ([(TELL, f"{TELL}; {TELL}")], "more than once to"),
    "no cursor": ([(CATCH_UP, "")], "did not send messages"),
    "everything": ([("messages[cursor:]", "messages")], "which lacked"),
    "backwards": ([("messages[cursor:]", "messages[cursor:][::-1]")], "sent message 11 before message 10"),
    "listens first": (
        [(LISTEN, "pass\n"), (CATCH_UP, LISTEN + "        await asyncio.sleep(0)\n        " + CATCH_UP),
         ("def open", "async def open"), ("from tornado", "import asyncio\nfrom tornado")],
        "a client that joined while a message was published",
    ),
    "pauses, then listens": (
        [(LISTEN, "await asyncio.sleep(0)\n        " + LISTEN), ("def open", "async def open"),
         ("from tornado", "import asyncio\nfrom tornado")],
        "a client that joined while a message was published, which got",
    ),
    "pauses long, then listens": (
        [(LISTEN, "await asyncio.sleep(0.05)\n        " + LISTEN), ("def open", "async def open"), ASYNCIO],
        "did not send message 6 to a client that joined while a message was published",
    ),
    "a look-up, a pause, then listens": (
        [(LISTEN, "await asyncio.sleep(0.001)\n        " + LISTEN), ASYNCIO,
         ("def open(self):", "async def open(self):\n        await asyncio.sleep(0.5)")],
        "a client that joined while",
    ),
    "goes on from its place at the next message": (
        [(LISTEN, "await asyncio.sleep(0.001)\n        " + LISTEN), ("def open", "async def open"), ASYNCIO,
         ("def tell(self, message):", "place = 0\n\n    def tell(self, message):\n"
          "        for message in self.room.messages[self.place or message.id - 1:message.id]:\n"
          "            self.place = message.id\n            self.say(message)\n\n"
          "    def say(self, message):")],
        "while a message was published",
    ),
    **{f"news overtakes, {how}": (
        [*LISTENS_FIRST, ("            self.tell(message)\n", f"            {change}\n")],
        "before message",
    ) for how, change in {
        "as each write is awaited": 'await self.write_message(f"{message.id} {message.text}")',
        "in the next turn": "await asyncio.sleep(0); self.tell(message)",
        "many turns later": "[await asyncio.sleep(0) for _ in range(5)]; self.tell(message)",
        "in a millisecond": "await asyncio.sleep(0.001); self.tell(message)",
        "in a second": "await asyncio.sleep(1); self.tell(message)",
    }.items()},
    "polls": (POLLS, "took more than 0.01 s to send message 1 to a client that joined with cursor=0"),
    "polls often": ([*POLLS, ("0.09", "0.005")], "looks again and again, thousands of times"),
    "one for all": (
        [("def tell(self, message):", "last = 0\n\n    def tell(self, message):\n"
          "        if message.id <= type(self).last: return\n        type(self).last = message.id")],
        "sent message 1 to 1 of 3 clients",
    ),
    "no empty text": ([(SAID, f"if message: {SAID}")], "what `if` makes of a text that is empty"),
    "decodes": ([("isinstance(message, bytes)", "isinstance(message, bytes) and not message.decode()")],
                "when a client sent bytes – think about what `on_message` is given"),
    "goes at the next message": (
        [("self.room.listeners.discard(self.tell)", "pass"),
         (TELL, f"try: {TELL}\n        except Exception: self.room.listeners.discard(self.tell)")],
        "functions in `room.listeners` for",
    ),
    "echoes": ([(SAID, "self.write_message('1 ' + message)")], "whom the room tells"),
    "publishes twice": ([(SAID, f"{SAID}; {SAID}")], "more than once to"),
    "keeps quiet": ([(SAID, "pass")], "did not send message 1 to the client that had said it"),
    "takes bytes": ([("isinstance(message, bytes)", "False")], "bytes"),
    "another code": ([("1003", "1008")], "with code 1008"),
    "no code": ([('1003, "text, please"', "")], "with code 1005"),
    "remembers": ([("self.room.listeners.discard(self.tell)", "pass")], "who takes a client off the list"),
    "forgets everybody": ([(".discard(self.tell)", ".clear()")], "a client that stayed when others left"),
    "refuses": ([("def open", "def check_origin(self, origin): return False\n\n    def open"),
                 ("self.room = room\n", "self.room = room\n        self.request.headers['Origin'] = 'x'\n")],
                "answered the handshake with status 403"),
    "a mistake": ([("self.tell(message)", "self.told(message)")], "raised AttributeError"),
    "a listener that is never awaited": ([("def tell", "async def tell")], "nobody awaits"),
    "strips": ([(SAID, SAID.replace("message", "message.strip()"))], "the text that a message has"),
    "one digit": ([('get_query_argument("cursor")', 'get_query_argument("cursor")[0]')], "which lacked"),
    "ten, then no more": (
        [(TELL, f"{TELL}\n        if message.id == 10: self.room.listeners.discard(self.tell)")],
        "for how long",
    ),
    "takes no bytes": ([("isinstance(message, bytes)", "message and isinstance(message, bytes)")], "bytes"),
    "goes on after close": ([("            return\n", "")], "which does not end the method"),
    "waits in open": (
        [("def open(self):\n", "async def open(self):\n        await asyncio.Event().wait()\n"), ASYNCIO],
        "read nothing more from a client for a minute after it had joined – think about what `open`",
    ),
    "goes on in open": (
        [(LISTEN, LISTEN + "        await asyncio.Event().wait()\n"), ASYNCIO,
         ("def open", "async def open")],
        "a minute after it had joined – think about what `open` waits for",
    ),
    "waits": (
        [(SAID, f"{SAID}; await asyncio.Event().wait()"), ASYNCIO,
         ("def on_message", "async def on_message")],
        "a minute after it had sent its message – think about what `on_message` waits for",
    ),
    "waits before": (
        [("def open", "async def prepare(self):\n        await asyncio.Event().wait()\n\n    def open"),
         ASYNCIO],
        "did not answer the handshake",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_handler_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("05.handler", made(edited(CHAT, *changes), "Chat"), hint, capsys)


DECODE = """
def decode(data):
    messages, parts = [], b""
    while data:
        fin, opcode, size, start = data[0] >> 7, data[0] & 15, data[1] & 127, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        key, end = data[start:start + 4], start + 4 + size
        payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(data[start + 4:end]))
        data = data[end:]
        if opcode < 8:
            parts += payload
            if fin:
                messages.append(parts.decode())
                parts = b""
    return messages
"""


@pytest.mark.parametrize(
    "source", [DECODE, edited(DECODE, ("parts.decode()", "parts"))], ids=["text", "bytes"]
)
def test_a_good_decoder_passes(source, capsys):
    assert is_right(verdict("05.decode", made(source, "decode"), capsys))


WRONG_DECODERS = {
    "no key": ([("byte ^ key[n % 4]", "byte")], "what the key does"),
    "one byte of the key": ([("n % 4", "0")], "what the key does"),
    "short only": ([("if size > 125", "if False")], "what 126 and 127 mean"),
    "little endian": ([('"big"', '"little"')], "what 126 and 127 mean"),
    "the first only": ([("data = data[end:]", "data = b''")], "where a frame ends"),
    "control frames too": ([("if opcode < 8", "if True")], "which frames are not messages"),
    "each part decoded": (
        [('parts = [], b""', 'parts = [], ""'), ("parts += payload", "parts += payload.decode()"),
         ("parts.decode()", "parts"), ('                parts = b""', '                parts = ""')],
        "where a frame may end",
    ),
    "text by its first byte": (
        [("if opcode < 8:\n", "if opcode < 8:\n            if opcode == 1: parts = b''\n"),
         ('                parts = b""\n', "")],
        "where a frame ends",
    ),
    "each part a message": ([("if fin", "if True")], "what FIN and opcode 0 say"),
    "one text": ([("return messages", "return messages[0]")], "returned 'Hello'"),
    "no list": ([("return messages", "return None")], "returned None"),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG_DECODERS.values(), ids=WRONG_DECODERS)
def test_a_wrong_decoder_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("05.decode", made(edited(DECODE, *changes), "decode"), hint, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("05.bytes", 208, "✓"), ("05.bytes", 204, "✗ not 204: a client masks"),
        ("05.bytes", 206, "✗ not 206: a length above 125"), ("05.bytes", 214, "✗ not 214: the long form"),
        ("05.log", 2, "✓"), ("05.log", 1, "✗ not 1: 1011 came in a frame, and"),
        ("05.log", 3, "✗ not 3: for one of them"), ("05.log", 0, "✗ not 0: two are notes"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
