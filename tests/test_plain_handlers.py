"""Handlers as anyone would write them with Tornado, measured: what they do is recorded around them."""

import asyncio
import threading

import accounting
import pytest
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

import lpws

WORK = lpws.Workload(clients=4, rate_hz=30, duration_s=0.5, seed=5)
LINK = lpws.Link(delay_s=0.01)


class Lines(RequestHandler):
    """What is new, at once, a line each."""

    def initialize(self, room):
        self.room = room

    def get(self):
        cursor = int(self.get_query_argument("cursor"))
        for message in self.room.messages[cursor:]:
            self.write(f"{message.id} {message.text}\n")


class Held(RequestHandler):
    """What is new, now or within the hold."""

    def initialize(self, room):
        self.room = room

    async def get(self):
        cursor, hold_s = (float(self.get_query_argument(name)) for name in ("cursor", "hold"))
        cursor = int(cursor)
        if not self.room.messages[cursor:]:
            self.news = asyncio.Event()
            self.room.listeners.add(self.hear)
            try:
                await asyncio.wait_for(self.news.wait(), hold_s)
            except TimeoutError:
                self.set_status(204)
                return
            finally:
                self.room.listeners.discard(self.hear)
        self.finish("\n".join(f"{m.id} {m.text}" for m in self.room.messages[cursor:]))

    def hear(self, _message):
        self.news.set()

    def on_connection_close(self):
        self.room.listeners.discard(self.hear)


class Events(RequestHandler):
    """A stream of events by `write` and `flush`."""

    def initialize(self, room):
        self.room = room

    async def get(self):
        self.queue = asyncio.Queue()
        self.set_header("Content-Type", "text/event-stream")
        await self.flush()
        for message in self.room.messages[int(self.get_query_argument("cursor")) :]:
            self.queue.put_nowait(message)
        self.room.listeners.add(self.queue.put_nowait)
        while message := await self.queue.get():
            self.write(f"id: {message.id}\ndata: {message.text}\n\n")
            await self.flush()

    def on_connection_close(self):
        self.room.listeners.discard(self.queue.put_nowait)
        self.queue.put_nowait(None)


class Messages(WebSocketHandler):
    """A WebSocket by `write_message`; the last line of a frame has no end."""

    def initialize(self, room):
        self.room = room

    def open(self):
        self.set_nodelay(True)
        missed = self.room.messages[int(self.get_query_argument("cursor")) :]
        if missed:
            self.write_message("".join(f"{m.id} {m.text}\n" for m in missed))
        self.room.listeners.add(self.hear)

    def hear(self, message):
        self.write_message(f"{message.id} {message.text}")

    def on_close(self):
        self.room.listeners.discard(self.hear)


PLAIN = [
    (lpws.Reload(pause_s=0.05), Lines),
    (lpws.ShortPolling(interval_s=0.05), Lines),
    (lpws.ShortPolling(interval_s=0.05, keep_alive=False), Lines),
    (lpws.LongPolling(), Held),
    (lpws.LongPolling(hold_s=0.03), Held),
    (lpws.SSE(retry_s=0.1), Events),
    (lpws.WebSocket(retry_s=0.1), Messages),
]


def names(run, side):
    return [event[1] for event in run.events if event[2] == side]


@pytest.mark.parametrize("link", [None, LINK], ids=["loopback", "link"])
@pytest.mark.parametrize(("transport", "handler"), PLAIN, ids=str)
def test_the_books_of_a_plain_handler_agree(transport, handler, link, nothing_left, capfd):
    run = lpws.measure(transport, WORK, link, handler=handler)
    assert accounting.faults(run) == []
    assert lpws.deliveries(run).state.eq("delivered").all()
    assert (lpws.deliveries(run).transit_s >= run.delay_s).all()
    assert not run.log
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("transport", "handler"), [PLAIN[0], *PLAIN[3:4], *PLAIN[5:]], ids=str)
def test_a_plain_handler_that_loses_messages(transport, handler, nothing_left):
    """It loses every third; the server has not sent what no client received."""

    class Lossy(handler):
        def write(self, chunk):
            kept = [line for line in str(chunk).splitlines(True) if int(line.split()[0]) % 3]
            super().write("".join(kept))

        def finish(self, chunk=None):
            if chunk:
                self.write(chunk)
            return super().finish()

        def hear(self, message):
            if message.id % 3:
                super().hear(message)

        def write_message(self, message, binary=False):
            if int(message.split()[0]) % 3:
                super().write_message(message, binary)

    if handler is Events:  # its pieces are more than a line

        class Lossy(Events):
            def write(self, chunk):
                if int(chunk.split()[1]) % 3:
                    super().write(chunk)

    run = lpws.measure(transport, WORK, handler=Lossy)
    table = lpws.deliveries(run)
    lost = table.message % 3 == 0
    assert lost.any()
    assert table[lost].sent_s.isna().all()
    assert not table[lost].state.eq("delivered").any()
    assert table[~lost].state.eq("delivered").all()
    assert not run.log


def test_pieces_of_an_answer_are_one_answer(nothing_left):
    """Lines and events that come in pieces are read whole."""

    class Pieces(Lines):
        async def get(self):
            for message in self.room.messages[int(self.get_query_argument("cursor")) :]:
                for character in f"{message.id} {message.text}\n":
                    self.write(character)
                    await self.flush()

    run = lpws.measure(lpws.ShortPolling(interval_s=0.05), WORK, handler=Pieces)
    assert lpws.deliveries(run).state.eq("delivered").all()
    sent, received = (
        {event[3:7:3] for event in run.events if event[1] == name}
        for name in ("message_sent", "message_received")
    )
    assert sent == received


