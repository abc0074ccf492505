"""Whatever happens to a run: one clear sentence, nothing left behind, and the next run is right."""

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections import Counter
from dataclasses import replace
from errno import EADDRINUSE
from io import BytesIO

import accounting
import pytest
from leaks import nothing_left_behind
from tornado.websocket import WebSocketProtocol13

import lpws
from lpws import machine, measurement
from lpws.fleet import process
from lpws.fleet.fleet import Fleet
from lpws.server import handlers
from lpws.server.handlers import RoomHandler
from lpws.transports import HALVES, websocket

#: How many moments of each kind are tried, and from which seed they are drawn.
MOMENTS, SEED = int(os.environ.get("LPWS_MOMENTS", 5)), os.environ["LPWS_SEED"]

LINK = lpws.Link(delay_s=0.005)
WORK = lpws.Workload(clients=3, rate_hz=30, duration_s=0.3, seed=2)
SHORT = lpws.Workload(clients=2, rate_hz=50, duration_s=0.05, seed=2)
TRANSPORTS = [
    lpws.Reload(pause_s=0.05),
    lpws.ShortPolling(interval_s=0.05, keep_alive=False),
    lpws.LongPolling(),
    lpws.SSE(retry_s=0.1),
    lpws.WebSocket(retry_s=0.1),
]

LOOPS = [asyncio.new_event_loop]
with contextlib.suppress(ImportError):
    LOOPS.append(importlib.import_module("uvloop").new_event_loop)

posix = pytest.mark.skipif(os.name != "posix", reason="asks POSIX for it")


def one_sentence(error, *words):
    """Whether the message is one line without a traceback in which all the words stand."""
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    for word in words:
        assert re.search(word, text), (word, text)
    return True


# ------------------------------------------------------------------------------ interrupts


