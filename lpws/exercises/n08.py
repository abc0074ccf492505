"""The tasks of notebook 08: dead lines, and a heartbeat that finds them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .observer import Scene, Wrong
from .program import Program
from .task import Make, Quick, a_handler
from .web import CLOSE, PING, PONG, TEXT, Frame, WebClient, frame

#: The observer looks so many times within a timeout; what it says of times is true to one of these steps.
LOOKS = 10
_DUE = "when the next ping is due, and how the wait for the pong counts towards it"


class Peer(WebClient):
    """A client that pays attention to pings, and answers them as it is told to.

    Parameters
    ----------
    scene
        Where it joins.
    """

    scene: Heartbeats

    def __init__(self, scene: Heartbeats) -> None:
        interval_s, timeout_s = scene.interval_s, scene.timeout_s
        super().__init__(scene, len(scene.clients) + 1, interval=interval_s, timeout=timeout_s)
        self.pings: list[tuple[float, bytes]] = []  # when each was seen [s], and what it says
        self.life_s = scene.now_s  # its last sign of life
        self.end_s: float | None = None  # when the server gave it up, by a Close frame or without one
        self.gone = False  # whether the connection itself is closed
        self.frames: list[Frame] = []  # all that were read by `look`

    def look(self) -> None:
        """Read the frames that have come, without a word to the server."""
        with suppress(BlockingIOError):
            while more := self._read():
                self.data += more
            self.gone = True
            self._end()
        while got := self._next():
            self.frames.append(got)
            if got.opcode == PING:
                self.pings.append((self.scene.now_s, got.payload))
            elif got.opcode == CLOSE:
                self._end()

    def _read(self) -> bytes:
        """Bytes that are here already; none if the connection has ended."""
        before = self.socket.gettimeout()
        self.socket.setblocking(False)
        try:
            return self.socket.recv(65_536)
        except ConnectionError:
            return b""
        finally:
            self.socket.settimeout(before)

    def _end(self) -> None:
        if self.end_s is None:
            self.end_s = self.scene.now_s

    def say(self, opcode: int, payload: bytes = b"") -> None:
        """Give a sign of life, and wait until the server has come to it."""
        with suppress(OSError):
            self.socket.sendall(frame(opcode, payload, self.scene.draw.randbytes(4)))
        self.life_s = self.scene.now_s
        heard = self.hear()
        self.pings += [(self.scene.now_s, got.payload) for got in heard if got.opcode == PING]
        if self.ended:
            self._end()


class Heartbeats(Scene):
    """A heartbeat, with peers around it that live and die.

    Parameters
    ----------
    program, draw
        As for a `Scene`.
    """

    def __init__(self, program: Program, draw: random.Random) -> None:
        super().__init__(program, draw)
        self.interval_s = draw.randrange(40, 160) / 4 + 0.25
        self.timeout_s = round(self.interval_s * draw.uniform(0.3, 0.7), 2)
        self.step_s = self.timeout_s / LOOKS

    def join(self) -> Peer:
        """One more peer."""
        peer = Peer(self)
        peer.look()
        return peer

    def pass_by(self, seconds: float, *acts: Callable[[], Any]) -> None:
        """Let the time pass in steps, and let each peer act after each of them."""
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-6:
            self.settle(min(self.step_s, end_s - self.now_s))
            for act in acts:
                act()

    def _heed(self, told: dict[str, Any]) -> None:
        try:
            super()._heed(told)
        except Wrong as wrong:
            if "WebSocketClosedError" in wrong.happened:
                raise Wrong("sent a ping over a connection that was closed, or closing",
                            "what stops the timer: on_close may come 5 s later") from None  # fmt: skip
            raise


def lives(peer: Peer, after_s: float = 0.0, busy_s: float | None = None) -> Callable[[], None]:
    """Act of a living peer: it answers a ping after a time, or is busy and speaks of something else."""
    answered = 0
    spoke_s = -1.0

    def act() -> None:
        nonlocal answered, spoke_s
        peer.look()
        now_s = peer.scene.now_s
        if peer.end_s is not None or len(peer.pings) == answered:
            return
        at_s, mark = peer.pings[answered]
        if now_s >= at_s + after_s - 1e-6:
            answered += 1
            peer.say(PONG, mark)
        elif busy_s is not None and spoke_s < at_s and now_s >= at_s + busy_s - 1e-6:
            spoke_s = now_s
            peer.say(TEXT, b"more of a long story")

    return act


def _stays(peer: Peer, who: str, think: str) -> None:
    """Raise `Wrong` if the server has given up a peer that lives."""
    if peer.end_s is not None:
        last = f"{peer.end_s - peer.life_s:.3g} s after its last sign of life"
        raise Wrong(f"closed the connection of {who}, {last}", think)


def pings(scene: Heartbeats) -> None:
    peer, begin_s = scene.join(), scene.now_s
    scene.pass_by(3.5 * scene.interval_s, lives(peer))
    if not peer.pings:
        raise Wrong(f"sent no ping in {3.5 * scene.interval_s:.3g} s", _DUE)
    _stays(peer, "a client that answered every ping at once",
           "what a pong says, what remembers it, and how long it may take")  # fmt: skip
    _on_time(peer, begin_s, 3)


def _on_time(peer: Peer, begin_s: float, count: int, whom: str = "") -> None:
    """Raise `Wrong` unless so many pings came, one per interval."""
    interval_s = peer.scene.interval_s
    times = [at_s - begin_s for at_s, _ in peer.pings]
    late_s = [at_s - n * interval_s for n, at_s in enumerate(times, 1)]
    if len(times) != count or min(late_s) < -1e-6 or max(late_s) > 2 * peer.scene.step_s:
        said = ", ".join(f"{at_s:.3g}" for at_s in times[:5])
        raise Wrong(f"pinged {whom}after {said} s, where the interval was {interval_s:g} s", _DUE)


def finds(scene: Heartbeats) -> None:
    for beats in (0, 2):
        peer = scene.join()
        if beats:
            scene.pass_by(scene.interval_s * beats + scene.step_s, lives(peer))
        bound_s = scene.interval_s + scene.timeout_s
        limit_s = peer.life_s + bound_s + 2 * scene.step_s
        who = f"a client that {'answered two pings and then' if beats else 'joined and'} fell silent"
        while peer.end_s is None and scene.now_s < limit_s:
            scene.settle(scene.step_s)
            peer.look()
        if peer.end_s is None:
            raise Wrong(
                f"still keeps {who}, {scene.now_s - peer.life_s:.3g} s after its last sign of life, "
                f"where {bound_s:.3g} s were allowed",
                "what checks for a sign of life when the timeout is over",
            )
        asked = [at_s for at_s, _ in peer.pings if at_s > peer.life_s]
        if not asked or peer.end_s < asked[0] + scene.timeout_s - 2 * scene.step_s:
            waited = f"{peer.end_s - asked[0]:.3g} s after its ping" if asked else "without a ping"
            raise Wrong(
                f"gave {who} up {waited}, where it was to wait {scene.timeout_s:g} s",
                "when the timeout begins, and in which unit it is measured",
            )
        peer.leave()


def spares_the_slow(scene: Heartbeats) -> None:
    peer, begin_s = scene.join(), scene.now_s
    scene.pass_by(4.5 * scene.interval_s, lives(peer, 0.8 * scene.timeout_s))
    _stays(peer, "a slow client, whose pong came in time", "to which ping the timeout belongs")
    _on_time(peer, begin_s, 4, "a slow client ")


def spares_the_busy(scene: Heartbeats) -> None:
    peer, begin_s = scene.join(), scene.now_s
    scene.pass_by(3.5 * scene.interval_s, lives(peer, 1.2 * scene.timeout_s, 0.5 * scene.timeout_s))
    _stays(peer, "a busy client, which had sent a message with its pong behind it",
           "what else is a sign of life")  # fmt: skip
    _on_time(peer, begin_s, 3, "a busy client ")


def one_by_one(scene: Heartbeats) -> None:
    living = [scene.join(), scene.join()]
    acts = [lives(peer) for peer in living]
    dead = scene.join()
    scene.pass_by(scene.interval_s / 3, *acts)
    late = scene.join()
    acts.append(lives(late))
    scene.pass_by(2.2 * scene.interval_s, *acts, dead.look)
    think = "whose pong it is, and whose timer"
    for peer in [*living, late]:
        _stays(peer, "a client that answered, beside another that was dead", think)
    if dead.end_s is None:
        raise Wrong("kept a dead client because others beside it lived", think)


def stops(scene: Heartbeats) -> None:
    scene.settle(300)  # what the scenes before have left has come to its end, if it has one
    # One leaves between two pings, one between a ping and its timeout; one says goodbye, one does not.
    for wait_s in (0.4 * scene.interval_s, scene.interval_s + 0.4 * scene.timeout_s):
        for polite in (True, False):
            kept, peer = scene.waiting(), scene.join()
            scene.pass_by(wait_s, peer.look)
            if polite:
                with suppress(OSError):
                    peer.socket.sendall(frame(CLOSE, b"\x03\xe9", scene.draw.randbytes(4)))
            peer.leave()
            scene.settle()
            _tidied(scene, kept, "had left")
            scene.settle(3 * scene.interval_s)


def silent_after_close(scene: Heartbeats) -> None:
    scene.settle(300)
    # The next ping would be due while Tornado waits for the answer to its Close frame, 5 s.
    scene.interval_s = scene.draw.randrange(6, 9)
    scene.timeout_s = scene.interval_s - 2
    kept, peer = scene.waiting(), scene.join()
    scene.pass_by(5 * scene.interval_s, peer.look)
    opcodes = [got.opcode for got in peer.frames]
    if CLOSE in opcodes and opcodes[-1] != CLOSE:
        raise Wrong("sent frames to a client after the Close frame that gave it up",
                    "what stops the timer when you give up")  # fmt: skip
    _tidied(scene, kept, "was dead, and given up,")


def _tidied(scene: Heartbeats, kept: int, how: str) -> None:
    """Raise `Wrong` if a handler is kept whose client is no more."""
    if scene.waiting(kept) > kept:
        raise Wrong(
            f"keeps the handler of a client that {how} in memory",
            "the timer that still runs for it: what stops the timer, and when",
        )


TASKS = {
    "heartbeat": Make(
        stub="the methods are still empty; begin with `open`: what is to happen after one interval?",
        expected=a_handler("tornado.websocket", "WebSocketHandler"),
        stages=[
            [("pings a client once per interval", pings)],
            [("finds the dead within interval + timeout, and not before the timeout is over", finds)],
            [
                ("spares the slow, whose pong comes just in time", spares_the_slow),
                ("spares the busy, who speak before their pong comes", spares_the_busy),
                ("takes nobody's pong for another's", one_by_one),
            ],
            [
                ("stops its timer when a client leaves", stops),
                ("sends nothing to a client that it has given up, and forgets it", silent_after_close),
            ],
        ],
        scene=Heartbeats,
    ),
    "latest": Quick(
        30 + 10 + 5,
        {
            40: "that is when the pong is overdue; what does Tornado do then?",
            10: "that is the timeout; when does the ping leave?",
            30: "that is the latest moment for the next ping; and then?",
            35: "that is without the timeout: how long may the pong take?",
            15: "that is the earliest; the path may die just after a ping was answered",
            20: "is a ping sent the moment the path dies?",
            25: "that is the average time until the pong is overdue",
        },
    ),
    "keepalive": Quick(
        0,
        {
            100: "who answers the probe: the phone, or the machine where the TCP connection ends?",
            50: "they all vanish in the same way; who answers the probe for each of them?",
            1: "nginx is one machine, but it lives and answers; what does the server learn of the phones?",
        },
    ),
}  # fmt: skip