def test_a_handler_that_wants_no_room(nothing_left):
    class Alone(RequestHandler):
        def get(self):
            self.finish("1 tea is ready\n")

    one = lpws.Workload(clients=1, rate_hz=20, duration_s=0.05)
    run = lpws.measure(lpws.ShortPolling(interval_s=0.02), one, handler=Alone)
    assert lpws.deliveries(run).copies.sum() == names(run, "server").count("message_sent") > 0


@pytest.mark.parametrize("body", ["", b""])
def test_an_empty_answer_with_a_status_of_200(body, nothing_left):
    class Empty(Lines):
        def get(self):
            if self.room.messages[int(self.get_query_argument("cursor")) :]:
                super().get()
            else:
                self.finish(body)

    run = lpws.measure(lpws.ShortPolling(interval_s=0.05), WORK, handler=Empty)
    assert accounting.faults(run) == []
    assert lpws.requests(run)["empty"].any()
    assert "failed" not in names(run, "client")


class FinishesTwice(Lines):
    def get(self):
        super().get()
        self.finish()
        self.finish()


class NeverFinishes(Lines):
    async def get(self):
        await asyncio.Event().wait()


class Raises(Lines):
    def get(self):
        raise ValueError("no tea")


class FailsToWait(Lines):
    async def get(self):
        await asyncio.sleep(0.001)
        raise ValueError("no tea")


class FailsElsewhere(Lines):
    """What it leaves to the loop fails."""

    def get(self):
        IOLoop.current().add_callback(self.fail)
        super().get()

    def fail(self):
        raise ValueError("no tea")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (FinishesTwice, "finish() called twice"),
        (NeverFinishes, "does the handler"),
        (Raises, "no tea"),
        (FailsToWait, "no tea"),
        (FailsElsewhere, "no tea"),
    ],
)
def test_what_a_handler_does_wrong_is_in_the_run(handler, words, nothing_left, capfd):
    run = lpws.measure(lpws.ShortPolling(interval_s=0.05), WORK, handler=handler)
    assert words in repr(run)
    assert not run.health.good
    answers = [event[5] for event in run.events if event[1] == "response_sent"]
    assert len(answers) == len(set(answers))
    assert bool(answers) == (handler is not NeverFinishes)
    assert capfd.readouterr() == ("", "")


def test_an_answer_of_another_status_is_recorded(nothing_left):
    class Refuses(Lines):
        def get(self):
            raise HTTPError(503)

    run = lpws.measure(lpws.ShortPolling(interval_s=0.05), WORK, handler=Refuses)
    assert {event[7] for event in run.events if event[1] == "failed"} == {503}
    assert names(run, "server").count("response_sent") == names(run, "client").count("failed")


def test_a_client_that_has_gone_is_no_mistake_of_the_handler(nothing_left, capfd):
    """The link is cut under a stream that is written without end."""

    class Talks(Events):
        async def get(self):
            self.queue = asyncio.Queue()
            self.set_header("Content-Type", "text/event-stream")
            self.room.listeners.add(self.queue.put_nowait)
            while True:
                self.write(": still here\n\n")
                await self.flush()
                await asyncio.sleep(0.005)

        def on_connection_close(self):
            self.room.listeners.discard(self.queue.put_nowait)

    class TalksOn(Messages):
        async def open(self):  # Tornado does not notice the client's end while it waits for this
            super().open()
            while True:
                await self.write_message("")
                await asyncio.sleep(0.005)

    for transport, handler in ((lpws.SSE(retry_s=0.1), Talks), (lpws.WebSocket(retry_s=0.1), TalksOn)):
        run = lpws.measure(transport, WORK, lpws.Link(delay_s=0.001, cut_at_s=0.2), handler=handler)
        assert "closed" in names(run, "server")
        assert run.log == ()
        assert capfd.readouterr() == ("", "")


def test_a_listener_that_fails_keeps_nothing_from_the_others(nothing_left):
    heard = []

    def fails(message):
        raise ValueError(f"no tea, {message.id}")

    with lpws.Server() as server:
        ready = threading.Event()
        for number in range(4):
            server.room.listeners.add(fails if number == 2 else lambda m, n=number: heard.append((n, m.id)))
        server.room.followers["one"] = fails
        server.room.followers["two"] = lambda message: heard.append(("two", message.id))
        assert server.publish("tea is ready") == 1
        assert server.publish("it is cold") == 2
        ready.set()
        assert sorted(map(str, heard)) == sorted(map(str, [(n, m) for n in (0, 1, 3, "two") for m in (1, 2)]))
        assert [line.partition(":")[0] for line in server.log] == ["a listener failed on message 1"] * 2 + [
            "a listener failed on message 2"
        ] * 2
        assert "no tea, 1" in server.log[0]


def test_a_recorded_handler_is_still_the_reader_s(nothing_left):
    kinds = set()

    class Mine(Lines):
        """Mine."""

        def get(self):
            kinds.add(type(self))
            super().get()

    lpws.measure(lpws.ShortPolling(interval_s=0.05), WORK, handler=Mine)
    (kind,) = kinds
    assert issubclass(kind, Mine)
    assert (kind.__name__, kind.__doc__) == ("Mine", "Mine.")
