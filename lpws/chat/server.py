"""The server of a chat, as a notebook has it."""

from __future__ import annotations

from tornado.web import RequestHandler

from ..run import Run
from ..server.server import Server
from ..specs import Link
from ..trace import clock
from . import page, record
from .handlers import HANDLERS
from .room import ChatRoom, Times
from .roster import Person


class ChatServer(Server):
    """A server with a chat: its page is at `url`, whose token lets in whoever knows it.

    Parameters
    ----------
    origin, handlers
        As `lpws.Server` has them; a handler may take the place of one of the chat's.
    times
        How long the pages wait for what, and how often somebody may speak; ``Times().faster(100)`` lets
        an hour pass in 36 seconds.

    Examples
    --------
    >>> with ChatServer() as chat:
    ...     chat.people
    []
    """

    room: ChatRoom

    def __init__(
        self,
        *,
        origin: str | None = None,
        handlers: dict[str, type[RequestHandler]] | None = None,
        times: Times | None = None,
    ) -> None:
        super().__init__(
            origin=origin, handlers={page.PATH: page.Page} | HANDLERS | (handlers or {}), token=True
        )
        self.robots: dict[str, str] = {}  # name → secret of the last robot that had it
        self.room_class = type("ChatRoom", (ChatRoom,), {"times": times or Times()})

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"{self.url}/"

    def url_over(self, address: tuple[str, int]) -> str:
        """Address of the page by way of a link that listens at this address."""
        host = "{}:{}".format(*address)
        self.admit(host)
        return f"http://{host}{self.prefix}/"

    @property
    def people(self) -> list[Person]:
        """The people who are here, in the order in which they came."""
        return self.room.roster.here

    @property
    def said(self) -> list[dict]:
        """The messages, oldest first: each with `name`, `by`, `text` and when it was `typed`."""
        return [message for message in record.told(self.room) if message["kind"] == "said"]

    def collect(self) -> None:
        """Ask the pages for what they recorded; those that hear of it send it, at once."""
        self.thread.call(self.room.tell, "report")

    def cut(self) -> int:
        """Close every open connection, as a failing network does; return how many."""

        def close() -> int:
            streams = list(self._streams)
            for stream in streams:
                stream.close()
            return len(streams)

        return self.thread.call(close)

    def run(self, name: str, link: Link | None = None, after: int = 0) -> Run:
        """The run of one person, from their arrival or their latest choice of a transport.

        Parameters
        ----------
        name
            The person's name.
        link
            The link between them and the server, if there was one.
        after
            Id of a message; the run begins with the next one.

        Raises
        ------
        ValueError
            If nobody of this name came, or if there is no message with this id.
        """
        everybody = {person.name: person for person in self.room.roster.everybody}
        if name in everybody and everybody[name].by not in record.TRANSPORTS:
            raise ValueError(f"expected somebody who listens by a transport; {name} {everybody[name].by}")
        if name not in everybody:
            known = ", ".join(everybody) or "nobody"
            raise ValueError(f"expected the name of somebody who came ({known}), got {name!r}")
        last = self.room.mailbox.last
        if not (isinstance(after, int) and 0 <= after <= last):
            raise ValueError(f"expected after to be the id of a message, at most {last}, got {after!r}")
        return record.run_of(list(self.trace), everybody[name], clock(), link, after)
