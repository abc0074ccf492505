"""The tasks of notebook 11: good decoders pass, and each kind of bad one gets the hint that fits."""

import random
import time

import pytest
from cells import assert_caught, assert_hinted, assert_says, edited, is_right, made, verdict
from hpack import Decoder
from hpack.hpack import encode_integer
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from lpws.exercises import n11
from lpws.exercises.headers import KINDS, STATIC, Connection, Line, number

#: What the lesson hands to its reader.
GIVEN = """
def integer(block, at, bits):
    most = 2**bits - 1
    value, at = block[at] & most, at + 1
    if value == most:
        shift = 0
        while True:
            value += (block[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if block[at - 1] < 128:
                break
    return value, at

def text(block, at):
    size, at = integer(block, at, 7)
    return block[at : at + size].decode(), at + size
"""
DECODE = (
    GIVEN
    + """
def decode(block, table):
    at, fields = 0, []
    while at < len(block):
        first = block[at]
        if first & 128:
            index, at = integer(block, at, 7)
            fields.append(table[index - 1])
            continue
        keep = first & 64
        index, at = integer(block, at, 6 if keep else 4)
        if index:
            name = table[index - 1][0]
        else:
            name, at = text(block, at)
        value, at = text(block, at)
        fields.append((name, value))
        if keep:
            table.insert(61, (name, value))
            while sum(32 + len(n) + len(v) for n, v in table[61:]) > 4096:
                table.pop()
    return fields
"""
)
GOOD = {
    "as in the lesson": DECODE,
    "a generator that eats the block, with bytes": """
        def decode(block, table):
            rest = iter(block)

            def integer(first, bits):
                value = first & (1 << bits) - 1
                if value == (1 << bits) - 1:
                    shift = 0
                    for more in rest:
                        value += (more & 127) << shift
                        shift += 7
                        if not more & 128:
                            break
                return value

            def text():
                return bytes(next(rest) for _ in range(integer(next(rest), 7)))

            for first in rest:
                if first >= 128:
                    yield list(table[integer(first, 7) - 1])
                else:
                    index = integer(first, 6 if first >= 64 else 4)
                    field = [table[index - 1][0] if index else text(), text()]
                    if first >= 64:
                        table[61:61] = [field]
                        size = 0
                        for place, (name, value) in enumerate(table[61:], 61):
                            size += len(name) + len(value) + 32
                            if size > 4096:
                                del table[place:]
                                break
                    yield field
    """,
    "a coroutine, and tuples": edited(
        DECODE, ("def decode", "async def decode"), ("return fields", "return tuple(fields)")
    ),
    "evicts before it keeps": edited(
        DECODE,
        ("            table.insert(61, (name, value))\n            while", "            while"),
        ("> 4096:\n                table.pop()", """+ 32 + len(name) + len(value) > 4096 and table[61:]:
                table.pop()
            if 32 + len(name) + len(value) <= 4096:
                table.insert(61, (name, value))"""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_decoder_passes(source, capsys):
    lines = verdict("11.headers", made(source, "decode"), capsys)
    assert is_right(lines), lines
    assert len(lines) == sum(map(len, n11.TASKS["headers"].stages))


@pytest.mark.parametrize("body", ["...", "...  # your code", "pass"])
def test_who_has_not_begun_is_told_what_to_do(body, capsys):
    [line] = verdict("11.headers", made(f"def decode(block, table):\n    {body}", "decode"), capsys)
    assert line.startswith("… the function returns nothing yet: let it find")


WRONG = {
    "begins with 0": (
        [("table[index - 1]", "table[index]")],
        "read entry number 3, (':method', 'POST') in 82 86 84, where entry number 2",
    ),
    "no field without a value": (
        [("return fields", "return [field for field in fields if field[1]]")],
        "a field whose value is empty is a field as well",
    ),
    "the value from where the name begins": (
        [("name, at = text(block, at)", "name, _ = text(block, at)")],
        "the name is written out, and the value begins after it",
    ),
    "an empty list": ([("return fields", "return []")], "what comes after a field"),
    "returns nothing": ([("    return fields", "    fields")], "a list of (name, value)"),
    "a dictionary": ([("return fields", "return dict(fields)")], "a list of (name, value)"),
    "values first": (
        [("fields.append((name, value))", "fields.append((value, name))")], "which of the two comes first",
    ),
    "six bits for all": ([("6 if keep else 4", "6")], "the last 4 bits are the number"),
    "seven bits for all": ([("6 if keep else 4", "7")], "01…: these bits tell the kind, the last 6"),
    "the whole entry as a name": (
        [("table[index - 1][0]", "table[index - 1]")], "these bits tell the kind",
    ),
    "no name of its own": (
        [("if index:", "if True:")], "what the number 0 says in a literal: the name is written out",
    ),
    "never is a kind that is not known": (
        [("keep = first & 64", "keep = first & 64\n        assert first != 16, first")], "AssertionError: 16",
    ),
    "takes never for a number": (
        [("6 if keep else 4", "6 if keep else 5")], "a first byte 0001…",
    ),
    "numbers of one byte": ([("if value == most:", "if False:")], "it goes on in the next bytes, seven bits"),
    "the highest bits first": (
        [("value += (block[at] & 127) << shift", "value = value * 128 + (block[at] & 127)")],
        "seven bits in each, the lowest first",
    ),
    "eight bits in each": ([("& 127) << shift", "& 255) << shift")], "seven bits in each"),
    "one byte after 1": (
        [("index, at = integer(block, at, 7)", "index, at = first & 127, at + 1")],
        "also after a first byte 1…: a number that is all ones: it goes on",
    ),
    "adds no prefix": (
        [("        shift = 0\n", "        value = shift = 0\n")], "a number that is all ones: it goes on",
    ),
    "stops after one more byte": ([("if block[at - 1] < 128:", "if True:")], "it goes on in the next bytes"),
    "keeps nothing": ([("if keep:", "if False:")], "what a literal that begins with 01 does besides"),
    "a table for each block": (
        [("at, fields = 0, []", "at, fields, table = 0, [], list(table[:61])")],
        "left 61 + 0 entries in the table, where the peer has 61 + 1",
    ),
    "a table for each block, again": (
        [("at, fields = 0, []", "at, fields, table = 0, [], list(table[:61])")],
        "the very list that is handed over",
    ),
    "oldest first": (
        [("table.insert(61, (name, value))", "table.append((name, value))")], "which number the newest entry",
    ),
    "one too far": ([("insert(61,", "insert(62,")], "which number the newest entry has"),
    "one too near": (
        [("insert(61,", "insert(60,")], "read entry number 61, ('www-authenticate', '') in be, where",
    ),
    "at the beginning": ([("insert(61,", "insert(0,")], "where entry number 62, "),
    "keeps all": ([("if keep:", "if True:")], "which of the three kinds of literals goes into the table"),
    "keeps the never": (
        [("if keep:", "if keep or first & 16:")], "which of the three kinds of literals goes into the table",
    ),
    "keeps all but the never": ([("if keep:", "if not first & 16:")], "which of the three kinds of literals"),
    "each field once": (
        [("if keep:", "if keep and name not in [n for n, _ in table[61:]]:")],
        "a field that the table has already: it becomes an entry again",
    ),
    "the same field once": (
        [("if keep:", "if keep and (name, value) not in table[61:]:")], "it becomes an entry again",
    ),
    "the same field, moved up": (
        [("        if keep:\n", "        if keep:\n            if (name, value) in table[61:]:\n"
          "                table.remove((name, value))\n")],
        "it becomes an entry again",
    ),
    "no entry without a value": ([("if keep:", "if keep and value:")], "a literal whose value is empty: it"),
    "evicts before it looks up": (
        [("        fields.append((name, value))\n", """
        size = 32 + len(name) + len(value)
        while keep and table[61:] and sum(32 + len(n) + len(v) for n, v in table[61:]) + size > 4096:
            table.pop()
        if index:
            name = table[index - 1][0]
        fields.append((name, value))
""")],
        "after the name has been looked up, which may be theirs",
    ),
    "names of the static table": (
        [("name = table[index - 1][0]", "name = table[(index - 1) % 61][0]")], "where a name is looked up",
    ),
    "a table of its own": (
        [("def decode(block, table):", "mine = []\ndef decode(block, table):\n    mine[:61] = table[:61]"),
         ("[index - 1]", "[index - 1]"), ("table.insert", "table = mine; table.insert"),
         ("fields.append(table[", "fields.append(mine["), ("= table[index", "= mine[index")],
        "the very list that is handed over",
    ),
    "another list": (
        [("table.insert(61, (name, value))", "table = table[:61] + [(name, value)] + table[61:]")],
        "the very list that is handed over",
    ),
    "the table of the first connection": (
        [("def decode(block, table):", "old = []\ndef decode(block, table):\n    old.append(table)"),
         ("(table[index", "(old[0][index"), ("= table[index", "= old[0][index"),
         ("            table.insert", "            table = old[0]; table.insert")],
        "the very list that is handed over",
    ),
    "16 before 64": (
        [("keep = first & 64", "keep = first & 64 and not first & 16")],
        "a first byte 01…: these bits tell the kind, the last 6 are a number",
    ),
    "32 before 64": ([("keep = first & 64", "keep = first & 96 == 64")], "a first byte 01…: these bits tell"),
    "64 before 128": ([("if first & 128:", "if first & 192 == 128:")], "a first byte 1…: this bit tells"),
    "one field only": ([("while at", "if at"), ("            continue\n", "            return fields\n")],
                       "what comes after a field"),
    "lets nothing go": ([("> 4096", "> 10**9")], "entries in the table, where the peer has"),
    "counts no 32": ([("sum(32 + ", "sum(")], "32 bytes more than its name and its value"),
    "counts values": ([("32 + len(n) + len(v)", "32 + len(v)")], "what an entry takes"),
    "counts entries": ([("sum(32 + len(n) + len(v) for n, v in table[61:]) > 4096", "len(table) > 161")],
                       "where"),
    "counts the static table": ([("table[61:]) >", "table) >")], "only those after the 61st count"),
    "lets the newest go": ([("table.pop()", "table.pop(61)")], "which one has to go first"),
    "lets one go": ([("            while", "            if")], "larger than the whole table: it empties it"),
    "empties it": ([("table.pop()", "del table[61:]")], "which one has to go first"),
    "up to 4,095": ([("> 4096", ">= 4096")], "whether exactly 4,096 bytes are too many"),
    "up to 4,097": ([("> 4096", "> 4097")], "whether exactly 4,097 bytes are too many"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_decoder_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("11.headers", made(edited(DECODE, *changes), "decode"), hint, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "sys.exit": ("import sys; sys.exit()", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "entries without an end": ("table.extend(iter(int, 1))", "✗"),  # memory or patience, what ends first
    "an empty table": ("table.clear()", "raised IndexError"),
    "something else in the table": ("table.append(None)", "raised "),
    "no list": ("return iter(int, 1)", "returned "),
    "itself": ("return decode", "returned "),
    "too deep": ("return decode(block, table)", "raised RecursionError"),
}


@pytest.mark.parametrize(("line", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_decoder_gets_a_verdict_and_leaves_nothing(line, hint, capsys):
    source = edited(DECODE, ("    at, fields = 0, []", f"    {line}\n    at, fields = 0, []"))
    assert_caught("11.headers", made(source, "decode"), hint, made(DECODE, "decode"), capsys)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (..., "… put your answer in"), (None, "✗ expected a function of (block, table), got None"),
        (3, "✗ expected a function"), (dict, "✗ "), ("82", "✗ expected a function"),
        (lambda block: [], "✗ is called with (block, table), and that does not fit"),
    ],
)  # fmt: skip
def test_what_is_no_decoder_is_said_so(thing, said, capsys):
    assert verdict("11.headers", thing, capsys)[0].startswith(said)


def test_a_verdict_takes_less_than_three_seconds(capsys):
    def takes_s():
        start_s = time.monotonic()
        assert is_right(verdict("11.headers", made(DECODE, "decode"), capsys))
        return time.monotonic() - start_s

    assert min(takes_s() for _ in range(3)) < 3  # the other two are for a busy machine


# ------------------------------------------------------------------- hpack, which says what is true


def test_the_static_table_is_that_of_hpack():
    assert tuple((name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE) == STATIC


class Truth:
    """A program that is none: hpack's decoder, at the other end of the check's connections."""

    def __init__(self):
        self.blocks = 0

    def tell(self, _call, block, begins):
        if block is None:
            return {"errors": [], "result": len(self.decoder.header_table.dynamic_entries)}
        if begins:
            self.decoder = Decoder()
        self.blocks += 1
        return {"errors": [], "result": [tuple(field) for field in self.decoder.decode(block)]}


@pytest.mark.parametrize("seed", range(20))
def test_all_that_is_said_is_what_hpack_reads(seed):
    draw, truth = random.Random(seed), Truth()
    for stage in n11.TASKS["headers"].stages:
        for _, behavior in stage:
            with Connection(truth, draw) as line:
                behavior(line)
    assert truth.blocks > 100


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([4, 5, 6, 7]))
def test_a_number_is_that_of_hpack(value, bits):
    assert number(value, bits) == bytes(encode_integer(value, bits))


FIELD = st.tuples(st.sampled_from(["x-tea", "cookie", ":path", "x" * 130]), st.text("abc", max_size=300))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*KINDS, "indexed"]), FIELD, st.booleans(), st.integers(1, 70))))
def test_any_connection_is_what_hpack_and_the_solution_read(said):
    line, decoder, mine = Connection(None, random.Random(1)), Decoder(), Line(made(DECODE, "decode"))
    for place, (kind, field, named, index) in enumerate(said):
        if kind == "indexed":
            index = min(index, 61 + len(line.table))
            block, field = number(index, 7, 128), line.entry(index)
        else:
            block = line.literal(kind, field, named=named)
        assert [tuple(each) for each in decoder.decode(block)] == [field]
        assert mine(block, place == 0) == [field]


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("11.tabs", 3, "✓"), ("11.tabs", 6, "✗ not 6: that would be with one stream per tab"),
        ("11.tabs", 255, "✗ not 255: so many WebSockets"), ("11.tabs", 4, "✗ not 4: the fourth"),
        ("11.tabs", 5, "✗ not 5"), ("11.tabs", "3", "✗ expected a number"), ("11.tabs", ..., "… put"),
        ("11.cursor", 11, "✓"), ("11.cursor", 7, "✗ not 7: the new value is in no table"),
        ("11.cursor", 10, "✗ not 10: two things"), ("11.cursor", 12, "✗ not 12: six fields"),
        ("11.cursor", None, "✗ expected a number"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
