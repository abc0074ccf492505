"""The restart: a server that loses all its clients at once, and what it can bear when they come back."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import number


@dataclass(frozen=True, kw_only=True)
class Restart:
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

    clients: int = 1000
    away_s: float = 0.5
    backlog: int = 100
    patience_s: float = 0.5
    serves_hz: float = 400.0
    until_s: float = 10.0
    seed: int = 1

    def __post_init__(self) -> None:
        number(self, "clients", least=1, most=1_000_000, whole=True)
        number(self, "away_s", least=0, most=60)
        number(self, "backlog", least=1, most=1_000_000, whole=True)
        number(self, "patience_s", least=0.01, most=60)
        number(self, "serves_hz", least=1, most=1_000_000)
        number(self, "until_s", least=0.1, most=600)
        number(self, "seed", least=0, most=2**63, whole=True)
