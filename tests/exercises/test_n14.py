"""The tasks of notebook 14: a room in many servers, judged at a model of a broker and at a real one."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import os
import random
import threading
from types import SimpleNamespace

import nats
import pytest
from cells import assert_caught, assert_harmless, assert_hinted, assert_says, edited, is_right, made, verdict
from leaks import nothing_left_behind

import lpws
from lpws import services
from lpws.exercises import n14, servers
from lpws.exercises.observer import Wrong
from lpws.exercises.program import Program, to_bytes

ROOM = """
from nats.js.api import ConsumerConfig, DeliverPolicy

class Room:
    def __init__(self, js):
        self.js = js

    async def publish(self, text, key):
        await self.js.publish("room", text.encode(), headers={"Nats-Msg-Id": key})

    async def listen(self, cursor):
        news = await self.js.subscribe("room", ordered_consumer=True, config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=cursor + 1))
        try:
            async for message in news.messages:
                yield message.metadata.sequence.stream, message.data.decode()
        finally:
            await news.unsubscribe()
"""
ORDERED = "ordered_consumer=True, "
HEADERS = ', headers={"Nats-Msg-Id": key}'
PUBLISH = f'await self.js.publish("room", text.encode(){HEADERS})'
LISTEN = ROOM[ROOM.index("        news = await") :]
PAIR = "yield message.metadata.sequence.stream, message.data.decode()"
PULL = """
        news = await self.js.pull_subscribe("room", config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=cursor + 1))
        try:
            while True:
                try:
                    some = await news.fetch(10, timeout=2)
                except TimeoutError:
                    continue
                for message in some:
                    yield message.metadata.sequence.stream, message.data.decode()
                    await message.ack()
        finally:
            await news.unsubscribe()
"""
LOOK = """
        import asyncio
        from nats.js.errors import NotFoundError
        first = (await self.js.stream_info("room")).state.first_seq
        cursor = max(cursor, first - 1)
        while True:
            try:
                message = await self.js.get_msg("room", cursor + 1)
            except NotFoundError:
                await asyncio.sleep(0.05)
            else:
                cursor += 1
                yield message.seq, message.data.decode()
"""
LOG = """
        import asyncio
        if not hasattr(self, "log"):
            self.log, self.news = [], asyncio.Event()
            async def hear(message):
                self.log.append((message.metadata.sequence.stream, message.data.decode()))
                self.news.set()
                self.news = asyncio.Event()
            await self.js.subscribe("room", cb=hear)
        place = 0
        while True:
            if place < len(self.log):
                number, text = self.log[place]
                place += 1
                if number > cursor:
                    yield number, text
            else:
                await self.news.wait()
