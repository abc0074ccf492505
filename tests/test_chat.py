"""The chat's server side: who is here, what is said once, what is refused; and robots."""

import asyncio
import contextlib
import http.client
import json
import re
import time
from dataclasses import replace

import picows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import FRIEND, HANDSHAKE, PATIENCE_S, until

import lpws
from lpws.chat import ChatServer, Robots, Times
from lpws.chat.allowance import Allowance
from lpws.chat.handlers import HANDLERS, MOST_EVENTS, WAYS
from lpws.chat.host import replies
from lpws.chat.letters import MOST_SAID
from lpws.chat.names import look, plain
from lpws.chat.page import FILES, HOME
from lpws.chat.record import run_of
from lpws.chat.room import MOST_NAME, MOST_TEXT, ChatRoom, Refusal, clean
from lpws.chat.roster import AT_ONCE, MOST_DONE, MOST_GONE, MOST_HERE, NOTEBOOK, PACE_S, Crowded, Done, Roster
from lpws.specs import TRANSPORTS
from lpws.trace import clock
from lpws.transports.room import Room
from lpws.transports.sse import Parser
from lpws.wire import from_lines


class Page:
    """What a page does, without a browser."""

    def __init__(self, chat, name="Ada", by="WebSocket", secret=None):
        self.chat, self.name, self.by = chat, name, by
        self.secret = secret or f"secret of {name}"
        self.cursor = 0

    def ask(self, method, path, body=None, prefix=None, **headers):
        """Status, headers and body of an answer."""
        line = http.client.HTTPConnection("127.0.0.1", self.chat.port, timeout=PATIENCE_S)
        with contextlib.closing(line):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            prefix = self.chat.prefix if prefix is None else prefix
            line.request(method, prefix + path, body, {"Host": self.chat.host} | headers)
            answer = line.getresponse()
            return answer.status, answer.headers, b"" if answer.status == 101 else answer.read()

    def post(self, path, kind="application/json", **letter):
        """Status of the answer to a letter, and what it says."""
        status, _, body = self.ask("POST", path, json.dumps(letter), Content_Type=kind)
        return status, json.loads(body) if status == 200 else body.decode()

    def enter(self):
        status, answer = self.post("/enter", secret=self.secret, name=self.name, by=self.by)
        assert status == 200, answer
        self.number, self.ticket, self.name = answer["client"], answer["ticket"], answer["name"]
        return answer

    def say(self, text, key="1", typed=0.0):
        """Status of the answer to one message, and its id."""
        status, answer = self.say_all([(key, text)], typed)
        return (status, answer["ids"][0]) if status == 200 else (status, answer)

    def say_all(self, said, typed=0.0):
        """Status of the answer to a letter with these keys and texts, and what it says."""
        messages = [{"key": key, "text": text, "typed": typed} for key, text in said]
        return self.post("/post", secret=self.secret, said=messages)

    def news(self, path="/reload", **query):
        """The messages since the last ones."""
        query = {"cursor": self.cursor, "ticket": self.ticket, "patience": 60} | query
        status, _, body = self.ask("GET", path + "?" + "&".join(f"{k}={v}" for k, v in query.items()))
        assert status in (200, 204)
        messages = [json.loads(text) | {"id": id} for id, text in from_lines(body)]
        self.cursor = max([self.cursor, *(message["id"] for message in messages)])
        return messages


class Socket(picows.WSListener):
    """What came on a WebSocket."""

    def __init__(self):
        self.came = asyncio.Queue()

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == picows.WSMsgType.CLOSE:
            self.came.put_nowait(frame.get_close_code())
            transport.send_close(picows.WSCloseCode.OK)
        else:
            for line in frame.get_payload_as_utf8_text().splitlines():
                self.came.put_nowait(json.loads(line.partition(" ")[2]))


class Line:
    """A WebSocket to a chat, for tests that are no coroutines."""

    def __init__(self, runner, chat):
        self.runner = runner
        self.transport, self.socket = self.run(picows.ws_connect(Socket, f"ws{chat.url[4:]}/websocket"))

    def run(self, coroutine):
        return self.runner.run(asyncio.wait_for(coroutine, PATIENCE_S))

    def send(self, letter):
        binary = isinstance(letter, bytes)
        kind = picows.WSMsgType.BINARY if binary else picows.WSMsgType.TEXT
        self.transport.send(kind, letter if binary else letter.encode())

    def answer(self):
        """What became of a letter."""
        while (line := self.run(self.socket.came.get()))["kind"] != "answer":
            pass
        return line

    def closed(self):
        """The code with which it is closed."""
        while not isinstance(line := self.run(self.socket.came.get()), int):
            assert line["kind"] == "beat"
        return line


@contextlib.contextmanager
def socket(chat):
    """A WebSocket to the chat."""
    with asyncio.Runner() as runner:
        line = Line(runner, chat)
        yield line
        line.transport.disconnect()
        line.run(line.transport.wait_disconnected())


@pytest.fixture
def chat(nothing_left):
    with ChatServer(origin=FRIEND) as chat:
        yield chat
        assert not chat.log


@pytest.fixture
def ada(chat):
    page = Page(chat)
    page.enter()
    return page


# ------------------------------------------------------------------------------- who is here


def test_a_roster_knows_who_is_here():
    roster = Roster()
    assert roster.enter("a", "Ada", "SSE", now_s=0.0, last=0, patience_s=5)
    assert not roster.enter("a", "Ada", "SSE", now_s=1.0, last=0, patience_s=5)
    assert roster.enter("a", "Ada", "WebSocket", now_s=2.0, last=7, patience_s=5)
    (ada,) = roster.here
    assert (ada.number, ada.by, ada.since_s, ada.since) == (0, "WebSocket", 2.0, 7)
    assert not roster.listen(ada)
    assert not list(roster.expire(1000.0)), "whoever listens is here"
    roster.pause(ada, now_s=1000.0, patience_s=5)
    assert not list(roster.expire(1005.0))
    assert list(roster.expire(1005.1)) == [ada]
    assert not list(roster.expire(1005.2)), "nobody goes twice"
    assert roster.here == []
    assert roster.listen(ada), "and is back"
    assert roster.leave("a") is ada
    assert roster.leave("a") is None
    assert roster.leave("nobody") is None


