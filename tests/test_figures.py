"""The figures, by their artists: bars, dots, ticks, arrows and texts are where the trace says."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from wsproto.connection import Connection, ConnectionType  # noqa: E402
from wsproto.events import TextMessage  # noqa: E402

from lpws import tables  # noqa: E402
from lpws.figures import (  # noqa: E402
    TRANSPORT_STYLE,
    bytes_to_scale,
    connections_and_latency,
    ecdf,
    frame_bits,
    freshness,
    gap_strip,
    ladder,
    lifelines,
    rain,
    timeline,
)
from lpws.figures.frame import fields  # noqa: E402
from lpws.figures.labels import spread  # noqa: E402
from lpws.figures.picture import png  # noqa: E402
from lpws.run import Run  # noqa: E402
from lpws.simulation import simulate  # noqa: E402
from lpws.specs import (  # noqa: E402
    SSE,
    TRANSPORTS,
    Link,
    LongPolling,
    Reload,
    ShortPolling,
    WebSocket,
    Workload,
)
from lpws.tables import requests as lpws_requests

WORK = Workload(clients=4, rate_hz=2, duration_s=6, seed=3)
LINK = Link(delay_s=0.025)
SPECS = {
    "reload": Reload(),
    "short polling": ShortPolling(keep_alive=False),
    "long polling": LongPolling(),
    "long polling, close": LongPolling(keep_alive=False),
    "SSE": SSE(),
    "WebSocket": WebSocket(),
}
RUNS = {label: simulate(spec, WORK, LINK) for label, spec in SPECS.items()}
FIGURES = [
    *(lifelines, ecdf, timeline, freshness),
    lambda runs, **more: ladder(next(iter(runs.values())), **more),
]


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def texts(ax):
    """All texts of an Axes that are not empty."""
    return [text for text in ax.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]


def words(ax):
    return [text.get_text() for text in texts(ax)]


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


def collections(ax, label):
    return [collection for collection in ax.collections if collection.get_label() == label]


def spans(collection, axis=0):
    """Begin and end of each bar."""
    return [(path.vertices[:, axis].min(), path.vertices[:, axis].max()) for path in collection.get_paths()]


def arrows(ax, name):
    """Start and end of each arrow of this name, data coordinates."""
    return [(note.xyann, note.xy) for note in ax.texts if note.get_gid() == name]


def overlaps(boxes):
    return [
        (a, b)
        for n, (a, one) in enumerate(boxes)
        for b, other in boxes[:n]
        if one.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9))
    ]


# ------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_draws_on_the_axes_it_is_given(figure):
    own = Figure(figsize=(8, 5))
    FigureCanvasAgg(own)
    ax = own.add_subplot()
    assert figure(RUNS, ax=ax) is ax
    assert pyplot.get_fignums() == []
    own.canvas.draw()


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_makes_axes_of_its_own_and_changes_nothing_else(figure):
    before = dict(matplotlib.rcParams)
    ax = figure(RUNS)
    png(ax.figure)
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert ax.get_legend() is None
    assert not ax.spines["top"].get_visible()


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_has_a_title_that_can_be_chosen(figure):
    assert len(figure(RUNS).get_title(loc="left")) > 10
    assert figure(RUNS, title="mine").get_title(loc="left") == "mine"


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_of_nothing(figure):
    for transport in SPECS.values():
        figure({transport.label: Run(transport, WORK, LINK)}).figure.canvas.draw()


@pytest.mark.parametrize("figure", [lifelines, ecdf, timeline, freshness])
def test_a_figure_of_no_run(figure):
    with pytest.raises(ValueError, match="expected at least one run, got an empty dict"):
        figure({})
    with pytest.raises(TypeError, match="expected a Run or a dict label → Run, got 3"):
        figure(3)
    with pytest.raises(TypeError, match="expected a dict label → Run, got 'a': 3"):
        figure({"a": 3})
    assert pyplot.get_fignums() == []


def test_a_figure_says_that_a_run_is_unfit():
    good = RUNS["SSE"]
    late = [(t + 0.05 * (name == "published"), name, *rest) for t, name, *rest in good.events]
    bad = Run(good.transport, WORK, LINK, sorted(late, key=lambda event: event[0]), origin="measured")
    assert any("unfit" in word for word in words(timeline(bad)))
    assert not any("unfit" in word for word in words(timeline(good)))


@pytest.mark.parametrize("figure", [lifelines, ecdf, timeline])
def test_which_of_two_runs_of_one_transport_is_unfit(figure):
    good = RUNS["SSE"]
    bad = Run(good.transport, WORK, LINK, good.events, origin="measured", log=("no tea",))
    said = [word for word in words(figure({"calm": good, "busy": bad})) if "unfit" in word]
    assert len(said) == 1
    assert said[0].startswith("busy: unfit")


@pytest.mark.filterwarnings("error")
def test_latencies_that_are_all_nothing():
    work = Workload(clients=2, rate_hz=20, duration_s=1)
    still = simulate(WebSocket(), work)
    assert tables.deliveries(still).latency_s.max() == 0
    for log in (True, False, None):
        ecdf(still, log=log).figure.draw_without_rendering()


def test_ticks_do_not_touch_over_four_decades():
    """From tens of microseconds to a second."""
    work = Workload(clients=2, rate_hz=20, duration_s=5)
    runs = {
        "near": simulate(WebSocket(), work, Link(delay_s=1e-5)),
        "far": simulate(Reload(pause_s=1), work),
    }
    ax = ecdf(runs, log=True)
    ax.figure.draw_without_rendering()
    start_s, end_s = ax.get_xlim()
    labels = [label for label in ax.get_xticklabels() if start_s <= label.get_position()[0] <= end_s]
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) >= 4
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def luminance(color):
    """Of a color on a screen (WCAG 2.2)."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return np.dot([0.2126, 0.7152, 0.0722], parts)


