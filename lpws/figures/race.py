"""The moving race: one ladder per run, all in one clock, written by the line "now"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.patches import Rectangle

from ..run import Run
from ..tables import age_over_time, connections, deliveries, mean_age_s, requests
from .arguments import check_client, check_window, labeled
from .film import MOST, Film
from .labels import write
from .panel import Drawing
from .style import FAINT, GRAY, INK, LARGE, LOOK, MEDIUM, SMALL, TRANSPORT_STYLE, styles

#: From one ladder to the next; room for the sawtooth; from client to server; where messages are published.
PITCH, SAW, LADDER, NEWS = 190, 76, 84, -42
LEFT = -58  # where the picture begins


@rc_context(LOOK)
def replay(
    runs: Run | Mapping[str, Run],
    *,
    client: int = 0,
    window_s: tuple[float, float] | None = None,
    title: str = "Five ways to hear the news",
    play_s: float = 16.0,
    rest_s: float = 5.0,
) -> Film:
    """Draw the same messages on their way to one client, transport by transport, as a moving picture.

    A line sweeps down through the time and writes a ladder for each run: requests are gray dots,
    messages numbered balls, empty responses rings, a request that the server holds is a bar. To the
    left of each client grows the age of its knowledge.

    Parameters
    ----------
    runs
        A run, or runs by label, with the same messages.
    client
        Number of the client, the same in each run.
    window_s
        Begin and end [s]; if not given, the set-up and the time of publishing.
    title
        The title above the film.
    play_s, rest_s
        Time [s] that the film plays, and that its end stays before it begins anew.

    Returns
    -------
    Film
        It shows itself as the value of a cell, or by `lpws.show` with words of one's own; ``svg``
        and ``png`` are its two lives.

    Raises
    ------
    ValueError
        If more than 200 messages would move.
    """
    runs = labeled(runs)
    check_client(runs, client)
    start_s, end_s = _window(runs) if window_s is None else check_window(window_s)
    wide = len(runs) * PITCH - 16
    width = 10.4 * (wide - LEFT) / (5 * PITCH - 16 - LEFT)
    figure = Drawing(figsize=(max(width, 7.5), 6.7), dpi=100)
    ax = figure.add_axes((0.045, 0.115, 0.94, 0.635))
    ax.set(xlim=(LEFT, wide), ylim=(end_s, start_s), xticks=[])
    _clock(ax, start_s, end_s, wide)
    film = Film(figure, _words(runs), start_s, end_s, play_s=play_s, rest_s=rest_s)

    due_s = next(iter(runs.values())).workload.due_times_s()
    due_s = [t for t in due_s if start_s <= t <= end_s]
    _news(ax, film, due_s, wide)
    of_transport = styles(runs)
    ages = {label: age_over_time(run, client, until_s=end_s) for label, run in runs.items()}
    scale = SAW / max(1e-3, *(age.age_s.max() for age in ages.values()))
    dots = []
    for n, (label, run) in enumerate(runs.items()):
        column = _Column(ax, film, n * PITCH, run, client, of_transport[label])
        column.head(label)
        column.age(ages[label], scale)
        column.ladder(due_s)
        column.messages()
        dots += column.dots
    for kind in ("request", "empty", "handshake"):  # what matters least stays still, if too much would move
        some = [dot for dot in dots if dot[0] == kind]
        if len(film.moving) + len(some) <= MOST - 2:
            for _, begin, end, face, edge in some:
                look = {"markersize": 5, "markerfacecolor": face, "markeredgecolor": edge, "zorder": 8}
                (mark,) = ax.plot(*end[1:], marker="o", **look)
                film.travel(mark, begin, end, stays=False)

    _key(ax)
    veil = {"color": "white", "alpha": 0.93, "linewidth": 0, "zorder": 5}
    film.unveil(ax.add_patch(Rectangle((LEFT, start_s), wide + 60, end_s - start_s, **veil)))
    (now,) = ax.plot([LEFT, wide], [start_s, start_s], color=INK, linewidth=1, zorder=7, clip_on=False)
    film.fall(now)
    _title(figure, title, runs, len(due_s))
    return film


def _window(runs: Mapping[str, Run]) -> tuple[float, float]:
    """From the set-up, if it was shortly before, to a little after the last publish [s]."""
    end_s = 1.1 * max(run.workload.duration_s for run in runs.values())
    for run in runs.values():
        if run.transport.streams:  # when its clients left, the run was over
            end_s = min(end_s, run.events[-1].t if run.events else end_s)
    set_up_s = np.nanmin([0.0, *(connections(run).opening_s.min() for run in runs.values())])
    return max(set_up_s - 0.015 * end_s, -0.25 * end_s), end_s


def _words(runs: Mapping[str, Run]) -> str:
    """Description of the film, in the same words for each run of one specification."""
    return (
        f"Ladders in one clock, one per transport: {', '.join(runs)}. The same messages are published at "
        "the same moments, and a line that sweeps down writes what follows: requests go from the client to "
        "the server, messages come back as numbered balls. At the left of each client grows the age of "
        "what it knows, a tooth that ends with each response; at the bottom stands its average."
    )


def _clock(ax, start_s: float, end_s: float, wide: float) -> None:
    """Lines at whole seconds, or at whole tenths where there is no room for two."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 600) if (end_s - start_s) / step <= 9)
    ticks = np.arange(np.ceil(max(start_s, 0) / step), np.floor(end_s / step) + 1) * step
    ax.set_yticks(ticks, [f"{tick:g} s" for tick in ticks], color=GRAY)
    ax.tick_params("y", length=0)
    ax.spines[:].set_visible(False)
    ax.hlines(ticks, LEFT, wide, color=FAINT, linewidth=0.8, zorder=0)


