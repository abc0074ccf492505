"""Polls that are held on a QUIC connection while the client's address changes.

A hundred requests of HTTP/3 are held by the server. Then the client has another address, as behind a NAT
that forgets, or from Wi-Fi to mobile; only then are they answered. (A TCP connection is named by its
addresses.)
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

POLLS = 100
#: How long each part of it may take [s].
LIMIT_S = 10.0
PEM = Path(__file__).resolve().parents[1] / "throwaway.pem"


def _socket(stack: ExitStack) -> socket.socket:
    """A socket for datagrams, on an address that it has to itself."""
    found = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    found.bind(("127.0.0.1", 0))
    found.setblocking(False)
    return found


def measure() -> dict[str, int]:
    """Number of polls held when the address changed, of those answered after it, and of addresses."""
    theirs = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    theirs.load_cert_chain(PEM, PEM)
    ours = QuicConfiguration(alpn_protocols=["h3"], server_name="far", verify_mode=False)
    client = QuicConnection(configuration=ours)
    with ExitStack() as stack:
        near, far = _socket(stack), _socket(stack)
        client.connect(far.getsockname(), time.perf_counter())
        name = client.original_destination_connection_id
        server = QuicConnection(configuration=theirs, original_destination_connection_id=name)
        asks, answers = H3Connection(client), H3Connection(server)
        held, answered, addresses = [], {}, []

        def pump() -> None:
            """Bring datagrams from one to the other, and read what has come."""
            for end, connection in ((near, client), (far, server)):
                if connection is server and not addresses:
                    continue  # it knows of nobody yet
                for datagram, address in connection.datagrams_to_send(time.perf_counter()):
                    end.sendto(datagram, address)
            for end in select.select([near, far], [], [], 0.01)[0]:
                datagram, address = end.recvfrom(65_536)
                if end is far and address not in addresses:
                    addresses.append(address)
                (server if end is far else client).receive_datagram(datagram, address, time.perf_counter())
            for connection, http in ((client, asks), (server, answers)):
                if (due := connection.get_timer()) is not None and due <= time.perf_counter():
                    connection.handle_timer(time.perf_counter())
                while event := connection.next_event():
                    for heard in http.handle_event(event):
                        if isinstance(heard, HeadersReceived) and http is answers:
                            held.append(heard.stream_id)
                        elif isinstance(heard, DataReceived) and http is asks:
                            answered[heard.stream_id] = answered.get(heard.stream_id, b"") + heard.data

        def until(condition) -> None:
            end = time.perf_counter() + LIMIT_S
            while not condition() and time.perf_counter() < end:
                pump()

        pump()
        for number in range(POLLS):
            path = f"/news?cursor={number}".encode()
            fields = {b":method": b"GET", b":scheme": b"https", b":authority": b"far", b":path": path}
            asks.send_headers(client.get_next_available_stream_id(), [*fields.items()], end_stream=True)
        until(lambda: len(held) == POLLS)
        found = {"held": len(held)}
        near = _socket(stack)
        client.send_ping(1)  # the server learns of an address by what comes from there
        until(lambda: len(addresses) == 2)
        for stream in held:
            answers.send_headers(stream, [(b":status", b"200")])
            answers.send_data(stream, b"tea is ready\n", end_stream=True)
        until(lambda: len(answered) == POLLS)
        whole = [text for text in answered.values() if text == b"tea is ready\n"]
        return found | {"answered": len(whole), "addresses": len(addresses)}
