"""What the notebook on all transports side by side builds, and whether its claims notice what is broken."""

import asyncio
import re
import sys

import accounting
import booklet
import pandas
import pytest
from mutants import AnswersAtOnce, Closing, RefusesKeepAlive

import lpws
from lpws import models
from lpws.run import DATA
from lpws.server import handlers
from lpws.transports import longpolling

PATH = booklet.NOTEBOOKS / "07_choosing.ipynb"
LINK = lpws.Link(delay_s=0.025)
#: Long simulations are for the claims on simulations; here they only have to be there.
SHORTER = (("(1, 2, 4, 8, 16, 32), 300", "(1, 2, 4, 8, 16, 32), 10"), ("duration_s=30.0", "duration_s=1.0"))


def story():
    """The sources of the code cells before the exercises, in order."""
    cells = booklet.code(PATH)
    first = next(n for n, c in enumerate(cells) if booklet.tagged(c, "exercise"))
    return [c.source for c in cells[:first]]


def run_until(sentence, namespace=None):
    """What the cells print until the one with this sentence; no figure is drawn, no message weighed."""
    namespace, said = {} if namespace is None else namespace, ""
    namespace["DATA"] = DATA  # from a cell that weighs
    for source in story():
        for old, new in SHORTER:
            source = source.replace(old, new)
        if "weigh(" not in source and "mbit" not in source:
            said += booklet.execute(re.split("\n(?=ax = axes|fig, )", source)[0], namespace)
        if sentence in source:
            return said
    raise AssertionError(f"no cell says {sentence}")


@pytest.fixture
def measured(monkeypatch):
    """Says which transports are measured, and how; all others are simulated."""
    real = lpws.measure
    booklet.remember(monkeypatch)

    def choose(kind=(), **options):
        def measure(transport, work, link=None):
            if isinstance(transport, kind):
                return real(transport, work, link, **options)
            return booklet.twin(transport, work, link)

        monkeypatch.setattr(lpws, "measure", measure)

    choose()
    return choose


@pytest.fixture
def names(measured):
    """The names that the notebook defines up to the costs of a run."""
    namespace = {}
    run_until("cost = {", namespace)
    return namespace


# ------------------------------------------------------------------ what the notebook builds


def test_what_counts_a_run_agrees_with_what_is_known(names):
    work = lpws.Workload(clients=20, rate_hz=4.0, duration_s=20.0, seed=3)
    close = lpws.simulate(lpws.ShortPolling(interval_s=0.5, keep_alive=False), work, LINK)
    assert names["asked"](lpws.simulate(lpws.ShortPolling(interval_s=0.5), work, LINK)) == 20 / 0.5
    model = models.short_polling_connections_open(
        clients=20, interval_s=0.5, delay_s=LINK.delay_s, handshakes=1
    )
    assert abs(20 * names["open_on_average"](close) / model - 1) < 0.02
    # 80 messages, each at 20 independent moments of an interval: C/2 with a standard error of 0.004 s.
    assert abs(names["wait_s"](close).mean() - 0.25) < 0.02
    held = lpws.simulate(lpws.LongPolling(), work, LINK)
    assert names["open_on_average"](held) == 1
    assert names["costs"](held)["opened\na client"] == 1


def test_the_bytes_of_a_run_are_those_of_the_operating_system():
    names = {}
    for source in story():
        if "def bytes_of(" in source:
            exec(source[source.index("def bytes_of(") :].split("\n\n\n")[0], {"lpws": lpws}, names)
    run = lpws.measure(
        lpws.ShortPolling(interval_s=0.1), lpws.Workload(clients=4, rate_hz=20, duration_s=0.5)
    )
    assert accounting.faults(run) == []
    kernel = [event[7] for event in run.events if event[1] in ("kernel_read", "kernel_written")]
    if sys.platform == "linux":
        assert len(kernel) == 8
        assert names["bytes_of"](run) == sum(kernel)


