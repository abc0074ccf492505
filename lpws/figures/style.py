"""The grammar that all figures share: a colour a transport, axes, titles; and arguments checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from textwrap import fill

from ..run import Run

INK = "#222222"  # text, messages, the model
GREY = "#767676"  # remarks; the lightest grey that is still easy to read on white (contrast 4.5)
PALE = "#b0b0b0"  # spines, requests, the recorded run
SMALL, MEDIUM = 8.5, 10  # sizes of text [points]


@dataclass(frozen=True)
class Style:
    """How a run is drawn.

    Parameters
    ----------
    color
        Of lines and areas; one for each transport, from the palette of Okabe and Ito (2008), which
        readers who do not see all colours can tell apart.
    ink
        The same, dark enough for text on white (contrast of at least 4.5).
    marker
        A second cue beside the colour.
    linestyle
        Tells runs of one transport apart. Never dashed: that is the model's.
    """

    color: str
    ink: str
    marker: str
    linestyle: str | tuple = "-"


#: Label of a transport → how it is drawn.
TRANSPORT_STYLE = {
    "reload": Style("#D55E00", "#A84A00", "o"),
    "short polling": Style("#E69F00", "#8A5F00", "s"),
    "long polling": Style("#0072B2", "#0072B2", "^"),
    "SSE": Style("#009E73", "#007A59", "v"),
    "WebSocket": Style("#CC79A7", "#A8487C", "D"),
}

#: Line styles of the first, second, … run of one transport in a figure.
VARIANTS = ("-", "-.", (0, (1, 1.2)), (0, (6, 1, 1, 1, 1, 1)))


def labelled(runs: Run | Mapping[str, Run]) -> dict[str, Run]:
    """The runs of a figure, label → run; a single run has the label of its transport.

    Raises
    ------
    TypeError
        If that is something else.
    ValueError
        If there is none.
    """
    if isinstance(runs, Run):
        return {runs.label: runs}
    if not isinstance(runs, Mapping):
        raise TypeError(f"expected a Run or a dict label → Run, got {runs!r}")
    for label, run in runs.items():
        if not (isinstance(label, str) and isinstance(run, Run)):
            raise TypeError(f"expected a dict label → Run, got {label!r}: {run!r}")
    if not runs:
        raise ValueError("expected at least one run, got an empty dict")
    return dict(runs)


def styles(runs: Mapping[str, Run]) -> dict[str, Style]:
    """Label → style: the colour of the transport, the line style of its first, second, … run."""
    seen = Counter()
    result = {}
    for label, run in runs.items():
        variant = VARIANTS[seen[run.label] % len(VARIANTS)]
        result[label] = replace(TRANSPORT_STYLE[run.label], linestyle=variant)
        seen[run.label] += 1
    return result


def check_side(side: str) -> None:
    """Raise unless the side is one that has connections."""
    if side not in ("client", "server"):
        raise ValueError(f"expected side 'client' or 'server', got {side!r}")


def check_client(runs: Mapping[str, Run], client: int) -> None:
    """Raise unless all runs have the client."""
    for label, run in runs.items():
        if not 0 <= client < run.workload.clients:
            last = run.workload.clients - 1
            raise ValueError(f"expected a client from 0 to {last} of the run {label!r}, got {client!r}")


def check_window(window_s: tuple[float, float]) -> tuple[float, float]:
    """The window, if it is one."""
    try:
        start_s, end_s = window_s
        if start_s < end_s:
            return float(start_s), float(end_s)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"expected window_s=(start, end) in seconds with start < end, got {window_s!r}")


def axes(ax, width: float, height: float):
    """The Axes that came in, or new ones of this size [inches]; bare but for the time axis."""
    if ax is None:
        from matplotlib import pyplot  # here, since it chooses how figures are shown

        _, ax = pyplot.subplots(figsize=(width, height))
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.tick_params(labelsize=SMALL, color=PALE, labelcolor=INK)
    return ax


def entitle(ax, title: str, note: str, runs: Mapping[str, Run] | Iterable[Run], *, lift: float = 0) -> None:
    """Write the title, a line that says how to read the figure, and what is wrong with its runs.

    `lift` is how much [points] to leave free above the axes.
    """
    ax.set_title(title, loc="left", fontsize=MEDIUM + 1, fontweight="bold", color=INK, pad=21 + lift)
    ax.annotate(
        note, (0, 1), (0, 6 + lift), "axes fraction", textcoords="offset points",
        fontsize=SMALL, color=GREY, va="bottom", annotation_clip=False,
    )  # fmt: skip
    warn(ax, runs)


def warn(ax, runs: Mapping[str, Run] | Iterable[Run]) -> None:
    """Write under the axes which runs are not fit to be believed, and why."""
    named = runs.items() if isinstance(runs, Mapping) else [(run.label, run) for run in runs]
    unfit = [(label, run) for label, run in named if run.origin == "measured" and not run.health.good]
    if unfit:
        text = "\n".join(fill(f"{label}: {run.health.verdict}", 96) for label, run in unfit)
        ax.annotate(
            text, (0, 0), (0, -42), "axes fraction", textcoords="offset points",
            fontsize=SMALL, color=INK, va="top", annotation_clip=False,
        )  # fmt: skip


def label_time(ax, end_s: float) -> None:
    """Name the time axis and end it where time ends: what is right of that is room for labels."""
    start_s, right_s = ax.get_xlim()
    ax.set_xlabel("time [s]", fontsize=MEDIUM, color=INK, x=(end_s - start_s) / (right_s - start_s) / 2)
    ax.spines["bottom"].set_bounds(start_s, end_s)
    ax.set_xticks([tick for tick in ax.get_xticks() if start_s <= tick <= end_s])
