"""The workload: the messages to publish, their times, and the number of clients."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .fields import number


@dataclass(frozen=True, kw_only=True)
class Workload:
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

    clients: int = 20
    rate_hz: float = 2.0
    duration_s: float = 8.0
    pattern: str = "poisson"
    burst: int = 2
    spacing_s: float = 0.001
    size_bytes: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        number(self, "clients", least=1, most=20_000, whole=True)
        number(self, "rate_hz", least=0.001, most=10_000)
        number(self, "duration_s", least=0.001, most=3600)
        number(self, "burst", least=1, most=10_000, whole=True)
        number(self, "spacing_s", least=0, most=60)
        number(self, "size_bytes", least=1, most=65_536, whole=True)
        number(self, "seed", least=0, most=2**63, whole=True)
        if self.pattern not in ("poisson", "periodic", "bursts"):
            raise ValueError(
                f"Workload(pattern=…): expected 'poisson', 'periodic' or 'bursts', got {self.pattern!r}"
            )

    def due_times_s(self) -> list[float]:
        """Intended times [s] of the publishes from the start of the run, sorted; at least one.

        >>> Workload(rate_hz=2, duration_s=2, pattern="periodic").due_times_s()
        [0.5, 1.0, 1.5, 2.0]
        """
        if self.pattern == "poisson":
            return self._poisson()
        period_s = (self.burst if self.pattern == "bursts" else 1) / self.rate_hz
        starts = [n * period_s for n in range(1, int(self.duration_s / period_s + 1e-9) + 1)]
        if self.pattern == "periodic":
            return starts or [self.duration_s]
        starts = starts or [self.duration_s]
        return sorted(start + n * self.spacing_s for start in starts for n in range(self.burst))

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
