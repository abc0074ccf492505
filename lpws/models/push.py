"""WebSocket: messages that are gathered before they are sent."""

from __future__ import annotations

from .form import closed_form


@closed_form
def flush_window_latency(*, rate_hz, flush_s, delay_s):
    """Mean latency [s] if the first message opens a window after which all are written together.

    The first waits δ, the λδ others δ/2 each: d + δ(1 + λδ/2)/(1 + λδ). An idle server adds all of δ.
    """
    others = rate_hz * flush_s
    return delay_s + flush_s * (1 + others / 2) / (1 + others)
