"""A chat as its robots see it: they speak by posts, listen by streams, and keep books of what was said."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from html import unescape
from select import select
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tornado.routing import PathMatches, Rule
from tornado.web import Application

from .observer import Answer, Client, Scene, Wrong, part, raised
from .servers import alone

#: What `chat` is to return, and a message as a page expects it.
FORM = '{"/post": Post, "/stream": Stream}'
EXAMPLE = '{"kind": "said", "name": "Ada", "text": "tea is ready"}'
#: How late [s] a message may be, on a clock on which work takes no time; how long the robots wait for one.
LATE_S, WAIT_S = 0.1, 3.0
#: The longest time [s] that passes between two looks at the server.
STEP_S = 4.0
#: In how many parts a stream may write what it has, each when the one before it has been read.
_PARTS = 10
#: How long [s] bytes may take, on a busy machine, to a client that reads.
_DRAIN_S = 5.0
_NAMES = ["Ada", "Ben", "Zoë", "Li Na", "Tom & Jo", "Ömer", "Eve", "Ida", "Max", "O'Hara", "50%", "Bo+Lu"]
_AGAIN = "what changes when a key is repeated: nothing new is said, and the answer is the old one"
_VALID = (
    "what a valid post is: three strings of these lengths, whatever its Content-Type, "
    "and which method handles it"
)
_COUNT = "how messages are numbered: 1, 2, 3 …, including those that say who came and left"
_CURSOR = "the first message *after* the cursor"
#: What to think about if a stream brings nothing of a message, or another one first.
BETWEEN = "what may be said at each `await` between reading the log and starting to listen"
_WHOSE = "whose error it is: writing to a client that has gone raises StreamClosedError, in the writer"
_FIRST = "how many streams somebody has: with the first they come, with the last they leave"
_PLANNED = "what becomes of a planned `left`, if another stream of the same name has begun or ended since"
_WAKE = "who could wake each stream when something is said"
_OPEN = "what keeps an answer open: `get` has not returned"
_CANCELED = "what else waits for a future that is canceled, as `wait_for` does when its time is over"
#: What Tornado says of a `get` that fails, beside its error, and of one that is canceled.
_LATE = "Cannot send error response after headers written"


def letter(key: str, name: str, text: str) -> bytes:
    """Body of a post: as Python's `json.dumps` escapes it, or as JavaScript's `JSON.stringify` does not."""
    said = json.dumps({"key": key, "name": name, "text": text}, ensure_ascii=key[-1] < "8")
    return said.encode(errors="backslashreplace")  # half a character is escaped in both


def _verbatim(got: Entry, known: Entry) -> str:
    """A hint for whoever brings something else than what was said."""
    if got.kind != known.kind or got.text is None or (got.name != known.name and got.text != known.text):
        return _COUNT
    if got.text != known.text == unescape(got.text):
        return "where a text becomes part of a page: in the browser, with `textContent`"
    return "what happens to a name and a text between the post and the stream: nothing"


def _status(status: int, think: str) -> str:
    """A hint for an answer with a status that it should not have."""
    if status == 404:
        return f"the addresses in what `chat` returns: {FORM}"
    return _WHOSE if status == 500 else think


class Chats:
    """A reader's function, as it is sent: each time that it is served, it is another copy.

    Parameters
    ----------
    data
        The function, pickled.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def rules(self) -> list:
        """Tornado's rules of a new chat, which shares nothing with those before, not even global names.

        Another one, which was made before it by the same function, has its addresses after ``/before``.
        """
        chat = alone(self.data)
        before = [
            Rule(PathMatches(f"/before{rule.matcher.regex.pattern}"), rule.target, rule.target_kwargs)
            for rule in _rules(chat())
            if isinstance(rule.matcher, PathMatches)
        ]
        return before + _rules(chat())


def _rules(made: Any) -> list:
    """The rules in what the reader's function has returned."""
    if not isinstance(made, Application):
        rules = [*made.items()] if isinstance(made, dict) else made
        fit = isinstance(rules, list | tuple) and all(isinstance(each, list | tuple | Rule) for each in rules)
        if not (fit and rules):
            shown = re.sub(r"<class '[^']*?(\w+)'>", r"\1", repr(made))
            raise TypeError(f"your function returned {shown:.60}, where {FORM} is expected")
        made = Application([*rules])
    return made.wildcard_router.rules


