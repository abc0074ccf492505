"""Closed forms of what each transport costs and what it buys, to draw beside a measurement.

All share one vocabulary. Every argument is a number or an array, every result is of the same kind.

==================  ==========================================================================
``delay_s``         one transit d [s]; a round trip is R = 2d
``handshakes``      extra round trips h that each request pays for a new connection: 0 keep-alive,
                    1 TCP, 2 TCP + TLS 1.3
``rate_hz``         messages per second λ, to one client; published independently (Poisson)
``interval_s``      from one short poll to the next, C [s]
``gap_s``           from a response leaving the server to the next request reaching it, G [s]
``hold_s``          longest time τ that a long poll is held before an empty response [s]
``pause_s``         what a client waits between a response and its next request [s]; for a reader
                    who reloads its mean
``latency_s``       where to evaluate a distribution function [s]
==================  ==========================================================================

Latency is one-way, published → received. Servers and networks take no time but the transit: a form
breaks where the server saturates or where d varies by as much as the effect. A timer is not Poisson:
messages further apart than G never meet the gap of a long poll. A short run needs its realised rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature

import numpy as np


def _closed_form(formula: Callable) -> Callable:
    """The formula on arrays, with its arguments checked; a float where only numbers came in."""
    names = list(signature(formula).parameters)

    @wraps(formula)
    def checked(*where, **parameters):
        where = [np.asarray(value, float) for value in where]
        parameters = {name: np.asarray(value, float) for name, value in parameters.items()}
        for name, value in [*zip(names, where, strict=False), *parameters.items()]:
            if np.isnan(value).any() or (name in parameters and (value < 0).any()):
                raise ValueError(f"{formula.__name__}({name}=…): expected numbers from 0 up, got {value}")
        # 1/0 is the right answer for a cycle of no length, 0/0 for nothing at all.
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.asarray(formula(*where, **parameters))
        if np.isnan(result).any():
            given = ", ".join(f"{name}={value}" for name, value in parameters.items())
            raise ValueError(f"{formula.__name__}: expected arguments that leave no 0/0, got {given}")
        return result.item() if result.ndim == 0 else result

    return checked


def _mean_wait(rate_hz, at_most_s):
    """Mean of min(Exp(rate), limit) [s]: the wait for the next message, if it is given up in the end."""
    rate = np.where(rate_hz > 0, rate_hz, 1.0)
    return np.where(rate_hz > 0, -np.expm1(-rate * at_most_s) / rate, at_most_s)


# ------------------------------------------------------- request/response: a reader who reloads


@_closed_form
def reload_requests_hz(*, pause_s, delay_s, handshakes=0):
    """Requests per second of a reader who reloads after a pause of `pause_s` on average.

    A cycle is K + pause, with K = R(1 + h) from request to response.
    """
    return 1 / (2 * delay_s * (1 + handshakes) + pause_s)


@_closed_form
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


@_closed_form
def reload_cdf(latency_s, *, pause_s, delay_s, handshakes=0):
    """Share of messages not older than `latency_s` on arrival, for a reader who reloads.

    The residual life has density P(X > x)/E[X]: flat up to K, then falling as e^(−(x − K)/m).
    """
    fixed_s = 2 * delay_s * (1 + handshakes)
    age_s = np.maximum(latency_s - delay_s, 0)
    pause = np.where(pause_s > 0, pause_s, 1.0)
    late = -pause_s * np.expm1(-np.maximum(age_s - fixed_s, 0) / pause)
    return (np.minimum(age_s, fixed_s) + late) / (fixed_s + pause_s)


# ------------------------------------------------------------------------------- short polling
# All of these need C ≥ R(1 + h): a poll that is still open delays the next one.


@_closed_form
def short_polling_requests_hz(*, interval_s):
    """Requests per second of one client that polls every `interval_s`, whatever happens: 1/C."""
    return 1 / interval_s


@_closed_form
def short_polling_latency(*, interval_s, delay_s):
    """Mean latency [s] of short polling: d + C/2.

    A message waits U(0, C) for the next poll to reach the server, if the phase of the polls does
    not depend on the messages. Clients in step share one phase: the mean stays, its error grows.

    >>> short_polling_latency(interval_s=1.0, delay_s=0.025)
    0.525
    """
    return delay_s + interval_s / 2


@_closed_form
def short_polling_sd(*, interval_s):
    """Standard deviation [s] of the latency of short polling: that of U(0, C), C/√12."""
    return interval_s / np.sqrt(12)


@_closed_form
def short_polling_worst(*, interval_s, delay_s):
    """Greatest latency [s] of short polling: the poll had just been answered, d + C."""
    return delay_s + interval_s


@_closed_form
def short_polling_cdf(latency_s, *, interval_s, delay_s):
    """Share of messages not older than `latency_s` on arrival: a straight line from d to d + C."""
    return np.clip((latency_s - delay_s) / interval_s, 0, 1)


@_closed_form
def nonempty_share(*, rate_hz, interval_s):
    """Share of short polls that find a message: P(Poisson(λC) > 0) = 1 − e^(−λC).

    >>> round(nonempty_share(rate_hz=0.1, interval_s=1.0), 3)
    0.095
    """
    return -np.expm1(-rate_hz * interval_s)


@_closed_form
def newest_seen_share(*, rate_hz, interval_s):
    """Share of messages ever seen if the server keeps only the newest: (1 − e^(−λC))/λC.

    One message for each poll that is not empty. What is seen is younger than `short_polling_latency`.
    """
    return _mean_wait(rate_hz * interval_s, 1.0)


# -------------------------------------------------------------------------------- long polling


@_closed_form
def repoll_gap(*, delay_s, handshakes=0, pause_s=0):
    """Gap G [s] from a response leaving the server to the next request reaching it: R(1 + h) + pause.

    The time in which nobody waits at the server (RFC 6202 §2.1). Assumes that the client asks for a
    new connection only when it has the response.

    >>> repoll_gap(delay_s=0.025, handshakes=1)
    0.1
    """
    return 2 * delay_s * (1 + handshakes) + pause_s


@_closed_form
def long_polling_responses_hz(*, rate_hz, gap_s, hold_s=np.inf):
    """Responses per second to one client, empty ones included; as many requests.

    A cycle is the gap, and if that brought no message (e^(−λG)) the wait for the next one or for
    the end of the hold: r = 1/(G + e^(−λG)(1 − e^(−λτ))/λ). Needs a server that keeps messages.

    >>> long_polling_responses_hz(rate_hz=0, gap_s=0.05, hold_s=19.95)
    0.05
    """
    return 1 / (gap_s + np.exp(-rate_hz * gap_s) * _mean_wait(rate_hz, hold_s))


@_closed_form
def long_polling_batch(*, rate_hz, gap_s, hold_s=np.inf):
    """Mean number of messages in a response, empty ones included: λ/r = λG + e^(−λG)(1 − e^(−λτ)).

    More than one under load: RFC 6202 §2.2 calls it graceful degradation.
    """
    news = np.where(np.isinf(hold_s), 1.0, -np.expm1(-rate_hz * hold_s))
    return rate_hz * gap_s + np.exp(-rate_hz * gap_s) * news


@_closed_form
def gap_probability(*, rate_hz, gap_s, hold_s=np.inf):
    """Share of messages published while no request waits at the server: the gap's share of a cycle, rG.

    Poisson messages see time averages; bursts and timers do not.
    """
    return gap_s * long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)


@_closed_form
def long_polling_latency(*, rate_hz, gap_s, delay_s, hold_s=np.inf):
    """Mean latency [s] of long polling with a cursor: d + pG/2, where p is the `gap_probability`.

    A message that finds a request waiting takes one transit; one that does not waits for the rest
    of the gap, U(0, G). RFC 6202 §2.2: on average close to one transit.

    >>> round(long_polling_latency(rate_hz=2, gap_s=0.05, delay_s=0.025), 4)
    0.0275
    """
    return delay_s + gap_s / 2 * gap_probability(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)


@_closed_form
def long_polling_worst(*, gap_s, delay_s):
    """Greatest latency [s] of long polling with a cursor: the response had just left, d + G.

    RFC 6202 §2.2: over three transits, which is the case of keep-alive without a pause.

    >>> [long_polling_worst(gap_s=repoll_gap(delay_s=1, handshakes=h), delay_s=1) for h in (0, 1, 2)]
    [3.0, 5.0, 7.0]
    """
    return delay_s + gap_s


@_closed_form
def long_polling_cdf(latency_s, *, rate_hz, gap_s, delay_s, hold_s=np.inf):
    """Share of messages not older than `latency_s` on arrival: a step of 1 − p at d, then U(d, d + G).

    Written as 1 − r·(what is left of the gap), since p = rG. Messages of one gap arrive together, so
    that an ECDF strays further from this line than independent values would.
    """
    responses_hz = long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)
    share = 1 - responses_hz * np.clip(delay_s + gap_s - latency_s, 0, gap_s)
    return np.heaviside(latency_s - delay_s, 1.0) * share


@_closed_form
def burst_latency(*, burst, gap_s, delay_s):
    """Mean latency [s] of `burst` messages published at once under long polling: d + G(B − 1)/B.

    The first finds the request waiting and is released alone; the others wait out the gap. Breaks
    if the server gathers messages before it answers, or if the last burst was less than G ago.
    """
    if np.any(burst < 1):
        raise ValueError(f"expected a burst of at least 1 message, got {burst}")
    return delay_s + gap_s * (burst - 1) / burst


@_closed_form
def loss_without_cursor(*, rate_hz, gap_s, hold_s=np.inf):
    """Share of messages lost if the server keeps nothing for a client that is not waiting.

    Cycles of a gap and a wait min(Exp(λ), τ), so G/(G + wait) = λG/(λG + 1 − e^(−λτ)).

    >>> loss_without_cursor(rate_hz=5, gap_s=0.05)
    0.2
    """
    return gap_s / (gap_s + _mean_wait(rate_hz, hold_s))


@_closed_form
def one_per_response_latency(*, rate_hz, gap_s, delay_s):
    """Mean latency [s] of long polling with one message a response: d + λG²/2(1 − λG), inf from λG = 1.

    An M/D/1 queue whose service is the gap (Pollaczek–Khinchine). Needs holds that seldom run out.
    """
    load = rate_hz * gap_s
    wait_s = load * gap_s / (2 * np.where(load < 1, 1 - load, 1.0))
    return delay_s + np.where(load < 1, wait_s, np.inf)


# -------------------------------------------------------- short polling against long polling


@_closed_form
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


@_closed_form
def dominant_pause(*, interval_s, delay_s, handshakes=0):
    """Pause [s] that makes the gap of long polling as long as the interval of short polling, G = C.

    With it long polling has the same greatest latency, never more requests and never a worse mean:
    r ≤ 1/G always, and p ≤ 1.

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