def test_every_transport_has_a_style_of_its_own():
    assert list(TRANSPORT_STYLE) == [transport.label for transport in TRANSPORTS]
    for cue in ("color", "ink", "marker"):
        assert len({getattr(style, cue) for style in TRANSPORT_STYLE.values()}) == len(TRANSPORT_STYLE)
    for style in TRANSPORT_STYLE.values():
        assert 1.05 / (luminance(style.ink) + 0.05) >= 4.5  # text on white, WCAG 2.2 §1.4.3


def test_spread_keeps_order_and_distance():
    rng = np.random.default_rng(1)
    for _ in range(100):
        wanted, heights = rng.uniform(0, 100, 6), rng.uniform(5, 15, 6)
        centers = spread(wanted, heights, 0, 100)
        order = np.argsort(wanted)
        edges = np.column_stack([centers - heights / 2, centers + heights / 2])[order]
        assert (edges[1:, 0] - edges[:-1, 1] > -1e-6).all()
        assert edges.min() > -1e-6
        assert edges.max() < 100 + 1e-6


# ------------------------------------------------------------------------------- life-lines


@pytest.mark.parametrize("side", ["client", "server"])
def test_lifelines_show_every_connection_and_message(side):
    ax = lifelines(RUNS, client=2, side=side)
    assert side in ax.get_title(loc="left")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(RUNS)
    start_s, end_s = ax.get_xlim()[0], WORK.duration_s
    for n, (label, run) in enumerate(RUNS.items()):
        mine = tables.connections(run, side).query("client == 2")
        begins = mine.opening_s.fillna(mine.opened_s)
        bars = spans(collections(ax, "open")[n])
        shown = begins <= end_s
        assert [begin for begin, _ in bars] == pytest.approx(begins[shown].tolist())
        assert [end for _, end in bars] == pytest.approx(mine.closed_s[shown].clip(upper=end_s).tolist())
        dots = lines(ax, "opening")[n].get_xdata()
        assert dots == pytest.approx(begins[shown].to_numpy())
        assert f"{len(dots)} opened" in words(ax), label
        told = tables.deliveries(run).query("client == 2")
        column = told.received_s if side == "client" else told.sent_s
        ticks = [segment[0][0] for segment in collections(ax, "message")[n].get_segments()]
        assert ticks == pytest.approx(sorted(column[column.between(start_s, end_s)]))


