"""The tasks of notebook 11: the decoder of a header block of HTTP/2, and two questions."""

from __future__ import annotations

import json
from functools import partial

from ..recordings import DATA
from .headers import KINDS, LIMIT, OVERHEAD, STATIC, Connection, Line, number
from .task import Make, Quick, a_function

_NEWEST = "which number the newest entry has, and what becomes of the older ones"
_ONES = "a number that is all ones: it goes on in the next bytes, seven bits in each, the lowest first"


def static(line: Connection) -> None:
    think = "the number of the first entry: it is 1, where a list of Python's begins with 0"
    line.indexed(2, 6, 4, think=think)
    think = "the number is the last 7 bits; and a field whose value is empty is a field as well"
    line.indexed(1, 61, *line.draw.sample(range(1, 1 + len(STATIC)), 5), 3, think=think)


def in_part(line: Connection) -> None:
    names = {"passing": [":path", ":status"], "kept": [":path", "cache-control", "date", "via"]}
    for kind, (bits, first) in KINDS.items():
        shape = f"{first >> bits:0{8 - bits}b}"
        think = f"a first byte {shape}…: these bits tell the kind, the last {bits} are a number, and whose?"
        for name in names.get(kind, []):  # whose numbers have other bits that a kind might be taken from
            line.begin()
            line.written((kind, line.field(name)), think=think)


def in_full(line: Connection) -> None:
    think = "what the number 0 says in a literal: the name is written out, and the value begins after it"
    for kind in ("kept", "passing"):
        line.written((kind, line.field()), (kind, line.field()), think=think)


def never(line: Connection) -> None:
    think = "a first byte 0001…: the last 4 bits are the number, and the rest is read as after 0000…"
    line.written(("never", line.field(":path")), ("never", line.field()), think=think)


def long(line: Connection) -> None:
    for size in (126, 127, 128, 254, 255, line.draw.randrange(300, 1000), 20_000):
        field = "user-agent", "a" * size  # whose number does not fit four bits
        line.says(line.literal("passing", field) + number(4, 7, 128), [field, line.entry(4)], _ONES)
    fields = [line.field("x-" + "n" * line.draw.randrange(400)), line.field("cookie")]
    line.written(*(("never", field) for field in fields), think=_ONES)


def next_block(line: Connection) -> None:
    does = "what a literal that begins with 01 does besides:"
    think = f"{does} the new entry is number 62"
    line.written(("kept", line.field()), think=think)
    line.kept(f"{does} it changes the very list that is handed over")
    line.indexed(62, think=think)
    line.written(("kept", line.field("cookie")), think=think)
    line.indexed(62, 4, think=_NEWEST)


def newest_first(line: Connection) -> None:
    for _ in range(4):
        line.written(("kept", line.field()), think=_NEWEST)
    line.indexed(63, 62, 61, think=_NEWEST)
    line.indexed(65, 64, think="a first byte 1…: this bit tells the kind, and the others are the number")
    newest, field = line.entry(62), line.field()
    block = line.literal("kept", field) + number(62, 7, 128) + number(63, 7, 128)
    line.says(block, [field, field, newest], _NEWEST)


def kept_as_well(line: Connection) -> None:
    empty, field = (line.field()[0], ""), line.field()
    like = "a literal whose value is empty: it becomes an entry like the others"
    again = "a field that the table has already: it becomes an entry again (RFC 7541 §2.3.2)"
    for said, think in [(empty, like), (field, again), (field, again)]:
        line.says(line.literal("kept", said, named=False), [said], think)
        line.kept(think)
    line.indexed(64, 63, 62, think=_NEWEST)


def not_kept(line: Connection) -> None:
    think = "which of the three kinds of literals goes into the table: one only"
    line.written(*((kind, line.field()) for kind in ("kept", "passing", "never")), think=think)
    line.indexed(62, 2, think=think)


def own_names(line: Connection) -> None:
    first, last = line.field(), line.field()
    line.written(("kept", first), ("kept", last), think=_NEWEST)
    think = "where a name is looked up: entries of the dynamic table have one as well"
    fields = [line.field(name) for name in (first[0], last[0], first[0])]
    line.written(*zip(("never", "kept", "kept"), fields, strict=True), think=think)
    line.indexed(62, 63, 64, 65, think=think)


def evicts(line: Connection) -> None:
    takes = "what an entry takes: 32 bytes more than its name and its value"
    think = f"{takes}; only those after the 61st count; and which one has to go first"
    for place in range(line.draw.randrange(100, 120)):
        line.written(("kept", line.field()), think=think)
        line.kept(think)
        if place == 70:  # its number needs a second byte, and no entry has gone yet
            line.indexed(62, 61 + len(line.table), think=f"also after a first byte 1…: {_ONES}")
    line.indexed(62, 61 + len(line.table), think=think)
    early = (
        "when the oldest have to go: after the name has been looked up, which may be theirs (RFC 7541 §4.4)"
    )
    for over in (0, 1):  # two entries that fill the table to the last byte, then two that do not fit
        line.begin()
        for size in (10, LIMIT + over - 2 * (OVERHEAD + len("x-tea")) - 10):
            line.written(("kept", ("x-tea", "a" * size)), think=early)
        line.kept(f"{takes}; and whether exactly {LIMIT + over:,} bytes are too many")
    line.written(("kept", ("x-large", "a" * LIMIT)), think=think)
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
                ("keeps an empty value, and a field for the second time", kept_as_well),
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
            255: "so many WebSockets can a page open in Chromium",
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
