"""Outages: a server that goes away in the middle of a run, and comes back."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Spec, number, word


@dataclass(frozen=True, kw_only=True)
class Outage(Spec):
    """A time in which a server is away.

    Its port refuses every connection meanwhile; its messages are kept, as by a database behind it.

    Parameters
    ----------
    at_s
        When [s] it goes.
    away_s
        How long [s] it stays away; None if it does not come back.
    how
        ``"crash"``: every connection ends at once, without a goodbye. ``"drain"``: it says goodbye, as
        `lpws.Server.drain` does, and ends what is left when it comes back.
    server
        Number of the server, from 0.
    jitter_s
        The time [s] over which a drain spreads its goodbyes.
    """

    at_s: float = number(1.0, least=0, most=3600)
    away_s: float | None = number(0.5, least=0, most=3600, optional=True)
    how: str = word("crash", "drain", default="crash")
    server: int = number(0, least=0, most=63)
    jitter_s: float = number(0.0, least=0, most=3600)

    @property
    def end_s(self) -> float:
        """Time [s] at which the server is back, or at which it goes, if it does not come back."""
        return self.at_s + (self.away_s or 0.0)
