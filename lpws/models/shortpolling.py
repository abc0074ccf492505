"""Short polling.

All of these need C ≥ R(1 + h): a poll that is still open delays the next one.
"""

from __future__ import annotations

import numpy as np

from .form import closed_form


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
