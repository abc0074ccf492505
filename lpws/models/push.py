"""SSE and WebSocket: what is sent at once on an open connection."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def push_latency(*, delay_s):
    """Latency [s] of SSE and WebSocket on an open connection: one transit, d.

    Breaks when an intermediary buffers (RFC 6202 §3.2) or a reader falls behind.
    """
    return delay_s


@closed_form
def push_cdf(latency_s, *, delay_s):
    """Share of messages not older than `latency_s` on arrival: a step from 0 to 1 at d."""
    return np.heaviside(latency_s - delay_s, 1.0)


@closed_form
def handshake_s(*, delay_s, tls_round_trips=0):
    """Time [s] from connecting to the response that opens an SSE stream or a WebSocket: R(2 + k).

    A round trip for TCP, k for TLS (1 for TLS 1.3), one for the request and its 200 or 101.
    """
    return 2 * delay_s * (2 + tls_round_trips)
