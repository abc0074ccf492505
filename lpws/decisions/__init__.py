"""The decisions of a server, which the simulator shares.

There is no socket and no clock in here. The server and the simulator are two shells around the same
objects: `Mailbox` answers a request or holds it, `Window` gathers messages that go together. Whoever asks
or follows is named by any hashable key.
"""

from .gathering import Window
from .holding import Mailbox, Message

__all__ = ["Mailbox", "Message", "Window"]
