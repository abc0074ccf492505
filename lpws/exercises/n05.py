"""The tasks of notebook 05: WebSockets."""

from __future__ import annotations

from collections.abc import Iterable

from .answers import compare
from .observer import Calls, Message, Scene, Wrong, ids
from .task import Make, Quick, a_function, a_handler
from .web import BINARY, CLOSE, PING, TEXT, WebClient, frame

#: How long [s] a message may take on its way through the handler, in which nothing is slow but an `await`.
_AT_ONCE_S = 0.01
#: How long [s] all may take that follows, if a handler leaves it to a task of its own.
_SOON_S = 1.0
#: How long [s] nothing happens before some messages: to look every 10 ms would be thousands of looks.
_QUIET_S = 40.0
_NEWS = "who calls your code when a message is published, and for how long"


class Listener(WebClient):
    """A client that joins with a cursor, and leaves the handler as much time as it takes to read on."""

    patience_s = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0)

    def __init__(self, scene: Scene, cursor: int) -> None:
        self._after, self._method = "joined", "open"
        super().__init__(scene, len(scene.clients) + 1, cursor=cursor)

    def send_frame(self, opcode: int, payload: bytes) -> None:
        self._after, self._method = "sent its message", "on_message"
        super().send_frame(opcode, payload)
        self.scene.settle(_SOON_S)

    def _deaf(self) -> Wrong:
        return Wrong(
            f"read nothing more from a client for a minute after it had {self._after}",
            f"what `{self._method}` waits for: until it returns, Tornado reads no further frame",
        )


def _join(scene: Scene, cursor: int) -> Listener:
    """A client that has joined a while ago, and for which `open` has returned."""
    client = Listener(scene, cursor)
    client._frames = client.hear()
    scene.settle(_SOON_S)
    return client


def _expect(client: Listener, expected: list[Message], who: str, think: str, within_s: float = 0.0) -> None:
    """Raise `Wrong` unless these messages come to the client in this time [s], or at once, and no others."""
    within_s = within_s or _AT_ONCE_S * len(expected)
    client.scene.settle(within_s)
    _judge(client, client.messages(), expected, within_s, who, think)


def _judge(
    client: Listener, got: list[Message], expected: list[Message], within_s: float, who: str, think: str
) -> None:
    if got == expected:
        return
    texts, known = ([message.text for message in some] for some in (got, client.scene.published))
    if twice := [text for text in texts if texts.count(text) > max(1, known.count(text))]:
        raise Wrong(f"sent {twice[0]!r} more than once to {who}", "how often it is published, and sent")
    compare(got, client.scene.published)
    if lost := [message for message in expected if message not in got]:
        client.scene.settle(_SOON_S)
        if set(lost) <= set(client.messages()):
            raise Wrong(
                f"took more than {within_s:.2g} s to send {ids(lost)} to {who}",
                "what a message waits for on its way from `publish` to a client",
            )
        raise Wrong(f"did not send {ids(lost)} to {who}, which got {ids(got)}", think)
    if len(got) > len(set(got)) or len(got) > len(expected):
        raise Wrong(f"sent {ids(got)} to {who}, which lacked {ids(expected)}", "what a cursor says, and "
                    "whether two pieces of code send the same message")  # fmt: skip
    first, second = next((a, b) for a, b in zip(got, got[1:], strict=False) if a.id > b.id)
    raise Wrong(
        f"sent message {first.id} before message {second.id} to {who}",
        "the order in which a reader wants to hear them, and what may be published while `open` sends",
    )


def opens(scene: Scene) -> None:
    _join(scene, 0)


def tells(scene: Scene) -> None:
    clients = [_join(scene, 0) for _ in range(3)]
    for count in (1, 1, 12):
        scene.settle(_QUIET_S)
        news = scene.publish(count)
        scene.settle(_AT_ONCE_S * count)
        heard = [client.messages() for client in clients]
        told = sum(got == news for got in heard)
        if told and not all(heard):
            raise Wrong(
                f"sent {ids(news)} to {told} of {len(clients)} clients that had all joined with cursor=0",
                "what each client has for itself, and what all of them share, as an attribute of the class",
            )
        for client, got in zip(clients, heard, strict=True):
            _judge(client, got, news, _AT_ONCE_S * count, "a client that joined with cursor=0", _NEWS)


def catches_up(scene: Scene) -> None:
    news = scene.publish(11)
    for cursor in (0, scene.draw.randrange(1, 10), 11):  # of two digits, too
        client = _join(scene, cursor)
        who = f"a client that joined with cursor={cursor}"
        _expect(client, news[cursor:], who, "what a client lacks", within_s=_SOON_S)
        live = scene.publish(2)
        _expect(client, live, "a client that had caught up", "what comes after the messages it lacked")
        news += live
        client.leave()