def _news(ax, film: Film, due_s: list[float], wide: float) -> None:
    """Numbered balls where messages are published, and from each a dotted line to all servers."""
    dotted = {"color": INK, "linewidth": 0.6, "linestyle": (0, (1, 4)), "alpha": 0.6}
    ax.hlines(due_s, NEWS + 16, wide, zorder=1, **dotted)
    write(ax, "published", (NEWS, 1.02), (-7, 0), ax.get_xaxis_transform(), fontsize=SMALL, fontweight="bold")
    span_s = abs(np.diff(ax.get_ylim())[0])
    last_s = [-np.inf] * 3  # of each of the places side by side
    for number, t in enumerate(due_s, 1):
        place = next((n for n, before_s in enumerate(last_s) if t - before_s > 0.034 * span_s), 0)
        last_s[place] = t
        film.appear(_ball(ax, NEWS + 16 * place, t, number, INK), (t, None))


def _ball(ax, x: float, y: float, number: int, color: str):
    """A numbered ball: one artist, so that it moves as one."""
    ball = {"boxstyle": "circle,pad=0.22", "facecolor": color, "edgecolor": "white", "linewidth": 0.8}
    text = {"color": "white", "fontsize": 7.5, "fontweight": "bold", "ha": "center", "va": "center"}
    return ax.text(x, y, f"{number}", bbox=ball, zorder=8, **text)


def _title(figure, title: str, runs: Mapping[str, Run], messages: int) -> None:
    figure.text(0.021, 0.951, title, fontsize=LARGE + 4, fontweight="bold")
    transits = {run.delay_s for run in runs.values()}
    one_way = f"; one way takes {transits.pop():g} s" if len(transits) == 1 and max(transits) else ""
    note = f"The same {messages} messages, published at the same moments, in one clock{one_way}."
    figure.text(0.021, 0.915, note, fontsize=MEDIUM, color=GRAY)


