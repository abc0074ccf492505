"""The five transports, their parameters, and the behavior in which they differ."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .fields import Spec, flag, number


class Transport(Spec):
    """The behavior that all transports have in common; each of the five overrides what differs."""

    path: str  #: path of its server half
    label: str  #: its name in figures and tables
    persistent = False  #: whether a client is connected before the first message
    streams = False  #: whether one response, or one WebSocket, brings every message
    upgrades = False  #: whether its stream begins with a response of its own (101 Switching Protocols)
    at_random = False  #: whether a client may by chance not have asked again when the run ends
    keep_alive = True  #: whether a connection serves more than one request
    cursor = True  #: whether a request names the last message that its client has
    hold_s = 0.0  #: the longest time [s] that a request is held
    flush_s = 0.0  #: how long [s] messages are gathered
    patience_s = 0.0  #: seconds after the last message in which every client should have it

    def first_due_s(self, seed: int, client: int) -> float:
        """Time [s] from the start of a run to a client's first request; 0 if it is connected before."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Reload(Transport):
    """Plain request/response: a reader who reloads when they feel like it.

    Parameters
    ----------
    pause_s
        Mean of the exponential pause [s] between a response and the next request.
    keep_alive
        Whether the next request uses the connection of the last one, as in a browser. It does not by
        default, so that a run shows what a new connection per request costs.
    """

    pause_s: float = number(1.0, least=0.001, most=3600)
    keep_alive: bool = flag(False)

    path = "/reload"
    label = "reload"
    at_random = True

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which all but e⁻¹⁰ of the readers have reloaded."""
        return 10 * self.pause_s

    def pauses_s(self, seed: int, client: int) -> Iterator[float]:
        """Pauses [s] of one reader before each of their requests, without end."""
        draw = random.Random(f"pause {seed} {client}")
        while True:
            yield draw.expovariate(1 / self.pause_s)

    def first_due_s(self, seed: int, client: int) -> float:
        return next(self.pauses_s(seed, client))


@dataclass(frozen=True, kw_only=True)
class ShortPolling(Transport):
    """Short polling: a request every `interval_s`, answered at once.

    Parameters
    ----------
    interval_s
        From one due time to the next [s]. A poll that is still open when the next one is due
        delays it; two polls of a client never overlap.
    keep_alive
        Whether all polls of a client share one connection.
    aligned
        Whether all clients poll at the same moments, instead of each with a phase of its own.
    """

    interval_s: float = number(1.0, least=0.001, most=3600)
    keep_alive: bool = flag(True)
    aligned: bool = flag(False)

    path = "/shortpolling"
    label = "short polling"

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which every client has polled again."""
        return 2 * self.interval_s

    def first_due_s(self, seed: int, client: int) -> float:
        return 0.0 if self.aligned else random.Random(f"phase {seed} {client}").random() * self.interval_s


@dataclass(frozen=True, kw_only=True)
class LongPolling(Transport):
    """Long polling: a request that the server holds until it has news.

    Parameters
    ----------
    hold_s
        The longest time [s] that a request is held before it is answered with nothing.
    keep_alive
        Whether all requests of a client share one connection.
    cursor
        Whether a request names the last message that its client has, so that the server can
        send what was published in the gap between two requests. Without it, that is lost.
    pause_s
        How long [s] a client waits after a response before it asks again.
    """

    hold_s: float = number(20.0, least=0.001, most=300)  # RFC 6202 §5.5: browsers give up after 300 s
    keep_alive: bool = flag(True)
    cursor: bool = flag(True)
    pause_s: float = number(0.0, least=0, most=3600)

    path = "/longpolling"
    label = "long polling"
    persistent = True

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which every client has asked again."""
        return self.pause_s


@dataclass(frozen=True, kw_only=True)
class SSE(Transport):
    """Server-Sent Events: one response that never ends.

    Parameters
    ----------
    retry_s
        How long [s] the server asks a client to wait before it connects again.
    """

    retry_s: float = number(1.0, least=0.001, most=3600)

    path = "/sse"
    label = "SSE"
    persistent = streams = True

    @property
    def patience_s(self) -> float:
        """Seconds that a client may need to connect again."""
        return 2 * self.retry_s


@dataclass(frozen=True, kw_only=True)
class WebSocket(Transport):
    """WebSocket: one connection on which both sides send when they like.

    Parameters
    ----------
    flush_s
        How long [s] the server gathers messages before it sends them in one frame. The first
        message opens the window; 0 sends each at once.
    ping_s
        The time [s] between two pings of the server; 0 sends none.
    retry_s
        The mean time [s] that a client waits before it connects again.
    """

    flush_s: float = number(0.0, least=0, most=60)
    ping_s: float = number(0.0, least=0, most=3600)
    retry_s: float = number(1.0, least=0.001, most=3600)

    path = "/websocket"
    label = "WebSocket"
    persistent = streams = upgrades = True

    @property
    def patience_s(self) -> float:
        """Seconds that a client may need to connect again."""
        return self.flush_s + 2 * self.retry_s

    def retries_s(self, seed: int, client: int) -> Iterator[float]:
        """Random times [s] that one client waits before it connects again, so that not all come at once."""
        draw = random.Random(f"retry {seed} {client}")  # RFC 6455 §7.2.3
        while True:
            yield 2 * self.retry_s * draw.random()


TRANSPORTS = (Reload, ShortPolling, LongPolling, SSE, WebSocket)
