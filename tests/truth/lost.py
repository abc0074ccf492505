"""What one lost packet delays: ten streams of messages over a TUN device, in three ways.

Each stream has a TCP connection of its own, as over HTTP/1.1; or they share one, as over HTTP/2; or they
share a QUIC connection, as over HTTP/3. The server sends a message every 5 ms, to each stream in turn, each
in a packet of its own. The packet of one message is lost.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import tun
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, StreamDataReceived
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived

#: One transit of the path [s], each way, and how often a message is sent [s].
DELAY_S, EVERY_S = 0.025, 0.005
STREAMS, MESSAGES, LOST = 10, 120, 44
SIZE = 120
#: How long all of it may take [s].
LIMIT_S = 10.0
PEM = Path(__file__).resolve().parents[1] / "throwaway.pem"
#: (stream, its bytes) that have come since the last look.
Heard = Iterator[tuple[int, bytes]]
#: Send bytes on a stream; look what has come, after at most so many seconds.
Way = tuple[Callable[[int, bytes], None], Callable[[float], Heard]]


def _pair(near, far, listener: socket.socket, stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """The client's and the server's end of a new TCP connection."""
    client = near.call(socket.create_connection, (tun.FAR, listener.getsockname()[1]), 10)
    server = stack.enter_context(listener.accept()[0])
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stack.enter_context(client), server


def separate(near, far, stack: ExitStack) -> Way:
    """A TCP connection per stream."""
    listener = stack.enter_context(far.call(socket.create_server, (tun.FAR, 0)))
    pairs = [_pair(near, far, listener, stack) for _ in range(STREAMS)]
    clients = {client: stream for stream, (client, _) in enumerate(pairs)}

    def hear(wait_s: float) -> Heard:
        for client in select.select([*clients], [], [], wait_s)[0]:
            yield clients[client], client.recv(65_536)

    return lambda stream, text: pairs[stream][1].sendall(text), hear


def http2(near, far, stack: ExitStack) -> Way:
    """One TCP connection, and on it a stream of HTTP/2 for each."""
    listener = stack.enter_context(far.call(socket.create_server, (tun.FAR, 0)))
    client_end, server_end = _pair(near, far, listener, stack)
    client, server = H2Connection(), H2Connection(H2Configuration(client_side=False))
    ends = {client_end: client, server_end: server}

    def hear(wait_s: float) -> Heard:
        for end in select.select([*ends], [], [], wait_s)[0]:
            for event in ends[end].receive_data(end.recv(65_536)):
                if isinstance(event, DataReceived):
                    client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    yield event.stream_id // 2, event.data
        for end, connection in ends.items():
            end.sendall(connection.data_to_send())

    def send(stream: int, text: bytes) -> None:
        server.send_data(1 + 2 * stream, text)
        server_end.sendall(server.data_to_send())

    client.initiate_connection()
    server.initiate_connection()
    for number in range(1, 2 * STREAMS, 2):
        fields = {":method": "GET", ":scheme": "http", ":authority": "far", ":path": f"/{number}"}
        client.send_headers(number, fields.items(), end_stream=True)
    begun = time.perf_counter()
    while server.open_inbound_streams < STREAMS and time.perf_counter() < begun + LIMIT_S:
        list(hear(0.1))
    for number in range(1, 2 * STREAMS, 2):
        server.send_headers(number, [(":status", "200")])
    return send, hear


def quic(near, far, stack: ExitStack) -> Way:
    """One QUIC connection, and on it a stream for each."""
    theirs = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    theirs.load_cert_chain(PEM, PEM)
    ours = QuicConfiguration(alpn_protocols=["h3"], server_name="far", verify_mode=False)
    server_end = stack.enter_context(far.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
    client_end = stack.enter_context(near.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
    server_end.bind((tun.FAR, 0))
    client_end.bind((tun.NEAR, 0))
    client = QuicConnection(configuration=ours)
    client.connect(server_end.getsockname(), time.perf_counter())
    server = QuicConnection(
        configuration=theirs, original_destination_connection_id=client.original_destination_connection_id
    )
    ends = {client_end: client, server_end: server}
    shaken, speaks = [], [client_end]

    def flush() -> None:
        for end in speaks:
            connection = ends[end]
            for datagram, address in connection.datagrams_to_send(time.perf_counter()):
                end.sendto(datagram, address)

    def hear(wait_s: float) -> Heard:
        flush()
        due_s = [due for end in speaks if (due := ends[end].get_timer()) is not None]
        timers = [due - time.perf_counter() for due in due_s]
        for end in select.select([*ends], [], [], max(0.0, min([wait_s, *timers])))[0]:
            ends[end].receive_datagram(*end.recvfrom(65_536), time.perf_counter())
            if end not in speaks:  # before, the server knows of nobody
                speaks.append(end)
        for end, connection in ends.items():
            if end in speaks and (due := connection.get_timer()) is not None and due <= time.perf_counter():
                connection.handle_timer(time.perf_counter())
            while event := connection.next_event():
                if isinstance(event, HandshakeCompleted):
                    shaken.append(end)
                elif isinstance(event, StreamDataReceived) and end is client_end:
                    yield event.stream_id // 4, event.data
        flush()

    def send(stream: int, text: bytes) -> None:
        server.send_stream_data(3 + 4 * stream, text)  # a stream of the server's own, one way
        flush()

    begun = time.perf_counter()
    while len(shaken) < 2 and time.perf_counter() < begun + LIMIT_S:
        list(hear(0.1))
    return send, hear


WAYS = {"separate": separate, "HTTP/2": http2, "QUIC": quic}


def measure(way: str) -> pd.DataFrame:
    """One row a message: its stream, when it was sent, and when the client had read it [s]."""
    with tun.lossy(DELAY_S) as (near, far, lose), ExitStack() as stack:
        send, hear = WAYS[way](near, far, stack)
        sent_s, received_s, rest = [], {}, [b""] * STREAMS
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:  # what was on its way arrives
            list(hear(0.05))
        lose(LOST + 1)  # each message has a packet of its own, and the first one is number 0
        start = time.perf_counter()
        while len(received_s) < MESSAGES and (now_s := time.perf_counter() - start) < LIMIT_S:
            number = len(sent_s)
            due_s = number * EVERY_S if number < MESSAGES else LIMIT_S
            if now_s >= due_s:
                sent_s.append(now_s)
                send(number % STREAMS, f"{number}".rjust(SIZE - 1, ".").encode() + b"\n")
            for stream, text in hear(max(0.0, min(due_s - now_s, 0.1))):
                *whole, rest[stream] = (rest[stream] + text).split(b"\n")
                for line in whole:
                    received_s[int(line.strip(b"."))] = time.perf_counter() - start
    numbers = range(len(sent_s))
    return pd.DataFrame({
        "way": way, "number": numbers, "stream": [number % STREAMS for number in numbers],
        "sent_s": sent_s, "received_s": [received_s.get(number) for number in numbers],
    })  # fmt: skip


def delayed(table: pd.DataFrame) -> pd.DataFrame:
    """The messages that came more than 20 ms later than a transit takes."""
    return table[table.received_s - table.sent_s > DELAY_S + 0.02]
