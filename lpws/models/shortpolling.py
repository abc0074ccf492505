"""Short polling.

All of these need C ≥ R(1 + h): a poll that is still open delays the next one.
"""

from __future__ import annotations

import numpy as np

from .form import closed_form, mean_wait


@closed_form
def short_polling_requests_hz(*, interval_s):
    """Requests per second of one client that polls every `interval_s`, whatever happens: 1/C."""
    return 1 / interval_s


@closed_form
def short_polling_latency(*, interval_s, delay_s):
    """Mean latency [s] of short polling: d + C/2.

    A message waits U(0, C) for the next poll to reach the server, if the phase of the polls does
    not depend on the messages. Clients in step share one phase: the mean stays, its error grows.

    >>> short_polling_latency(interval_s=1.0, delay_s=0.025)
    0.525
    """
    return delay_s + interval_s / 2


@closed_form
def short_polling_sd(*, interval_s):
    """Standard deviation [s] of the latency of short polling: that of U(0, C), C/√12."""
    return interval_s / np.sqrt(12)


@closed_form
def short_polling_worst(*, interval_s, delay_s):
    """Greatest latency [s] of short polling: the poll had just been answered, d + C."""
    return delay_s + interval_s


@closed_form
def short_polling_cdf(latency_s, *, interval_s, delay_s):
    """Share of messages not older than `latency_s` on arrival: a straight line from d to d + C."""
    return np.clip((latency_s - delay_s) / interval_s, 0, 1)


@closed_form
def nonempty_share(*, rate_hz, interval_s):
    """Share of short polls that find a message: P(Poisson(λC) > 0) = 1 − e^(−λC).

    >>> round(nonempty_share(rate_hz=0.1, interval_s=1.0), 3)
    0.095
    """
    return -np.expm1(-rate_hz * interval_s)


@closed_form
def newest_seen_share(*, rate_hz, interval_s):
    """Share of messages ever seen if the server keeps only the newest: (1 − e^(−λC))/λC.

    One message for each poll that is not empty. What is seen is younger than `short_polling_latency`.
    """
    return mean_wait(rate_hz * interval_s, 1.0)
