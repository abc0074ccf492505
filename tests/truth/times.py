"""How far each kind of event in the trace is from its packet on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd
from packets import Stream
from watch import Watched

import lpws

#: Name of an event → +1 if its packet comes after it, -1 if before.
SENSE = {
    "request_sent": +1,
    "request_received": -1,
    "response_sent": +1,
    "response_received": -1,
    "message_sent": +1,
    "message_received": -1,
}
_ASKED = re.compile(rb"^GET [^ ]*client=(\d+)&request=(\d+)")
_ANSWER = b"HTTP/1.1 "
#: A message, as in `lpws.decisions.to_lines` or as an event of a stream; the text is that of `lpws.measure`.
_MESSAGE = re.compile(rb"(?:id: |\b)(\d+)(?:\ndata: | )news \1 ")


def distances(seen: Watched) -> pd.DataFrame:
    """One row an event that has a packet: how long it lies on its own side of the packet.

    Every message, request and answer must be in one packet, as small ones are. The answer to a
    WebSocket's handshake is left out: it is recorded when the WebSocket is open, on either side.

    Returns
    -------
    DataFrame
        ``name``, ``client``; ``t``, of the event, and ``wire_s``, of its packet, on the run's clock;
        ``distance_s``: from a sending to the packet, or from the packet to a receipt. Negative if
        an event claims to be of before its cause.
    """
    requests, answers, messages = {}, {}, {}
    for stream in seen.streams:
        for kind, key, t in _packets(seen, stream):
            {"request": requests, "answer": answers, "message": messages}[kind][key] = t
    if isinstance(seen.run.transport, lpws.WebSocket):
        answers = {}
    rows = []
    for event in map(lpws.Event._make, seen.run.events):
        kind = event.name.partition("_")[0]
        if event.name in SENSE:
            key = (event.client, event.message) if kind == "message" else event.request
            t = {"request": requests, "response": answers, "message": messages}[kind].get(key)
            if t is not None:
                rows.append((event.name, event.client, event.t, t, SENSE[event.name] * (t - event.t)))
    return pd.DataFrame(rows, columns=["name", "client", "t", "wire_s", "distance_s"])


def _packets(seen: Watched, stream: Stream) -> Iterator[tuple[str, object, float]]:
    """(kind, key, when [s]) of each request, answer and message of a connection."""
    client = request = None
    for packet in sorted(stream.packets, key=lambda packet: packet.t_ns):
        t = seen.run_s(packet)
        if packet.up and (found := _ASKED.match(packet.payload)):
            client, request = map(int, found.groups())
            yield "request", request, t
        elif not packet.up:
            if packet.payload.startswith(_ANSWER):
                yield "answer", request, t
            for message in _MESSAGE.findall(packet.payload):
                yield "message", (client, int(message)), t
