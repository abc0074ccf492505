"""The tasks of notebook 16: a whole chat, built by the reader."""

from __future__ import annotations

import inspect
import json
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from .chats import BETWEEN, FORM, Chat, Chats, Entry, Listener, letter
from .observer import Wrong
from .program import to_bytes
from .task import Make, Quick, named, says_nothing

#: The longest key, name and text, in characters.
MOST = {"key": 64, "name": 24, "text": 1000}
#: Texts for a page: none may change on the way.
TEXTS = [
    *("one line\nand another", "a\r\nb\rc", "x\n\nid: 99\ndata: {}\n\n", " spaces, and a tab\t"),
    *("</script><script>alert(1)</script>", "\"quoted\" \\ and 'quoted'", "&amp; <b>tea</b>", "{}", "null"),
    *(" ", "cafe\u0301, as an e and an accent"),
    "déjà vu ☕ 日本 \N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}\u2028\x00",
]
#: By when [s] all know that somebody left: ten seconds, and slack for a timer.
LEFT_S = 10.5
_KEPT = "for how long a page may retry: a key stays valid whatever is said"
_ANYBODY = "what anybody may post: the checks come first, and whatever fails them gets a 400"
_NOBODY = "what a stream needs before it begins: a name of 1 to 24 characters, or else a 400"
_ALL = "what somebody gets who has nothing yet, as a page that has just been opened: all, from message 1"
_STANDS = "what a key stands for: one message, whatever comes with it later"
_FIRST = "what is checked before anybody is told, and before a key is written down"
_FIELDS = "which fields of a post go into the log: its name and its text, and nothing else that anybody sends"
_NAMED = "what a header names: the last message that the client has, so that it gets what comes after it"
_NONSENSE = "what an impossible cursor counts as: 0, as if the client had nothing yet"
_HEADER = "which is newer: the address that an EventSource keeps, or the header it adds when it comes back"
_GONE = (
    "how Tornado tells a handler that its client has gone, even if `get` writes nothing, and how soon `left` "
    "is to follow"
)
_GHOST = (
    "a client that hangs up just as you write: `flush` raises StreamClosedError, and Tornado never calls "
    "`on_connection_close`"
)
_SLOW = "what is said while `flush` waits for a client: it stays in the log, where the cursor finds it"
_BACK = "which id a returning client names, and how its stream resumes: after that id, with nothing twice"


def speaks(chat: Chat) -> None:
    for number in (1, 2, 3):
        if (id := chat.say("Ada", chat.text())) != number:
            raise Wrong(f"answered post {number} of a new chat with id {id}",
                        "what was told before, and which number a log begins with")  # fmt: skip


def listens(chat: Chat) -> None:
    names = [next(chat.names) for _ in range(3)]
    for name in names:
        chat.join(name)
    for _ in range(2):
        chat.hear()
        for name in names:
            chat.say(name, chat.text())
            chat.hear()
        chat.settle(chat.draw.uniform(5, 20))


def once(chat: Chat) -> None:
    chat.join(next(chat.names))
    words, keys = chat.text(), [chat.key() for _ in range(6)]
    alike = [f" {keys[0]} ", *(63 * "k" + last for last in "abA")]
    for key in [*keys, *alike]:
        chat.say("Ada", words, key, f" with the key {key!r}")
        for _ in range(chat.draw.randrange(1, 3)):
            chat.say("Ada", words, key, " that came again, since its answer was lost,")
    chat.hear()
    for key in keys[:2]:
        chat.strange = _KEPT
        chat.say("Ada", words, key, " that came again after others")
    chat.strange, when = _STANDS, " with a known key"
    [answer] = chat.post(letter(keys[0], "Bob", "something else"), when=when)
    chat.answered(answer, keys[0], Entry("said", "Ada", words), when)
    chat.join(next(chat.names))
    try:
        chat.hear()
    except Wrong as wrong:
        raise Wrong(f"{wrong.happened}, after a known key had come with other words", _STANDS) from None
    chat.strange = (
        "each `await` between looking up the key and writing it down: all get the first one's number"
    )
    for times in (2, 2, 3, 2):
        said = (chat.key(), "Ada", chat.text())
        chat.talk(*[said] * times, when=f" that came {times} times at the same moment")
    chat.hear()


