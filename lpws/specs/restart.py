"""The restart: a server that loses all its clients at once, and what it can bear when they come back."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Spec, number


@dataclass(frozen=True, kw_only=True)
class Restart(Spec):
    """A restart of a server under a crowd of clients. At t = 0 every connection is cut.

    Parameters
    ----------
    clients
        How many clients lose their connection.
    away_s
        How long [s] the server then takes no one in. Who knocks meanwhile waits at the door.
    backlog
        How many connections can wait at the door (the backlog of ``listen``); who finds it full is
        not let in.
    patience_s
        How long [s] a client knocks before the attempt has failed.
    serves_hz
        Clients per second that the server can take in. A measured server takes what it takes.
    until_s
        When [s] the story ends, whoever is back by then.
    seed
        Of every random choice.
    """

    clients: int = number(1000, least=1, most=1_000_000)
    away_s: float = number(0.5, least=0, most=60)
    backlog: int = number(100, least=1, most=1_000_000)
    patience_s: float = number(0.5, least=0.01, most=60)
    serves_hz: float = number(400.0, least=1, most=1_000_000)
    until_s: float = number(10.0, least=0.1, most=600)
    seed: int = number(1, least=0, most=2**63)
