"""Long polling."""

from __future__ import annotations

import numpy as np

from .form import closed_form, mean_wait


@closed_form
def repoll_gap(*, delay_s, handshakes=0, pause_s=0):
    """Gap G [s] from a response leaving the server to the next request reaching it: R(1 + h) + pause.

    The time in which nobody waits at the server (RFC 6202 §2.1). Assumes that the client asks for a
    new connection only when it has the response.

    >>> repoll_gap(delay_s=0.025, handshakes=1)
    0.1
    """
    return 2 * delay_s * (1 + handshakes) + pause_s


@closed_form
def long_polling_responses_hz(*, rate_hz, gap_s, hold_s=np.inf):
    """Responses per second to one client, empty ones included; as many requests.

    A cycle is the gap, and if that brought no message (e^(−λG)) the wait for the next one or for
    the end of the hold: r = 1/(G + e^(−λG)(1 − e^(−λτ))/λ). Needs a server that keeps messages.

    >>> long_polling_responses_hz(rate_hz=0, gap_s=0.05, hold_s=19.95)
    0.05
    """
    return 1 / (gap_s + np.exp(-rate_hz * gap_s) * mean_wait(rate_hz, hold_s))


@closed_form
def gap_probability(*, rate_hz, gap_s, hold_s=np.inf):
    """Share of messages published while no request waits at the server: the gap's share of a cycle, rG.

    Poisson messages see time averages; bursts and timers do not.
    """
    return gap_s * long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)


@closed_form
def long_polling_latency(*, rate_hz, gap_s, delay_s, hold_s=np.inf):
    """Mean latency [s] of long polling with a cursor: d + pG/2, where p is the `gap_probability`.

    A message that finds a request waiting takes one transit; one that does not waits for the rest
    of the gap, U(0, G). RFC 6202 §2.2: on average close to one transit.

    >>> round(long_polling_latency(rate_hz=2, gap_s=0.05, delay_s=0.025), 4)
    0.0275
    """
    return delay_s + gap_s / 2 * gap_probability(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)


@closed_form
def long_polling_worst(*, gap_s, delay_s):
    """Greatest latency [s] of long polling with a cursor: the response had just left, d + G.

    RFC 6202 §2.2: over three transits, which is the case of keep-alive without a pause.

    >>> [long_polling_worst(gap_s=repoll_gap(delay_s=1, handshakes=h), delay_s=1) for h in (0, 1, 2)]
    [3.0, 5.0, 7.0]
    """
    return delay_s + gap_s


@closed_form
def long_polling_cdf(latency_s, *, rate_hz, gap_s, delay_s, hold_s=np.inf):
    """Share of messages not older than `latency_s` on arrival: a step of 1 − p at d, then U(d, d + G).

    Written as 1 − r·(what is left of the gap), since p = rG. Messages of one gap arrive together, so
    that an ECDF strays further from this line than independent values would.
    """
    responses_hz = long_polling_responses_hz(rate_hz=rate_hz, gap_s=gap_s, hold_s=hold_s)
    share = 1 - responses_hz * np.clip(delay_s + gap_s - latency_s, 0, gap_s)
    return np.heaviside(latency_s - delay_s, 1.0) * share


@closed_form
def burst_latency(*, burst, gap_s, delay_s):
    """Mean latency [s] of `burst` messages published at once under long polling: d + G(B − 1)/B.

    The first finds the request waiting and is released alone; the others wait out the gap. Breaks
    if the server gathers messages before it answers, or if the last burst was less than G ago.
    """
    if np.any(burst < 1):
        raise ValueError(f"expected a burst of at least 1 message, got {burst}")
    return delay_s + gap_s * (burst - 1) / burst


@closed_form
def loss_without_cursor(*, rate_hz, gap_s, hold_s=np.inf):
    """Share of messages lost if the server keeps nothing for a client that is not waiting.

    Cycles of a gap and a wait min(Exp(λ), τ), so G/(G + wait) = λG/(λG + 1 − e^(−λτ)).

    >>> loss_without_cursor(rate_hz=5, gap_s=0.05)
    0.2
    """
    return gap_s / (gap_s + mean_wait(rate_hz, hold_s))