def _key(ax) -> None:
    """Draw the key of the marks, beside the title."""
    figure, ink = ax.figure, TRANSPORT_STYLE["long polling"].ink
    key = figure.add_axes((1 - 4.0 / figure.get_figwidth(), 0.905, 3.9 / figure.get_figwidth(), 0.08))
    key.set(xlim=(0, 390), ylim=(52, 0))
    key.axis("off")
    dot = {"marker": "o", "markersize": 5, "linestyle": "none"}
    key.plot([8], [14], color="#8a8a8a", **dot)
    key.plot([8], [38], markerfacecolor="white", markeredgecolor=ink, **dot)
    _ball(key, 138, 14, 1, ink)
    key.add_patch(Rectangle((134, 27), 8, 22, color=ink, alpha=0.75, linewidth=0))
    key.fill([246, 264, 264], [36, 36, 6], facecolor=ink, alpha=0.28, linewidth=0)
    key.plot([264, 246, 264], [6, 36, 36], color=ink, linewidth=0.9)
    words = {(18, 14): "a request", (18, 38): "an empty response", (152, 14): "a message", (152, 38): "held"}
    words |= {(274, 14): "the age of what", (274, 38): "the client knows"}
    for at, text in words.items():
        write(key, text, at, fontsize=SMALL, color=GRAY, va="center")


