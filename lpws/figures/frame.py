"""One WebSocket frame, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.patches import Rectangle

from .labels import write
from .panel import axes, entitle
from .style import GRAY, INK, LOOK, MEDIUM, SMALL, TRANSPORT_STYLE

ACROSS = 32  # bits in a row, as RFC 6455 §5.2 draws them
ROWS = 6  # of which a long frame shows its beginning
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
#: Field → its ground.
GROUNDS = {
    "FIN": "#e3dfd8", "RSV": "#f3f1ed", "opcode": "#e8c6da", "MASK": "#e3dfd8", "length": "#bcd9ec",
    "masking key": "#fbe3b3", "payload": "#d9efe6",
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """Some bits of a frame: from where to where, and what they say."""

    name: str
    begin: int
    end: int
    says: str


def fields(frame: bytes) -> list[Field]:
    """The fields of a frame (RFC 6455 §5.2).

    >>> [field.says for field in fields(b"\\x81\\x03tea")]
    ['whole', '0', 'text', 'no', '3 bytes', 'tea']

    Raises
    ------
    ValueError
        If that is not one whole frame.
    """
    if len(frame) < 2:
        raise ValueError(f"expected a frame of at least 2 bytes, got {len(frame)}")
    short = frame[1] & 0x7F
    wide = {126: 2, 127: 8}.get(short, 0)
    masked = frame[1] >> 7
    head = 2 + wide + 4 * masked
    length = int.from_bytes(frame[2 : 2 + wide], "big") if wide else short
    if len(frame) != head + length:
        raise ValueError(f"expected one frame of {head + length} bytes, as its head says, got {len(frame)}")
    key, payload = frame[head - 4 : head] if masked else bytes(4), frame[head:]
    plain = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    opcode = frame[0] & 0x0F
    result = [
        Field("FIN", 0, 1, "whole" if frame[0] >> 7 else "more follows"),
        Field("RSV", 1, 4, f"{frame[0] >> 4 & 7}"),
        Field("opcode", 4, 8, OPCODES.get(opcode, f"reserved: {opcode}")),
        Field("MASK", 8, 9, "yes" if masked else "no"),
        Field("length", 9, 16 + 8 * wide, f"{length:,} byte" + "s" * (length != 1)),
    ]
    if masked:
        result.append(Field("masking key", 8 * (head - 4), 8 * head, key.hex(" ")))
    if length:
        result.append(Field("payload", 8 * head, 8 * len(frame), plain.decode("utf-8", "replace")))
    return result


@rc_context(LOOK)
def frame_bits(frame: bytes, *, title: str | None = None, ax=None):
    """A WebSocket frame as it is on the wire: every bit, and the fields to which they belong.

    Four bytes make a row; below each stands its value, and below those of a payload the letter that they
    are (after unmasking). Of a long frame, the beginning is drawn.

    Parameters
    ----------
    frame
        One whole frame.
    title
        A title in place of the figure's own.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    Axes
    """
    known = fields(bytes(frame))
    shown = min(-(-8 * len(frame) // ACROSS), ROWS)
    ax = axes(ax, 7.5, 0.5 + 0.95 * shown, left=0.2, right=0.2)
    ax.set(xlim=(-0.1, ACROSS + 0.1), ylim=(-2.05 * shown + 0.7, 1.0))
    ax.set_axis_off()
    for field in known:
        _cells(ax, field, frame, shown)
    names = {field.name: field.says for field in known}
    rest = 8 * len(frame) - ACROSS * shown
    if rest > 0:
        words = f"… and {rest // 8:,} more bytes of payload"
        write(ax, words, (0, -2.05 * shown + 0.7), (0, -6), fontsize=MEDIUM, color=GRAY, va="top")
    masked = "masked" if names["MASK"] == "yes" else "not masked"
    note = (
        f"{names['opcode']}, {names['FIN']}, {masked}: {names['length']} of payload in {len(frame):,} bytes"
    )
    entitle(ax, title or "One frame, bit by bit", note)
    return ax


def _cells(ax, field: Field, frame: bytes, shown: int) -> None:
    """The bits of a field, its name over them, and the values of its bytes below."""
    key = (
        frame[field.begin // 8 - 4 : field.begin // 8]
        if field.name == "payload" and frame[1] >> 7
        else bytes(4)
    )
    for bit in range(field.begin, min(field.end, ACROSS * shown)):
        row, x = divmod(bit, ACROSS)
        y = -2.05 * row
        value = frame[bit // 8] >> (7 - bit % 8) & 1
        cell = Rectangle((x, y - 0.5), 1, 1, facecolor=GROUNDS[field.name], edgecolor="white", linewidth=1)
        ax.add_patch(cell)
        ax.text(x + 0.5, y, f"{value}", fontsize=SMALL, ha="center", va="center_baseline", color=INK)
        if bit % 8 == 7:
            words = f"{frame[bit // 8]:02x}"
            if field.name == "payload":
                byte = frame[bit // 8] ^ key[(bit // 8 - field.begin // 8) % 4]
                words += f"  “{chr(byte)}”" if 0x20 <= byte < 0x7F else ""
            ax.text(x - 3, y - 0.62, words, fontsize=SMALL, ha="center", va="top", color=GRAY)
    for row in range(field.begin // ACROSS, shown):
        begin, end = max(field.begin, row * ACROSS), min(field.end, (row + 1) * ACROSS)
        if begin < end:
            middle = (begin + end) / 2 - row * ACROSS
            ink = TRANSPORT_STYLE["WebSocket"].ink if field.name == "opcode" else INK
            bold = "bold" if field.name == "opcode" else "normal"
            ax.text(
                middle,
                -2.05 * row + 0.62,
                field.name,
                fontsize=SMALL,
                ha="center",
                va="bottom",
                color=ink,
                fontweight=bold,
            )
            break
