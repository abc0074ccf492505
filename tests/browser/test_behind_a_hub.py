"""Pages of the kernel in a browser that reaches nothing but JupyterLab, as behind a hub."""

import re
from collections import deque
from dataclasses import replace

import pytest

import lpws
from lpws.chat import ChatServer, Times
from lpws.relay import Relay

from .conftest import windows
from .jupyter import ASK, CELLS, OPEN, RUN_ALL, jupyterlab, live_page, scroll_to
from .people import (
    PEOPLE,
    SMALL,
    Scissors,
    enter,
    lines_of_relay,
    lines_of_server,
    lost_answers,
    said_once_in_order,
    say_on_train,
    talk,
)

BASE_URL = "/user/ada/"
MANY = 40


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with jupyterlab(folder, BASE_URL, measured=(), JUPYTERHUB_SERVICE_PREFIX=BASE_URL) as url:
        yield url


@pytest.fixture
def chat(monkeypatch):
    """A chat whose page is at ``lpws.page_url(chat)`` below the address of JupyterLab."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    # Beats, and what waits for three of them, are slower than in a room without a proxy: it is one more
    # process that has to have its turn.
    times = replace(Times().faster(50), beat_s=0.5, timeout_s=5.0, away_s=3.0, reload_s=60.0)
    with ChatServer(times=times) as chat:
        yield chat
        assert chat.thread.call(lambda: chat.room.proxied)
        assert not chat.log


@pytest.fixture
def link(lab):
    """The way from the browser to JupyterLab."""
    port = int(re.search(r":(\d+)/", lab)[1])
    with Relay(lpws.Link(delay_s=0.001), port, [].append, deque()) as relay:
        yield relay


def test_nothing_is_lost_or_doubled_when_lines_are_cut_on_both_sides_of_the_proxy(chat, link, browser):
    """The lines between browser and JupyterLab, and those between JupyterLab's proxy and the room.

    Each pair of transports is among those who talk, and each with itself.
    """
    url = "http://{}:{}{}".format(*link.address, lpws.page_url(chat))
    scissors = Scissors("ten", 0.1, lines_of_relay(link), lines_of_server(chat))
    with windows(browser, **SMALL) as open_:
        pages = {name: enter(open_(), url, name, by) for name, by in PEOPLE.items()}
        with lost_answers(chat, "ten", 0.125) as lost:
            shown = talk(pages, MANY, scissors)
        said_once_in_order(chat, pages, MANY, shown)
    near, far = scissors.cuts
    assert near > 20
    assert far + len(lost) > 10, "lines were cut on either side of the proxy"


def test_run_all_of_the_lesson_on_the_chat(context, lab, shot):
    """It runs as on the reader's own machine; both of its pages are live, behind the proxy too."""
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{lab}lab")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPEN, "notebooks/16_build_a_chat.ipynb")
    assert page.evaluate(RUN_ALL) is True
    for cell in page.evaluate(CELLS):
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"], cell["source"]
    page.evaluate(ASK, "coins = iter([0]); random.random = lambda: next(coins, 1)")  # one answer is lost
    for name in ("train", "mine"):
        number, port = scroll_to(page, name)
        holder = page.locator(f".jp-Cell[data-windowed-list-index='{number}'] object")
        assert holder.get_attribute("data").startswith(f"{BASE_URL}proxy/")
        frame = live_page(page, f"/proxy/{port}/")
        say_on_train(frame, "tea, from behind the hub")
        frame.get_by_text(re.compile(r"try \d+: 200")).wait_for()
        frame.get_by_text(re.compile(r"Guest \d+ said tea, from behind the hub")).wait_for()
        if name == "train":  # after a cut: what Robin has said meanwhile comes with the stream
            frame.get_by_text("Robin said It is ready!").wait_for()
        shot(page, f"hub_chat_{name}")
        assert frame.locator("#log").inner_text().count("tea, from behind the hub") == 1
    page.evaluate(ASK, "train.stop(), mine.stop()")