@pytest.mark.parametrize("side", ["client", "server"])
def test_lifelines_mark_every_request_and_count_what_comes_together(side):
    run = simulate(ShortPolling(interval_s=1.0), Workload(clients=3, rate_hz=5.0, duration_s=4.0), Link())
    ax = lifelines(run, client=1, side=side, window_s=(0, 4))
    asked = lpws_requests(run).query("client == 1")
    asked_s = asked.sent_s if side == "client" else asked.received_s
    (marks,) = lines(ax, "request")
    assert marks.get_xdata() == pytest.approx(asked_s[asked_s.between(0, 4)])
    numbers = sorted(int(text.get_text()) for text in ax.texts if text.get_text().isdigit())
    moment_s = asked.response_s if side == "client" else asked.answered_s
    several = asked.messages[moment_s.between(0, 4) & (asked.messages > 1)]
    assert numbers == sorted(several)
    assert len(numbers) > 1


def test_lifelines_are_dark_while_a_request_is_held():
    run = RUNS["long polling"]
    ax = lifelines(run)
    held = tables.requests(run).query("client == 0")
    held = held[held.received_s < WORK.duration_s]
    got = spans(collections(ax, "held")[0])
    assert [begin for begin, _ in got] == pytest.approx(held.received_s.tolist())
    assert [end for _, end in got][:-1] == pytest.approx(held.answered_s.tolist()[:-1])
    assert got[-1][1] == WORK.duration_s  # held when the window ends
    assert collections(lifelines(RUNS["WebSocket"]), "held") == []


def test_lifelines_of_clients_in_a_window():
    run = RUNS["long polling, close"]
    ax = lifelines(run, clients=[0, 3], window_s=(2, 4))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["client 0", "client 3"]
    for n, client in enumerate([0, 3]):
        mine = tables.connections(run).query(f"client == {client}")
        inside = mine.opening_s.between(2, 4).sum()
        assert len(lines(ax, "opening")[n].get_xdata()) == inside > 0
        assert f"{inside} opened,\n1 before" in words(ax)
        assert all(2 <= begin <= end <= 4 for begin, end in spans(collections(ax, "open")[n]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"client": 4}, "expected a client from 0 to 3 of the run 'reload', got 4"),
        ({"side": "link"}, "expected side 'client' or 'server', got 'link'"),
        ({"window_s": (3, 2)}, r"expected window_s=\(start, end\) in seconds with start < end, got \(3, 2\)"),
        ({"window_s": 3}, "expected window_s=.*got 3"),
        ({"clients": [0]}, "expected a single run with clients="),
    ],
)
def test_lifelines_say_what_they_expect(arguments, message):
    with pytest.raises(ValueError, match=message):
        lifelines(RUNS, **arguments)


# ----------------------------------------------------------------------------------- ladder


@pytest.mark.parametrize("label", SPECS)
def test_ladder_arrows_end_where_the_trace_says(label):
    run = RUNS[label]
    ax = ladder(run, client=1, window_s=(0, 8))
    ax.figure.draw_without_rendering()
    assert ax.get_ylim() == (8, 0)
    told = tables.deliveries(run).query("client == 1")
    asked = tables.requests(run).query("client == 1")
    times = [(start[1], end[1]) for start, end in arrows(ax, "request")]
    shown = asked[(asked.received_s >= 0) & (asked.sent_s <= 8)]
    assert times == list(zip(shown.sent_s, shown.received_s, strict=True))
    assert {(start[0], end[0]) for start, end in arrows(ax, "request")} <= {(0, 1)}

    name, sent, received = "answer", asked.answered_s, asked.response_s
    if label in ("SSE", "WebSocket"):
        name, sent, received = "message", told.sent_s, told.received_s
    shown = (received >= 0) & (sent <= 8)
    times = [(start[1], end[1]) for start, end in arrows(ax, name)]
    assert times == list(zip(sent[shown], received[shown], strict=True))
    assert all((start[0], end[0]) == (1, 0) for start, end in arrows(ax, name))

    assert [end[1] for _, end in arrows(ax, "published")] == told.published_s[told.published_s <= 8].tolist()


def test_ladder_held_requests_are_bars_at_the_server():
    run = RUNS["long polling"]
    ax = ladder(run, window_s=(0, 8))
    held = tables.requests(run).query("client == 0")
    got = [spans(collection, axis=1)[0] for collection in collections(ax, "held")]
    assert np.array(got)[:-1] == pytest.approx(held[["received_s", "answered_s"]].to_numpy()[:-1])
    assert got[-1][1] >= WORK.duration_s  # still held when the run ends
    assert collections(ladder(RUNS["SSE"]), "held") == []