def resumes(chat: Chat) -> None:
    chat.join(next(chat.names))
    for _ in range(15):
        chat.say("Ada", chat.text())
    chat.join(next(chat.names), 0, "a client that came without a cursor", _ALL, cursor=None)
    chat.hear()
    for begin in (chat.draw.randrange(1, 9), chat.draw.randrange(10, 14), 15):
        chat.join(next(chat.names), begin)
        chat.hear()
    for old in (None, 2, len(chat.log)):
        last = len(chat.log) - chat.draw.randrange(2, 5)
        which, think = ("no cursor", _NAMED) if old is None else (f"its old cursor={old}", _HEADER)
        who = f"a client that came back with Last-Event-ID: {last} and {which}"
        chat.join(next(chat.names), last, who, think, last, cursor=old)
        chat.hear()
    name, newest = next(chat.names), len(chat.log)
    further = newest + chat.draw.randrange(9, 50), -chat.draw.randrange(2, 9), "9" * 5000
    for nonsense in (newest + 1, "abc", "", "²", "inf", -1, *further):
        chat.when = f", when a client came with cursor={nonsense!s:.20}"
        who = f"a client that came with cursor={nonsense!s:.20} to a log of {len(chat.log)} messages"
        when = ", judged before its owner is said to have come" if nonsense == newest + 1 else ""
        chat.join(name, 0, who, f"{_NONSENSE}{when}", cursor=nonsense)
        chat.hear()
    last = len(chat.log) + chat.draw.randrange(5, 50)
    chat.when = f", when an EventSource came back with Last-Event-ID: {last}"
    who = f"an EventSource that came back with Last-Event-ID: {last} to a log of {len(chat.log)} messages"
    chat.join(next(chat.names), 0, who, _NONSENSE, last, cursor=2)
    chat.hear()
    chat.when = ""
    chat.say("Ada", chat.text())
    chat.hear()


def verbatim(chat: Chat) -> None:
    listener = chat.join(next(chat.names))
    for text in TEXTS:
        chat.when = f", when somebody said {text!r}"
        chat.say(chat.draw.choice(['"Ben"\n', "<Ada>", "Zoë"]), text)
        chat.hear()
    key, name, text = chat.key(), "Ömer", TEXTS[-1]
    further = {"kind": "left", "id": 99, "log": [key], "key": key, "name": name, "text": text}
    try:
        chat.answered(*chat.post(json.dumps(further).encode()), key, Entry("said", name, text), "")
        chat.hear()
        if key in listener.said:
            raise Wrong("sent everybody more than a name and a text", "")
    except Wrong as wrong:
        raise Wrong(f"{wrong.happened}, when the post had further fields, such as a kind", _FIELDS) from None
    # Half of a character, which JSON can name and UTF-8 cannot: it may be refused, but not stay in the log.
    chat.when = ', when somebody had posted half a character ("\\ud83d")'
    [answer] = chat.post(letter(key := chat.key(), "Ada", "\ud83d"), when=chat.when)
    if answer.status < 300:
        chat.answered(answer, key, Entry("said", "Ada", "\ud83d"), chat.when)
    chat.join(next(chat.names))
    chat.hear()


