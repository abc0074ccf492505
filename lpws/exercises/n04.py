"""The tasks of notebook 04: Server-Sent Events."""

from __future__ import annotations

import random

from .observer import Calls, Wrong, cut
from .task import Make, Quick, a_function

_TEXTS = ["tea is ready", "it is cold", "déjà vu ☕", "a: b", "12 %", "日本のお茶", "x", "data: data"]


def _pieces(stream: str, draw: random.Random, size: int) -> list[bytes]:
    """The stream in pieces of about so many bytes, cut wherever it may be."""
    data, pieces = stream.encode(), []
    while data:
        cut = draw.randint(1, size)
        pieces.append(data[:cut])
        data = data[cut:]
    return pieces


def _judge(
    call: Calls, pieces: list[bytes], expected: list[tuple[str, str]], think: str, think_of_ids: str = ""
) -> None:
    """Raise `Wrong` unless the function finds these events in these pieces.

    Parameters
    ----------
    think
        What to think about if it does not.
    think_of_ids
        The same if the texts are right, and only the ids are not.
    """
    try:
        found = call(pieces)
    except Wrong as wrong:
        if "UnicodeDecodeError" in wrong.happened:
            where = "" if len(pieces) == 1 else ", and where a piece may end: even within a letter"
            raise Wrong(wrong.happened, f"how many bytes a letter may take{where}") from None
        raise
    stream = cut(b"".join(pieces), 90) + ("" if len(pieces) == 1 else f", in {len(pieces)} pieces")
    if not isinstance(found, list | tuple):
        raise Wrong(f"returned {cut(found, 60)} for {stream}", "what is asked for: a list of events")
    events = [tuple(event) if isinstance(event, list | tuple) else event for event in found]
    if events != expected:
        if all(isinstance(event, tuple) and len(event) == 2 for event in events):
            if not all(isinstance(part, str) for event in events for part in event):
                think = "what an id and a text are in Python: both are of type str"
            elif [event[::-1] for event in events] == expected:
                think = "which of the two comes first"
            elif [(id.removeprefix(" "), text.removeprefix(" ")) for id, text in events] == expected:
                think = "what stands between the colon and the value"
            elif think_of_ids and [text for _, text in events] == [text for _, text in expected]:
                think = think_of_ids
        raise Wrong(f"found {cut(events, 160)} in {stream}, where {cut(expected, 160)} was said", think)


def reads_events(call: Calls) -> None:
    first, second = call.draw.sample(_TEXTS, 2)
    stream = f"id: 1\ndata: {first}\n\nid: 2\ndata: {second}\n\n"
    think = "what ends an event, and what ends the name of a field"
    ids = "which id belongs to which text"
    _judge(call, [stream.encode()], [("1", first), ("2", second)], think, ids)


def any_pieces(call: Calls) -> None:
    texts = [*call.draw.sample(_TEXTS, 3), "déjà vu ☕"]  # one at least whose letters take several bytes
    call.draw.shuffle(texts)
    stream = "".join(f"id: {n}\ndata: {text}\n\n" for n, text in enumerate(texts, 7))
    expected = [(str(n), text) for n, text in enumerate(texts, 7)]
    think = "where a piece may end: even within a letter"
    for size in (30, 9, 3, 1):
        _judge(call, _pieces(stream, call.draw, size), expected, think)


def any_line_end(call: Calls) -> None:
    first, second = call.draw.sample(_TEXTS, 2)
    expected = [("3", f"{first}\nmore"), ("4", second)]
    for end in ("\r\n", "\r"):
        stream = f"id: 3\ndata: {first}\ndata: more\n\nid: 4\ndata: {second}\n\n".replace("\n", end)
        for pieces in ([stream.encode()], _pieces(stream, call.draw, 1)):
            think = "the three ways to end a line, and a piece that ends within one"
            if end == "\r":  # which may be the first half of a longer line end, until more is there
                _judge(call, [*pieces, b": the next line\r"], expected, think)
                think = "the last line: it has ended, even if nothing comes after its `\\r`"
            _judge(call, pieces, expected, think)
    ends = ("\r", "\r\n", "\n")
    pairs = [(end, blank) for end in ends for blank in ends if end + blank != "\r\n"]  # which is one end
    stream = "".join(f"data: {n}{end}{blank}" for n, (end, blank) in enumerate(pairs))
    expected = [("", str(n)) for n, _ in enumerate(pairs)]
    think = "each line by itself: the next one, even the blank one, may end in another way"
    for pieces in ([stream.encode()], _pieces(stream, call.draw, 1)):
        _judge(call, pieces, expected, think)
    text = "tea\u2028and\x85milk\x0b"  # which `str.splitlines` takes apart
    _judge(
        call, [f"data: {text}\n\n".encode()], [("", text)], "the three ways to end a line: there is no fourth"
    )


