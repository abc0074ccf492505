"""The tasks of notebook 01: request and response."""

from __future__ import annotations

import random
import selectors
import socket
import threading
from typing import Any

from .observer import Calls, Wrong
from .program import Program, Unfit
from .task import Make, Quick, a_function

#: How long [s] a client may think about its next request, once it has a whole answer.
_PATIENCE_S = 0.7
_ENDS = "how a client knows that an answer is complete, while the connection stays open"


class Waiter(Calls):
    """A function that asks, and a server of ours that answers, slowly, and keeps an account.

    Parameters
    ----------
    program
        The process that calls the function.
    draw
        Where bodies come from.
    """

    def __init__(self, program: Program, draw: random.Random) -> None:
        super().__init__(program, draw)
        self.asked: list[tuple[int, str]] = []  # number of the connection, head of the request
        self.pause_s = 0.0
        self.stalled = False  # whether somebody had a whole answer and did not go on

    def two(
        self, bodies: list[bytes], size: int, name: str = "Content-Length", pause_s: float = 0.0
    ) -> Any:
        """Result of the function for these bodies, in pieces of `size` bytes.

        In the first answer, `pause_s` pass between the first piece and the next.
        """
        self.pause_s = pause_s
        answers = [
            f"HTTP/1.1 200 OK\r\nX-Tea: ready\r\n{name}: {len(body)}\r\nServer: check\r\n\r\n".encode() + body
            for body in bodies
        ]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            over = threading.Event()
            thread = threading.Thread(target=self._serve, args=(listener, answers, size, over), daemon=True)
            thread.start()
            try:
                return self(listener.getsockname()[1])
            finally:
                over.set()
                thread.join()

    def _serve(self, listener: socket.socket, answers: list[bytes], size: int, over: threading.Event) -> None:
        """Answer each request in turn, whichever connection it comes on, until the call is over."""
        heard: dict[socket.socket, bytes] = {}
        waited_s = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not over.is_set() and waited_s < _PATIENCE_S:
                ready = selector.select(0.05)
                waited_s = 0.0 if ready else waited_s + 0.05
                for key, _ in ready:
                    if key.fileobj is listener:
                        line = listener.accept()[0]
                        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        heard[line] = b""
                        selector.register(line, selectors.EVENT_READ)
                    elif not self._hear(key.fileobj, heard, answers, size, over):
                        selector.unregister(key.fileobj)
        self.stalled = not over.is_set()
        for line in heard:
            line.close()

    def _hear(self, line, heard, answers, size: int, over: threading.Event) -> bool:
        """Take what comes on a connection and answer what is complete; whether it is still open."""
        try:
            data = line.recv(65_536)
            heard[line] += data
            while b"\r\n\r\n" in heard[line]:
                head, _, heard[line] = heard[line].partition(b"\r\n\r\n")
                answer = answers[min(len(self.asked), len(answers) - 1)]
                self.asked.append((list(heard).index(line), head.decode("latin-1")))
                for start in range(0, len(answer), size):
                    line.sendall(answer[start : start + size])
                    over.wait(0.002)  # so that the pieces come one by one; nothing depends on it
                    if start == 0 and len(self.asked) == 1:
                        over.wait(self.pause_s)
            return bool(data)
        except OSError:
            return False


def asks(waiter: Waiter) -> None:
    _judge(waiter, [b"tea", b"milk"], 10_000)


def reads_exactly(waiter: Waiter) -> None:
    first = bytes(waiter.draw.randrange(256) for _ in range(waiter.draw.randrange(50, 90)))
    _judge(waiter, [first + b"\r\n\r\nGET /first", b"\r\n" * 9 + b"0"], 7)


def waits(waiter: Waiter) -> None:
    # As long as a client may think: who reads "until nothing more comes" has either given up by then, or
    # has not gone on after a whole answer.
    _judge(waiter, [b"slow " * 40, b"quick"], 150, pause_s=_PATIENCE_S, think="who says that an answer is "
           "complete: the length, or a silence")  # fmt: skip


def reads_all(waiter: Waiter) -> None:
    _judge(waiter, [b"ab" * 4000, b"c" * waiter.draw.randrange(9000, 12_000)], 3000)


def reads_nothing(waiter: Waiter) -> None:
    _judge(waiter, [b"", b"after nothing"], 40)