def test_names_are_told_apart():
    roster = Roster()
    for secret in "abc":
        roster.enter(secret, "Ada", "SSE", 0.0, 0, 5)
    assert [person.name for person in roster.here] == ["Ada", "Ada 2", "Ada 3"]
    assert not roster.enter("a", "Ada", "SSE", 0.0, 0, 5), "nobody is in their own way"
    roster.leave("a")
    roster.enter("b", "Ada", "SSE", 0.0, 0, 5)
    assert [person.name for person in roster.here] == ["Ada 2", "Ada 3"], "it is still that of who left"
    roster.enter("a", "Ada", "SSE", 0.0, 0, 5)
    assert [person.name for person in roster.here] == ["Ada", "Ada 2", "Ada 3"]
    roster.leave("a")
    roster.forget("a")
    roster.forget("nobody")
    roster.forget("b")
    roster.enter("b", "Ada", "SSE", 0.0, 0, 5)
    assert [person.name for person in roster.here] == ["Ada", "Ada 3"], "and now it is free"


TWINS = ["ADA", "ada", "\u0410da", "\u0410d\u0430", "\u0391da"]


@pytest.mark.parametrize("twin", TWINS)
def test_names_that_look_alike_are_told_apart(twin):
    roster = Roster()
    roster.enter("a", "Ada", "SSE", 0.0, 0, 5)
    roster.enter("b", twin, "SSE", 0.0, 0, 5)
    assert [person.name for person in roster.here] == ["Ada", f"{twin} 2"]


def test_nobody_is_taken_for_the_notebook():
    roster = Roster()
    for secret, name in {"a": NOTEBOOK, "b": NOTEBOOK.upper()}.items():
        roster.enter(secret, name, "SSE", 0.0, 0, 5)
    assert NOTEBOOK not in {person.name for person in roster.here}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*TWINS, "Ida", "Bob", "B0b", "Lil", "Ill", "\u0412ob"]), max_size=12))
def test_no_two_people_look_alike(wishes):
    roster = Roster()
    for n, name in enumerate(wishes):
        roster.enter(str(n), name, "SSE", 0.0, 0, 5)
    assert len({look(person.name) for person in roster.here}) == len(wishes)


@pytest.mark.parametrize(
    "name",
    ["\u200b", "Ada\u200b", "\u202eadA", "A\u00adda", "Ada\u2060", "Ada\ufeff", "\u3164", "Ada\u2800",
     "\uffa0", "A\u034fda", "Ada\U000e0041", "Ada\x00", "Ada\x7f", "Ada\n", "\ue000", "\ud800", "Ada\u2028"],
)  # fmt: skip
def test_a_name_shows(chat, ada, name):
    """Nothing else may make two names differ, or turn the direction of what stands around them."""
    status, said = ada.post("/enter", secret="another", name=name, by="SSE")
    assert (status, said.startswith("400 Expected a name of characters that show, got U+")) == (400, True)
    assert [person.name for person in chat.people] == ["Ada"]


def test_a_name_has_one_form(chat):
    for wish, name in {
        "\uff21da": "Ada",
        "E\u0301va": "\u00c9va",
        " Bo  Li ": "Bo Li",
        "\u2764\ufe0f": "\u2764",
    }.items():
        page = Page(chat, wish, secret=name.encode().hex())
        page.enter()
        assert page.name == name == plain(name)


def test_a_crowd_of_newcomers_has_to_wait():
    roster = Roster()
    for n in range(AT_ONCE):
        roster.enter(str(n), f"robot {n}", "SSE", 0.0, 0, 5)
    with pytest.raises(Crowded) as crowded:
        roster.enter("late", "Ada", "SSE", 0.0, 0, 5)
    roster.enter("0", "robot 0", "SSE", 0.0, 0, 5)  # who was here before is no newcomer
    assert roster.enter("late", "Ada", "SSE", crowded.value.wait_s, 0, 5)
    for n in range(AT_ONCE, MOST_HERE - 1):
        roster.enter(str(n), f"robot {n}", "SSE", n * PACE_S, 0, 5)
    with pytest.raises(Crowded):
        roster.enter("too late", "Bea", "SSE", 1e6, 0, 5)
    roster.leave("0")
    assert roster.enter("too late", "Bea", "SSE", 1e6, 0, 5)


def test_who_has_been_gone_for_longest_is_forgotten():
    roster = Roster()
    for n in range(MOST_GONE + 3):
        roster.enter(str(n), f"robot {n}", "SSE", n * PACE_S, 0, 5)
        if n != 1:
            roster.leave(str(n))
    assert len(roster.people) == len(roster.tickets) == MOST_GONE + 1
    assert "0" not in roster.people
    assert roster.people["1"].here, "but nobody who is here"
    assert roster.enter("0", "robot 0", "SSE", 1e6, 0, 5)
    assert roster.people["0"].number == MOST_GONE + 3, "and is somebody else, should they come back"


def test_a_newcomer_without_a_place_is_told_when_to_come_again(chat, monkeypatch):
    monkeypatch.setattr("lpws.chat.roster.AT_ONCE", 2)
    for name in ("Ada", "Bea"):
        Page(chat, name).enter()
    letter = json.dumps({"secret": "s", "name": "Cem", "by": "SSE"})
    status, headers, _ = Page(chat).ask("POST", "/enter", letter, Content_Type="application/json")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert [person.name for person in chat.people] == ["Ada", "Bea"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("elpgx"), st.sampled_from("abc")), max_size=60))
def test_here_is_who_came_and_did_not_go(acts):
    """Against a set that is kept in the plainest way."""
    roster, here, lines = Roster(), set(), {}
    for now_s, (act, secret) in enumerate(acts):
        person = roster.people.get(secret)
        if act == "e":
            assert roster.enter(secret, secret, "SSE", now_s, 0, 1000) == (secret not in here)
            here.add(secret)
        elif act == "g":
            assert (roster.leave(secret) is not None) == (secret in here)
            here.discard(secret)
        elif act == "l" and person:
            assert roster.listen(person) == (secret not in here)
            here.add(secret)
            lines[secret] = lines.get(secret, 0) + 1
        elif act == "p" and lines.get(secret):
            roster.pause(person, now_s, -1)
            lines[secret] -= 1
        elif act == "x":
            gone = {p.name for p in roster.expire(now_s)}
            assert all(not lines.get(name) for name in gone)
            here -= gone
        assert {p.name for p in roster.here} == here


def test_the_room_of_a_chat_changes_of_a_room_only_what_it_means_to():
    """By a name of its own that a room has already, it would change how requests are held."""
    own = {name for name in vars(ChatRoom) if not name.startswith("__")}
    assert own & set(dir(Room)) == {"most", "publish", "close"}


