"""The two ends of a connection of HTTP/2: a peer that says header blocks, and a reader's decoder of them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

from .observer import Wrong, raised, shown
from .program import Program

#: A field of a header block: its name and its value.
Field = tuple[str, str]

#: The static table, RFC 7541 appendix A; its first entry has the number 1.
STATIC: tuple[Field, ...] = tuple(
    (name, value)
    for line in [
        ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https",
        ":status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset",
        "accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age",
        "allow|authorization|cache-control|content-disposition|content-encoding|content-language",
        "content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from",
        "host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link",
        "location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after",
        "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate",
    ]
    for entry in line.split("|")
    for name, _, value in [entry.partition(" ")]
)
#: What the entries of the dynamic table may take, and what each takes beside its name and value [bytes].
LIMIT, OVERHEAD = 4096, 32
#: A kind of literal → how many bits of the first byte are a number, and the others.
KINDS = {"kept": (6, 0b0100_0000), "passing": (4, 0b0000_0000), "never": (4, 0b0001_0000)}
_SLIPS = "IndexError", "StopIteration", "KeyError", "ValueError", "UnicodeDecodeError", "UnboundLocalError"


def number(value: int, bits: int, first: int = 0) -> bytes:
    """A number whose first so many bits are the last ones of the first byte (RFC 7541 §5.1)."""
    most = 2**bits - 1
    if value < most:
        return bytes([first | value])
    said, value = [first | most], value - most
    while value > 127:
        said.append(value & 127 | 128)
        value >>= 7
    return bytes([*said, value])


def string(words: str) -> bytes:
    """A text with its length before it, without Huffman's code."""
    return number(len(words.encode()), 7) + words.encode()


class Line:
    """The reader's decoder at its end of one connection after the other, in the process that runs it."""

    def __init__(self, decode: Callable[[bytes, list], Any]) -> None:
        self.decode, self.table = decode, []

    def __call__(self, block: bytes | None, begins: bool) -> Any:
        if block is None:
            return len(self.table) - len(STATIC)
        if begins:
            self.table = list(STATIC)
        found = self.decode(block, self.table)
        return list(found) if inspect.isgenerator(found) else found


class Connection:
    """The peer of a connection: it says header blocks, and keeps the table that the decoder should keep."""

    def __init__(self, program: Program, draw: random.Random) -> None:
        self.program, self.draw = program, draw
        self.begin()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self) -> None:
        """Begin a connection."""
        self.table: list[Field] = []  # the newest entry first
        self.begins = True

    def field(self, name: str = "") -> Field:
        """A field that no table has, perhaps under this name."""
        return name or f"x-{self.draw.randrange(10**4)}", f"tea {self.draw.randrange(10**6)}"

    def literal(self, kind: str, field: Field, *, named: bool = True) -> bytes:
        """Bytes of a field that is written out, all but its name if a table has that."""
        names = [name for name, _ in (*STATIC, *self.table)]
        index = names.index(field[0]) + 1 if named and field[0] in names else 0
        if kind == "kept":
            self.table.insert(0, field)
            while sum(OVERHEAD + len(name) + len(value) for name, value in self.table) > LIMIT:
                self.table.pop()
        bits, first = KINDS[kind]
        return number(index, bits, first) + (b"" if index else string(field[0])) + string(field[1])

    def entry(self, index: int) -> Field:
        """Entry of that number."""
        return (*STATIC, *self.table)[index - 1]

    def indexed(self, *numbers: int, think: str) -> None:
        """Say the entries of these numbers, and nothing else."""
        block = b"".join(number(index, 7, 0b1000_0000) for index in numbers)
        self.says(block, [self.entry(index) for index in numbers], think, numbers)

    def written(self, *said: tuple[str, Field], think: str) -> None:
        """Say these fields in one block, each as a literal of its kind."""
        block = b"".join(self.literal(*each) for each in said)
        self.says(block, [field for _, field in said], think)

    def says(self, block: bytes, fields: list[Field], think: str, numbers: tuple[int, ...] = ()) -> None:
        """Say a block; raise `Wrong` unless the decoder finds these fields in it."""
        said = block[:20].hex(" ") + " …" * (len(block) > 20)
        found = self._tell(block, f", when it read {said}", think)
        if not isinstance(found, list | tuple) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in found
        ):
            raise Wrong(f"returned {shown(found)} for {said}", "what is asked for: a list of (name, value)")
        found = [tuple(map(_words, pair)) for pair in found]
        for place, (mine, field) in enumerate(zip(found, fields, strict=False)):
            if mine == field[::-1] != field:
                raise Wrong(f"read {said} as {mine}", "which of the two comes first")
            if mine != field:
                is_, was = f"{mine!r:.90}", f"{field!r:.90}"
                if numbers:
                    was = f"entry number {numbers[place]}, {was},"
                    if mine in (entries := [*STATIC, *self.table]):
                        is_ = f"entry number {entries.index(mine) + 1}, {is_}"
                raise Wrong(f"read {is_} in {said}, where {was} was said", think)
        if len(found) < len(fields):
            think = "what comes after a field: the next one, up to the end of the block"
        if len(found) != len(fields):
            raise Wrong(f"found {len(found)} of {len(fields)} fields in {said}", think)

    def kept(self, think: str) -> None:
        """Raise `Wrong` unless the decoder's table has as many entries of its own as this one."""
        count, mine = self._tell(None, "", think), len(self.table)
        if count != mine:
            raise Wrong(f"left 61 + {count} entries in the table, where the peer has 61 + {mine}", think)

    def _tell(self, block: bytes | None, when: str, think: str) -> Any:
        told = self.program.tell("call", block, self.begins)
        self.begins = False
        if told["errors"]:
            wrong = raised(told["errors"][0], when)
            raise Wrong(wrong.happened, think) if told["errors"][0].startswith(_SLIPS) else wrong
        return told["result"]


def _words(part: Any) -> Any:
    return part.decode(errors="replace") if isinstance(part, bytes) else part