def any_case(waiter: Waiter) -> None:
    name = waiter.draw.choice(["content-length", "CONTENT-LENGTH"])
    _judge(waiter, [b"small letters", b"too"], 10_000, name,
           think="in which letters a server may write the name of a header (RFC 9110 §5.1)")  # fmt: skip


def _judge(
    waiter: Waiter,
    bodies: list[bytes],
    size: int,
    name: str = "Content-Length",
    pause_s: float = 0.0,
    think: str = "where a body begins, how long it is, and whether one `recv` brings all of it",
) -> None:
    """Raise `Wrong` unless the function asks as it should, and returns these bodies."""
    waiter.asked.clear()
    ended = Wrong
    try:
        found = waiter.two(bodies, size, name, pause_s)
    except (Wrong, Unfit) as reason:
        if not waiter.stalled:
            raise
        found, ended = None, type(reason)
    heads = [head for _, head in waiter.asked]
    paths = [head.split(" ")[1] if head.count(" ") > 1 else head[:30] for head in heads]
    silence = Wrong("did not wait for the second half of the first answer", think)
    if pause_s and paths == ["/first"]:
        raise silence
    if waiter.stalled:
        if pause_s:
            what = silence
        elif heads:
            which = "first" if len(heads) == 1 else "second"
            what = Wrong(f"read on although the {which} answer was complete", _ENDS)
        else:
            what = Wrong("sent no complete request", "the line that ends the head of a request")
        # A program that overlooked the end of the connection has been ended: nothing more can be tried.
        raise what if ended is Wrong else Unfit(str(what))
    if paths[:2] != ["/first", "/second"][: len(paths)] or len(paths) != 2:
        asked = ", ".join(paths) or "nothing"
        raise Wrong(f"asked for {asked}", "what is to be asked for, and in which order")
    for head in heads:
        rows = head.lower().split("\r\n")
        if not rows[0].endswith(" http/1.1") or not any(row.startswith("host:") for row in rows):
            think = "what each request of HTTP/1.1 must have (RFC 9112 §3.2)"
            raise Wrong(f"sent {head.splitlines()!r}", think)
        last = any(row.startswith("connection:") and "close" in row for row in rows)
        if last and head is heads[0]:
            raise Wrong("said that its first request was the last", "what the connection is still for")
    if len({connection for connection, _ in waiter.asked}) > 1:
        raise Wrong("opened a second connection", "what keeps the first one usable after the first answer")
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong(f"returned {found!r:.60}", "what was asked for: two bodies")
    for body, got in zip(bodies, found, strict=True):
        if isinstance(got, str):
            raise Wrong(f"returned the text {got[:30]!r}", "what a body is before anybody decodes it")
        if got != body:
            raise Wrong(
                f"returned {len(got):,} bytes ({got[:20]!r} …) for a body of {len(body):,}"
                if isinstance(got, bytes)
                else f"returned {got!r:.60} for a body",
                think,
            )


TASKS = {
    "two": Make(
        stub="the function asks for nothing yet: let it connect, ask for /first, and read the answer",
        expected=a_function("port"),
        stages=[
            [("asks twice over one connection, and brings both bodies", asks)],
            [
                ("reads bodies that come in small pieces, and not a byte more", reads_exactly),
                ("waits for an answer that pauses halfway", waits),
                ("reads long bodies to their end", reads_all),
                ("goes on after an answer with an empty body", reads_nothing),
                ("finds the length however its name is spelled", any_case),
            ],
        ],
        scene=Waiter,
    ),
    "far": Quick(
        5 * 2 * 0.1,
        {
            0.6: "that is the three files; what is said before the first request?",
            0.8: "that is TCP and the files; over https there is one more round trip",
            0.5: "that counts one way only; each exchange takes two",
            1.8: "that would be a new connection for each file",
            1.2: "that is TLS 1.2; TLS 1.3 needs one round trip less",
            1000: "that is in milliseconds",
        },
        within=0.01,
    ),
    "open": Quick(
        100 * 4 * 0.025,
        {
            100: "that is how many are opened per second; how long does each live?",
            5: "that is the request and its answer; the client has begun to connect before",
            2.5: "that is one transit; how many pass from the first hello to the end of the answer?",
            0.1: "that is how long each lives, in seconds; how many of them live at once?",
            0: "each lives for a moment, and there are a hundred per second",
        },
        within=0.01,
    ),
}
