"""Pictures: the palette, the font, the style; legible whatever style the reader has chosen."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from nbconvert import HTMLExporter
from PIL import Image

import lpws
from lpws.figures.picture import bundle, halved, page_width, png, with_few_colors
from lpws.figures.style import FONT, GROUND, LOOK, TRANSPORT_STYLE

WORK = lpws.Workload(clients=3, rate_hz=2, duration_s=4, seed=3)
RUN = lpws.simulate(lpws.LongPolling(), WORK, lpws.Link(delay_s=0.025))


def image(picture):
    return Image.open(io.BytesIO(picture))


def luminance(color):
    """Of a color on a screen (WCAG 2.2)."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return np.dot([0.2126, 0.7152, 0.0722], parts)


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def plain():
    """Axes as a lesson draws on them, with nothing chosen."""
    ax = lpws.axes(height=3)
    ax.plot([1, 10], [1, 100])
    ax.set(xlabel="time [s]", ylabel="messages", title="a title")
    ax.text(1, 2, "a word")
    return ax


@pytest.fixture(params=["default", "dark_background", "ggplot"])
def look(request):
    with plt.style.context(request.param):
        yield request.param


def test_few_colors_are_exact_where_they_are_frequent():
    rng = np.random.default_rng(1)
    colors = np.array([[255, 255, 255], [0, 114, 178], [0, 158, 115], [204, 121, 167]], np.uint8)
    pixels = colors[rng.integers(0, 4, (200, 300))]
    noise = rng.random((200, 300)) < 0.1
    pixels[noise] = rng.integers(0, 256, (np.count_nonzero(noise), 3))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    result = image(with_few_colors(out.getvalue(), 64))
    assert result.mode == "P"
    again = np.asarray(result.convert("RGB"))
    assert len(np.unique(again.reshape(-1, 3), axis=0)) <= 64
    assert (again[~noise] == pixels[~noise]).all()
    far = np.abs(again[noise].astype(int) - pixels[noise]).sum(axis=1)
    assert far.mean() < 150, "each other color becomes one that is near"


def test_a_color_of_few_pixels_among_many_grays_is_kept():
    """A transport that is only an outline: the grays alone are more than the palette has room for."""
    grays = np.repeat(np.arange(200, dtype=np.uint8), 300).reshape(200, 300)
    pixels = np.stack([grays] * 3, axis=-1)
    green = (0, 158, 115)
    pixels[:3, 10:20] = green
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    again = np.asarray(image(with_few_colors(out.getvalue(), 64)).convert("RGB"))
    assert (again[:3, 10:20] == green).all()


def test_a_picture_is_crisp_small_and_of_the_width_of_its_figure():
    for ax in (lpws.ecdf(RUN), lpws.timeline(RUN), lpws.ladder(RUN), plain()):
        picture = png(ax.figure)
        assert image(picture).width == 2 * page_width(ax.figure)
        assert page_width(ax.figure) in (750, 700)
        assert image(halved(picture)).width == page_width(ax.figure)
        assert len(picture) + len(halved(picture)) < 70_000
        colors = image(picture).convert("RGB").getcolors(1 << 24)
        assert len(colors) <= 256
        assert max(colors)[1] == tuple(round(255 * part) for part in to_rgb(GROUND))


def test_a_figure_that_is_too_wide_is_shown_whole():
    ax = lpws.axes(width=5)
    ax.text(1.02, 0.5, "beside the axes " * 3, transform=ax.transAxes)
    assert page_width(ax.figure) in (750, 800)


@pytest.mark.parametrize("draw", [lpws.ecdf, lpws.timeline, lpws.lifelines, lpws.ladder, lambda _: plain()])
def test_words_are_legible_in_every_style(draw, look):
    ax = draw(RUN)
    png(ax.figure)
    words = [text for text in ax.figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
    assert len(words) > 5
    for text in words:
        ground = text.get_bbox_patch().get_facecolor() if text.get_bbox_patch() else ax.get_facecolor()
        assert contrast(text.get_color(), ground) >= 4.5, text
        assert list(text.get_fontfamily()) == FONT, text
    assert matplotlib.colors.same_color(ax.figure.get_facecolor(), GROUND)


@pytest.mark.parametrize("draw", [lpws.ecdf, lpws.timeline, lpws.lifelines, lpws.ladder])
def test_a_picture_is_the_same_in_every_style(draw, look):
    with plt.style.context("default"):
        expected = png(draw(RUN).figure)
    assert png(draw(RUN).figure) == expected


def test_a_figure_of_the_readers_own_keeps_its_colors():
    with plt.style.context("dark_background"):
        figure, ax = plt.subplots()
        ax.set_title("a title")
        png(figure)
        assert ax.title.get_color() == "white"
        plt.close(figure)


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_the_font_is_ours_and_has_the_signs_of_the_figures(weight):
    path = findfont(FontProperties(family=FONT[0], weight=weight), fallback_to_default=False)
    assert "lpws" in path
    known = get_font(path).get_charmap()
    assert [sign for sign in "aZ09äß§²µ·×Σδλμτ–“”…←→−√≤≥▲▴●✓✗₀⁻" if ord(sign) not in known] == []


def test_the_style_is_nowhere_but_in_our_figures():
    before = dict(matplotlib.rcParams)
    plain()
    assert dict(matplotlib.rcParams) == before
    assert LOOK["font.family"] != before["font.family"]


def test_a_figure_without_a_canvas_is_a_picture():
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([0, 1])
    assert image(png(figure)).width == 800


def test_a_style_for_each_transport_on_our_ground():
    for style in TRANSPORT_STYLE.values():
        assert contrast(style.ink, GROUND) >= 4.5


def test_nbval_compares_all_of_a_picture_but_its_data(tmp_path):
    """As `run.py test` calls it: other data pass; another description or another width does not."""
    root = Path(__file__).parents[1]
    source = "import lpws\nlpws.show(lpws.axes(height=3), 'Tea is ready.')"
    stored = {"same": (7.5, 3, "ready"), "other data": (7.5, 2, "ready")}
    stored |= {"other words": (7.5, 3, "cold"), "other width": (7, 3, "ready")}
    notebook = nbformat.v4.new_notebook()
    for width, height, word in stored.values():
        data = bundle(lpws.axes(width=width, height=height).figure, f"Tea is {word}.")
        output = nbformat.v4.new_output("display_data", data)
        notebook.cells.append(nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1))
    nbformat.write(notebook, tmp_path / "pictures.ipynb")
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={root / 'tests' / 'sanitize.cfg'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-rA", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, encoding="utf-8", check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    outcomes = re.findall(r"^(PASSED|FAILED) .*::Cell (\d)", done.stdout, re.M)
    assert sorted(outcomes, key=lambda pair: pair[1]) == [
        ("PASSED", "0"), ("PASSED", "1"), ("FAILED", "2"), ("FAILED", "3"),
    ], done.stdout  # fmt: skip


def test_exports_keep_the_description():
    """In the template that nbconvert takes by itself, which ignores the metadata of a picture."""
    outputs = [
        nbformat.v4.new_output("display_data", bundle(lpws.axes(height=2).figure, "Tea <is> ready.")),
        nbformat.v4.new_output("display_data", lpws.replay(RUN).bundle("Tea moves.")),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert re.findall(r'<img alt="([^"]*)"', html) == ["Tea &lt;is&gt; ready.", "Tea moves."]
    assert html.count("<summary>The picture in words</summary>") == 2
    assert "No description has been provided" not in html
