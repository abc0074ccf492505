"""The workload: the messages to publish, their times, and the number of clients."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .fields import Spec, number, word


@dataclass(frozen=True, kw_only=True)
class Workload(Spec):
    """The messages that are published, and the number of clients that are to get them.

    Parameters
    ----------
    clients
        How many clients listen. Each is to get every message.
    rate_hz
        Messages per second, on average.
    duration_s
        How long [s] messages are published.
    pattern
        ``"poisson"`` (independent of each other), ``"periodic"``, or ``"bursts"``: `burst`
        messages, `spacing_s` apart, at regular times.
    burst, spacing_s
        Messages in a burst, and the time [s] from one to the next.
    size_bytes
        Payload of a message.
    seed
        Of every random choice in the run.
    """

    clients: int = number(20, least=1, most=20_000)
    rate_hz: float = number(2.0, least=0.001, most=10_000)
    duration_s: float = number(8.0, least=0.001, most=3600)
    pattern: str = word("poisson", "periodic", "bursts", default="poisson")
    burst: int = number(2, least=1, most=10_000)
    spacing_s: float = number(0.001, least=0, most=60)
    size_bytes: int = number(20, least=1, most=65_536)
    seed: int = number(1, least=0, most=2**63)

    def due_times_s(self) -> list[float]:
        """Intended times [s] of the publishes from the start of the run, sorted; at least one.

        >>> Workload(rate_hz=2, duration_s=2, pattern="periodic").due_times_s()
        [0.5, 1.0, 1.5, 2.0]
        """
        if self.pattern == "poisson":
            return self._poisson()
        burst = self.burst if self.pattern == "bursts" else 1
        period_s = burst / self.rate_hz
        starts = [n * period_s for n in range(1, int(self.duration_s / period_s + 1e-9) + 1)]
        starts = starts or [self.duration_s]
        return sorted(start + n * self.spacing_s for start in starts for n in range(burst))

    def _poisson(self) -> list[float]:
        draw = random.Random(f"publish {self.seed}")
        times, t = [], draw.expovariate(self.rate_hz)
        while t < self.duration_s:
            times.append(t)
            t += draw.expovariate(self.rate_hz)
        return times or [self.duration_s]

    def payload(self, number: int) -> str:
        """Text of a message: its number, and as many dots as its size asks for.

        >>> Workload(size_bytes=10).payload(7)
        'news 7 ...'
        """
        return f"news {number} ".ljust(self.size_bytes, ".")[: self.size_bytes]
