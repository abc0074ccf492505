"""The recorded runs of ``data/``: what measures each of them again."""

from __future__ import annotations

from collections.abc import Callable

from . import specs
from .experiment import measure
from .run import Run


def race() -> dict[str, Run]:
    """The race of the first notebook, each transport in turn."""
    work = specs.Workload(clients=20, rate_hz=3.0, duration_s=5.0, seed=4)
    link = specs.Link(delay_s=0.025)
    transports = (
        specs.Request(pause_s=1.0),
        specs.ShortPolling(interval_s=1.0),
        specs.LongPolling(hold_s=20.0),
        specs.EventStream(),
        specs.WebSocket(),
    )
    return {transport.label: measure(transport, work, link) for transport in transports}


#: Name of a recording → what measures it: label → run.
RECORDINGS: dict[str, Callable[[], dict[str, Run]]] = {"race": race}