def test_ladder_shows_what_a_new_connection_costs():
    ax = ladder(RUNS["long polling, close"])
    bars = [spans(collection, axis=1)[0] for collection in collections(ax, "connecting")]
    assert bars
    assert [end - start for start, end in bars] == pytest.approx([2 * LINK.delay_s] * len(bars))
    assert collections(ladder(RUNS["long polling"]), "connecting") == []


@pytest.mark.parametrize("label", ["short polling", "long polling", "long polling, close"])
def test_ladder_chooses_the_oldest_message(label):
    run = RUNS[label]
    ax = ladder(run, client=1)
    told = tables.deliveries(run).query("client == 1")
    end_s, start_s = ax.get_ylim()
    near = told[told.latency_s >= told.latency_s.max() - LINK.delay_s / 2]
    assert (near.due_s.ge(start_s) & near.received_s.le(end_s)).any()
    inside = told[told.received_s.between(start_s, end_s)].latency_s.max()
    assert f"{inside / LINK.delay_s:.1f} transits" in ax.get_title(loc="left")
    assert any(f"{inside / LINK.delay_s:.1f} transits" in word for word in words(ax) if word.startswith("#"))


def test_ladder_shows_a_message_that_was_missed():
    bursts = Workload(clients=1, rate_hz=2, duration_s=6, pattern="bursts", burst=3, spacing_s=0.03)
    ax = ladder(simulate(LongPolling(cursor=False), bursts, LINK))
    assert ax.get_title(loc="left") == "long polling: message 2 never reaches client 0"
    assert "#2 missed" in words(ax)


def test_ladder_without_a_distance_speaks_of_milliseconds():
    ax = ladder(simulate(WebSocket(), WORK))
    assert any(word.endswith("  0 ms") for word in words(ax))
    assert not any("transit" in word for word in words(ax))


@pytest.mark.parametrize("label", SPECS)
@pytest.mark.parametrize("window_s", [None, (0, 6)])
def test_ladder_labels_do_not_overlap(label, window_s):
    busy = Workload(clients=1, rate_hz=20, duration_s=6)
    ax = ladder(simulate(SPECS[label], busy, LINK), window_s=window_s)
    ax.figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts if text.get_text()]
    assert len(boxes) > 5
    assert overlaps(boxes) == []


def test_ladder_says_what_it_expects():
    with pytest.raises(TypeError, match="expected a Run, got {"):
        ladder(RUNS)
    with pytest.raises(ValueError, match="expected a client from 0 to 3 of the run 'SSE', got -1"):
        ladder(RUNS["SSE"], client=-1)
    with pytest.raises(ValueError, match="expected window_s="):
        ladder(RUNS["SSE"], window_s=(1, None))


# ------------------------------------------------------------------------------------- ECDF


@pytest.mark.parametrize("log", [None, True, False])
def test_ecdf_is_the_share_of_all_messages(log):
    ax = ecdf(RUNS, log=log)
    assert ax.get_xscale() == ("linear" if log is False else "log")
    for label, run in RUNS.items():
        (line,) = lines(ax, label)
        latency_s = tables.deliveries(run).latency_s
        x, y = line.get_data()
        for t in (0.03, 0.1, 0.5, 1.0):
            assert y[np.searchsorted(x, t, side="right") - 1] == pytest.approx((latency_s <= t).mean())


def test_ecdf_of_a_run_that_lost_messages_does_not_reach_one():
    bursts = Workload(clients=2, rate_hz=2, duration_s=6, pattern="bursts", burst=2, spacing_s=0.01)
    run = simulate(LongPolling(cursor=False), bursts, LINK)
    delivered = (tables.deliveries(run).state == "delivered").mean()
    ax = ecdf(run)
    assert lines(ax, "long polling")[0].get_ydata()[-1] == delivered == 0.5
    assert any("missed" in word or "pending" in word for word in words(ax))


