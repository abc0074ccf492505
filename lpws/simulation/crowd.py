"""A crowd that comes back: attempt by attempt, simulated for all clients at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ..specs import Backoff, Restart

#: How long a step of the simulation is [s].
STEP_S = 0.01
#: Within this time [s] all clients have noticed that their connection was cut.
NOTICE_S = 0.1


@dataclass(frozen=True, eq=False)
class Stampede:
    """A crowd that has lost its server and comes back, measured or simulated.

    Parameters
    ----------
    backoff, restart
        The specification.
    client, begun_s, ended_s, let_in
        A value for each attempt, in the order in which they began: whose it was, when [s] after the cut
        it began and ended, and whether the client was back then.
    origin
        ``"measured"`` or ``"simulated"``.
    """

    backoff: Backoff
    restart: Restart
    client: np.ndarray = field(repr=False)
    begun_s: np.ndarray = field(repr=False)
    ended_s: np.ndarray = field(repr=False)
    let_in: np.ndarray = field(repr=False)
    origin: str = "simulated"

    def __repr__(self) -> str:
        clients, back = self.restart.clients, int(np.count_nonzero(self.let_in))
        told = f"all back after {self.last_s:.1f} s" if back == clients else f"{back:,} back"
        return (
            f"<stampede of {clients:,} clients, {self.origin}: {told}, {self.turned_away:,} attempts failed>"
        )

    @property
    def back_s(self) -> np.ndarray:
        """Times [s] at which clients were back, sorted."""
        return np.sort(self.ended_s[self.let_in])

    @property
    def last_s(self) -> float:
        """Time [s] at which the last client was back; infinite if one is still outside at the end."""
        back_s = self.back_s
        return float(back_s[-1]) if len(back_s) == self.restart.clients else np.inf

    @property
    def turned_away(self) -> int:
        """Number of attempts that failed."""
        return int(np.count_nonzero(~self.let_in))

    def attempts(self, window_s: float = 0.1) -> np.ndarray:
        """Number of attempts begun in each window of that length [s], from the cut to the end."""
        edges = np.arange(0, self.restart.until_s + window_s, window_s)
        return np.histogram(self.begun_s, edges)[0]


def stampede(backoff: Backoff, restart: Restart) -> Stampede:
    """A stampede in virtual time: who knocks when, who finds room at the door, who is let in.

    At the door is room for the backlog. The server lets the clients in, first come, first served, at a
    constant rate. Who finds the door full knocks again 1, 3, 7, … s after the first time, as TCP repeats
    a SYN (RFC 6298 §5), and has failed when its patience is over.
    """
    clients, draw = restart.clients, np.random.default_rng(restart.seed)
    bound_s = np.fromiter(islice(backoff.bounds_s(), 64), float)  # by then it has reached its limit

    def wait_s(who: np.ndarray) -> np.ndarray:
        share = backoff.fixed + (1 - backoff.fixed) * draw.random(len(who))
        return bound_s[np.minimum(failed[who], 63)] * share

    failed, repeated = np.zeros(clients, int), np.zeros(clients, int)  # attempts in a row; SYNs of this one
    due_s = draw.uniform(0, NOTICE_S, clients) + wait_s(np.arange(clients))
    begun_s = due_s.copy()
    line, ready = np.empty(0, int), 0.0
    attempts: list[tuple] = []  # of each step and outcome: whose, begun, ended, whether let in
    for end_s in np.arange(1, round(restart.until_s / STEP_S) + 1) * STEP_S:
        if end_s > restart.away_s:
            ready += restart.serves_hz * STEP_S
            served, line = np.split(line, [int(ready)])
            # Who has no work now does not do more later.
            ready = ready - len(served) if len(line) else min(ready - len(served), 1.0)
            attempts.append((served, begun_s[served], np.full(len(served), end_s), True))
        who = np.flatnonzero(due_s < end_s)
        who = who[np.argsort(due_s[who], kind="stable")]
        enter, leave = np.split(who, [max(restart.backlog - len(line), 0)])
        line = np.concatenate([line, enter])
        due_s[enter] = np.inf
        repeated[leave] += 1
        due_s[leave] = begun_s[leave] + 2.0 ** repeated[leave] - 1
        over_s = begun_s[leave] + restart.patience_s
        lost = leave[over := due_s[leave] >= over_s]
        attempts.append((lost, begun_s[lost], over_s[over], False))
        failed[lost] += 1
        repeated[lost] = 0
        due_s[lost] = begun_s[lost] = over_s[over] + wait_s(lost)
        if not len(line) and due_s.min() == np.inf:
            break
    client, begun, ended = (np.concatenate(column) for column in list(zip(*attempts, strict=True))[:3])
    let_in = np.repeat([each[3] for each in attempts], [len(each[0]) for each in attempts])
    order = np.argsort(begun, kind="stable")
    return Stampede(backoff, restart, client[order], begun[order], ended[order], let_in[order])
