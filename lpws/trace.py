"""The trace: what happened, as a list of events that is appended to and never edited.

Performance: an event is recorded as a plain tuple, which takes 0.17 µs with its time stamp; as the `Event`
that it becomes once the run is over it would take 0.37 µs. An observer that costs much changes what it
observes.
"""

from __future__ import annotations

import time
from typing import NamedTuple

#: Seconds of a monotonic clock that every process of one machine shares.
clock = time.perf_counter

#: What stands in a field that does not apply to an event.
NONE = -1


class Event(NamedTuple):
    """One thing that happened, as one side saw it.

    Recorded as plain tuples of this shape; a `Run` gives their fields names once it is over.
    """

    t: float  #: when [s], on `clock`; from the start of the run once the run is over
    name: str  #: what: a key of `NAMES`
    side: str  #: who recorded it: a value of `SIDES`
    client: int  #: number of the client, from 0
    connection: int  #: number of the connection; each side counts its own
    request: int  #: number of the request, the same on both sides
    message: int  #: id of the message, from 1
    size: int  #: bytes, unless `NAMES` says otherwise; of what, it says


SIDES = ("publisher", "server", "client", "link")

#: Every name that an event can have: who records it, when, and what `size` counts.
NAMES = {
    "due": "publisher, client, server or link: when the act that follows should have happened",
    "published": "server: a message enters the log; size: its payload",
    "opening": "client: it begins to connect",
    "opened": "client: it is connected; server: a connection is accepted",
    "closed": "client or server: the connection is gone from this side; "
    "size: 1 if a server ended it, and neither request nor goodbye had said so",
    "read": "server, at closed: size: all bytes that the connection brought",
    "written": "server, at closed: size: all bytes that the connection took away",
    "kernel_read": "server, at closed: size: the same as read, counted by the kernel's own TCP (Linux)",
    "kernel_written": "server, at closed: size: the same as written, counted by the kernel's own TCP",
    "request_sent": "client: a request leaves; size: its bytes (0 for a handshake that picows writes)",
    "request_received": "server: a request has arrived and its handler begins",
    "response_sent": "server: the answer is handed to the connection; size: its body",
    "response_received": "client: the answer is complete; size: its bytes, head and body (0 as above)",
    "message_sent": "server: a message is handed to the connection of one client; size: its payload",
    "message_received": "client: a message has arrived; size: its payload",
    "failed": "client: a connection or a request came to nothing; size: the HTTP status, or 0",
    "relayed": "link: a chunk leaves the link; size: its bytes",
    "ticked": "server or client: the loop woke for a tick that was due; "
    "size: processor time [µs] that its thread has used so far",
}
