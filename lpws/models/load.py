"""Many clients, and load: what a write a client costs, and what gathering messages saves."""

from __future__ import annotations

from .form import closed_form, mean_wait


@closed_form
def fanout_last_s(*, clients, write_s, delay_s):
    """Latency [s] to the last of the clients if the server writes to one after the other: d + N·t."""
    return delay_s + clients * write_s


@closed_form
def websocket_saturation_hz(*, clients, write_s):
    """Rate [Hz] of messages at which one write a client and message takes all the time: 1/(N·t).

    Long polling slows instead: its responses carry more messages each.
    """
    return 1 / (clients * write_s)


@closed_form
def flush_tick_latency(*, flush_s, delay_s):
    """Mean latency [s] if the server writes what it has at every tick of a fixed clock: d + δ/2."""
    return delay_s + flush_s / 2


@closed_form
def flush_tick_writes_hz(*, clients, rate_hz, flush_s):
    """Writes per second to all clients if the server writes at each tick that has news: at most N/δ."""
    return clients * rate_hz * mean_wait(rate_hz * flush_s, 1.0)


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


@closed_form
def slot_wait(*, rate_hz, streams=6):
    """Mean time [s] that a request waits for one of a browser's slots, all taken by long polls.

    The first of `streams` independent Poisson streams frees one: 1/(6λ). Give 1 if all six wait for
    the same message. Assumes that the poll freed has to queue behind the request.
    """
    return 1 / (streams * rate_hz)
