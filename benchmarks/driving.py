"""How much load the fleet drives, beside wrk, aiohttp and a picows client that records nothing.

    python benchmarks/driving.py KIND NUMBER

The kernel's own server is the limit for whoever drives it, so a driver is judged by its capacity
against a server that is none: nginx, which returns a constant.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

from child import Child
from rows import Row, in_turns, middle, ratio

import lpws
from lpws import specs
from lpws.fleet.process import RemoteFleet
from lpws.transports.websocket import text_frame

CONNECTIONS = 50
#: As `lpws.transports` answers a poll that finds one message.
CONFIG = """
daemon off;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        default_type text/plain;
        location / {{ return 200 "1 news ...............\\n"; }}
    }}
}}
"""


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    """Port of an nginx of our own."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(CONFIG.format(folder=folder, port=port), encoding="utf-8")
        with subprocess.Popen([program, "-c", str(config), "-p", folder, "-e", "stderr"]) as process:
            try:
                for _ in range(100):
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                        break
                    assert process.poll() is None, "nginx does not start"
                    time.sleep(0.05)
                yield port
            finally:
                process.terminate()


# A driver is measured twice at once: by the clock, in requests per second, which is its capacity on a
# machine that has a core for it and one for nginx; and in requests per second of its processor time,
# which is the same on a machine that others use too.


