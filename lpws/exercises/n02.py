"""The tasks of notebook 02: short polling."""

from __future__ import annotations

from .. import models
from .answers import expect, lines
from .observer import Client, Scene, Wrong, ids
from .task import Make, Quick, a_handler


def _ask(client: Client, what: str, **query) -> None:
    """Ask; raise `Wrong` if no answer comes at once."""
    if client.ask(**query) is None:
        raise Wrong(f"gave no answer to {what}", "what ends a response, and whether a poll waits for it")


def answers(scene: Scene) -> None:
    news, client = scene.publish(3), scene.client()
    for cursor in (0, scene.draw.choice([1, 2])):
        _ask(client, f"cursor={cursor}", cursor=cursor)
        expect(
            client,
            news[cursor:],
            f"a request with cursor={cursor}",
            "which messages a client with this cursor lacks",
        )
    news += scene.publish(25)
    _ask(client, "cursor=1", cursor=1)
    think = "how much goes into one answer: everything after the cursor"
    expect(client, news[1:], "a client that was away for long, with cursor=1", think)


def repeats(scene: Scene) -> None:
    news, client, other = scene.publish(4), scene.client(), scene.client()
    for each, cursor in ((client, 1), (other, 3), (client, 1), (other, 0)):
        _ask(each, f"cursor={cursor}", cursor=cursor)
        think = "what decides which messages to send: the request, or something that the server remembers"
        expect(each, news[cursor:], f"a client that asked (again) with cursor={cursor}", think)


def has_nothing(scene: Scene) -> None:
    client, newest = scene.client(), 0
    for count in (0, 2):
        newest += len(scene.publish(count))
        _ask(client, "a client that has everything", cursor=newest)
        answer = client.answers[-1]
        if sent := lines(answer):
            raise Wrong(f"sent {ids(sent)} to a client that had everything", "which messages it lacks")
        if answer.status != 204:
            raise Wrong(
                f"answered with status {answer.status} when there was nothing to send",
                "the status that says: there is no content",
            )


def begins(scene: Scene) -> None:
    news, client = scene.publish(2), scene.client()
    _ask(client, "a request without a cursor")
    if client.answers[-1].status >= 400:
        raise Wrong(
            f"answered with status {client.answers[-1].status} to a request without a cursor",
            "what a client sends that has nothing yet",
        )
    expect(client, news, "a request without a cursor", "what a client lacks that has nothing yet")


def refuses(scene: Scene) -> None:
    client, newest = scene.client(), len(scene.publish(3))
    beyond = newest + scene.draw.randrange(1, 50)
    for cursor in (beyond, -scene.draw.randrange(1, 3), "two", "1.5", "", "²"):
        _ask(client, f"cursor={cursor}", cursor=cursor)
        if (status := client.answers[-1].status) != 400:
            raise Wrong(
                f"answered with status {status} to cursor={cursor}, where message {newest} was the newest",
                "which cursors a client can have, and how to tell it that it has another",
            )
    _ask(client, f"cursor={newest}", cursor=newest)
    if client.answers[-1].status >= 400:
        raise Wrong(
            f"refused cursor={newest}, the number of the newest message", "which cursors a client can have"
        )


def is_not_cached(scene: Scene) -> None:
    client = scene.client()
    for cursor, when in ((0, "with nothing to send"), (0, "with a message to send")):
        _ask(client, f"cursor={cursor}", cursor=cursor)
        if "no-store" not in client.answers[-1].headers.get("cache-control", "").lower():
            raise Wrong(
                f"answered {when}, and did not say that caches must not keep the answer",
                "a cache on the way that answers the next poll by itself",
            )
        scene.publish()


CURSOR = Make(
    stub="`get` is still empty: look at the cursor, and send what comes after it",
    expected=a_handler(),
    stages=[
        [("answers with the messages that a client lacks, in order", answers)],
        [
            ("gives every client that asks the same question the same answer", repeats),
            ("says 204 when there is nothing to send", has_nothing),
        ],
        [
            ("gives a client without a cursor everything", begins),
            ("says 400 to a cursor that no client can have", refuses),
            ("tells caches not to keep its answers", is_not_cached),
        ],
    ],
)

TASKS = {
    "cursor": CURSOR,
    "empty": Quick(
        1 - models.nonempty_share(rate_hz=0.1, interval_s=2.0),
        {
            0.2: "that is λC, the messages per interval; with which chance does an interval have none?",
            0.18: "that is the share that finds something",
            0.8: "that would be so if no two messages ever shared an interval",
            82: "that is in percent; a share goes from 0 to 1",
            0.9: "that is for an interval of one second",
        },
        within=0.01,
    ),
    "reload": Quick(
        models.reload_latency(pause_s=1.0, delay_s=0),
        {
            0.5: "that is a timer's. Into which pauses do more messages fall, the short or the long ones?",
            2.0: "that is the pause into which a message falls; how much of it is left by then?",
        },
        within=0.05,
    ),
    "sleep": Quick(
        1.0 + 2 * 0.3,
        {
            1.0: "that is the sleep; the interval runs from one request to the next",
            1.3: "there is a way back as well",
            0.6: "that is the round trip, which comes on top of the sleep",
        },
        within=0.01,
    ),
}
