"""The bytes of a message: on the wire it is a line, its id, a space, its text.

Every transport but SSE, which has fields of its own for both, carries these lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .mailbox import Message


def to_lines(messages: Iterable[Message]) -> bytes:
    r"""The messages as they go on the wire.

    >>> to_lines([Message(7, "tea is ready")])
    b'7 tea is ready\n'
    """
    return "".join(f"{id} {text}\n" for id, text in messages).encode()


def from_lines(data: bytes) -> list[Message]:
    r"""The messages that came over the wire; the inverse of `to_lines`.

    >>> from_lines(b"7 tea is ready\n8 it is cold\n")
    [Message(id=7, text='tea is ready'), Message(id=8, text='it is cold')]
    """
    messages = []
    for line in data.decode().split("\n")[:-1]:
        id, _, text = line.partition(" ")
        messages.append(Message(int(id), text))
    return messages


def sizes(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """Id of each message, with the bytes of its text.

    >>> sizes([Message(7, "tea is ready")])
    [(7, 12)]
    """
    return [(id, len(text.encode())) for id, text in messages]


@lru_cache(maxsize=64)
def ids_and_sizes(body: bytes) -> tuple[tuple[int, int], ...]:
    r"""Ids of the messages of an answer, or of frames, each with the bytes of its text.

    All clients of a fleet are told the same: what one has worked out, the next finds in the cache.

    Raises
    ------
    ValueError
        If the body does not hold messages with ids from 1, one a line. The last line may lack its end.

    Examples
    --------
    >>> ids_and_sizes(b"7 tea is ready\n8 it is cold\n")
    ((7, 12), (8, 10))
    """
    found = []
    try:
        body.decode()  # raises for what is no text
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
