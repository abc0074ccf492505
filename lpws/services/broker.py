"""NATS: a broker at which servers meet."""

from __future__ import annotations

from .programs import must_find
from .service import Service


class Nats(Service):
    """A running NATS server.

    Attributes
    ----------
    url
        Where it listens, as in ``"nats://127.0.0.1:4222"``.
    version
        As in ``"2.15.1"``.
    """

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://{self.host}:{self.port}"


def nats(stream: bool = False, *, port: int = -1) -> Nats:
    """NATS as a context manager, with `url`, `version` and `log()`.

    Parameters
    ----------
    stream
        Whether it can keep messages, in numbered streams (JetStream).
    port
        Where it listens: one that is free, or that of a broker that has gone, in whose place this one comes.

    Raises
    ------
    Missing
        If this machine has no NATS server.

    Examples
    --------
    >>> with nats() as broker:
    ...     broker.url.rpartition(":")[0]
    'nats://127.0.0.1'
    """
    command = ["-a", Service.host, "-p", f"{port}", "--ports_file_dir", "@FOLDER@"]
    if stream:
        command += ["-js", "-sd", "@FOLDER@/stream"]
    return Nats(must_find("nats"), {"command": command, "ask": "", "answer": "INFO"})
