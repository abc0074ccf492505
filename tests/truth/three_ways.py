"""One run in three accounts: the clients' trace, the server's trace with its kernel's, and the wire.

What each can know:

- The clients count the bytes of requests and answers. Of a WebSocket and of an event stream they count
  the payload of messages; what is wrapped around it follows from the standards, and is added here. The
  heads of a WebSocket's handshake and of an event stream's answer they do not count: here the wire
  tells those. A Close frame is no message, and nothing in the clients' trace.
- The server counts all bytes that go through its sockets, and so does its kernel.
- The wire shows everything, and does not know which program it belongs to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from packets import CLOSE, TEXT, Stream

from lpws import SSE, Event, Run, WebSocket

#: RFC 6455 §5.2 and §5.5.1: two bytes of head, two of status; from a client, four of mask.
_CLOSE_BYTES, _MASKED_CLOSE_BYTES = 4, 8


def disagreements(run: Run, streams: Iterable[Stream]) -> list[str]:
    """What two of the accounts do not agree on, a sentence each; empty if they agree on everything."""
    streams, found = list(streams), []

    def expect(what: str, **accounts: object) -> None:
        (_, one), *others = accounts.items()
        if any(other != one for _, other in others):
            found.append(f"{what}: " + ", ".join(f"{name} {value}" for name, value in accounts.items()))

    events = [Event._make(event) for event in run.events]

    def count(name: str, side: str) -> int:
        return sum(event.name == name and event.side == side for event in events)

    def sizes(name: str) -> list[int]:
        return sorted(event.size for event in events if event.name == name)

    expect(
        "connections",
        wire=sum(stream.begun for stream in streams),
        accepted_on_wire=sum(stream.accepted for stream in streams),
        ended_on_wire=sum(stream.ended for stream in streams),
        client=count("opened", "client"),
        server=count("opened", "server"),
    )
    expect(
        "requests",
        wire=sum(stream.requests for stream in streams),
        client=count("request_sent", "client"),
        server=count("request_received", "server"),
    )
    # The clients of an event stream never see the end of the answer, and its server notes none.
    if not isinstance(run.transport, SSE):
        expect(
            "answers",
            wire=sum(stream.responses for stream in streams),
            client=count("response_received", "client"),
            server=count("response_sent", "server"),
        )
    up, down = (sorted(len(getattr(stream, way)) for stream in streams) for way in ("up", "down"))
    expect("bytes up, by connection", wire=up, server=sizes("read"), kernel=sizes("kernel_read"))
    expect("bytes down, by connection", wire=down, server=sizes("written"), kernel=sizes("kernel_written"))
    if isinstance(run.transport, WebSocket):
        _compare_websockets(run.transport, events, streams, expect)
    elif isinstance(run.transport, SSE):
        _compare_event_streams(run.transport, events, streams, expect)
    else:
        opened = {event.connection for event in events if (event.name, event.side) == ("opened", "client")}
        asked, answered = (
            _sums((event.connection, event.size) for event in events if event.name == name)
            for name in ("request_sent", "response_received")
        )
        expect(
            "requests and answers in bytes, by connection",
            wire=sorted((len(stream.up), len(stream.down)) for stream in streams),
            client=sorted((asked[connection], answered[connection]) for connection in opened),
        )
    return found


def _compare_websockets(
    transport: WebSocket, events: list[Event], streams: list[Stream], expect
) -> None:
    # (connection, which frame) → payload. Where messages do not gather, each has a frame of its own, and a
    # busy client may read two at one time; where they gather, those of one time are one frame.
    frames: dict[tuple, int] = Counter()
    for event in events:
        if event.name == "message_received":
            frame = event.t if transport.flush_s else event.message
            frames[event.connection, frame] += len(f"{event.message} \n") + event.size
    expect(
        "frames with messages",
        wire=sum(stream.down_frames[TEXT] for stream in streams),
        client=len(frames),
    )
    number = len(streams)
    expect(
        "other frames",
        wire=sum((stream.down_frames + stream.up_frames for stream in streams), Counter()),
        closes_and_messages=Counter({TEXT: len(frames), CLOSE: 2 * number}),
    )
    brought = _sums((connection, _frame_bytes(payload)) for (connection, _), payload in frames.items())
    expect(
        "frames in bytes, by connection",
        wire=sorted((len(_body(stream.up)), len(_body(stream.down))) for stream in streams),
        client=sorted((_MASKED_CLOSE_BYTES, size + _CLOSE_BYTES) for size in brought.values()),
    )


def _compare_event_streams(
    transport: SSE, events: list[Event], streams: list[Stream], expect
) -> None:
    asked = _sums((event.connection, event.size) for event in events if event.name == "request_sent")
    retry = _chunk_bytes(len(f"retry: {1000 * transport.retry_s:.0f}\n\n"))
    brought = _sums(
        (event.connection, _chunk_bytes(len(f"id: {event.message}\ndata: \n\n") + event.size))
        for event in events
        if event.name == "message_received"
    )
    expect(
        "requests and events in bytes, by connection",
        wire=sorted((len(stream.up), len(_body(stream.down))) for stream in streams),
        client=sorted((asked[connection], retry + size) for connection, size in brought.items()),
    )


def _body(data: bytes) -> bytes:
    """What comes after the head of the first request or answer."""
    return data.partition(b"\r\n\r\n")[2]


def _frame_bytes(payload: int) -> int:
    """Size of a server's frame with so many bytes of payload (RFC 6455 §5.2)."""
    return payload + (2 if payload <= 125 else 4 if payload <= 0xFFFF else 10)


def _chunk_bytes(data: int) -> int:
    """Size of a chunk with so many bytes of data: hexadecimal length, two line ends (RFC 9112 §7.1)."""
    return len(f"{data:x}") + 2 + data + 2


def _sums(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for key, value in pairs:
        sums[key] += value
    return sums