def on_the_wire():
    """The names of the cells that count packets."""
    namespace = {"lpws": lpws}
    for source in story():
        if source.startswith(("from dataclasses", "import socket", "def tally(")):
            booklet.execute(source.split("\nsweep_hz")[0], namespace)
    return namespace


@pytest.mark.parametrize(("polling", "least"), [(True, 2), (False, 1)])
def test_a_message_is_weighed_by_two_counters_that_agree(polling, least):
    weight = on_the_wire()["weigh"](polling)
    assert weight["bytes"] == weight["our bytes"] > 20
    assert least <= weight["packets"] <= least + 2


def test_a_line_that_is_dialled_is_a_websocket():
    with lpws.Server() as server, on_the_wire()["dial"](server, True) as (line, head):
        assert head.startswith(b"HTTP/1.1 101 ")
        server.publish("tea is ready")
        assert line.recv(100) == b"\x81\x0f1 tea is ready\n"


def test_what_fits_into_the_buffers_has_left():
    """So that a small share says something of the reader and not of the way to count."""
    namespace = on_the_wire()
    source = next(source for source in story() if "def stopped(" in source)
    booklet.execute(source[source.index("def stopped(") :].split("\n\n\n")[0], namespace)
    few, status = namespace["stopped"](megabytes=1)
    assert status.startswith("HTTP/1.1 101 ")
    assert few >= 1  # the messages, and the handshake
    assert namespace["stopped"]()[0] < 0.5


# -------------------------------------------------------------------------------- mutations


class KeepsBack(handlers.SSE):
    def send(self, chunk, carried):
        asyncio.get_running_loop().call_later(0.15, super().send, chunk, carried)


class SendsTwice(handlers.WebSocket):
    def send(self, frame, carried):
        super().send(frame, carried)
        super().send(frame, carried)


class ForgetsAConnection(handlers.WebSocket):
    """Closes after the first message, so that each client has to come again."""

    def send(self, frame, carried):
        super().send(frame, carried)
        self.close(1001)


async def impatient(client):
    """Long polling whose client does not pause."""
    await client.connect()
    client.ready()
    while True:
        await client.ask(f"&hold={client.transport.hold_s}&cursor={client.cursor}", timeout_s=30)


class HoldsAndCloses(Closing, handlers.LongPolling):
    """Answers as long polling does, and closes."""


def of_article(row):
    """How the claim of a verdict begins."""
    return f"“{pandas.read_csv(DATA / 'article.csv', index_col='row').says[row]}”"


OPENED = "E. each client opened one connection"
MUTATIONS = [
    (lpws.LongPolling, AnswersAtOnce, ["A. rare news: short polling asked more often"]),
    (lpws.SSE, KeepsBack, ["G. rare news: by SSE, WebSocket and long polling"]),
    (lpws.WebSocket, SendsTwice, ["a message over WebSocket: its payload, two bytes"]),
    (lpws.ShortPolling, RefusesKeepAlive, [OPENED, of_article("closed"), of_article("reduce")]),
    (lpws.LongPolling, HoldsAndCloses, [OPENED, of_article("holds"), of_article("again")]),
    (lpws.WebSocket, ForgetsAConnection, [OPENED, of_article("reopen")]),
]


@pytest.mark.parametrize(("kind", "broken", "sentences"), MUTATIONS, ids=lambda value: str(value)[:60])
def test_claims_notice(measured, kind, broken, sentences):
    measured(kind, handler=broken)
    said = run_until('verdict("snippet"' if sentences[-1].startswith("“") else sentences[-1])
    for sentence in sentences:
        assert f"✗ {sentence}" in said
    assert "✓" in said  # and not everything is broken


def test_a_claim_notices_a_client_that_does_not_pause(measured, monkeypatch):
    monkeypatch.setattr(longpolling, "listen", impatient)
    measured(lpws.LongPolling, clients_in="thread")
    assert "✗ C. paused long polling asked no more often than short polling" in run_until("C. paused")