def refuses(chat: Chat) -> None:
    chat.join(next(chat.names), think=_FIRST)
    chat.strange, good = _FIRST, {"key": chat.key(), "name": "Ada", "text": chat.text()}
    for field, most in MOST.items():
        letters = {"name": "Ada", "text": "☕", "key": chat.key()}
        letters[field] = chat.key()[0] + (most - 1) * "😀"
        try:
            chat.say(**letters, when=f" with a {field} of {most} characters")
        except Wrong as wrong:
            longest = f"what is the longest allowed: 1 to {most} characters include {most}, and are not bytes"
            raise Wrong(wrong.happened, longest) from None
    no_objects = [], [*good.items()], "tea", 7, None
    wrong_ones: dict[str, Any] = {f"the JSON {json.dumps(body)}": body for body in no_objects}
    for field, most in MOST.items():
        for size in (most + 1, 30 * most):
            wrong_ones[f"a {field} of {size:,} characters"] = good | {field: size * "é"}
        for value in ("", 7, None, True, ["tea"], {"a": 1}):
            wrong_ones[f"the {field} {json.dumps(value)}"] = good | {field: value}
        wrong_ones[f"no {field}"] = {name: value for name, value in good.items() if name != field}
    bodies = {what: json.dumps(body).encode() for what, body in wrong_ones.items()}
    latin = json.dumps(good | {"text": "ça va"}, ensure_ascii=False).encode("latin-1")
    broken = b"", b"tea", json.dumps(good).encode()[:-2], b"key=1&name=Ada&text=tea", 100_000 * b"["
    bodies |= {f"{body!r:.70}, which is no JSON in UTF-8": body for body in (*broken, b"\xff\xfe", latin)}
    for what in chat.draw.sample([*bodies], len(bodies)):
        shown = f", when somebody posted {what}"
        try:
            [answer] = chat.post(bodies[what], when=shown)
        except Wrong as wrong:
            raise Wrong(wrong.happened, _ANYBODY) from None
        if answer.status != 400:
            raise Wrong(f"answered with status {answer.status}{shown}", _ANYBODY)
    chat.hear()
    chat.say(**good, when=" that was refused before, and is good now,")
    when = ", when somebody posted a known key with a number for a name"
    [answer] = chat.post(json.dumps(good | {"name": 7}).encode(), when=when)
    if answer.status >= 500:
        raise Wrong(f"answered with status {answer.status}{when}", _ANYBODY)
    chat.hear()
    for query in ({}, {"name": ""}, {"name": 25 * "é"}):  # and with no cursor, as a page
        chat.when = f", when a stream came with {query or 'no name'}"
        stranger = Listener(chat, None, query, None, 0, "", "")
        chat.clients[stranger.address] = stranger
        chat.settle()
        chat.read()
        if stranger.status != 400:
            how = f"with status {stranger.status}" if stranger.ended else "with a stream"
            raise Wrong(f"answered somebody {how}{chat.when}", _NOBODY)
        stranger.leave()
    chat.join(24 * "😀", think=_NOBODY)
    chat.hear()


def company(chat: Chat, think: str) -> None:
    """Raise `Wrong` unless the log says who is here."""
    chat.hear()
    here = chat.here()
    for listener in chat.streams:
        if (name := listener.name) not in here:
            left = Entry("left", name) in chat.log[listener.joined :]
            how = f"said that {name} left, who was listening" if left else f"did not say that {name} came"
            raise Wrong(how, think)
    for name in here:
        if name not in [listener.name for listener in chat.streams]:
            raise Wrong(f"had not said that {name} left, 10 s after the last stream ended", think)


def presence(chat: Chat) -> None:
    ada, ben, zoe = (next(chat.names) for _ in range(3))
    chat.join(ada)
    chat.say("somebody", chat.text())
    company(chat, "whom to tell that somebody is here, and when: everybody, before the stream waits")
    tabs = "two tabs of one person, both listening"
    first, second = (chat.join(ben, 0, f"{ben}'s {tab} tab", tabs) for tab in ("first", "second"))
    company(chat, tabs)
    chat.say(ben, chat.text())
    chat.hear()
    for closed in (first, None):  # the older of two, and the newer
        closed = closed or chat.join(ben, len(chat.log) - 1, f"{ben}'s newer tab", tabs)
        chat.hear()
        closed.leave()
        chat.settle(LEFT_S)
        company(chat, "two tabs of one person, one of them closed")
    gone = second
    for pause_s in (LEFT_S, 0.0, chat.draw.uniform(0.2, 2)):
        chat.hear()
        gone.leave()
        chat.settle(pause_s)
        if pause_s == LEFT_S:
            company(chat, _GONE)
        gone = chat.back(gone, _BACK)
        chat.settle(LEFT_S)
        company(chat, "somebody who is cut off and comes back")
    chat.join(zoe)
    chat.hear()
    chat.hold()
    for listener in chat.streams[1:]:
        listener.leave()
    restless = next(chat.names)
    for _ in range(15):
        stream = chat.join(restless)
        chat.settle(LEFT_S / 15)
        stream.leave()
        chat.settle()
    chat.join(restless)
    company(chat, "several who leave at once, others who come and go then, and how soon `left` is to follow")