def test_coming_and_going_is_told(chat, ada):
    bea = Page(chat, "Bea", "SSE")
    bea.enter()
    bea.by = "long polling"
    bea.enter()
    bea.name = "Bee"
    bea.enter()
    bea.post("/leave", secret=bea.secret)
    assert [(m["kind"], m["name"], m["by"]) for m in ada.news()] == [
        ("came", "Ada", "WebSocket"),
        ("came", "Bea", "SSE"),
        ("came", "Bea", "long polling"),
        ("came", "Bee", "long polling"),
        ("left", "Bee", "long polling"),
    ]
    assert [person.name for person in chat.people] == ["Ada"]


def test_who_is_not_heard_of_has_gone_and_who_comes_back_is_here_again(nothing_left):
    with ChatServer(times=Times().faster(50)) as chat:
        ada = Page(chat, by="short polling")
        ada.enter()
        until(lambda: not chat.people)
        assert [m["kind"] for m in ada.news(patience=1000)] == ["came", "left", "came"]
        assert [person.name for person in chat.people] == ["Ada"]
        bea = Page(chat, "Bea", by="short polling")
        bea.enter()
        until(lambda: len(chat.people) == 1)
        assert bea.say("still here")[0] == 200
        assert [(m["kind"], m["name"]) for m in ada.news()][-4:] == [
            ("came", "Bea"), ("left", "Bea"), ("came", "Bea"), ("said", "Bea"),
        ]  # fmt: skip


def test_a_held_request_keeps_its_person_here(nothing_left):
    times = replace(Times().faster(50), hold_s=1.0)  # away, and six beats, in less than a hold
    with ChatServer(times=times) as chat:
        ada = Page(chat, by="long polling")
        ada.enter()
        assert [m["kind"] for m in ada.news("/longpolling", hold=1, patience=0)] == ["came"]
        assert ada.news("/longpolling", hold=1, patience=0) == [], "nobody said that Ada had gone"


def test_only_a_ticket_says_who_listens(chat, ada):
    """A number can be guessed: it makes nobody here, and nobody gone."""
    bea = Page(chat, "Bea", by="short polling")
    bea.enter()
    bea.post("/leave", secret=bea.secret)
    for path in ("/reload", "/shortpolling", "/longpolling"):
        assert ada.ask("GET", f"{path}?client={bea.number}&patience=3600&cursor=0")[0] == 200
    assert [person.name for person in chat.people] == ["Ada"]
    assert chat.room.roster.people[ada.secret].lines == 0
    assert not [event for event in chat.trace if event[3] == bea.number], (
        "the trace believes no number, either"
    )
    bea.news()
    assert [person.name for person in chat.people] == ["Ada", "Bea"]
    assert {event[3] for event in chat.trace if event[1] == "response_sent" and event[6] == -1} >= {
        bea.number
    }
    for path in ("/reload", "/longpolling", "/sse", "/websocket"):
        more = HANDSHAKE if path == "/websocket" else {}
        for ticket in ("", "guess", bea.number):
            assert ada.ask("GET", f"{path}?ticket={ticket}", **more)[0] == 409
    assert ada.ticket != bea.ticket
    assert len(ada.ticket) == 22, "128 bits in base64"


def test_a_person_before_anybody_came_is_nobody(chat):
    """Whoever listens with the number that the next one will get has no say over them."""
    with contextlib.closing(http.client.HTTPConnection(chat.host, timeout=PATIENCE_S)) as line:
        line.request("GET", f"{chat.prefix}/longpolling?client=0&hold=300")
        until(lambda: chat.room.waiting)
        ada = Page(chat)
        ada.enter()
        line.getresponse().read()
    ada.post("/leave", secret=ada.secret)
    assert chat.room.roster.people[ada.secret].lines == 0
    assert chat.people == []


# ------------------------------------------------------------------------------ what is said


def test_a_message_says_who_what_and_when(chat, ada):
    before = lpws.clock()
    status, answer = ada.say("tea\nis  ready ", typed=before)
    assert (status, answer) == (200, 2)
    message = ada.news()[-1]
    assert {key: message[key] for key in ("kind", "who", "name", "by", "text", "key", "id")} == {
        "kind": "said", "who": 0, "name": "Ada", "by": "WebSocket", "text": "tea is ready",
        "key": "1", "id": 2,
    }  # fmt: skip
    assert message["typed"] == pytest.approx(before, abs=1e-6)
    assert before < message["at"] < lpws.clock()
    assert chat.said == [message]


def test_the_same_key_is_the_same_message(chat, ada):
    bea = Page(chat, "Bea")
    bea.enter()
    answers = [ada.say("tea", key="k"), ada.say("tea", key="k"), bea.say("tea", key="k"), ada.say("tea", "m")]
    ids = [id for _, id in answers]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3, "a key is its page's own"
    assert len(chat.said) == 3


@pytest.mark.parametrize(("off_s", "least", "most"), [(-1e9, 86_399, 86_401), (1e9, 0, 1), (-5, 4, 7)])
def test_nothing_was_typed_in_the_future_or_before_yesterday(chat, ada, off_s, least, most):
    ada.say("tea", typed=lpws.clock() + off_s)
    (message,) = chat.said
    assert least <= message["at"] - message["typed"] <= most


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_a_cleaned_text_is_one_line_and_shows(text):
    try:
        cleaned = clean(text, 30)
    except Refusal:
        assert len(text) > 30 or not clean(f"{text}x", 50)[:-1].strip()
        return
    assert 0 < len(cleaned) <= 30
    assert cleaned == cleaned.strip() == clean(cleaned, 30)
    assert len(f"{cleaned}.".splitlines()) == 1
    assert from_lines(f"1 {json.dumps(cleaned, ensure_ascii=False)}\n".encode())


def test_what_the_notebook_publishes_is_said(chat, ada):
    assert chat.publish(" tea is\nready ") == 2
    (message,) = chat.said
    assert {key: message[key] for key in ("who", "name", "by", "text")} == {
        "who": -1, "name": NOTEBOOK, "by": NOTEBOOK, "text": "tea is ready",
    }  # fmt: skip
    assert ada.news()[-1] == message
    for text in ("", " \n", "x" * (MOST_TEXT + 1)):
        with pytest.raises(ValueError, match="Expected 1 to 1000 characters"):
            chat.publish(text)
    with pytest.raises(TypeError, match="expected a text"):
        chat.publish({"kind": "said"})
    assert len(chat.said) == 1


def test_what_cannot_be_told_leaves_nothing_behind(chat, ada):

    def told():
        return [event for event in chat.trace if event[2] == "publisher"], chat.room.mailbox.last

    before = told()
    with pytest.raises(UnicodeEncodeError):
        chat.thread.call(lambda: chat.room.tell("said", key="\ud800"))
    assert told() == before


