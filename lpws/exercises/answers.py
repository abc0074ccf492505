"""The answers of a reader's handler, compared with what was published."""

from __future__ import annotations

from .observer import Answer, Client, Message, Wrong, ids


def lines(answer: Answer) -> list[Message]:
    """The messages in the answer to a poll.

    Raises
    ------
    Wrong
        If it is not lines of an id and a text.
    """
    if answer.status not in (200, 204):
        raise Wrong(f"answered with status {answer.status}", "what a client that asks is to be told")
    try:
        text = answer.body.decode()
        found = [line.partition(" ") for line in text.removesuffix("\n").split("\n") if text.strip()]
        return [Message(int(id), text) for id, _, text in found]
    except ValueError:
        raise Wrong(
            f"answered {answer.body[:60]!r}, where a client expects lines such as b'7 tea is ready\\n'",
            "what goes over the connection: a message is a line, its id first",
        ) from None


def expect(client: Client, expected: list[Message], request: str, think: str) -> None:
    """Raise `Wrong` unless the client's last answer, to such a request, carries these messages."""
    got = lines(client.answers[-1])
    if got == expected:
        return
    if not got:
        raise Wrong(f"answered {request} with nothing, where {ids(expected)} should have come", think)
    if sorted(got) == sorted(expected):
        raise Wrong(f"sent {ids(got)}, in this order", "the order in which a reader wants to hear them")
    compare(got, client.scene.published)
    if len(got) > len(set(got)):
        raise Wrong(f"sent {ids(got)} in one answer", "how often a client wants to hear a message")
    if lost := [message for message in expected if message not in got]:
        raise Wrong(f"lost {ids(lost)} in its answer to {request}, which carried {ids(got)}", think)
    again = [message for message in got if message not in expected]
    raise Wrong(f"sent {ids(again)} again, which the client said it had", "what a cursor says")


def compare(got: list[Message], published: list[Message]) -> None:
    """Raise `Wrong` if a message does not say what was published under its number."""
    texts = dict(published)
    for id, text in got:
        if texts.get(id) != text:
            truth = f"which was {texts[id]!r}" if id in texts else "and there is no such one"
            if id in texts and text == texts[id] + "\r":
                raise Wrong(f"sent {text!r} as message {id}, {truth}", "how a line ends here: with \\n alone")
            raise Wrong(
                f"sent {text!r} as message {id}, {truth}",
                "the number and the text that a message has in the room, and where the next one begins",
            )