def leaves(chat: Chat) -> None:
    """Somebody leaves while another speaks, a few turns of the loop later."""
    chat.join(next(chat.names))
    chat.say("Ada", chat.text())
    name = next(chat.names)
    for turns in range(10):
        stream = chat.join(name)
        chat.hear()
        chat.amid(stream.leave, turns)
        chat.settle(LEFT_S)
        company(chat, _GHOST)


def comes_in(chat: Chat) -> None:
    """Somebody joins while another speaks, a few turns of the loop earlier."""
    for turns in range(8):
        who = "a client that joined while somebody spoke"
        chat.amid(partial(chat.join, next(chat.names), len(chat.log), who, BETWEEN), turns, first=True)
        chat.hear()


def slow(chat: Chat) -> None:
    chat.join(next(chat.names), 0, "a client that reads, beside others that do not", _SLOW)
    chat.hear()
    while_ = " while others' clients did not read"
    stuck = [chat.join(next(chat.names), len(chat.log), "a client that had not read for a while", _SLOW)]
    for n in range(60):
        chat.say("Ada", f"{n} " + 990 * "👩", when=while_)
        if n == 0:
            chat.hear()  # that the second is here
            stuck[0].stalled = True
        if n == 30:
            who = "a client that had read little of a long log"
            stuck.append(chat.join(next(chat.names), 1, who, BETWEEN))
            stuck[1].stalled = True
        if n % 10 == 0:
            chat.hear()
    chat.join(next(chat.names))  # a newcomer to a long log
    chat.hear()
    for client in stuck:
        client.stalled, client.may_end = False, True
    chat.follow()
    chat.hear()


def crowd(chat: Chat) -> None:
    chat.strange, draw = "a key that comes again", chat.draw
    first = chat.key(), "Ada", chat.text()
    chat.talk(first)
    streams: dict[str, Listener | None] = dict.fromkeys([next(chat.names) for _ in range(5)])
    for turn in range(60):
        name = draw.choice([*streams])
        stream = streams[name]
        if stream is None or stream not in chat.streams:
            streams[name] = chat.back(stream, _BACK) if stream else chat.join(name, think=_BACK)
        elif draw.random() < 0.25:
            stream.leave()
            chat.settle()
        else:
            said = (chat.key(), name, chat.text())
            chat.talk(*[said] * draw.choice([1, 1, 2, 3]))
        if turn == 59 or draw.random() < 0.4:
            chat.hear()
            chat.settle(draw.choice([0, draw.uniform(0, 3)]))
    for stream in streams.values():
        if stream and stream not in chat.streams:
            chat.back(stream, _BACK)
    chat.strange = _KEPT
    chat.talk(first, when=" that came again at the very end")
    chat.settle(LEFT_S)
    company(chat, "somebody who is cut off and comes back")


def remembers(chat: Chat) -> None:
    """A long conversation, and a page that tries again much later."""
    listener = chat.join(next(chat.names))
    said = [(chat.key(), "Ada", chat.text()) for _ in range(300)]
    for begin in range(0, len(said), 20):
        chat.talk(*said[begin : begin + 20])
    chat.hear()
    chat.settle(chat.draw.uniform(200, 300))
    chat.hear()  # also who has heard nothing for minutes
    listener.leave()
    chat.settle(chat.draw.uniform(700, 800))
    chat.strange = _KEPT
    for again in (0, chat.draw.randrange(20, 90)):
        others = f"{len(said) - again - 1} others, and a quarter of an hour"
        chat.talk(said[again], when=f" that came again after {others}")
    for cursor in (0, None):
        chat.join(next(chat.names), 0, "a client that came to a long log", _ALL, cursor=cursor)
    chat.hear()


