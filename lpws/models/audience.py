"""A message to N clients, one write after the other: how old it gets, and how many a server can take."""

from __future__ import annotations

import numpy as np

from .form import closed_form
from .longpolling import gap_probability
from .push import flush_window_latency


@closed_form
def last_latency(*, clients, write_s, delay_s):
    """Latency [s] of the last of N clients that one loop writes to, each write taking w: d + Nw."""
    return delay_s + clients * write_s


@closed_form
def frames_latency(*, clients, rate_hz, write_s, delay_s):
    """Mean latency [s] if each message goes to N clients by itself: infinite from λ = 1/(Nw) on.

    A message keeps the loop busy for S = Nw and waits for those before it, which makes a queue M/D/1:
    λS²/(2(1 − λS)); then it waits for half of its own writes.
    """
    busy_s = clients * write_s
    load = rate_hz * busy_s
    queue_s = np.where(load < 1, rate_hz * busy_s**2 / (2 * np.maximum(1 - load, 1e-300)), np.inf)
    return delay_s + queue_s + (busy_s + write_s) / 2


@closed_form
def gathered_latency(*, clients, rate_hz, flush_s, write_s, delay_s):
    """Mean latency [s] if a window gathers messages, and N clients then get one frame; breaks if Nw ≥ δ."""
    waited_s = flush_window_latency(rate_hz=rate_hz, flush_s=flush_s, delay_s=delay_s)
    return waited_s + (clients + 1) * write_s / 2


@closed_form
def polls_latency(*, clients, rate_hz, answer_s, delay_s):
    """Mean latency [s] over long polling, if an answer and the request that follows it take a server a.

    All N clients are answered and ask again one after the other, so the gap is G = 2d + Na. A message that
    finds the clients waiting takes half of that time to be written to them (which is half of a); one that
    falls into the gap waits for half of it. Under load all fall into it: Na/2, however many there are.
    """
    gap_s = 2 * delay_s + clients * answer_s
    in_gap = gap_probability(rate_hz=rate_hz, gap_s=gap_s)
    return delay_s + (1 - in_gap) * clients * answer_s / 4 + in_gap * gap_s / 2
