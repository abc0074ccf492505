"""A run in virtual time: the mailbox and the events of a measurement, without sockets and without waiting.

`lpws.decisions` decides who is answered and when, as in a measurement. The network is a constant delay, and
the server takes no time.
"""

from __future__ import annotations

import gc

from ..machine import undisturbed
from ..run import Run
from ..specs import Link, Transport, Workload
from .client import Client
from .server import Server
from .world import World

#: The number of events from which it takes long to look for garbage among them.
MANY = 100_000
#: Objects that Python itself has put out of the reach of the garbage collection: 375 in Python 3.12.1.
_FROZEN = gc.get_freeze_count()


def simulate(transport: Transport, workload: Workload, link: Link | None = None) -> Run:
    """The run that `measure` would return if nothing took time but the transits of the link.

    It makes the same random choices as the measurement, and ends like one.

    Parameters
    ----------
    transport, workload, link
        The specification to run; without a link, a transit takes no time. The link may have no faults.

    Raises
    ------
    TypeError, ValueError
        If an argument is no specification; if the link has faults, which only `measure` can show.

    Examples
    --------
    >>> from lpws import LongPolling
    >>> run = simulate(LongPolling(), Workload(clients=1, rate_hz=1, duration_s=1, pattern="periodic"))
    >>> [(t, name) for t, name, side, *_ in run.events if side == "server" and t >= 0][:3]
    [(1.0, 'published'), (1.0, 'message_sent'), (1.0, 'response_sent')]
    """
    kinds = {"a transport": Transport, "a Workload": Workload, "a Link or None": Link | None}
    for (expected, kind), value in zip(kinds.items(), (transport, workload, link), strict=True):
        if not isinstance(value, kind):
            raise TypeError(f"simulate: expected {expected}, got {value!r}")
    if link is not None and (link.cut_at_s is not None or link.silent_at_s is not None):
        raise ValueError(f"simulate: expected a link that is neither cut nor silent, got {link!r}")
    with undisturbed():
        events = lived(World(transport, workload, link.delay_s if link else 0.0))
        run = Run(transport, workload, link, events, origin="simulated")
        # Performance: only the events are left, and they stay. Frozen and thawed, they are in the oldest
        # generation; without this the next collection, which is soon, would go through all of them.
        if len(run.events) > MANY and gc.get_freeze_count() <= _FROZEN:  # more are the reader's own
            gc.freeze()
            gc.unfreeze()
    return run


def lived(world: World) -> list[tuple]:
    """All events of a world, sorted, when every client has the last message or patience is over."""
    server = Server(world)
    clients = [Client(world, server, number) for number in range(world.workload.clients)]
    for client in clients:
        if (when_s := client.go_on(None)) is not None:
            world.at(max(when_s, world.now_s), client.go_on)
    for number, due_s in enumerate(world.due_times_s, 1):
        world.at(due_s, server.publish, world.workload.payload(number))
    deadline_s = world.end_s + world.transport.patience_s + 1 + 6 * world.delay_s
    world.run_until(deadline_s)
    world.run_until(world.now_s + 4 * world.delay_s)  # a poll may just have begun to connect
    for client in clients:
        client.leave()
    world.run_until(world.now_s + world.delay_s)
    # The acts refer to the world. Without them there is no cycle, and the world is freed at once.
    world.acts.clear()
    world.crossing.clear()
    return world.events