def test_ecdf_with_model_recorded_run_and_guess():
    def model(latency_s):
        return np.clip(latency_s - LINK.delay_s, 0, 1)

    run = RUNS["short polling"]
    ax = ecdf(run, models={"short polling": model, "another": model}, recorded=run, guess_s=0.4)
    for line in lines(ax, "_model"):
        assert line.get_ydata() == pytest.approx(model(line.get_xdata()))
        assert line.get_linestyle() == "--"
    assert len(lines(ax, "_recorded")) == 1
    assert lines(ax, "_your guess")[0].get_xdata() == [0.4, 0.4]
    assert lines(ax, "_one transit")[0].get_xdata() == [0.025, 0.025]
    assert {"your guess", "one transit", "another", "short polling"} <= set(words(ax))


@pytest.mark.parametrize("labels", [list(SPECS), ["SSE", "WebSocket", "long polling"]])
@pytest.mark.parametrize("log", [True, False])
def test_ecdf_names_do_not_overlap(labels, log):
    runs = {label: RUNS[label] for label in labels}
    ax = ecdf(runs, log=log, guess_s=0.2)
    ax.figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts if text.get_text()]
    assert {label for label, _ in boxes} >= {*runs, "your guess", "one transit"}
    assert overlaps(boxes) == []


def test_ecdf_time_is_in_milliseconds_below_one_second():
    assert ecdf(RUNS["WebSocket"]).get_xlabel().endswith("[ms]")
    assert ecdf(RUNS["reload"]).get_xlabel().endswith("[s]")


def test_ecdf_says_what_it_expects():
    with pytest.raises(TypeError, match="expected a function of the latency as the model of 'a', got 3"):
        ecdf(RUNS, models={"a": 3})
    with pytest.raises(ValueError, match="expected shares from 0 to 1 of the model of 'a'"):
        ecdf(RUNS, models={"a": lambda latency_s: 2 + latency_s})
    with pytest.raises(ValueError, match="expected a guess above 0 s, got -1"):
        ecdf(RUNS, guess_s=-1)


# --------------------------------------------------------------------------------- timeline


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("what", ["opened", "open", "requests"])
def test_timeline_counts(what, side):
    ax = timeline(RUNS, what=what, side=side)
    assert f"counted at the {side}" in ax.get_title(loc="left")
    for label, run in RUNS.items():
        x, y = lines(ax, label)[0].get_data()
        assert (x[0], x[-1]) == (0, WORK.duration_s)
        mine = tables.connections(run, side)
        asked = tables.requests(run)["sent_s" if side == "client" else "received_s"]
        begins = mine.opening_s.fillna(mine.opened_s)
        for t in (0.0, 1.2345, 3.456, 5.4321):
            count = {
                "opened": (mine.opened_s <= t).sum(),
                "open": (begins <= t).sum() - (mine.closed_s <= t).sum(),
                "requests": (asked <= t).sum(),
            }[what]
            assert y[np.searchsorted(x, t, side="right") - 1] == count
        if what != "open":
            assert f"{label}: {y[-1]:,}" in words(ax)


def test_timeline_names_do_not_overlap():
    for what in ("opened", "open", "requests"):
        ax = timeline(RUNS, what=what)
        ax.figure.draw_without_rendering()
        boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts if text.get_text()]
        assert len(boxes) == len(RUNS) + 1
        assert overlaps(boxes) == []
        right = ax.get_window_extent().x1
        assert all(box.x1 <= right + 1 for text, box in boxes if ":" in text)


def test_timeline_says_what_it_expects():
    with pytest.raises(ValueError, match="expected what='opened', 'open' or 'requests', got 'bytes'"):
        timeline(RUNS, what="bytes")
    with pytest.raises(ValueError, match="expected side 'client' or 'server', got 'link'"):
        timeline(RUNS, side="link")


# ---------------------------------------------------------------------- connections and latency


@pytest.mark.parametrize("label", SPECS)
def test_the_pair_shows_what_the_tables_say(label):
    run = RUNS[label]
    above, below = connections_and_latency(run).axes
    opened, told = tables.connections(run, "server").opened_s, tables.deliveries(run)
    (line,) = lines(above, "opened")
    end_s = above.get_xlim()[1]
    assert line.get_ydata()[-1] == (opened <= end_s).sum()
    assert f"{line.get_ydata()[-1]:,} opened" in words(above)
    (dots,) = lines(below, "delivery")
    size = 1 if "[s]" in below.get_ylabel() else 1000
    assert dots.get_xdata() == pytest.approx(told.received_s.dropna().to_numpy())
    assert dots.get_ydata() == pytest.approx(size * told.latency_s.dropna().to_numpy())
    assert any(f"median {size * told.latency_s.median():.3g}" in word for word in words(below))


