"""The tasks of notebook 12: an outbox with a limit, and two questions about a crowd."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

from .observer import Calls, Wrong, raised
from .outboxes import Outboxes
from .task import Make, Quick, a_function

#: A text that has been written may live on for a moment, in a variable of the program.
SLACK = 2
_LATE_S = 0.005
WRITING = "began", "took", "failed"
_GONE = "what `write` raises when the client is gone, and who catches it"
_NEXT = "who begins the next write, when one has returned and something waits"
_LOST = "what may be dropped without a word, and what may not"
_FULL = "what counts as waiting at that moment, and what replaces what"
_AFTER = "what an outbox is still to do when its client is gone"


class Story:
    """A story: all that happened to its clients.

    Parameters
    ----------
    did
        Rows of (client, when [s], what, which).

    Attributes
    ----------
    kept
        Number of texts that are in memory for each client at the end.
    """

    def __init__(self, did: list[tuple]) -> None:
        end = next(n for n, (_, _, what, _) in enumerate(did) if what == "end")
        # What follows is how the tasks of the program take it that they are canceled.
        self.did, self.kept = did[:end], [which for _, _, what, which in did[end:] if what == "kept"]

    def of(self, what: str, client: int = 0) -> list[Any]:
        """All that happened to a client of this kind, in order."""
        return [which for number, _, kind, which in self.did if (number, kind) == (client, what)]

    def until(self, what: str, client: int = 0) -> Counter[str]:
        """Number of times that each kind happened to a client before the first of this kind."""
        mine = [kind for number, _, kind, _ in self.did if number == client]
        return Counter(mine[: mine.index(what)] if what in mine else mine)


class Scene(Calls):
    """Outboxes of the reader's class, and what they are given."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.limit = self.draw.randrange(4, 9)
        self.texts = iter(range(self.draw.randrange(100, 500), 10**6))
        self.keys = self.draw.sample(
            ["price of tea", "price of milk", "rain", "score", "ada", "cup 7", "x"], 7
        )

    def line(self) -> str:
        return f"{self.draw.choice(['tea is ready', 'it is cold', 'ça va'])} {next(self.texts)}"

    def live(self, puts: list[tuple], until_s: float, *clients: dict[str, float]) -> Story:
        """Put (when [s], client, key, text) into the outboxes of these clients; what happened."""
        story = {"clients": clients or ({},), "puts": puts, "until_s": until_s, "limit": self.limit}
        told = self.program.tell("call", story)
        for error in told["errors"]:
            raise Wrong(f"raised {error}", _GONE) if "the client has gone" in error else raised(error)
        if told["blocked_s"]:
            raise Wrong("let the whole server stand still", "the difference between sleeping and awaiting")
        if not told["rests"]:
            raise Wrong(
                "looks again and again, thousands of times, while nothing happens",
                "who could wake the writer at the moment there is something to write",
            )
        happened = Story(told["result"])
        for client in range(len(story["clients"])):
            self._basics(happened, client)
        known = {text for *_, text in puts}
        if strange := [text for _, _, what, text in happened.did if what == "began" and text not in known]:
            raise Wrong(f"wrote {strange[0]!r:.60}, which nobody had put",
                        "how many texts one `write` is given: each goes by itself, as it is")  # fmt: skip
        return happened

    def _basics(self, story: Story, client: int) -> None:
        """Raise `Wrong` for what is wrong whatever happens."""
        if story.of("awaits", client):
            raise Wrong("has a `put` that is a coroutine, which nobody awaits",
                        "who could do the waiting, if `put` has to return at once")  # fmt: skip
        mine = [what for number, _, what, _ in story.did if number == client and what in WRITING]
        if ("began", "began") in set(pairwise(mine)):
            raise Wrong("began to write one text before the client had taken the one before",
                        "who writes: one writer for each client, or one for each text")  # fmt: skip
        most = max(story.of("kept", client), default=0)
        if most > self.limit + 1 + SLACK:
            raise Wrong(
                f"kept {most} texts in memory for one client, with limit={self.limit} and one being written",
                "what becomes of a text that cannot wait",
            )

    def got(self, story: Story, texts: list[str], how: str, client: int = 0) -> None:
        """Raise `Wrong` unless a client got exactly these lines, in order."""
        took = story.of("took", client)
        if story.of("hung up", client):
            before = story.until("hung up", client)
            waited = before["put"] - before["began"]
            raise Wrong(f"hung up on a client {how}", _NEXT if waited > self.limit else _FULL)
        if twice := [text for text, count in Counter(took).items() if count > 1]:
            raise Wrong(
                f"wrote {twice[0]!r} twice to a client {how}", "what takes a text off the list, and when"
            )
        if lost := [text for text in texts if text not in took]:
            if not took:
                raise Wrong(f"wrote nothing to a client {how}", "who begins to write when nothing is")
            raise Wrong(
                f"a client {how} never got {lost[0]!r}", _NEXT if took == texts[: len(took)] else _LOST
            )
        if [text for text in took if text in texts] != texts:
            raise Wrong(f"wrote in another order to a client {how}", "which of them has waited longest")


