"""The tasks of notebook 03: long polling."""

from __future__ import annotations

from typing import Any

from .. import models
from .answers import expect, lines
from .observer import Answer, Client, Message, Scene, Wrong, ids
from .task import Make, Quick, a_handler

#: How long [s] a handler may do something else, such as looking up its user, before it waits or answers.
_MOMENT_S = 1.0
_WAKE = "who could wake the request at the moment of the publish"
_READY = "what can happen at each `await` between the look at the messages and the wait"
_ENDS = "who takes a function out again, whichever way the request ends"
_LACKS = "which messages a client with a cursor lacks"
_ALL = "how much goes into one answer: everything after the cursor"


def _held_back(message: Message) -> Wrong:
    return Wrong(
        f"held back message {message.id}, published while the handler was getting ready to wait", _READY
    )


def _still_held() -> Wrong:
    return Wrong(
        "still held a request a minute after its hold was over",
        "what ends a request for which no message comes",
    )


def _hold_s(scene: Scene) -> float:
    return scene.draw.choice([3, 7, 12, 25, 45]) + scene.draw.randrange(10) / 10


def _ask(client: Client, **query: Any) -> Answer | None:
    """Ask; the answer if it comes within the moment that a look-up takes."""
    if answer := client.ask(**query):
        return answer
    client.scene.settle(_MOMENT_S)
    return client.answers[-1] if _answered(client) else None


def _answered(client: Client) -> bool:
    return client.requests == len(client.answers)


def _release(scene: Scene, client: Client) -> list[Message]:
    """Publish a message, and give the handler the time that it may take to send it."""
    news = scene.publish()
    if not _answered(client):
        scene.settle(_MOMENT_S)
    return news


def _not_yet(client: Client, cursor: int, hold_s: float, asked_s: float) -> None:
    """Raise `Wrong` if a request has been answered, although there is no news for it yet."""
    if not _answered(client):
        return
    expect(client, [], f"a request with cursor={cursor}", _LACKS)
    left_s = hold_s - (client.answers[-1].at_s - asked_s)
    raise Wrong(
        f"answered a request with nothing, {left_s:.3g} s before its hold was over",
        "what a request waits for, and what may end it before",
    )


def answers(scene: Scene) -> None:
    news = scene.publish(3)
    client = scene.client()
    for cursor in (0, scene.draw.choice([1, 2])):
        if _ask(client, cursor=cursor, hold=_hold_s(scene)) is None:
            raise Wrong(
                f"held a request with cursor={cursor}, although {ids(news[cursor:])} had been published",
                "what to look at first, before a request may wait",
            )
        got = lines(client.answers[-1])
        if got and got != news[cursor:] and got == news[cursor:][: len(got)]:
            raise Wrong(
                f"answered a request with cursor={cursor} with {ids(got)} only, where the client lacks "
                f"{ids(news[cursor:])}",
                _ALL,
            )
        expect(client, news[cursor:], f"a request with cursor={cursor}", _LACKS)
    news += scene.publish(25)
    if _ask(client, cursor=1, hold=_hold_s(scene)) is None:
        raise Wrong("held a request, although 27 messages had been published", "what to look at first")
    expect(client, news[1:], "a client that was away for long, with cursor=1", _ALL)


def holds(scene: Scene) -> None:
    client, hold_s = scene.client(), _hold_s(scene)
    if answer := client.ask(cursor=0, hold=hold_s):
        raise Wrong(
            f"answered at once (status {answer.status}), with nothing to tell",
            f"how a request can wait for the next message, here up to {hold_s:g} s",
        )
    scene.settle(hold_s * 0.6)
    if half := client.half() or client.answers:
        what = "answered" if client.answers else f"had begun to answer ({half[:20]!r})"
        raise Wrong(
            f"{what} after {client.answers[-1].at_s:.3g} s" if client.answers else what,
            f"how long the request said that it may be held: hold={hold_s:g}",
        )


def releases(scene: Scene) -> None:
    late_s, stirs, quiet_s = [], 0, 0.0
    for _ in range(2):
        scene.publish(scene.draw.choice([0, 2, 3]))
        cursor, asked_s = len(scene.published), scene.now_s
        clients = [scene.client() for _ in range(3)]
        for client in clients:
            client.ask(cursor=cursor, hold=30)
        scene.settle(_MOMENT_S)
        quiet_s += (pause_s := scene.draw.uniform(1, 20))
        scene.settle(pause_s)  # in which only a handler that does not wait has something to do
        stirs += len(scene.stirs)
        for client in clients:
            _not_yet(client, cursor, 30, asked_s)
        late_s.append(_told(scene, clients))
    # A look-up on the way takes its time whenever the message comes; a poll comes when it is due.
    if stirs and max(late_s) - min(late_s) > 1e-6:
        raise Wrong(
            f"woke up {stirs} time{'s' * (stirs > 1)} in {quiet_s:.3g} s in which nothing was published, and "
            f"answered {max(late_s):.2g} s after the message was published",
            _WAKE,
        )


