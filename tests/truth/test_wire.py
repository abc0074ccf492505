"""The laboratory's books against the wire: connections, requests, answers, frames, bytes."""

import pytest
from three_ways import disagreements
from watch import watched

import lpws
from lpws.server import tcpinfo
from lpws.server.counted_stream import CountedStream, CountingServer
from lpws.transports.connection import Connection

WORK = lpws.Workload(clients=4, rate_hz=20, duration_s=0.5, seed=3)
TRANSPORTS = [
    lpws.Reload(pause_s=0.05),
    lpws.Reload(pause_s=0.05, keep_alive=True),
    lpws.ShortPolling(interval_s=0.1),
    lpws.ShortPolling(interval_s=0.1, keep_alive=False),
    lpws.LongPolling(),
    lpws.LongPolling(keep_alive=False),
    lpws.LongPolling(hold_s=0.05, cursor=False),
    lpws.SSE(),
    lpws.WebSocket(),
    lpws.WebSocket(flush_s=0.1),
]


@pytest.mark.parametrize("transport", TRANSPORTS, ids=repr)
def test_three_accounts_of_one_run_agree(namespace, tmp_path, transport):
    seen = watched(namespace, tmp_path, transport, WORK)
    assert disagreements(seen.run, seen.streams) == []
    assert len(seen.streams) >= WORK.clients
    assert sum(stream.requests for stream in seen.streams) >= WORK.clients


def test_large_messages_agree_too(namespace, tmp_path):
    """Frames with each length of head, in answers and frames of many packets."""
    for size in (110, 200, 65_536):
        work = lpws.Workload(clients=2, rate_hz=20, duration_s=0.2, size_bytes=size)
        seen = watched(namespace, tmp_path, lpws.WebSocket(), work)
        assert disagreements(seen.run, seen.streams) == []
        assert min(len(stream.down) for stream in seen.streams) > size


# ------------------------------------------------------------------ a wrong count is noticed


def a_byte_less_read(monkeypatch):
    read = CountedStream.read_from_fd

    def read_from_fd(stream, buf):
        size = read(stream, buf)
        stream.bytes_read -= bool(size and stream.number == 1)
        return size

    monkeypatch.setattr(CountedStream, "read_from_fd", read_from_fd)


def a_byte_less_written(monkeypatch):
    write = CountedStream.write_to_fd

    def write_to_fd(stream, data):
        size = write(stream, data)
        stream.bytes_written -= stream.number == 1
        return size

    monkeypatch.setattr(CountedStream, "write_to_fd", write_to_fd)


def a_connection_not_recorded(monkeypatch):
    handle = CountingServer.handle_stream

    def handle_stream(server, stream, address):
        record = server.streams.record
        server.streams.record = lambda event: event[1:5:3] == ("opened", 1) or record(event)
        handle(server, stream, address)
        server.streams.record = record

    monkeypatch.setattr(CountingServer, "handle_stream", handle_stream)


def a_fin_counted(monkeypatch):
    for state in ("_CLOSE", "_CLOSE_WAIT"):
        monkeypatch.setattr(tcpinfo, state, None)


def a_byte_more_received(monkeypatch):
    receive = Connection.data_received

    def data_received(connection, data):
        connection.size_bytes += connection.number == 1
        receive(connection, data)

    monkeypatch.setattr(Connection, "data_received", data_received)


MUTATIONS = [
    (a_byte_less_read, "bytes up"),
    (a_byte_less_written, "bytes down"),
    (a_connection_not_recorded, "connections"),
]


@pytest.mark.parametrize(
    ("transport", "mutate", "book"),
    [
        *((lpws.WebSocket(), *mutation) for mutation in MUTATIONS),
        *((lpws.LongPolling(), *mutation) for mutation in MUTATIONS),
        # These clients end their connections. A WebSocket is ended from both sides at once: whether the
        # client's FIN has come when the kernel is asked is a matter of chance.
        (lpws.LongPolling(), a_fin_counted, "bytes up"),
        (lpws.SSE(), a_fin_counted, "bytes up"),
        (lpws.LongPolling(), a_byte_more_received, "requests and answers in bytes"),
    ],
)
def test_a_wrong_count_is_noticed(namespace, tmp_path, monkeypatch, transport, mutate, book):
    """One byte of one connection, or one connection: in that book, and in no other."""
    mutate(monkeypatch)
    # In a thread of this process the clients are mutated, too.
    seen = watched(namespace, tmp_path, transport, WORK, clients_in="thread")
    (fault,) = disagreements(seen.run, seen.streams)
    assert fault.startswith(book)
