"""The recorded runs of ``data/``: what measures each of them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import specs
from .experiment import measure
from .run import DATA, Run, save


def race() -> dict[str, Run]:
    """The race of the first notebook, each transport in turn."""
    work = specs.Workload(clients=20, rate_hz=3.0, duration_s=5.0, seed=4)
    link = specs.Link(delay_s=0.025)
    transports = (
        specs.Request(pause_s=1.0),
        specs.ShortPolling(interval_s=1.0),
        specs.LongPolling(hold_s=20.0),
        specs.EventStream(),
        specs.WebSocket(),
    )
    return {transport.label: measure(transport, work, link) for transport in transports}


def side_by_side() -> dict[str, Run]:
    """Six ways at several message rates, each as ``"way, rate"``; the ways of the last core lesson."""
    link, interval_s = specs.Link(delay_s=0.025), 0.25
    polls = {
        "short polling": specs.ShortPolling(interval_s=interval_s),
        "long polling": specs.LongPolling(),
        # The gap of this one, a round trip and the pause, is as long as the interval.
        "long polling, paused": specs.LongPolling(pause_s=interval_s - 2 * link.delay_s),
    }
    others = {
        "reload": specs.Request(pause_s=interval_s - 4 * link.delay_s),
        "SSE": specs.EventStream(),
        "WebSocket": specs.WebSocket(),
    }
    runs = {}
    for rate_hz in (1.5, 3.0, 6.0, 12.0, 20.0):
        work = specs.Workload(clients=10, rate_hz=rate_hz, duration_s=4.0, seed=4)
        for name, way in (polls | (others if rate_hz in (1.5, 20.0) else {})).items():
            runs[f"{name}, {rate_hz:g}"] = measure(way, work, link)
    return runs


#: Name of a recording → what measures it: label → run.
RECORDINGS: dict[str, Callable[[], dict[str, Run]]] = {"race": race, "side_by_side": side_by_side}


def record(name: str) -> None:
    """Measure the runs of this name again, store them in ``data/``, and draw them if they are few."""
    runs = RECORDINGS[name]()
    for run in runs.values():
        print(run)
    path = DATA / f"{name}.json.gz"
    save(runs, path)
    if len(runs) <= 6:  # more would not fit into one picture
        draw(runs, DATA / f"{name}.png")
    print(f"{path.relative_to(DATA.parent)}: {path.stat().st_size:,} bytes")


def draw(runs: dict[str, Run], path: Path) -> None:
    """Draw the latencies of the runs beside the connections of one client."""
    from matplotlib.figure import Figure

    from .figures import ecdf, lifelines

    figure = Figure(figsize=(15.5, 4.4))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3})
    ecdf(runs, ax=left)
    lifelines(runs, ax=right)
    # Without the version of matplotlib: the same runs make the same picture.
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})