# ------------------------------------------------------------------------------- SSE, WebSocket


@_closed_form
def push_latency(*, delay_s):
    """Latency [s] of SSE and WebSocket on an open connection: one transit, d.

    Breaks when an intermediary buffers (RFC 6202 §3.2) or a reader falls behind.
    """
    return delay_s


@_closed_form
def push_cdf(latency_s, *, delay_s):
    """Share of messages not older than `latency_s` on arrival: a step from 0 to 1 at d."""
    return np.heaviside(latency_s - delay_s, 1.0)


@_closed_form
def handshake_s(*, delay_s, tls_round_trips=0):
    """Time [s] from connecting to the response that opens an SSE stream or a WebSocket: R(2 + k).

    A round trip for TCP, k for TLS (1 for TLS 1.3), one for the request and its 200 or 101.
    """
    return 2 * delay_s * (2 + tls_round_trips)


# --------------------------------------------------------------------------------- connections
# Open ones by Little's law: how many a second, times how long each. SSE, WebSocket and keep-alive
# hold one a client and open none.


@_closed_form
def short_polling_connections_open(*, clients, interval_s, delay_s, handshakes):
    """Connections open on average as the clients see them, connect to close: N·R(1 + h)/C; N for h = 0.

    At a server that closes first they are open for the time of service only, if the client closes
    first for R more. A figure of connections names its side.
    """
    return clients * np.where(handshakes > 0, np.minimum(2 * delay_s * (1 + handshakes) / interval_s, 1), 1)


