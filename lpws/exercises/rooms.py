"""Rooms in many servers, as the observer sees them: what was said, what is stored, who heard what."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .observer import Calls, Message, Wrong, ids, raised

_WORDS = ["tea is ready", "ça va ?", "déjà vu ☕", "rain at four", "who has the key?", "<b> & milk"]
_COUNT = "whose count is the same at every server, and is still there when a server is not"
_BEGIN = "where a new subscription begins, and what was said before it was there"
_AFTER = "the first message *after* the cursor"
_ALIKE = "what tells a retry from somebody who says the same words again"
_SHARE = "what listeners share that read by one consumer (a durable name, a queue): the messages"
_ACK = "what a broker does after 30 s with a message that nobody has acknowledged"
_STORED = "what `await` waits for, and who has the message when this server is dead"
_KEY = "how the broker can know that both are the same message: a header, and a key made by the caller"
_OLDEST = "the first number of a stream that has deleted its oldest messages, as with `max_age`"
_NEXT = "what is different when a client comes back: the server is another one, the cursor is its own"


class Rooms(Calls):
    """Servers with the reader's class in them, and a story that they live through.

    Attributes
    ----------
    deleted
        How many messages the stream has had and deleted, before the next story begins.
    """

    deleted = 0

    def live(self, acts: list[tuple], until_s: float, moods: tuple[str, ...] = ()) -> dict[str, Any]:
        """Let the acts happen; return what came of them.

        Raises
        ------
        Wrong
            If the program raised something, stopped listening, or said that it had published what it had not.
        """
        story = {"acts": sorted(acts), "until_s": until_s, "moods": moods, "seed": self.draw.random()}
        story |= {"deleted": self.deleted}
        story["acts"].sort(key=lambda act: act[0])
        told = self.program.tell("call", story)
        if told["errors"]:
            raise raised(told["errors"][0])
        if told["blocked_s"]:
            raise Wrong("let the whole server stand still", "the difference between sleeping and awaiting")
        if not told["rests"]:
            raise Wrong("looks again and again, thousands of times, while no time passes",
                        "what could wake a listener when there is news")  # fmt: skip
        told = told["result"] | {"deleted": self.deleted}
        for how, _, more in told["notes"]:
            if how == "odd":
                raise Wrong(f"let a client have {more}", "a pair of a number and a text: (number, text)")
            if how.startswith("raised NotImplementedError"):
                raise Wrong("has a `listen` that gives nothing to go through", "`yield`, for each message")
            if how == "ended":
                raise Wrong(f"ended `listen` after {more} messages",
                            "a listener waits for the next, for ever")  # fmt: skip
            if "already bound" in how:
                raise Wrong("had one listener at the broker, and no second one beside it", _SHARE)
            raise raised(how.removeprefix("raised "), ", in `listen`")
        for _, text, _, how, kept in told["said"]:
            if how.startswith("raised ") and not moods:
                raise raised(how.removeprefix("raised "), ", in `publish`")
            if how == "done" and not kept:
                late = any(text == stored for stored, _ in told["stream"])
                raise Wrong(f"returned from `publish` {'before' if late else 'and'} the broker "
                            f"{'had' if late else 'never had'} {text!r}", _STORED)  # fmt: skip
        return told

    def talk(self, times_s: list[float], *servers: str | None) -> list[tuple]:
        """Acts in which somebody says something, at one server after the other."""
        return [
            (at_s, "say", f"{self.draw.getrandbits(64):016x}", f"{_WORDS[n % len(_WORDS)]} {n}",
             servers[n % len(servers)])
            for n, at_s in enumerate(times_s)
        ]  # fmt: skip


def once(told: dict[str, Any], acts: list[tuple], when: str) -> list[Message]:
    """The messages of the stream; `Wrong` unless each that was said is in it once."""
    stream = [Message(n, text) for n, (text, _) in enumerate(told["stream"], 1 + told["deleted"])]
    texts, keys = dict(act[2:4] for act in acts if act[1] == "say"), dict(told["stream"])
    said, found = Counter(texts.values()), Counter(text for _, text in stream)
    for text in found:
        if text not in said:
            raise Wrong(f"gave the broker {text!r}, which nobody said", "what is to be published: the text")
        if found[text] > said[text]:
            had = "no key" if keys[text] is None else "another key" if keys[text] not in texts else "the key"
            raise Wrong(f"published {text!r} again {when}, with {had}", _KEY)
    for text in said:
        if found[text] < said[text]:
            alike = said[text] > 1 and found[text]
            raise Wrong(f"published only one of two messages {text!r} with two keys" if alike
                        else f"lost {text!r} {when}", _ALIKE if alike else _STORED)  # fmt: skip
    return stream


def complete(told: dict[str, Any], stream: list[Message], cursors: dict[str, int], when: str) -> None:
    """Raise `Wrong` unless every client heard all after its cursor once, in order."""
    missed: dict[str, list[Message]] = {}
    came = {name: told["deleted"] + count for name, count in told["came"].items()}
    for name, cursor in cursors.items():
        heard = [Message(n, text) for _, n, text in told["heard"][name]]
        rest = [message for message in stream if message.id > cursor]
        for n, text in heard:
            if (n, text) not in stream:
                true = [message for message in stream if message.text == text]
                if not true:
                    raise Wrong(f"let a client hear {text!r}, which nobody said", "bytes, and their text")
                think = _OLDEST if told["deleted"] and n + told["deleted"] == true[0].id else _COUNT
                raise Wrong(f"gave number {n} to {text!r}, which is {ids(true)} of the stream", think)
        if early := [message for message in heard if message.id <= cursor]:
            raise Wrong(f"sent {ids(early)} to a client that came with cursor={cursor}", _AFTER)
        if twice := [message for message, count in Counter(heard).items() if count > 1]:
            times = [at_s for at_s, n, _ in told["heard"][name] if n == twice[0].id]
            raise Wrong(f"let a client hear {ids(twice)} again {when}, {times[1] - times[0]:.2g} s later",
                        _ACK if 29 < times[1] - times[0] < 31 else _NEXT)  # fmt: skip
        missed[name] = [message for message in rest if message not in heard]
        if not missed[name] and heard != rest:
            raise Wrong(f"let a client hear {ids(heard)} {when}, in this order", "the order of the stream")
    # Of what was said when everybody was there, somebody heard each, and nobody all.
    live = {message for message in stream if message.id > max(*cursors.values(), *map(came.get, cursors))}
    shares = [live - {*lost} for lost in missed.values()]
    if live and live == set().union(*shares) and live not in shares:
        lost = next(filter(None, missed.values()))
        raise Wrong(f"let each client hear a part: one of them without {ids(lost)}", _SHARE)
    for name, lost in missed.items():
        if lost and all(any(text == each.text and n < each.id for n, text in stream) for each in lost):
            raise Wrong(f"let a client miss {ids(lost)}, whose words had been said before", _ALIKE)
        if lost:
            before = [message for message in lost if message.id <= came[name]]
            how = f", said before it came with cursor={cursors[name]}" if before else f" {when}"
            first = [message.id for message in lost] == [cursors[name] + 1]
            think = _AFTER if first else _BEGIN if before or "nothing" in when else _NEXT
            if told["deleted"] and before:
                how = f"{how}; the stream begins with {stream[0].id}"
                think = think if told["heard"][name] else _OLDEST
            raise Wrong(f"let a client miss {ids(before or lost)}{how}", think)