class _Column:
    """One run's part of the picture: its head, its sawtooth, its ladder, its messages."""

    def __init__(self, ax, film: Film, left: float, run: Run, client: int, style) -> None:
        self.ax, self.film, self.left, self.run, self.style = ax, film, left, run, style
        self.client, self.server = left + SAW + 4, left + SAW + 4 + LADDER
        self.start_s, self.end_s = film.start_s, film.end_s
        self.number = client
        self.streams = run.transport.streams
        asked, told, lines = requests(run), deliveries(run), connections(run)
        self.asked = asked[(asked.client == client) & (asked.sent_s < self.end_s)]
        self.told = told[(told.client == client) & (told.received_s <= self.end_s)]
        self.lines = lines[(lines.client == client) & (lines.opening_s < self.end_s)]
        #: What may travel: kind, begin and end as (t, x, y), color of its face, color of its edge.
        self.dots: list[tuple] = []

    def head(self, label: str) -> None:
        """Name, counter of requests, and in the end how far behind the client was."""
        ax, frame = self.ax, self.ax.get_xaxis_transform()
        bold = {"fontsize": LARGE + 2, "fontweight": "bold", "color": self.style.ink}
        write(ax, label, (self.left + 2, 1.155), frame=frame, **bold)
        for x, name in ((self.client, "client"), (self.server, "server")):
            write(ax, name, (x, 1.02), frame=frame, fontsize=SMALL, color=GRAY, ha="center")
        sent_s = sorted(max(t, self.start_s) for t in self.asked.sent_s)
        edges = [self.start_s, *sent_s, None]
        for number, span in enumerate(zip(edges, edges[1:], strict=False)):
            if span[0] != span[1]:
                at = (self.left + 2, 1.075)
                count = write(ax, f"{number}", at, frame=frame, fontsize=LARGE + 8, fontweight="bold")
                self.film.appear(count, span)
        x = self.left + 8 + 14 * len(f"{len(sent_s)}")
        words = "request" + "s" * (len(sent_s) != 1)
        write(ax, words, (x, 1.075), frame=frame, fontsize=MEDIUM, color=GRAY)

    def age(self, line, scale: float) -> None:
        """A filled sawtooth to the left of the client, and a bar as wide as it is now."""
        edge, color = self.client - line.age_s * scale, self.style.color
        self.ax.fill_betweenx(line.t_s, edge, self.client, color=color, alpha=0.28, linewidth=0, zorder=1)
        self.ax.plot(edge, line.t_s, color=color, linewidth=0.9, zorder=1, label="age")
        high_s = 0.012 * (self.end_s - self.start_s)
        bar = Rectangle((self.client - SAW, self.start_s - high_s / 2), SAW, high_s)
        bar.set(color=color, linewidth=0, zorder=7, clip_on=False)
        widths = zip(line.t_s, line.age_s * scale / SAW, strict=True)
        self.film.fall(self.ax.add_patch(bar), widths=widths)
        mean_s = mean_age_s(self.run, self.number, until_s=self.end_s)
        frame = self.ax.get_xaxis_transform()
        bold = {"fontsize": LARGE + 3, "fontweight": "bold", "color": self.style.ink}
        words = f"{mean_s:.2f} s" if mean_s >= 0.1 else f"{1000 * mean_s:.0f} ms"
        number = write(self.ax, words, (self.left + 2, -0.08), frame=frame, **bold)
        self.film.appear(number, (self.end_s, None))
        small = {"fontsize": MEDIUM - 1, "color": GRAY}
        words = write(self.ax, "behind, on average", (self.left + 2, -0.13), frame=frame, **small)
        self.film.appear(words, (self.end_s, None))

    def ladder(self, due_s: list[float]) -> None:
        """Life-lines, connections, requests, what is held, and responses."""
        ax, color, end_s = self.ax, self.style.color, self.end_s
        ax.vlines([self.client, self.server], self.start_s, end_s, color=INK, linewidth=1.2, zorder=3)
        ax.plot(np.full(len(due_s), self.server), due_s, "o", markersize=4, color=INK, zorder=3)
        for line in self.lines.itertuples():
            until_s = end_s if np.isnan(line.closed_s) else min(line.closed_s, end_s)
            open_ = Rectangle((self.client, line.opened_s), LADDER, until_s - line.opened_s)
            open_.set(color=color, alpha=0.09, linewidth=0, zorder=1)
            if line.opened_s < until_s:
                ax.add_patch(open_)
            middle_s = (line.opening_s + line.opened_s) / 2
            self._arrow("handshake", self.client, line.opening_s, self.server, middle_s, "white", GRAY)
            self._arrow("handshake", self.server, middle_s, self.client, line.opened_s, "white", GRAY)
        held = []
        for request in self.asked.dropna(subset="received_s").itertuples():
            gray = "#8a8a8a"
            self._arrow("request", self.client, request.sent_s, self.server, request.received_s, gray, gray)
            answered_s = end_s if np.isnan(request.answered_s) else min(request.answered_s, end_s)
            if not self.streams and answered_s - request.received_s > 0.002 * (end_s - self.start_s):
                bar = Rectangle((self.server, request.received_s), 7, answered_s - request.received_s)
                bar.set(color=color, alpha=0.75, linewidth=0, zorder=2, label="held")
                ax.add_patch(bar)
                held.append((request.received_s, answered_s))
            if request.response_s <= end_s:
                kind = "news" if request.messages and not self.streams else "empty"
                back = (self.server, request.answered_s, self.client, request.response_s)
                self._arrow(kind, *back, "white", color)
        if held:
            glow = ax.scatter(
                [self.server + 3.5] * 5, [self.start_s] * 5, s=[49, 110, 200, 340, 560], c=color,
                alpha=[0.9, 0.2, 0.15, 0.1, 0.06], linewidth=0, zorder=8, clip_on=False,
            )  # fmt: skip
            self.film.fall(glow, *held)

    def messages(self) -> None:
        """A numbered ball per message, which stays at the client; those that come together, side by side."""
        room_s, placed = 0.032 * (self.end_s - self.start_s), []
        for message in self.told.sort_values(["received_s", "message"]).itertuples():
            if self.streams:
                self._arrow("news", self.server, message.sent_s, self.client, message.received_s, "", "")
            x = self.client
            while any(abs(x - other) < 12 and message.received_s - t < room_s for other, t in placed):
                x -= 14
            placed.append((x, message.received_s))
            ball = _ball(self.ax, x, message.received_s, message.message, self.style.ink)
            begin = (message.sent_s, self.server + x - self.client, message.sent_s)
            self.film.travel(ball, begin, (message.received_s, x, message.received_s), stays=True)

    def _arrow(self, kind: str, x0: float, t0: float, x1: float, t1: float, face: str, edge: str) -> None:
        """A line from here to there, and what may travel along it."""
        look = {
            "handshake": {"color": GRAY, "linewidth": 0.8, "linestyle": (0, (2, 3))},
            "request": {"color": "#9a9a9a", "linewidth": 1},
            "empty": {"color": self.style.color, "linewidth": 0.9},
            "news": {"color": self.style.color, "linewidth": 2},
        }[kind]
        self.ax.plot([x0, x1], [t0, t1], zorder=3 if kind == "news" else 2, label=kind, **look)
        if kind != "news" and self.start_s <= t0 and t1 <= self.end_s:
            self.dots.append((kind, (t0, x0, t0), (t1, x1, t1), face, edge))
