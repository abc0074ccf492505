"""The tasks of notebook 06: what a message costs."""

from __future__ import annotations

from collections.abc import Callable

from .observer import Calls, Wrong
from .task import Make, Quick, a_function
from .web import TEXT, frame

_HOST = b"Host: example.org\r\n"
#: Transport → the heads of a request and of its response, as far as they do not depend on the case.
_HEADS = {
    "long polling": (b"", b"200 OK\r\nContent-Type: text/plain\r\n"),
    "SSE": (b"Accept: text/event-stream\r\n", b"200 OK\r\nContent-Type: text/event-stream\r\n"),
    "WebSocket": (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ),
}


def heads(transport: str, cursor: int, size: int) -> tuple[bytes, bytes]:
    """A request and the head of its response, each with its empty line."""
    asked, answered = _HEADS[transport]
    length = b"Content-Length: %d\r\n" % size if transport == "long polling" else b""
    request = b"GET /news?cursor=%d HTTP/1.1\r\n" % cursor + _HOST + asked + b"\r\n"
    return request, b"HTTP/1.1 " + answered + length + b"\r\n"


def sent(transport: str, messages: int, size: int, request: bytes, response: bytes) -> int:
    """The bytes that go over the connection, counted by making them.

    >>> sent("WebSocket", 2, 126, b"GET", b"HTTP")
    267
    """
    text = b"x" * size
    if transport == "long polling":
        return len(b"".join(request + response + text for _ in range(messages)))
    if transport == "SSE":
        return len(request + response + b"".join(b"data: " + text + b"\n\n" for _ in range(messages)))
    # A client's frame holds a key of four bytes, a server's none.
    return len(request + response + b"".join(frame(TEXT, text) for _ in range(messages))) - 4 * messages


def counts(transport: str, sizes: list[tuple[int, int]], sentence: str, think: str) -> tuple[str, Callable]:
    """The behavior: it counts what the transport takes, for so many messages of such a size."""

    def behavior(call: Calls) -> None:
        for messages, size in sizes:
            request, response = heads(transport, call.draw.randrange(1, 10_000), size)
            got = call(transport, messages, size, request, response)
            truth = sent(transport, messages, size, request, response)
            if isinstance(got, bool) or not isinstance(got, (int, float)):
                raise Wrong(f"returned {got!r:.60}", "what is asked for: a number of bytes")
            if got != truth:
                packets = got > truth and (got - truth) % (40 * messages) == 0
                raise Wrong(
                    f"counted {got:,} bytes for {messages} message{'s' * (messages > 1)} of {size:,} bytes "
                    f"over {transport}, with {len(request)} bytes of request and {len(response)} of "
                    f"response head; {truth:,} were sent",
                    "whether packets belong to it" if packets else think,
                )

    return sentence, behavior


TASKS = {
    "bytes": Make(
        stub="the function returns nothing yet: begin with long polling, where every message is an exchange",
        expected=a_function("transport, messages, size, request, response"),
        stages=[
            [
                counts("long polling", [(1, 20), (7, 300), (4, 5)], "counts what long polling takes",
                       "how often the request and the head of the response are sent"),
                counts("SSE", [(1, 20), (7, 300), (4, 5)], "counts what SSE takes",
                       "what is sent once, and what stands around each message"),
                counts("WebSocket", [(1, 20), (9, 125), (4, 5)], "counts what a WebSocket takes",
                       "what is sent once, and the head of a frame from the server"),
            ],
            [
                counts("WebSocket", [(3, 126), (2, 65_535), (2, 65_536)], "knows how a long frame begins",
                       "the three ways to write a length"),
            ],
        ],
        scene=Calls,
    ),
    "ratio": Quick(
        (871 + 20) / (2 + 20),
        {
            435.5: "that leaves out the message, which both have to carry",
            435: "that leaves out the message, which both have to carry",
            39.6: "the poll carries the message as well",
            44.55: "the WebSocket carries its frame as well",
            43.55: "the message is in both, above and below the line",
        },
        within=0.01,
    ),
    "packet": Quick(
        20 + 2 + 22 + 40,
        {
            62: "TLS puts a record around the frame",
            82: "the text travels in a frame",
            44: "the packet begins with the headers of TCP and IP",
            86: "a frame of 20 bytes needs no longer head than two",
            88: "a server's frame is not masked",
            79: "the record has three parts",
            124: "one packet, without the one that acknowledges it",
        },
    ),
}  # fmt: skip