def test_whatever_is_said_arrives_as_it_was_said(chat, ada):
    texts = [
        "<script>alert(1)</script>",
        "né ☕ 🫖",
        '"\\',
        "0 1",
        "\ud800x",
        "a\u2028b",
        "data: x",
        "x" * MOST_TEXT,
    ]
    for key, text in enumerate(texts):
        assert ada.say(text, key=str(key))[0] == 200
    told = [m["text"] for m in ada.news() if m["kind"] == "said"]
    assert told == [*texts[:4], "?x", "a b", *texts[6:]]


def test_limits(chat, ada):
    for text in ("", " \n ", "x" * (MOST_TEXT + 1)):
        assert ada.say(text)[0] == 400
    for key in ("", "x" * 65):
        assert ada.say("tea", key=key)[0] == 400
    for name in ("", "x" * (MOST_NAME + 1)):
        assert ada.post("/enter", secret="s", name=name, by="SSE")[0] == 400
    assert ada.post("/enter", secret="s", name="x", by="pigeon") == (
        400, "400 Expected by to be one of reload, short polling, long polling, SSE, WebSocket\n",
    )  # fmt: skip
    assert Page(chat, secret="another").say("tea") == (409, "409 Come in first\n")
    assert chat.said == []
    assert list(WAYS) == [kind.label for kind in TRANSPORTS]


GOOD = {"key": "k", "text": "tea", "typed": 0}


@pytest.mark.parametrize(
    "body",
    [
        "", "x", "[]", "null", "{}", '"secret"', "[" * 5000, "\xff",
        json.dumps({"secret": 1, "said": [GOOD]}),
        json.dumps({"secret": "secret of Ada", "said": GOOD}),
        json.dumps({"secret": "secret of Ada", "said": []}),
        json.dumps({"secret": "secret of Ada", "said": [GOOD] * (MOST_SAID + 1)}),
        json.dumps({"secret": "secret of Ada", "said": [[GOOD]]}),
        *(
            json.dumps({"secret": "secret of Ada", "said": [GOOD, GOOD | bad]})
            for bad in (
                {"text": ["tea"]}, {"typed": "now"}, {"typed": True}, {"typed": float("nan")},
                {"typed": float("inf")}, {"typed": 10**400}, {"key": None}, {"key": ""}, {"key": "x" * 65},
                {"key": "\ud800"}, {"key": "k\n"}, {"key": "\u00e9"},
            )
        ),
    ],
)  # fmt: skip
def test_letters_that_are_not_what_they_should_be(chat, ada, body):
    kind = {"Content_Type": "application/json"}
    assert ada.ask("POST", "/post", body.encode("latin-1"), **kind)[0] == 400
    assert ada.ask("POST", "/enter", body.encode("latin-1"), **kind)[0] == 400
    assert chat.said == [], "nothing of it"
    with socket(chat) as line:
        line.send(body if body != "\xff" else b"\xff")
        assert line.closed() == 1008
    assert chat.said == []


def test_a_letter_as_it_should_be(chat, ada):
    letter = {"secret": ada.secret, "said": [GOOD, GOOD | {"key": "m"}]}
    assert ada.post("/post", **letter) == (200, {"ids": [2, 3]})
    with socket(chat) as line:
        line.send(json.dumps(letter | {"said": [GOOD | {"key": "n"}]}))
        assert line.answer() == {"kind": "answer", "ids": [4]}
    assert [message["key"] for message in chat.said] == ["k", "m", "n"]


def test_letters_that_are_not_what_they_should_be_leave_nothing_in_the_record(chat, ada):
    for key in ("\ud800", "\udfff"):
        assert ada.say("x", key=key)[0] == 400
        assert ada.post("/report", secret=ada.secret, key=key, events=[])[0] == 400
        assert ada.post("/enter", secret=key, name="Bea", by="SSE")[0] == 400
    assert ada.say("tea")[0] == 200
    run = chat.run("Ada")
    assert len(lpws.deliveries(run)) == 2
    assert lpws.summary(run) is not None
    lpws.ladder(run)


def test_a_form_cannot_post(chat, ada):
    letter = {"secret": ada.secret, "said": [GOOD]}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert ada.post("/post", kind=kind, **letter)[0] in (400, 415)
    assert chat.said == []
    assert ada.post("/post", kind="application/json; charset=utf-8", **letter)[0] == 200


# ------------------------------------------------------------------------------ how much of it


class Bucket:
    """A token bucket kept in the plainest way, as the oracle."""

    def __init__(self, pace_s, burst_s):
        self.pace_s, self.most, self.now_s = pace_s, 1 + burst_s / pace_s, 0.0
        self.tokens = self.most

    def take(self, now_s):
        self.tokens = min(self.most, self.tokens + (now_s - self.now_s) / self.pace_s)
        self.now_s = now_s
        taken = self.tokens >= 1
        self.tokens -= taken
        return 0.0 if taken else (1 - self.tokens) * self.pace_s


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2, 8]), st.integers(0, 40), st.lists(st.integers(0, 12), max_size=80))
def test_an_allowance_is_a_token_bucket(pace_s, burst_s, pauses_s):
    """Times are whole eighths of a second, so that both reckon without an error."""
    allowance, bucket, now_s = Allowance(), Bucket(pace_s, burst_s), 0.0
    for pause_s in pauses_s:
        now_s += pause_s / 8
        wait_s = allowance.take(now_s, pace_s, burst_s)
        assert wait_s == bucket.take(now_s)
        assert wait_s <= pace_s
        if wait_s:
            now_s += wait_s
            assert allowance.take(now_s, pace_s, burst_s) == bucket.take(now_s) == 0, "not a moment longer"


#: Four things at once, and then hardly any.
SLOW = replace(Times(), pace_s=3600.0, burst_s=3 * 3600.0)


@pytest.fixture
def slow(nothing_left):
    with ChatServer(times=SLOW) as chat:
        yield chat
        assert not chat.log


def test_nobody_floods_the_room(slow):
    ada, bea = Page(slow), Page(slow, "Bea")
    ada.enter()
    bea.enter()
    said = [(str(n), f"message {n}") for n in range(6)]
    assert ada.say_all(said) == (200, {"ids": [3, 4, 5, 6]}), "those before the first that is refused"
    assert ada.say_all(said[4:]) == (429, "429 Too quick\n")
    status, headers, _ = ada.ask(
        "POST", "/post", json.dumps({"secret": ada.secret, "said": [GOOD]}), Content_Type="application/json"
    )
    assert (status, headers["Retry-After"]) == (429, "3600")
    assert ada.say_all(said[:4]) == (200, {"ids": [3, 4, 5, 6]}), "what is said already costs nothing"
    assert bea.say("I am not Ada")[0] == 200
    assert [message["text"] for message in slow.said] == [text for _, text in said[:4]] + ["I am not Ada"]


