"""The barrier at which all clients of a run wait for the start."""

from __future__ import annotations

from collections.abc import Callable

from .fleet.process import RemoteFleet
from .run import Run, RunError
from .serving import Serving

Until = Callable[[Callable[[], bool], float], bool]


def wait_for_clients(spec: Run, serving: Serving, clients: RemoteFleet, limit_s: float, until: Until) -> None:
    """Wait until every client is connected, and the server knows of it.

    Parameters
    ----------
    spec
        What is to be run.
    serving, clients
        The two sides, started.
    limit_s
        The longest time to wait [s].
    until
        Waits until a condition is true, at most for a time [s], and returns whether it is.

    Raises
    ------
    RunError
        If some clients did not come; the message says how many did, and what the server says.
    """
    everybody = set(range(spec.workload.clients))

    def here() -> bool:
        # Performance: their own word first. A look at ten thousand that arrive holds the lock (GIL) that the
        # server's loop needs as well; all the looks took 0.5 s of the 4 s until everybody was connected.
        by_proxy = serving.proxy and spec.transport.persistent
        if not by_proxy and "ready" not in clients.said:
            return False
        missing = everybody - serving.arrived if spec.transport.persistent else set()
        if by_proxy and missing:
            # A proxy may turn a client away, or keep the head of its answer back: neither gets ready.
            missing -= {event[3] for event in clients.events() if event[1] == "failed"}
        return not missing

    if until(lambda: here() or serving.log, limit_s) and not serving.log:
        return
    until(lambda: False, 0.5)  # if the clients have died of it, their last words say more
    came = everybody & serving.arrived
    ask = "Is the handler wrong, or the machine too busy?"
    if came == everybody and "ready" not in clients.said:
        ask = "Does the handler begin its answer? A stream does with `await self.flush()`."
    raise RunError(
        f"expected {len(everybody)} clients to be connected within {limit_s:g} s, and a request of each; "
        f"those of {len(came)} came, and the server says: {[*serving.log, 'nothing'][0]}. {ask}"
    )
