"""The moving race in a browser: as a picture, opened by itself, and in JupyterLab, trusted or not."""

import nbformat
import pytest
from playwright.sync_api import expect

import lpws
from lpws import DATA, record

from .conftest import launched, windows
from .jupyter import CELLS, END, OPEN, RUN, jupyterlab

FILM = DATA / "race.svg"


def moves(thing, page, waits=(0, 0.7)):
    """Whether the thing looks otherwise after a while."""
    looks = []
    for wait in waits:
        page.wait_for_timeout(1000 * wait)
        looks.append(thing.screenshot())
    return len(set(looks)) > 1


def time_of(slider):
    """What the slider says [ms]; Playwright knows the inputs of HTML pages only."""
    return float(slider.evaluate("(input) => input.value"))


def seek(slider, ms):
    slider.evaluate("(input, ms) => { input.value = ms; input.dispatchEvent(new Event('input')); }", ms)


def pictured(page):
    """The film as a picture in the page."""
    page.goto(FILM.parent.as_uri())  # so that files may be shown
    page.set_content(f"<img src='{FILM.as_uri()}' width='1000'>")
    page.locator("img").evaluate("(image) => image.decode()")
    return page.locator("img")


def test_a_picture_of_it_moves(browser):
    with windows(browser, reduced_motion="no-preference") as window:
        page = window()
        assert moves(pictured(page), page)


def test_opened_by_itself_it_has_a_button_and_a_slider(browser, shot):
    with windows(browser, reduced_motion="no-preference") as window:
        page = window()
        page.goto(FILM.as_uri())
        button, slider = page.locator("button"), page.locator("input")
        expect(button).to_have_text("Pause")
        assert moves(page, page)
        button.click()
        expect(button).to_have_text("Play")
        stopped = time_of(slider)
        assert not moves(page, page)
        assert time_of(slider) == stopped
        slider.focus()
        slider.press("End")
        shot(page, "race_at_its_end")
        slider.press("Home")
        shot(page, "race_at_its_start")
        seek(slider, 13_000)
        shot(page, "race_midway")
        assert time_of(slider) == 13000
        assert not moves(page, page)
        button.press("Enter")
        expect(button).to_have_text("Pause")
        assert moves(page, page)


def test_with_less_motion_it_shows_the_end_until_it_is_asked(window):
    page = window()  # which has asked for less motion
    page.goto(FILM.as_uri())
    button, slider = page.locator("button"), page.locator("input")
    expect(button).to_have_text("Play")
    assert time_of(slider) > 16_000
    assert not moves(page, page)
    button.click()
    seek(slider, 5000)
    button.click()
    assert moves(page, page)


def test_a_picture_of_it_stands_still_with_less_motion(browser):
    """Playwright's emulation does not reach a picture; the preference of the whole browser does."""
    with (
        launched(browser.browser_type, "--force-prefers-reduced-motion") as calm,
        windows(calm, reduced_motion="null") as window,
    ):
        page = window()
        assert not moves(pictured(page), page)


# ----------------------------------------------------------------------------------- in JupyterLab


FILM_CELL = """import lpws, lpws.record
lpws.show(lpws.replay(lpws.record.story()), 'The race.')"""
SLIDER_CELL = """import lpws
def teeth(interval_s=1.0):
    work = lpws.Workload(clients=2, duration_s=4.0)
    return lpws.freshness(lpws.simulate(lpws.ShortPolling(interval_s=interval_s), work))
lpws.slider(teeth, 'Teeth.', interval_s=(0.1, 2.0, 0.1))"""


def write(folder, name, source, *outputs):
    """Lay a notebook of one cell into JupyterLab's folder."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "home" / "notebooks" / f"{name}.ipynb")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder) as url:
        data = lpws.replay(record.story()).bundle("The race.")
        write(folder, "film", FILM_CELL, nbformat.v4.new_output("display_data", data))
        write(folder, "slider", SLIDER_CELL)
        yield url


def test_in_jupyterlab_it_moves_trusted_or_not(browser, lab, shot):
    with windows(browser, reduced_motion="no-preference", viewport={"width": 1300, "height": 1000}) as window:
        page = window()
        page.set_default_timeout(90_000)
        page.goto(f"{lab}lab/workspaces/film?reset")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate(OPEN, "notebooks/film.ipynb")
        picture = page.locator(".jp-OutputArea-output img")
        picture.evaluate("(image) => image.decode()")
        assert page.locator(".jp-OutputArea-output iframe").count() == 0
        assert picture.get_attribute("alt") == "The race."
        assert moves(picture, page), "as it comes, not trusted"
        shot(page, "race_untrusted")

        page.evaluate(RUN, 0)
        frame = page.locator(".jp-OutputArea-output iframe")
        assert frame.get_attribute("title") == "The race."
        assert picture.count() == 0
        button = frame.content_frame.locator("button")
        expect(button).to_have_text("Pause")
        assert moves(frame, page)
        shot(page, "race_trusted")
        button.click()
        assert not moves(frame, page)
        page.evaluate(END)


def test_a_slider_draws_its_picture_anew_and_leaves_it_in_the_notebook(browser, lab, shot):
    with windows(browser, viewport={"width": 1300, "height": 1000}) as window:
        page = window()
        page.set_default_timeout(90_000)
        page.goto(f"{lab}lab/workspaces/slider?reset")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate(OPEN, "notebooks/slider.ipynb")
        page.evaluate(RUN, 0)
        picture = page.locator(".jp-OutputArea-output img")
        expect(picture).to_have_attribute("alt", "Teeth.")
        page.locator(".noUi-handle").press("ArrowRight")
        expect(picture).to_have_attribute("alt", "Teeth. Now interval_s = 1.1.")
        shot(page, "slider")
        (cell,) = page.evaluate(CELLS)
        view, stays = (output["data"] for output in cell["outputs"])
        assert view["text/plain"] == "a slider for interval_s, while a kernel runs"
        assert "interval_s = 1.1" in stays["text/html"]
        page.evaluate(END)
