"""The moving race: what it shows is what the tables say, in both of its lives."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

import lpws
from lpws import record, tables
from lpws.figures.film import MOST, Film
from lpws.recordings import DATA

STORY = record.story()


@pytest.fixture(scope="module")
def film():
    return lpws.replay(STORY)


@pytest.fixture(scope="module")
def svg(film):
    return film.svg


def balls(film):
    """The numbered balls: (number, color, x, y) where they end."""
    texts = film.figure.axes[0].findobj(Text)
    return [
        (int(text.get_text()), text.get_bbox_patch().get_facecolor(), *text.get_position())
        for text in texts
        if text.get_bbox_patch()
    ]


def keys(svg):
    """Number of a track → its keys: (per cent of a round, what)."""
    tracks = re.findall(r"@keyframes k(\d+)\{((?:[\d.]+%\{[^}]*\})+)to\{[^}]*\}\}", svg)
    return {
        int(n): [(float(at), what) for at, what in re.findall(r"([\d.]+)%\{([^}]*)\}", text)]
        for n, text in tracks
    }


def test_a_ball_for_each_message_that_arrived(film):
    received = [tables.deliveries(run).dropna(subset="received_s") for run in STORY.values()]
    expected = sorted(
        (message.message, round(message.received_s, 9))
        for told in received
        for message in told.itertuples()
        if message.received_s <= film.end_s
    )
    due = [(n, round(t, 9)) for n, t in enumerate(STORY["SSE"].workload.due_times_s(), 1)]
    assert sorted((n, round(y, 9)) for n, _, _, y in balls(film)) == sorted(expected + due)
    assert (
        len({color for _, color, _, _ in balls(film)}) == 6
    )  # one per transport, and that of what is published


def test_balls_do_not_cover_each_other(film):
    places = np.array([(x, y) for _, _, x, y in balls(film)])
    pixels = film.figure.axes[0].transData.transform(places)
    apart = np.hypot(*(pixels[:, None] - pixels[None]).T) + 1e9 * np.eye(len(places))
    assert apart.min() > 9


def test_balls_travel_from_when_they_are_sent_to_when_they_arrive(film, svg):
    """What the keyframes say, back in the time of the run."""
    share = film.play_s / (film.play_s + film.rest_s)
    tracks, moves = keys(svg), []
    for number, (artist, timing, _) in enumerate(film.tracks):
        if timing == "linear" and isinstance(artist, Text):
            at = [
                film.start_s + (film.end_s - film.start_s) * part / 100 / share for part, _ in tracks[number]
            ]
            moves.append((int(artist.get_text()), at[1], at[3]))
    for run in STORY.values():
        for message in tables.deliveries(run).query(f"received_s < {film.end_s}").itertuples():
            near = [move for move in moves if move[0] == message.message]
            assert any(
                (sent, received) == pytest.approx((message.sent_s, message.received_s), abs=2e-3)
                for _, sent, received in near
            )


def test_heads_count_requests_and_feet_say_how_far_behind(film):
    said = [text.get_text() for text in film.figure.findobj(Text)]
    for run in STORY.values():
        asked = tables.requests(run).query(f"sent_s < {film.end_s}")
        assert f"{len(asked)}" in said
        assert f"{tables.mean_age_s(run, until_s=film.end_s):.2f} s" in said


@pytest.mark.parametrize("name", ["story", "race"])
def test_a_film_is_light(name):
    """Also of a run with twenty clients and fifteen messages."""
    film = lpws.replay(STORY if name == "story" else lpws.load_run("race"))
    assert len(film.svg.encode()) <= 300_000
    assert 50 < len(film.moving) <= MOST
    assert Image.open(io.BytesIO(film.png)).size == tuple(2 * film.figure.get_size_inches() * 100)
    assert len(film.png) < 200_000


def test_the_svg_is_whole_and_loads_nothing(svg):
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert "Ladders in one clock" in root[0].text
    assert set(re.findall(r"https?://[^\"' )]*", svg)) <= {
        *("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/1999/xhtml")
    }
    ids = set(re.findall(r'id="(m\d+)"', svg))
    assert ids == set(re.findall(r"#(m\d+)\{animation", svg))
    assert "@media(prefers-reduced-motion:no-preference)" in svg


def test_keys_are_in_order_and_none_replaces_another(svg):
    tracks = keys(svg)
    assert len(tracks) > 100
    for track in tracks.values():
        parts = [part for part, _ in track]
        assert parts == sorted(parts)
        assert all(0 <= part <= 100 for part in parts)


def test_the_same_runs_make_the_same_film(svg):
    assert lpws.replay(record.story()).svg == svg


def test_the_film_of_the_readme_is_that_of_its_runs(svg):
    """Another version of Matplotlib may place letters otherwise; times and what moves are the same."""
    stored = (DATA / "race.svg").read_text(encoding="utf-8")

    def times(text):
        return {number: [part for part, _ in track] for number, track in keys(text).items()}

    assert times(stored) == times(svg)
    assert re.findall(r'id="(m\d+)"', stored) == re.findall(r'id="(m\d+)"', svg)
    assert "data/race.svg" in (DATA.parent / "README.md").read_text(encoding="utf-8")


def test_a_film_of_one_run_and_of_another_client():
    run = lpws.simulate(lpws.LongPolling(), lpws.Workload(clients=3, rate_hz=2, duration_s=4, seed=3))
    assert "long polling" in [text.get_text() for text in lpws.replay(run, client=2).figure.findobj(Text)]
    with pytest.raises(ValueError, match="expected a client from 0 to 2"):
        lpws.replay(run, client=3)
    with pytest.raises(ValueError, match="expected at least one run"):
        lpws.replay({})
    assert isinstance(lpws.replay(lpws.Run(run.transport, run.workload, run.link)), Film)


def test_too_much_that_would_move_is_refused():
    busy = lpws.simulate(lpws.WebSocket(), lpws.Workload(clients=1, rate_hz=200, duration_s=4))
    with pytest.raises(
        ValueError, match=f"expected at most {MOST} things that move, got .*; show a shorter time"
    ):
        lpws.replay(busy).svg  # noqa: B018
    assert lpws.replay(busy, window_s=(0, 0.2)).svg


def test_a_film_is_shown_with_its_description(film):
    data = film.bundle('Tea "is" <ready>.')
    assert data["text/html"].count("data:image/svg+xml;base64,") == 1
    assert '<img alt="Tea &quot;is&quot; &lt;ready&gt;."' in data["text/html"]
    assert (
        "<summary>The picture in words</summary>Tea &quot;is&quot; &lt;ready&gt;.</details>"
        in data["text/html"]
    )
    assert Image.open(io.BytesIO(film.png)).width == 2 * int(
        re.search(r'width="(\d+)"', data["text/html"])[1]
    )
    assert film.words in film.bundle()["text/html"]
