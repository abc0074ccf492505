"""A crowd that comes back after a restart."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def drain_s(*, clients, serves_hz):
    """Time [s] that a server needs to take in a crowd, N/μ, however the crowd comes."""
    return clients / serves_hz


@closed_form
def jitter_window_s(*, clients, serves_hz, away_s, backlog):
    """Least window [s] over which a crowd must spread its first attempts so that nobody finds a full door.

    N clients come at random moments of a window W, while the server is away for A and has room for B at
    its door. The line is longest when the server begins, with AN/W in it, or when the window ends, with
    N − μ(W − A). Both must be at most B. Chance, of the order of √B, is left out.
    """
    return np.maximum(away_s * clients / backlog, away_s + np.maximum(clients - backlog, 0) / serves_hz)
