"""The look that all figures share: a font, sizes, a color and a second cue per transport."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
from matplotlib import cycler
from matplotlib.font_manager import fontManager

from ..run import Run

INK = "#222222"  # text, messages, the model
GRAY = "#6e6e6e"  # remarks; light, and still easy to read on white (contrast 5.1)
PALE = "#b0b0b0"  # spines, requests, the recorded run
FAINT = "#e9e7e3"  # lines that guide the eye
GROUND = "#ffffff"  # what all is drawn on, in a dark room too
SMALL, MEDIUM, LARGE = 9.5, 11, 13.5  # sizes of text [points]
#: The figures' font, and where signs come from that it lacks.
FONT = ["Lpws Sans", "DejaVu Sans"]

for _face in sorted((Path(__file__).parent / "fonts").glob("*.ttf")):
    fontManager.addfont(_face)


@dataclass(frozen=True)
class Style:
    """The look of a run: color, line and marker.

    Parameters
    ----------
    color
        Of lines and areas; one for each transport, from the palette of Okabe and Ito (2008), which
        readers who do not see all colors can tell apart.
    ink
        The same, dark enough for text on white (contrast of at least 4.5).
    marker
        A second cue beside the color.
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
#: Long polling that pauses before it asks again: a paler blue, and a cross.
PAUSED = Style("#56B4E9", "#2A6F97", "P")

#: Beginnings of the names of those of Matplotlib's settings that a picture depends on.
DRAWN = (
    "axes.", "errorbar.", "figure.subplot.", "font.", "grid.", "hatch.", "legend.", "lines.", "markers.",
    "mathtext.", "patch.", "path.", "scatter.", "text.", "xaxis.", "xtick.", "yaxis.", "ytick.",
)  # fmt: skip
#: What Matplotlib's settings are while one of our figures is made or drawn; nowhere else.
LOOK = {name: value for name, value in matplotlib.rcParamsDefault.items() if name.startswith(DRAWN)} | {
    "font.family": FONT,
    "font.size": SMALL,
    "mathtext.fontset": "custom",
    "mathtext.rm": FONT[0],
    "mathtext.it": FONT[0],
    "text.color": INK,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.labelsize": MEDIUM,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": LARGE,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[INK, *(style.color for style in TRANSPORT_STYLE.values())]),
    "axes.grid": False,
    "grid.color": FAINT,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "ytick.alignment": "center",
    "legend.facecolor": GROUND,
    "legend.edgecolor": GROUND,
    "hatch.color": INK,
    "patch.edgecolor": INK,
}

#: Line styles of the first, second, … run of one transport in a figure.
VARIANTS = ("-", "-.", (0, (1, 1.2)), (0, (6, 1, 1, 1, 1, 1)))


def styles(runs: Mapping[str, Run]) -> dict[str, Style]:
    """Label → style: that of the transport, with the line style of its first, second, … run."""
    seen = Counter()
    result = {}
    for label, run in runs.items():
        look = style_of(run)
        result[label] = replace(look, linestyle=VARIANTS[seen[look] % len(VARIANTS)])
        seen[look] += 1
    return result


def style_of(run: Run) -> Style:
    """The look of a run by itself."""
    paused = run.label == "long polling" and run.transport.pause_s > 0
    return PAUSED if paused else TRANSPORT_STYLE[run.label]
