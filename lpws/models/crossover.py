"""Short polling against long polling: where they cost the same, and a pause that makes them comparable."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def crossover_hz(*, interval_s, gap_s):
    """Rate [Hz] of messages above which long polling makes more requests than short polling.

    Where r = 1/C, so that xe^x = G/(C − G) with x = λG: Lambert's W, by Newton. Close to 1/C for
    small gaps. Needs C > G, or long polling never makes more; and holds that seldom run out.

    >>> round(crossover_hz(interval_s=1.0, gap_s=0.25), 2)
    1.03

    Raises
    ------
    ValueError
        If an interval is not above the gap.
    """
    if np.any(interval_s <= gap_s):
        raise ValueError(f"expected interval_s above gap_s, got interval_s={interval_s}, gap_s={gap_s}")
    z = gap_s / (interval_s - gap_s)
    # From log(1 + z) ≥ W(z) the steps only descend; some six of them reach the last bit.
    x = np.log1p(z)
    for _ in range(12):
        x = x - (x - z * np.exp(-x)) / (1 + x)
    # x/G = e^(−x)/(C − G), which G = 0 does not spoil.
    return np.exp(-x) / (interval_s - gap_s)


@closed_form
def dominant_pause(*, interval_s, delay_s, handshakes=0):
    """Pause [s] that makes the gap of long polling as long as the interval of short polling, G = C.

    With it long polling has the same greatest latency and never more requests (r ≤ 1/G), and for random,
    independent messages never a worse mean (p ≤ 1). For bursts the mean can be worse: of B messages at
    once, long polling has d + C(B − 1)/B (see `burst_latency`), short polling d + C/2.

    >>> dominant_pause(interval_s=1.0, delay_s=0.025, handshakes=1)
    0.9

    Raises
    ------
    ValueError
        If a request and its response alone take longer than the interval.
    """
    busy_s = 2 * delay_s * (1 + handshakes)
    if np.any(interval_s < busy_s * (1 - 1e-12)):  # 0.6 s are enough for three times 0.2 s
        raise ValueError(f"expected interval_s of at least R(1 + h) = {busy_s}, got interval_s={interval_s}")
    return np.maximum(interval_s - busy_s, 0)