@pytest.fixture
def interruptible():
    """The handler that a kernel has; a shell that starts Python in the background takes it away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(by_signal):
    if by_signal:  # as the kernel's interrupt
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:  # as on Windows: nothing wakes the wait
        signal.raise_signal(signal.SIGINT)


def measure_interrupted(after_s, by_signal, *arguments):
    """Whether the run was interrupted (else it was over before)."""
    timer = threading.Timer(after_s, interrupt, (by_signal,))
    try:
        try:
            timer.start()
            lpws.measure(*arguments)
        finally:
            timer.join()  # should the run be over first, the interrupt comes here
    except KeyboardInterrupt:
        return True
    return False


@posix
@pytest.mark.parametrize("link", [None, LINK], ids=["loopback", "link"])
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.label)
def test_an_interrupt_at_any_moment(transport, link, interruptible):
    """Five moments each, fifty in all; ten times as many where `run.py soak` asks for them."""
    draw = random.Random(f"{SEED} {transport.label} {link}")
    began = time.perf_counter()
    lpws.measure(transport, SHORT, link)
    whole_s = time.perf_counter() - began
    for number in range(MOMENTS):
        with nothing_left_behind():
            assert measure_interrupted(draw.uniform(0, whole_s), number % 2 == 0, transport, SHORT, link)
        with nothing_left_behind():
            # The clients in a thread, mostly, to save the time in which a process starts.
            run = lpws.measure(transport, SHORT, link, clients_in="thread" if number else "process")
        assert accounting.faults(run) == []
        assert not run.log
        assert gc.isenabled()


@posix
def test_a_second_interrupt_does_no_harm(interruptible):
    patient = replace(WORK, duration_s=60)
    before = set(threading.enumerate())
    with nothing_left_behind():
        timers = [threading.Timer(after_s, interrupt, (True,)) for after_s in (0.5, 0.5001)]
        with contextlib.suppress(KeyboardInterrupt):
            try:
                for timer in timers:
                    timer.start()
                lpws.measure(lpws.WebSocket(), patient)
            finally:
                for timer in timers:
                    timer.join()
        # The first wait was cut short by the second interrupt; the run goes on ending.
        for thread in set(threading.enumerate()) - before:
            thread.join(60)


# ---------------------------------------------------------------------- the clients' process


@pytest.fixture
def kill_in_the_middle(monkeypatch):
    """Kills the fleet as soon as it has handed over some events of the run."""

    def publish(self, publish=measurement._Experiment._publish):
        count = len(self.clients.batches)

        def kill():
            while len(self.clients.batches) < count + 3:
                time.sleep(0.001)
            self.clients.process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            return publish(self)
        finally:
            killer.join()

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)


@posix
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.label)
def test_clients_that_are_killed(transport, kill_in_the_middle, nothing_left, capfd):
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(transport, replace(WORK, duration_s=30), LINK)
    assert one_sentence(caught.value, "clients ended", r"exit status -9", "run the cell again")
    events = caught.value.run.events
    for side in ("client", "server"):
        assert "opened" in {event[1] for event in events if event[2] == side}
    assert events == sorted(events, key=lambda event: event[0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.write(2, b'no tea\\n'); os._exit(3)", "exit status 3; their last words: no tea"),
        ("import lpws.specs as s; s.from_dict = None", "exit status 1; their last words: TypeError: 'None"),
        ("import lpws.transports.client as c; c.Client.read = lambda *_: 1 / 0", "ZeroDivisionError: div"),
    ],
    ids=["at once", "at their specification", "at the first message"],
)
def test_clients_that_fail(code, words, tmp_path, monkeypatch, nothing_left, capfd):
    (tmp_path / "sitecustomize.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # the clients' path begins with it
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(lpws.LongPolling(), WORK)
    assert one_sentence(caught.value, "clients ended", words)
    assert capfd.readouterr() == ("", "")
    assert ("ZeroDivision" in words) == any(event[2] == "client" for event in caught.value.run.events)


def test_clients_in_a_thread_that_fail(monkeypatch, nothing_left, capfd):
    monkeypatch.setattr("lpws.transports.client.Client.read", lambda *_: 1 / 0)
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(lpws.LongPolling(), WORK, clients_in="thread")
    assert one_sentence(caught.value, "ZeroDivisionError")
    assert capfd.readouterr().out == ""


def test_what_else_is_printed_by_the_clients_is_ignored(tmp_path, monkeypatch, nothing_left):
    (tmp_path / "sitecustomize.py").write_text("print('events are great', flush=True)", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert accounting.faults(lpws.measure(lpws.WebSocket(), SHORT)) == []


@pytest.mark.parametrize(
    "torn", [b"", b"eve", b"events", b"events 1", b"events 12\nonly", b"events are great\n", b"\xff\n"]
)
def test_the_torn_report_of_a_sudden_death(torn):
    fleet = process.RemoteFleet({})
    fleet._read(BytesIO(b"ready 0\nevents 2\n[]" + torn))
    assert (fleet.said, fleet.batches) == ({"ready"}, [b"[]"])


@posix
def test_clients_end_with_their_kernel(tmp_path):
    script = """
        import threading, lpws
        from lpws import measurement

        def publish(self):
            print(self.clients.process.pid, flush=True)
            threading.Event().wait()

        measurement._Experiment._publish = publish
        lpws.measure(lpws.LongPolling(), lpws.Workload(clients=2))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as kernel:
        clients = int(kernel.stdout.readline())
        kernel.kill()
    end = time.monotonic() + 20
    while running(clients) and time.monotonic() < end:
        time.sleep(0.01)
    assert not running(clients)


def running(pid):
    try:
        ps = ["ps", "-o", "stat=", "-p", str(pid)]
        state = subprocess.run(ps, capture_output=True, encoding="utf-8").stdout
    except FileNotFoundError:  # no ps: Linux says it itself
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                state = file.read().rpartition(")")[2].strip()
        except FileNotFoundError:
            return False
    return bool(state.strip()) and not state.strip().startswith("Z")


# ------------------------------------------------------------------------ what cannot be had


def run_script(script):
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return done.stdout.splitlines()


@posix
def test_too_few_descriptors():
    said = run_script(
        """
        import resource, lpws
        resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))
        try:
            lpws.measure(lpws.WebSocket(), lpws.Workload(clients=100))
        except lpws.RunError as error:
            print(error, error.run)
        """
    )
    assert len(said) == 1
    assert one_sentence(said[0], r"room for 2\d\d open files, the system allows 150: run fewer", "None$")


