"""The first lesson: what its handlers and clients do, and which claims notice a fault."""

import http.client
import itertools
import socket
from functools import partial

import accounting
import booklet
import matplotlib.pyplot as plt
import pytest

import lpws
from lpws.transports import reload, shortpolling

PATH = booklet.NOTEBOOKS / "01_request_response.ipynb"
run = partial(booklet.run, PATH)
WORK = lpws.Workload(clients=4, rate_hz=20, duration_s=0.8, seed=2)


@pytest.fixture
def lesson():
    """The names that the first cells of the notebook define."""
    namespace = {}
    namespace["second"] = b""  # what `words` in the cell of the guess looks at
    cells = ("import lpws", "import socket", "def ask", "import pandas", "def stays_open", "import asyncio")
    run(namespace, *cells)
    return namespace


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("link", [None, lpws.Link(delay_s=0.01)], ids=["loopback", "link"])
def test_the_handler_passes_the_books_as_ours_does(lesson, keep_alive, link, nothing_left):
    transport = lpws.ShortPolling(interval_s=0.2, keep_alive=keep_alive)
    for handler in (lesson["News"], reload.Handler):
        run = lpws.measure(transport, WORK, link, handler=handler)
        assert accounting.faults(run) == []
        assert run.log == ()
        assert set(lpws.deliveries(run).state) == {"delivered"}
        connections = len(lpws.connections(run, "server"))
        assert connections == (WORK.clients if keep_alive else len(lpws.requests(run)))


def test_the_abrupt_handler_loses_nothing_but_the_connection(lesson):
    run(lesson, "import builtins")
    measured = lpws.measure(lpws.ShortPolling(interval_s=0.2), WORK, handler=lesson["Abrupt"])
    assert accounting.faults(measured) == []
    assert len(lpws.connections(measured)) == len(lpws.requests(measured))


def test_ask_reads_answers_to_the_byte(lesson):
    """The socket of the notebook and the standard library read the same body; an odd size, and none."""
    with lpws.Server(handlers={"/news": lesson["News"]}) as server:
        text = f"GET /news?cursor=0 HTTP/1.1\r\nHost: {server.host}\r\n\r\n"
        for message in (None, "x", "ünïcödé " * 400):
            if message:
                server.publish(message)
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", "/news?cursor=0")
            body = connection.getresponse().read()
            connection.close()
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
                answers = [lesson["ask"](line, text) for _ in range(3)]
            assert {answer.partition(b"\r\n\r\n")[2] for answer in answers} == {body}


