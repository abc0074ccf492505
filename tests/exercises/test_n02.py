"""The tasks of notebook 02: good programs pass, and each kind of bad one gets the hint that fits."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

SINCE = """
from tornado.web import RequestHandler

class Since(RequestHandler):
    def initialize(self, room):
        self.room = room

    def get(self):
        text = self.get_query_argument("cursor", "0")
        newest = len(self.room.messages)
        if not text.isdecimal() or int(text) > newest:
            self.set_status(400)
            return
        self.set_header("Cache-Control", "no-store")
        missing = self.room.messages[int(text):]
        if not missing:
            self.set_status(204)
        for message in missing:
            self.write(f"{message.id} {message.text}\\n")
"""
BY_ERRORS = """
from tornado.web import HTTPError, RequestHandler

class Since(RequestHandler):
    def initialize(self, room):
        self.room = room

    def prepare(self):
        self.set_header("Cache-Control", "private, no-store")

    async def get(self):
        try:
            cursor = int(self.get_argument("cursor", 0))
        except ValueError:
            raise HTTPError(400)
        if cursor not in range(len(self.room.messages) + 1):
            raise HTTPError(400, reason="No Such Cursor")
        news = [message for message in self.room.messages if message.id > cursor]
        if news:
            self.finish("".join("%d %s\\n" % message for message in news))
        else:
            self.set_status(204)
            self.finish()
"""
GOOD = {"as in the lesson": SINCE, "by errors": BY_ERRORS}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_handler_passes(source, capsys):
    lines = verdict("02.cursor", made(source, "Since"), capsys)
    assert is_right(lines), lines
    assert len(lines) == 6


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = """
    from tornado.web import RequestHandler

    class MyHandler(RequestHandler):
        def initialize(self, room):
            self.room = room

        def get(self):
            ...  # your code
    """
    [line] = verdict("02.cursor", made(stub, "MyHandler"), capsys)
    assert line.startswith("… `get` is still empty")


WRONG = {
    "newest only": ([("messages[int(text):]", "messages[-1:]")], "lost messages 1 and 2"),
    "everything": ([("messages[int(text):]", "messages[:]")], "again, which the client said it had"),
    "off by one": ([("messages[int(text):]", "messages[int(text) + 1:]")], "lost message 1"),
    "newest first": ([("in missing", "in missing[::-1]")], "the order in which a reader"),
    "remembers who asked": (
        [("missing = self.room.messages[int(text):]",
          "missing = [m for m in self.room.messages[int(text):] if m.id > getattr(self.room, 'sent', 0)]; "
          "self.room.sent = newest")],
        "with nothing, where",
    ),
    "200 and nothing": ([("self.set_status(204)", "pass")], "status 200 when there was nothing to send"),
    "a digit that is no number": ([("isdecimal()", "isdigit()")], "raised ValueError"),
    "half a cursor": (
        [("text.isdecimal()", "text.replace('.', '').isdecimal()"), ("int(text)", "int(float(text))")],
        "status 200 to cursor=1.5",
    ),
    "escaped for a page": (
        [("{message.text}", "{__import__('html').escape(message.text)}")], "which was '<b> is tea & milk",
    ),
    "ten at most": ([("messages[int(text):]", "messages[int(text):][-10:]")], "away for long"),
    "ends lines as a header does": ([("text}\\n", "text}\\r\\n")], "with \\n alone"),
    "no cursor is an error": ([('"cursor", "0")', '"cursor")')], "to a request without a cursor"),
    "believes every number": ([("or int(text) > newest", "")], "status 204 to cursor="),
    "breaks on a word": ([("if not text.isdecimal() or int(text) > newest", "if int(text) > newest")],
                         "status 200 to cursor=-"),
    "refuses the newest": ([("int(text) > newest", "int(text) >= newest > 2")], "refused cursor=3"),
    "lets caches keep it": ([('"no-store"', '"max-age=60"')], "a cache on the way"),
    "forgets caches when empty": (
        [('self.set_header("Cache-Control", "no-store")\n        missing', "missing"),
         ("self.set_status(204)", "self.set_status(204)\n        "
          "else:\n            self.set_header('Cache-Control', 'no-store')")],
        "with nothing to send, and did not say",
    ),
    "never ends": ([("for message in missing", "self._auto_finish = False\n        for message in missing")],
                   "gave no answer"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_handler_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("02.cursor", made(edited(SINCE, *changes), "Since"), hint, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("02.empty", 0.82, "✓"), ("02.empty", 0.2, "✗ not 0.2: that is λC"),
        ("02.empty", "most", "✗ expected a"),
        ("02.empty", 82, "✗ not 82: that is in percent"), ("02.reload", 1, "✓"),
        ("02.reload", 2, "✗ not 2: that is the pause into which"),
        ("02.reload", 0.5, "✗ not 0.5: that is a timer's"),
        ("02.sleep", 1.6, "✓"), ("02.sleep", 1.0, "✗ not 1: that is the sleep"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
