"""The wire: what tcpdump saw of the loopback of a namespace, read by tshark.

Nothing in here knows how the laboratory counts. Bytes are put in order by TCP's sequence numbers, so
that what was sent again counts once; requests, answers and frames are those that tshark finds.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lpws.trace import clock

#: RFC 863: whatever comes to this port is thrown away.
_DISCARD = 9
_FIELDS = (
    *("frame.time_epoch", "tcp.stream", "tcp.dstport", "tcp.flags", "tcp.seq", "tcp.payload"),
    *("http.request.method", "http.response.code", "websocket.opcode"),
)
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
#: RFC 6455 §5.2.
TEXT, CLOSE = 1, 8


@dataclass
class Packet:
    """One packet with a payload: when [ns, Unix time], which way, where in the stream, what."""

    t_ns: int
    up: bool  # from the client
    offset: int
    payload: bytes


@dataclass
class Stream:
    """One TCP connection, as it was on the wire."""

    begun: int = 0  # how many SYN of a client it has
    accepted: int = 0  # how many SYN of a server
    ended: bool = False  # by FIN or RST
    packets: list[Packet] = field(default_factory=list)
    requests: int = 0
    responses: int = 0
    up_frames: Counter = field(default_factory=Counter)  # opcode → number of WebSocket frames
    down_frames: Counter = field(default_factory=Counter)

    @property
    def up(self) -> bytes:
        """All that the client sent."""
        return _in_order(packet for packet in self.packets if packet.up)

    @property
    def down(self) -> bytes:
        """All that the server sent."""
        return _in_order(packet for packet in self.packets if not packet.up)


def _in_order(packets: Iterator[Packet]) -> bytes:
    data = bytearray()
    for packet in sorted(packets, key=lambda packet: packet.offset):
        if packet.offset > len(data):
            raise ValueError(f"expected byte {len(data)} of a stream, the capture goes on at {packet.offset}")
        data[packet.offset : packet.offset + len(packet.payload)] = packet.payload
    return bytes(data)


@contextlib.contextmanager
def captured(path: Path) -> Iterator[None]:
    """Write every packet on this namespace's loopback to a file, from beginning to end of the block.

    Raises
    ------
    RuntimeError
        If tcpdump does not start, or lost a packet.
    """
    # Not --immediate-mode: there, a packet of any size takes 128 KiB of the buffer, and a tcpdump that
    # has to wait for the processor soon loses some. So, 32 MiB hold some ten thousand.
    options = ["-i", "lo", "-n", "-s", "0", "-B", "32768", "--time-stamp-precision", "nano"]
    dump = subprocess.Popen(
        ["tcpdump", *options, "-U", "-w", str(path), f"tcp or udp port {_DISCARD}"],
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        said = ""
        while "listening on" not in said:
            said = dump.stderr.readline()
            if not said:
                raise RuntimeError(f"expected tcpdump to listen, it ended with {dump.wait()}")
        yield
        _see_the_end(path, dump)
    finally:
        dump.send_signal(signal.SIGINT)
        _, last_words = dump.communicate()
    if not re.search(r"^0 packets dropped by kernel", last_words, re.MULTILINE):
        raise RuntimeError(f"expected tcpdump to lose nothing, it says: {last_words}")


def _see_the_end(path: Path, dump: subprocess.Popen) -> None:
    """Wait until the file holds a packet that is sent now, and so all before it."""
    mark = b"the end of this capture"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(mark, ("127.0.0.1", _DISCARD))
    end = clock() + 30
    with path.open("rb") as file:
        seen = b""
        while mark not in seen:
            if dump.poll() is not None or clock() > end:
                raise RuntimeError("expected tcpdump to write the last packet, it did not")
            seen = seen[-len(mark) :] + file.read()


def streams(path: Path) -> list[Stream]:
    """The TCP connections in a capture file, in the order in which they began."""
    port = _server_port(path)
    found: dict[str, Stream] = {}
    # An answer counts from its head on: that of an event stream has no end.
    options = ["-d", f"tcp.port=={port},http", "-o", "http.desegment_body:FALSE", "-Y", "tcp"]
    for row in _tshark(path, *options):
        stream = found.setdefault(row["tcp.stream"], Stream())
        up = row["tcp.dstport"] == port
        flags = int(row["tcp.flags"], 16)
        if flags & _SYN:
            stream.begun += not flags & _ACK
            stream.accepted += bool(flags & _ACK)
        stream.ended |= bool(flags & (_FIN | _RST))
        if row["tcp.payload"]:
            payload = bytes.fromhex(row["tcp.payload"])
            # tshark's own numbers begin at the SYN, which is number 0.
            offset = int(row["tcp.seq"]) - 1
            t_ns = int(row["frame.time_epoch"].replace(".", ""))  # nine decimals: see `captured`
            stream.packets.append(Packet(t_ns, up, offset, payload))
        stream.requests += len(_values(row["http.request.method"]))
        stream.responses += len(_values(row["http.response.code"]))
        frames = stream.up_frames if up else stream.down_frames
        frames.update(map(int, _values(row["websocket.opcode"])))
    return list(found.values())


def _server_port(path: Path) -> str:
    """The port that all connections of a capture lead to."""
    asked = {row["tcp.dstport"] for row in _tshark(path, "-Y", "tcp.flags.syn == 1 && tcp.flags.ack == 0")}
    if len(asked) != 1:
        raise ValueError(f"expected connections to one port, got {sorted(asked)}")
    return asked.pop()


def _tshark(path: Path, *options: str) -> Iterator[dict[str, str]]:
    numbers = ["-o", "tcp.relative_sequence_numbers:TRUE"]
    command = ["tshark", "-n", "-r", str(path), *numbers, *options, "-T", "fields"]
    for name in _FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    for line in done.stdout.splitlines():
        yield dict(zip(_FIELDS, line.split("\t"), strict=True))


def _values(text: str) -> list[str]:
    return text.split(",") if text else []