def test_ask_says_what_is_missing(lesson):
    """A request without its end gets no answer, a closed connection an empty one; nothing hangs."""
    with lpws.Server(handlers={"/news": lesson["News"]}) as server:
        place = ("127.0.0.1", server.port)
        missing = pytest.raises(TimeoutError, match="empty line")
        with socket.create_connection(place, timeout=0.2) as line, missing:
            lesson["ask"](line, f"GET /news HTTP/1.1\r\nHost: {server.host}\r\n")
        with socket.create_connection(place, timeout=5) as line:
            assert lesson["ask"](line, "nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
            assert lesson["ask"](line, "nonsense\r\n\r\n") == b""


@pytest.mark.parametrize(
    ("version", "header", "open_"),
    [
        ("1.1", "", True),
        ("1.0", "", False),
        ("1.1", "connection: CLOSE\r\n", False),
        ("1.0", "Connection: Keep-Alive\r\n", True),
        ("1.1", "Connection: Keep-Alive\r\n", True),
    ],
)
def test_who_keeps_a_connection(lesson, version, header, open_):
    assert lesson["stays_open"](version, header) is open_


def test_the_clients_leave_nothing_behind(lesson, nothing_left):
    run(lesson, "guess_opened", "from concurrent.futures", "clients =")
    assert list(lesson["rows"]) == ["http.client", "urllib.request", "Tornado's client"]


# ------------------------------------------------------------------ mutations, and the claims that notice


class ClosesQuietly(reload.Handler):
    """The line ends after each answer, whatever the client asked for."""

    def on_finish(self):
        self.stream.close()


class NeverClosesFirst(reload.Handler):
    """Leaves the end to the client, although it asked to close."""

    def prepare(self):
        super().prepare()
        self.request.connection._disconnect_on_finish = False


async def reconnecting(client):
    """Short polling whose client drops its line after each answer, and says nothing."""
    client.ready()
    due_s = await client.started() + client.transport.first_due_s(client.seed, client.number)
    while True:
        await client.sleep_until(due_s)
        await client.ask(f"&cursor={client.cursor}", due=due_s)
        client.http.close()
        await client.http.gone
        due_s += client.transport.interval_s


listen = shortpolling.listen


async def staying(client):
    """Short polling whose client keeps its line although it is to close it."""
    ask = client.ask

    async def keep(query, *, due, close):
        return await ask(query, due=due)

    client.ask = keep
    await listen(client)


def claims_of_the_polls(monkeypatch, namespace, broken, mutation):
    """What the notebook claims of its two polling runs, one of them measured with a mutation."""
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    real = lpws.measure

    def measure(transport, work, link):
        if transport.keep_alive != broken:
            return lpws.simulate(transport, work, link)
        if mutation is None or isinstance(mutation, type):
            return real(transport, work, link, handler=mutation)
        monkeypatch.setattr(shortpolling, "listen", mutation)
        return real(transport, work, link, clients_in="thread")

    monkeypatch.setattr(lpws, "measure", measure)
    cells = ("guess_transits", "work =", "asked =", "import matplotlib", "def time_open")
    return run(namespace, *cells, "exchange =", "# To one digit")


MUTATIONS = [
    (True, ClosesQuietly, ["with keep-alive, one for each client", "the usual exchange on an open"]),
    (True, reconnecting, ["with keep-alive, one for each client", "a new connection cost about"]),
    (False, staying, ["with close, the server accepted as many", "no exchange with a new connection"]),
    (False, NeverClosesFirst, ["as the server sees it, the usual one is open for less"]),
]
NAMES = ["quietly", "reconnecting", "staying", "never first"]


@pytest.mark.parametrize(("broken", "mutation", "sentences"), MUTATIONS, ids=NAMES)
def test_a_claim_of_the_notebook_notices(monkeypatch, lesson, broken, mutation, sentences):
    said = claims_of_the_polls(monkeypatch, lesson, broken, mutation)
    for sentence in sentences:
        assert f"✗ {sentence}" in said
    assert "✓" in said  # and not everything is broken


def test_no_claim_fails_without_a_mutation(monkeypatch, lesson):
    said = claims_of_the_polls(monkeypatch, lesson, False, None)
    assert said.count("✓") == len(said.splitlines()) == 14


def test_by_hand_a_server_that_closes_is_noticed(lesson):
    news = lesson["News"]
    lesson["News"] = type("Closing", (news,), {"on_finish": lambda self: self.stream.close()})
    said = run(lesson, "with lpws.Server")
    assert "✗ the second request was answered on the same connection" in said
    assert "✓ the answer began" in said


def test_a_server_that_leaves_closing_to_the_client_is_noticed(lesson):
    """Who closes first shows on the wire and, where the system tells, in its table."""

    def prepare(self):
        super(kind, self).prepare()
        self.request.connection._disconnect_on_finish = False

    kind = lesson["News"] = type("Staying", (lesson["News"],), {"prepare": prepare})
    with lpws.Server(handlers={"/news": kind}) as server:
        text = f"GET /news HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as line:
            assert lesson["ask"](line, text)
            with pytest.raises(TimeoutError):  # what the notebook waits for does not come
                line.recv(1)


def test_a_limit_of_the_client_is_noticed(monkeypatch, lesson):
    """Another limit than ten, and none: the claim about ten fails."""
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    run(lesson, "from concurrent.futures")
    original = lesson["AsyncHTTPClient"]

    def limited(**options):
        return original(**{"max_clients": 7} | options)

    lesson["AsyncHTTPClient"] = limited
    said = run(lesson, "from lpws.trace", "def most_at_once")
    assert "✗ as it comes, the client let ten through at once" in said
    assert "✓ with its limit raised, all fifteen" in said


def test_another_client_is_noticed(lesson):
    """A client that asks to close, in place of one that does not."""
    run(lesson, "guess_opened", "from concurrent.futures")
    lesson["by_http_client"] = lesson["by_urllib"]
    said = run(lesson, "clients =", "used =")
    assert "✗ http.client used one connection for all of them" in said
    assert "✓ urllib.request opened one for each request" in said


def test_a_reader_with_a_timer_is_noticed(monkeypatch, lesson):
    """Regular pauses hide the paradox; random ones show it, measured or simulated."""
    monkeypatch.setattr(lpws, "show", lambda *_: plt.close("all"))
    monkeypatch.setattr(lpws, "measure", lpws.simulate)
    lesson |= {"link": lpws.Link(delay_s=0.05), "d": 0.05, "models": lpws.models}
    cells = ("guess_s", "crowd_work", "cycle_s", "mean_s")
    said = run(lesson, *cells)
    assert said.count("✓") == len(said.splitlines()) == 4
    monkeypatch.setattr(lpws.Reload, "pauses_s", lambda self, *_: itertools.repeat(self.pause_s))
    said = run(lesson, *cells)
    assert "✗ messages waited more than 1.25 times as long" in said


def test_every_claim_holds_where_nothing_takes_time():
    """The whole notebook, twice in one kernel, its measurements replaced by simulations."""
    namespace = {}
    with booklet.imagined():
        for cell in booklet.code(PATH) * 2:
            said = booklet.execute(cell.source, namespace)
            mark = "…" if booklet.tagged(cell, "exercise") else "✓"
            assert all(line.startswith(mark) for line in filter(None, said.splitlines())), said


# ------------------------------------------------------------------ a reader who changes a value


POLLS = ("asked =", "import matplotlib", "def time_open", "exchange =", "# To one digit")
READER = ("crowd_work", "cycle_s", "mean_s")
#: A name that the reader sees a value of → the cell that it is in, and those that use it.
VALUES = {
    "guess_closed": ("import lpws", "import pandas"),
    "guess_opened": ("guess_opened", "clients ="),
    "guess_transits": ("guess_transits", *POLLS),
    "guess_open": ("guess_transits", *POLLS),
    "delay_s": ("guess_transits", "work =", *POLLS),
    "clients": ("work =", *POLLS),
    "rate_hz": ("work =", *POLLS),
    "duration_s": ("work =", *POLLS),
    "seed": ("work =", *POLLS),
    "interval_s": ("work =", *POLLS),
    "number": ("import time",),
    "rounds": ("import time",),
    "guess_held": ("guess_held", "guess = lpws.guess(guess_held"),
    "guess_s": ("guess_s", "cycle_s", "mean_s"),
    "pause_s": ("guess_s", *READER),
}
MORE = [
    ("delay_s", 0.1),
    ("clients", 1),
    ("rate_hz", 0.001),
    ("duration_s", 0.001),
    ("interval_s", 0.02),
    ("interval_s", 3600),
    ("pause_s", 0.2),
    ("pause_s", 5),
    ("pause_s", 60),
    ("guess_opened", {"http.client": None}),
]


@pytest.mark.parametrize(("name", "value"), [*itertools.product(VALUES, booklet.BAD), *MORE])
def test_a_changed_value_gives_a_sentence(name, value):
    assert booklet.rebinding(PATH, VALUES[name], name, value) == []


@pytest.mark.parametrize("value", [*booklet.BAD, 1e-9, (), "SystemExit", "Host"])
@pytest.mark.parametrize("exercise", booklet.exercises(PATH))
def test_a_wrong_answer_is_told(exercise, value):
    assert booklet.answered(PATH, exercise, value).startswith("✗")