def keeps_up(scene: Scene) -> None:
    at_s, puts = 0.0, []
    for _ in range(24):
        at_s += scene.draw.uniform(0.05, 2)
        puts.append((at_s, 0, scene.draw.choice([None, None, *scene.keys[:3]]), scene.line()))
    puts += [(at_s + 1, 0, None, scene.line()) for _ in range(scene.limit)]  # in one turn of the loop
    story = scene.live(puts, at_s + 30)
    when_s = {which: s for _, s, what, which in story.did if what == "began"}
    late_s = max((when_s[text] - at_s for at_s, _, _, text in puts[:24] if text in when_s), default=0)
    if late_s > _LATE_S:
        raise Wrong(f"began to write {late_s:.2g} s after `put`, although nothing was being written",
                    "who could wake the writer at that moment")  # fmt: skip
    scene.got(story, [text for *_, text in puts], "that keeps up")


def one_at_a_time(scene: Scene) -> None:
    puts = [(0.1 * n, 0, None, scene.line()) for n in range(1, scene.limit + 1)]
    story = scene.live(puts, 100, {"pace_s": scene.draw.uniform(0.5, 3)})
    scene.got(story, [text for *_, text in puts], "that is slower than the room")


def loses_no_line(scene: Scene) -> None:
    """One is being written, and exactly as many wait as may."""
    puts = [(n + 1.5, 0, None, scene.line()) for n in range(scene.limit + 1)]
    story = scene.live(puts, 300, {"stops_s": 1, "goes_on_s": 100})
    scene.got(story, [text for *_, text in puts], f"for which {scene.limit} waited, with limit={scene.limit}")


def newest(scene: Scene) -> None:
    keys = scene.keys[: scene.limit - 1]
    line, puts = scene.draw.randrange(5, 45), []
    for n in range(50):
        key = None if n == line else scene.draw.choice(keys)
        puts.append((1.5 + n, 0, key, scene.line()))
    again = [(200.0 + n, 0, key, scene.line()) for n, key in enumerate(keys)]
    story = scene.live(puts + again, 300, {"stops_s": 1, "goes_on_s": 100})
    how = f"that had paused, with {len(keys)} keys and one line waiting and limit={scene.limit}"
    took = story.of("took")
    if story.of("hung up"):
        raise Wrong(f"hung up on a client {how}", _FULL)
    key_of = {text: key for _, _, key, text in puts}
    for key in dict.fromkeys(key_of.values()):
        wanted = next(text for _, _, other, text in reversed(puts) if other == key)
        last = next((text for text in reversed(took) if key_of.get(text, 0) == key), None)
        if last != wanted and key is None:
            raise Wrong(f"a client {how} never got the line {wanted!r}", _LOST)
        if last != wanted:
            raise Wrong(
                f"the last {key!r} that the client got was {last!r}, and the newest {wanted!r}",
                "which of two values of one key is worth keeping",
            )
    scene.got(story, [text for *_, text in again], "that had paused, and then kept up again")
    if (count := len(took) - len(again)) > scene.limit + 1:
        raise Wrong(f"wrote {count} texts to a client {how}", "which values nobody wants any more")


def hangs_up(scene: Scene) -> None:
    limit, key = scene.limit, scene.keys[0]
    # One is being written; then as many wait as may, a value among them, which is replaced when all is full.
    kinds = [None, key, *(limit - 1) * [None], key, key, None]
    puts = [(1.5 + n, 0, kind, scene.line()) for n, kind in enumerate(kinds)]
    puts += [(50.0 + n, 0, scene.draw.choice([None, key, scene.keys[1]]), scene.line()) for n in range(12)]
    story = scene.live(puts, 300, {"stops_s": 1})
    rows = [(what, which) for _, _, what, which in story.did]
    hung_up = [n for n, (what, _) in enumerate(rows) if what == "hung up"]
    before = sum(what == "put" for what, _ in rows[: hung_up[0]]) if hung_up else math.inf
    if before < len(kinds):
        waited = min(before - 2, limit)
        raise Wrong(f"hung up while {waited} were waiting, with limit={limit}", _FULL)
    if before > len(kinds):
        late = f" until {before - len(kinds)} more had come" if hung_up else ""
        raise Wrong(f"did not hang up when one more was to wait than limit={limit}{late}",
                    "how a client is to learn that it has lost a line")  # fmt: skip
    # Once in `put`; and once more is nothing to a writer that is told by its error.
    if len(hung_up) > 2 or sum(story.of("hung up")) > 1:
        raise Wrong(f"hung up {len(hung_up)} times on one client", _AFTER)
    quiet(story, "hung up", "that it had hung up on")
    # The text that is just being written may yet be taken: no error then says that it is over.
    story = scene.live(puts, 300, {"stops_s": 1, "goes_on_s": 100, "lingers_s": 150})
    quiet(story, "hung up", "that it had hung up on")


