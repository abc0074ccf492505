"""Request/response: a reader who reloads the page."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def reload_latency(*, pause_s, delay_s, handshakes=0):
    """Mean latency [s] for a reader who reloads after exponential pauses of mean m = `pause_s`.

    A message waits for the residual life of the cycle X = K + Exp(m), E[X²]/2E[X]: a timer's half
    cycle, and m²/2(K + m) more because a message falls into a long pause more often than into a
    short one (the inspection paradox). For long pauses that doubles it.

    >>> reload_latency(pause_s=1.0, delay_s=0)
    1.0
    """
    cycle_s = 2 * delay_s * (1 + handshakes) + pause_s
    return delay_s + cycle_s / 2 + pause_s**2 / (2 * cycle_s)


@closed_form
def reload_cdf(latency_s, *, pause_s, delay_s, handshakes=0):
    """Share of messages not older than `latency_s` on arrival, for a reader who reloads.

    The residual life has density P(X > x)/E[X]: flat up to K, then falling as e^(−(x − K)/m).
    """
    fixed_s = 2 * delay_s * (1 + handshakes)
    age_s = np.maximum(latency_s - delay_s, 0)
    pause = np.where(pause_s > 0, pause_s, 1.0)
    late = -pause_s * np.expm1(-np.maximum(age_s - fixed_s, 0) / pause)
    return (np.minimum(age_s, fixed_s) + late) / (fixed_s + pause_s)
