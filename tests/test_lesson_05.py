"""What the notebook on all transports side by side builds, and whether its claims notice what is broken."""

import asyncio
import re
import sys
from functools import cache

import accounting
import booklet
import matplotlib
import pandas
import pytest

import lpws
from lpws import models
from lpws.run import DATA
from lpws.transports import eventstream, longpolling, request, websocket

matplotlib.use("Agg")

PATH = booklet.NOTEBOOKS / "05_side_by_side.ipynb"
LINK = lpws.Link(delay_s=0.025)
#: Long simulations are for the claims on simulations; here they only have to be there.
SHORTER = (("duration_s=300 / hz", "duration_s=10 / hz"), ("duration_s=30.0", "duration_s=1.0"))


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


def once_a_run(frame):
    """The function of a run, which works it out once."""
    known = {}

    def remembered(run, *side):
        key = id(run), *side
        if key not in known:
            known[key] = run, frame(run, *side)  # with the run, so that no other gets its id
        return known[key][1]

    return remembered


#: What is simulated for one test need not be simulated for the next.
twin = cache(lpws.simulate)
FRAMES = {name: once_a_run(getattr(lpws, name)) for name in ("deliveries", "requests", "connections")}


@pytest.fixture
def measured(monkeypatch):
    """Says which transports are measured, and how; all others are simulated."""
    real = lpws.measure
    monkeypatch.setattr(lpws, "simulate", twin)
    for name, frame in FRAMES.items():
        monkeypatch.setattr(lpws, name, frame)

    def choose(kind=(), **options):
        def measure(transport, work, link=None):
            if isinstance(transport, kind):
                return real(transport, work, link, **options)
            faulty = link is not None and link.cut_at_s is not None
            return twin(transport, work, LINK if faulty else link)

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


class AnswersAtOnce(longpolling.Handler):
    def seconds(self, name, most):
        return 0.0 if name == "hold" else super().seconds(name, most)


class RefusesKeepAlive(request.Handler):
    def prepare(self):
        super().prepare()
        self.request.connection.no_keep_alive = True
        self.set_header("Connection", "close")


class KeepsBack(eventstream.Handler):
    def take(self, message):
        asyncio.get_running_loop().call_later(0.15, super().take, message)


class SendsTwice(websocket.Handler):
    def send(self, frame, messages):
        super().send(frame, messages)
        super().send(frame, messages)


class ForgetsAConnection(websocket.Handler):
    """Closes after the first message, so that each client has to come again."""

    def send(self, frame, messages):
        super().send(frame, messages)
        self.close(1001)


async def impatient(client):
    """Long polling whose client does not pause."""
    await client.connect()
    client.ready()
    while True:
        await client.ask(f"&hold={client.transport.hold_s}&cursor={client.cursor}", timeout_s=30)


class HoldsAndCloses(RefusesKeepAlive, longpolling.Handler):
    """Answers as long polling does, and closes."""

    get = longpolling.Handler.get


def of_article(row):
    """How the claim of a verdict begins."""
    return f"“{pandas.read_csv(DATA / 'article.csv', index_col='row').says[row]}”"


OPENED = "E. each client opened one connection"
MUTATIONS = [
    (lpws.LongPolling, AnswersAtOnce, ["A. rare news: short polling asked more often"]),
    (lpws.EventStream, KeepsBack, ["G. rare news: by SSE, WebSocket and long polling"]),
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


def test_every_claim_holds_in_the_simulation_whatever_runs_again(measured):
    """But those on what only a measurement has: processor time, a link that is cut, all of a handshake."""
    sources = [c.source for c in booklet.code(PATH)]
    namespace, said = {}, ""
    for source in [*sources, *reversed(sources)]:
        said += booklet.execute(source, namespace)
    judged = [line for line in said.splitlines() if line[:1] in ("✓", "✗", "–")]
    assert len(judged) > 100
    failed = {line.split(":")[0] for line in judged if line[0] != "✓"}
    assert failed <= {
        "✗ F. busy news",
        "✗ “it remains open until one of the two closes it”",
        "✗ so two messages by WebSocket cost more than half the bytes of two by long polling",
    }


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


@pytest.mark.parametrize("bad", booklet.BAD)
@pytest.mark.parametrize("number", ["C = 0.25", "delay_s=0.025", "rate_hz=1.5", "duration_s=1.0"])
def test_a_bad_number_is_answered_by_a_sentence(measured, number, bad):
    name = re.match(r"[\w ]+=\s*", number)[0]
    first = "\n".join(story()[:2])
    assert first.count(number) == 1
    said = booklet.complaint(first.replace(number, f"{name}{bad!r}"), {})
    assert said or (number, bad) == ("delay_s=0.025", 0)
