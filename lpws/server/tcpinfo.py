"""A connection's bytes as the operating system's own TCP counted them (``TCP_INFO``; Linux, without root)."""

from __future__ import annotations

import errno
import socket
import struct
import sys

# Of struct tcp_info, linux/tcp.h: tcpi_state; tcpi_bytes_received, tcpi_notsent_bytes, and, since
# Linux 4.19, tcpi_bytes_sent and tcpi_bytes_retrans. `x` passes over what lies between.
_TCP_INFO = struct.Struct("=B127xQ8xI52xQQ")
# tcpi_state, linux/tcp_states.h: reset, or closed by both sides; closed by the peer alone.
_CLOSE, _CLOSE_WAIT = 7, 8
# tcpi_unacked and tcpi_total_retrans, both in segments.
_IN_DOUBT = struct.Struct("=24xI72xI")


def _tcp_info(connection: socket.socket) -> tuple[int, ...]:
    return _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))


def payload_bytes(connection: socket.socket) -> tuple[int, int] | None:
    """Bytes that the kernel received from the peer, and that it accepted from the program.

    Bytes still in its buffers count, and retransmitted bytes count once. SYN and FIN do not count, though
    each takes a number in TCP's sequence (RFC 9293 §3.4). Ask last, right before the connection is closed:
    asking takes the error of a reset from the socket.

    Returns
    -------
    tuple or None
        (read, written), seen from the program; None where the system does not tell: on other
        systems than Linux, on a Linux before 4.19, and after a reset whose error is taken already.
    """
    if sys.platform != "linux":
        return None
    try:
        # Linux fills in tcpi_state without the lock that protects the byte counts, so read until the
        # count is the same twice: the state between the two belongs to it.
        _, received, *_ = _tcp_info(connection)
        while (info := _tcp_info(connection))[1] != received:
            received = info[1]
        state, received, unsent, sent, again = info
        # A reset finds EPIPE where the peer's FIN came before it, else ECONNRESET (tcp_reset in Linux).
        reset = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if state == _CLOSE else None
    except (OSError, struct.error):  # no TCP, or an older and shorter tcp_info
        return None
    if reset not in (None, errno.EPIPE, errno.ECONNRESET):
        return None  # whether there was a FIN, nothing says any more
    # A FIN that was received stands in the count, as if it were a byte.
    return received - (state == _CLOSE_WAIT or reset == errno.EPIPE), sent - again + unsent


def in_doubt(connection: socket.socket) -> tuple[int, int] | None:
    """Segments that the peer has not acknowledged, and segments that were sent again.

    Returns
    -------
    tuple or None
        (unacknowledged now, sent again so far); None where the system does not tell.
    """
    if sys.platform != "linux":
        return None
    try:
        return _IN_DOUBT.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _IN_DOUBT.size))
    except (OSError, struct.error):
        return None