def wrk(port: int, seconds: float) -> tuple[float, float]:
    """Requests per second of wrk, with one thread, and per second of its processor time."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}/"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    number = int(re.search(r"(\d+) requests in", said)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), number / used_s


def fleet_events(transport: specs.Transport, port: int, seconds: float) -> list[tuple]:
    """What a fleet records in so many seconds, as `measure` runs it; it is handed over meanwhile."""
    clients = RemoteFleet(
        {
            "transport": specs.to_dict(transport),
            "workload": specs.to_dict(lpws.Workload(clients=CONNECTIONS)),
            "address": ("127.0.0.1", port),
            "host": f"127.0.0.1:{port}",
            "grace_s": 1.0,
        }
    )
    with clients:
        while "ready" not in clients.said:
            clients.check()
            time.sleep(0.005)
        begin = lpws.clock()
        time.sleep(seconds)
        end = lpws.clock()
    return [event for event in clients.events() if begin <= event[0] < end]


def ticks(events: list[tuple], side: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """When the first and the last tick of a loop were, and what processor time [s] it had used by then."""
    found = [(event[0], 1e-6 * event[-1]) for event in events if event[1:3] == ("ticked", side)]
    return found[0], found[-1]


def rates(events: list[tuple], name: str) -> tuple[float, float]:
    """How many events of this name the clients recorded in a second, and in one of their processor time."""
    (first_s, first_used_s), (last_s, last_used_s) = ticks(events, "client")
    number = sum(event[1] == name and first_s <= event[0] < last_s for event in events)
    return number / (last_s - first_s), number / (last_used_s - first_used_s)


def fleet(port: int, seconds: float) -> tuple[float, float]:
    """Requests per second of the fleet, as above: long polls that are answered at once."""
    return rates(fleet_events(lpws.LongPolling(cursor=False), port, seconds), "response_received")


def aiohttp(port: int, seconds: float) -> tuple[float, float]:
    """Requests per second of aiohttp, as above."""
    with Child("driving.py", "aiohttp", port) as client:
        by_clock, by_processor = client.ask(str(seconds)).split()
        return float(by_clock), float(by_processor)


async def be_aiohttp(port: int) -> None:
    """Ask as fast as it is answered, for as long as each line says, and say how many a second were.

    On the same loop as the fleet's, so that what is compared are the clients.
    """
    import aiohttp

    url = f"http://127.0.0.1:{port}/"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for line in sys.stdin:
            end, number = time.perf_counter() + float(line), 0
            used_s = time.thread_time()

            async def ask(end: float = end) -> int:
                number = 0
                while time.perf_counter() < end:
                    async with session.get(url) as response:
                        await response.read()
                    number += 1
                return number

            number = sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS))))
            print(number / float(line), number / (time.thread_time() - used_s), flush=True)


# ---------------------------------------------------------------- messages over WebSocket


class Source(asyncio.Protocol):
    """A WebSocket on which so many messages come at once, 1,000 a second in all, the same on each.

    Were they offered as fast as they are taken, a client that reads until nothing is left would
    never come to its other connections.
    """

    at_once = 1

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if key := re.search(rb"(?i)Sec-WebSocket-Key: *([^\r]+)", data):  # else a Close frame, say
            accept = b64encode(
                sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            )  # RFC 6455 §1.3
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.pour(1)

    def pour(self, first: int) -> None:
        """Write the messages from this one on, and the next ones after a pause."""
        if not self.transport.is_closing():
            ids = range(first, first + self.at_once)
            self.transport.write(b"".join(text_frame(b"%d news ..............\n" % id) for id in ids))
            asyncio.get_running_loop().call_later(0.001 * self.at_once, self.pour, first + self.at_once)


async def be_source(at_once: int) -> None:
    """Be a WebSocket server that sends, and does nothing else."""
    Source.at_once = at_once
    server = await asyncio.get_running_loop().create_server(Source, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


async def be_picows(port: int) -> None:
    """Count frames and record nothing, for as long as each line says; say how many a second there were."""
    import picows

    count = 0

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            nonlocal count
            frame.get_payload_as_bytes()
            count += 1

    seconds = float(await asyncio.to_thread(sys.stdin.readline))
    url = f"ws://127.0.0.1:{port}/"
    crowd = [(await picows.ws_connect(Listener, url))[0] for _ in range(CONNECTIONS)]
    count, used_s = 0, time.thread_time()
    await asyncio.sleep(seconds)
    print(count / (time.thread_time() - used_s), flush=True)
    for transport in crowd:
        transport.disconnect(graceful=False)


def picows_messages(seconds: float, at_once: int) -> float:
    """Messages that a picows client receives in a second of its processor time."""
    with (
        Child("driving.py", "source", at_once) as source,
        Child("driving.py", "picows", source.hear()) as client,
    ):
        return float(client.ask(str(seconds)))


def fleet_messages(seconds: float, at_once: int) -> float:
    """Messages that the fleet receives, and records, in a second of its processor time."""
    with Child("driving.py", "source", at_once) as source:
        events = fleet_events(lpws.WebSocket(), int(source.hear()), seconds)
    return rates(events, "message_received")[1]


# ------------------------------------------------------- at the limit of the kernel's server


def share_of_a_core(seconds: float) -> tuple[float, float, float]:
    """At the limit of the kernel's server: requests/s, and what server and clients take of a core each."""
    # Polls that are due more often than they can be answered are sent as fast as they are.
    polling = lpws.ShortPolling(interval_s=0.005)
    work = lpws.Workload(clients=CONNECTIONS, rate_hz=1.0, duration_s=seconds)
    run = lpws.measure(polling, work)
    inside = [event for event in run.events if 0 < event[0] < seconds]
    answered = sum(event[1] == "response_received" for event in inside)
    shares = []
    for side in ("server", "client"):
        (first_s, first_used_s), (last_s, last_used_s) = ticks(inside, side)
        shares.append((last_used_s - first_used_s) / (last_s - first_s))
    return answered / seconds, *shares


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    rounds, seconds = (1, 0.3) if small else (5, 2.0)
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name, path="/usr/sbin:/usr/bin:/bin")]
    if missing:
        yield Row("requests/s against nginx", float("nan"), note=f"{' and '.join(missing)}: not installed")
    else:
        with nginx() as port:
            drivers = {"fleet": fleet, "wrk": wrk, "aiohttp": aiohttp}
            turns = {name: lambda drive=drive: drive(port, seconds) for name, drive in drivers.items()}
            both = in_turns(turns, rounds)
        for n, what in enumerate(
            ("requests against nginx", "requests against nginx, a second of processor time")
        ):
            found = {name: [pair[n] for pair in pairs] for name, pairs in both.items()}
            for name, values in found.items():
                yield middle(f"{what}: {name}", values, "/s")
            yield ratio(f"{what}, fleet over wrk", found["fleet"], found["wrk"], ("at least", 0.5))
            yield ratio(f"{what}, fleet over aiohttp", found["fleet"], found["aiohttp"], ("at least", 5.0))

    for at_once in (1, 20):
        turns = {
            "fleet": lambda n=at_once: fleet_messages(seconds, n),
            "picows": lambda n=at_once: picows_messages(seconds, n),
        }
        found = in_turns(turns, rounds)
        what = f"WebSocket messages a second of the client's processor time, {at_once} at once"
        for name, values in found.items():
            yield middle(f"{what}: {name}", values, "/s")
        yield ratio(f"{what}: fleet over picows", found["fleet"], found["picows"], ("at least", 0.5))

    limit = [share_of_a_core(seconds) for _ in range(rounds)]
    answered, server, clients = zip(*limit, strict=True)
    yield middle("at the limit of the kernel's server: requests", answered, "/s")
    yield middle("at the limit of the kernel's server: the server, of a core", server, "")
    each = [share / (requests / 5000) for requests, share in zip(answered, clients, strict=True)]
    what = "at the limit of the kernel's server: the fleet, of a core per 5,000 requests/s"
    yield middle(what, each, "", ("at most", 0.2))


if __name__ == "__main__":
    kind, number = sys.argv[1], int(sys.argv[2])
    import uvloop

    being = {"aiohttp": be_aiohttp, "source": be_source, "picows": be_picows}[kind]
    uvloop.run(being(number))
