"""The pages of notebook 13 in a browser: of another port, it reads the letter; of another site, the news."""

import booklet
import pytest

import lpws
from lpws import address

from .test_strangers import serving

STRANGERS = booklet.NOTEBOOKS / "13_strangers.ipynb"
LETTER, NEWS = "Dear Ada, the door code is 4711.", "News: three people are in the kitchen."


@pytest.fixture
def names():
    """The names after the cells that begin the lesson: two servers run."""
    names = {}
    for cell in booklet.code(STRANGERS):
        if cell.id in ("mail", "inbox", "kettle"):
            booklet.execute(cell.source, names)
    yield names
    for name in ("mail", "other"):
        names[name].stop()


#: Shows HTML as JupyterLab shows what a cell displays: its scripts run afterwards.
SHOW = """html => {
  const cell = document.createElement("div");
  cell.innerHTML = html;
  document.body.append(cell);
  for (const old of cell.querySelectorAll("script")) {
    const script = document.createElement("script");
    script.textContent = old.textContent;
    old.replaceWith(script);
  }
}"""


def shown(page, text):
    """Wait until the page shows what its socket was told."""
    page.wait_for_function("text => document.getElementById('text').textContent == text", arg=text)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_page_of_another_port_reads_the_letter_and_one_of_another_site_the_news(names, page, host):
    at = {name: f"http://{host}:{names[name].port}{names[name].prefix}/" for name in ("mail", "other")}
    page.goto(at["other"])
    shown(page, NEWS)  # nobody has logged in
    page.goto(at["mail"])
    shown(page, LETTER)
    page.goto(at["other"])
    shown(page, LETTER)
    page.click("#link")
    page.wait_for_url(f"**/#{host}")
    assert f"//{host}:" not in page.url
    shown(page, NEWS)
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_frames_are_of_the_site_of_the_notebook(names, page, host):
    windows = [names[name] for name in ("mail", "other")]
    html = [
        address.live_page(server, title="t", instead="i", proxied=False, as_seen=True)._repr_mimebundle_()
        for server in windows
    ]
    with serving(host) as notebook:
        page.goto(notebook)
        for server, bundle in zip(windows, html, strict=True):  # the second once the first has logged in
            page.evaluate(SHOW, bundle["text/html"])
            frame = frame_of(page, f"//{host}:{server.port}/")
            frame.get_by_text(LETTER).wait_for()
            assert frame.evaluate("document.cookie") == ""  # it is HttpOnly
        links = page.eval_on_selector_all("a", "all => all.map(each => each.href)")
        assert all(f"//{host}:" in link for link in links)


def frame_of(page, part):
    """The frame whose address has this part, once it is there."""
    for _ in range(400):
        for frame in page.frames[1:]:
            if part in frame.url:
                return frame
        page.wait_for_timeout(25)
    raise AssertionError(f"expected a frame of {part}, got {[frame.url for frame in page.frames]}")


def test_a_server_that_admits_everybody_says_so_only_when_it_is_told(names, page):
    """The laboratory's own servers would have refused the kettle."""
    with lpws.Server(handlers={"/inbox": names["Inbox"]}) as server:
        page.goto(f"http://127.0.0.1:{names['other'].port}{names['other'].prefix}/")
        ask = """url => new Promise(done => {
            const socket = new WebSocket(url);
            socket.onmessage = () => done("told");
            socket.onerror = () => done("refused");
        })"""
        url = f"ws://127.0.0.1:{server.port}/inbox"
        assert page.evaluate(ask, url) == "refused"
        server.admit("*")
        assert page.evaluate(ask, url) == "told"
