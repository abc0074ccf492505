"""The tasks of notebook 04: good programs pass, and each kind of bad one gets the hint that fits."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

EVENTS = r"""
import codecs

def events(pieces):
    decode = codecs.getincrementaldecoder("utf-8")().decode
    rest, last_id, data, found = "", "", [], []
    last = ""
    for piece in pieces:
        text = decode(piece)
        new = text.removeprefix("\n") if last == "\r" else text
        last = text[-1:] or last
        new = new.replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = (rest + new).split("\n")
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    found.append((last_id, "\n".join(data)))
                data = []
            elif name == "data":
                data.append(value)
            elif name == "id":
                last_id = value
    return found
"""
GOOD = {
    "as in the lesson": EVENTS,
    "all at once": r"""
        import re

        def events(pieces):
            text = b"".join(pieces).decode()
            last_id, data = "", None
            for line in re.split("\r\n|\n|\r", text)[:-1]:
                if line == "":
                    if data is not None:
                        yield last_id, data
                    data = None
                    continue
                name, _, value = line.partition(":")
                value = value[1:] if value[:1] == " " else value
                if name == "data":
                    data = value if data is None else data + "\n" + value
                if name == "id":
                    last_id = value
    """,
    "byte by byte": r"""
        def lines(pieces):
            line, last = bytearray(), 0
            for byte in b"".join(pieces):
                if byte in b"\r\n":
                    if not (byte == 10 and last == 13):
                        yield line.decode()
                        line.clear()
                else:
                    line.append(byte)
                last = byte

        def events(pieces):
            found, last_id, data = [], "", ""
            for line in lines(pieces):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "data":
                    data += value + "\n"
                elif name == "id" and "\0" not in value:
                    last_id = value
                elif not line and data:
                    found.append([last_id, data[:-1]])
                    data = ""
            return found
    """,
    "with the library": r"""
        import codecs
        import io

        def events(pieces):
            letters = codecs.getincrementaldecoder("utf-8-sig")()
            decoder = io.IncrementalNewlineDecoder(letters, translate=True)
            text = "".join(map(decoder.decode, pieces)) + decoder.decode(b"", final=True)
            found, last_id = [], ""
            for block in text.split("\n\n")[:-1]:
                fields = [line.partition(":")[::2] for line in block.split("\n")]
                data = [value.removeprefix(" ") for name, value in fields if name == "data"]
                ids = [value.removeprefix(" ") for name, value in fields if name == "id"]
                last_id = (ids or [last_id])[-1]
                if data:
                    found.append((last_id, "\n".join(data)))
            return found
    """,
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    lines = verdict("04.parser", made(source, "events"), capsys)
    assert is_right(lines), lines
    assert len(lines) == 9


def test_who_has_not_begun_is_told_what_to_do(capsys):
    [line] = verdict("04.parser", made("def events(pieces):\n    ...  # your code", "events"), capsys)
    assert line.startswith("… the function finds nothing yet")


WRONG = {
    "forgets the rest": (
        [("*lines, rest =", "*lines, _ =")],
        "even within a letter",
    ),
    "each piece by itself": ([("decode(piece)", 'piece.decode("utf-8", "ignore")')], "even within a letter"),
    "breaks within a letter": ([("decode(piece)", "piece.decode()")], "even within a letter"),
    "not UTF-8": ([("decode(piece)", 'piece.decode("ascii")')], "how many bytes a letter may take"),
    "the space stays": ([('value.removeprefix(" ")', "value")], "between the colon and the value"),
    "the last id for all": (
        [("    return found", "    return [(last_id, text) for _, text in found]")],
        "which id belongs to which text",
    ),
    "the id of its data": (
        [("found.append((last_id, ", "found.append((mine, "),
         ("data.append(value)", "mine = mine if data else last_id; data.append(value)"),
         ('    last = ""', '    last = mine = ""')],
        "where in its event an id may stand",
    ),
    "messages only": (
        [("                if data:", "                if data and kind in ('', 'message'):"),
         ("data = []\n", "data = []; kind = ''\n"),
         ('    last = ""', '    last = kind = ""'),
         ('elif name == "id"', "elif name == 'event': kind = value\n            elif name == 'id'")],
        "`event` is one of them",
    ),
    "a line without a colon": ([('elif name == "data"', 'elif ":" not in line: pass\n'
                                 '            elif name == "data"')], "a line without a colon"),
    "one kind of line end": (
        [("    for piece in pieces:", """    whole = b"".join(pieces)
    ends = "\\r\\n" if b"\\r\\n" in whole else "\\n" if b"\\n" in whole else "\\r"
    pieces = [whole]
    for piece in pieces:"""),
         ('new.replace("\\r\\n", "\\n").replace("\\r", "\\n")', 'new.replace(ends, "\\n")')],
        "even the blank one",
    ),
    "blank lines of one kind": (
        [("    return found", """    import re
    found, last_id = [], ""
    for block in re.split(r"\\r\\n\\r\\n|\\n\\n|\\r\\r", b"".join(pieces).decode())[:-1]:
        data = []
        for line in re.split(r"\\r\\n|\\n|\\r", block):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                last_id = value
        if data:
            found.append((last_id, "\\n".join(data)))
    return found""")],
        "even the blank one",
    ),
    "a last CR waits": (
        [("    for piece in pieces:", """    pieces = [b"".join(pieces)]
    for piece in pieces:
        piece = piece.removesuffix(b"\\r")""")],
        "even if nothing comes after",
    ),
    "the last line only": ([("data.append(value)", "data = [value]")], "what two data lines"),
    "a space between": ([('"\\n".join(data)', '" ".join(data)')], "what two data lines"),
    "comments are data": ([("name == \"data\"", 'name in ("data", "")')], "comments"),
    "all spaces": ([('value.removeprefix(" ")', "value.strip()")], "which space"),
    "no space": ([('value.removeprefix(" ")', "value[1:]")], "which space"),
    "forgets the id": (
        [("data = []\n            elif", "data = []; last_id = ''\n            elif")],
        "for how long an id holds",
    ),
    "a number": ([("last_id = value", "last_id = int(value)")], "both are of type str"),
    "empty events": ([("if data:", "if True:")], "which blocks are events"),
    "what is left": ([("    return found", "    return found + ([(last_id, data[0])] if data else [])")],
                     "what if the stream ends before"),
    "line feeds only": (
        [('.replace("\\r\\n", "\\n").replace("\\r", "\\n")', "")], "three ways to end a line"
    ),
    "no lone CR": ([('.replace("\\r", "\\n")', "")], "three ways to end a line"),
    "CR, then LF": (
        [('text.removeprefix("\\n") if last == "\\r" else text', "text")], "a piece that ends within one"
    ),
    "str.splitlines": (
        [('    return found', '''    out, data, last_id = [], [], ""
    for line in b"".join(pieces).decode().splitlines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                out.append((last_id, "\\n".join(data)))
            data = []
        elif name == "data":
            data.append(value)
        elif name == "id":
            last_id = value
    return out''')],
        "there is no fourth",
    ),
    "an empty text": ([("if data:", 'if "".join(data):')], "the difference between no data and a text"),
    "an empty id": ([('elif name == "id"', 'elif name == "id" and value')], "whether it may be empty"),
    "None before the first": ([('"", [], []', "None, [], []")], "both are of type str"),
    "any case": ([('name == "data"', 'name.lower() == "data"')], "to the letter"),
    "a space before the colon": ([('name == "data"', 'name.strip() == "data"')], "to the letter"),
    "no line end at the end": ([('"\\n".join(data)', '"\\n".join(data).rstrip()')], "what two data lines"),
    "bytes": ([("last_id, \"\\n\".join(data)", "last_id.encode(), \"\\n\".join(data).encode()")],
              "both are of type str"),
    "the text first": ([("(last_id, \"\\n\".join(data))", "(\"\\n\".join(data), last_id)")],
                       "which of the two"),
    "texts only": ([("found.append((last_id, ", "found.append((")], "was said"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("04.parser", made(edited(EVENTS, *changes), "events"), hint, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("04.lines", "a\nc", "✓"), ("04.lines", "ac", "✗ not ac: two lines stay"),
        ("04.lines", 3, "✗ expected"), ("04.lines", "c", "✗ not c: the second line of the text"),
        ("04.lines", " a\nc", "✗ not ' a\\nc': the space after"), ("04.lines", "a\nc ", "✗ not 'a\\nc '"),
        ("04.lines", " a\nc ", "✗ not ' a\\nc '"), ("04.lines", "A\nC", "✗ not 'A\\nC'"),
        ("04.lines", "a\n c", "✗ not 'a\\n c': there is no space"), ("04.lines", "", "✗ not ''"),
        ("04.lines", r"a\nc", r"✗ not 'a\\nc': that holds a backslash and an n; a line break is \n in a"),
        ("04.lines", None, "✗ expected a string, got None"),
        ("04.cut", 7, "✓"), ("04.cut", 8, "✗ not 8: the browser has not shown"),
        ("04.tabs", 6, "✓"), ("04.tabs", 7, "✗ not 7: how many connections"),
        ("04.tabs", 5, "✗ not 5: who gets the connection"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)


def test_what_is_cut_in_a_sentence_ends_with_dots(capsys):
    source = "def events(pieces):\n    return [('1', 'tea ' * 99)]"
    [line] = verdict("04.parser", made(source, "events"), capsys)
    assert " tea … in b'id: 1" in line, line
    source = "def events(pieces):\n    return [(n, 1 / 0) for n in pieces]"
    [line] = verdict("04.parser", made(source, "events"), capsys)
    assert "when it was called with [b'id: 1" in line, line
    assert "… – think about" in line, line
