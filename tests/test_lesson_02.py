"""What the notebook on short polling builds, and whether its claims notice what is broken."""

from dataclasses import replace
from functools import partial

import accounting
import booklet
import numpy
import pandas
import pytest
from mutants import RefusesKeepAlive, drifting

import lpws
from lpws.server import handlers
from lpws.transports import shortpolling

PATH = booklet.NOTEBOOKS / "02_short_polling.ipynb"
cell = partial(booklet.cell, PATH)


def built():
    """The names that the notebook defines up to its last handler."""
    namespace = {}
    for start in ("import http.client", "def poll(", "class Everything", "class Since"):
        booklet.execute(cell(start), namespace)
    return namespace


@pytest.fixture
def measured(monkeypatch):
    """Says which transports are measured, and how; all others are simulated."""
    real = lpws.measure

    def choose(broken, **options):
        def measure(transport, work, link=None, handler=None):
            if broken(transport):
                return real(transport, work, link, **{"handler": handler, **options})
            return lpws.simulate(transport, work, link)

        monkeypatch.setattr(lpws, "measure", measure)

    return choose


# ------------------------------------------------------------------ what the notebook builds

WORK = lpws.Workload(clients=4, rate_hz=20, duration_s=1.0, seed=2)
BEFORE = ([0], [3, 0, 2], [0, 1, 0, 0, 4, 1])


@pytest.fixture(params=["notebook", "lpws"])
def handler(request):
    return built()["Since"] if request.param == "notebook" else handlers.ShortPolling


def test_the_polling_handler_keeps_the_books(handler):
    run = lpws.measure(lpws.ShortPolling(interval_s=0.1), WORK, handler=handler)
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert lpws.requests(run)["empty"].any()


def test_the_polling_handler_refuses_a_cursor_that_no_client_can_have(handler):
    connection = built()["http"].client.HTTPConnection
    with lpws.Server(handlers={"/poll": handler}) as server:
        for cursor in ("1", "-1", "x"):
            line = connection(server.host, timeout=5)
            line.request("GET", f"/poll?cursor={cursor}")
            assert line.getresponse().status == 400
            line.close()


@pytest.mark.parametrize("before", BEFORE)
def test_the_polling_client_gets_each_message_once_in_order(handler, before):
    answers = built()["poll"](handler, before, interval_s=0)
    assert sum(answers, []) == list(range(1, sum(before) + 1))
    assert [len(answer) for answer in answers] == before


@pytest.mark.parametrize("before", BEFORE)
def test_the_first_handlers_have_the_defects_that_the_notebook_shows(before):
    namespace = built()
    published = [sum(before[: n + 1]) for n in range(len(before))]
    newest = namespace["poll"](namespace["Newest"], before, interval_s=0)
    assert newest == [[last] if last else [] for last in published]
    everything = namespace["poll"](namespace["Everything"], before, interval_s=0)
    assert everything == [list(range(1, last + 1)) for last in published]


@pytest.mark.parametrize(
    ("name", "book"), [("Newest", "missed in spite of a cursor"), ("Everything", "received once")]
)
def test_the_books_notice_the_first_handlers(name, book):
    run = lpws.measure(lpws.ShortPolling(interval_s=0.2), WORK, handler=built()[name])
    assert book in "\n".join(accounting.faults(run))


def test_what_the_newest_value_shows_is_the_newest_of_each_answer():
    """The simulation, which keeps all, counts the same messages as a server that keeps one."""
    namespace = built()
    booklet.execute(cell("def seen(").split("\n\n\n")[0], namespace)  # without the measurement below it
    polling = lpws.ShortPolling(interval_s=0.25)
    kept, twin = lpws.measure(polling, WORK, handler=namespace["Newest"]), lpws.simulate(polling, WORK)
    assert 0.1 < namespace["seen"](twin) < 0.9
    assert abs(namespace["seen"](kept) - namespace["seen"](twin)) < 0.1


