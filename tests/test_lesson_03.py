"""What the notebook on long polling builds, and whether its claims notice what is broken."""

import re
import socket
import time
from dataclasses import replace
from functools import partial

import accounting
import booklet
import pytest
from mutants import Closing

import lpws
from lpws.server import handlers
from lpws.transports import longpolling

PATH = booklet.NOTEBOOKS / "03_long_polling.ipynb"
LINK = lpws.Link(delay_s=0.025)
cell = partial(booklet.cell, PATH)


def built():
    """The names that the notebook defines: its handlers, and its plain-socket client."""
    namespace = {"link": LINK, "fixed": {}}
    for start in ("import asyncio", "import socket", "def abandoned", "class Forgetful", "class Remembering"):
        booklet.execute(cell(start), namespace)
    return namespace


@pytest.fixture
def measured(monkeypatch):
    """Says how the runs of a notebook are measured, and which; all others are simulated."""
    real = lpws.measure

    def choose(chosen=lambda transport, work: True, **options):
        def measure(transport, work, link=None, **given):
            if chosen(transport, work):
                return real(transport, work, link, **given, **options)
            return lpws.simulate(transport, work, link)

        monkeypatch.setattr(lpws, "measure", measure)

    return choose


# ------------------------------------------------------------------ what the notebook builds

WORK = lpws.Workload(clients=4, rate_hz=20, duration_s=1.0, seed=2)


@pytest.fixture(params=["notebook", "lpws"])
def handler(request):
    return built()["Remembering"] if request.param == "notebook" else handlers.LongPolling


@pytest.fixture(params=["notebook", "lpws"])
def forgetful(request):
    return built()["Forgetful"] if request.param == "notebook" else handlers.LongPolling


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("pattern", ["poisson", "bursts"])
def test_the_handler_keeps_the_books(handler, pattern, keep_alive):
    work = lpws.Workload(clients=4, rate_hz=20, duration_s=0.6, pattern=pattern, burst=4, spacing_s=0)
    polling = lpws.LongPolling(keep_alive=keep_alive)
    run = lpws.measure(polling, work, lpws.Link(delay_s=0.01), handler=handler)
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert run.log == ()


def test_the_handler_ends_its_holds(handler):
    work = lpws.Workload(clients=3, rate_hz=1, duration_s=1.0, pattern="periodic")
    run = lpws.measure(lpws.LongPolling(hold_s=0.2), work, handler=handler)
    assert accounting.faults(run) == []
    asked = lpws.requests(run)
    assert asked["empty"].sum() >= 3
    assert asked[asked["empty"]].held_s.min() > 0.2 - 0.005


def test_a_forgetful_handler_loses_what_falls_into_the_gap(forgetful):
    work = lpws.Workload(clients=3, rate_hz=5, duration_s=1.2, pattern="bursts", burst=2)
    run = lpws.measure(lpws.LongPolling(cursor=False), work, LINK, handler=forgetful)
    assert accounting.faults(run) == []
    told = lpws.deliveries(run)
    # Of each pair the first finds the request held, the second, a millisecond later, does not.
    assert (told[told.message % 2 == 1].state == "delivered").all()
    assert (told[told.message % 2 == 0].state != "delivered").all()


def test_the_first_handler_holds_and_answers():
    namespace = built()
    said = booklet.execute(cell('with lpws.Server(handlers={"/held": Holding})'), namespace)
    assert "1 tea is ready" in said
    said = booklet.execute(cell('lpws.claim("before the message'), namespace)
    assert said.count("✓") == len(said.splitlines()) == 4


@pytest.mark.parametrize("hold", ["-1", "nan", "soon", "301"])
def test_a_hold_that_is_none_is_refused(handler, hold):
    namespace = built()
    with lpws.Server(handlers={"/held": handler}) as server, namespace["connect"](server) as line:
        namespace["ask"](line, f"hold={hold}&cursor=0")
        assert namespace["hear"](line).startswith(b"HTTP/1.1 400")
        assert not server.room.followers
        assert not server.log


def test_a_cursor_of_another_log_is_refused(handler):
    namespace = built()
    with lpws.Server(handlers={"/held": handler}) as server, namespace["connect"](server) as line:
        namespace["ask"](line, "hold=1&cursor=7")
        assert namespace["hear"](line).startswith(b"HTTP/1.1 400")


def test_a_client_that_is_gone_before_its_request_is_looked_at_is_not_waited_for():
    namespace = built()
    with lpws.Server(handlers={"/held": namespace["Forgetful"]}) as server:
        with namespace["connect"](server) as line:
            namespace["ask"](line, "hold=0")
            namespace["hear"](line)
            server.thread.post(time.sleep, 0.2)  # request and goodbye are read together
            namespace["ask"](line, "hold=20")
        namespace["until"](lambda: server.room.arrived == 2)
        assert server.room.arrived == 2
        namespace["until"](lambda: server.open == 0 and not server.room.followers)
        assert not server.room.followers


