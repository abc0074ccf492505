"""A run, and what was on the wire meanwhile, on one clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import packets
from namespaces import Namespace

import lpws
from lpws import measurement


@dataclass
class Watched:
    """A run; the connections that were on the wire; and where t = 0 of the run is on the wire's clock."""

    run: lpws.Run
    streams: list[packets.Stream]
    start_ns: int
    uncertain_ns: int  # how far off that may be

    def run_s(self, packet: packets.Packet) -> float:
        """When a packet was on the wire [s], on the clock of the run."""
        return (packet.t_ns - self.start_ns) / 1e9


def watched(
    namespace: Namespace,
    folder: Path,
    transport: lpws.specs.Transport,
    work: lpws.Workload,
    **options: object,
) -> Watched:
    """What `lpws.measure` gives with these arguments in this namespace, and what was on the wire."""
    starts: list[float] = []
    tell = measurement.RemoteFleet.tell

    def listen(fleet: measurement.RemoteFleet, line: str) -> None:
        word, _, value = line.partition(" ")
        if word == "start":  # on the common clock, see lpws.fleet.fleet
            starts.append(float(value))
        tell(fleet, line)

    def measure() -> lpws.Run:
        with packets.captured(path), mock.patch.object(measurement.RemoteFleet, "tell", listen):
            return lpws.measure(transport, work, **options)

    path = folder / "packets.pcap"
    before_ns, early_ns = _epoch()
    run = namespace.call(measure)
    after_ns, late_ns = _epoch()
    (start,) = starts
    uncertain_ns = abs(after_ns - before_ns) + early_ns + late_ns
    return Watched(run, packets.streams(path), before_ns + round(start * 1e9), uncertain_ns)


def _epoch() -> tuple[int, int]:
    """Where the laboratory's clock is 0 [ns, Unix time], and how far off that may be [ns]."""
    best = None
    for _ in range(1000):
        early, unix, late = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        if best is None or late - early < best[1]:
            best = unix - early, late - early
    return best