def goes(scene: Scene) -> None:
    # One goes while something is being written and something waits; the other while nothing is.
    for puts_s, stops_s in (([1.0, 2.0, 3.0, 4.0, 20.0, 21.0], 2.0), ([1.0, 20.0, 21.0], 1e6)):
        puts = [(at_s, 0, scene.draw.choice([None, scene.keys[0]]), scene.line()) for at_s in puts_s]
        puts += [(30.0 + n, 0, None, scene.line()) for n in range(scene.limit + 3)]
        story = scene.live(puts, 300, {"stops_s": stops_s, "leaves_s": 10})
        if sum(s > 10 for _, s, what, _ in story.did if what == "began") > (stops_s == 1e6):
            raise Wrong("went on writing to a client that was gone", _AFTER)
        quiet(story, "hung up", "that was gone")


def quiet(story: Story, since: str, who: str) -> None:
    """Raise `Wrong` if something is written to a client since then, or kept for it at the end."""
    if len(story.of("began")) > story.until(since)["began"]:
        raise Wrong(f"went on writing to a client {who}", _AFTER)
    if (kept := story.kept[0]) > SLACK:
        raise Wrong(f"still kept {kept} texts in memory for a client {who}", _AFTER)


def side_by_side(scene: Scene) -> None:
    clients = [{"stops_s": 0 if n % 3 == 1 else 1e6} for n in range(20)]
    rounds = min(scene.limit, 6)
    puts = [
        (round_ + 1.0, client, scene.keys[0] if round_ % 2 else None, f"{scene.line()} for client {client}")
        for round_ in range(rounds)
        for client in range(20)
    ]
    story = scene.live(puts, 100, *clients)
    for client, how in enumerate(clients):
        mine = [(s, text) for s, number, _, text in puts if number == client]
        if strange := set(story.of("began", client)) - {text for _, text in mine}:
            raise Wrong(f"wrote {min(strange)!r} to client {client}",
                        "what belongs to the class, and what to each outbox")  # fmt: skip
        if not how["stops_s"]:
            continue
        scene.got(story, [text for _, text in mine], "that keeps up, beside others that have stopped", client)
        took_s = [s for number, s, what, _ in story.did if (number, what) == (client, "took")]
        if (late_s := max(took - put for took, (put, _) in zip(took_s, mine, strict=True))) > _LATE_S:
            raise Wrong(f"let a client wait {late_s:.2g} s that reads at once, while others had stopped",
                        "who waits for whom")  # fmt: skip


def forgets(scene: Scene) -> None:
    puts = [(n / 10, 0, scene.draw.choice([None, *scene.keys]), scene.line()) for n in range(400)]
    story = scene.live(puts, 60)
    scene.got(story, [text for *_, text in puts], "that keeps up")
    if (kept := story.kept[0]) > SLACK:
        raise Wrong(f"still kept {kept} texts in memory that had all been written", "what holds on to them")


def an_outbox(thing: Any) -> str | None:
    """The problem with an outbox at first sight, if there is one."""
    if isinstance(thing, type) and not callable(getattr(thing, "put", None)):
        return f"expected a class with a method `put(self, key, text)`, got {thing.__name__} without one"
    if isinstance(thing, type):
        return a_function("write, hang_up, limit")(thing)
    return f"expected a class, got {thing!r:.60}"


OUTBOX = Make(
    stub="the methods are still empty: begin with a `put` that lets one text be written",
    expected=an_outbox,
    wrap=Outboxes,
    stages=[
        [("gives a client that keeps up everything, at once and in order", keeps_up)],
        [
            ("writes one text at a time", one_at_a_time),
            ("loses no line of a client that pauses", loses_no_line),
            ("of each key keeps the newest value", newest),
        ],
        [
            ("hangs up when one more would have to wait, once, and not before", hangs_up),
            ("is silent when its client is gone", goes),
        ],
        [
            ("lets nobody wait for another", side_by_side),
            ("keeps nothing that has been written", forgets),
        ],
    ],
    scene=Scene,
)

TASKS = {
    "outbox": OUTBOX,
    "last": Quick(
        0.025 + 30_000 * 50e-6,
        {
            0.025: "that is the first of them; how many writes come before the last one's?",
            0.775: "that is the average; the last one waits for all others",
            1.5: "that is when it leaves; how long does it travel?",
            1525: "in seconds",
        },
        within=0.01,
    ),
    "unnoticed": Quick(
        (3_000_000 + 1_000_000) / (100 * 1000),
        {
            10: "that is the outbox alone; where do the bytes go before they wait in it?",
            30: "that is when the outbox begins to fill",
            4: "how many bytes per second does the room send it?",
            0.04: "how many frames per second, and of how many bytes?",
            0: "a server does not see that a reader stops, only that its bytes are not taken",
        },
        within=0.0126,
    ),
}
