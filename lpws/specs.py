"""What to run, as frozen value objects: transports, workload, link. No sockets here.

The random choices of a run (when messages are published, when each client first polls, how long
a reader waits before the next reload) are drawn here from the seed, so that a measured and a
simulated run of the same specification make the same choices.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields


def _number(owner: object, name: str, *, least: float, most: float, whole: bool = False) -> None:
    """Raise unless the field is a number in [least, most]."""
    value = getattr(owner, name)
    kind = "a whole number" if whole else "a number"
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not good:
        raise TypeError(f"{type(owner).__name__}({name}=…): expected {kind}, got {value!r}")
    if not least <= value <= most:
        raise ValueError(
            f"{type(owner).__name__}({name}=…): expected {kind} from {least:g} to {most:g}, got {value!r}"
        )


def _flag(owner: object, name: str) -> None:
    """Raise unless the field is True or False."""
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise TypeError(f"{type(owner).__name__}({name}=…): expected True or False, got {value!r}")


# ------------------------------------------------------------------------------ transports


@dataclass(frozen=True, kw_only=True)
class Request:
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

    path = "/request"
    label = "reload"
    persistent = False  # whether a client is connected before the first message

    def __post_init__(self) -> None:
        _number(self, "pause_s", least=0.001, most=3600)
        _flag(self, "keep_alive")

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
        _number(self, "interval_s", least=0.001, most=3600)
        _flag(self, "keep_alive")
        _flag(self, "aligned")

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
        _number(self, "hold_s", least=0.001, most=300)
        _flag(self, "keep_alive")
        _flag(self, "cursor")
        _number(self, "pause_s", least=0, most=3600)

    @property
    def patience_s(self) -> float:
        """Seconds after the last message in which every client has asked again."""
        return self.pause_s


@dataclass(frozen=True, kw_only=True)
class EventStream:
    """Server-Sent Events: one response that never ends.

    Parameters
    ----------
    retry_s
        How long [s] the server asks a client to wait before it connects again.
    """

    retry_s: float = 1.0

    path = "/eventstream"
    label = "SSE"
    persistent = True

    def __post_init__(self) -> None:
        _number(self, "retry_s", least=0.001, most=3600)

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
        _number(self, "flush_s", least=0, most=60)
        _number(self, "ping_s", least=0, most=3600)
        _number(self, "retry_s", least=0.001, most=3600)

    @property
    def patience_s(self) -> float:
        """Seconds that a client may need to connect again."""
        return self.flush_s + 2 * self.retry_s


Transport = Request | ShortPolling | LongPolling | EventStream | WebSocket
TRANSPORTS = (Request, ShortPolling, LongPolling, EventStream, WebSocket)


# ------------------------------------------------------------------------- workload and link


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is published, and to how many clients.

    Parameters
    ----------
    clients
        How many clients listen. Each is to get every message.
    rate_hz
        Messages per second, on average.
    duration_s
        How long [s] messages are published.
    pattern
        ``"poisson"`` (independent of each other), ``"periodic"``, or ``"bursts"``: `burst`
        messages, `spacing_s` apart, at regular times.
    burst, spacing_s
        Messages in a burst, and the time [s] from one to the next.
    size_bytes
        Payload of a message.
    seed
        Of every random choice in the run.
    """

    clients: int = 20
    rate_hz: float = 2.0
    duration_s: float = 8.0
    pattern: str = "poisson"
    burst: int = 2
    spacing_s: float = 0.001
    size_bytes: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        _number(self, "clients", least=1, most=20_000, whole=True)
        _number(self, "rate_hz", least=0.001, most=10_000)
        _number(self, "duration_s", least=0.001, most=3600)
        _number(self, "burst", least=1, most=10_000, whole=True)
        _number(self, "spacing_s", least=0, most=60)
        _number(self, "size_bytes", least=1, most=65_536, whole=True)
        _number(self, "seed", least=0, most=2**63, whole=True)
        if self.pattern not in ("poisson", "periodic", "bursts"):
            raise ValueError(
                f"Workload(pattern=…): expected 'poisson', 'periodic' or 'bursts', got {self.pattern!r}"
            )

    def due_times_s(self) -> list[float]:
        """Intended times [s] of the publishes from the start of the run, sorted; at least one.

        >>> Workload(rate_hz=2, duration_s=2, pattern="periodic").due_times_s()
        [0.5, 1.0, 1.5, 2.0]
        """
        if self.pattern == "poisson":
            return self._poisson()
        period_s = (self.burst if self.pattern == "bursts" else 1) / self.rate_hz
        starts = [n * period_s for n in range(1, int(self.duration_s / period_s + 1e-9) + 1)]
        if self.pattern == "periodic":
            return starts or [self.duration_s]
        starts = starts or [self.duration_s]
        return sorted(start + n * self.spacing_s for start in starts for n in range(self.burst))

    def _poisson(self) -> list[float]:
        draw = random.Random(f"publish {self.seed}")
        times, t = [], draw.expovariate(self.rate_hz)
        while t < self.duration_s:
            times.append(t)
            t += draw.expovariate(self.rate_hz)
        return times or [self.duration_s]

    def first_due_s(self, transport: Transport, client: int) -> float:
        """Time [s] from the start of the run at which a client first asks; 0 if it is always connected."""
        if isinstance(transport, Request):
            return next(self.pauses_s(transport, client))
        if isinstance(transport, ShortPolling) and not transport.aligned:
            return random.Random(f"phase {self.seed} {client}").random() * transport.interval_s
        return 0.0

    def pauses_s(self, transport: Request, client: int) -> Iterator[float]:
        """Pauses [s] of one reader before each of their requests, without end."""
        draw = random.Random(f"pause {self.seed} {client}")
        while True:
            yield draw.expovariate(1 / transport.pause_s)


@dataclass(frozen=True, kw_only=True)
class Link:
    """The distance between clients and server, and what goes wrong on the way.

    Parameters
    ----------
    delay_s
        One transit [s], each way. A new connection costs a round trip more.
    cut_at_s
        When [s] every connection is reset, if ever.
    silent_at_s, silent_for_s
        When [s] the link begins to swallow all that is sent into it, if ever, and for how long.
    """

    delay_s: float = 0.025
    cut_at_s: float | None = None
    silent_at_s: float | None = None
    silent_for_s: float = 1.0

    def __post_init__(self) -> None:
        _number(self, "delay_s", least=0, most=10)
        for name in ("cut_at_s", "silent_at_s"):
            if getattr(self, name) is not None:
                _number(self, name, least=0, most=3600)
        _number(self, "silent_for_s", least=0, most=3600)


# ------------------------------------------------------------------ across a file or a process

_KINDS = {kind.__name__: kind for kind in (*TRANSPORTS, Workload, Link)}


def to_dict(spec: Transport | Workload | Link) -> dict:
    """The specification as a dict that JSON can hold."""
    return {"kind": type(spec).__name__, **asdict(spec)}


def from_dict(data: dict) -> Transport | Workload | Link:
    """The specification that `to_dict` gave this dict for.

    Raises
    ------
    ValueError
        If the dict names no specification of this version, or fields that it does not have.
    """
    kind = _KINDS.get(data.get("kind"))
    if kind is None:
        raise ValueError(f"expected a specification of kind {', '.join(_KINDS)}, got {data.get('kind')!r}")
    names = {field.name for field in fields(kind)}
    if unknown := data.keys() - names - {"kind"}:
        raise ValueError(
            f"{kind.__name__} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(names))}"
        )
    return kind(**{name: value for name, value in data.items() if name != "kind"})
