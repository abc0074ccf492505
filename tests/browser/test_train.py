"""The page of notebook 16 in a browser: before the handlers of the lesson, and before its solution."""

import re

import booklet
import pytest

import lpws

from .people import say_on_train as say

CHAT = booklet.NOTEBOOKS / "16_build_a_chat.ipynb"


@pytest.fixture(scope="module")
def names():
    """The names of the notebook; its own pages have nobody before them."""
    names = booklet.read_through(CHAT)
    yield names
    for name in ("train", "mine"):
        names[name].stop()


def lines(page):
    """What the page shows, oldest first."""
    return [line for line in page.locator("#log").inner_text().split("\n")[::-1] if line]


def test_a_post_is_repeated_until_there_is_an_answer_and_shown_once(names, page):
    asked = []

    class Proxy(names["PostOnce"]):
        """Every answer but each third is lost, or stands for one that was."""

        def post(self):
            super().post()
            asked.append(self.request.body)
            if len(asked) % 3 == 1:
                self.set_status(502)
            elif len(asked) % 3 == 2:
                self.request.connection.stream.close()

    handlers = {"/": names["Page"], "/post": Proxy, "/stream": names["Stream"]}
    with lpws.Server(token=True, handlers=handlers) as server:
        page.goto(server.url + "/")
        for n in range(4):  # each waits for the one before
            say(page, f"number {n}")
        page.get_by_text("said number 3").wait_for()
        page.get_by_text(re.compile(r"try \d: 200")).wait_for()
        assert [line.rpartition("said ")[2] for line in lines(page)] == [f"number {n}" for n in range(4)]
        assert len(asked) > len(set(asked)) == 4, "each was posted more than once, always in the same words"


def test_the_stream_resumes_and_what_people_say_stays_text(names, page):
    handlers = {"/": names["Page"], "/post": names["PostOnce"], "/stream": names["Stream"]}
    with lpws.Server(token=True, handlers=handlers) as server:
        page.goto(server.url + "/")
        say(page, "<b id=bold>tea</b>")
        page.get_by_text("said <b id=bold>tea</b>").wait_for()
        assert page.locator("#bold").count() == 0
        server.drop()
        names["send"](server, key="k1", name="Bob", text="one\n\nid: 99")  # while it is away
        page.get_by_text("Bob said one").wait_for()
        names["send"](server, key="k2", name="Bob", text="two")
        page.get_by_text("Bob said two").wait_for()
        assert page.locator("#log").inner_text().count("said <b") == 1


def test_before_the_solution_the_page_says_who_comes_and_leaves_and_what_was_refused(names, window):
    with lpws.Server(token=True, handlers={"/": names["Page"]} | names["solution"]()) as server:
        ada, bob = window(), window()
        ada.goto(server.url + "/")
        ada.get_by_text("came").wait_for()
        bob.goto(server.url + "/")
        me = bob.evaluate("me")
        if me == ada.evaluate("me"):  # one time in a hundred
            bob.reload()
            me = bob.evaluate("me")
        ada.get_by_text(f"{me} came").wait_for()
        assert bob.locator("#line").get_attribute("maxlength") == "1000"
        bob.evaluate("line.removeAttribute('maxlength')")
        say(bob, "x" * 1001)
        bob.get_by_text("try 1: 400").wait_for()
        say(bob, "tea is ready")
        ada.get_by_text(f"{me} said tea is ready").wait_for()
        bob.goto("about:blank")
        ada.get_by_text(f"{me} left").wait_for()
        assert "xxx" not in ada.locator("#log").inner_text()
