"""The allowance: how often one person may speak, so that nobody floods the room. No clock in here."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass
class Allowance:
    """A token bucket, kept as the one time at which it will be full again.

    A token comes back every `pace_s`; a full bucket holds one more than ``burst_s / pace_s``. (In this
    form it is also called the generic cell rate algorithm.)

    Examples
    --------
    >>> allowance = Allowance()
    >>> [allowance.take(now_s, pace_s=1.0, burst_s=2.0) for now_s in (0.0, 0.0, 0.0, 0.5, 1.5)]
    [0.0, 0.0, 0.0, 0.5, 0.0]
    """

    full_s: float = -inf

    def take(self, now_s: float, pace_s: float, burst_s: float) -> float:
        """Take a token if there is one; return the time [s] to wait for it, 0 if it was taken."""
        full_s = max(self.full_s, now_s)
        wait_s = full_s - now_s - burst_s
        if wait_s > 0:
            return wait_s
        self.full_s = full_s + pace_s
        return 0.0