def test_nobody_floods_the_room_by_being_many(nothing_left):
    """All together may say ten times as much as one: at once, a hundred and one things."""
    times = replace(Times(), pace_s=3600.0, burst_s=10 * 3600.0)
    with ChatServer(times=times) as chat:
        taken = []
        for n in range(12):
            page = Page(chat, f"robot {n}")
            page.enter()
            status, answer = page.say_all([(str(m), f"message {m}") for m in range(12)])
            taken.append(len(answer["ids"]) if status == 200 else status)
        assert taken == 9 * [11] + [2, 429, 429], "eleven each; and the room takes no more"
        last, quick = page, chat.room.roster.people["secret of robot 0"]
        assert last.post("/report", secret=last.secret, key="r", events=[]) == (200, {"events": 0})
        full_s = chat.room.allowance.full_s
        with pytest.raises(Refusal):
            chat.thread.call(chat.room.spend, quick)
        assert chat.room.allowance.full_s == full_s, "whoever is too quick uses up nothing of the others'"


def test_nobody_floods_the_room_on_a_socket(slow):
    ada = Page(slow)
    ada.enter()
    said = [{"key": str(n), "text": f"message {n}", "typed": 0} for n in range(6)]
    with socket(slow) as line:
        for taken in ([2, 3, 4, 5], None):
            line.send(json.dumps({"secret": ada.secret, "said": said}))
            said = said[4:]
            refused = {"status": 429, "wait": 3600}
            assert line.answer() == {"kind": "answer"} | ({"ids": taken} if taken else refused)
    assert [message["text"] for message in slow.said] == [f"message {n}" for n in range(4)]


def test_nobody_floods_the_room_with_names(slow):
    """Nor by coming and going."""
    ada = Page(slow)
    ada.enter()
    for n in range(10):
        ada.post("/enter", secret=ada.secret, name=f"Ada {n}", by="SSE")
        ada.post("/leave", secret=ada.secret)
        ada.ask("GET", f"/reload?ticket={ada.ticket}")
    assert slow.room.mailbox.last < 10


def test_what_is_no_message_is_refused_alone(chat, ada):
    said = [("1", "tea"), ("2", " \x00 "), ("3", "is ready")]
    assert ada.say_all(said) == (200, {"ids": [2]})
    assert ada.say_all(said[1:]) == (400, "400 Expected 1 to 1000 characters, got 0\n")
    assert ada.say_all(said[2:]) == (200, {"ids": [3]})
    with socket(chat) as line:
        line.send(json.dumps({"secret": ada.secret, "said": [GOOD | {"text": "\x00"}]}))
        assert line.answer() == {"kind": "answer", "status": 400, "wait": 0}
    assert [message["text"] for message in chat.said] == ["tea", "is ready"]


def test_a_robot_that_is_too_quick_waits(nothing_left):
    times = replace(Times(), pace_s=0.05, burst_s=0.1)
    with ChatServer(times=times) as chat, Robots(chat, {"Ada": lpws.WebSocket()}) as robots:
        for n in range(5):
            robots.say("Ada", str(n))
        assert [message["text"] for message in chat.said] == list("01234")


# ---------------------------------------------------------------------------------- who may


def paths():
    return [*HANDLERS, *(f"/{name}" for name in FILES), "/nowhere"]


@pytest.mark.parametrize(
    "prefix", ["", "/", "/x", "/{most}", "/{token}x", "/{token}/..", "//{token}", "/{other}"]
)
def test_without_the_token_there_is_nothing(chat, prefix):
    token = chat.prefix[1:]
    prefix = prefix.format(token=token, most=token[:-1], other=token.swapcase())
    for path in paths():
        if prefix == f"/{token}/..":
            path = f"/..{path}"
        for method in ("GET", "POST", "OPTIONS"):
            status, _, body = Page(chat).ask(method, path, prefix=prefix, Content_Type="application/json")
            assert status in (403, 404)
            assert token.encode() not in body
        assert Page(chat).ask("GET", path, prefix=prefix, **HANDSHAKE)[0] in (403, 404)
    assert chat.people == []


def test_every_server_has_a_token_of_its_own():
    tokens = {ChatServer().prefix for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"/[\w-]{22}", token) for token in tokens), "128 bits in base64"
    assert lpws.Server().prefix == ""


STRANGERS = {
    "cross-site WebSocket": {"Origin": "http://evil.example"},
    "a frame without an origin": {"Origin": "null"},
    "DNS rebinding": {"Host": "evil.example"},
    "DNS rebinding, with the port": {"Host": "evil.example:{port}"},
    "another port of this machine": {"Origin": "http://127.0.0.1:1"},
    "an image on a foreign page": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "a script on another port": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_refused_even_with_the_token(chat, ada, stranger):
    stranger = {name: value.format(port=chat.port) for name, value in stranger.items()}
    letter = json.dumps({"secret": ada.secret, "said": [GOOD]})
    json_ = {"Content-Type": "application/json"}
    for path in paths():
        assert ada.ask("POST", path, letter, **json_ | stranger)[0] == 403
        for more in ({}, HANDSHAKE):
            status, headers, body = ada.ask("GET", path, **more | stranger)
            assert (status, len(body) < 40) == (403, True)
            assert headers.get("Access-Control-Allow-Origin") != stranger.get("Origin")
    assert chat.said == []
    assert len(chat.people) == 1


def test_one_other_origin_is_let_in_and_told_so(chat, ada):
    asks = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    status, headers, _ = ada.ask("OPTIONS", "/post", **asks)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == FRIEND
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert "Access-Control-Allow-Credentials" not in headers
    for path in ("/clock", "/reload", "/nowhere", "/reload?cursor=99"):
        assert ada.ask("GET", path, Origin=FRIEND)[1]["Access-Control-Allow-Origin"] == FRIEND
    assert ada.ask("OPTIONS", "/post", prefix="", **asks)[0] == 403, "not without the token"
    assert ada.ask("OPTIONS", "/post")[0] == 405, "and to nobody else"


def test_without_another_origin_nobody_is_told_anything(nothing_left):
    with ChatServer() as chat:
        for origin in ({}, {"Origin": f"http://{chat.host}"}, {"Origin": FRIEND}):
            for method in ("GET", "OPTIONS"):
                _, headers, _ = Page(chat).ask(method, "/clock", **origin)
                assert not [name for name in headers if name.startswith("Access-Control")]
        assert Page(chat).ask("OPTIONS", "/clock")[0] == 405


def test_the_page_is_served_with_its_policy(chat):
    assert sorted(path.name for path in HOME.iterdir()) == sorted(file for file, _ in FILES.values())
    for name, (file, kind) in FILES.items():
        status, headers, body = Page(chat).ask("GET", f"/{name}")
        assert (status, body) == (200, (HOME / file).read_bytes())
        assert headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
        frames = policy["frame-ancestors"].split()
        assert {"http://localhost:*", "http://127.0.0.1:*", "http://*.localhost:*", "vscode-webview:"} < {
            *frames
        }
        assert not {"*", "http:", "https:", "http://*"} & {*frames}
        assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == (
            "'none'",
            "'self'",
            "'self'",
        )
    for path in ("/index.html", "/..", "/chat.js/", "/chatxjs", "/%2e%2e/server.py", "/chat.js%00"):
        assert Page(chat).ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("referrer", "allowed"),
    [("http://[::1]:8888/", True), ("http://[::1]/lab", True), ("http://[::2]:8888/", False), ("", False),
     ("http://evil.example/?http://[::1]:8888/", False), ("http://[::1].evil.example/", False),
     ("http://[", False)],
)  # fmt: skip
def test_a_notebook_at_the_ipv6_loopback_may_frame_the_page(chat, referrer, allowed):
    _, headers, _ = Page(chat).ask("GET", "/", Referer=referrer)
    assert (" http: " in headers["Content-Security-Policy"]) == allowed


