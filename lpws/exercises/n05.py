"""The tasks of notebook 05: WebSockets."""

from __future__ import annotations

from .answers import compare
from .observer import Calls, Message, Scene, Wrong, ids
from .task import Make, Quick, a_function, a_handler
from .web import BINARY, CLOSE, PING, TEXT, WebClient, frame


def _join(scene: Scene, cursor: int) -> WebClient:
    return WebClient(scene, len(scene.clients) + 1, cursor=cursor)


def _expect(client: WebClient, expected: list[Message], who: str, think: str) -> None:
    """Raise `Wrong` unless these messages have come to the client, and no others."""
    got = client.messages()
    if got == expected:
        return
    texts, known = ([message.text for message in some] for some in (got, client.scene.published))
    if twice := [text for text in texts if texts.count(text) > max(1, known.count(text))]:
        raise Wrong(f"sent {twice[0]!r} more than once to {who}", "how often it is published, and sent")
    compare(got, client.scene.published)
    if lost := [message for message in expected if message not in got]:
        raise Wrong(f"did not send {ids(lost)} to {who}, which got {ids(got)}", think)
    if len(got) > len(set(got)) or len(got) > len(expected):
        raise Wrong(f"sent {ids(got)} to {who}, which lacked {ids(expected)}", "what a cursor says, and "
                    "whether two pieces of code send the same message")  # fmt: skip
    raise Wrong(f"sent {ids(got)} to {who}, in this order", "the order in which a reader wants to hear them")


def opens(scene: Scene) -> None:
    _join(scene, 0)


def tells(scene: Scene) -> None:
    clients = [_join(scene, 0) for _ in range(3)]
    cursor = 0
    for count in (1, 1, 12):
        news = scene.publish(count)
        for client in clients:
            _expect(client, news, f"a client that joined with cursor={cursor}",
                    "who calls your code when a message is published, and for how long")  # fmt: skip


def catches_up(scene: Scene) -> None:
    news = scene.publish(11)
    for cursor in (0, scene.draw.randrange(1, 10), 11):  # of two digits, too
        client = _join(scene, cursor)
        _expect(client, news[cursor:], f"a client that joined with cursor={cursor}", "what a client lacks")
        live = scene.publish(2)
        _expect(client, live, "a client that had caught up", "what comes after the messages it lacked")
        news += live
        client.leave()


def misses_nothing(scene: Scene) -> None:
    scene.publish(2)
    for turns in range(8):
        cursor = len(scene.published) - 1
        scene.race(turns)
        client = _join(scene, cursor)
        who = "a client that joined while a message was published"
        think = "what can happen between the look at the messages and the moment somebody listens"
        _expect(client, scene.published[cursor:], who, think)
        client.leave()


def publishes(scene: Scene) -> None:
    clients = [_join(scene, 0) for _ in range(3)]
    for client in (clients[0], clients[2]):
        text = f" {scene.text()}  "  # spaces are part of what it says
        client.send_frame(TEXT, text.encode())
        news = [Message(len(scene.published) + 1, text)]
        scene.published += news
        for other in clients:
            who = "the client that had said it" if other is client else "another client"
            _expect(other, news, who, "whom the room tells what is published")


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
        raise
    if not client.ended:
        raise Wrong("kept a client that sent bytes", "what `on_message` is given, text or bytes")
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
        scene.settle()
        news = scene.publish()
        for other in stay:
            _expect(other, news, "a client that stayed when another left", "whose connection it is that ends")
    left = max(scene.waiting(kept) - kept, scene.listeners - before)
    if left > 0:
        raise Wrong(
            f"keeps {left} functions or handlers for {count} clients that have left",
            "what `on_close` is for, and what `open` has put where",
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
    "log": Quick(0, {1000: "who writes 1006 into the log, and what has it seen before?"}),
}  # fmt: skip