def test_the_pair_of_a_run_that_has_not_begun():
    connections_and_latency(Run(WebSocket(), WORK, LINK)).draw_without_rendering()
    with pytest.raises(TypeError, match="expected a Run, got 3"):
        connections_and_latency(3)


# ----------------------------------------------------------------------------------- freshness


def area(collection):
    """Of its one polygon (the shoelace formula)."""
    x, y = collection.get_paths()[0].vertices.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_the_areas_of_freshness_are_mean_ages():
    ax = freshness(RUNS, client=1)
    assert {"reload", "short polling", "long polling", "SSE", "WebSocket"} <= set(words(ax))
    for run, filled in zip(RUNS.values(), collections(ax, "age"), strict=True):
        mean = tables.mean_age_s(run, 1)
        assert area(filled) / WORK.duration_s == pytest.approx(mean)
        assert f"{mean:.2f} s" in words(ax)
    assert lines(ax, "published")[0].get_xdata().tolist() == WORK.due_times_s()


def test_freshness_of_runs_with_different_messages_marks_none():
    other = simulate(WebSocket(), Workload(clients=4, rate_hz=2, duration_s=6, seed=4), LINK)
    assert lines(freshness({"a": RUNS["SSE"], "b": other}), "published") == []


# ------------------------------------------------------------------------------- the gap strip

BUSY = Workload(clients=2, rate_hz=5, duration_s=12, seed=3)


@pytest.mark.parametrize("rows", [1, 4])
def test_the_gap_strip_is_colored_while_a_request_is_held(rows):
    run = simulate(LongPolling(cursor=False), BUSY, LINK)
    ax = gap_strip(run, client=1, rows=rows)
    asked = tables.requests(run).query("client == 1 and received_s < 12")
    held_s = (asked.answered_s.fillna(12).clip(0, 12) - asked.received_s.clip(0, 12)).sum()
    drawn_s = sum(end - begin for bars in collections(ax, "held") for begin, end in spans(bars))
    assert drawn_s == pytest.approx(held_s)


def test_the_gap_strip_marks_what_became_of_each_message():
    for cursor, fallen, met in ((False, "lost", "met"), (True, "waited", "met")):
        run = simulate(LongPolling(cursor=cursor), BUSY, LINK)
        ax = gap_strip(run)
        told = tables.deliveries(run).query("client == 0")
        # Who met a held request was one transit away.
        late = told.state.eq("missed") | (told.latency_s > 1.01 * LINK.delay_s)
        (dots,), (others,) = lines(ax, fallen), lines(ax, met)
        assert len(dots.get_xdata()) == late.sum() > 5
        assert len(others.get_xdata()) == (~late).sum() > 5
        assert f"{late.sum()} of {len(told)}" in words(ax)
        row = (told.published_s[late] // 2).astype(int)
        assert dots.get_xdata() == pytest.approx((told.published_s[late] - 2 * row).to_numpy())
        assert dots.get_ydata() == pytest.approx(-row.to_numpy())


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("SSE", {}, "expected a run whose requests are answered, got SSE"),
        ("long polling", {"rows": 0}, "expected from 1 to 20 rows, got 0"),
        ("long polling", {"client": 9}, "expected a client from 0 to 3"),
        ("long polling", {"window_s": (3, 2)}, "expected window_s="),
    ],
)
def test_the_gap_strip_says_what_it_expects(run, arguments, message):
    with pytest.raises(ValueError, match=message):
        gap_strip(RUNS[run], **arguments)


# ------------------------------------------------------------------------------------ the crowd