# -------------------------------------------------------------------------------- mutations


class SkipsOne(handlers.Reload):
    def cursor(self):
        return min((super().cursor() or 0) + 1, self.room.mailbox.last)


class RepeatsOne(handlers.Reload):
    def cursor(self):
        return max((super().cursor() or 0) - 1, 0)


class KeepsTwo(handlers.Reload):
    def get(self):
        self.answer(self.room.mailbox.log[-2:])


class Holds(handlers.Reload):
    """Waits for news, as a long poll does."""

    async def get(self):
        self.answer(await self.room.ask(self, self.cursor(), hold_s=0.08))


@pytest.mark.parametrize(
    ("name", "broken", "sentence"),
    [
        ("Since", SkipsOne, "with a cursor each message came once, in order"),
        ("Since", RepeatsOne, "with a cursor each message came once, in order"),
        ("Newest", KeepsTwo, "of six messages, the newest value alone showed three"),
        ("Everything", KeepsTwo, "sending everything loses nothing"),
    ],
)
def test_claims_notice_a_broken_handler(name, broken, sentence):
    namespace = built()
    namespace[name] = broken
    said = booklet.execute(cell("newest, everything, since ="), namespace)
    assert f"✗ {sentence}" in said
    assert "✓" in said


#: Cells that the claims on the three runs need, on one interval and a shorter workload.
SHORT = [
    ("guess_seen", [("duration_s=3.0", "duration_s=2.0")]),
    ("intervals_s =", [("[0.1, 0.3, 1.0]", "[0.1]")]),
]
RATES = ("def rate_and_age", "def model_age")
BYTES = ("fast =", "server = lpws.connections")
ASKED = "each client asked 1/C times a second"
SHARED = "and all polls of a client went over one connection"


def claims_of_the_sweep(*starts):
    """What the cells with these starts print, on one measured interval of 0.1 s."""
    namespace = built() | {"np": numpy, "pd": pandas, "replace": replace}
    for start, changes in SHORT:
        booklet.execute(cell(start, *changes), namespace)
    return "".join(booklet.execute(cell(start), namespace) for start in starts)


def test_claims_hold_without_a_mutation():
    said = claims_of_the_sweep(*RATES, *BYTES)
    assert f"✓ {ASKED}" in said
    assert f"✓ {SHARED}" in said


def test_a_claim_notices_a_server_that_closes(measured):
    measured(lambda transport: True, handler=RefusesKeepAlive)
    assert f"✗ {SHARED}" in claims_of_the_sweep(*BYTES)


@pytest.mark.parametrize(("handler", "agrees"), [(handlers.ShortPolling, True), (Holds, False)])
def test_the_share_of_empty_answers_notices_a_server_that_holds(handler, agrees):
    namespace = {"lpws": lpws}
    booklet.execute(cell("def empty(").split("\n\n\n")[1], namespace)  # the function alone
    polling = lpws.ShortPolling(interval_s=0.1)
    work = replace(WORK, rate_hz=6.0, duration_s=1.5)
    run, twin = lpws.measure(polling, work, handler=handler), lpws.simulate(polling, work)
    # 0.08 is what the notebook's claim allows.
    assert (abs(namespace["empty"](run) - namespace["empty"](twin)) < 0.08) == agrees


def test_a_claim_notices_a_client_that_drifts(measured, monkeypatch):
    monkeypatch.setattr(shortpolling, "listen", drifting)
    measured(lambda transport: True, clients_in="thread")
    assert f"✗ {ASKED}" in claims_of_the_sweep(*RATES)


