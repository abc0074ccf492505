"""ECDF: the share of the messages that was delivered within a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib import rc_context

from ..run import Run
from ..tables import STATES, deliveries
from .arguments import labeled
from .labels import Placer
from .panel import axes, entitle
from .style import GRAY, INK, LOOK, MEDIUM, PALE, SMALL, styles


@rc_context(LOOK)
def ecdf(
    runs: Run | Mapping[str, Run],
    *,
    models: Mapping[str, Callable] | None = None,
    recorded: Run | Mapping[str, Run] | None = None,
    guess_s: float | None = None,
    log: bool | None = None,
    title: str | None = None,
    ax=None,
):
    """Draw the share of all messages that were delivered within a time, over that time (ECDF).

    Missed and pending messages count too, so the curve of a run that lost messages does not reach 1.

    Parameters
    ----------
    runs
        A run, or runs by label.
    models
        Label → function of the latency [s] that gives the share; drawn dashed.
    recorded
        A recorded run, or runs by label, to compare with; drawn thin and gray.
    guess_s
        A latency [s] to mark: the reader's guess. NaN is none.
    log
        Whether the time axis is logarithmic; if not given, where latencies differ tenfold.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    runs = labeled(runs)
    recorded = {} if recorded is None else labeled(recorded)
    for label, model in (models or {}).items():
        if not callable(model):
            raise TypeError(f"expected a function of the latency as the model of {label!r}, got {model!r}")
    if guess_s != guess_s:  # NaN
        guess_s = None
    if guess_s is not None and not guess_s > 0:
        raise ValueError(f"expected a guess above 0 s, got {guess_s!r}")
    curves = {label: _curve(run) for label, run in runs.items()}
    past = [_curve(run) for run in recorded.values()]
    start_s, end_s, log = _limits([*curves.values(), *past], guess_s, log)

    ax = axes(ax, 7.5, 4.2)
    if log:
        ax.set_xscale("log")
    ax.set_xlim(start_s, end_s)
    ax.set_ylim(0, 1.03)
    placer = Placer(ax)
    for n, (age_s, share, _) in enumerate(past):
        _draw(ax, placer, f"recorded {n}", age_s, share, color=PALE, linewidth=1.6, label="_recorded")
    of_transport = styles(runs)
    for n, (label, (age_s, share, _)) in enumerate(curves.items()):
        # Curves that coincide: the first is the widest, so that every one shows.
        width = 1.5 + 1.0 * (len(runs) - 1 - n) / max(len(runs) - 1, 1)
        style = of_transport[label]
        _draw(
            ax, placer, f"run {label}", age_s, share,
            color=style.color, linestyle=style.linestyle, linewidth=width, label=label,
        )  # fmt: skip
    for label, model in (models or {}).items():
        t = np.geomspace(start_s, end_s, 500) if log else np.linspace(start_s, end_s, 500)
        share = np.asarray(model(t), float)
        if share.shape != t.shape or not ((share >= 0) & (share <= 1)).all():
            raise ValueError(f"expected shares from 0 to 1 of the model of {label!r}, got {share}")
        ax.plot(t, share, color=INK, linestyle=(0, (4, 2)), linewidth=1.1, label="_model", zorder=3)
        placer.avoid(f"model {label}", t, share)

    _mark(ax, placer, _one_transit(runs), "one transit", PALE, "-")
    _mark(ax, placer, guess_s, "your guess", INK, ":")
    _name_curves(ax, placer, curves, of_transport)
    for label in models or {}:
        if label not in runs:
            text = ax.text(0, 0, label, color=INK, fontsize=SMALL)
            placer.place(text, placer.beside(f"model {label}", 0.5))
    _time_axis(ax, start_s, end_s, log)
    ax.set_ylabel("share delivered within", fontsize=MEDIUM, color=INK)
    note = "share of all messages to all clients"
    note += "    dashed: the model" * bool(models) + "    gray: the recorded run" * bool(recorded)
    entitle(ax, title or "How old messages are when they arrive", note, runs)
    return ax


