"""The recording client: what it makes of frames that come at once, in pieces, or not as they should."""

import asyncio
import base64
import contextlib
import hashlib
import re

import picows
import pytest
import wsproto.frame_protocol as fp

import lpws
from lpws.fleet.fleet import Fleet
from lpws.transports.websocket import text_frame


def ping(payload):
    return b"\x89" + bytes([len(payload)]) + payload  # RFC 6455 §5.5.2


CLOSE = b"\x88\x02\x03\xe8"  # 1000, RFC 6455 §7.4.1


async def heard(*pieces):
    """Events and error of a client to whom a server writes these pieces, and the frames that it answers."""
    events, answer, over = [], bytearray(), asyncio.Event()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)Sec-WebSocket-Key: *([^\r]+)", head)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        answer.extend(await reader.read())
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    fleet = Fleet(lpws.WebSocket(), lpws.Workload(clients=1), address, "x", 1.0, events.append)
    async with server, asyncio.timeout(20):
        websocket = await fleet.clients[0].upgrade("")
        with contextlib.suppress(picows.WSError):
            await websocket.wait_disconnected()
        await over.wait()
    parser = fp.FrameProtocol(client=False, extensions=[])
    parser.receive_bytes(bytes(answer))
    answers = [(frame.opcode, frame.payload) for frame in parser.received_frames()]
    return events, fleet.broken.exception() if fleet.broken.done() else None, answers


def messages(events):
    return [(event[6], event[7]) for event in events if event[1] == "message_received"]


FRAMES = (
    text_frame(b"1 a\n"),
    ping(b"how are you"),
    text_frame("2 tea \u2615\n3 \n".encode()),
    b"\x82\x04" + b"9 x\n",  # binary, which is not heard
    text_frame(b"4 " + 200 * b"x" + b"\n"),
    ping(b""),
)
TOLD = [(1, 1), (2, 7), (3, 0), (4, 200)]
PONGS = [(fp.Opcode.PONG, b"how are you"), (fp.Opcode.PONG, b"")]


@pytest.mark.parametrize("size", [1, 2, 5, 1000], ids="in pieces of {}".format)
def test_frames_are_heard_however_they_are_read(size):
    stream = b"".join(FRAMES) + CLOSE
    pieces = [stream[n : n + size] for n in range(0, len(stream), size)]
    events, error, answers = asyncio.run(heard(*pieces))
    assert (messages(events), error) == (TOLD, None)
    assert answers[:2] == PONGS
    assert answers[2][0] == fp.Opcode.CLOSE
    assert [event[1] for event in events if event[1] in ("opened", "closed")] == ["opened", "closed"]


@pytest.mark.parametrize("last", range(len(FRAMES) - 1))
def test_the_last_frame_of_a_read_is_heard_before_the_next_read(last):
    """Of whatever kind it is, the messages before it do not wait."""
    head, tail = b"".join(FRAMES[: last + 1]), b"".join(FRAMES[last + 1 :]) + CLOSE
    events, error, _ = asyncio.run(heard(head, tail))
    assert (messages(events), error) == (TOLD, None)


def test_messages_of_one_read_have_one_time():
    events, _, _ = asyncio.run(heard(b"".join(text_frame(b"%d x\n" % id) for id in range(1, 21)) + CLOSE))
    times = [event[0] for event in events if event[1] == "message_received"]
    assert len(times) == 20
    assert len(set(times)) == 1
    assert times == sorted(times)


def test_what_came_before_a_frame_that_breaks_the_protocol_is_heard():
    unknown = b"\x83\x01x"  # RFC 6455 §5.2: no frame has the opcode 3
    events, _, _ = asyncio.run(heard(text_frame(b"1 x\n") + text_frame(b"2 x\n") + unknown))
    assert messages(events) in ([(1, 1)], [(1, 1), (2, 1)])  # picows drops the one before the fault


@pytest.mark.parametrize(
    "payload", [b"1 x\ny", b"tea\n", b"tea", b"0 x\n", b"-1 x\n", b"1 \xff\n", b"1 x\ny\n"], ids=repr
)
def test_what_is_no_message_ends_the_run(payload):
    _, error, _ = asyncio.run(heard(text_frame(payload) + CLOSE))
    assert str(error).startswith("expected lines like b'7 tea is ready\\n', got " + repr(payload)[:4])


def test_the_last_line_of_a_frame_may_lack_its_end():
    """Frames that are read at once are still frames."""
    frames = text_frame(b"1 x") + text_frame(b"2 yy\n3 z") + text_frame(b"")
    events, error, _ = asyncio.run(heard(frames + CLOSE))
    assert error is None
    assert [event[6:] for event in events if event[1] == "message_received"] == [(1, 1), (2, 2), (3, 1)]
