"""What TCP itself learns of a path that loses every packet: five connections over a TUN device.

At second 0 the path dies. One server-side socket goes on sending, one does so with `TCP_USER_TIMEOUT`, one
only waits with TCP keep-alive, one only waits.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from contextlib import ExitStack

import pandas as pd
import tun

from lpws.server.tcpinfo import in_doubt

#: One transit of the path [s], each way.
DELAY_S = 0.025
#: What the options are set to, where they are set: seconds of silence that are borne.
USER_TIMEOUT_S, KEEP_ALIVE_S, PROBES = 1.0, 1.0, 2
#: How often a sender writes, and how often it is looked at [s].
WRITES_EVERY_S, LOOKS_EVERY_S = 0.5, 0.05
MESSAGE = b"tea is ready, and the kettle is still hot\n"
#: What each connection does; the first two send.
SENDS, SENDS_WITH_LIMIT = "sends", "sends, TCP_USER_TIMEOUT"
WAITS_WITH_PROBES, WAITS = "waits, TCP keep-alive", "waits"
KINDS = (SENDS, SENDS_WITH_LIMIT, WAITS_WITH_PROBES, WAITS)
# linux/sockios.h: bytes of the send queue that the peer has not acknowledged.
_SIOCOUTQ = 0x5411


def _prepare(connection: socket.socket, kind: str) -> None:
    connection.setblocking(False)
    if kind == SENDS_WITH_LIMIT:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * USER_TIMEOUT_S))
    elif kind == WAITS_WITH_PROBES:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, int(KEEP_ALIVE_S)),
            (socket.TCP_KEEPINTVL, int(KEEP_ALIVE_S)),
            (socket.TCP_KEEPCNT, PROBES),
        ):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _unacknowledged_bytes(connection: socket.socket) -> int:
    import fcntl

    return struct.unpack("i", fcntl.ioctl(connection, _SIOCOUTQ, bytes(4)))[0]


def measure(before_s: float, after_s: float) -> pd.DataFrame:
    """One row a connection and a look: how things stand at the server, until it learns that the path is dead.

    Parameters
    ----------
    before_s, after_s
        How long it is watched before the path dies, and after.
    """
    rows = []
    with tun.breakable(DELAY_S) as (near, far, cut), ExitStack() as stack:
        listener = stack.enter_context(far.call(socket.create_server, (tun.FAR, 0)))
        servers = {}
        for kind in KINDS:
            client = near.call(socket.create_connection, (tun.FAR, listener.getsockname()[1]), 10)
            stack.enter_context(client)
            servers[kind] = stack.enter_context(listener.accept()[0])
            _prepare(servers[kind], kind)
        start = time.perf_counter() + before_s
        written = {kind: 0 for kind in (SENDS, SENDS_WITH_LIMIT)}
        died = False
        while servers and (now_s := time.perf_counter() - start) < after_s:
            if now_s >= 0 and not died:
                cut()
                died = True
            for kind, server in list(servers.items()):
                ended = 0
                if kind in written and now_s + before_s >= written[kind] * WRITES_EVERY_S:
                    written[kind] += 1
                    ended = _send(server)
                ended = ended or server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                segments, again = in_doubt(server) or (0, 0)
                rows.append((kind, now_s, _unacknowledged_bytes(server), segments, again,
                             errno.errorcode.get(ended, "")))  # fmt: skip
                if ended:
                    del servers[kind]
            time.sleep(LOOKS_EVERY_S)
    names = ["connection", "time_s", "unacknowledged_bytes", "unacknowledged", "sent_again", "error"]
    return pd.DataFrame(rows, columns=names)


def _send(server: socket.socket) -> int:
    """Number of the error with which the write failed, which is told only once; 0 if it succeeded."""
    try:
        server.send(MESSAGE)
    except OSError as error:
        return error.errno
    return 0


def changes(found: pd.DataFrame) -> pd.DataFrame:
    """The rows in which something has changed, and the last of each connection."""
    said = found.drop(columns="time_s")
    before = said.groupby("connection", sort=False).shift()
    changed = (said.drop(columns="connection") != before).any(axis=1)
    return found[changed | ~found.duplicated("connection", keep="last")].reset_index(drop=True)
