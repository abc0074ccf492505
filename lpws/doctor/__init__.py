"""The doctor, ``python -m lpws doctor``: faults of an environment in plain words, each with its cure.

Nothing but the standard library is imported until it is known that the rest is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .cures import Finding
from .installation import kernel, packages, python
from .laboratory import nats, nginx, recordings, transports, trial
from .system import files, loopback, processors, proxy

#: What is looked at, in this order.
LOOKS: tuple[Callable[[], Finding | None], ...] = (
    *(python, packages, kernel, loopback, proxy, files, processors),
    *(recordings, transports, nginx, nats, trial),  # these use the package itself
)


def examine() -> Iterator[Finding]:
    """Every finding, until something is missing that the rest would need."""
    for look in LOOKS:
        if finding := look():
            yield finding
            if finding.fault and look in (python, packages, loopback):
                return
