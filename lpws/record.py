"""The measuring of the recorded runs of ``data/`` again, each by a function of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import models, specs
from .measurement import measure
from .recordings import DATA, save
from .run import Run, RunError
from .simulation import simulate

#: How often a run is measured until it is fit to be recorded.
ATTEMPTS = 8
#: Between the clients of every recording and their server.
LINK = specs.Link(delay_s=0.025)


def fit(transport: specs.Transport, work: specs.Workload) -> Run:
    """The first of a few runs that is fit to be believed.

    It is chosen by its health, never by its result.

    Raises
    ------
    RunError
        If `ATTEMPTS` runs are all unfit.
    """
    for _ in range(ATTEMPTS):
        run = measure(transport, work, LINK)
        if run.health.good:
            return run
    raise RunError(f"expected a run that is fit to be recorded, got {ATTEMPTS} that are not, such as {run}")


def five(hold_s: float) -> tuple[specs.Transport, ...]:
    """The five transports of a race; a reload and a poll come about a second after the last one."""
    asking = specs.Reload(pause_s=1.0), specs.ShortPolling(interval_s=1.0), specs.LongPolling(hold_s=hold_s)
    return *asking, specs.SSE(), specs.WebSocket()


def race() -> dict[str, Run]:
    """The race of the first notebook, each transport in turn."""
    work = specs.Workload(clients=20, rate_hz=3.0, duration_s=5.0, seed=4)
    return {transport.label: fit(transport, work) for transport in five(hold_s=20.0)}


def short_polling() -> dict[str, Run]:
    """The two intervals of the lesson on short polling, each as ``"interval s"``."""
    work = specs.Workload(clients=20, rate_hz=4.0, duration_s=4.0, seed=44)
    return {f"{C} s": fit(specs.ShortPolling(interval_s=C), work) for C in (1.0, 0.3)}


def long_polling() -> dict[str, Run]:
    """The runs in which lesson 03 counts transits and connections: with keep-alive, and with close."""
    work = specs.Workload(clients=10, rate_hz=10, duration_s=4.0, seed=71)
    ways = {"keep-alive": specs.LongPolling(), "close": specs.LongPolling(keep_alive=False)}
    return {name: fit(way, work) for name, way in ways.items()}


def side_by_side() -> dict[str, Run]:
    """Three ways to poll at several message rates, of the lesson on choosing, each as ``"way, rate"``."""
    interval_s = 0.25
    pause_s = models.dominant_pause(interval_s=interval_s, delay_s=LINK.delay_s)
    ways = {
        "short polling": specs.ShortPolling(interval_s=interval_s),
        "long polling": specs.LongPolling(),
        "long polling, paused": specs.LongPolling(pause_s=pause_s),
    }
    runs = {}
    for rate_hz in (1.0, 3.0, 6.0, 12.0, 24.0):
        work = specs.Workload(clients=5, rate_hz=rate_hz, duration_s=4.0, seed=22)
        for name, way in ways.items():
            runs[f"{name}, {rate_hz:g}"] = fit(way, work)
    return runs


#: Name of a recording → what measures it: label → run.
RECORDINGS: dict[str, Callable[[], dict[str, Run]]] = {
    each.__name__: each for each in (race, short_polling, long_polling, side_by_side)
}


def record(name: str) -> None:
    """Measure the runs of this name again and store them in ``data/``."""
    runs = RECORDINGS[name]()
    for run in runs.values():
        print(run)
    path = DATA / f"{name}.json.gz"
    save(runs, path)
    print(f"{path.relative_to(DATA.parent)}: {path.stat().st_size:,} bytes")


def story() -> dict[str, Run]:
    """The race of the moving picture: a minute's worth of what can happen, in five seconds, simulated.

    The seed was searched: five messages, two of them so close together that one falls into the gap of
    long polling, a hold that ends empty just before a message, and a reader who does not reload for
    three seconds and then gets four messages at once.
    """
    work = specs.Workload(clients=1, rate_hz=1.1, duration_s=4.5, seed=2149)
    link = specs.Link(delay_s=0.12)
    return {transport.label: simulate(transport, work, link) for transport in five(hold_s=1.5)}


def draw(path: Path = DATA / "race.svg") -> bool:
    """Draw the moving picture of the race, for the README; return whether the file has changed."""
    from .figures import replay

    old, new = path.read_text(encoding="utf-8") if path.exists() else "", replay(story()).svg
    path.write_text(new, encoding="utf-8")
    return new != old
