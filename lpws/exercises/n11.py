"""The tasks of notebook 11: the decoder of a header block of HTTP/2, and two questions."""

from __future__ import annotations

import json
from functools import partial

from ..recordings import DATA
from .headers import KINDS, LIMIT, OVERHEAD, STATIC, Connection, Line, number
from .task import Make, Quick, a_function

_NEWEST = "which number the newest entry has, and what becomes of the older ones"


def static(line: Connection) -> None:
    think = "the number of the first entry: it is 1, where a list of Python's begins with 0"
    line.indexed(2, 6, 4, think=think)
    line.indexed(1, 61, *line.draw.sample(range(1, 1 + len(STATIC)), 5), think=think)


def in_part(line: Connection) -> None:
    names = {"passing": [":path", ":status"], "kept": [":path", "cache-control", "date", "via"]}
    for kind, (bits, first) in KINDS.items():
        for name in names.get(kind, []):  # whose numbers have other bits that a kind might be taken from
            line.begin()
            field, shape = line.field(name), f"{first >> bits:0{8 - bits}b}"
            think = (
                f"a first byte {shape}…: these bits tell the kind, the last {bits} are a number, and whose?"
            )
            line.says(line.literal(kind, field), [field], think)


def in_full(line: Connection) -> None:
    think = "what the number 0 says in a literal: the name is written out as well, before the value"
    for kind in ("kept", "passing"):
        fields = [line.field(), line.field()]
        line.says(b"".join(line.literal(kind, field) for field in fields), fields, think)


def never(line: Connection) -> None:
    fields = [line.field(":path"), line.field()]
    think = "a first byte 0001…: the last 4 bits are the number, and the rest is read as after 0000…"
    line.says(b"".join(line.literal("never", field) for field in fields), fields, think)


def long(line: Connection) -> None:
    think = "a number that is all ones: it goes on in the next bytes, seven bits in each, the lowest first"
    for size in (126, 127, 128, 254, 255, line.draw.randrange(300, 1000), 20_000):
        field = "user-agent", "a" * size  # whose number does not fit four bits
        line.says(line.literal("passing", field) + number(4, 7, 128), [field, line.entry(4)], think)
    fields = [line.field("x-" + "n" * line.draw.randrange(400)), line.field("cookie")]
    line.says(b"".join(line.literal("never", field) for field in fields), fields, think)


def next_block(line: Connection) -> None:
    think = "what a literal that begins with 01 does besides: the new entry is number 62"
    field, other = line.field(), line.field("cookie")
    line.says(line.literal("kept", field), [field], think)
    line.kept("what a literal that begins with 01 does besides: it changes the very list that is handed over")
    line.indexed(62, think=think)
    line.says(line.literal("kept", other), [other], think)
    line.indexed(62, 4, think=_NEWEST)


def newest_first(line: Connection) -> None:
    fields = [line.field() for _ in range(4)]
    for field in fields:
        line.says(line.literal("kept", field), [field], _NEWEST)
    line.indexed(63, 62, 61, think=_NEWEST)
    line.indexed(65, 64, think="a first byte 1…: this bit tells the kind, and the others are the number")
    field = line.field()
    block = line.literal("kept", field) + number(62, 7, 128) + number(63, 7, 128)
    line.says(block, [field, field, fields[-1]], _NEWEST)


def not_kept(line: Connection) -> None:
    think = "which of the three kinds of literals goes into the table: one only"
    fields = [line.field() for _ in range(3)]
    kinds = zip(("kept", "passing", "never"), fields, strict=True)
    line.says(b"".join(line.literal(kind, field) for kind, field in kinds), fields, think)
    line.indexed(62, 2, think=think)


def own_names(line: Connection) -> None:
    first, last = line.field(), line.field()
    line.says(line.literal("kept", first) + line.literal("kept", last), [first, last], "the two kinds")
    think = "where a name is looked up: entries of the dynamic table have one as well"
    fields = [line.field(name) for name in (first[0], last[0], first[0])]
    block = b"".join(map(line.literal, ("never", "kept", "kept"), fields))
    line.says(block, fields, think)
    line.indexed(62, 63, 64, 65, think=think)


def evicts(line: Connection) -> None:
    takes = "32 bytes more than its name and its value"
    think = f"what an entry takes: {takes}; only those after the 61st count; and which one has to go first"
    for _ in range(line.draw.randrange(100, 120)):
        field = line.field()
        line.says(line.literal("kept", field), [field], think)
        line.kept(think)
    line.indexed(62, 61 + len(line.table), think=think)
    line.begin()
    for size in (10, LIMIT - 2 * (OVERHEAD + len("x-tea")) - 10):  # which fill it to the last byte
        line.says(line.literal("kept", field := ("x-tea", "a" * size)), [field], think)
    line.kept(f"what an entry takes: {takes}; and whether exactly 4,096 bytes are too many")
    line.says(line.literal("kept", large := ("x-large", "a" * LIMIT)), [large], think)
    line.kept("an entry that is larger than the whole table: it empties it, and goes out itself")
    line.indexed(2, 61, think="the static table, which is not part of the 4,096 bytes")


def real(recorded: dict, line: Connection) -> None:
    think = "whether each field leaves the decoder where the next one begins"
    for place, block in enumerate(recorded["unpacked"]):
        fields = recorded["fields"][min(place, 1)]  # a page, and polls that are all alike
        line.says(bytes.fromhex(block), list(map(tuple, fields)), think)


_FILE = DATA / "11_tabs.json"
#: Header blocks that a browser sent; they are only where the checkout is.
_REAL = [partial(real, json.loads(_FILE.read_text(encoding="utf-8"))["blocks"])] if _FILE.exists() else []

TASKS = {
    "headers": Make(
        stub="the function returns nothing yet: let it find the one field of b'\\x82', entry number 2",
        expected=a_function("block, table"),
        stages=[
            [("reads fields of the static table", static)],
            [
                ("reads a value whose name is in the table", in_part),
                ("reads a name and a value that are written out", in_full),
                ("reads a field that is never to be kept", never),
            ],
            [("reads numbers and texts that are longer than one byte can say", long)],
            [("finds a new entry in the next block, under number 62", next_block)],
            [
                ("moves older entries back, one by one", newest_first),
                ("keeps nothing that is not to be kept", not_kept),
            ],
            [("takes names from new entries, too", own_names)],
            [
                ("lets the oldest entries go when the table is full", evicts),
                *(("reads ten polls of a real browser", each) for each in _REAL),
            ],
        ],
        scene=Connection,
        wrap=Line,
    ),
    "tabs": Quick(
        6 // 2,
        {
            6: "that would be with one stream per tab",
            7: "how many connections to one server are there, and how many does a tab keep?",
            12: "two streams take two connections: they do not share one",
            255: "that is Chromium's limit for WebSockets",
            2: "one more: how many connections are left for the third tab?",
            4: "the fourth would not even load: which connection could its page come over?",
        },
    ),
    "cursor": Quick(
        6 + (1 + 1 + 3),
        {
            7: "the new value is in no table: it has to be written out",
            9: "what stands before the three characters of the value?",
            10: "two things stand before the value: the number of its name, and its length",
            12: "six fields are as they were, not seven",
            8: "what stands before the three characters, and how many fields are as they were?",
        },
    ),
}
