"""Specifications of a run, as frozen value objects: transports, workload, link. No sockets here.

The random choices of a run (when messages are published, when each client first polls, how long
a reader waits before the next reload) are drawn here from the seed, so that a measured and a
simulated run of the same specification make the same choices.
"""

from .backoff import Backoff
from .dictionary import from_dict, to_dict
from .link import Link
from .outage import Outage
from .proxy import Proxy
from .restart import Restart
from .transports import SSE, TRANSPORTS, LongPolling, Reload, ShortPolling, Transport, WebSocket
from .workload import Workload
