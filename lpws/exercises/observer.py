"""The observer of a reader's handler: clients, a room to publish in, and the time that passes."""

from __future__ import annotations

import random
import re
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from .program import ENDED, PATIENCE_S, Program, Unfit

#: How long [s] bytes may take that the server says it has written.
_LOOPBACK_S = 1.0
_WORDS = ["tea is ready", "it is cold", "rain at four", "who has the key?", "ça va", "7 apples", "déjà vu ☕"]


class Wrong(Exception):
    """A sentence on what a program did wrong, with a hint."""

    def __init__(self, happened: str, think: str) -> None:
        super().__init__(f"{happened} – think about {think}")
        self.happened = happened


#: What an error says → what to think about.
_THINK = {
    "TimeoutError": "what is to be said when nothing has come in time",
    "InvalidStateError": "what may have ended that future before: an earlier message, or `wait_for`, "
    "which cancels it when the time is over",
    "MemoryError": "how much one client may make the server keep",
    "a listener that is a coroutine": "what the room does with its listeners: it calls them",
    "coroutine": "who awaits it",
    "initialize() missing": "what a handler's `initialize` is called with: what its rule has for it, "
    "and that is nothing here",
    "WebSocketClosedError": "who takes a client off the list when it has gone",
    "RuntimeError: asyncio.run() cannot": "the loop that runs already, here as in a notebook: write "
    "`async def`, or do without a loop",
}


def raised(error: str, when: str = "") -> Wrong:
    """Sentence on an error in the program."""
    if error.startswith("TypeError: your function returned "):
        return Wrong(error.removeprefix("TypeError: your function ") + when, "what was asked for")
    think = next((think for kind, think in _THINK.items() if kind in error), None)
    return Wrong(f"raised {error}{when}", think or "what that line expects, and whether it is always so")


class Message(NamedTuple):
    """A message of the room, as the observer published it."""

    id: int
    text: str


class Answer(NamedTuple):
    """An HTTP response that a client has."""

    status: int
    headers: dict[str, str]
    body: bytes
    at_s: float  # on the program's clock


class Client:
    """A client with one connection, which reads HTTP by itself and asks when it is told to.

    Parameters
    ----------
    scene
        Where it asks.
    number
        Its number, which it puts into its requests.
    """

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene, self.number = scene, number
        self.requests = 0
        self.answers: list[Answer] = []
        self.data = b""
        try:
            self.socket = socket.create_connection(("127.0.0.1", scene.port), timeout=_LOOPBACK_S)
        except ConnectionError:
            raise Unfit(ENDED) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.socket.getsockname()[1]

    def send(self, **query: Any) -> None:
        """Send a request, and wait for nothing; the one before it must have been answered."""
        if self.requests > len(self.answers):
            raise Wrong("still held a request when its client was to ask again", "what ends a request")
        self.requests += 1
        query = {"client": self.number, "request": self.requests} | query
        target = f"{self.scene.path}?{urlencode(query)}"
        self.request(f"GET {target} HTTP/1.1")

    def request(self, head: str, body: bytes = b"") -> None:
        """Send a request with this head, without the line on the host, and this body."""
        head += f"\r\nHost: 127.0.0.1:{self.scene.port}\r\n\r\n"
        with suppress(OSError):  # a handler that closes its connection shows in what it answers
            self.socket.sendall(head.encode() + body)
        self.scene.sent += 1

    def ask(self, **query: Any) -> Answer | None:
        """Send a request; the answer if the handler gives one at once, before any time has passed."""
        before = len(self.answers)
        self.send(**query)
        self.scene.settle()
        return self.answers[-1] if len(self.answers) > before else None

    def take(self, at_s: float) -> None:
        """Read the answer that the server says it has written."""
        end_s = time.monotonic() + _LOOPBACK_S
        while (parsed := parse(self.data)) is None and time.monotonic() < end_s:
            try:
                more = self.socket.recv(1_000_000)
            except OSError:
                more = b""
            if not more:
                parsed = parse(self.data, ended=True)
                break
            self.data += more
        if parsed is None:
            raise Wrong(f"wrote {self.data[:60]!r}, which is no whole response", "who ends a response")
        answer, self.data = parsed
        self.answers.append(answer._replace(at_s=at_s))

    def half(self) -> bytes:
        """The part that has come of an answer that is not complete."""
        self.socket.setblocking(False)
        with suppress(OSError):
            self.data += self.socket.recv(65_536)
        self.socket.settimeout(_LOOPBACK_S)
        return self.data

    def leave(self) -> None:
        """Close the connection."""
        self.socket.close()
        self.scene.clients.pop(self.address, None)
        self.scene.left += 1


