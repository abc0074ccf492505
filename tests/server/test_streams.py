"""Server-Sent Events: a stream that begins, resumes, and ends."""

import contextlib
import random

from wire import SOCKET, STREAM, Peer, Wire, stream, take_parts, until

from lpws.server import handlers
from lpws.server.server import Server
from lpws.transports import sse


def next_event(response):
    """The lines until the next blank one."""
    return list(iter(lambda: response.readline().decode().removesuffix("\n"), ""))


def test_events_have_ids_and_a_stream_says_when_to_come_again(server):
    server.publish("one")
    with stream(server, "cursor=0&retry=2.5") as response:
        assert next_event(response) == ["retry: 2500"]
        assert next_event(response) == ["id: 1", "data: one"]
        server.publish(" two: é ☕")
        assert next_event(response) == ["id: 2", "data:  two: é ☕"]
    with stream(server, "cursor=2") as response:
        assert next_event(response) == ["retry: 1000"]
    until(lambda: not server.room.busy and not server.room.followers)
    assert not server.log


def test_a_stream_goes_on_where_the_browser_says(server):
    for text in ("one", "two", "three"):
        server.publish(text)
    with stream(server, "cursor=0", **{"Last-Event-ID": "2"}) as response:  # of the two, the newer
        next_event(response)
        assert next_event(response) == ["id: 3", "data: three"]
    with stream(server, "") as response:  # without either, only what comes
        next_event(response)
        server.publish("four")
        assert next_event(response) == ["id: 4", "data: four"]


def test_an_old_client_gets_its_events_without_chunks(nothing_left):
    """HTTP/1.0 knows no chunks: there the end of the connection is the end of the stream."""
    with Server() as server, Wire(server) as old:
        server.publish("missed")
        old.send(f"GET {STREAM}?cursor=0 HTTP/1.0\r\nHost: {server.host}\r\n\r\n".encode())
        until(lambda: server.room.streams)
        with stream(server, "") as new:  # of the same broadcast it would get chunks
            next_event(new)
            until(lambda: len(server.room.streams) == 2)
            server.publish("news")
            assert next_event(new) == ["id: 2", "data: news"]
        server.stop()
        head, _, body = old.take_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"retry: 1000\n\nid: 1\ndata: missed\n\nid: 2\ndata: news\n\n"


def test_who_leaves_a_stream_without_having_read_it_leaves_nothing(server, monkeypatch):
    """However many signs of life still wait for them."""
    monkeypatch.setattr(sse, "COMMENT_S", 0.01)
    with Wire(server, receive_buffer=4096) as slow:
        slow.request(f"{STREAM}?cursor=0")
        until(lambda: server.room.streams)
        (handler,) = server.room.streams
        for _ in range(110):  # more than a socket takes
            server.publish(60_000 * "x")
            server.thread.call(handler.tell, "event: beat\ndata: here\n\n")
        assert server.thread.call(handler.stream.writing)
    until(lambda: not server.room.busy and not server.room.followers)


def test_a_socket_that_takes_a_part_of_a_stream_gets_the_rest(monkeypatch, nothing_left):
    draw = random.Random(3)
    texts = [draw.randrange(300) * "é" for _ in range(100)]
    monkeypatch.setattr(sse, "COMMENT_S", 0.005)
    with Server() as server, stream(server) as response:
        take_parts(monkeypatch, draw)
        got = []
        for id, text in enumerate(texts, start=1):
            server.publish(text)
            while not got or got[-1] != [f"id: {id}", f"data: {text}"]:
                got.append(next_event(response))
        others = {tuple(event) for event in got if not event[0].startswith("id: ")}
        assert others <= {("retry: 1000",), (": still here",)}
        monkeypatch.undo()


def test_who_cannot_be_sent_what_they_missed_follows_nothing():
    class Fails(handlers.WebSocket):
        @staticmethod
        def pack(messages):
            return 1 / 0

    with Server(handlers={SOCKET: Fails}) as server:
        server.publish("one")
        with Peer(server, "cursor=0") as peer:
            peer.closed()
        until(lambda: server.log)
        assert not server.room.followers
        assert server.publish("two") == 2


def test_a_quiet_stream_has_a_heartbeat(server, monkeypatch):
    monkeypatch.setattr(sse, "COMMENT_S", 0.01)
    with stream(server) as response:
        next_event(response)
        for _ in range(3):
            assert next_event(response) == [": still here"]
        server.publish("news")
        while (event := next_event(response)) == [": still here"]:
            pass
        assert event == ["id: 1", "data: news"]


def test_a_stream_ends_in_order_when_the_server_stops(nothing_left):
    with contextlib.ExitStack() as streams:
        with Server() as server:
            responses = [streams.enter_context(stream(server)) for _ in range(20)]
            until(lambda: len(server.room.streams) == 20)
            server.publish("the last")
        for response in responses:  # raises IncompleteRead if the end is missing
            assert response.read() == b"retry: 1000\n\nid: 1\ndata: the last\n\n"


def test_a_reader_of_events_that_stops_holds_up_nobody(server):
    with Wire(server, receive_buffer=4096) as slow, stream(server) as quick:
        slow.request(f"{STREAM}?cursor=0")
        until(lambda: len(server.room.streams) == 2)
        next_event(quick)
        for number in range(1, 101):
            server.publish(text := f"{number} " + 40_000 * "x")
            assert next_event(quick) == [f"id: {number}", f"data: {text}"]
        slow.read_again()
        while b"id: 100\n" not in slow.data:
            assert slow.more()
        assert [f"\nid: {number}\n".encode() in slow.data for number in range(1, 101)] == 100 * [True]
    until(lambda: not server.room.busy)
