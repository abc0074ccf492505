"""Pages of the kernel in a browser that reaches nothing but JupyterLab, as behind a hub."""

import re

import nbformat
import pytest

import lpws
from lpws.chat import ChatServer
from lpws.chat.handlers import WAYS

from .jupyter import ASK, OPEN, RUN_ALL, jupyterlab

BASE_URL = "/user/ada/"
#: The lines that a reader runs, no others than on a machine of their own.
CELLS = [
    "import lpws\nfrom IPython.display import IFrame\nfrom lpws.chat import ChatServer",
    "chat = ChatServer().start()\nIFrame(lpws.page_url(chat), width='100%', height=560)",
]
HERE = "() => document.documentElement.dataset.state === 'here'"
MANY = 20


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with jupyterlab(folder, BASE_URL, JUPYTERHUB_SERVICE_PREFIX=BASE_URL) as url:
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / "home" / "chat.ipynb")
        yield url


def say(page, text):
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def texts(page):
    return page.locator("#log .text").all_inner_texts()


def wait_for(page, text):
    page.locator("#log .text", has_text=re.compile(f"^{re.escape(text)}$")).wait_for()


def test_the_chat_in_a_frame_of_a_notebook(context, lab, shot):
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{lab}lab")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPEN, "chat.ipynb")
    assert page.evaluate(RUN_ALL) is True
    holder = page.locator(".jp-OutputArea iframe")
    assert holder.get_attribute("src").startswith(f"{BASE_URL}proxy/")
    frame = holder.element_handle().content_frame()
    frame.wait_for_load_state()
    frame.locator("#name").fill("Ada")
    frame.locator("#name").press("Enter")
    frame.wait_for_function(HERE)
    say(frame, "hello from behind the hub")
    wait_for(frame, "hello from behind the hub")
    assert page.evaluate(ASK, "print([m['text'] for m in chat.said])") == "['hello from behind the hub']\n"
    shot(page, "hub_chat")
    page.evaluate(ASK, "chat.stop()")


def test_a_chat_by_every_way_in(context, lab, monkeypatch):
    """Nobody's browser sees the server itself; nothing is lost, nothing doubled, all see one order."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE_URL)
    origin = lab.removesuffix(BASE_URL)
    with ChatServer() as chat:
        pages = {by: context.new_page() for by in WAYS}
        for by, page in pages.items():
            page.goto(f"{origin}{lpws.page_url(chat)}#name={by}&by={by}")
            page.wait_for_function(HERE)
        for n in range(MANY):
            for by, page in pages.items():
                say(page, f"{by} {n}")
        pages["reload"].wait_for_function(
            f"""() => {{ document.getElementById("reload").click();
            return document.querySelectorAll("#log > .said").length >= {len(WAYS) * MANY} }}""",
            polling=100,
        )
        for page in pages.values():
            page.wait_for_function(
                f"() => document.querySelectorAll('#log > .said').length >= {len(WAYS) * MANY}"
            )
        told = [message["text"] for message in chat.said]
        assert sorted(told) == sorted(f"{by} {n}" for by in WAYS for n in range(MANY))
        for by, page in pages.items():
            assert texts(page) == told, by
            assert [text for text in told if text.startswith(by)] == [f"{by} {n}" for n in range(MANY)]
        # Each answer but that of a stream came on a connection of its own: nobody else was here.
        assert chat.thread.call(lambda: chat.room.proxied)
    assert not chat.log