def part(data: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """Status and headers of a response, and what follows its head; None if that is not complete."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest


def parse(data: bytes, ended: bool = False) -> tuple[Answer, bytes] | None:
    """A response at the beginning of the bytes, and what follows it; None if it is not complete."""
    if (parted := part(data)) is None:
        return None
    status, headers, rest = parted
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while chunk := re.match(rb"([0-9a-fA-F]+)\r\n", rest):
            size, start = int(chunk[1], 16), chunk.end()
            if len(rest) < start + size + 2:
                return None
            body, rest = body + rest[start : start + size], rest[start + size + 2 :]
            if not size:
                return Answer(status, headers, body, 0.0), rest
        return None
    size = int(headers.get("content-length", 0 if status == 204 or not ended else len(rest)))
    if len(rest) < size:
        return None
    return Answer(status, headers, rest[:size], 0.0), rest[size:]


class Scene:
    """A reader's handler, served in a room of its own, with clients around it.

    Parameters
    ----------
    program
        The process that serves it.
    draw
        Where texts, numbers and times come from.
    """

    path = "/news"

    def __init__(self, program: Program, draw: random.Random) -> None:
        self.program, self.draw = program, draw
        self.published: list[Message] = []
        self.clients: dict[int, Client] = {}
        self.sent = self.left = 0
        self.listeners = 0
        self.stirs: list[float] = []  # when a timer of the program's was due, in the last order
        self._said = False
        told = program.tell("serve", self.path)
        self.port, self.now_s = told["result"], told["now_s"]
        if self.port is None:
            raise raised(told["errors"][0])

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, kind: type | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        for client in list(self.clients.values()):
            client.leave()
        if kind in (None, Wrong):  # what comes of it is none of the next scene's business
            self.program.tell("settle", self.sent, self.left, 0.0)

    def client(self) -> Client:
        """One more client."""
        client = Client(self, len(self.clients) + 1)
        self.clients[client.address] = client
        return client

    def text(self) -> str:
        """Text of the next message; the first has characters that a page would escape."""
        words, self._said = self.draw.choice(_WORDS) if self._said else "<b> is tea & milk", True
        return f"{words} {self.draw.randrange(10_000)}"

    def publish(self, count: int = 1) -> list[Message]:
        """The messages that were published, one right after the other."""
        texts = [self.text() for _ in range(count)]
        self._heed(self.program.tell("publish", texts))
        return self._keep(texts)

    def race(self, turns: int, count: int = 1) -> Message:
        """The message that will be published so many turns of the loop after the next request.

        If there are more to come, one is published in each of the turns after it.
        """
        texts = [self.text() for _ in range(count)]
        self._heed(self.program.tell("race", turns, texts))
        return self._keep(texts)[0]

    def settle(self, seconds: float = 0.0) -> None:
        """Let the time pass, and come back when the handler has done all that it does by then."""
        self._heed(self.program.tell("settle", self.sent, self.left, seconds))

    def stirs_within(self, seconds: float) -> bool:
        """Let the time pass until a timer of the program's is due, or for so long; whether one was."""
        self._heed(self.program.tell("settle", self.sent, self.left, seconds, True))
        return bool(self.stirs)

    def waiting(self, at_most: int = -1) -> int:
        """Number of requests that the server still keeps in memory; a thread may need a moment to let go."""
        for pause_s in (0.0, 0.02, 0.1, 0.2):
            time.sleep(pause_s)
            told = self.program.tell("census")
            self._heed(told)
            if not at_most < told["result"] or at_most < 0:
                break
        return told["result"]

    def _keep(self, texts: list[str]) -> list[Message]:
        first = len(self.published) + 1
        self.published += [Message(first + n, text) for n, text in enumerate(texts)]
        return self.published[first - 1 :]

    def _heed(self, told: dict[str, Any]) -> None:
        """Read the answers that the server has written, and notice what went wrong inside."""
        self.now_s, self.listeners, self.stirs = told["now_s"], told["listeners"], told["stirs"]
        for address, at_s in told["answers"]:
            if address in self.clients:
                self.clients[address].take(at_s)
        if told["errors"]:
            raise raised(told["errors"][0])
        if told["blocked_s"]:
            raise Wrong(
                f"let the whole server stand still for {told['blocked_s']:.3g} s, in which no other client "
                "is served",
                "the difference between sleeping and awaiting",
            )
        if not told["rests"]:
            raise Wrong(
                "looks again and again, thousands of times, while nothing happens",
                "who could wake a request that sleeps, at the moment there is something to say",
            )


class Calls:
    """A reader's function, called on a clock of its own.

    Parameters
    ----------
    program
        The process that calls it.
    draw
        Where what it is called with comes from.
    """

    #: How long [s] a call may take, on the computer's clock.
    patience_s = PATIENCE_S

    def __init__(self, program: Program, draw: random.Random) -> None:
        self.program, self.draw = program, draw

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, *arguments: Any) -> Any:
        """Call the function in the process; return its result, as plain values.

        Raises
        ------
        Wrong
            If it raises something.
        """
        told = self.program.tell("call", *arguments, within_s=self.patience_s)
        if told["errors"]:
            shown = ", ".join(cut(argument, 40) for argument in arguments)
            raise raised(told["errors"][0], f", when it was called with {shown}")
        return told["result"]


def cut(value: Any, most: int) -> str:
    """A value in a sentence, with "…" where it goes on."""
    whole = repr(value)
    return whole if len(whole) <= most else f"{whole[:most]}…"


def shown(value: Any) -> str:
    """A returned value in a sentence; a dataclass under its name."""
    if isinstance(value, dict) and "" in value:
        return f"{value['']}(…)"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value[:3]))}{', …' * (len(value) > 3)}]"
    return f"{value!r:.60}"


def ids(messages: list[Message]) -> str:
    """The messages by their numbers, to be said in a sentence."""
    numbers = [str(message.id) for message in messages]
    if not numbers:
        return "nothing"
    if len(numbers) == 1:
        return f"message {numbers[0]}"
    if len(numbers) > 9:
        return f"{len(numbers)} messages ({numbers[0]} to {numbers[-1]})"
    return f"messages {', '.join(numbers[:-1])} and {numbers[-1]}"