@posix
@pytest.mark.parametrize("careful", [True, False], ids=["counted before", "not counted"])
def test_descriptors_that_run_out_somewhere(careful):
    """With room for n more files, whatever n is, the run succeeds or says why it does not."""
    said = run_script(
        f"""
        import os, resource, lpws, lpws.simulation
        from lpws import measurement
        measurement.READY_S = 5.0
        if not {careful}:
            measurement.make_room_for_files = lambda number: None
            os.dup2(os.open("/dev/null", os.O_WRONLY), 2)  # asyncio complains of its own unfinished loop
        work = lpws.Workload(clients=4, rate_hz=50, duration_s=0.05)
        link = lpws.Link(delay_s=0)
        lpws.measure(lpws.LongPolling(), work, link)  # loads all that it needs
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
        for room in range(0, 100, 10) if {careful} else range(0, 90, 6):
            taken = []
            try:
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                for _ in range(room):
                    os.close(taken.pop())
            try:
                answer = repr(lpws.measure(lpws.LongPolling(), work, link))
            except lpws.RunError as error:
                answer = str(error)
            for file in taken:
                os.close(file)
            print(answer)
        """
    )
    refused = [line for line in said if not line.startswith("<measured run")]
    assert 0 < len(refused) < len(said)
    if careful:
        assert said == refused + said[len(refused) :]  # from some room on, all is well
    else:  # how many a run needs at a time depends on what it closes before it opens more
        assert said[0] in refused
        assert said[-1] not in refused
    for line in refused:
        assert one_sentence(line, "open files" if careful else "open files|expected 4 clients")


@pytest.mark.parametrize("link", [None, LINK], ids=["loopback", "link"])
def test_no_port(link, monkeypatch, nothing_left, capfd):
    def none(*_, **__):
        raise OSError(EADDRINUSE, "Address already in use")

    if link:
        monkeypatch.setattr("asyncio.BaseEventLoop.create_server", none)
    else:
        monkeypatch.setattr("lpws.server.doorway.create_server", none)
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(lpws.WebSocket(), SHORT, link)
    assert one_sentence(caught.value, "[Aa]ddress already in use", "run the cell again")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("transport", [lpws.ShortPolling(interval_s=0.05), lpws.LongPolling()], ids=repr)