def test_each_drop_of_the_rain_falls_from_publishing_to_arrival():
    figure = rain(RUNS)
    assert len(figure.axes) == len(RUNS)
    for ax, (label, run) in zip(figure.axes, RUNS.items(), strict=True):
        told = tables.deliveries(run).query("published_s < 6")
        (trails,), (drops,) = collections(ax, "falling"), lines(ax, "landed")
        falls = [(segment[0][0], *sorted(segment[:, 1])) for segment in trails.get_segments()]
        ends = told.received_s.fillna(6).clip(upper=6)
        assert falls == [
            pytest.approx(fall) for fall in zip(told.client, told.published_s, ends, strict=True)
        ]
        landed = told[told.received_s <= 6]
        assert drops.get_xdata().tolist() == landed.client.tolist()
        assert drops.get_ydata() == pytest.approx(landed.received_s.to_numpy())
        assert label in words(ax)
    assert figure.axes[0].get_ylim() == (6, 0)


def test_rain_of_one_run_in_a_window():
    (ax,) = rain(RUNS["SSE"], window_s=(1, 2)).axes
    assert ax.get_ylim() == (2, 1)
    with pytest.raises(ValueError, match="expected window_s="):
        rain(RUNS["SSE"], window_s=(2, 1))


# ------------------------------------------------------------------------------ bytes, and a frame


def test_a_square_per_byte():
    ax = bytes_to_scale({"a poll": {"request": 180, "head": 73, "message": 23}, "WebSocket": 25}, across=20)
    squares = {
        kind: sum(len(one.get_paths()) for one in collections(ax, kind))
        for kind in ("message", "request", "around it")
    }
    assert squares == {"message": 23 + 25, "request": 180, "around it": 73}
    gray = {kind: collections(ax, kind)[0].get_facecolor()[0][0] for kind in ("request", "around it")}
    assert gray["request"] < gray["around it"] - 0.2, "which tells them apart in print as well"
    assert any(word.endswith("colored: the message, dark: the request") for word in words(ax))
    assert {"276", "25", "a poll", "WebSocket"} <= set(words(ax))
    corners = np.concatenate([p.vertices[0:1] for one in ax.collections for p in one.get_paths()])
    assert len(np.unique(corners, axis=0)) == 276 + 25, "none lies on another"
    colors = [one.get_facecolor()[0][:3] for one in collections(ax, "message")]
    assert colors[1] == pytest.approx(to_rgb(TRANSPORT_STYLE["WebSocket"].color))


def test_many_bytes_share_a_square():
    ax = bytes_to_scale({"a": 2_000_000, "b": 1000})
    assert any("a square is 1,000 bytes" in word for word in words(ax))
    assert sum(len(one.get_paths()) for one in collections(ax, "message")) == 2001


@pytest.mark.parametrize("sizes", [{}, {"a": -1}, {"a": 1.5}, {"a": {"message": "b"}}])
def test_bytes_say_what_they_expect(sizes):
    with pytest.raises(ValueError, match="expected"):
        bytes_to_scale(sizes)


@pytest.mark.parametrize("size", [0, 3, 125, 126, 65_536])
@pytest.mark.parametrize("client", [True, False])
def test_the_fields_of_a_frame_are_those_of_another_parser(size, client):
    """What wsproto has written, as a client (masked) or as a server."""
    payload = ("tea is ready " * (size // 13 + 1))[:size]
    sender = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
    frame = sender.send(TextMessage(data=payload))
    found = {field.name: field for field in fields(frame)}
    assert found["FIN"].says == "whole"
    assert found["opcode"].says == "text"
    assert found["MASK"].says == ("yes" if client else "no")
    assert found["length"].says.startswith(f"{size:,} byte")
    assert ("payload" in found) == bool(size)
    if size:
        assert found["payload"].says == payload
    assert [field.begin for field in found.values()][1:] == [field.end for field in found.values()][:-1]
    assert list(found.values())[-1].end == 8 * len(frame)


def test_a_frame_shows_every_bit():
    frame = b"\x81\x03tea"
    ax = frame_bits(frame)
    bits = [text.get_text() for text in ax.texts if text.get_text() in ("0", "1")]
    assert "".join(bits) == "".join(f"{byte:08b}" for byte in frame)
    assert {"FIN", "RSV", "opcode", "MASK", "length", "payload", "74  “t”", "65  “e”", "61  “a”"} <= set(
        words(ax)
    )


@pytest.mark.parametrize("frame", [b"", b"\x81", b"\x81\x03te", b"\x81\x03teas", b"\x81\x7e\x00"])
def test_what_is_not_one_whole_frame_is_refused(frame):
    with pytest.raises(ValueError, match="expected"):
        frame_bits(frame)