class Entry(NamedTuple):
    """A message of the log."""

    kind: str
    name: str
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.text!r:.40}" if self.kind == "said" else f"that {self.name} {self.kind}"


class Line(Client):
    """A connection on which somebody posts."""

    def post(self, body: bytes, path: str = "/post") -> None:
        """Send a letter, and wait for nothing."""
        self.requests += 1
        # What a page posts has this type, unless it names another one.
        kind = "text/plain;charset=UTF-8" if self.requests % 2 else "application/json"
        self.request(f"POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}", body)

    def is_closed(self) -> bool:
        """True if the server has closed the connection, or says what nobody has asked."""
        return bool(select([self.socket], [], [], 0)[0])


class Listener(Client):
    """Somebody's stream.

    Parameters
    ----------
    scene
        The chat.
    name
        Who listens.
    query
        What the address says beside the name.
    last
        The id that an EventSource names when it comes back, if it does.
    begin
        After which message the stream is to begin.
    who, think
        How it is called, and what to think about if a message of it is lost, or comes twice.

    Attributes
    ----------
    cursor, said
        The last message that has come: its number, and the data of its event.
    joined
        How many messages were known before it.
    stalled
        Whether its client reads nothing for the time being.
    may_end
        Whether the server may hang up, so that the client comes back.
    ended
        Whether the server has ended it.
    """

    def __init__(
        self, scene: Chat, name: str | None, query: dict, last: Any, begin: int, who: str, think: str
    ) -> None:
        super().__init__(scene, len(scene.clients) + 1)
        self.name, self.cursor, self.begin, self.who, self.think = name, begin, begin, who, think
        self.joined = len(scene.log)
        self.stalled = self.may_end = self.ended = False
        self.head: dict[str, str] = {}
        self.status = self.received = 0
        self.body, self.said = b"", ""
        query = {key: value for key, value in ({"name": name} | query).items() if value is not None}
        again = f"\r\nLast-Event-ID: {last}" if last is not None else ""
        self.request(f"GET /stream?{urlencode(query)} HTTP/1.1\r\nAccept: text/event-stream{again}")

    def take(self, at_s: float) -> None:
        """Note that the handler has come to its end; `read` reads."""
        self.ended = True

    def read(self, count: int, closed: bool) -> None:
        """Read until so many bytes have come in all, and then to the end if the connection has ended."""
        self.ended |= closed
        with suppress(OSError):
            while self.received < count or closed:
                if not (more := self.socket.recv(1_000_000)):
                    break
                self.received += len(more)
                self.data += more
        if not self.head:
            if (parted := part(self.data)) is None:
                return
            self.status, self.head, self.data = parted
        if self.head.get("transfer-encoding") != "chunked":
            self.body, self.data = self.body + self.data, b""
        while (chunk := self.data.partition(b"\r\n"))[1]:  # RFC 9112 §7.1
            size = int(chunk[0], 16)
            if len(chunk[2]) < size + 2:
                break
            self.body, self.data = self.body + chunk[2][:size], chunk[2][size + 2 :]

    def begun(self) -> None:
        """Raise `Wrong` unless a stream has begun."""
        if not self.head and self.ended:
            raise Wrong(f"closed the connection of {self.who}", "who ends a stream, and when")
        if not self.head:
            raise Wrong(f"sent nothing to {self.who}, not even the head of a stream",
                        "what waits until there is a `flush`: the head is due at once")  # fmt: skip
        if self.status != 200:
            think = _status(self.status, "what an EventSource does then: it gives up for good")
            called = f", whose name is {self.name!r}," if self.status == 400 else ""
            raise Wrong(f"answered {self.who}{called} with status {self.status}", think)
        if (kind := self.head.get("content-type", "nothing")).startswith("text/event-stream"):
            return
        if self.ended and not self.body:
            raise Wrong(f"ended the answer to {self.who} at once, with nothing in it",
                        "what `get` is to write, and what keeps an answer open")  # fmt: skip
        raise Wrong(f"sent a stream as {kind}", "the Content-Type without which an EventSource gives up")

    def events(self) -> list[tuple[int, str]]:
        """The events that have come since the last time, as id and data (HTML standard §9.2.6).

        Raises
        ------
        Wrong
            If an event has no id, or a type.
        """
        *blocks, self.body = self.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
        found = []
        for block in blocks:
            lines = [line.partition(":") for line in block.decode(errors="replace").split("\n")]
            fields = [(name, value.removeprefix(" ")) for name, _, value in lines if name]
            data = "\n".join(value for name, value in fields if name == "data")
            last = dict(fields)
            kind, id = last.get("event", "message"), last.get("id")
            if "data" not in last or (kind != "message" and id is None):
                continue  # a comment, `retry`, or a sign of life
            if kind != "message":
                raise Wrong(f"sent an event of the type {kind!r}",
                            "which events a page's `onmessage` gets: those without a type")  # fmt: skip
            if id is None or not id.isdecimal():
                raise Wrong(f"sent an event {'without an id' if id is None else f'with the id {id!r:.20}'}",
                            "what an EventSource is to name when it reconnects: a number")  # fmt: skip
            found.append((int(id), data))
        return found