def _told(scene: Scene, clients: list[Client]) -> float:
    """Publish; how long [s] after its publish the message came to the clients, all of which wait for it."""
    start_s, news = scene.now_s, scene.publish()
    if not all(map(_answered, clients)):
        scene.settle(_MOMENT_S)
    told = [client for client in clients if _answered(client)]
    if not told:
        scene.settle(2)
        if late := [client.answers[-1].at_s - start_s for client in clients if _answered(client)]:
            raise Wrong(f"answered {min(late):.2g} s after the message was published", _WAKE)
        raise Wrong("still held its requests after a message was published", _WAKE)
    if len(told) < len(clients):
        raise Wrong(
            f"held three requests, and the message released {len(told)} of them",
            "who else waits for the same message, and whether they all can be remembered",
        )
    for client in clients:
        expect(client, news, "a request that was held", "what the released request is to say")
    return max(client.answers[-1].at_s for client in clients) - start_s


def times_out(scene: Scene) -> None:
    late_s = []
    for hold_s in (_hold_s(scene), 2.5, 4):
        client = scene.client()
        start_s = scene.now_s
        client.ask(cursor=0, hold=hold_s)
        scene.settle(hold_s + 1.5)
        if not client.answers:
            scene.settle(60)
            if not client.answers:
                raise _still_held()
        took_s = client.answers[-1].at_s - start_s
        late_s.append(took_s - hold_s)  # the clock is the observer's: nothing is late by chance
        # A look-up makes every answer late alike; a hold of whole seconds is off by the part after the point.
        uneven = max(late_s) - min(late_s) > 0.3
        if uneven or not -0.3 <= late_s[-1] <= _MOMENT_S:
            raise Wrong(
                f"held a request with hold={hold_s:g} for {took_s:.3g} s",
                "what becomes of the part after the point: a hold need not be whole seconds"
                if abs(late_s[-1]) < 1
                else "who says how long it may be held",
            )
        if lines(client.answers[-1]):
            raise Wrong("sent a message at the end of a hold in which none was published", "what is new")
        if (status := client.answers[-1].status) != 204:
            raise Wrong(
                f"answered with status {status} and nothing in it at the end of a hold",
                "which status says that there is no content; the task asks for it",
            )
    other, asked_s = scene.client(), scene.now_s
    other.ask(cursor=0, hold=30)
    client.ask(cursor=0, hold=2.5)
    scene.settle(2.5 + 1.5)
    _not_yet(other, 0, 30, asked_s)  # its hold is its own


def loses_nothing(scene: Scene) -> None:
    client, gap = scene.client(), "the time between an answer and the next request"
    plan = [(2, 0), (1, 2), (3, 1), (1, 0)]
    scene.draw.shuffle(plan)
    cursor = 0
    for while_held, in_gap in [(1, 1), *plan, (1, 1), (0, 0)]:
        while missing := scene.published[cursor:]:
            if _ask(client, cursor=cursor, hold=30) is None:
                _release(scene, client)
                late = not _answered(client) or missing[0] in lines(client.answers[-1])
                raise Wrong(
                    f"{'held back' if late else 'lost'} {ids(missing)}, published while the client was "
                    "asking again",
                    gap,
                )
            # Some of it will do here, if the next request brings the rest; `answers` asks for all.
            got = max(1, len(lines(client.answers[-1])))
            expect(client, missing[:got], "the first request after the gap", gap)
            cursor += len(missing[:got])
        if while_held:
            asked_s = scene.now_s
            client.ask(cursor=cursor, hold=30)
            _not_yet(client, cursor, 30, asked_s)
            scene.publish(while_held)
            if not _answered(client):
                scene.settle(_MOMENT_S)
            if not _answered(client):
                _release(scene, client)
                if _answered(client):  # by now it listens
                    raise _held_back(scene.published[cursor])
                raise Wrong("did not release a request that a client sent on the same connection", _WAKE)
            # One message at a time will do: the next request follows at once.
            got = max(1, len(lines(client.answers[-1])))
            expected = scene.published[cursor : cursor + got]
            expect(client, expected, "a request that was held", "who remembers it")
            cursor += len(expected)
            scene.publish(in_gap)


def never_late(scene: Scene) -> None:
    for turns in range(8):
        client, cursor = scene.client(), len(scene.published)
        message = scene.race(turns)
        if _ask(client, cursor=cursor, hold=30) is None:
            raise _held_back(message)
        expect(client, [message], "a request that had just come", "each `await` on the way")
    for steps in range(1, 6):  # each `await` that takes time ends so, and the next one may begin
        client, cursor = scene.client(), len(scene.published)
        client.ask(cursor=cursor, hold=30)
        if not all(scene.stirs_within(_MOMENT_S) for _ in range(steps)):
            break
        [message] = _release(scene, client)
        if not _answered(client):
            raise _held_back(message)
        expect(client, [message], "a request that had just come", "each `await` on the way")