#: How the claims begin on what only a measurement has: processor time, and all of a handshake.
NOT_SIMULATED = {
    "✗ F. busy news",
    "✗ so two messages by WebSocket cost more than half the bytes of two by long polling",
}


def test_every_claim_holds_in_the_simulation_whatever_runs_again():
    """But those on what only a measurement has, a link that is cut among them."""
    judged = booklet.to_the_end_and_back(PATH)
    assert len(judged) > 100
    failed = {line.split(":")[0] for line in judged if line[0] != "✓"}
    assert failed <= {*NOT_SIMULATED, "– needs a cut after half the time"}


# ----------------------------------------------------------------------------- its tables


def test_the_table_of_choices_points_to_claims():
    letters = set(re.findall(r'lpws\.claim\(f?"([A-Z])\. ', "\n".join(story())))
    texts = [c.source for c in booklet.read(PATH).cells if c.cell_type == "markdown"]
    (text,) = (text for text in texts if text.startswith("## Which one, when?"))
    rows = [line.split("|")[3] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 6
    for row in rows:
        assert set(re.findall(r"\b[A-Z]\b", row)) <= letters
        assert re.search(r"\b[A-Z]\b", row)
    assert letters == set(re.findall(r"\b([A-Z])\b", text)) & letters, "every lettered claim is used"


def test_the_article_is_judged_row_by_row():
    table = pandas.read_csv(DATA / "article.csv", index_col="row")
    assert table.notna().all(axis=None)
    judged = re.findall(r'verdict\("(\w+)"', "\n".join(story()))
    assert judged == list(table.index)
    for lesson in table.lesson:
        assert (booklet.NOTEBOOKS / f"{lesson}.ipynb").exists()


def test_what_is_recorded_is_what_the_notebook_measures(names):
    recorded = lpws.load_run("side_by_side")
    assert len(recorded) == 15
    for label, run in recorded.items():
        assert run.health.good, run
        assert run.transport == names["ways"][label.rpartition(",")[0]]
        assert run.link == names["link"]
        assert (lpws.deliveries(run).state == "delivered").all()


# ------------------------------------------------------------------- what a reader may change


GUESSES = [
    ("import lpws", "guess(10.0", "def often"),
    ("guess_cpu =", "guess(2.0", "table = pd.DataFrame(cost)"),
]


@pytest.mark.parametrize("bad", [*booklet.BAD, 4, 1.5])
@pytest.mark.parametrize(("start", "number", "result"), GUESSES)
def test_a_guess_of_any_kind_leaves_its_figure_whole(start, number, result, bad, caplog):
    assert booklet.guessing(PATH, start, number, bad, result) == (bad in (4, 1.5))
    assert not caplog.records


#: What ends in a number that a reader may change, and the cell that it is in.
PARAMETERS = [
    ("import lpws", "C = 0.25"),
    ("import lpws", "delay_s=0.025"),
    ("import pandas", "rare = lpws.Workload(clients=20"),
    ("import pandas", "rate_hz=1.5"),
    ("import pandas", "duration_s=1.25"),
    ("import pandas", "seed=24"),
    ("import pandas", "busy = lpws.Workload(clients=20"),
    ("import pandas", "rate_hz=20.0"),
    ("import pandas", "duration_s=1.0"),
    ("import pandas", "seed=4"),
    ("from dataclasses", "sweep_hz, messages = (1"),
    ("from dataclasses", "16, 32"),
    ("from dataclasses", "32), 300"),
    ("from dataclasses", "clients=2"),
    ("from dataclasses", "seed=3"),
    ("delays_s =", "delays_s = (0.002"),
    ("delays_s =", "clients=5"),
    ("delays_s =", "duration_s=30.0"),
    ("delays_s =", "seed=3"),
    ("delays_s =", "Link(delay_s=0.1"),
    ("cut =", "retry_s=0.1"),
    ("cut =", "clients=20"),
    ("cut =", "rate_hz=10.0"),
    ("cut =", "duration_s=0.8"),
    ("cut =", "seed=1"),
    ("cut =", "cut_at_s=0.4"),
    ("cut =", "megabytes=20"),
]
#: Of the values that are bad as a rule, those that may be.
MAY_BE = {
    "delay_s=0.025": (0,),
    "delays_s = (0.002": (0,),
    "Link(delay_s=0.1": (0,),
    "cut_at_s=0.4": (0, None),
    **dict.fromkeys(("seed=24", "seed=4", "seed=3", "seed=1"), (0, 10**9)),
}
WRONG = [
    *((*where, bad) for where in PARAMETERS for bad in booklet.BAD),
    ("import lpws", "C = 0.25", 0.05),
    ("import lpws", "C = 0.25", 60),
    ("import lpws", "C = 0.25", True),
    ("import pandas", "rare = lpws.Workload(clients=20", 2.5),
    ("import pandas", "seed=4", 2.5),
    ("from dataclasses", "32), 300", 300.5),
    ("cut =", "megabytes=20", 0.5),
]


@pytest.mark.parametrize(("start", "parameter", "value"), WRONG)
def test_a_parameter_that_cannot_be_is_refused_in_words(start, parameter, value):
    said = booklet.retyping(PATH, start, parameter, value)
    assert bool(said) != (value in MAY_BE.get(parameter, ()))


TAKEN = [
    ("import lpws", "C = 0.25", 2),
    ("import lpws", "delay_s=0.025", 0),
    ("import lpws", "delay_s=0.025", 0.1),
    ("import pandas", "rare = lpws.Workload(clients=20", 1),
    ("import pandas", "rate_hz=1.5", 0.001),
    ("import pandas", "rate_hz=1.5", 60),
    ("import pandas", "duration_s=1.25", 0.001),
    ("import pandas", "seed=24", 2),
    ("import pandas", "rate_hz=20.0", 0.001),
    ("import pandas", "rate_hz=20.0", 3),
    ("import pandas", "rate_hz=20.0", 60),
    ("import pandas", "duration_s=1.0", 2),
    ("import pandas", "seed=4", 10**9),
    ("from dataclasses", "sweep_hz, messages = (1", 0.1),
    ("from dataclasses", "16, 32", 60),
    ("from dataclasses", "32), 300", 10),
    ("delays_s =", "delays_s = (0.002", 0),
    ("delays_s =", "delays_s = (0.002", 2),
    ("delays_s =", "duration_s=30.0", 2),
    ("delays_s =", "Link(delay_s=0.1", 0),
    ("cut =", "cut_at_s=0.4", 2),
    ("cut =", "cut_at_s=0.4", None),
]


@pytest.mark.parametrize(("start", "parameter", "value"), TAKEN)
def test_after_a_changed_parameter_the_story_goes_on(start, parameter, value):
    """What is claimed holds, or says what it needs."""
    sources = story()
    (place,) = (n for n, source in enumerate(sources) if source.startswith(start))
    # Those that weigh take time, and weigh the same whatever the runs are.
    weighing = ("import socket", "def tally", "from lpws.run", "ax = axes(None, 7.5, 3)", "again =", "cut =")
    others = [source for source in sources[place + 1 :] if not source.startswith(weighing)]
    said = booklet.changing([booklet.retyped(sources[place], parameter, value), *others], PATH)
    assert [line for line in said if not line.startswith(tuple(NOT_SIMULATED))] == []


@pytest.mark.parametrize("bad", [*booklet.BAD, 2.5])
def test_what_cannot_be_weighed_is_refused_in_words(bad):
    with pytest.raises(ValueError, match=re.escape(f"expected 1 to 99 messages, got {bad!r}")):
        on_the_wire()["weigh"](True, bad)


@pytest.mark.parametrize("value", [*booklet.BAD, 1e-9, (), 7.7])
@pytest.mark.parametrize("exercise", booklet.exercises(PATH))
def test_a_wrong_answer_is_told(exercise, value):
    assert booklet.answered(PATH, exercise, value).startswith("✗")