"""
GOOD = {
    "an ordered consumer": ROOM,
    "acknowledgments": edited(ROOM, (ORDERED, ""), (PAIR, PAIR + "\n                await message.ack()")),
    "no acknowledgments are asked for": edited(
        ROOM, (ORDERED, ""), ("opt_start_seq=cursor + 1", "opt_start_seq=cursor + 1, ack_policy='none'")
    ),
    "all, of which some are skipped": edited(
        ROOM, ("config=ConsumerConfig(\n            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, "
               "opt_start_seq=cursor + 1)", ""),
        (PAIR, f"if message.metadata.sequence.stream > cursor:\n                    {PAIR}"),
    ),
    "fetches": edited(ROOM, (LISTEN, PULL)),
    "looks for the next": edited(ROOM, (LISTEN, LOOK)),
    "a log in each server": edited(ROOM, (LISTEN, LOG)),
    "next_msg": edited(
        ROOM, ("async for message in news.messages:", "while True:\n                try:\n"
               "                    message = await news.next_msg(timeout=3)\n"
               "                except asyncio.TimeoutError:\n                    continue"),
        ("\nclass", "import asyncio\n\nclass"),
    ),
    "tries again by itself": edited(
        ROOM, (PUBLISH, "for _ in range(9):\n            try:\n                return " + PUBLISH
               + "\n            except asyncio.TimeoutError:\n                await asyncio.sleep(0.1)\n"
               "        raise RuntimeError('no broker')"),
        ("\nclass", "import asyncio\n\nclass"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_room_passes(source, capsys):
    with nothing_left_behind():
        lines = verdict("14.room", made(source, "Room"), capsys)
    assert is_right(lines), lines
    assert len(lines) == 5


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = """
        class Room:
            def __init__(self, js):
                self.js = js
            async def publish(self, text, key):
                ...
            async def listen(self, cursor):
                ...
    """
    [line] = verdict("14.room", made(stub, "Room"), capsys)
    assert line.startswith("… the methods are still empty; begin with `publish`")


def test_half_of_it_is_judged_as_far_as_it_goes(capsys):
    half = ROOM[: ROOM.index("        news = await")] + "        ...\n"
    assert_hinted("14.room", made(half, "Room"), "has a `listen` that gives nothing to go through", capsys)


@pytest.mark.parametrize(
    ("source", "said"),
    [("def Room(js): pass", "✗ expected a class with `publish` and `listen`, got <function"),
     ("Room = 7", "✗ expected a class with `publish` and `listen`, got 7"),
     ("class Room:\n    def __init__(self): pass", "✗ expected a class with a method `__init__(self, js)`"),
     ("class Room:\n    def __init__(self, js): self.js = js\n    async def publish(self, text): self.js",
      "✗ expected a class with a method `publish(self, text, key)`"),
     ("class Room:\n    def __init__(self, js): self.js = js\n    def publish(self, text, key): self.js",
      "✗ expected a class with a method `listen(self, cursor)`")],
)  # fmt: skip
def test_what_is_no_room_is_told_so(source, said, capsys):
    [line] = verdict("14.room", made(source, "Room"), capsys)
    assert line.startswith(said)


def test_without_the_client_of_nats_nobody_is_found_wrong(monkeypatch, capsys):
    monkeypatch.setattr(n14, "find_spec", lambda name: None)
    [line] = verdict("14.room", made(ROOM, "Room"), capsys)
    assert line.startswith("… this check needs nats-py")
    monkeypatch.undo()
    monkeypatch.setenv("LPWS_NATS", "")  # the server itself is not needed
    assert is_right(verdict("14.room", made(ROOM, "Room"), capsys))


START = "deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=cursor + 1"
OLDEST = "the first number of a stream that has deleted its oldest messages"
FIRST = """        first = (await self.js.stream_info("room")).state.first_seq
        cursor = max(cursor, first - 1)
"""
COUNT = "whose count is the same at every server"
KEY = "a header, and a key made by the caller"
SHARE = "what listeners share that read by one consumer"
STORED = "what `await` waits for, and who has the message when this server is dead"
MEMORY = """
        import asyncio
        while True:
            while cursor < len(self.log):
                cursor += 1
                yield cursor, self.log[cursor - 1]
            await asyncio.sleep(0.05)
