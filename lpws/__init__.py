"""A laboratory for one question: how does a server tell a client that something happened?

>>> import lpws
>>> work = lpws.Workload(clients=2, rate_hz=20, duration_s=0.2, seed=1)
>>> run = lpws.measure(lpws.WebSocket(), work)

Each public name is loaded from its module when it is first used, since the process of the clients
imports this package too, and must load neither pandas nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "trace": ("Event", "clock"),
    "specs": (
        *("Reload", "ShortPolling", "LongPolling", "SSE", "WebSocket"),
        *("Workload", "Link", "Proxy", "Outage", "Backoff", "Restart"),
    ),
    "run": ("Run", "RunError"),
    "recordings": ("DATA", "load", "load_run", "save"),
    "wire": ("to_lines", "from_lines"),
    "relay": ("Relay",),
    "server": ("Server",),
    "address": ("page_url", "live_page"),
    "services": ("nginx", "nats"),
    "machine": ("room_for",),
    "measurement": ("measure",),
    "simulation": ("simulate",),
    "crowd": ("stampede",),
    "audience": ("Audience",),
    "grid": ("sweep",),
    "tables": (
        *("events", "connections", "requests", "deliveries", "processor_time_s", "summary"),
        *("age_over_time", "mean_age_s"),
    ),
    "figures": (
        *("axes", "entitle", "connections_and_latency", "lifelines", "timeline", "ecdf", "ladder"),
        *("freshness", "gap_strip", "rain", "bytes_to_scale", "frame_bits", "replay", "waves"),
    ),
    "liveview": ("live",),
    "notebook": ("claim", "guess", "or_recorded", "show", "slider", "source"),
    "exercises": ("check",),
    "chat": ("open_chat",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOMES, "models"]


def __getattr__(name: str) -> Any:
    if name == "models":
        return import_module(f"{__name__}.models")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
