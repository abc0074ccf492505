"""A restart under a crowd: with real clients and a handler of the reader's, or simulated."""

from __future__ import annotations

import json

import numpy as np
from tornado.web import RequestHandler

from .fleet.process import PATIENCE_S, clients_beside, next_line
from .machine import make_room_for_files, undisturbed
from .server import Server
from .simulation import crowd
from .specs import Backoff, Restart, to_dict
from .trace import clock

#: The most real clients of one machine.
MOST = 5_000


def stampede(
    backoff: Backoff, restart: Restart | None = None, *, handler: type[RequestHandler] | None = None
) -> crowd.Stampede:
    """The stampede of a crowd whose server restarts: simulated, or of real clients to a handler.

    Parameters
    ----------
    backoff
        How long each client waits before each attempt.
    restart
        The crowd, the server and its door.
    handler
        Answers a client that comes back. If given, a server with this handler is started in the kernel
        and clients in another process. All connections are cut; then, for as long as the server is away,
        its loop stands still while the system's door stays open, as with a listening socket that
        outlives its process.

    Returns
    -------
    Stampede
        Every attempt, and when each client was back.

    Raises
    ------
    TypeError, ValueError
        If an argument is no specification, or asks for more real clients than a machine has room for.
    RunError
        If the clients end before their time.
    """
    restart = restart or Restart()
    for expected, value in ((Backoff, backoff), (Restart, restart)):
        if not isinstance(value, expected):
            raise TypeError(f"stampede: expected a {expected.__name__}, got {value!r}")
    if handler is None:
        return crowd.stampede(backoff, restart)
    if restart.clients > MOST:
        raise ValueError(f"stampede(handler=…): expected at most {MOST:,} clients, got {restart.clients:,}")
    make_room_for_files(2 * restart.clients + 100)
    with undisturbed(), Server(handlers={"/back": handler}, backlog=restart.backlog) as server:
        spec = {"restart": to_dict(restart), "backoff": to_dict(backoff), "port": server.port}
        with clients_beside("lpws.fleet.crowd", spec, PATIENCE_S) as process:
            cut = clock()
            server.drop(hangs_s=restart.away_s)
            attempts = json.loads(next_line(process, restart.until_s + PATIENCE_S))
    client, begun, ended, let_in = np.array(attempts or np.empty((0, 4))).T
    order = np.argsort(begun)
    return crowd.Stampede(
        backoff, restart, client[order].astype(int), begun[order] - cut, ended[order] - cut,
        let_in[order].astype(bool), origin="measured",
    )  # fmt: skip
