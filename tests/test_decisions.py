"""The mailbox: each decision that server and simulator share, on hand-made lists and beside a plain model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lpws.decisions import Mailbox, Message, Window
from lpws.wire import from_lines, to_lines


@pytest.fixture
def mailbox():
    """A mailbox with two messages."""
    mailbox = Mailbox()
    mailbox.publish("one")
    mailbox.publish("two")
    return mailbox


def test_messages_are_counted_from_one():
    mailbox = Mailbox()
    assert mailbox.last == 0
    assert mailbox.publish("tea") == (Message(1, "tea"), [])
    assert mailbox.publish("tea") == (Message(2, "tea"), [])
    assert mailbox.last == 2


def test_since_gives_what_comes_after_the_cursor(mailbox):
    assert mailbox.since(0) == [(1, "one"), (2, "two")]
    assert mailbox.since(1) == [(2, "two")]
    assert mailbox.since(2) == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab", max_size=300), min_size=1), st.integers(0, 2000), st.sampled_from([(0, 1), (1, 3)])
)
def test_a_log_with_a_limit_forgets_the_oldest(texts, most, turn):
    """Ids go on as if nothing were forgotten, and a cursor brings what is kept of what comes after it."""
    whole, short = Mailbox(*turn), Mailbox(*turn, most=most)
    for text in texts:
        assert short.publish(text) == whole.publish(text)
        assert sum(len(text) + 100 for _, text in short.log) <= most or len(short.log) == 1
        assert short.log == whole.log[-len(short.log) :]
        longer = whole.log[-len(short.log) - 1 :]
        assert longer == short.log or sum(len(text) + 100 for _, text in longer) > most, (
            "no more than it must"
        )
        for cursor in range(short.last + 1):
            assert short.since(cursor) == [message for message in whole.since(cursor) if message in short.log]


@pytest.mark.parametrize("cursor", [-1, 3, 1000])
def test_a_cursor_that_nobody_can_have_is_refused(mailbox, cursor):
    for ask in (lambda: mailbox.since(cursor), lambda: mailbox.ask("ann", cursor, 10.0, 0.0)):
        with pytest.raises(ValueError, match=f"expected a cursor from 0 to 2, got {cursor}"):
            ask()
    assert not mailbox.held


def test_news_is_given_at_once(mailbox):
    assert mailbox.ask("ann", 0, 10.0, 0.0) == [(1, "one"), (2, "two")]
    assert not mailbox.held


def test_without_news_a_request_is_held(mailbox):
    assert mailbox.ask("ann", 2, 10.0, 5.0) is None
    assert mailbox.held == {"ann": (15.0, 2)}


@pytest.mark.parametrize("hold_s", [0, 0.0, -1])
@pytest.mark.parametrize("cursor", [2, None])
def test_without_a_hold_nothing_is_an_answer_too(mailbox, cursor, hold_s):
    assert mailbox.ask("ann", cursor, hold_s, 5.0) == []
    assert not mailbox.held


def test_without_a_cursor_what_was_said_before_is_lost(mailbox):
    assert mailbox.ask("ann", None, 10.0, 0.0) is None
    assert mailbox.publish("three") == (Message(3, "three"), ["ann"])


def test_a_message_releases_all_who_wait_once_and_in_order(mailbox):
    for who in ("bob", "ann", "eve"):
        mailbox.ask(who, 2, 10.0, 0.0)
    assert mailbox.publish("three")[1] == ["bob", "ann", "eve"]
    assert mailbox.publish("four")[1] == []
    assert not mailbox.held


def test_a_hold_ends_when_it_is_over_and_not_before(mailbox):
    mailbox.ask("ann", 2, 10.0, 0.0)
    mailbox.ask("bob", 2, 10.0, 1.0)
    mailbox.ask("eve", 2, 5.0, 5.0)
    assert mailbox.expire(9.999) == []
    assert mailbox.expire(10.0) == ["ann", "eve"]
    assert mailbox.expire(10.0) == []
    assert mailbox.publish("three")[1] == ["bob"]
    assert mailbox.expire(99.0) == []


def test_who_leaves_is_forgotten(mailbox):
    mailbox.ask("ann", 2, 10.0, 0.0)
    mailbox.ask("bob", 2, 10.0, 0.0)
    mailbox.leave("ann")
    mailbox.leave("ann")  # a connection may end twice
    mailbox.leave("nobody")
    assert mailbox.publish("three")[1] == ["bob"]


def test_who_asks_again_has_one_request_with_the_new_hold(mailbox):
    mailbox.ask("ann", 2, 10.0, 0.0)
    mailbox.ask("ann", 2, 10.0, 3.0)
    assert mailbox.expire(10.0) == []
    assert mailbox.publish("three")[1] == ["ann"]


@pytest.mark.parametrize(("first", "step"), [(0, 1), (0, 2), (1, 2), (2, 5)])
def test_mailboxes_that_number_in_turn_take_any_cursor(first, step):
    mailbox = Mailbox(first, step, alone=False)
    assert (mailbox.last, mailbox.since(7)) == (0, [])
    for text in "abcd":
        mailbox.publish(text)
    ids = [first + 1 + step * n for n in range(4)]
    assert [message.id for message in mailbox.log] == ids
    assert mailbox.last == ids[-1]
    for cursor in range(ids[-1] + 3):
        assert [message.id for message in mailbox.since(cursor)] == [id for id in ids if id > cursor]
    with pytest.raises(ValueError, match="expected a cursor from 0"):
        mailbox.since(-1)


def test_a_message_that_a_client_has_from_another_server_does_not_answer_it():
    mailbox = Mailbox(alone=False)
    for who, cursor in {"ann": 2, "bob": None, "eve": 0}.items():
        assert mailbox.ask(who, cursor, 10.0, 0.0) is None
    assert [mailbox.publish(text)[1] for text in ("one", "two", "three")] == [["bob", "eve"], [], ["ann"]]


def test_a_list_of_news_is_the_callers_own(mailbox):
    mailbox.since(0).clear()
    assert mailbox.last == 2


@pytest.mark.parametrize("text", ["two\nlines", "two\rlines", "\n", "ends\n"])
def test_a_text_of_two_lines_is_refused(mailbox, text):
    mailbox.ask("ann", 2, 10.0, 0.0)
    with pytest.raises(ValueError, match="expected a text of one line, got"):
        mailbox.publish(text)
    assert mailbox.last == 2
    assert "ann" in mailbox.held


def test_a_hold_ends_among_those_who_are_named(mailbox):
    mailbox.ask("ann", 2, 10.0, 0.0)
    mailbox.ask("bob", 2, 10.0, 0.0)
    assert mailbox.expire(9.0, ["bob"]) == []
    assert mailbox.expire(10.0, ["bob", "nobody"]) == ["bob"]
    assert mailbox.publish("three")[1] == ["ann"]


# ---------------------------------------------------------------------------------- the window

ONE, TWO, THREE = (Message(id, text) for id, text in enumerate(("one", "two", "three"), 1))


def test_the_first_message_opens_a_window_and_all_of_it_goes_together():
    window = Window(flush_s=0.1)
    assert window.take(ONE)
    assert not window.take(TWO)
    assert window.close() == ([ONE, TWO], {})
    assert window.take(THREE), "it is closed, and opens again"
    assert window.close() == ([THREE], {})


def test_who_is_ahead_of_a_window_is_not_sent_what_they_have():
    window = Window(flush_s=0)
    window.join("ann", cursor=2, ahead=True)
    window.join("bob", cursor=0)
    for message, lacks in ((ONE, {"ann": []}), (TWO, {"ann": []}), (THREE, {})):
        window.take(message)
        assert window.close() == ([message], lacks)


def test_who_comes_while_a_window_is_open_is_not_sent_what_they_have():
    window = Window(flush_s=0.1)
    window.join("ann", cursor=0)
    window.take(ONE)
    window.join("bob", cursor=1)
    window.join("eve", cursor=1)
    window.leave("eve")
    window.leave("ann")
    window.take(TWO)
    window.join("joe", cursor=2)
    assert window.close() == ([ONE, TWO], {"bob": [TWO], "joe": []})
    window.take(THREE)
    assert window.close() == ([THREE], {}), "and the next time they are sent everything"


# ---------------------------------------------------------------------------------- on the wire

lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
bounded = settings(max_examples=200, derandomize=True, deadline=None, database=None)


@bounded
@given(st.lists(st.builds(Message, st.integers(1, 10**9), lines)))
def test_lines_come_back(messages):
    assert from_lines(to_lines(messages)) == messages


@pytest.mark.parametrize(
    "text",
    ["", " ", " two  spaces ", "7 tea", "日本語 ☕", "a\u2028b\x85c\x0bd\x0c", "\t", "\x00", "é" * 300],
)
def test_lines_of_every_kind_come_back(text):
    assert from_lines(to_lines([Message(1, text), Message(2, text)])) == [(1, text), (2, text)]


def test_lines_look_like_this():
    assert to_lines([]) == b""
    assert from_lines(b"") == []
    assert to_lines([Message(1, "é"), Message(2, "")]) == b"1 \xc3\xa9\n2 \n"
    assert from_lines(b"1 \xc3\xa9\n2 ") == [(1, "é")]  # what has no end has not all come


# ------------------------------------------------------------ any sequence, against a plain model


class AnySequence(RuleBasedStateMachine):
    """A mailbox, and beside it lists of what was said and of who waits until when."""

    def __init__(self):
        super().__init__()
        self.mailbox, self.said, self.waiting, self.now_s = Mailbox(), [], [], 0.0

    def forget(self, ended):
        self.waiting = [(who, until_s) for who, until_s in self.waiting if who not in ended]

    @rule(text=lines)
    def publish(self, text):
        message, released = self.mailbox.publish(text)
        self.said.append(text)
        assert message == (len(self.said), text)
        assert released == [who for who, _ in self.waiting]
        self.waiting = []

    @rule(
        who=st.integers(0, 5),
        behind=st.integers(0, 3),
        cursor=st.booleans(),
        hold_s=st.sampled_from([0.0, 1.0, 2.5]),
    )
    def ask(self, who, behind, cursor, hold_s):
        if who in dict(self.waiting):
            return  # a client has one request at a time
        at = max(0, len(self.said) - behind)
        news = self.mailbox.ask(who, at if cursor else None, hold_s, self.now_s)
        expected = [(at + n, text) for n, text in enumerate(self.said[at:], 1)] if cursor else []
        if expected or not hold_s:
            assert news == expected
        else:
            assert news is None
            self.waiting.append((who, self.now_s + hold_s))

    @rule(later_s=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    def expire(self, later_s):
        self.now_s += later_s
        over = [who for who, until_s in self.waiting if until_s <= self.now_s]
        assert self.mailbox.expire(self.now_s) == over
        self.forget(over)

    @rule(who=st.integers(0, 5))
    def leave(self, who):
        self.mailbox.leave(who)
        self.forget([who])

    @invariant()
    def agree(self):
        assert self.mailbox.last == len(self.said)
        assert [(who, until_s) for who, (until_s, _) in self.mailbox.held.items()] == self.waiting
        assert [text for _, text in self.mailbox.since(0)] == self.said


AnySequence.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, derandomize=True, deadline=None, database=None
)
TestAnySequence = AnySequence.TestCase
