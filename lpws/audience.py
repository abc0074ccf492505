"""An audience: many WebSockets that listen to a server of the kernel, in a process of their own."""

from __future__ import annotations

import json
import subprocess

import numpy as np

from .fleet.process import PATIENCE_S, clients_beside, next_line, tell
from .machine import MOST_CLIENTS, make_room_for_files
from .server import Server
from .specs.fields import within

#: The most messages of which it is asked when each client had them.
MOST_HEARD = 10_000


class Audience:
    """WebSockets in a process of their own, which only listen. A context manager.

    Parameters
    ----------
    server
        A server that runs.
    path
        Where its WebSockets are.
    clients
        How many listen; see `room_for`.

    Examples
    --------
    >>> with Server() as server, Audience(server, "/websocket", clients=3) as audience:
    ...     id = server.publish("tea is ready")
    ...     audience.heard(1).shape
    (3, 1)
    """

    def __init__(self, server: Server, path: str, *, clients: int) -> None:
        if not isinstance(server, Server):
            raise TypeError(f"Audience: expected a Server that runs, got {server!r}")
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError(f"Audience: expected the path of a WebSocket, as '/news', got {path!r}")
        within("Audience(clients=…)", clients, 1, MOST_CLIENTS, whole=True)
        self.clients = clients
        self._spec = {"port": server.port, "path": path, "clients": clients}

    _process: subprocess.Popen | None = None

    def __enter__(self) -> Audience:
        make_room_for_files(self.clients + 100)
        within_s = PATIENCE_S + 0.01 * self.clients
        self._beside = clients_beside("lpws.fleet.audience", self._spec, within_s)
        self._process = self._beside.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process = None
        self._beside.__exit__(None, None, None)

    def heard(self, messages: int, *, within_s: float = 10.0) -> np.ndarray:
        """Times [s], on `lpws.clock`, at which the clients had each of their first messages.

        Parameters
        ----------
        messages
            How many; each is a frame.
        within_s
            How long [s] to wait until every client has them.

        Returns
        -------
        array
            Of shape (clients, messages); NaN for what has not come.
        """
        within("heard(messages)", messages, 1, MOST_HEARD, whole=True)
        within("heard(within_s=…)", within_s, 0, 3600)
        if self._process is None:
            raise RuntimeError("expected an audience that listens: use `with Audience(…) as audience:`")
        found = np.full((self.clients, messages), np.nan)
        tell(self._process.stdin, f"{messages} {within_s}")
        times_s = json.loads(next_line(self._process, within_s + PATIENCE_S))
        for row, heard_s in zip(found, times_s, strict=True):
            row[: len(heard_s)] = heard_s
        return found