def _curve(run: Run) -> tuple[np.ndarray, np.ndarray, str]:
    """Latencies [s], sorted; the share delivered within each; what to say about the rest."""
    frame = deliveries(run)
    age_s = np.sort(frame.latency_s.dropna())
    share = np.arange(1, len(age_s) + 1) / max(len(frame), 1)
    lost = {state: (frame.state == state).mean() for state in STATES[1:] if (frame.state == state).any()}
    return age_s, share, ", ".join(f"{_percent(part)} {state}" for state, part in lost.items())


def _percent(share: float) -> str:
    """The share in per cent; not 0 where there is something."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _limits(curves: list, guess_s: float | None, log: bool | None) -> tuple[float, float, bool]:
    """Begin and end [s] of the time axis, and whether it is logarithmic."""
    there = [age_s for age_s, _, _ in curves if len(age_s)]
    if not there:
        return (1e-3, 1.0, True) if log else (0.0, max(1.0, 2 * (guess_s or 0)), False)
    medians = [np.median(age_s) for age_s in there]
    if log is None:
        log = max(medians) > 10 * max(min(medians), 1e-6)
    end_s = max(np.quantile(age_s, 0.99) for age_s in there)
    if not log:
        return 0.0, 1.15 * max(end_s, guess_s or 0, 1e-6), False
    start_s = max(min(age_s[0] for age_s in there), 1e-6)
    return 0.45 * min(start_s, guess_s or start_s), 1.4 * max(end_s, start_s, guess_s or 0), True


def _draw(ax, placer: Placer, name: str, age_s: np.ndarray, share: np.ndarray, **properties) -> None:
    """A step line from the left edge to the right one."""
    start_s, end_s = ax.get_xlim()
    x = np.concatenate([[start_s], np.maximum(age_s, start_s), [max(end_s, age_s[-1] if len(age_s) else 0)]])
    y = np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]])
    ax.plot(x, y, drawstyle="steps-post", solid_joinstyle="round", **properties)
    placer.avoid(name, np.repeat(np.minimum(x, end_s), 2)[1:], np.repeat(y, 2)[:-1])


def _one_transit(runs: Mapping[str, Run]) -> float | None:
    """One transit [s], if it is the same in all runs."""
    delays = {run.delay_s for run in runs.values()}
    return delays.pop() or None if len(delays) == 1 else None


def _mark(ax, placer: Placer, at_s: float | None, name: str, color: str, linestyle: str) -> None:
    """A vertical line with its name."""
    if at_s is None or not ax.get_xlim()[0] <= at_s <= ax.get_xlim()[1]:
        return
    ax.axvline(at_s, color=color, linestyle=linestyle, linewidth=1.2, zorder=1, label=f"_{name}")
    placer.avoid(name, [at_s, at_s], ax.get_ylim())
    text = ax.text(0, 0, name, color=GRAY if color == PALE else color, fontsize=SMALL)
    placer.place(text, placer.beside(name, 0.05))


def _name_curves(ax, placer: Placer, curves: Mapping, of_transport: Mapping) -> None:
    """Write each name beside its curve, and the transport's marker on the curve there."""
    for n, (label, (_, _, rest)) in enumerate(curves.items()):
        style = of_transport[label]
        size = MEDIUM if len(curves) < 4 else SMALL
        text = ax.text(0, 0, f"{label} ({rest})" if rest else label, color=style.ink, fontsize=size)
        # Each begins to look for its place at another height.
        x, y = placer.place(text, placer.beside(f"run {label}", 0.12 + 0.8 * (n + 0.5) / len(curves)))
        ax.plot(
            [x], [y], marker=style.marker, color=style.color, markeredgecolor="white", markersize=7,
            label="_marker", zorder=4, clip_on=False,
        )  # fmt: skip


def _time_axis(ax, start_s: float, end_s: float, log: bool) -> None:
    """Ticks of the time axis: seconds, or milliseconds where there is no full one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    label = "latency, from due to received"
    if log:
        wide = end_s > 1e3 * start_s  # there, more ticks than one a decade would touch each other
        ax.xaxis.set_major_locator(LogLocator(10, subs=(1,) if wide else (1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g} s" if t >= 1 else f"{1e3 * t:g} ms"))
    elif end_s < 1:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{1e3 * t:g}"))
        label += " [ms]"
    else:
        label += " [s]"
    ax.set_xlabel(label, fontsize=MEDIUM, color=INK)