def entry(data: str) -> Entry:
    """The message in the data of an event.

    Raises
    ------
    Wrong
        If it is none.
    """
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        cut = data.startswith("{") and not data.endswith("}")
        think = (
            "what ends a `data:` line, and what `json.dumps` makes of a line break"
            if cut
            else "who makes the JSON: `json.dumps`, from all the page should know"
        )
    else:
        think = 'what a page reads: `kind` ("said", "came" or "left"), `name`, and a `text` if it was said'
        if isinstance(given, dict):
            found = Entry(given.get("kind"), given.get("name"), given.get("text"))
            known = found.kind in ("said", "came", "left") and type(found.name) is str
            if known and (type(found.text) is str) == (found.kind == "said"):
                return found
    sent = f"sent {data!r:.90} as the data of an event"
    raise Wrong(f"{sent}, where a page expects JSON such as {EXAMPLE}", think)


class Chat(Scene):
    """A new chat, and those who speak and listen in it.

    Attributes
    ----------
    log
        Its messages, in order, as the first stream brought them.
    said
        Id → what was answered with it.
    strange
        What to think about if there is a message that nobody has said.
    when
        What happens just now, for the sentence on an error.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.log: list[Entry] = []
        self.said: dict[int, Entry] = {}
        self.strange, self.when = _AGAIN, ""
        self.open = _OPEN  # what to think about if a stream ends
        self.guests: set[str] = set()  # who has listened
        self.names = iter(self.draw.sample(_NAMES, len(_NAMES)))
        self._keys: dict[str, int] = {}
        self._lines: list[Line] = []

    def _heed(self, told: dict[str, Any]) -> None:
        # That its client has just gone, a stream may learn when it writes, or when its `get` is canceled.
        # If that has another reason, its stream ends before its client does.
        if _LATE in told["errors"]:
            self.open = _CANCELED
        told["errors"] = [e for e in told["errors"] if e != _LATE and not e.startswith("StreamClosedError")]
        if told["errors"]:
            raise raised(told["errors"][0], self.when)
        super()._heed(told)

    def at(self, id: int) -> Entry | None:
        """Message of this number, if it is known."""
        return self.log[id - 1] if 0 < id <= len(self.log) else self.said.get(id)

    def hold(self) -> None:
        """Let the server stand still until the next order: what is done by then comes at the same moment."""
        self._heed(self.program.tell("hold"))

    def amid(self, other: Callable[[], Any], turns: int, first: bool = False) -> None:
        """Say something, and do something else so many turns of the server's loop later, or before."""
        said = self.key(), "Ada", self.text()
        line = self.line()
        acts = [partial(line.post, letter(*said)), other]
        self.hold()
        acts.pop(first)()
        told = self.program.tell("pause", turns)
        acts.pop()()
        self._heed(told)
        self.settle()
        self.answered(*self.answers(line), said[0], Entry("said", *said[1:]), "")

    def settle(self, seconds: float = 0.0) -> None:
        # Who looks again and again, but not all the time, does no more than a loop may in one step.
        while seconds > STEP_S:
            super().settle(STEP_S)
            seconds -= STEP_S
        super().settle(seconds)

    # ---------------------------------------------------------------------------- to speak

    def key(self) -> str:
        """A key that nobody has used."""
        return f"{self.draw.getrandbits(64):016x}"

    def line(self, number: int = 0) -> Line:
        """A connection to post on; it is kept for the next time."""
        self._lines = [line for line in self._lines if not line.is_closed()]
        while len(self._lines) <= number:
            line = Line(self, len(self.clients) + 1)
            self.clients[line.address] = line
            self._lines.append(line)
        return self._lines[number]

    def post(self, *bodies: bytes, when: str = "") -> list[Answer]:
        """The answers to letters that are posted at the same moment, over a connection each."""
        self.when = when
        lines = [self.line(number) for number in range(len(bodies))]
        if len(lines) > 1:
            self.hold()
        for line, body in zip(lines, bodies, strict=True):
            line.post(body)
        return self.answers(*lines)

    def answers(self, *lines: Line) -> list[Answer]:
        """The answers to what was posted last on these connections."""
        for patience_s in (0.0, WAIT_S):
            if any(line.requests > len(line.answers) for line in lines):
                self.settle(patience_s)
        if any(line.requests > len(line.answers) for line in lines):
            raise Wrong(f"did not answer a post{self.when}", "what `post` waits for, and who waits with it")
        self.when = ""
        return [line.answers[-1] for line in lines]

    def talk(self, *said: tuple[str, str, str], when: str = "") -> list[int]:
        """Ids of what is said at the same moment, each a key, a name and a text."""
        answers = self.post(*(letter(*each) for each in said), when=when)
        return [
            self.answered(answer, key, Entry("said", name, text), when)
            for answer, (key, name, text) in zip(answers, said, strict=True)
        ]

    def say(self, name: str, text: str, key: str | None = None, when: str = "") -> int:
        """Id of what somebody says."""
        return self.talk((self.key() if key is None else key, name, text), when=when)[0]

    def answered(self, answer: Answer, key: str, entry: Entry, when: str) -> int:
        """Id in the answer to a post, entered in the books."""
        if not 200 <= answer.status < 300:
            think = self.strange if key in self._keys or self.strange != _AGAIN else _VALID
            raise Wrong(f"answered a post of {entry} by {entry.name!r}{when} with status {answer.status}",
                        _status(answer.status, think))  # fmt: skip
        try:
            id = json.loads(answer.body)["id"]
        except (ValueError, TypeError, KeyError):
            id = None
        if type(id) is not int:
            raise Wrong(f"answered a post with {answer.body[:60]!r}",
                        'what the page wants to know: {"id": 7}, the number of its message')  # fmt: skip
        if key not in self._keys and id in self._keys.values():
            raise Wrong(f"answered a post of {entry}{when} with id {id}, which has another key",
                        "two posts with the same words: a retry is known by its key alone")  # fmt: skip
        if (before := self._keys.setdefault(key, id)) != id:
            other = f"one with the same key with id {before}"
            raise Wrong(f"answered a post{when} with id {id}, and {other}", self.strange)
        if (known := self.at(id) or entry) != entry:
            raise Wrong(f"answered a post of {entry} with id {id}, which is {known}", _COUNT)
        self.said[id] = entry
        return id

    # --------------------------------------------------------------------------- to listen

    def join(self, name: str, begin: int = 0, who: str = "", think: str = "", last: Any = None,
             **query: Any) -> Listener:  # fmt: skip
        """One more stream, to begin after this message; it asks for that if nothing else is said.

        What is None in `query` is left out of the address.
        """
        who = who or f"a client that came with cursor={begin}"
        listener = Listener(self, name, query or {"cursor": begin}, last, begin, who, think)
        self.clients[listener.address] = listener
        self.guests.add(name)
        return listener

    def back(self, gone: Listener, think: str) -> Listener:
        """The stream of a client that comes back, as an EventSource does: its address is the old one."""
        return self.join(gone.name, gone.cursor, f"{gone.name}, who came back after message {gone.cursor}",
                         think, gone.cursor, cursor=gone.begin)  # fmt: skip

    @property
    def streams(self) -> list[Listener]:
        """The streams whose clients read."""
        streams = [client for client in self.clients.values() if isinstance(client, Listener)]
        return [stream for stream in streams if not stream.stalled]

    def here(self) -> list[str]:
        """Names of all who are here, by the log."""
        last = {entry.name: entry.kind for entry in self.log if entry.kind != "said"}
        return [name for name, kind in last.items() if kind == "came"]

    def read(self) -> None:
        """Let each stream read all that the server writes."""
        end_s, more = time.monotonic() + _DRAIN_S, True
        while more and time.monotonic() < end_s:
            self._heed(told := self.program.tell("written"))
            connections = {stream: told["result"][stream.address] for stream in self.streams}
            for stream, (count, _, closed) in connections.items():
                stream.read(count, closed)
            if more := any(waits for _, waits, _ in connections.values()):
                self.settle()

    def hear(self) -> None:
        """Let everybody hear what is new.

        Raises
        ------
        Wrong
            Unless all have the log after their cursors by now: whole, once and in order.
        """
        self.settle(LATE_S)
        self.follow()
        newest = max([len(self.log), *self.said])
        for _ in range(_PARTS):  # who writes a long log in parts goes on when one of them has been read
            if all(listener.cursor >= newest for listener in self.streams):
                break
            self.settle(LATE_S / _PARTS)
            self.follow()
        if behind := {listener: listener.cursor + 1 for listener in self.streams if listener.cursor < newest}:
            self.settle(WAIT_S)
            self.follow()
            for listener, due in behind.items():
                if listener.body:
                    raise Wrong(f"wrote {listener.body[:60]!r}, which is half an event",
                                "the empty line that ends an event")  # fmt: skip
                if listener.cursor < newest:
                    due = listener.cursor + 1
                    what = f"message {due} ({self.at(due)})"
                    others = "" if due in self.said else ", and whether `came` and `left` wake a stream"
                    think = listener.think or f"{BETWEEN}{others}"
                    raise Wrong(f"did not send {what} to {listener.who}", think)
                raise Wrong(f"sent message {due} to {listener.who} more than {LATE_S:g} s late", _WAKE)

    def follow(self) -> None:
        """Enter in the books what the streams bring."""
        self.read()
        for listener in self.streams:
            listener.begun()
            for id, data in listener.events():
                self._enter(listener, id, entry(data))
                listener.cursor, listener.said = id, data
            if listener.ended and listener.may_end:
                listener.leave()
                self.back(listener, listener.think)
            elif listener.ended:
                raise Wrong(f"ended the stream of {listener.who}, after message {listener.cursor}", self.open)

    def _enter(self, listener: Listener, id: int, entry: Entry) -> None:
        due = listener.cursor + 1
        if id == 0:
            raise Wrong(f"sent message 0 to {listener.who}", listener.think or _COUNT)
        if id < due:
            how = "again " if id > listener.begin else ""
            raise Wrong(f"sent message {id} {how}to {listener.who}", listener.think or _CURSOR)
        if id > due:
            think = listener.think or (f"{_CURSOR}, and {BETWEEN}" if due == listener.begin + 1 else BETWEEN)
            what = f" ({self.at(due)})" if self.at(due) else ""
            raise Wrong(f"sent message {id} to {listener.who}, where {due}{what} was due", think)
        if (known := self.at(id) or entry) != entry:
            same = f"{entry}" == f"{known}"
            sent, was = (f"{each.name!r}: {each}" if same else each for each in (entry, known))
            raise Wrong(f"sent {sent} as message {id}, which was {was}", _verbatim(entry, known))
        if id > len(self.log):
            self._check(id, entry)
            self.log.append(entry)

    def _check(self, id: int, entry: Entry) -> None:
        """Raise `Wrong` if nothing has happened of which this message could tell."""
        if entry.kind == "said" and id not in self.said:
            again = "another" if entry in self.log else "a"
            raise Wrong(f"made {again} message of {entry}", self.strange)
        if entry.kind != "said" and entry.name not in self.guests:
            raise Wrong(f"said {entry}, who never had a stream", "who is here: whoever listens")
        if entry.kind != "said" and (entry.name in self.here()) == (entry.kind == "came"):
            was, think = ("was", _FIRST) if entry.kind == "came" else ("was not", _PLANNED)
            raise Wrong(f"said {entry}, who {was} here", think)