def test_the_page_loads_nothing_from_elsewhere_and_puts_nothing_in_as_markup():
    for file, _ in FILES.values():
        text = (HOME / file).read_text(encoding="utf-8")
        assert not re.search(r"https?://|src=\"(//|/)|href=\"/|url\(", text), file
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text
        ), file
        if file.endswith(".html"):
            assert not re.search(r"\son\w+=|\sstyle=|<script>|<style", text), "the policy forbids it"


# -------------------------------------------------------------------------- what is recorded


def test_a_report_becomes_part_of_the_trace_once(chat, ada):
    ada.say("tea", typed=lpws.clock())
    now = lpws.clock()
    events = [[now, "message_received", 0, 2, 3], [now + 0.1, "request_sent", 1, -1, 0]]
    for _ in range(2):
        assert ada.post("/report", secret=ada.secret, key="r", events=events) == (200, {"events": 2})
    mine = [event for event in chat.trace if event[2] == "client"]
    assert mine == [
        (now, "message_received", "client", 0, -1, 0, 2, 3),
        (now + 0.1, "request_sent", "client", 0, -1, 1, -1, 0),
    ]
    table = lpws.deliveries(chat.run("Ada"))
    assert list(table[table.message == 2].state) == ["delivered"]


@pytest.mark.parametrize(
    "event",
    [
        None, [], {}, [1.0, "published", 0, 2, 3], ["x", "failed", 0, 2, 3], [1.0, "failed", 0.5, 2, 3],
        [1.0, "failed", 0, 2], [1.0, "failed", 0, -2, 3], [1.0, "failed", 0, 2, 2**53],
        [True, "failed", 0, 2, 3], [1.0, ["failed"], 0, 2, 3], [1.0, "failed", True, 2, 3],
        [10**400, "failed", 0, 2, 3], [float("nan"), "failed", 0, 2, 3], [1.0, "failed", 0, 10**400, 3],
    ],
)  # fmt: skip
def test_a_report_that_is_none_is_refused(chat, ada, event):
    before = len(chat.trace)
    good = [1.0, "failed", 0, 2, 3]
    assert ada.post("/report", secret=ada.secret, key="r", events=[good, event])[0] == 400
    assert not [e for e in chat.trace[before:] if e[2] == "client"]


def test_a_report_has_a_limit(chat, ada):
    event = [1.0, "failed", 0, 2, 3]
    many = [event] * (MOST_EVENTS + 1)
    assert ada.post("/report", secret=ada.secret, key="r", events=many) == (200, {"events": MOST_EVENTS})


def test_a_report_and_a_message_may_have_the_same_key(chat, ada):
    assert ada.post("/report", secret=ada.secret, key="k", events=[]) == (200, {"events": 0})
    assert ada.say("tea", key="k") == (200, 2)
    assert ada.post("/report", secret=ada.secret, key="k", events=[]) == (200, {"events": 0})
    assert [message["text"] for message in chat.said] == ["tea"]


def test_nobody_floods_the_record(slow):
    ada = Page(slow)
    ada.enter()
    events = [[1.0, "failed", 0, 2, 3]]
    for n in range(4):
        assert ada.post("/report", secret=ada.secret, key=str(n), events=events) == (200, {"events": 1})
    assert ada.post("/report", secret=ada.secret, key="5", events=events) == (429, "429 Too quick\n")
    assert ada.post("/report", secret=ada.secret, key="0", events=events) == (200, {"events": 1})
    assert ada.say("tea")[0] == 200, "what is said has an allowance of its own"


def test_of_many_letters_the_latest_are_remembered():
    done = Done()
    for n in range(2 * MOST_DONE):
        done[str(n)] = n
    assert list(done.values()) == list(range(MOST_DONE, 2 * MOST_DONE))


def test_the_run_of_somebody_is_not_taken_over(chat, ada):
    """By somebody who comes in by the same name when they have left."""
    ada.say("tea")
    ada.post("/leave", secret=ada.secret)
    thief = Page(chat, "Ada", secret="another")
    thief.enter()
    assert thief.name == "Ada 2"
    (message,) = chat.said
    assert message["id"] in {event[6] for event in chat.run("Ada").events}
    ada.enter()
    assert (ada.name, ada.number) == ("Ada", 0), "it is still hers"


