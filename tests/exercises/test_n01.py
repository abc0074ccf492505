"""The tasks of notebook 01: good programs pass, and each kind of bad one gets the hint that fits."""

import pytest
from cells import assert_hinted, assert_says, edited, is_right, made, verdict

TWO = """
import socket

def two(port):
    bodies = []
    with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as reader:
        for path in ("/first", "/second"):
            line.sendall(f"GET {path} HTTP/1.1\\r\\nHost: tea\\r\\n\\r\\n".encode())
            length = 0
            while row := reader.readline().strip():
                name, _, value = row.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            bodies.append(reader.read(length))
    return tuple(bodies)
"""
GOOD = {
    "a file of the socket": TWO,
    "pieces by hand": """
        import socket

        def two(port):
            line = socket.create_connection(("127.0.0.1", port))
            data, bodies = b"", []
            for path in (b"/first", b"/second"):
                line.send(b"GET " + path + b" HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
                while b"\\r\\n\\r\\n" not in data:
                    data += line.recv(100)
                head, data = data.split(b"\\r\\n\\r\\n", 1)
                size = int(head.lower().split(b"content-length:")[1].split()[0])
                while len(data) < size:
                    data += line.recv(100)
                bodies.append(data[:size])
                data = data[size:]
            return bodies
    """,
    "both at once (pipelining)": """
        import socket

        def two(port):
            with socket.create_connection(("127.0.0.1", port)) as line:
                for path in (b"first", b"second"):
                    line.sendall(b"GET /" + path + b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                file = line.makefile("rb")
                def body():
                    rows = [r.lower() for r in iter(file.readline, b"\\r\\n")]
                    sizes = [int(r.split(b":")[1]) for r in rows if r.startswith(b"content-length")]
                    return file.read(*sizes)
                return body(), body()
    """,
    "the standard library": """
        from http.client import HTTPConnection

        def two(port):
            line = HTTPConnection("127.0.0.1", port)
            def body(path):
                line.request("GET", path)
                return line.getresponse().read()
            return body("/first"), body("/second")
    """,
}  # fmt: skip


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    lines = verdict("01.two", made(source, "two"), capsys)
    assert is_right(lines), lines
    assert len(lines) == 6


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = '''
    def two(port):
        """The bodies of /first and /second, over one connection."""
        ...  # your code
    '''
    [line] = verdict("01.two", made(stub, "two"), capsys)
    assert line.startswith("… the function asks for nothing yet")


CONNECT = 'with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as reader:'
WRONG = {
    "reads to the end": ([("reader.read(length)", "reader.read()")], "read on although the first answer"),
    "one recv": (
        [("bodies.append(reader.read(length))", "bodies.append(reader.read1(length))")],
        "whether one `recv` brings all of it",
    ),
    "says close": ([("Host: tea", "Host: tea\\r\\nConnection: close")], "first request was the last"),
    "no host": ([("\\r\\nHost: tea", "")], "what each request of HTTP/1.1 must have"),
    "no empty line": ([("Host: tea\\r\\n\\r\\n", "Host: tea\\r\\n")], "the line that ends the head"),
    "the same twice": ([('"/second"', '"/first"')], "asked for /first, /first"),
    "two connections": (
        [(f"    {CONNECT}\n        for path", "    for path"),
         ("            line.sendall", f"          {CONNECT}\n            line.sendall")],
        "opened a second connection",
    ),
    "one spelling": ([('name.lower() == b"content-length"', 'name == b"Content-Length"')], "in which le"),
    "text": ([("reader.read(length))", "reader.read(length).decode('latin-1'))")], "anybody decodes it"),
    "one byte too many": ([("read(length)", "read(length + 1)")], "read on although the first answer"),
    "deaf to the end": (
        [("reader.readline().strip():", "reader.readline().strip() or not reader.peek():"),
         ("read(length)", "read(length + 1)")],
        "read on although the first answer was complete",
    ),
    "a loop in the loop": (
        [("def two(port):", "import asyncio\ndef two(port):\n    async def none(): pass\n"
          "    asyncio.run(none())")],
        "here as in a notebook: write `async def`",
    ),
    "the first only": ([("return tuple(bodies)", "return bodies[0]")], "two bodies"),
    "stops at an empty body": (
        [("bodies.append(reader", "if not length: return bodies\n            bodies.append(reader")],
        "asked for /first",
    ),
    "an error": ([("int(value)", "int(valeu)")], "raised NameError"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("01.two", made(edited(TWO, *changes), "two"), hint, capsys)


def test_a_silence_is_not_the_end_of_an_answer(capsys):
    source = """
        import socket

        def two(port):
            bodies = []
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.settimeout(0.4)  # less than the pause, and more than a busy machine makes
                for path in (b"first", b"second"):
                    line.sendall(b"GET /" + path + b" HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                    data = b""
                    try:
                        while True:
                            data += line.recv(4096)
                    except TimeoutError:
                        bodies.append(data.partition(b"\\r\\n\\r\\n")[2])
            return bodies
    """
    lines = verdict("01.two", made(source, "two"), capsys)
    assert any("the length, or a silence" in line for line in lines if line.startswith("✗")), lines


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("01.far", 1, "✓"), ("01.far", 0.6, "✗ not 0.6: that is the three files"), ("01.far", 7, "✗ not 7"),
        ("01.far", 1.2, "✗ not 1.2: that is TLS 1.2"), ("01.far", 1000, "✗ not 1000: that is in milli"),
        ("01.open", 2.5, "✗ not 2.5: that is one transit"), ("01.open", 0.1, "✗ not 0.1: that is how long"),
        ("01.open", 10, "✓"), ("01.open", 100, "✗ not 100: that is how many are opened"),
        ("01.open", "ten", "✗ expected a number"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)
