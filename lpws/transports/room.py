"""The room that all server halves share: a mailbox with requests that are held and streams that follow."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from hmac import compare_digest
from itertools import islice
from time import get_clock_info
from typing import Any

from ..decisions import Mailbox, Message
from ..trace import NONE, clock

#: The most clients, and strangers, that a room counts.
MOST_COUNTED = 20_000
#: How many held requests go on in one turn of the loop.
#: Performance: the plain version answers all in `publish`. With ten thousand, the loop then stands still for
#: 1.1 s, in which it first answers each and then reads what each asks next; so it does for 0.02 s, and the
#: last one has its answer as early.
AT_ONCE = 32
#: How much earlier [s] than asked a hold may end: a loop's timers have a resolution.
EARLY_S = 0.001 + 2 * get_clock_info("monotonic").resolution


class Room:
    """A mailbox with its listeners: requests that are held, and followers that get every message.

    Parameters
    ----------
    record
        Called with each event.
    hosts
        The values of ``Host`` that a request may have.
    origin
        The one other origin whose pages may reach this room, if any.
    prefix
        Beginning of every path: a slash and a token, if there is one.

    Attributes
    ----------
    listeners
        Functions that get every message, in the loop, when it is published. A handler adds its own, and
        discards it when its client has gone.
    """

    #: Errors that a handler raises when its client has just gone; the server sets them.
    gone: tuple[type[Exception], ...] = ()
    #: The longest log [characters] of a room that no run owns; see `Mailbox`.
    most = 4_000_000

    def __init__(
        self, record: Callable[[tuple], None], hosts: set[str], origin: str | None = None, prefix: str = ""
    ) -> None:
        self.mailbox = Mailbox(most=self.most)
        self.record = record
        self.hosts = hosts
        self.origin = origin
        self.prefix = prefix
        self.draining = False  # whether the server lets everybody go, before it restarts
        self.goodbye_s = 0.0  # when all will have been told to go, on `lpws.clock`
        self.proxied = False  # whether requests come through Jupyter's proxy, too: see `lpws.address`
        self.followers: dict[object, Callable[[Message], None]] = {}  # key → what takes each message
        self.streams: set[Any] = set()  # the `StreamHandler`s at present: SSE and WebSocket
        self.listeners: set[Callable[[Message], object]] = set()  # the same, of plain Tornado handlers
        self.goodbyes: set[Callable[[], None]] = set()  # what closes each WebSocket of a plain handler
        self.key = b""  # what the clients of a run show as ``run=…``; empty if everybody may ask
        self.strangers: Counter[int] = Counter()  # connection → how many requests without it came
        self.arrived: Counter[int] = Counter()  # client → how many requests of it came
        self.waiting: dict[object, asyncio.Future[list[Message]]] = {}
        self.released: dict[object, list[Message]] = {}  # of those, who goes on soon, with what

    def refusal(self, request: Any) -> str | None:
        """The reason to refuse the request; None if it is let in.

        A page of the web must not reach into the kernel. A name that was made to point here (DNS
        rebinding) shows in ``Host``, a foreign page in ``Origin`` (RFC 6455 §10.2). Another user of
        the machine does not know the token. Through a proxy comes what the browser sent, with the
        ``Host`` by which the reader knows the proxy: then it is the token that a rebound page lacks.

        An image or a frame on a foreign page sends no ``Origin``, and its answer cannot be read; but
        a request that is held or counted has done its harm by then. Browsers say where such a request
        comes from (Fetch Metadata, ``Sec-Fetch-Site``). A page of the room may be put into a frame,
        as notebooks do, by whoever knows the token; and a link may always be followed.
        """
        if "*" in self.hosts:
            return None
        if request.host not in self.hosts and not self.proxied:
            return "Unknown Host"
        origin = request.headers.get("Origin")
        known = (f"http://{host}" for host in self.hosts)  # made only for a request that names an origin
        own = self.proxied and origin and origin.partition("://")[2] == request.host
        if origin not in (None, self.origin) and not own and origin not in known:
            return "Foreign Origin"
        fetch = {name: request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest")}
        if origin is None and fetch["Site"] in ("cross-site", "same-site"):
            visit = fetch["Mode"] == "navigate" and (self.prefix or fetch["Dest"] == "document")
            if not visit:
                return "Foreign Page"
        if self.key and request.query_arguments.get("run") != [self.key]:
            return "Unknown Client"
        if self.prefix:
            start = request.path[: len(self.prefix) + 1].encode()
            # Compared in constant time: how long it takes does not tell how much of the token is right.
            if not compare_digest(start, f"{self.prefix}/".encode()):
                return "Wrong Token"
        return None

    def admit(self, hosts: Iterable[str]) -> None:
        """Let in requests that name one of these hosts, and pages that came from there; all, with ``"*"``."""
        self.hosts.update(hosts)

    def count(self, requests: Counter[int], whose: int) -> None:
        """Count a request in `arrived` or `strangers`; whoever invents clients does not fill the memory."""
        if whose in requests or len(requests) < MOST_COUNTED:
            requests[whose] += 1

    @property
    def messages(self) -> list[Message]:
        """All messages, oldest first: ``messages[cursor:]`` is what a client with that cursor lacks.

        In a room that no run owns, the oldest are forgotten when the log has more than `most` characters.
        """
        return self.mailbox.log

    @property
    def busy(self) -> bool:
        """True if a request is held, or a stream or a WebSocket is open."""
        return bool(self.waiting or self.streams or self.goodbyes)

    def publish(self, text: str) -> int:
        """Publish a text to everyone who listens; return the id of its message."""
        size = len(text.encode())  # first, since a lone surrogate raises here
        message, released = self.mailbox.publish(text)
        self.record((clock(), "published", "server", NONE, NONE, NONE, message.id, size))
        begin = not self.released
        self.released |= {who: [message] for who in released}
        if begin:
            self.release()
        for take in (*self.followers.values(), *self.listeners):
            try:
                take(message)
            except self.gone:
                pass  # its client has just gone
            except Exception:  # one listener that fails must not keep the message from the others
                said = f"a listener failed on message {message.id}"
                logging.getLogger("tornado.application").exception(said)
        return message.id

    async def ask(self, who: object, cursor: int | None, hold_s: float) -> list[Message]:
        """Messages for a request: at once if there are any, else when one comes or the hold ends.

        Parameters
        ----------
        who
            Key of the request, until it is answered.
        cursor
            Id of the last message that the client has; None if it keeps no cursor.
        hold_s
            The longest time [s] to hold the request; the answer is then empty.
        """
        self.released.pop(who, None)  # what an earlier request with this key did not wait for
        if self.draining:  # who comes now goes with the others
            hold_s = min(hold_s, random.uniform(0, max(0, self.goodbye_s - clock())))
        news = self.mailbox.ask(who, cursor, hold_s, clock())
        if news is not None:
            return news
        loop = asyncio.get_running_loop()
        self.waiting[who] = answer = loop.create_future()
        timer = loop.call_later(hold_s, self.expire, who)
        try:
            return await answer
        finally:
            timer.cancel()
            del self.waiting[who]
            self.mailbox.leave(who)

    def expire(self, who: object) -> None:
        """Answer a request with nothing, because its hold has ended."""
        if self.mailbox.expire(clock() + EARLY_S, [who]):
            self.leave(who)

    async def step_back(self, who: object) -> None:
        """Wait until all requests that are released by now have been answered."""
        if self.released:
            self.waiting[who] = turn = asyncio.get_running_loop().create_future()
            self.released[who] = []  # behind the others
            try:
                await turn
            finally:
                del self.waiting[who]

    def release(self) -> None:
        """Let the first of the released requests go on, and the others in the next turns of the loop."""
        for who in list(islice(self.released, AT_ONCE)):
            self.leave(who)
        if self.released:
            asyncio.get_running_loop().call_soon(self.release)

    def leave(self, who: object) -> None:
        """Let a held request go on, if it is one: with what has released it, or with nothing."""
        messages = self.released.pop(who, [])
        answer = self.waiting.get(who)  # which may be given, and not yet taken
        if answer is not None and not answer.done():
            answer.set_result(messages)

    def close(self, jitter_s: float = 0.0) -> None:
        """Answer every held request, with nothing unless it is released, and end every stream.

        Each at a random time within the jitter [s], if there is one.
        """
        self.goodbye_s = clock() + jitter_s
        ends = [partial(self.leave, who) for who in self.waiting]
        for end in [*ends, *(stream.end for stream in self.streams), *self.goodbyes]:
            if jitter_s:
                asyncio.get_running_loop().call_later(random.uniform(0, jitter_s), end)
            else:
                end()
