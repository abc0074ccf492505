"""Real programs beside the kernel: nginx, a proxy, and NATS, a broker; found, started, surely ended.

Each runs on 127.0.0.1 alone, in a folder and a session of its own, and is ended by a *keeper*: a small
process that outlives the kernel by some milliseconds, however the kernel ends.
"""

from .broker import nats
from .programs import Missing, find, version
from .proxy import nginx
