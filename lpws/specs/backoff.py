"""Backoff: how long a client waits before it tries again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .fields import Spec, number, word


@dataclass(frozen=True, kw_only=True)
class Backoff(Spec):
    """The waits of a client that has lost its server, one before each try.

    Parameters
    ----------
    first_s
        The bound of the first wait [s].
    factor
        By how much each bound is larger than the last: 1 for a fixed delay, 2 to double it.
    limit_s
        The largest bound [s].
    jitter
        ``"none"``: each wait is its bound. ``"full"``: it is drawn from 0 to the bound. ``"equal"``: half of
        it is fixed, and half is drawn.
    """

    first_s: float = number(1.0, least=0.001, most=3600)
    factor: float = number(2.0, least=1, most=100)
    limit_s: float = number(30.0, least=0.001, most=3600)
    jitter: str = word("none", "full", "equal", default="full")

    @property
    def fixed(self) -> float:
        """Share of a wait that is not drawn."""
        return {"none": 1.0, "equal": 0.5, "full": 0.0}[self.jitter]

    def bounds_s(self) -> Iterator[float]:
        """Bounds [s] of the waits in a row of tries that fail, without end.

        >>> from itertools import islice
        >>> list(islice(Backoff(first_s=1, limit_s=5).bounds_s(), 4))
        [1, 2.0, 4.0, 5]
        """
        bound_s = self.first_s
        while True:
            yield min(bound_s, self.limit_s)
            bound_s = min(bound_s * self.factor, self.limit_s)

    def waits_s(self, draw: random.Random) -> Iterator[float]:
        """Waits [s] in a row of tries that fail, without end; what is random comes from `draw`."""
        for bound_s in self.bounds_s():
            yield bound_s * (self.fixed + (1 - self.fixed) * draw.random())