def tidies_up(scene: Scene) -> None:
    client, before = scene.client(), scene.waiting()
    for cursor in range(3):
        client.ask(cursor=cursor, hold=30)
        scene.settle(_MOMENT_S)
        _release(scene, client)
        if not _answered(client):
            raise Wrong("did not release a request that a client sent on the same connection", _WAKE)
    for _ in range(2):
        client.ask(cursor=3, hold=5)
        scene.settle(5 + _MOMENT_S)
        if not _answered(client):
            scene.settle(60)
        if not _answered(client):
            raise _still_held()
    if scene.listeners:  # before the next message, at which a function may take itself off
        raise Wrong(
            f"left {scene.listeners} functions in `room.listeners` after the hold of their requests was over",
            _ENDS,
        )
    scene.publish(2)
    if scene.listeners:
        raise Wrong(
            f"left {scene.listeners} functions in `room.listeners` though no request waits any more", _ENDS
        )
    for cursor in (0, 2, 4):
        if _ask(client, cursor=cursor, hold=30) is None:
            _release(scene, client)  # `loses_nothing` has told that it held it back
        scene.settle(_MOMENT_S)
    if scene.listeners:
        raise Wrong(
            f"left {scene.listeners} functions in `room.listeners` after requests that it answered at once",
            _ENDS,
        )
    if (count := scene.waiting(before + 1) - before) > 1:
        raise Wrong(
            f"kept {count} requests in memory that have been answered",
            "who still knows the request, whichever way it ended",
        )


def forgets(scene: Scene) -> None:
    count = scene.draw.randrange(4, 8)
    stays, asked_s = scene.client(), scene.now_s
    stays.ask(cursor=0, hold=60)
    scene.settle(_MOMENT_S)
    before, kept = scene.listeners, scene.waiting()
    leaving = [scene.client() for _ in range(count)]
    for client in leaving:
        client.ask(cursor=0, hold=60)
    scene.settle(_MOMENT_S)  # by now each of them waits
    for client in leaving:
        client.leave()
    scene.settle(_MOMENT_S)
    left = scene.waiting(kept) - kept
    if (listening := scene.listeners - before) > 0:
        raise Wrong(
            f"still keeps {max(left, listening)} requests after {count} clients have left, for nobody",
            "how Tornado tells a handler that its client has gone",
        )
    if left > 0:
        raise Wrong(
            f"still keeps {left} requests after {count} clients have left, though no listener is left",
            "what ends the wait: the listener is gone, but `get` still waits",
        )
    _not_yet(stays, 0, 60, asked_s)
    news = _release(scene, stays)
    if not stays.answers:
        raise Wrong("forgot a client that stayed when others left", "whose request it is that ends")
    expect(stays, news, "the one client that stayed", "whose request it is that ends")


HOLD = Make(
    stub="`get` is still empty: let it wait for news, and begin with a request for which there is none yet",
    expected=a_handler(),
    stages=[
        [("holds a request when there is nothing to tell", holds)],
        [("releases every held request when a message is published", releases)],
        [
            ("answers with nothing when the hold is over", times_out),
            ("loses nothing that is published while a client asks again, and sends nothing twice",
             loses_nothing),
            ("leaves nothing behind when a request has been answered", tidies_up),
        ],
        [
            ("answers at once with all that a client lacks", answers),
            ("is not late when a message comes while it gets ready to wait", never_late),
            ("forgets a client that has left", forgets),
        ],
    ],
)  # fmt: skip

TASKS = {
    "hold": HOLD,
    "transits": Quick(
        models.long_polling_worst(gap_s=models.repoll_gap(delay_s=1, handshakes=2), delay_s=1),
        {
            1: "that is the luckiest message, the one that finds a request waiting",
            3: "that is keep-alive; here each request first needs a new connection",
            5: "that is TCP alone; TLS 1.3 adds a round trip of its own",
            6: "that is the gap; the message then travels, too",
            175: "that is in milliseconds; the question is how many transits",
        },
    ),
    "timer": Quick(
        0,
        {
            0.2: "that is the formula's share at random moments; where do a timer's fall in the strip?",
            **dict.fromkeys(
                (1 / 3, 0.33, 0.333),
                "that is the share at ten messages per second, at random moments; here it is a timer",
            ),
            0.5: "that is λG at ten messages per second, at random moments; here it is a timer",
            0.25: "that is the gap's part of the time; does a timer ever publish in it?",
            1: "the client asks again long before the next message comes",
        },
    ),
    "place": Quick(
        2,
        {
            1: "then the handler looks at the messages after the look-up, and finds what came meanwhile",
            3: "then the handler has stopped waiting; what came meanwhile is part of the answer",
        },
    ),
    "bug": Quick(
        2,
        {
            1: "then the look at the messages comes after the publish, and finds it",
            3: "then the request is already on the list when the message comes",
        },
    ),
}
