"""Broken servers and clients, and the claims and tests that notice.

Each mutation is put into the race of the first notebook. The transport that it breaks is measured,
on real sockets; the others are simulated, to save time.
"""

import accounting
import booklet
import pytest
from mutants import AnswersAtOnce, RefusesKeepAlive, drifting

import lpws
from lpws.decisions import Mailbox
from lpws.server import handlers
from lpws.transports import shortpolling

FIRST = booklet.paths()[0]


class NeverTimesOut(handlers.LongPolling):
    def seconds(self, name, most):
        return most if name == "hold" else super().seconds(name, most)


class SkipsOne(handlers.LongPolling):
    def cursor(self):
        return min(super().cursor() + 1, self.room.mailbox.last)


class RepeatsOne(handlers.LongPolling):
    def cursor(self):
        return max(super().cursor() - 1, 0)


class DropsEveryTenth(handlers.WebSocket):
    def send(self, frame, carried):
        if carried[0][0] % 10:
            super().send(frame, carried)


class RepeatsTheStream(handlers.SSE):
    def send(self, chunk, carried):
        super().send(chunk, carried)
        super().send(chunk, carried)


def claims_of_the_race(monkeypatch, broken, **options):
    """What the first notebook claims of the race, with one transport measured with these options."""
    runs = {}

    def measure(transport, work, link=None):
        if isinstance(transport, broken):
            run = real(transport, work, link, **options)
            runs[transport.label] = run
            return run
        return lpws.simulate(transport, work, link)

    real = lpws.measure
    monkeypatch.setattr(lpws, "measure", measure)
    monkeypatch.setattr(lpws, "show", lambda *_: None)
    namespace, said = {"lpws": lpws}, ""
    for cell in booklet.code(FIRST):
        if cell.id in ("film", "race") or cell.id.startswith("claim"):
            said += booklet.execute(cell.source, namespace)
    (run,) = runs.values()
    return said, run


MUTATIONS = [
    (lpws.LongPolling, {"handler": AnswersAtOnce}, "No long poll was answered with nothing"),
    (lpws.LongPolling, {"handler": SkipsOne}, "On all five transports, every client got every message"),
    (lpws.WebSocket, {"handler": DropsEveryTenth}, "On all five transports, every client got every message"),
    (lpws.ShortPolling, {"handler": RefusesKeepAlive}, "For that, short polling opened no more connections"),
    (lpws.ShortPolling, {"clients_in": "thread"}, "Each client of short polling asked five times"),
]


@pytest.mark.parametrize(("broken", "options", "sentence"), MUTATIONS, ids=lambda value: str(value)[:60])
def test_a_claim_of_the_notebook_notices(monkeypatch, broken, options, sentence):
    if "clients_in" in options:  # the mutation is in the client
        monkeypatch.setattr(shortpolling, "listen", drifting)
    said, _ = claims_of_the_race(monkeypatch, broken, **options)
    assert f"✗ {sentence}" in said
    assert "✓" in said  # and not everything is broken


def test_no_claim_fails_without_a_mutation(monkeypatch):
    said, run = claims_of_the_race(monkeypatch, lpws.LongPolling, handler=handlers.LongPolling)
    assert said.count("✓") == len(said.splitlines()) > 10
    assert accounting.faults(run) == []


WORK = lpws.Workload(clients=4, rate_hz=20, duration_s=1.0, seed=2)


@pytest.mark.parametrize(
    ("transport", "handler", "book"),
    [
        (lpws.LongPolling(), RepeatsOne, "received once"),
        (lpws.SSE(), RepeatsTheStream, "received once"),
        (lpws.WebSocket(), DropsEveryTenth, "missed in spite of a cursor"),
    ],
)
def test_the_books_notice(transport, handler, book):
    run = lpws.measure(transport, WORK, handler=handler)
    assert book in "\n".join(accounting.faults(run))


def test_a_server_that_closes_is_no_fault():
    """A mutation for the notebook's claim, and legal HTTP: every request has its answer all the same."""
    run = lpws.measure(lpws.ShortPolling(interval_s=0.2), WORK, handler=RefusesKeepAlive)
    assert accounting.faults(run) == []
    assert len(lpws.connections(run)) >= len(lpws.requests(run))


@pytest.mark.parametrize(("handler", "ends"), [(handlers.LongPolling, True), (NeverTimesOut, False)])
def test_a_hold_that_never_ends_is_noticed(handler, ends):
    """Long polls that are held for 0.1 s, with one message after a second: empty answers must come first."""
    work = lpws.Workload(clients=2, rate_hz=1, duration_s=1.0, pattern="periodic")
    run = lpws.measure(lpws.LongPolling(hold_s=0.1), work, handler=handler)
    assert lpws.requests(run)["empty"].any() == ends


def test_a_mailbox_that_forgets_is_noticed(monkeypatch):
    """The decision itself, broken for server and simulator alike, shows in both."""
    since = Mailbox.since
    monkeypatch.setattr(Mailbox, "since", lambda self, cursor: since(self, cursor)[1:])
    for run_it in (lpws.measure, lpws.simulate):
        run = run_it(lpws.ShortPolling(interval_s=0.2), WORK)
        assert (lpws.deliveries(run).state != "delivered").any()
