"""The link: the distance between clients and server, and its faults."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Spec, number


@dataclass(frozen=True, kw_only=True)
class Link(Spec):
    """The distance between clients and server, and what goes wrong on the way.

    Parameters
    ----------
    delay_s
        One transit [s], each way. A new connection costs a round trip more.
    cut_at_s
        When [s] every connection is reset, if ever.
    silent_at_s, silent_for_s
        When [s] the link begins to swallow all that is sent into it, if ever, and for how long.
    """

    delay_s: float = number(0.025, least=0, most=10)
    cut_at_s: float | None = number(None, least=0, most=3600, optional=True)
    silent_at_s: float | None = number(None, least=0, most=3600, optional=True)
    silent_for_s: float = number(1.0, least=0, most=3600)
