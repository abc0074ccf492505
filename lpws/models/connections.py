"""Connections, open and opened.

Open ones by Little's law: the number opened per second times how long each is open. SSE, WebSocket and
keep-alive hold one per client and open none. A connection counts at the server while its program has the
socket; the kernel keeps the state of a handshake before that and of a close after it, a round trip each.
"""

from __future__ import annotations

import numpy as np

from .form import closed_form
from .longpolling import long_polling_responses_hz


@closed_form
def short_polling_connections_open(*, clients, interval_s, delay_s, handshakes):
    """Connections open on average as the clients see them, connect to close: N·R(1 + h)/C; N for h = 0.

    At a server that closes first they are open for the time of service only, if the client closes
    first for R more. A figure of connections names its side.
    """
    return clients * np.where(handshakes > 0, np.minimum(2 * delay_s * (1 + handshakes) / interval_s, 1), 1)


@closed_form
def long_polling_connections_open(*, clients, rate_hz, gap_s, closed_s=0, hold_s=np.inf):
    """Connections open on average under long polling that closes after each response: N(1 − r·closed).

    `closed_s` is the part of a cycle without a connection: as the clients see it their pause, at a
    server that closes first the gap (with TLS one R less: the connection is accepted before the request).

    >>> long_polling_connections_open(clients=20, rate_hz=2, gap_s=0.1)
    20.0
    """
    if np.any(closed_s > gap_s):
        raise ValueError(f"expected closed_s of at most gap_s={gap_s}, got {closed_s}")
    return clients * (1 - closed_s * long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s))


@closed_form
def connections_opened_hz(*, clients, requests_hz, handshakes):
    """Connections opened per second: one for each request, none with keep-alive. Both sides agree."""
    return clients * requests_hz * (handshakes > 0)
