"""Lines that go silent, and clients that all come back."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def heartbeat_detection(*, interval_s, timeout_s, closing_s=0):
    """Mean time [s] from a line going silent to its end by heartbeat: I/2 + timeout + closing.

    The next ping is U(0, I) away. Up to a round trip less, since a pong on its way is lost too.
    `closing_s`: Tornado waits 5 s for the closing handshake.
    """
    return interval_s / 2 + timeout_s + closing_s


@closed_form
def heartbeat_detection_worst(*, interval_s, timeout_s, closing_s=0):
    """Greatest time [s] from a line going silent to its end by heartbeat: a ping had just been answered."""
    return interval_s + timeout_s + closing_s


@closed_form
def reconnect_drain_s(*, clients, service_hz):
    """Time [s] until all clients are back if all come at once: N/μ.

    Also the shortest time to spread them over that leaves no queue. Assumes that none is turned away:
    a full backlog costs 1 s more (RFC 6298 §2.1).
    """
    return clients / service_hz


@closed_form
def reconnect_backlog(*, clients, service_hz, jitter_s):
    """Greatest number of clients in the queue if they come back spread over `jitter_s`: N − μW, least 0.

    The mean flow: within √N or so of 0 chance decides.
    """
    return np.maximum(clients - service_hz * jitter_s, 0)
