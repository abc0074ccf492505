"""The gathering window: which messages go together, in one frame."""

from __future__ import annotations

from collections.abc import Hashable

from .holding import Message


class Window:
    """A time in which messages for all followers are gathered, so that they go together, in one frame.

    The first message opens the window; when it closes, every message gathered meanwhile goes to everyone.

    Parameters
    ----------
    flush_s
        How long it is open [s]; 0 lets each message go by itself.
    """

    def __init__(self, flush_s: float) -> None:
        self.flush_s = flush_s
        self.gathered: list[Message] = []
        self.late: dict[Hashable, int] = {}  # key of who may have what goes next → their last message

    def join(self, who: Hashable, cursor: int, ahead: bool = False) -> None:
        """Let a follower join who has every message up to the cursor, `ahead` if some are still to come."""
        if self.gathered or ahead:  # the follower has some of these already, and must not get them twice
            self.late[who] = cursor

    def leave(self, who: Hashable) -> None:
        """Forget a follower."""
        self.late.pop(who, None)

    def take(self, message: Message) -> bool:
        """Gather a message; return whether it opened the window, which is to be closed after `flush_s`."""
        self.gathered.append(message)
        return len(self.gathered) == 1

    def close(self) -> tuple[list[Message], dict[Hashable, list[Message]]]:
        """Close the window; return the messages for everyone, and those that each latecomer lacks."""
        messages, self.gathered = self.gathered, []
        late = self.late
        self.late = {who: cursor for who, cursor in late.items() if cursor > messages[-1].id}
        return messages, {who: [m for m in messages if m.id > cursor] for who, cursor in late.items()}
