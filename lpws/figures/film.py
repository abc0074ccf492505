"""A figure that moves: one drawing with two lives, a picture and an SVG that CSS moves.

What is drawn is how the story ends. The picture shows that, and so does the SVG where its reader has
asked for less motion, on paper, and while it rests; keyframes only hide and displace what is there.
No script is needed: inside an ``<img>`` none would run, and there the SVG moves in a notebook that is
not trusted, too. Where a script does run, when the SVG is opened by itself or in a frame, it adds
a button and a slider, and drives the same animations.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from functools import cached_property
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from .picture import DPI, PAGE_DPI, halved, in_base64, with_few_colors
from .style import LOOK

#: The most things that may move in one film; a browser moves as many without a stutter.
MOST = 200
#: Height of the button and the slider [points].
CONTROLS = 30
JUMP = 0.002  # between two keys that are to follow each other at once [per cent of a round]


class Film:
    """A figure, and how its artists move in the time of a run.

    Parameters
    ----------
    figure
        How it ends.
    words
        What it shows, for people who cannot see it.
    start_s, end_s
        The time that is played [s].
    play_s, rest_s
        How long that takes, and how long the end stays before it begins anew [s].
    """

    def __init__(
        self, figure: Figure, words: str, start_s: float, end_s: float, play_s: float, rest_s: float
    ) -> None:
        self.figure, self.words = figure, " ".join(words.split())
        self.start_s, self.end_s, self.play_s, self.rest_s = start_s, end_s, play_s, rest_s
        self.tracks: list[tuple[Artist, str, list[tuple[float, str]]]] = []  # artist, timing, keys
        self.passing: list[Artist] = []  # what is not there in the end

    # ------------------------------------------------------------------------------ how things move

    def appear(self, artist: Artist, *spans: tuple[float, float | None]) -> None:
        """Let the artist be seen from, to only; to None, it stays."""
        keys = [(0.0, "opacity:0")]
        for begin_s, end_s in spans:
            keys.append((self._share(begin_s), "opacity:1"))
            if end_s is not None:
                keys.append((self._share(end_s), "opacity:0"))
        self._move(artist, "step-end", keys, stays=spans[-1][1] is None)

    def travel(self, artist: Artist, begin: tuple, end: tuple, *, stays: bool) -> None:
        """Let the artist, drawn at its end, go there: from (t, x, y) to (t, x, y), in data coordinates."""
        (begin_s, *a), (end_s, *b) = begin, end
        (x0, y0), (x1, y1) = self._points(artist, a), self._points(artist, b)
        away = f"transform:translate({x0 - x1:.1f}px,{y0 - y1:.1f}px)"
        first, last = self._share(begin_s), self._share(end_s)
        keys = [(0.0, f"opacity:0;{away}"), (first, f"opacity:0;{away}"), (first + JUMP, f"opacity:1;{away}")]
        keys.append((max(last, first + 2 * JUMP), "opacity:1;transform:none"))
        if not stays:
            keys.append((keys[-1][0] + JUMP, "opacity:0;transform:none"))
        self._move(artist, "linear", keys, stays=stays)

    def fall(
        self, artist: Artist, *spans: tuple[float, float], widths: Iterable[tuple[float, float]] = ()
    ) -> None:
        """Let the artist, drawn at the start, go down with the time, and be (t, share of its width) wide.

        It is seen from, to only; if nothing else is said, all the time.
        """
        top = self._points(artist, (0, self.start_s))[1]

        def place(t: float, width: float | None) -> str:
            y = self._points(artist, (0, min(max(t, self.start_s), self.end_s)))[1] - top
            scale = "" if width is None else f" scaleX({width:.3f})"
            return f"transform:translateY({y:.1f}px){scale}"

        corners = [(self.start_s, 0.0), *widths] if widths else [(self.start_s, None), (self.end_s, None)]
        keys = []
        for t, width in corners:
            share = max(self._share(t), keys[-1][0] + JUMP if keys else 0.0)
            keys.append((share, place(t, width)))
        self._move(artist, "linear", keys, stays=False)
        self.appear(artist, *(spans or [(self.start_s, self.end_s)]))

    def unveil(self, artist: Artist) -> None:
        """Let the artist, which covers what is to come, give way from above."""
        keys = [(0.0, "transform:scaleY(1)"), (self._share(self.end_s), "transform:scaleY(0)")]
        self._move(artist, "linear", keys, stays=False)
        self.appear(artist, (self.start_s, self.end_s))

    def _move(self, artist: Artist, timing: str, keys: list[tuple[float, str]], stays: bool) -> None:
        self.tracks.append((artist, timing, keys))
        if not stays and artist not in self.passing:
            self.passing.append(artist)

    @property
    def moving(self) -> list[Artist]:
        """The artists that move."""
        return list(dict.fromkeys(artist for artist, _, _ in self.tracks))

    def _share(self, t: float) -> float:
        """At which part of a round the time is t [per cent]."""
        played = min(max((t - self.start_s) / (self.end_s - self.start_s), 0.0), 1.0)
        return 100 * played * self.play_s / (self.play_s + self.rest_s)

    def _points(self, artist: Artist, at: Iterable[float]) -> tuple[float, float]:
        """A place in data coordinates, in those of the SVG."""
        x, y = artist.axes.transData.transform(tuple(at)) * 72 / self.figure.dpi
        return x, -y

    # ---------------------------------------------------------------------------------- its two lives

    @cached_property
    def png(self) -> bytes:
        """The last picture of the film, as PNG."""
        for artist in self.passing:
            artist.set_visible(False)
        try:
            return with_few_colors(self._saved("png", dpi=DPI))
        finally:
            for artist in self.passing:
                artist.set_visible(True)

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG that moves where its reader has not asked for less motion."""
        names = {artist: f"m{n}" for n, artist in enumerate(self.moving)}
        if len(names) > MOST:
            what = f"{len(names)}; show a shorter time"
            raise ValueError(f"expected at most {MOST} things that move, got {what}")
        for artist, name in names.items():
            artist.set_gid(name)
        with matplotlib.rc_context({"svg.hashsalt": "film", "svg.fonttype": "path"}):
            text = self._saved("svg", metadata={"Date": None, "Creator": None}).decode()
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
        text = re.sub(r"\n\s*", "\n", text)
        text = re.sub(r"(-?\d+\.\d{4})\d+", r"\1", text)  # fewer would spoil the scale of the letters
        head, body = text.split(">", 1)
        body = body[: body.rindex("</svg>")]
        head = f'{head} role="img" data-rest="{self.rest_s:g}"><title>{escape(self.words)}</title>'
        script = f"<script><![CDATA[{SCRIPT.read_text(encoding='utf-8')}]]></script>"
        return f"{head}{self._style(names)}{body}{script}</svg>\n"

    def _style(self, names: dict[Artist, str]) -> str:
        """The keyframes, and who is moved by which."""
        frames, uses, origins = [], {}, []
        for number, (artist, timing, keys) in enumerate(self.tracks):
            steps = "".join(f"{share:.3f}%{{{what}}}" for share, what in keys)
            frames.append(f"@keyframes k{number}{{{steps}to{{{keys[-1][1]}}}}}")
            use = f"k{number} {self.play_s + self.rest_s:g}s {timing} infinite"
            uses.setdefault(names[artist], []).append(use)
            if "scale" in keys[0][1]:
                origin = "bottom" if "scaleY" in keys[0][1] else "right"
                origins.append(f"#{names[artist]}{{transform-box:fill-box;transform-origin:{origin}}}")
        rules = "".join(f"#{name}{{animation:{','.join(use)}}}" for name, use in uses.items())
        hidden = ",".join(f"#{names[artist]}" for artist in self.passing)
        moving = f"@media(prefers-reduced-motion:no-preference){{{rules}}}"
        return f"<style>{hidden}{{opacity:0}}{''.join(origins)}{''.join(frames)}{moving}</style>"

    def _saved(self, format: str, **options) -> bytes:
        out = io.BytesIO()
        with matplotlib.rc_context(LOOK):
            self.figure.savefig(out, format=format, **options)
        return out.getvalue()

    # ------------------------------------------------------------------------------------ in a notebook

    def bundle(self, words: str = "") -> dict[str, str]:
        """The film as a notebook keeps it, by type.

        The SVG stands in it once, as a moving ``<img>``. Where scripts run, in a notebook that is
        trusted and on a page, one puts a frame in its place, with button and slider.
        """
        words = escape(" ".join(words.split()) or self.words)
        width, height = (round(PAGE_DPI * inches) for inches in self.figure.get_size_inches())
        data = f"data:image/svg+xml;base64,{in_base64(self.svg.encode())}"
        framed = round(height + CONTROLS * PAGE_DPI / 72)
        script = FRAME.format(width=width, height=framed)
        html = (
            f'<div><img alt="{words}" width="{width}" src="{data}">{script}</div>'
            f"<details><summary>The picture in words</summary>{words}</details>"
        )
        return {"text/html": html, "image/png": in_base64(halved(self.png)), "text/plain": words}

    def _repr_mimebundle_(self, **_) -> dict[str, str]:
        return self.bundle()


#: What adds a button and a slider to a film that is opened by itself or in a frame.
SCRIPT = Path(__file__).with_name("film.js")
#: Puts a frame in the place of the picture before it.
FRAME = """<script>{{
const picture = document.currentScript?.previousElementSibling, frame = document.createElement("iframe");
if (picture?.src) {{
  Object.assign(frame, {{ src: picture.src, title: picture.alt }});
  frame.style.cssText = "border:0;width:100%;max-width:{width}px;aspect-ratio:{width}/{height}";
  picture.replaceWith(frame);
}}
}}</script>"""