def begins_anew(chat: Chat) -> None:
    line, key = chat.line(), chat.key()
    chat.client().request("GET /before/stream?name=Ada HTTP/1.1")
    chat.settle()
    for each in (chat.key(), key):
        line.post(letter(each, "Ada", "tea"), "/before/post")
        chat.answers(line)
    think = "where log, keys and names live: in the function, or beside it"
    if (id := chat.say("Ada", chat.text(), key)) != 1:
        raise Wrong(
            f"called a message {id} that was the first of a chat, after two posts in another one", think
        )
    chat.join("Ada", think=think)
    company(chat, think)


def forgets(chat: Chat) -> None:
    chat.join(next(chat.names))
    chat.say("Ada", chat.text())
    chat.hear()
    kept, count = chat.waiting(), chat.draw.randrange(6, 9)
    name = next(chat.names)
    for turn in range(count):
        stream = chat.join(name if turn % 2 else next(chat.names))
        chat.hear()
        stream.leave()
        chat.settle()
    chat.settle(LEFT_S)
    chat.say("Ada", chat.text())
    chat.hear()
    if (left := chat.waiting(kept + 1) - kept) > 1:
        raise Wrong(f"keeps {left} handlers in memory, after {count} streams have ended",
                    "what still holds a stream whose client is gone, and whether its `get` ends")  # fmt: skip


def a_chat(thing: Any) -> str | None:
    """The problem with a chat at first sight, if there is one, or what is missing."""
    wanted = f"expected a function `chat()` that returns {FORM}"
    if isinstance(thing, type) or not callable(thing):
        return f"{wanted}, got {named(thing)}"
    try:
        inspect.signature(thing).bind()
    except TypeError as error:
        return f"{wanted}; it is called without arguments, which fails: {error}"
    except ValueError:
        pass  # a C function without a signature
    classes = [part for part in _parts(thing) if not part.co_flags & inspect.CO_OPTIMIZED]
    methods = [part for kind in classes for part in kind.co_consts if isinstance(part, CodeType)]
    if methods and all(not part.co_freevars and says_nothing(FunctionType(part, {})) for part in methods):
        return f"… {STUB}"
    return None


def _parts(function: Any) -> list[CodeType]:
    """Code of the functions and classes that are made in a function."""
    code = getattr(function, "__code__", None)
    return [part for part in getattr(code, "co_consts", ()) if isinstance(part, CodeType)]


STUB = "the methods are still empty: begin with `post`, which reads a message and answers with its number"
CHAT = Make(
    stub=STUB,
    expected=a_chat,
    wrap=lambda thing: Chats(to_bytes(thing)),
    stages=[
        [("accepts a post, and answers with its number", speaks)],
        [("brings every message to everybody, promptly and in order", listens)],
        [
            ("makes one message from a repeated post, and repeats its answer", once),
            ("resumes after the cursor, or from the start if the cursor is impossible", resumes),
            ("delivers every text as typed", verbatim),
            ("refuses whatever is not a message, and tells nobody", refuses),
            ("says who comes and who leaves, with two tabs and after a cut", presence),
        ],
        [
            ("loses and repeats nothing said while somebody joins", comes_in),
            ("has no ghosts: whoever leaves while others speak is gone", leaves),
            ("keeps nobody waiting for a slow reader, who loses nothing", slow),
            ("keeps count in a crowd that posts twice, is cut off and comes back", crowd),
            ("remembers hundreds of messages and keys for a quarter of an hour", remembers),
            ("keeps no handler of an ended stream", forgets),
            ("makes a new chat each time that it is called", begins_anew),
        ],
    ],
    scene=Chat,
)

TASKS = {
    "chat": CHAT,
    "keys": Quick(
        2,
        {
            1: "what does the second post find in `ids` while the first one waits for the disk?",
            0: "does anything turn a post away?",
            3: "how many posts are there?",
        },
    ),
    "typed": Quick(
        4,
        {
            3: "where do the three transits of notebook 03 start? The message was typed before that",
            2: "that is true of a stream, or of a held request; here the answer has just left",
            1: "the message first has to get to the server",
            5: "how many times does the message cross? And what does it wait for in between?",
            6: "are the connections not open already?",
        },
    ),
}