def misses_nothing(scene: Scene) -> None:
    scene.publish(3)
    one, many = "while a message was published", "while messages were published"
    for turns in range(8):
        _joins(scene, one, turns, 1)
    for steps in range(4):
        _joins(scene, one, pauses=[steps])
    # What the next message would set right shows when there is but one; what it would overtake, when all
    # the time there is another.
    _joins(scene, many, 0, 24)
    _joins(scene, many, pauses=[0] + 9 * [1])


def _joins(scene: Scene, when: str, turns: int = 0, count: int = 0, pauses: Iterable[int] = ()) -> None:
    """Let a client join that lacks three messages, and publish in so many turns, or after pauses.

    A pause is so many of the moments that the handler waits for, as in a sleep.
    """
    cursor = len(scene.published) - 3
    if count:
        scene.race(turns, count)
    client = Listener(scene, cursor)
    for steps in pauses:
        for _ in range(steps):
            scene.stirs_within(_SOON_S)
        scene.publish()
    _expect(
        client,
        scene.published[cursor:],
        f"a client that joined {when}",
        "what can happen between the look at the messages and the moment somebody listens",
        _SOON_S,
    )
    client.leave()


def publishes(scene: Scene) -> None:
    clients = [_join(scene, 0) for _ in range(3)]
    said = "whom the room tells what is published"
    for client, text, think in (
        (clients[0], f" {scene.text()}  ", said),  # spaces are part of what it says
        (clients[2], f" {scene.text()}  ", said),
        (clients[1], "", "what `if` makes of a text that is empty"),
    ):
        client.send_frame(TEXT, text.encode())
        news = [Message(len(scene.published) + 1, text)]
        scene.published += news
        it = "it" if text else "'', a text of no letters"
        for other in clients:
            who = f"the client that had said {it}" if other is client else "another client"
            _expect(other, news, who, think)


_GIVEN = "what `on_message` is given, text or bytes, and what is to become of a client that sends bytes"
#: What code raises that takes bytes for text.
_UNFIT_FOR_BYTES = ("raised UnicodeDecodeError", "raised TypeError", "raised AttributeError: 'bytes'")


def refuses_bytes(scene: Scene) -> None:
    for data in (b"\x00\xff", b""):
        _refuses(scene, data)


def _refuses(scene: Scene, data: bytes) -> None:
    client, other = _join(scene, 0), _join(scene, 0)
    try:
        client.send_frame(BINARY, data)
        client.hear()
    except Wrong as wrong:
        if "WebSocketClosedError" in wrong.happened:
            raise Wrong(wrong.happened, "what runs after `close`, which does not end the method") from None
        if wrong.happened.startswith(_UNFIT_FOR_BYTES):
            raise Wrong(f"{wrong.happened}, when a client sent bytes", _GIVEN) from None
        raise
    if not client.ended:
        raise Wrong("kept a client that sent bytes", _GIVEN)
    if client.code != 1003:
        how = "without a Close frame" if client.code is None else f"with code {client.code}"
        raise Wrong(f"closed the connection of a client that sent bytes {how}", "the code that says why")
    if got := other.hear():
        raise Wrong(f"sent {got[0].payload[:40]!r} to the others when a client sent bytes", "who hears what")
    for each in (client, other):
        each.leave()
    scene.settle()


def forgets(scene: Scene) -> None:
    stay, count = [_join(scene, 0) for _ in range(2)], scene.draw.randrange(3, 6)
    before, kept = scene.listeners, scene.waiting()
    for n, client in enumerate([_join(scene, 0) for _ in range(count)]):
        if n % 2:
            client.send_frame(CLOSE, b"\x03\xe9")
        client.leave()
    scene.settle(_SOON_S)
    if (left := scene.listeners - before) > 0:  # before the next message, at which a function may go
        raise Wrong(
            f"left {left} function{'s' * (left > 1)} in `room.listeners` for {count} clients that have gone",
            "what `on_close` is for, and whether it takes away the very thing that `open` has added",
        )
    news = scene.publish()
    for other in stay:
        _expect(other, news, "a client that stayed when others left", "whose connection it is that ends")
    if (left := scene.waiting(kept) - kept) > 0:
        raise Wrong(
            f"keeps {left} handlers in memory for {count} clients that have left",
            "what else than `room.listeners` still knows them",
        )


