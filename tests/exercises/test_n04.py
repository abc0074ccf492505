"""The tasks of notebook 04: good programs pass, and each kind of bad one gets the hint that fits."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

EVENTS = r"""
import codecs

def events(pieces):
    decode = codecs.getincrementaldecoder("utf-8")().decode
    rest, last_id, data, found = "", "", [], []
    for piece in pieces:
        text = rest + decode(piece)
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        rest += held
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
        [("rest, last_id", "rest2, last_id"), ("*lines, rest =", "*lines, _ ="),
         ("rest + decode", '"" + decode'), ("rest += held", "pass")],
        "even within a letter",
    ),
    "each piece by itself": ([("decode(piece)", 'piece.decode("utf-8", "ignore")')], "even within a letter"),
    "breaks within a letter": ([("decode(piece)", "piece.decode()")], "raised UnicodeDecodeError"),
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
        [('held = "\\r" if text.endswith("\\r") else ""', 'held = ""'), ('.removesuffix("\\r")', "")],
        "a piece that ends within one",
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
        ("04.cut", 7, "✓"), ("04.cut", 8, "✗ not 8: the browser has not shown"),
        ("04.tabs", 6, "✓"), ("04.tabs", 7, "✗ not 7: how many connections"),
        ("04.tabs", 5, "✗ not 5: who gets the connection"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
