"""What no client of a run sent is not believed, and the run says so."""

import base64
import contextlib
import os
import socket
import urllib.error
import urllib.request

import accounting
import pytest

import lpws
from lpws import measurement

WORK = lpws.Workload(clients=3, rate_hz=30, duration_s=0.4, seed=6)


def image(port):
    """As any page of the web makes a browser ask."""
    for _ in range(2):
        with contextlib.suppress(urllib.error.HTTPError):
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(f"http://127.0.0.1:{port}/reload?client=0&request=1", timeout=5).read()


def says_hi(port):
    """A WebSocket that publishes."""
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(
            f"GET /websocket?client=0&request=1&cursor=0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = line.recv(4096)
        if answer.startswith(b"HTTP/1.1 101"):
            line.sendall(b"\x81\x82\0\0\0\0hi")
            line.recv(4096)


def says_nothing(port):
    """A connection on which no request comes."""
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


@pytest.fixture
def disturb(monkeypatch):
    """Lets a stranger in as soon as the run has begun."""

    def let_in(stranger):
        def publish(self, publish=measurement._Experiment._publish):
            stranger(self.serving.servers[0].port)
            return publish(self)

        monkeypatch.setattr(measurement._Experiment, "_publish", publish)

    return let_in


@pytest.mark.parametrize("stranger", [image, says_hi])
@pytest.mark.parametrize(
    "transport", [lpws.ShortPolling(interval_s=0.1), lpws.LongPolling(), lpws.WebSocket()]
)
def test_the_requests_of_a_stranger_are_not_in_the_run(stranger, transport, disturb, nothing_left):
    disturb(stranger)
    run = lpws.measure(transport, WORK)
    assert accounting.faults(run) == []  # as if nobody had come
    assert lpws.deliveries(run).state.eq("delivered").all()
    assert lpws.deliveries(run).latency_s.min() >= 0
    assert len(lpws.connections(run, "server")) == len(lpws.connections(run))
    assert not run.health.good
    assert "requests came that no client of the run sent" in run.health.verdict


def test_a_stranger_s_connection_makes_the_run_unfit(disturb, nothing_left):
    disturb(says_nothing)
    run = lpws.measure(lpws.LongPolling(), WORK)
    assert not run.health.good
    assert "1 connections were accepted that no client of the run opened" in run.health.verdict


def test_a_server_of_the_reader_s_asks_for_no_key(nothing_left):
    with lpws.Server() as server, urllib.request.urlopen(f"{server.url}/reload?cursor=0") as answer:
        assert answer.status == 204


def test_clients_of_a_run_need_the_key_of_this_run(monkeypatch, nothing_left):
    """With another one, nobody is let in, and it is said."""
    monkeypatch.setattr(measurement, "READY_S", 1.0)
    begin = measurement.RemoteFleet.__init__
    monkeypatch.setattr(
        measurement.RemoteFleet, "__init__", lambda self, spec: begin(self, spec | {"key": "another"})
    )
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(lpws.LongPolling(), WORK)
    assert "those of 0 came" in str(caught.value)
