"""A figure as a picture: crisp, in few exact colors, of a width that its content does not change."""

from __future__ import annotations

import base64
import io
import sys
from html import escape

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from .style import FONT, GROUND, INK, LOOK

#: Pixels per inch of a stored picture: two for each pixel that a page gives it, as today's screens have.
DPI = 200
#: Pixels of a page per inch of a figure.
PAGE_DPI = 100
MARGIN = 0.08  # around what is drawn [inches]
STEP = 0.5  # by which a picture grows that does not fit into the width of its figure [inches]


def bundle(figure: Figure, description: str, dpi: float = DPI) -> dict[str, str]:
    """The figure as a notebook keeps it, by type: HTML, and a light picture for viewers that drop HTML."""
    shown = frame(figure)  # once, since it is drawn for that
    picture = png(figure, dpi, shown)
    light = picture if dpi < DPI else halved(picture)
    words = escape(" ".join(description.split()))
    html = (
        f'<img alt="{words}" width="{round(shown.width * PAGE_DPI)}" '
        f'src="data:image/png;base64,{in_base64(picture)}">'
        f"<details><summary>The picture in words</summary>{words}</details>"
    )
    return {"text/html": html, "image/png": in_base64(light), "text/plain": description}


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(figure: Figure, dpi: float = DPI, shown: Bbox | None = None) -> bytes:
    """The figure as PNG, cut where its content ends below and above, as wide as the figure.

    The width follows from the size of the figure alone and not from what its labels say, so that
    pictures of one size stand flush in a page, and a page that states the width is the same
    again for other numbers.
    """
    shown = shown or frame(figure)
    out = io.BytesIO()
    with matplotlib.rc_context(LOOK):
        figure.savefig(out, format="png", dpi=dpi, bbox_inches=shown, pil_kwargs={"compress_level": 1})
    # A picture that is drawn in passing is to be there soon, and the next one replaces it.
    return with_few_colors(out.getvalue()) if dpi >= DPI else out.getvalue()


def page_width(figure: Figure) -> int:
    """Width of the figure's picture in a page [pixels]."""
    return round(frame(figure).width * PAGE_DPI)


def frame(figure: Figure) -> Bbox:
    """The part of the figure that the picture shows [inches]: all that is drawn, flush left."""
    settle(figure)
    with matplotlib.rc_context(LOOK):
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox().padded(MARGIN)
    excess = max(drawn.width - figure.get_figwidth(), 0)
    width = figure.get_figwidth() + STEP * np.ceil(excess / STEP)
    return Bbox.from_bounds(drawn.x0, drawn.y0, width, drawn.height)


def settle(figure: Figure) -> None:
    """Give what was left at Matplotlib's defaults the font of all figures and, on our ground, their ink.

    A notebook writes into a figure with plain `text`, `set_xlabel` and `set_title`, and the reader may
    have chosen a style of their own, such as white letters on black.
    """
    family = list(matplotlib.rcParams["font.family"])
    ours = matplotlib.colors.same_color(figure.get_facecolor(), GROUND)
    defaults = [matplotlib.rcParams[name] for name in ("text.color", "axes.labelcolor", "xtick.color")]
    for text in figure.findobj(Text):
        if text.get_fontfamily() == family:
            text.set_fontfamily(FONT)
        if ours and any(matplotlib.colors.same_color(text.get_color(), color) for color in defaults):
            text.set_color(INK)


def close(figure: Figure) -> None:
    """Let pyplot forget the figure, or its inline backend shows it again at the end of the cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")  # which a figure of ours does without
    if pyplot:
        pyplot.close(figure)


def with_few_colors(picture: bytes, colors: int = 256) -> bytes:
    """The same PNG with a palette: its most frequent colors exactly, each other as the nearest in it.

    A quarter of the palette goes to what would be farthest off otherwise, by pixels and by distance: a
    transport that is only a thin outline among many grays keeps its color. Less than half as large.
    Pillow's own `quantize` shifts the frequent colors too: white to #fcfcfc, one transport's color
    into another's.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    pixels = np.asarray(image).astype(np.int32)
    codes, found = pd.factorize((pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]).ravel())
    rgb = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    count = np.bincount(codes)
    kept = list(np.argsort(-count, kind="stable")[: colors - colors // 4])
    distance = ((rgb[:, None] - rgb[None, kept]) ** 2).sum(axis=-1)
    nearest, off = distance.argmin(axis=1), distance.min(axis=1)
    while off.any() and len(kept) < colors:
        kept.append((count * off).argmax())
        distance = ((rgb - rgb[kept[-1]]) ** 2).sum(axis=-1)
        nearest[distance < off] = len(kept) - 1
        off = np.minimum(off, distance)
    result = Image.fromarray(nearest.astype(np.uint8)[codes].reshape(pixels.shape[:2]), "P")
    result.putpalette(rgb[kept].astype(np.uint8).tobytes())
    return _written(result)


def halved(picture: bytes, colors: int = 64) -> bytes:
    """The PNG at half its size, in fewer colors: a light twin for viewers that take no other."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    out = io.BytesIO()
    image.reduce(2).save(out, "PNG")
    return with_few_colors(out.getvalue(), colors)


def _written(image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