@_closed_form
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


@_closed_form
def connections_opened_hz(*, clients, requests_hz, handshakes):
    """Connections opened per second: one for each request, none with keep-alive. Both sides agree."""
    return clients * requests_hz * (handshakes > 0)


# --------------------------------------------------------------------------- bytes per message
# Of the application: TCP, IP and TLS add theirs.


@_closed_form
def polling_bytes_per_message(*, payload_bytes, header_bytes, requests_hz, rate_hz):
    """Bytes per message by short or long polling: payload and its share of the exchanges, p + H·r/λ.

    H is the headers of a request and its response; empty exchanges are paid by the messages, and a
    batch shares one. That is H/(λC) + p for short polling and H/b + p for long polling.
    """
    return payload_bytes + header_bytes * requests_hz / rate_hz


@_closed_form
def event_stream_bytes_per_message(*, payload_bytes, framing_bytes=21):
    """Bytes per message by SSE: payload and framing.

    21 bytes are ``data: `` and two line ends (8), an ``id:`` line of two digits (7), and the frame
    of an HTTP chunk of 16 to 255 bytes (6). More for a payload of several lines.
    """
    return payload_bytes + framing_bytes


@_closed_form
def websocket_bytes_per_message(*, payload_bytes, from_client=False):
    """Bytes per message by WebSocket: payload and header of one frame, uncompressed (RFC 6455 §5.2).

    >>> websocket_bytes_per_message(payload_bytes=[125, 126, 65_536]) - [125, 126, 65_536]
    array([ 2.,  4., 10.])
    """
    header = np.select([payload_bytes <= 125, payload_bytes <= 65_535], [2, 4], 10)
    return payload_bytes + header + 4 * (from_client > 0)


