"""The chat with which the series opens, in JupyterLab: two lines in a cell."""

import nbformat
import pytest

from .jupyter import ASK, CELLS, END, OPEN, RUN, RUN_ALL, jupyterlab, live_page

CELL = "import lpws\nlpws.open_chat()"
LIMIT_S = 60


@pytest.fixture
def lab(tmp_path):
    with jupyterlab(tmp_path) as url:
        cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell("print('after')")]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else JupyterLab asks
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
        nbformat.write(notebook, tmp_path / "home" / "opening.ipynb")
        yield url


def the_chat(page):
    """The frame of the chat, once it is there."""
    frame = live_page(page, "#by=")
    frame.locator("#enter:enabled").wait_for(state="attached")
    return frame


def test_the_chat_opens_and_stays_open(context, lab, shot):
    context.set_default_timeout(1000 * LIMIT_S)
    page = context.new_page()
    page.goto(f"{lab}lab")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate(OPEN, "opening.ipynb")
    page.evaluate(RUN, 0)
    chat = the_chat(page)
    chat.fill("#name", "Ada")
    chat.press("#name", "Enter")
    chat.get_by_text("Hello, Ada!").wait_for()
    chat.get_by_role("radio", name="long polling").check()
    chat.get_by_text("keeps the question until there is an answer").wait_for()
    chat.fill("#text", "how are you?")
    chat.press("#text", "Enter")
    chat.get_by_text("reached me").wait_for()
    shot(page, "opening")
    height = page.locator("object").bounding_box()["height"]
    assert 380 < height < 460
    assert chat.evaluate("() => document.documentElement.scrollHeight - innerHeight") <= 0, (
        "nothing to scroll"
    )

    ask = "print(lpws.open_chat().server.port, [p.name for p in lpws.open_chat().server.people])"
    port = page.evaluate(ASK, ask).split()[0]
    for _ in range(2):
        assert page.evaluate(RUN_ALL) is True
    chat = the_chat(page)
    chat.get_by_text("Hello, Ada!").wait_for() if chat.locator("#speak:visible").count() else None
    assert page.evaluate(ASK, ask).split()[0] == port, "it is the same room"
    code = [cell for cell in page.evaluate(CELLS) if cell["type"] == "code"]
    assert not [o for cell in code for o in cell["outputs"] if o["output_type"] in ("error",)]
    assert [o.get("text") for o in code[1]["outputs"]] == ["after\n"]

    page.evaluate(END)
    page.evaluate("() => window.panel.context.save()")
    page.reload()
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("() => window.jupyterapp.restored")
    page.get_by_text("When you run this cell, a chat opens here").wait_for()
    shot(page, "opening_without_a_kernel")
