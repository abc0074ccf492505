"""The chat with which the series opens: one call, one room for as long as the kernel lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..address import LivePage, live_page
from .handlers import WAYS
from .host import Host
from .room import ChatRoom
from .server import ChatServer

#: What the room looks like, for whoever reads the notebook without a kernel.
_PICTURE = Path(__file__).parent / "still.png"
_SMALL = Path(__file__).parent / "still_small.png"  # `lpws.figures.picture.halved` made it
_INSTEAD = (
    "When you run this cell, a chat opens here, with a friendly robot in it. You choose how its messages "
    "reach you: by reload, short polling, long polling, SSE or WebSocket."
)
_SHOWN = (
    "A chat in a small window. Above the conversation is a row of five choices: reload, short polling, long "
    "polling, SSE, WebSocket. Ada asks for tea, and a robot called Robin tells her when it is ready; behind "
    "each message stands how many milliseconds it took. Below, a strip shows requests as bars over time."
)


class _HostedRoom(ChatRoom):
    """A room with a host."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Host(self)


class _OpenChat(ChatServer):
    """A server whose room has a host."""

    def __init__(self) -> None:
        super().__init__()
        self.room_class = _HostedRoom


_chat: _OpenChat | None = None


def open_chat(*, by: str = "WebSocket", height: int = 420) -> LivePage:
    """Open the chat, with its robot, here in the notebook: the last line of a cell.

    However often it is called, the room is the same, until it is stopped or the kernel ends. While
    nobody speaks, it does nothing.

    Parameters
    ----------
    by
        Label of the transport that is chosen at first.
    height
        Of the window [px].

    Raises
    ------
    ValueError
        If there is no such transport.

    Examples
    --------
    >>> page = open_chat(by="long polling")
    >>> [person.name for person in page.server.people]
    ['Robin']
    >>> page.server.stop()
    """
    if by not in WAYS:
        raise ValueError(f"expected by to be one of {', '.join(WAYS)}, got {by!r}")
    global _chat
    if _chat is None or not _chat.running:
        _chat = _OpenChat().start()
    return live_page(
        _chat, f"/#by={quote(by)}", height=height, title="A chat with a robot",
        instead=_INSTEAD, picture=_PICTURE, small=_SMALL, shows=_SHOWN,
    )  # fmt: skip