def test_a_client_that_resets_its_connection_leaves_nothing(nothing_left):
    namespace = built()
    with lpws.Server(handlers={"/held": namespace["Forgetful"]}) as server:
        line = namespace["connect"](server)
        namespace["ask"](line, "hold=20")
        namespace["until"](lambda: server.room.followers)
        assert server.room.followers
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        line.close()
        namespace["until"](lambda: not server.room.followers)
        assert not server.room.followers
        assert not server.log


# -------------------------------------------------------------------- what the notebook claims


def test_every_claim_holds_in_the_simulation_whatever_runs_again():
    judged = booklet.to_the_end_and_back(PATH)
    assert [line for line in judged if line[0] != "✓"] == []
    assert len(judged) > 100


def claims_of_the_socket(**broken):
    """What the notebook claims of the handler with a timeout, with methods replaced."""
    namespace = built()
    namespace["Forgetful"] = type("Broken", (namespace["Forgetful"],), broken)
    booklet.execute(cell("import socket", ("within_s=5", "within_s=1")), namespace)
    return booklet.execute(cell('with lpws.Server(handlers={"/held": Forgetful})'), namespace)


def test_the_claims_notice_a_hold_that_never_ends():
    said = claims_of_the_socket(seconds=lambda self, name, most: most)
    assert "✗ a hold of 0.3 s ended with an empty answer" in said
    assert "✓ after five clients went away, nobody waits" in said


def test_the_claims_notice_a_request_that_stays_behind():
    said = claims_of_the_socket(on_connection_close=lambda self: None)
    assert "✗ after five clients went away, nobody waits" in said
    assert said.count("✓") == 2


def claims_of_the_cursor(handler=lambda original: original):
    """What the notebook claims of the cursor, in a shorter run and with another handler."""
    namespace = built()
    namespace["Remembering"] = handler(namespace["Remembering"])
    return booklet.execute(cell("work = lpws.Workload(clients=10, rate_hz=15, duration_s=2.0",
                                ("duration_s=2.0", "duration_s=1.0")), namespace)  # fmt: skip


def off_by(step):
    """Makes a handler that misreads the cursor."""

    def misread(original):
        class Misreads(original):
            def cursor(self):
                return min(max(super().cursor() + step, 0), self.room.mailbox.last)

        return Misreads

    return misread


def test_the_claims_of_the_cursor_hold_without_a_mutation(measured):
    measured()
    said = claims_of_the_cursor()
    assert said.count("✓") == len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("step", "sentence"), [(1, "with the cursor, nothing was lost"), (-1, "and nothing came twice")]
)
def test_the_claims_notice_a_cursor_that_is_misread(measured, step, sentence):
    measured()
    assert f"✗ {sentence}" in claims_of_the_cursor(off_by(step))


async def listen_without_cursor(client):
    """The client half, which forgets to say how far it has read."""
    await client.connect()
    client.ready()
    while True:
        await client.ask(f"&hold={client.transport.hold_s}")


async def listen_slowly(client):
    """The client half, which takes its time before it asks again."""
    await client.connect()
    client.ready()
    while True:
        await client.ask(f"&hold={client.transport.hold_s}")
        await client.sleep_until(lpws.trace.clock() + 0.1)


def test_the_claims_notice_a_client_that_does_not_send_its_cursor(measured, monkeypatch):
    monkeypatch.setattr(longpolling, "listen", listen_without_cursor)
    measured(clients_in="thread")
    said = claims_of_the_cursor()
    assert "✗ with the cursor, nothing was lost" in said
    assert "✓ and nothing came twice" not in said  # what never came did not come once, either


def test_the_claims_notice_a_client_that_dawdles(measured, monkeypatch):
    monkeypatch.setattr(longpolling, "listen", listen_slowly)
    measured(lambda transport, work: work.rate_hz == 5, clients_in="thread")
    namespace = built()
    for start in ("link = lpws.Link", "import numpy"):
        booklet.execute(cell(start), namespace)
    said = booklet.execute(cell("# The seed fixes the messages"), namespace)
    assert "✗ in each run, half of the gaps were shorter than two round trips" in said
    assert "✓ simulation and model differ by less than 0.05" in said