def test_claims_notice_clients_that_are_not_in_step(measured, monkeypatch):
    measured(lambda transport: False)
    spread = lpws.ShortPolling(interval_s=1.0)
    first_due_s = spread.first_due_s
    monkeypatch.setattr(lpws.ShortPolling, "first_due_s", lambda _, seed, client: first_due_s(seed, client))
    namespace = built() | {"np": numpy, "replace": replace, "R": 0.05}
    booklet.execute(cell("guess_seen"), namespace)
    said = booklet.execute(cell("crowd ="), namespace) + booklet.execute(cell("def wait_s"), namespace)
    seeds = ("range(60)", "range(8)")
    booklet.execute(cell("def means_s", seeds).split("ax = ")[0], namespace)  # without the figure
    said += booklet.execute(cell('lpws.claim("in step, the mean', seeds), namespace)
    assert "✗ in step, the busiest 50 ms brought more than twice as many polls" in said
    assert "✗ in step, the mean of a run scatters more than three times as wide" in said


def test_every_claim_holds_in_the_simulation_whatever_runs_again():
    """But the one on the queue: in imagined time a server needs none."""
    judged = booklet.to_the_end_and_back(PATH)
    assert len(judged) > 80
    failed = {line.split(":")[0] for line in judged if line[0] != "✓"}
    assert failed <= {"✗ and the typical poll waited longer for its answer"}


# ------------------------------------------------------------------- what a reader may change


@pytest.mark.parametrize("bad", booklet.BAD)
@pytest.mark.parametrize(
    ("start", "number", "figure"),
    [
        ("guess_seen", "guess(0.5", "same ="),
        ("guess_empty", "guess(0.1", "ax = axes(None, 7.5, 4.2)"),
        ("guess_hz", "guess(5", "R = 2 * d"),
        ("guess_peak", "guess(10", "ax = axes(None, 7.5, 3.8)"),
    ],
)
def test_a_guess_of_any_kind_leaves_its_figure_whole(start, number, figure, bad, caplog):
    assert booklet.guessing(PATH, start, number, bad, figure) == (bad == 0)
    assert not caplog.records


PARAMETERS = [
    ("before =", "before = [0"),
    ("guess_seen", "Link(delay_s=0.025"),
    ("guess_seen", "work = lpws.Workload(clients=20"),
    ("guess_seen", "rate_hz=4.0"),
    ("guess_seen", "duration_s=3.0"),
    ("kept =", "(0.25"),
    ("intervals_s =", "[0.1"),
    ("few =", "interval_s=0.02"),
    ("few =", "rate_hz=4.0"),
    ("few =", "duration_s=1.0"),
    ("crowd =", "clients=100"),
    ("crowd =", "duration_s=2.0"),
    ("crowd =", "interval_s=1.0"),
    ("def rate_and_age", "duration_s=20.0"),
    ("def rate_and_age", "0.03, 0.02"),
    ("def means_s", "ShortPolling(interval_s=1.0"),
]


@pytest.mark.parametrize("bad", booklet.BAD)
@pytest.mark.parametrize(("start", "parameter"), PARAMETERS)
def test_a_parameter_that_cannot_be_is_refused_in_words(start, parameter, bad):
    may_be = bad == 0 and parameter in ("before = [0", "Link(delay_s=0.025")
    assert bool(booklet.retyping(PATH, start, parameter, bad)) != may_be


@pytest.mark.parametrize("bad", booklet.BAD)
def test_what_is_no_list_of_numbers_is_refused_in_words(bad):
    with booklet.imagined():
        source = booklet.rebound(cell("before ="), "before", bad)
        assert booklet.complaint(source, booklet.read_through(PATH))


def test_without_a_delay_the_figure_of_requests_is_drawn():
    namespace = booklet.read_through(PATH) | {"d": 0.0, "link": lpws.Link(delay_s=0)}
    with booklet.imagined():
        booklet.execute(cell("R = 2 * d"), namespace)
    assert namespace["ax"].get_xlim()[1] > 20


def test_recorded_and_own_runs_are_of_one_specification():
    recorded, own = lpws.load_run("short_polling").values(), booklet.read_through(PATH)["runs"].values()
    assert list(map(booklet.spec, recorded)) == list(map(booklet.spec, own))
