r"""Messages as lines, ``7 tea is ready\n``: written, and read again.

A polling answer consists of such lines, and a WebSocket carries them in a text frame, which
`lpws.transports.websocket` writes. SSE has fields of its own, which `lpws.transports.sse` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .decisions import Message


def to_lines(messages: Iterable[Message]) -> bytes:
    r"""The messages as lines, the body of a polling answer.

    >>> to_lines([Message(7, "tea is ready")])
    b'7 tea is ready\n'
    """
    return "".join(f"{id} {text}\n" for id, text in messages).encode()


def from_lines(data: bytes) -> list[Message]:
    r"""The messages of a polling answer; the inverse of `to_lines`.

    >>> from_lines(b"7 tea is ready\n8 it is cold\n")
    [Message(id=7, text='tea is ready'), Message(id=8, text='it is cold')]
    """
    messages = []
    for line in data.decode().split("\n")[:-1]:
        id, _, text = line.partition(" ")
        messages.append(Message(int(id), text))
    return messages


def sizes(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """Id of each message, with the size [bytes] of its text.

    >>> sizes([Message(7, "tea is ready")])
    [(7, 12)]
    """
    return [(id, len(text.encode())) for id, text in messages]


@lru_cache(maxsize=64)
def ids_and_sizes(body: bytes) -> tuple[tuple[int, int], ...]:
    r"""Id of each message in an answer or in frames, with the size [bytes] of its text.

    Performance: the plain version is ``sizes(from_lines(body))``, which takes 1.0 µs for one message. This
    one makes no text of each line (0.8 µs) and is cached (0.1 µs): every client of a fleet is sent the same
    bytes, so that of N clients only the first parses them.

    Raises
    ------
    ValueError
        If the body does not hold messages with ids from 1, one per line. The last line may lack its end.

    Examples
    --------
    >>> ids_and_sizes(b"7 tea is ready\n8 it is cold\n")
    ((7, 12), (8, 10))
    """
    found = []
    try:
        body.decode()  # raises if the body is not UTF-8
        for line in body.removesuffix(b"\n").split(b"\n") if body else []:
            id, _, text = line.partition(b" ")
            found.append((int(id), len(text)))
        good = all(id > 0 for id, _ in found)
    except ValueError:
        good = False
    if not good:
        example = to_lines([Message(7, "tea is ready")])
        raise ValueError(f"expected lines like {example!r}, got {body[:60]!r}")
    return tuple(found)