def test_the_claims_notice_a_server_that_closes_every_connection(measured):
    measured()
    namespace = built()
    handler = type("Broken", (Closing, namespace["Remembering"]), {})
    work = lpws.Workload(clients=3, rate_hz=15, duration_s=0.5, seed=4)
    kept = lpws.measure(lpws.LongPolling(), work, LINK, handler=handler)
    closed = lpws.simulate(lpws.LongPolling(keep_alive=False), work, LINK)
    said = booklet.execute(
        cell("kept_lines"), namespace | {"lpws": lpws, "kept": {"some": kept}, "closed": {"some": closed}}
    )
    assert "✗ with keep-alive, each client opened one connection" in said
    assert "✓ with close, no connection carried more than one request" in said


def test_the_claims_notice_a_server_that_does_not_hold(measured):
    namespace = built()
    namespace["Remembering"] = type(
        "AnswersAtOnce", (namespace["Remembering"],), {"seconds": lambda self, name, most: 0.0}
    )
    measured(lambda transport, work: transport.hold_s < 1)
    few = lpws.simulate(lpws.LongPolling(), WORK, LINK)
    namespace |= {"kept": {"many": few}, "gap_s": 2 * LINK.delay_s, "models": lpws.models}
    namespace["transits"] = lambda run: lpws.deliveries(run).latency_s / run.delay_s
    booklet.execute(cell("quiet = lpws.Workload"), namespace)
    said = booklet.execute(cell("least ="), namespace)
    assert "✗ an idle client comes back after a hold and a gap, not sooner" in said
    assert "✓ every answer before the message was empty" in said


def test_the_bug_hunt_has_one_answer():
    namespace = built()
    for start in ("def late_at", "answer = ...  # 1, 2 or 3"):
        booklet.execute(cell(start), namespace)
    assert [namespace["late_at"](place) for place in (1, 2, 3)] == [False, True, False]
    for wrong in (0, 4, "2", None):
        with pytest.raises(ValueError, match=re.escape(f"expected 1, 2 or 3, got {wrong!r}")):
            namespace["late_at"](wrong)


# ------------------------------------------------------------------- what a reader may change


@pytest.mark.parametrize("bad", booklet.BAD)
@pytest.mark.parametrize(
    ("start", "number", "figure"),
    [
        ("guess_lost", "(0.1", "from lpws.figures"),
        ("guess_mean", "(1.5", "hz = np.geomspace(0.7"),
        ("guess_mean", "(3.0", "hz = np.geomspace(0.7"),
    ],
)
def test_a_guess_of_any_kind_leaves_its_figure_whole(start, number, figure, bad, caplog):
    assert booklet.guessing(PATH, start, number, bad, figure) == (bad == 0)
    assert not caplog.records


PARAMETERS = [
    ("link = lpws.Link", "delay_s=0.025"),
    ("link = lpws.Link", "clients=10"),
    ("link = lpws.Link", "duration_s=2.0"),
    ("link = lpws.Link", '"few", 5'),
    ("import numpy", "(2, 5"),
    ("import numpy", "hz, 300"),
    ("import numpy", "hz, 2"),
    ("work = lpws.Workload(clients=10, rate_hz=15, duration_s=2.0", "rate_hz=15"),
    ("pairs =", "rate_hz=5"),
    ("pairs =", "burst=2"),
    ("pairs =", '"start", 0.001'),
    ("def flood", "True, 3"),
    ("def flood", "True, 60, 1.5"),
    ("def swept", "duration_s=100"),
    ("def swept", "(1, 3"),
    ("quiet =", '"short", 0.25'),
    ("quiet =", "duration_s=1.5"),
    ("timer =", "rate_hz=5"),
    ("timer =", "duration_s=100"),
    ("def burst", "(1, 2"),
    ("def burst", "duration_s=5"),
]


@pytest.mark.parametrize("bad", booklet.BAD)
@pytest.mark.parametrize(("start", "parameter"), PARAMETERS)
def test_a_parameter_that_cannot_be_is_refused_in_words(start, parameter, bad):
    may_be = bad == 0 and parameter == '"start", 0.001'  # two messages at once
    assert bool(booklet.retyping(PATH, start, parameter, bad)) != may_be


def test_the_claim_of_the_timer_notices_that_messages_are_random():
    names = dict(booklet.read_through(PATH))
    names["hidden"] = lpws.simulate(names["careless"], replace(names["timer"], pattern="poisson"), LINK)
    assert "✗ five a second by timer" in booklet.execute(cell("at_random ="), names)


def test_recorded_and_own_runs_are_of_one_specification():
    names = booklet.read_through(PATH)
    own = [*names["kept"].values(), *names["closed"].values()]
    assert list(map(booklet.spec, lpws.load_run("long_polling").values())) == list(map(booklet.spec, own))