# --------------------------------------------------------------------------- many clients, load


@_closed_form
def fanout_last_s(*, clients, write_s, delay_s):
    """Latency [s] to the last of the clients if the server writes to one after the other: d + N·t."""
    return delay_s + clients * write_s


@_closed_form
def websocket_saturation_hz(*, clients, write_s):
    """Rate [Hz] of messages at which one write a client and message takes all the time: 1/(N·t).

    Long polling slows instead: its responses carry more messages each.
    """
    return 1 / (clients * write_s)


@_closed_form
def flush_tick_latency(*, flush_s, delay_s):
    """Mean latency [s] if the server writes what it has at every tick of a fixed clock: d + δ/2."""
    return delay_s + flush_s / 2


@_closed_form
def flush_tick_writes_hz(*, clients, rate_hz, flush_s):
    """Writes per second to all clients if the server writes at each tick that has news: at most N/δ."""
    return clients * rate_hz * _mean_wait(rate_hz * flush_s, 1.0)


@_closed_form
def flush_window_latency(*, rate_hz, flush_s, delay_s):
    """Mean latency [s] if the first message opens a window after which all are written together.

    The first waits δ, the λδ others δ/2 each: d + δ(1 + λδ/2)/(1 + λδ). An idle server adds all of δ.
    """
    others = rate_hz * flush_s
    return delay_s + flush_s * (1 + others / 2) / (1 + others)


@_closed_form
def flush_window_writes_hz(*, clients, rate_hz, flush_s):
    """Writes per second to all clients with such windows: one for each 1 + λδ messages."""
    return clients * rate_hz / (1 + rate_hz * flush_s)


@_closed_form
def slot_wait(*, rate_hz, streams=6):
    """Mean time [s] that a request waits for one of a browser's slots, all taken by long polls.

    The first of `streams` independent Poisson streams frees one: 1/(6λ). Give 1 if all six wait for
    the same message. Assumes that the poll freed has to queue behind the request.
    """
    return 1 / (streams * rate_hz)


# ------------------------------------------------------------------------- lines that go silent


@_closed_form
def heartbeat_detection(*, interval_s, timeout_s, closing_s=0):
    """Mean time [s] from a line going silent to its end by heartbeat: I/2 + timeout + closing.

    The next ping is U(0, I) away. Up to a round trip less, since a pong on its way is lost too.
    `closing_s`: Tornado waits 5 s for the closing handshake.
    """
    return interval_s / 2 + timeout_s + closing_s


@_closed_form
def heartbeat_detection_worst(*, interval_s, timeout_s, closing_s=0):
    """Greatest time [s] from a line going silent to its end by heartbeat: a ping had just been answered."""
    return interval_s + timeout_s + closing_s


@_closed_form
def reconnect_drain_s(*, clients, service_hz):
    """Time [s] until all clients are back if all come at once: N/μ.

    Also the shortest time to spread them over that leaves no queue. Assumes that none is turned away:
    a full backlog costs 1 s more (RFC 6298 §2.1).
    """
    return clients / service_hz


@_closed_form
def reconnect_backlog(*, clients, service_hz, jitter_s):
    """Greatest number of clients in the queue if they come back spread over `jitter_s`: N − μW, least 0.

    The mean flow: within √N or so of 0 chance decides.
    """
    return np.maximum(clients - service_hz * jitter_s, 0)
