"""Pages of the kernel in a browser that reaches nothing but JupyterLab, as behind a hub."""

import re
from collections import deque
from dataclasses import replace

import pytest

import lpws
from lpws.chat import ChatServer, Times
from lpws.relay import Relay

from .conftest import windows
from .jupyter import ASK, CELLS, OPEN, RUN_ALL, SEE, jupyterlab, live_page
from .people import (
    HERE,
    PEOPLE,
    SMALL,
    Scissors,
    enter,
    lines_of_relay,
    lines_of_server,
    lost_answers,
    said_once_in_order,
    say,
    talk,
    wait_for,
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
    """It runs as on the reader's own machine; its frame shows the chat while the cells run, and after."""
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{lab}lab")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPEN, "notebooks/16_build_a_chat.ipynb")
    page.evaluate(f"() => {{ window.ran = ({RUN_ALL})() }}")
    number = next(n for n, cell in enumerate(page.evaluate(CELLS)) if "live_page(" in cell["source"])
    page.evaluate("(n) => window.panel.content.scrollToItem(n, 'start')", number)
    holder = page.locator(f".jp-Cell[data-windowed-list-index='{number}'] object")
    assert holder.get_attribute("data").startswith(f"{BASE_URL}proxy/")
    frame = live_page(page, "#by=long%20polling")
    frame.wait_for_load_state()
    frame.locator("#enter:enabled").wait_for()
    frame.get_by_role("radio", name="WebSocket").check()
    frame.locator("#name").fill("Ada")
    frame.locator("#name").press("Enter")
    frame.wait_for_function(HERE)
    frame.locator(
        "#counts", has_text=re.compile(r"^[1-9]\d* connections? · [1-9]\d* requests? · ")
    ).wait_for()
    say(frame, "hello from behind the hub")
    wait_for(frame, "hello from behind the hub")
    assert page.evaluate("() => window.ran") is True
    for cell in page.evaluate(CELLS):
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"], cell["source"]
    page.evaluate(SEE, number)
    say(frame, "and when all cells have run")
    wait_for(frame, "and when all cells have run")
    shot(page, "hub_chat")
    told = page.evaluate(ASK, "print([m['text'] for m in chat.said if m['name'] == 'Ada'])")
    assert told == "['hello from behind the hub', 'and when all cells have run']\n"
    page.evaluate(ASK, "chat.stop()")