def many_lines(call: Calls) -> None:
    lines = call.draw.sample(_TEXTS, 3)
    stream = "id: 1\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
    think = "what two data lines of one event make together"
    _judge(call, [stream.encode()], [("1", "\n".join(lines))], think)
    _judge(call, [f"data: {lines[0]}\ndata:\n\n".encode()], [("", f"{lines[0]}\n")], think)


def no_data(call: Calls) -> None:
    stream = "id: 5\n\n\n\nevent: tea\n\ndata: here\n\n"
    think = "which blocks are events, and for how long an id holds"
    _judge(call, [stream.encode()], [("5", "here")], think)
    think = "the difference between no data and a text that is empty"
    _judge(call, [b"id: 6\ndata:\n\n"], [("6", "")], think)
    think = "a line without a colon: all of it is the name, and the value is empty"
    _judge(call, [b"id: 7\ndata: here\n\nid\ndata\n\n"], [("7", "here"), ("", "")], think)


def keeps_id(call: Calls) -> None:
    number = str(call.draw.randint(10, 99))
    stream = f"data: before\n\nid: {number}\ndata: one\n\ndata: two\n\nid: é-1\ndata: three\n\n"
    stream += "id:\ndata: four\n\n"
    expected = [("", "before"), (number, "one"), (number, "two"), ("é-1", "three"), ("", "four")]
    think = "for how long an id holds, what it is before the first, and whether it may be empty"
    _judge(call, [stream.encode()], expected, think)
    stream = f"data: one\nid: {number}\n\ndata: two\n\nid: 5\ndata: three\nid: 6\ndata: more\n\n"
    think = "where in its event an id may stand: after the data as well"
    _judge(call, [stream.encode()], [(number, "one"), (number, "two"), ("6", "three\nmore")], think)


def other_lines(call: Calls) -> None:
    stream = ": a comment\nretry: 500\nid: 1\n:data: no\ndatas: no\nData: no\ndata : no\n"
    stream += "data: yes\nnonsense\n: more\n\n"
    think = "what to do with comments, and with fields that are not known, to the letter"
    _judge(call, [stream.encode()], [("1", "yes")], think)
    think = "the fields that are ignored: `event` is one of them, and its text counts as any other"
    _judge(call, [b"event: price\ndata: 4.03\n\ndata: tea\n\n"], [("", "4.03"), ("", "tea")], think)


def one_space(call: Calls) -> None:
    stream = "id:1\ndata:none\ndata: one\ndata:  two\ndata: a: b \n\n"
    _judge(call, [stream.encode()], [("1", "none\none\n two\na: b ")], "which space is part of the value")


def unfinished(call: Calls) -> None:
    stream = "id: 1\ndata: whole\n\nid: 2\ndata: half\n"
    think = "what ends an event, and what if the stream ends before"
    _judge(call, [stream.encode()], [("1", "whole")], think)


TASKS = {
    "parser": Make(
        stub="the function finds nothing yet: let it find the one event of [b'id: 1\\ndata: tea\\n\\n']",
        expected=a_function("pieces"),
        stages=[
            [("finds simple events", reads_events)],
            [
                ("takes a stream in any pieces", any_pieces),
                ("joins the data lines of an event", many_lines),
                ("passes over comments and unknown fields", other_lines),
                ("takes off one space, and no more", one_space),
            ],
            [
                ("keeps an id until there is another", keeps_id),
                ("makes no event of a block without data", no_data),
                ("throws away an event that the stream did not finish", unfinished),
                ("knows all three line ends", any_line_end),
            ],
        ],
        scene=Calls,
    ),
    "lines": Quick(
        "a\nc",
        {
            "ac": "two lines stay two lines",
            "a c": "what stands between two lines of a text?",
            "c": "the second line of the text does not replace the first",
            " a\nc": "the space after the colon is not part of the value",
            " a\n c": "the space after the colon is not part of the value, and not every line has one",
            "a\n c": "there is no space in the second of the data lines",
            "a\\nc": "that holds a backslash and an n; a line break is \\n in a string without r before it",
            "a\nc\n": "the last line break is taken off again",
            "a": "the other line belongs to the same event: where is the blank line?",
            "a\nb\nc": "what does a line say that begins with a colon?",
            "a\n b\nc": "what does a line say that begins with a colon?",
        },
        exact=True,
    ),
    "cut": Quick(
        7,
        {
            8: "the browser has not shown event 8: its blank line never came",
            6: "event 7 was shown; why should the server send it again?",
            0: "the browser remembers what it has shown",
        },
    ),
    "tabs": Quick(
        6,
        {
            7: "how many connections does a browser open to one server over HTTP/1.1?",
            8: "how many tabs are left?",
            5: "who gets the connection of the tab that was closed?",
            1: "each tab has a connection of its own, as long as there are any left",
        },
    ),
}
