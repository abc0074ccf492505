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


#: Name of a recording → what measures it: label → run.
RECORDINGS: dict[str, Callable[[], dict[str, Run]]] = {"race": race}


def record(name: str) -> None:
    """Measure the runs of this name again, store them in ``data/``, and draw them."""
    runs = RECORDINGS[name]()
    for run in runs.values():
        print(run)
    path = DATA / f"{name}.json.gz"
    save(runs, path)
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
