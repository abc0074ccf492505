"""Bytes per message, of the application: TCP, IP and TLS add theirs."""

from __future__ import annotations

import numpy as np

from .form import closed_form


@closed_form
def polling_bytes_per_message(*, payload_bytes, header_bytes, requests_hz, rate_hz):
    """Bytes per message by short or long polling: payload and its share of the exchanges, p + H·r/λ.

    H is the headers of a request and its response; empty exchanges are paid by the messages, and a
    batch shares one. That is H/(λC) + p for short polling and H/b + p for long polling.
    """
    return payload_bytes + header_bytes * requests_hz / rate_hz


@closed_form
def sse_bytes_per_message(*, payload_bytes, framing_bytes=21):
    """Bytes per message by SSE: payload and framing.

    21 bytes are ``data: `` and two line ends (8), an ``id:`` line of two digits (7), and the frame
    of an HTTP chunk of 16 to 255 bytes (6). More for a payload of several lines.
    """
    return payload_bytes + framing_bytes


@closed_form
def websocket_bytes_per_message(*, payload_bytes, from_client=False):
    """Bytes per message by WebSocket: payload and header of one frame, uncompressed (RFC 6455 §5.2).

    >>> websocket_bytes_per_message(payload_bytes=[125, 126, 65_536]) - [125, 126, 65_536]
    array([ 2.,  4., 10.])
    """
    header = np.select([payload_bytes <= 125, payload_bytes <= 65_535], [2, 4], 10)
    return payload_bytes + header + 4 * (from_client > 0)
