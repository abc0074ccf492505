"""Closed forms of what each transport costs and what it buys, to draw beside a measurement.

All share one vocabulary. Every argument is a number or an array, every result is of the same kind.

==================  ==========================================================================
``delay_s``         one transit d [s]; a round trip is R = 2d
``handshakes``      extra round trips h that each request pays for a new connection: 0 keep-alive,
                    1 TCP, 2 TCP + TLS 1.3
``rate_hz``         messages per second λ, to one client; published independently (Poisson)
``interval_s``      from one short poll to the next, C [s]
``gap_s``           from a response leaving the server to the next request reaching it, G [s]
``hold_s``          longest time τ that a long poll is held before an empty response [s]
``pause_s``         what a client waits between a response and its next request [s]; for a reader
                    who reloads its mean
``write_s``         what a write to one client takes a server [s]; ``answer_s`` an answer with its request
``latency_s``       where to evaluate a distribution function [s]
==================  ==========================================================================

Latency is one-way, published → received. Servers and networks take no time but the transit: a form
breaks where the server saturates or where d varies by as much as the effect. A timer is not Poisson:
messages further apart than G never meet the gap of a long poll. A short run needs its realized rate.
"""

from .audience import frames_latency, gathered_latency, last_latency, polls_latency
from .crossover import crossover_hz, dominant_pause
from .longpolling import (
    burst_latency,
    gap_probability,
    long_polling_cdf,
    long_polling_latency,
    long_polling_responses_hz,
    long_polling_worst,
    loss_without_cursor,
    repoll_gap,
)
from .push import flush_window_latency
from .reload import reload_cdf, reload_latency
from .shortpolling import nonempty_share, short_polling_cdf, short_polling_latency
from .size import polling_bytes_per_message, sse_bytes_per_message, websocket_bytes_per_message
from .stampede import drain_s, jitter_window_s
