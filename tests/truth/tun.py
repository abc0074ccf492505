"""Two namespaces joined by the kernel's own TCP/IP over a line with delay.

Each has a TUN device: a network card whose wire is a file. A process of its own brings every packet
that leaves one to the other, one transit later. It is run as ``python tun.py DELAY_S FILE FILE``, and does
what is written to its standard input: ``lose 3`` loses the third packet with a message from the far side from
then on, ``cut`` every packet; it answers with a line when that is so. It ends when its input does, so that it
cannot outlive the test.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from unittest import mock

#: RFC 5737 §3: addresses for documentation, which are nobody's.
NEAR, FAR = "192.0.2.1", "192.0.2.2"
# linux/if_tun.h: the request to have a device; without Ethernet (TUN) and without a header of its own.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
#: A packet that is longer has more in it than an acknowledgment.
_NO_MESSAGE_BYTES = 120


def serve(delay_s: float, near: int, far: int) -> None:
    """Bring each packet from one device to the other, until standard input ends."""
    way = {near: far, far: near}
    under_way: deque[tuple[float, int, bytes]] = deque()  # when due, where, what
    broken, until_lost = False, 0  # packets with a message, the one that is lost included
    while True:
        wait_s = max(0.0, under_way[0][0] - time.perf_counter()) if under_way else None
        ready, _, _ = select.select([0, near, far], [], [], wait_s)
        if 0 in ready:
            order = os.read(0, 64)
            if not order:
                return
            what, _, which = order.decode().partition(" ")
            broken, until_lost = what != "lose", int(which or 0)
            os.write(1, b"done\n")
            ready.remove(0)
        for device in ready:
            packet = os.read(device, 65_536)
            counts = until_lost > 0 and device == far and len(packet) > _NO_MESSAGE_BYTES
            until_lost -= counts
            if not (broken or (counts and until_lost == 0)):
                under_way.append((time.perf_counter() + delay_s, way[device], packet))
        while under_way and under_way[0][0] <= time.perf_counter():
            _, device, packet = under_way.popleft()
            os.write(device, packet)


def _device(address: str) -> int:
    """The wire's end of a new network card, in this thread's namespace, with this address."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
        for command in (f"address add {address}/30 dev line", "link set line up"):
            subprocess.run(["ip", *command.split()], check=True)
    except BaseException:
        os.close(device)
        raise
    return device


@contextlib.contextmanager
def line(delay_s: float):
    """(near, far): two namespaces, `delay_s` apart, where `NEAR` and `FAR` are."""
    with breakable(delay_s) as (near, far, _):
        yield near, far


@contextlib.contextmanager
def breakable(delay_s: float):
    """(near, far, cut): the same, and a function after which every packet between them is lost."""
    with _ordered(delay_s) as (near, far, order):
        yield near, far, lambda: order("cut")


@contextlib.contextmanager
def lossy(delay_s: float):
    """(near, far, lose): the same, and a function that names a message from far to near, counted from 1."""
    with _ordered(delay_s) as (near, far, order):
        yield near, far, lambda number: order(f"lose {number}")


@contextlib.contextmanager
def _ordered(delay_s: float):
    """(near, far, order): the same, and a function that tells the line what to do."""
    from namespaces import Namespace

    with contextlib.ExitStack() as stack:
        near, far = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        with contextlib.ExitStack() as here:  # the process has them, and this one no longer
            devices = []
            for namespace, address in ((near, NEAR), (far, FAR)):
                devices.append(namespace.call(_device, address))
                here.callback(os.close, devices[-1])
            command = [sys.executable, __file__, str(delay_s), *map(str, devices)]
            server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=devices
            )
        stack.callback(server.communicate)  # closes its input, and waits for its end

        def order(what: str) -> None:
            server.stdin.write(what.encode() + b"\n")
            server.stdin.flush()
            server.stdout.readline()

        yield near, far, order


def measure(near, far, transport, workload, link):
    """The run that `lpws.measure` gives with this line in place of its relay: server far, clients near."""
    import lpws
    from lpws import measurement, serving
    from lpws.server import doorway

    class Line:
        """What leads the clients to the server; the line itself is there already."""

        crossings = ()

        def __init__(self, _link, port: int, *_: object) -> None:
            self.address = FAR, port

        def begin(self, _start: float) -> None:
            pass  # it has no faults

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

    class FleetNear(measurement.RemoteFleet):
        def launch(self):
            return near.call(super().launch)

    def create_far(address: tuple[str, int], **options: object) -> object:
        return create_server((FAR, address[1]), **options)

    create_server: Callable = doorway.create_server
    with (
        mock.patch.object(serving, "Relay", Line),
        mock.patch.object(measurement, "RemoteFleet", FleetNear),
        mock.patch.object(doorway, "create_server", create_far),
    ):
        return far.call(lpws.measure, transport, workload, link)


if __name__ == "__main__":
    serve(float(sys.argv[1]), *map(int, sys.argv[2:4]))