"""
#: Those whose fault a real broker shows in the same place.
WRONG = {
    "a count of its own": (
        [("        try:\n", "        number = 0\n        try:\n"),
         (PAIR, "number += 1\n                yield number, message.data.decode()")], COUNT),
    "a count of its own, from the cursor on": (
        [("        try:\n", "        number = cursor\n        try:\n"), (START, "deliver_policy='new'"),
         (PAIR, "number += 1\n                yield number, message.data.decode()")],
        COUNT),
    "counts from the beginning of the stream": (
        [("        try:\n", "        number = 0\n        try:\n"), (START, ""),
         (PAIR, "number += 1\n                if number > cursor:\n"
          "                    yield number, message.data.decode()")], OLDEST),
    "takes a number for a place in its log": (
        [(LISTEN, edited(LOG, ("place = 0", "place = cursor")))], "; the stream begins with "),
    "looks for the number after 0": ([(LISTEN, edited(LOOK, (FIRST, "")))], OLDEST),
    "the consumer's count": ([("sequence.stream,", "sequence.consumer,")], COUNT),
    "new ones only": ([(START, "deliver_policy=DeliverPolicy.NEW")], "where a new subscription begins"),
    "from the cursor itself": ([("cursor + 1", "max(cursor, 1)")], "the first message *after* the cursor"),
    "one too far": ([("cursor + 1", "cursor + 2")], "the first message *after* the cursor"),
    "from the beginning": ([(START, "")], "the first message *after* the cursor"),
    "no key": ([(HEADERS, "")], KEY),
    "a key of each try": ([("key})", "__import__('uuid').uuid4().hex})")], KEY),
    "remembers keys in the server": (
        [("self.js = js", "self.js, self.seen = js, set()"),
         (PUBLISH, "if key not in self.seen:\n            self.seen.add(key)\n"
          "            await self.js.publish('room', text.encode())")], KEY),
    "the text as key": ([("key})", "text.encode().hex()})")], "who says the same words again"),
    "known words": (
        [("        try:\n", "        seen = set()\n        try:\n"),
         (PAIR, f"if message.data not in seen:\n                    seen.add(message.data)\n"
          f"                    {PAIR}")], "who says the same words again"),
    "a durable consumer for all": ([(ORDERED, "durable='room', ")], SHARE),
    "a queue for all": (
        [(ORDERED, "queue='room', "), (PAIR, PAIR + "\n                await message.ack()")], SHARE),
    "fetches from one consumer for all": (
        [(LISTEN, PULL.replace('"room", config', '"room", durable="room", config'))], SHARE),
    "in memory only": (
        [("self.js = js", "self.js, self.log = js, []"), (PUBLISH, "self.log.append(text)"),
         (LISTEN, MEMORY)], STORED),
    "in memory of all servers": (
        [("    def __init__", "    log = []\n\n    def __init__"), (PUBLISH, "self.log.append(text)"),
         (LISTEN, MEMORY)], STORED),
    "remembers since it began": (
        [(LISTEN, LOG.replace("cb=hear", "cb=hear, deliver_policy=DeliverPolicy.NEW"))],
        "what was said before it was there"),
    "another subject": ([('self.js.publish("room"', 'self.js.publish("rooms"')], "NoStreamResponseError"),
}  # fmt: skip
#: Those of a moment that a real broker cannot be asked for, or not soon.
WRONG_IN_THE_MODEL = {
    "ends after what there was": (
        [(LISTEN, PULL.replace("continue", "return"))], "a listener waits for the next, for ever"),
    "does not wait for the broker": (
        [(PUBLISH, f"__import__('asyncio').ensure_future({PUBLISH[6:]})")], STORED),
    "does not say that it failed": (
        [(PUBLISH, f"try:\n            {PUBLISH}\n        except Exception:\n            pass")], STORED),
    "acknowledges nothing": ([(ORDERED, "")], "that nobody has acknowledged"),
    "bytes": ([(".data.decode()", ".data")], "a pair of a number and a text"),
    "text alone": ([("yield message.metadata.sequence.stream, ", "yield ")], "a pair of a number and a text"),
    "text that is no bytes": ([("text.encode()", "text")], "publish: expected bytes"),
    "another encoding": ([("decode()", "decode('latin-1')")], "bytes, and their text"),
    "keeps subscriptions": ([("await news.unsubscribe()", "pass")], "`finally`, and `unsubscribe`"),
    "a list in place of a generator": ([("yield", "return [0],")], "`yield`, for each message"),
    "stands still": ([("        news = ", "        __import__('time').sleep(1)\n        news = ")],
                     "the difference between sleeping and awaiting"),
    "an error": ([("key})", "keys})")], "NameError"),
    "an error in listen": ([("message.data", "message.text")], "AttributeError"),
}  # fmt: skip
ALL_WRONG = WRONG | WRONG_IN_THE_MODEL


@pytest.mark.parametrize(("changes", "hint"), ALL_WRONG.values(), ids=ALL_WRONG)
def test_a_wrong_room_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("14.room", made(edited(ROOM, *changes), "Room"), hint, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "an endless loop that awaits": (
        "while True: await __import__('asyncio').sleep(0)", "while no time passes"),
    "a long sleep": ("__import__('time').sleep(60)", "stand still"),
    "an exit": ("__import__('os')._exit(0)", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "a coroutine that is never awaited": ("self.js.stream_info('room')", "was never awaited"),
    "one that waits for ever": ("await __import__('asyncio').get_running_loop().create_future()", "lost"),
}  # fmt: skip
HARMLESS = {
    "much output": "print('x' * 20_000)",  # with each of hundreds of messages
    "a task of its own": "__import__('asyncio').ensure_future(__import__('asyncio').sleep(1000))",
}


def doing(what):
    """A good room that does something else first when somebody publishes."""
    return made(edited(ROOM, (PUBLISH, f"{what}\n        {PUBLISH}")), "Room")


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_room_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("14.room", doing(what), hint, made(ROOM, "Room"), capsys)


@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
def test_what_a_room_does_besides_does_no_harm(what, capsys):
    assert_harmless("14.room", doing(what), made(ROOM, "Room"), capsys)


def test_threads_that_do_not_end_are_ended(capsys):
    """Time passes slowly beside them, and it may be said that the program takes too long."""
    what = "import threading; threading.Thread(target=threading.Event().wait).start()"
    with nothing_left_behind():
        verdict("14.room", doing(what), capsys)
    assert is_right(verdict("14.room", made(ROOM, "Room"), capsys))


def test_one_that_does_not_want_to_end_is_ended(capsys):
    source = edited(ROOM, ("        finally:\n            await news.unsubscribe()",
                           "        except BaseException:\n            while True:\n"
                           "                try:\n                    await asyncio.sleep(0.1)\n"
                           "                except BaseException:\n                    pass"),
                    ("\nclass", "import asyncio\n\nclass"))  # fmt: skip
    with nothing_left_behind():
        lines = verdict("14.room", made(source, "Room"), capsys)
    assert any(line.startswith("✗") for line in lines), lines


def test_a_publish_that_fails_as_the_story_ends_is_no_complaint():
    complaints = []

    async def fail():
        raise RuntimeError

    async def end():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        server = object.__new__(servers.Server)
        server.world, server.context = SimpleNamespace(loop=loop), contextvars.copy_context()
        begun = asyncio.wait([server.begin(fail())])
        waits = loop.create_task(begun)
        await asyncio.sleep(0)
        waits.cancel()  # in the turn in which it fails
        await asyncio.sleep(0.01)
        del begun, waits
        gc.collect()

    asyncio.run(end())
    assert complaints == []


# --------------------------------------------------------------------------- the real broker

MOMENTS, SEED = int(os.environ.get("LPWS_MOMENTS", 5)), os.environ["LPWS_SEED"]
STAGES = (n14.hears, n14.resumes, n14.retries, n14.killed)


class Real:
    """In the place of a program: the same stories, in real time, at a NATS server of their own."""

    #: A story's seconds are so many in fact.
    PACE = 0.05

    def __init__(self, source, rest_s):
        """A room, and the time [s] for what is still on its way in the end."""
        self.data, self.rest_s = to_bytes(made(source, "Room")), rest_s

    def tell(self, _order, story):
        # Nobody waits here for what a broker does after 30 s.
        story["acts"] = [(self.PACE * min(at_s, 10), *act) for at_s, *act in story["acts"]]
        story["until_s"] = story["acts"][-1][0] + self.rest_s
        with lpws.nats(stream=True) as broker:
            result = asyncio.run(asyncio.wait_for(self.live(story, Broker(broker.url)), 60))
        return {"errors": [], "blocked_s": 0, "rests": True, "result": result}

    async def live(self, story, broker):
        js = await broker.connect()
        await js.add_stream(name="room", subjects=["room"])
        for _ in range(story["deleted"]):
            await js.publish("room", b"long ago")
        await js.purge_stream("room")
        try:
            return await servers.World(self.data, story, broker).live()
        finally:
            for client in broker.clients:
                # Of a server that was killed; two of these are Python's own (python/cpython#136234).
                with contextlib.suppress(ConnectionError, AttributeError, TypeError):
                    await client.close()
            # Its connection lost, nats-py flushes once more what is left, and nobody hears that it cannot.
            await asyncio.gather(*broker.tasks, return_exceptions=True)


class Broker:
    def __init__(self, url):
        self.url, self.clients, self.tasks = url, [], []

    async def connect(self):
        async def quiet(error):
            pass

        client = await nats.connect(self.url, allow_reconnect=False, error_cb=quiet)
        self.clients.append(client)
        self.tasks += client._reading_task, client._flusher_task, client._ping_interval_task
        js = client.jetstream()
        js.kill = client._transport._bare_io_writer.transport.abort  # no goodbye, as after SIGKILL
        return js

    async def stored(self):
        js = await self.connect()
        state = (await js.stream_info("room")).state
        messages = [await js.get_msg("room", n) for n in range(state.first_seq, state.last_seq + 1)]
        return [(each.data.decode(), (each.headers or {}).get("Nats-Msg-Id")) for each in messages]


def wrong(program, stage):
    """What a program does wrong at a stage; None if it passes."""
    try:
        stage(n14.Rooms(program, random.Random(f"{SEED} {stage.__name__}")))
    except Wrong as what:
        return str(what)
    return None


@pytest.fixture
def really(monkeypatch):
    """The stages that a source fails at real brokers, and how; all at a time, each in a thread."""
    load, lock = servers.alone, threading.Lock()

    def alone(data):
        with lock:
            return load(data)

    def failed(source, rest_s):
        with concurrent.futures.ThreadPoolExecutor(len(STAGES)) as threads:
            found = list(threads.map(lambda stage: wrong(Real(source, rest_s), stage), STAGES))
        return {stage.__name__: what for stage, what in zip(STAGES, found, strict=True) if what}

    monkeypatch.setattr(servers, "alone", alone)
    return failed


#: What a good room is given to bring what it has to [s], on a machine that may be busy.
PATIENT_S = 5.0
needs_nats = pytest.mark.skipif(services.find("nats") is None, reason="needs a NATS server")


@needs_nats
@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_room_passes_at_a_real_broker(source, really):
    assert really(source, PATIENT_S) == {}


@needs_nats
@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_room_fails_at_a_real_broker(changes, hint, really):
    """At some stage: in real time it is a matter of chance which of its faults shows."""
    assert really(edited(ROOM, *changes), 1.0) != {}


@needs_nats
def test_nothing_is_lost_at_a_real_broker_at_random_moments():
    for number in range(max(1, MOMENTS // n14.KILLS)):
        n14.killed(n14.Rooms(Real(ROOM, PATIENT_S), random.Random(f"{SEED} {number}")))


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_nothing_is_lost_in_the_model_at_random_moments(source):
    with Program(n14.TASKS["room"].wrap(made(source, "Room"))) as program:
        for number in range(max(1, MOMENTS // n14.KILLS)):
            n14.killed(n14.Rooms(program, random.Random(f"{SEED} {number}")))


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [("missed", 62, "✓"), ("missed", 61.6, "✓"), ("missed", 62.4, "✓"),
     ("missed", 38, "✗ not 38: that is what is heard"),
     ("missed", 0.62, "✗ not 0.62: in percent"), ("missed", 66.7, "✗ not 66.7: that would be three"),
     ("missed", 50, "✗ not 50: that would be two"), ("missed", "half", "✗ expected a number"),
     ("key", 3, "✓"), ("key", 1, "✗ not 1: each try"), ("key", 2, "✗ not 2: that is the number")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"14.{task}", answer, said, capsys)
