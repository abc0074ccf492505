"""No exception of a client is swallowed, whatever the transport and wherever it is raised."""

import asyncio
import itertools

import pytest

import lpws
from lpws.fleet.fleet import Fleet
from lpws.transports import HALVES, sse
from lpws.transports.client import Client
from lpws.transports.connection import Connection, Socket, StreamConnection

WORK = lpws.Workload(clients=2, rate_hz=50, duration_s=0.2, seed=8)
POLLS = [lpws.Reload(pause_s=0.04), lpws.ShortPolling(interval_s=0.04), lpws.LongPolling(hold_s=0.5)]
STREAM, SOCKET = lpws.SSE(retry_s=0.1), lpws.WebSocket(retry_s=0.1)

#: Where it fails, and the transports whose clients come there.
PLACES = [
    (Client, "received", [*POLLS, STREAM, SOCKET]),
    (Client, "opened", [*POLLS, STREAM, SOCKET]),
    (Client, "closed", [*POLLS, STREAM, SOCKET]),
    (Client, "read", [*POLLS, SOCKET]),
    (Client, "ask", POLLS),
    (Client, "upgrade", [SOCKET]),
    (Connection, "on_body", [*POLLS, STREAM]),
    (Connection, "on_message_complete", POLLS),
    (Connection, "data_received", [*POLLS, STREAM]),
    (Connection, "get", [*POLLS, STREAM]),
    (StreamConnection, "on_headers_complete", [STREAM]),
    (sse.Parser, "feed", [STREAM]),
    (sse.Parser, "_line", [STREAM]),
    (Socket, "on_ws_frame", [SOCKET]),
    (Socket, "hand_on", [SOCKET]),
]
CASES = [(kind, name, transport) for kind, name, transports in PLACES for transport in transports]


@pytest.mark.parametrize("moment", [0, 1], ids=["at first", "later"])
@pytest.mark.parametrize(("kind", "name", "transport"), CASES)
def test_no_exception_is_swallowed(kind, name, transport, moment, monkeypatch, nothing_left, capfd):
    original, calls = getattr(kind, name), itertools.count()

    def fails(self, *args, **kwargs):
        if next(calls) == moment:
            raise ZeroDivisionError("no tea")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, fails)
    with pytest.raises(lpws.RunError) as caught:
        lpws.measure(transport, WORK, clients_in="thread")
    assert "ZeroDivisionError" in str(caught.value)
    assert "no tea" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_every_client_half_is_here():
    assert {type(transport) for *_, transport in CASES} == set(HALVES)


def test_a_shorter_limit_after_a_longer_one_counts(nothing_left):
    """The second request of a connection has less time than the first had."""
    async def waits():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
            over.set()

        over = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        async with server, asyncio.timeout(20):
            fleet = Fleet(lpws.LongPolling(), WORK, address, "x", 0.0, [].append)
            client = fleet.clients[0]
            assert await client.ask(timeout_s=60.0)
            start = fleet.loop.time()
            assert not await client.ask(timeout_s=0.2)
            passed_s = fleet.loop.time() - start
            client.close()
            await over.wait()
            return passed_s

    assert asyncio.run(waits()) < 10
