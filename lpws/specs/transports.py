"""The five transports, and what can be chosen of each."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import flag, number


@dataclass(frozen=True, kw_only=True)
class Reload:
    """Plain request/response: a reader who reloads when they feel like it.

    Parameters
    ----------
    pause_s
        Mean of the exponential pause [s] between a response and the next request.
    keep_alive
        Whether the next request uses the connection of the last one.
    """

    pause_s: float = 1.0
    keep_alive: bool = False

    path = "/reload"
    label = "reload"
    persistent = False  # whether a client is connected before the first message

    def __post_init__(self) -> None:
        number(self, "pause_s", least=0.001, most=3600)
        flag(self, "keep_alive")

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which all but e⁻¹⁰ of the readers have reloaded."""
        return 10 * self.pause_s


@dataclass(frozen=True, kw_only=True)
class ShortPolling:
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

    interval_s: float = 1.0
    keep_alive: bool = True
    aligned: bool = False

    path = "/shortpolling"
    label = "short polling"
    persistent = False

    def __post_init__(self) -> None:
        number(self, "interval_s", least=0.001, most=3600)
        flag(self, "keep_alive")
        flag(self, "aligned")

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which every client has polled again."""
        return 2 * self.interval_s


@dataclass(frozen=True, kw_only=True)
class LongPolling:
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

    hold_s: float = 20.0
    keep_alive: bool = True
    cursor: bool = True
    pause_s: float = 0.0

    path = "/longpolling"
    label = "long polling"
    persistent = True

    def __post_init__(self) -> None:
        # RFC 6202 §5.5: browsers give up after 300 s.
        number(self, "hold_s", least=0.001, most=300)
        flag(self, "keep_alive")
        flag(self, "cursor")
        number(self, "pause_s", least=0, most=3600)

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which every client has asked again."""
        return self.pause_s


@dataclass(frozen=True, kw_only=True)
class SSE:
    """Server-Sent Events: one response that never ends.

    Parameters
    ----------
    retry_s
        How long [s] the server asks a client to wait before it connects again.
    """

    retry_s: float = 1.0

    path = "/sse"
    label = "SSE"
    persistent = True

    def __post_init__(self) -> None:
        number(self, "retry_s", least=0.001, most=3600)

    @property
    def patience_s(self) -> float:
        """Seconds that a client may need to connect again."""
        return 2 * self.retry_s


@dataclass(frozen=True, kw_only=True)
class WebSocket:
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

    flush_s: float = 0.0
    ping_s: float = 0.0
    retry_s: float = 1.0

    path = "/websocket"
    label = "WebSocket"
    persistent = True

    def __post_init__(self) -> None:
        number(self, "flush_s", least=0, most=60)
        number(self, "ping_s", least=0, most=3600)
        number(self, "retry_s", least=0.001, most=3600)

    @property
    def patience_s(self) -> float:
        """Seconds that a client may need to connect again."""
        return self.flush_s + 2 * self.retry_s


Transport = Reload | ShortPolling | LongPolling | SSE | WebSocket
TRANSPORTS = (Reload, ShortPolling, LongPolling, SSE, WebSocket)
