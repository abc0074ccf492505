"""People in a chat: pages that come in, type, and see; and scissors for their lines."""

import contextlib
import random
import re
import threading

from lpws.chat.handlers import WAYS

#: Who comes, and by which transport: two by each, so that all pairs of transports meet.
NAMES = ("Ada", "Amy", "Ben", "Bea", "Cyd", "Cay", "Dan", "Dot", "Eve", "Eli")
PEOPLE = dict(zip(NAMES, sorted(2 * WAYS), strict=True))
#: Their windows: there is little to draw.
SMALL = {"viewport": {"width": 360, "height": 480}}
HERE = "() => document.documentElement.dataset.state === 'here'"
#: Types and sends in the page, as a reader does: n messages, some milliseconds apart.
TYPE = """async ([name, n, pause]) => {
  const text = document.getElementById("text"), form = document.getElementById("speak");
  for (let i = 0; i < n; i++) {
    text.value = `${name} ${i}`;
    form.requestSubmit();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}"""
#: What a page shows: id, author, text of each message, in order.
SHOWN = """() => {
  const part = (row, kind) => row.querySelector(kind).textContent;
  return Array.from(document.querySelectorAll("#log > .said"), (row) =>
    [Number(row.dataset.id), part(row, ".author"), part(row, ".text")]);
}"""
#: Whether a page shows so many messages; whoever reloads does it.
SHOWS = """(n) => {
  document.getElementById("reload").click();
  return document.querySelectorAll("#log > .said").length >= n;
}"""


def enter(page, url, name, by):
    """The page, in the room."""
    page.goto(f"{url}#name={name}&by={by}")
    page.wait_for_function(HERE)
    return page


def say(page, text):
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def say_on_train(page, text):
    """Say something on the page of notebook 16, which the reader has written."""
    page.locator("#line").fill(text)
    page.locator("#line").press("Enter")


def texts(page):
    return [text for _, _, text in page.evaluate(SHOWN)]


def wait_for(page, text):
    page.locator("#log .text", has_text=re.compile(f"^{re.escape(text)}$")).wait_for()


class Scissors:
    """Cuts some lines, again and again, at moments and with luck of a seed.

    Each of `lines` is a function that ends those of some connections for which ``pick()`` is true,
    and returns how many.
    """

    def __init__(self, seed, mean_s, *lines):
        self.draw, self.mean_s, self.lines = random.Random(seed), mean_s, lines
        self.cuts = [0] * len(lines)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def work(self):
        while not self.stopped.wait(self.draw.expovariate(1 / self.mean_s)):
            for n, cut in enumerate(self.lines):
                self.cuts[n] += cut(lambda: self.draw.random() < 0.5)


def lines_of_server(chat):
    """Cuts connections where the server has them."""

    def cut(pick):
        streams = [s for s in sorted(chat._streams, key=lambda stream: stream.number) if pick()]
        for stream in streams:
            stream.close()
        return len(streams)

    return lambda pick: chat.thread.call(cut, pick)


def lines_of_relay(relay):
    """Resets connections that cross a relay, on both sides."""

    def cut(pick):
        crossings = [crossing for crossing in relay.crossings if pick()]
        for crossing in crossings:
            crossing.reset()
        return len(crossings)

    return lambda pick: relay._thread.call(cut, pick)


def talk(pages, many, scissors):
    """Lets people type at once while their lines are cut; waits until each page shows all that was said.

    Parameters
    ----------
    pages
        Name → page, in the room.
    many
        Messages that each of them says.
    scissors
        Cut until everything is typed, and then no more.

    Returns
    -------
    list
        What each page shows.
    """
    with scissors:
        for name, page in pages.items():  # neither call waits for the typing to end
            page.evaluate(f"(given) => {{ window.typing = ({TYPE})(given) }}", [name, many, 4])
        for page in pages.values():
            page.evaluate("() => window.typing")
    for page in pages.values():
        page.wait_for_function(SHOWS, arg=len(pages) * many, polling=50)
    return [page.evaluate(SHOWN) for page in pages.values()]


def said_once_in_order(chat, pages, many, shown):
    """Asserts that everybody sees what was said: all of it, once, in the order of the room."""
    told = [[message["id"], message["name"], message["text"]] for message in chat.said]
    for name in pages:
        assert [text for _, author, text in told if author == name] == [f"{name} {n}" for n in range(many)]
    assert len(told) == many * len(pages)
    assert shown == [told] * len(pages)
    assert [page.locator("#waiting li").count() for page in pages.values()] == [0] * len(pages)


@contextlib.contextmanager
def lost_answers(chat, seed, share):
    """Ends a share of the connections as a request comes on them: its message is taken, its answer lost.

    Such a connection may be open for a millisecond only, in which scissors seldom hit it. The list that
    it gives holds the numbers of the connections.
    """
    draw, record, lost = random.Random(f"answers {seed}"), chat.room.record, []

    def end_some(event):
        record(event)
        if event[1] == "request_received" and draw.random() < share:
            for stream in [stream for stream in chat._streams if stream.number == event[4]]:
                lost.append(stream.number)
                stream.close()

    chat.thread.call(setattr, chat.room, "record", end_some)
    yield lost
    chat.thread.call(setattr, chat.room, "record", record)
