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


@closed_form
def flush_window_latency(*, rate_hz, flush_s, delay_s):
    """Mean latency [s] if the first message opens a window after which all are written together.

    The first waits δ, the λδ others δ/2 each: d + δ(1 + λδ/2)/(1 + λδ). An idle server adds all of δ.
    """
    others = rate_hz * flush_s
    return delay_s + flush_s * (1 + others / 2) / (1 + others)


@closed_form
def flush_window_writes_hz(*, clients, rate_hz, flush_s):
    """Writes per second to all clients with such windows: one for each 1 + λδ messages."""
    return clients * rate_hz / (1 + rate_hz * flush_s)