def test_a_run_of_which_the_beginning_is_forgotten(nothing_left, monkeypatch):
    """It begins where the record does, and says nothing of what came before."""
    monkeypatch.setattr("lpws.server.server.MOST_EVENTS", 400)
    with ChatServer() as chat, Robots(chat, {"Ada": lpws.WebSocket()}) as robots:
        for _ in range(3):
            chat.thread.call(lambda: [chat.room.publish(f"tea {n}") for n in range(60)])
            until(lambda: len(chat.trace) <= 400)
        robots.say("Ada", "last")
        until(lambda: lpws.deliveries(chat.run("Ada")).received_s.notna().all())
        run = chat.run("Ada")
    messages = {event[6] for event in run.events if event[1] == "published"}
    assert 10 < len(messages) < 150
    assert messages == set(range(min(messages), max(messages) + 1))
    frame = lpws.deliveries(run)
    assert set(frame.message) == messages
    # Wherever it begins, nothing is left of a message of which it does not know that it was published.
    trace = list(chat.trace)
    starts = [place for place, event in enumerate(trace) if event[1] == "published"][:-1]
    for start in starts[:3]:
        rest = run_of(trace[start + 1 :], chat.room.roster.everybody[0], clock())
        known = {event[6] for event in rest.events if event[1] == "published"}
        assert {event[6] for event in rest.events} - {-1} == known
    assert not run.health.faults


@pytest.mark.parametrize("after", [10**6, -1, 1.5, None])
def test_a_run_after_a_message_that_there_is_not(chat, ada, after):
    with pytest.raises(ValueError, match="expected after to be the id of a message, at most 1"):
        chat.run("Ada", after=after)


def test_a_chat_that_was_not_started_says_so():
    chat = ChatServer()
    for ask in (lambda: chat.people, lambda: chat.said, lambda: chat.address, lambda: chat.open):
        with pytest.raises(RuntimeError, match="expected a server that was started"):
            ask()
    with pytest.raises(AttributeError, match="'ChatServer' object has no attribute 'peopel'"):
        _ = chat.peopel
    with pytest.raises(RuntimeError, match="expected a running server"):
        chat.publish("tea")


def test_the_log_of_a_server_does_not_tell_its_token(nothing_left):
    class Broken(lpws.chat.handlers.Clock):
        def get(self):
            raise ZeroDivisionError

    with ChatServer(handlers={"/clock": Broken}) as chat:
        assert Page(chat).ask("GET", "/clock?x=1")[0] == 500
        assert "/clock?x=1" in chat.log[0]
        assert chat.prefix not in " ".join(chat.log)


def test_the_run_of_somebody_who_never_came(chat, ada):
    with pytest.raises(ValueError, match=r"expected the name of somebody who came \(Ada\), got 'Bea'"):
        chat.run("Bea")


def test_signs_of_life_are_no_messages():
    got = []
    parser = Parser(lambda id, text: got.append((id, text)))
    parser.feed(b"event: beat\ndata: {}\n\nid: 1\ndata: tea\n\nevent: beat\ndata: {}\n\n")
    parser.feed(b"event: message\nid: 2\ndata: is\n\nevent: beat\n\nid: 3\ndata: ready\n\n")
    assert got == [(1, "tea"), (2, "is"), (3, "ready")]


def test_times_pass_faster():
    assert Times().faster(10).hold_s == Times().hold_s / 10
    for speed in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="expected a speed above 0"):
            Times().faster(speed)


# ------------------------------------------------------------------------------------ robots

EACH = {
    "Ada": lpws.WebSocket(), "Bea": lpws.SSE(), "Cem": lpws.LongPolling(),
    "Dag": lpws.ShortPolling(interval_s=0.2), "Eve": lpws.Reload(pause_s=0.2),
}  # fmt: skip


def faults(chat, robots):
    """What is wrong with what the robots got; empty if each got every message once and in order."""
    until(lambda: not robots.behind())
    runs = {name: chat.run(name, robots.link) for name in robots.ways}
    found = []
    for name, run in runs.items():
        table = lpws.deliveries(run)
        first = robots.clients[name].number + 1  # their own coming in
        wanted = list(range(first, chat.room.mailbox.last + 1))
        received = [e[6] for e in run.events if e[1] == "message_received"]
        if received != wanted or not (table.state == "delivered").all():
            found.append((name, received, wanted))
    return found


@pytest.mark.parametrize("link", [None, lpws.Link(delay_s=0.01)], ids=["loopback", "link"])
def test_robots_get_everything_on_every_transport(chat, link):
    with Robots(chat, EACH, link) as robots:
        for n in range(10):
            for name in EACH:
                robots.say(name, f"{name} {n}")
        assert faults(chat, robots) == []
        assert [(p.name, p.by) for p in chat.people] == [(name, way.label) for name, way in EACH.items()]
        runs = {name: chat.run(name, link) for name in EACH}
    assert chat.people == []
    assert [m["text"] for m in chat.said] == [f"{name} {n}" for n in range(10) for name in EACH]
    for name, run in runs.items():
        table = lpws.deliveries(run)
        assert (table.latency_s > (run.delay_s or 0)).all(), name
        assert run.transport.label == EACH[name].label
        assert lpws.connections(run, "server").opened_s.notna().all()


def test_a_message_that_did_not_arrive_shows(chat, monkeypatch):
    """The check above can fail."""
    from lpws.chat import handlers

    real = handlers.SSE.send

    def send(self, chunk, carried):
        if 4 not in dict(carried):
            real(self, chunk, carried)

    monkeypatch.setattr(handlers.SSE, "send", send)
    with Robots(chat, {"Bea": lpws.SSE()}) as robots:
        for n in range(5):
            robots.say("Bea", str(n))
        assert [name for name, _, _ in faults(chat, robots)] == ["Bea"]


def test_fifty_robots_lose_nothing(chat):
    kinds = [lpws.WebSocket(), lpws.SSE(), lpws.LongPolling(), lpws.ShortPolling(interval_s=0.5)]
    ways = {f"robot {n}": kinds[n % 4] for n in range(50)}
    with Robots(chat, ways) as robots:
        for n in range(2):
            for name in ways:
                robots.say(name, f"{name} {n}")
        assert len(chat.people) == 50
        assert faults(chat, robots) == []
    assert len(chat.said) == 100


def test_a_robot_that_the_server_does_not_take_says_so(chat):
    with (
        Robots(chat, {"Ada": lpws.WebSocket()}) as robots,
        pytest.raises(RuntimeError, match="400 Expected 1 to"),
    ):
        robots.say("Ada", "")
    with pytest.raises(RuntimeError, match="it answered 400"), Robots(chat, {"x" * 99: lpws.WebSocket()}):
        pass


def test_a_chat_that_drains_comes_back():
    with ChatServer(times=Times().faster(50)) as chat, Robots(chat, {"Ada": lpws.LongPolling()}) as robots:
        chat.drain(0.01)
        chat.come_back()
        robots.say("Ada", "still here")
        until(lambda: any(message["text"] == "still here" for message in chat.said))
        beat = chat.room.timer.when()
        until(lambda: chat.room.timer.when() > beat)