def test_clients_whose_first_connection_fails_try_again(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()  # where nobody listens any more

    async def first_events():
        events = []
        spec = {"transport": transport, "workload": SHORT, "address": address, "host": "", "grace_s": 1.0}
        fleet = Fleet(**spec, record=events.append)
        tasks = [asyncio.create_task(HALVES[type(transport)].listen(client)) for client in fleet.clients]
        fleet.start.set_result(lpws.clock())
        async with asyncio.timeout(20):
            while sum(event[1] == "failed" for event in events) < 4:
                await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return {event[1] for event in events}

    assert asyncio.run(first_events()) <= {"opening", "due", "failed"}


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_is_given_up_while_it_is_made(turns, new_loop):
    """Whichever turn of the loop it is: what the server has accepted, the client has opened, and closed."""

    async def books():
        accepted, events = [], []
        server = await asyncio.start_server(lambda _reader, writer: accepted.append(writer), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        fleet = Fleet(lpws.LongPolling(), SHORT, address, "", grace_s=1.0, record=events.append)
        client = fleet.clients[0]
        task = asyncio.create_task(client.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        client.close()
        async with asyncio.timeout(20):
            while fleet.opening or fleet.open or not accepted and events:
                await asyncio.sleep(0)
        for writer in accepted:
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return len(accepted), [event[1] for event in events]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        accepted, names = runner.run(books())
    # In the turn 0 it has not begun.
    assert (accepted, names) == ((1, ["opening", "opened", "closed"]) if turns else (0, []))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_reset_right_behind_a_message(new_loop):
    """Both are there when the client looks: it has the message, and knows that its line is gone."""

    async def serve(listener, ready):
        loop = asyncio.get_running_loop()
        line, _ = await loop.sock_accept(listener)
        head = (await loop.sock_recv(line, 10_000)).decode()
        key = re.search(r"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)[1]
        accept = WebSocketProtocol13.compute_accept_value(key)
        answer = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        await loop.sock_sendall(line, b"HTTP/1.1 101 Yes\r\n" + answer.encode())
        await ready.wait()
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, 0 s: RST in place of FIN
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        line.send(websocket.text_frame(b"1 tea is ready\n"))
        line.close()

    async def names(listener):
        events = []
        spec = {"transport": lpws.WebSocket(retry_s=60), "workload": replace(SHORT, clients=1)}
        fleet = Fleet(**spec, address=listener.getsockname(), host="", grace_s=1.0, record=events.append)
        task = asyncio.create_task(websocket.listen(fleet.clients[0]))
        await serve(listener, fleet.ready)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not any(event[1] == "closed" for event in events):
                    await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return [event[1] for event in events]

    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.Runner(loop_factory=new_loop) as runner:
        listener.setblocking(False)
        assert runner.run(names(listener))[-2:] == ["message_received", "closed"]


# ------------------------------------------------------------------------- faults of the link

FAULTY = [
    *TRANSPORTS,
    lpws.Reload(pause_s=0.05, keep_alive=True),
    lpws.ShortPolling(interval_s=0.05),
    lpws.LongPolling(hold_s=0.1, keep_alive=False),
    lpws.LongPolling(pause_s=0.05),
    lpws.WebSocket(flush_s=0.05, retry_s=0.1),
]


def faults_after_a_cut(run):
    """What does not agree although the cut does not explain it.

    A client has at most one request, and one new connection, on the way when the link is cut. One that
    keeps its connection has had it since before the start, or, reloading, since its first request.
    """
    events = {}
    for event in run.events:
        events.setdefault((event[1], event[2]), []).append(event)

    def keys(name, side, *fields):
        found = [tuple(event[field] for field in fields) for event in events.get((name, side), [])]
        assert len(set(found)) == len(found) or side == "server", f"doubled: {name}"
        return set(found)

    client, connection, request, message = 3, 4, 5, 6
    published = keys("published", "server", message)
    received = keys("message_received", "client", client, message)
    sent, arrived = keys("request_sent", "client", request), keys("request_received", "server", request)
    answered = keys("response_received", "client", request)
    failed = keys("failed", "client", request)
    opened = {side: len(keys("opened", side, connection)) for side in ("client", "server")}
    lost = opened["client"] - opened["server"]
    kept = run.transport.keep_alive and not run.transport.at_random
    most_lost = 0 if kept else run.workload.clients
    everything = {(number, *id) for number in range(run.workload.clients) for id in published}
    books = {
        "every message to every client": received == everything,
        "sent before it is received": received <= keys("message_sent", "server", client, message),
        "requests come from clients": arrived <= sent,
        "a request is lost only with its connection": len(sent - arrived) <= run.workload.clients,
        "answers are to requests": answered <= keys("response_sent", "server", request) <= arrived,
        "what got no answer has failed": run.label == "SSE" or sent - answered - failed <= last_of_each(run),
        "connections": 0 <= lost <= most_lost,
        "closed by the client": keys("opened", "client", connection) == keys("closed", "client", connection),
        "closed by the server": keys("opened", "server", connection) == keys("closed", "server", connection),
    }
    return [name for name, good in books.items() if not good]


def last_of_each(run):
    """The last request of each client: a long poll may be held when the run ends."""
    last = {event[3]: event[5] for event in run.events if event[1] == "request_sent"}
    return {(request,) for request in last.values()}


@pytest.mark.parametrize("transport", FAULTY, ids=repr)
def test_a_cut_link(transport, nothing_left):
    work = replace(WORK, clients=5, duration_s=0.5)
    run = lpws.measure(transport, work, replace(LINK, cut_at_s=0.25))
    assert faults_after_a_cut(run) == []
    assert not run.log
    opened = [event for event in run.events if event[1:3] == ("opened", "client")]
    if (transport.persistent or transport.keep_alive) and not transport.at_random:
        assert sum(event[0] < 0.25 for event in opened) >= work.clients
        # Whenever they learn of it on a busy machine: all have to connect again, for what comes afterwards.
        times = Counter(event[3] for event in opened)
        assert min(times[number] for number in range(work.clients)) >= 2


@pytest.mark.parametrize("transport", FAULTY, ids=repr)
def test_a_silent_link(transport, nothing_left):
    run = lpws.measure(transport, WORK, replace(LINK, silent_at_s=0.1, silent_for_s=0.4))
    assert accounting.faults(run) == []
    assert not run.log
    assert lpws.deliveries(run).state.eq("delivered").all()
    relayed = [event[0] for event in run.events if event[1] == "relayed" and event[0] > 0]
    assert not [t for t in relayed if 0.2 < t < 0.45]


# -------------------------------------------------------------------- handlers of the reader's


class Raises(RoomHandler):
    def get(self):
        raise ValueError("no tea")


class NeverAnswers(RoomHandler):
    async def get(self):
        await asyncio.Event().wait()


class AnswersProse(RoomHandler):
    def get(self):
        self.finish("tea is ready\n")


class AnswersBytes(RoomHandler):
    def get(self):
        self.finish(b"\xff\xfe\n")


class SpeaksNoHTTP(RoomHandler):
    def get(self):
        self.detach().write(b"tea is ready\r\n\r\n")


class StreamsWithoutIds(RoomHandler):
    async def get(self):
        self.write("data: tea is ready\n\n")
        await self.flush()
        await asyncio.Event().wait()


class SendsProse(handlers.WebSocket):
    def open(self):
        self.write_message("tea is ready")


class Hurries(handlers.ShortPolling):
    """A long poll that is answered at once."""


def with_handler(transport, handler):
    """The run, or the error that came instead of it."""
    try:
        return lpws.measure(transport, SHORT, handler=handler)
    except lpws.RunError as error:
        return error


POLLS = [transport for transport in TRANSPORTS if not transport.persistent]
HELD = lpws.LongPolling(hold_s=0.1)


@pytest.mark.parametrize(
    ("transport", "handler", "words", "statuses"),
    [
        *((transport, Raises, "no tea", {500}) for transport in POLLS),
        *((transport, NeverAnswers, "no client received", set()) for transport in (*POLLS, HELD)),
        *((transport, SpeaksNoHTTP, "no client received", {0}) for transport in (*POLLS, HELD)),
    ],
)
def test_a_faulty_handler_is_data(transport, handler, words, statuses, nothing_left, capfd):
    run = with_handler(transport, handler)
    assert one_sentence(run.log[0], words)
    assert not run.health.good
    assert words in repr(run)
    assert {event[7] for event in run.events if event[1] == "failed"} == statuses
    assert lpws.deliveries(run).state.eq("pending").all()
    assert capfd.readouterr() == ("", "")


def test_a_handler_that_fails_now_and_then(nothing_left, capfd):
    class Moody(handlers.ShortPolling):
        async def get(self):
            if self.number % 5 == 3:
                raise ValueError("no tea")
            await super().get()

    run = with_handler(lpws.ShortPolling(interval_s=0.02), Moody)
    assert accounting.faults(run) == []
    assert lpws.deliveries(run).state.eq("delivered").all()
    assert {event[5] % 5 for event in run.events if event[1] == "failed"} == {3}
    assert "no tea" in run.log[0]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("transport", "handler", "words"),
    [
        *((transport, Raises, "no tea") for transport in TRANSPORTS if transport.persistent),
        (HELD, AnswersProse, r"expected lines like b'7 tea is ready\\n', got b'tea is ready\\n'"),
        (TRANSPORTS[0], AnswersProse, "got b'tea is ready"),
        (TRANSPORTS[1], AnswersBytes, r"got b'\\xff\\xfe"),
        (TRANSPORTS[3], AnswersBytes, "UnicodeDecodeError"),
        (TRANSPORTS[3], StreamsWithoutIds, "expected message ids from 1, got 0 with 'tea is ready'"),
        (TRANSPORTS[4], SendsProse, "expected lines like"),
    ],
)
def test_a_faulty_handler_ends_the_run(transport, handler, words, nothing_left, capfd):
    error = with_handler(transport, handler)
    assert isinstance(error, lpws.RunError)
    assert one_sentence(error, words)
    assert {event[2] for event in error.run.events} >= {"server", "client"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("transport", "handler"),
    [(TRANSPORTS[3], NeverAnswers), (TRANSPORTS[4], NeverAnswers), (TRANSPORTS[4], SpeaksNoHTTP)],
)
def test_a_handler_that_lets_nobody_in(transport, handler, monkeypatch, nothing_left, capfd):
    monkeypatch.setattr(measurement, "READY_S", 1.0)
    error = with_handler(transport, handler)
    assert one_sentence(error, "expected 2 clients to be connected within 1 s", "Is the|Does the handler")
    assert capfd.readouterr() == ("", "")


def test_a_long_poll_that_hurries(nothing_left, capfd):
    run = with_handler(HELD, Hurries)
    assert accounting.faults(run) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("handler", [3, "Handler", dict, RoomHandler.get])
def test_what_is_no_handler(handler):
    with pytest.raises(TypeError, match="expected a subclass of tornado.web.RequestHandler"):
        lpws.measure(HELD, SHORT, handler=handler)


# ------------------------------------------------------------------------------ again and again


def test_twenty_runs_in_a_row():
    with nothing_left_behind():
        for number in range(20):
            run = lpws.measure(TRANSPORTS[number % 5], SHORT, LINK if number % 2 else None)
            assert accounting.faults(run) == []


def test_the_progress_bar_leaves_nothing(monkeypatch, nothing_left, capfd):
    monkeypatch.setattr(machine, "BAR_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("LPWS_PROGRESS", "1")
    lpws.measure(lpws.WebSocket(), WORK)
    assert "WebSocket" in capfd.readouterr().err


def test_no_progress_bar_where_nobody_looks(monkeypatch, capfd):
    """Parts of a kernel may be loaded where there is none, and standard error may be a file."""
    import ipykernel.kernelspec  # noqa: F401

    monkeypatch.setattr(machine, "BAR_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setenv("LPWS_PROGRESS", "1")
    lpws.measure(lpws.WebSocket(), SHORT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("program", ["JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG", "nbconvert"])
def test_a_notebook_has_a_progress_bar_if_a_program_shows_it(monkeypatch, program):
    """One that only stores it, such as nbconvert, would keep "0 of 5 s" for ever."""
    for name in list(os.environ):
        if name.startswith(("JPY_SESSION_NAME", "VSCODE_", "COLAB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JPY_PARENT_PID", "4711")  # which every kernel has
    monkeypatch.setenv(program, "yes")
    monkeypatch.setenv("LPWS_PROGRESS", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    ipython = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=True))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    bars = []
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=type("Bar", (), {
        "set_lock": classmethod(lambda *_: None), "__init__": lambda self, **_: bars.append(self),
        "__enter__": lambda self: self, "__exit__": lambda *_: None,
    })))  # fmt: skip
    with machine.progress("a run", 60, lambda: 0.0):
        pass
    assert len(bars) == (program != "nbconvert")


def test_modules_beside_the_notebook_do_not_reach_the_clients(monkeypatch, tmp_path):
    """Nor does a path that is no text, which Python itself passes over."""
    (tmp_path / "json.py").write_text("raise SystemExit('not the one')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path, tmp_path, 7])
    run = lpws.measure(lpws.WebSocket(), SHORT)
    assert accounting.faults(run) == []


def test_a_run_says_which_versions_there_are(monkeypatch):
    """And not of uvloop, which a reader has uninstalled, or never had on Windows."""
    monkeypatch.setattr("lpws.run.version", version_but_of_uvloop)
    machine = lpws.measure(lpws.WebSocket(), SHORT).machine
    assert machine["tornado"]
    assert "uvloop" not in machine


def version_but_of_uvloop(name):
    if name == "uvloop":
        raise importlib.metadata.PackageNotFoundError(name)
    return importlib.metadata.version(name)


def test_runs_at_once_put_back_what_they_found():
    was = gc.isenabled(), sys.getswitchinterval()
    first, second = machine.undisturbed(), machine.undisturbed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (gc.isenabled(), sys.getswitchinterval()) != was
    second.__exit__(None, None, None)
    assert (gc.isenabled(), sys.getswitchinterval()) == was


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the arguments of a process")
def test_the_debugger_does_not_take_over_the_clients():
    said = run_script(
        """
        import os
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        import debugpy, lpws
        from lpws.fleet import process

        debugpy.listen(("127.0.0.1", 0))
        check = process.RemoteFleet.check
        seen = set()

        def look(self):
            with open(f"/proc/{self.process.pid}/cmdline", "rb") as file:
                seen.add(file.read())
            check(self)

        process.RemoteFleet.check = look
        lpws.measure(lpws.WebSocket(), lpws.Workload(clients=2, rate_hz=20, duration_s=0.1))
        print(any(b"lpws.fleet" in each for each in seen), any(b"pydevd" in each for each in seen))
        """
    )
    assert said == ["True False"]