def decodes(cases: str) -> tuple[str, object]:
    """The behavior: the messages of frames of such a kind."""

    def behavior(call: Calls) -> None:
        draw = call.draw
        for data, expected, what in list(_frames(cases, draw)):
            try:
                got = call(data)
            except Wrong as wrong:
                raise Wrong(wrong.happened, _THINK[cases]) from None
            if not isinstance(got, (list, tuple)):
                raise Wrong(f"returned {got!r:.60}", "how many messages can lie in the bytes: a list of them")
            got = [each.encode() if isinstance(each, str) else each for each in got]
            if got != expected:
                raise Wrong(f"found {got!r:.60} in {what}, where {expected!r:.60} was", _THINK[cases])

    return {
        "short": "decodes short texts, masked or empty", "long": "decodes texts of any length",
        "many": "decodes several messages, one after the other",
        "parts": "puts the parts of a fragmented message together, whatever comes between them",
    }[cases], behavior  # fmt: skip


_THINK = {
    "short": "which bytes are the length, which the key, and what the key does to byte number n",
    "long": "what 126 and 127 mean in the place of the length",
    "many": "where a frame ends",
    "parts": "what FIN and opcode 0 say, where a frame may end, and which frames are not messages at all",
}


def _frames(cases: str, draw) -> list[tuple[bytes, list[bytes], str]]:
    def some(size: int) -> bytes:
        return bytes(draw.randrange(97, 123) for _ in range(size))

    def send(opcode: int, payload: bytes, fin: bool = True) -> bytes:
        return frame(opcode, payload, draw.randbytes(4), fin)

    if cases == "short":
        texts = [b"Hello", "déjà vu ☕".encode(), b"", some(125)]
        return [(send(TEXT, text), [text], f"a frame with {len(text)} bytes of text") for text in texts]
    if cases == "long":
        texts = [some(126), some(draw.randrange(300, 9000)), some(65_535), some(65_536)]
        return [
            (
                send(TEXT, text) + send(TEXT, b"end"),
                [text, b"end"],
                f"frames of {len(text)} and 3 bytes of text",
            )
            for text in texts
        ]
    if cases == "many":
        texts = [some(draw.randrange(1, 200)) for _ in range(3)]
        three = b"".join(send(TEXT, text) for text in texts)
        mixed = b"".join(map(send, (TEXT, BINARY, TEXT), texts))
        return [
            (three, texts, "three frames"),
            (mixed, texts, "a frame of text, one of bytes and one of text"),
            (b"", [], "no bytes"),
        ]
    a, b, c = (some(draw.randrange(3, 9)) for _ in range(3))
    tea = "déjà vu ☕".encode()
    parts = send(TEXT, a, False) + send(PING, b"?") + send(0, b, False) + send(0, c)
    return [
        (send(TEXT, a, False) + send(0, b), [a + b], "two frames of one message"),
        (parts + send(TEXT, c), [a + b + c, c], "three frames of one message with a ping between them"),
        (
            send(TEXT, tea[:2], False) + send(0, tea[2:]),
            [tea],
            "two frames, the first of which ends within a letter",
        ),
    ]


TASKS = {
    "handler": Make(
        stub="the methods are still empty: begin with `open`: "
        "which function should the room call with each message?",
        expected=a_handler("tornado.websocket", "WebSocketHandler"),
        stages=[
            [("accepts the handshake", opens)],
            [("sends every client what is published, each message in a frame of its own", tells)],
            [
                ("sends a client that joins what it lacks, and then what is new", catches_up),
                ("misses nothing that is published while a client joins, and sends nothing twice",
                 misses_nothing),
                ("publishes what a client says", publishes),
            ],
            [
                ("closes with code 1003 when a client sends bytes", refuses_bytes),
                ("leaves nothing behind when a client goes", forgets),
            ],
        ],
    ),
    "decode": Make(
        stub="`decode` returns nothing yet: begin with one short frame",
        expected=a_function("data"),
        stages=[[decodes("short")], [decodes("long"), decodes("many"), decodes("parts")]],
        scene=Calls,
    ),
    "bytes": Quick(
        len(frame(TEXT, bytes(200))),
        {
            202: "a length above 125 needs more than seven bits, and a client masks",
            204: "a client masks what it sends",
            206: "a length above 125 needs more than seven bits",
            214: "the long form of the length is for 65,536 bytes and more",
        },
    ),
    "log": Quick(
        2,
        {
            1: "1011 came in a frame, and so did one of the other two: an empty frame is a goodbye",
            3: "for one of them no frame came at all: which?",
            0: "two are notes that a page makes for itself, but of what?",
        },
    ),
}  # fmt: skip
