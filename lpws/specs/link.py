"""The link: the distance between clients and server, and its faults."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import number


@dataclass(frozen=True, kw_only=True)
class Link:
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

    delay_s: float = 0.025
    cut_at_s: float | None = None
    silent_at_s: float | None = None
    silent_for_s: float = 1.0

    def __post_init__(self) -> None:
        number(self, "delay_s", least=0, most=10)
        for name in ("cut_at_s", "silent_at_s"):
            if getattr(self, name) is not None:
                number(self, name, least=0, most=3600)
        number(self, "silent_for_s", least=0, most=3600)