def test_a_server_that_stops_takes_its_robots_along(nothing_left):
    chat = ChatServer().start()
    with Robots(chat, EACH) as robots:
        robots.say("Ada", "goodbye")
        chat.stop()
    assert not chat.log


def test_the_notebook_shows_the_page_at_its_own_address(chat):
    assert lpws.page_url(chat, proxied=False) == chat.address
    assert lpws.page_url(chat, proxied=True).endswith(f"/proxy/{chat.port}{chat.prefix}/")
    assert Page(chat).ask("GET", chat.address.removeprefix(chat.url))[0] == 200


def test_another_address_may_lead_to_the_page(chat):
    from lpws.relay import Relay

    with Relay(lpws.Link(delay_s=0.001), chat.port, chat.trace.append, chat.log) as relay:
        assert Page(chat).ask("GET", "/", Host="{}:{}".format(*relay.address))[0] == 403
        url = chat.url_over(relay.address)
        line = http.client.HTTPConnection(*relay.address, timeout=PATIENCE_S)
        with contextlib.closing(line):
            line.request(
                "GET",
                url.partition(f":{relay.address[1]}")[2],
                headers={"Origin": url.split("/" + chat.prefix[1:])[0]},
            )
            assert line.getresponse().status == 200


# ------------------------------------------------------------------- the chat that opens the series


@pytest.fixture
def opened(nothing_left):
    page = lpws.open_chat()
    yield page
    page.server.stop()
    assert not page.server.log


def texts(chat):
    return [(message["name"], message["text"]) for message in chat.said]


def test_the_host_greets_and_answers(opened, monkeypatch):
    monkeypatch.setattr("lpws.chat.host.THINKS_S", 0.0)
    monkeypatch.setattr("lpws.chat.host.BOILS_S", 0.01)
    chat = opened.server
    ada = Page(chat, by="SSE")
    ada.enter()
    until(lambda: len(chat.said) == 1)
    ada.say("how are you?", key="1", typed=lpws.clock())
    until(lambda: len(chat.said) == 3)
    ada.say("Tea, please", key="2")
    until(lambda: len(chat.said) == 6)
    ada.by = "reload"
    ada.enter()
    until(lambda: len(chat.said) == 7)
    said = texts(chat)
    assert said[0] == (
        "Robin",
        "Hello, Ada! Say something, or ask me for tea: I'll call you when it's ready.",
    )
    assert re.fullmatch(r"“how are you\?” reached me \d+ ms after you sent it\. .*", said[2][1])
    assert said[4:6] == [
        ("Robin", "I'm putting the kettle on. Wait for it, Ada."),
        ("Robin", "Tea is ready, Ada!"),
    ]
    assert said[6][1].startswith("Ada, now news reaches you only when you press Reload.")


def test_the_host_answers_one_thing_at_a_time_and_nobody_but_people(opened, monkeypatch):
    monkeypatch.setattr("lpws.chat.host.THINKS_S", 0.3)
    chat = opened.server
    chat.publish("hello, Robin")
    ada = Page(chat)
    ada.enter()
    ada.say_all([(str(n), f"hello {n}") for n in range(20)])
    until(lambda: len(chat.said) == 22)
    ada.say("bye", key="bye")
    until(lambda: len(chat.said) == 24)
    assert [name for name, _ in texts(chat)].count("Robin") == 2, "a greeting, and an answer to the last"


@pytest.mark.parametrize("message", [{"kind": "left"}, {"kind": "report"}, {"kind": "came", "by": "SSE"}])
def test_the_host_has_nothing_to_say_to_this(message):
    assert list(replies({"who": 3, "name": "Ada"} | message, {3: "SSE"})) == []


def test_each_transport_has_a_word_of_the_host():
    for by in WAYS:
        ((_, text),) = replies({"kind": "came", "who": 3, "name": "Ada", "by": by}, {3: "another"})
        assert text.startswith("Ada, now ")


def test_an_open_chat_costs_nothing_while_nobody_speaks(opened):
    chat = opened.server
    until(lambda: chat.trace[-1][1] == "ticked")  # the last tick, after Robin came in
    before = len(chat.trace)
    time.sleep(0.3)  # six ticks of a server that watches its loop
    assert len(chat.trace) == before
    assert [person.name for person in chat.people] == ["Robin"]
    with pytest.raises(ValueError, match="expected somebody who listens by a transport; Robin lives in the"):
        chat.run("Robin")


def test_to_open_the_chat_again_is_to_come_back(opened):
    again = lpws.open_chat(by="short polling", height=300)
    assert again.server is opened.server
    assert again.url == f"{opened.server.address}#by=short%20polling"
    opened.server.stop()
    another = lpws.open_chat()
    try:
        assert another.server is not opened.server
        assert another.server.prefix != opened.server.prefix
    finally:
        another.server.stop()
    with pytest.raises(ValueError, match="expected by to be one of reload, short polling"):
        lpws.open_chat(by="pigeon")


def test_where_nobody_watches_there_is_a_picture_and_no_address(opened, monkeypatch):
    live = opened._repr_mimebundle_()
    assert opened.url in live["text/html"]
    assert 'title="A chat with a robot"' in live["text/html"]
    monkeypatch.setenv("LPWS_PROGRESS", "0")
    stored = lpws.open_chat()._repr_mimebundle_()
    assert re.search(
        r'<img alt="A chat in [^"]{100,}" width="\d+" src="data:image/png;base64,', stored["text/html"]
    )
    words = "When you run this cell, a chat opens here"
    for bundle in (live, stored):
        assert words in bundle["text/html"]
        assert bundle["text/plain"].startswith(words)
        assert opened.server.prefix not in bundle["text/plain"]
    assert opened.server.prefix not in str(stored)
    assert str(opened.server.port) not in re.sub('base64,[^"]*', "", str(stored))
    assert stored == lpws.open_chat()._repr_mimebundle_(), "the same each time"
    assert len(str(stored)) < 100_000  # its picture is in it twice: for HTML, and a small one for others


def test_the_clock_is_off_by_at_most_half_of_the_round_trip(chat):
    """Both read the same clock here, so that the truth is known."""
    for _ in range(8):
        asked = lpws.clock()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", chat.port, timeout=5)) as line:
            line.request("GET", f"{chat.prefix}/clock")
            theirs = json.loads(line.getresponse().read())["now"]
        answered = lpws.clock()
        assert abs(theirs - (asked + answered) / 2) <= (answered - asked) / 2
