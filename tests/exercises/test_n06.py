"""The tasks of notebook 06: bytes on the wire."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

COUNT = """
def count(transport, messages, size, request, response):
    opening = len(request) + len(response)
    if transport == "long polling":
        return messages * (opening + size)
    if transport == "SSE":
        return opening + messages * (len("data: ") + size + 2)
    head = 2 if size < 126 else 4 if size < 65_536 else 10
    return opening + messages * (head + size)
"""
BUILT = """
import struct
def count(transport, messages, size, request, response):
    data = b""
    if transport != "long polling":
        data += request + response
    for _ in range(messages):
        if transport == "long polling":
            data += request + response
        elif transport == "SSE":
            data += b"data: " + b"\\n\\n"
        else:
            long = struct.pack("!BH", 126, size) if size < 2**16 else struct.pack("!BQ", 127, size)
            data += b"\\x81" + (bytes([size]) if size <= 125 else long)
        data += bytes(size)
    return len(data)
"""


ADDED = """
def count(transport, messages, size, request, response):
    total = 0
    for n in range(messages):
        if n == 0 or transport == "long polling":
            total += len(request) + len(response)
        total += size + (8 if transport == "SSE" else 0)
        if transport == "WebSocket":
            total += 2 + 2 * (size > 125) + 6 * (size > 65_535)
    return float(total)
"""


@pytest.mark.parametrize("source", [COUNT, BUILT, ADDED], ids=["counted", "built", "added up"])
def test_a_good_function_passes(source, capsys):
    assert is_right(verdict("06.bytes", made(source, "count"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = "def count(transport, messages, size, request, response):\n    ..."
    [line] = verdict("06.bytes", made(stub, "count"), capsys)
    assert line.startswith("… the function returns nothing yet")


WRONG = {
    "one opening": ([("messages * (opening + size)", "opening + messages * size")], "how often the request"),
    "no blank line": ([("size + 2)", "size)")], "what stands around each message"),
    "no field": ([('len("data: ") + ', "")], "what stands around each message"),
    "no opening": ([("return opening + messages * (head", "return messages * (head")], "what is sent once"),
    "masked": ([("(head + size)", "(head + 4 + size)")], "the head of a frame from the server"),
    "always two": (
        [("2 if size < 126 else 4 if size < 65_536 else 10", "2")],
        "three ways to write a length",
    ),
    "off by one": ([("size < 126", "size < 127")], "three ways to write a length"),
    "no longest": ([("4 if size < 65_536 else 10", "4")], "three ways to write a length"),
    "packets": (
        [("messages * (opening + size)", "messages * (opening + size + 3 * 40)")], "whether packets belong",
    ),
    "text": ([("return opening + messages * (head + size)", "return 'many'")], "returned 'many'"),
    "none": ([("    return opening + messages * (head + size)", "")], "returned None"),
}


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("06.bytes", made(edited(COUNT, *changes), "count"), hint, capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("06.ratio", 40.5, "✓"), ("06.ratio", 435, "✗ not 435: that leaves out"), ("06.ratio", 2, "✗ not 2"),
        ("06.ratio", 39.6, "✗ not 39.6: the poll"),
        ("06.packet", 86, "✗ not 86: a frame of 20"),
        ("06.packet", 84, "✓"), ("06.packet", 62, "✗ not 62: TLS puts"),
        ("06.packet", 44, "✗ not 44: the packet begins"), ("06.packet", 88, "✗ not 88: a server's frame"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
