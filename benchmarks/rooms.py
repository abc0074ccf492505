"""The servers that are compared: the laboratory's, the same handlers on bare Tornado, and others.

    python benchmarks/rooms.py KIND

A room says its port. Then it obeys, line by line:

``publish``
    Send a message to everyone; it answers when it began [s], on the common clock.
``memory``
    It answers with the memory [bytes] that its process has.
``arrived``
    It answers with the number of clients of which a request has come; the rooms on Tornado only.
``cpu``
    It answers with the processor time [s] that its process has used.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from lpws import Server
from lpws.loopthread import LoopThread
from lpws.machine import make_room_for_files, undisturbed
from lpws.server.doorway import MOST_BYTES, MOST_HEAD_BYTES, GuardedApplication
from lpws.server.handlers import HANDLERS
from lpws.trace import NONE
from lpws.transports.room import Room

#: What is published, as it is on the wire.
TEXT = "news ".ljust(20, ".")
#: Room for so many connections.
MOST = 10_100


def silent(handler: type) -> type:
    """The handler, without a record."""

    class Silent(handler):
        def record(self, *_: object, **__: object) -> None:
            pass

        def send(self, data: bytes, _carried: list) -> None:  # of a stream
            super().send(data, [])

    return Silent


@asynccontextmanager
async def bare_tornado() -> AsyncIterator[tuple[Room, int]]:
    """Room and port of the laboratory's handlers, silent, on Tornado's own server."""
    # What the handlers want of a stream, as bare Tornado has it.
    IOStream.number, IOStream.over, IOStream.send = NONE, False, IOStream.write
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    port = sockets[0].getsockname()[1]
    room = Room(lambda _event: None, {f"127.0.0.1:{port}"})
    app = GuardedApplication(  # strangers are refused here too
        [(path, silent(kind), {"room": room}) for path, kind in HANDLERS.items()],
        room=room,
        log_function=lambda _handler: None,
        websocket_max_message_size=MOST_BYTES,
    )
    http = HTTPServer(app, max_header_size=MOST_HEAD_BYTES, max_body_size=MOST_BYTES)
    http.add_sockets(sockets)
    yield room, port
    http.stop()
    await http.close_all_connections()


def obey(publish: Callable[[str], object], room: Room | None = None) -> None:
    """Answer the lines that come, until they end."""
    for line in sys.stdin:
        match line.strip():
            case "publish":
                began = time.perf_counter()
                publish(TEXT)
                print(began, flush=True)
            case "memory":
                with open("/proc/self/status", encoding="utf-8") as file:
                    [kibibytes] = [line.split()[1] for line in file if line.startswith("VmRSS")]
                print(1024 * int(kibibytes), flush=True)
            case "arrived":
                print(len(room.arrived), flush=True)
            case "cpu":
                print(time.process_time(), flush=True)


def tornado(kind: str) -> None:
    """Be the laboratory's server, or bare Tornado, in a thread as in the kernel."""
    with undisturbed():
        if kind == "lpws":
            with Server() as server:
                print(server.port, flush=True)
                obey(server.publish, server.room)
        else:
            thread = LoopThread("bare")
            room, port = thread.start(bare_tornado())
            print(port, flush=True)
            obey(lambda text: thread.call(room.publish, text), room)
            thread.stop()


async def lines(publish: Callable[[str], object]) -> None:
    """The same, for servers whose loop is the process's own."""
    await asyncio.to_thread(obey, _in_loop(publish))


def _in_loop(function: Callable) -> Callable:
    loop = asyncio.get_running_loop()

    async def call(*arguments: object) -> None:
        function(*arguments)

    return lambda *arguments: asyncio.run_coroutine_threadsafe(call(*arguments), loop).result()


async def picows_room() -> None:
    """Be a server of picows."""
    import picows

    members: set[picows.WSTransport] = set()

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            members.add(transport)

        def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
            members.discard(transport)

    def publish(text: str) -> None:
        payload = f"1 {text}\n".encode()
        for member in members:
            member.send(picows.WSMsgType.TEXT, payload)

    server = await picows.ws_create_server(lambda _request: Listener(), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await lines(publish)
    server.close()


async def websockets_room() -> None:
    """Be a server of websockets."""
    from websockets.asyncio.server import broadcast, serve

    members = set()

    async def handler(websocket) -> None:
        members.add(websocket)
        with contextlib.suppress(Exception):
            await websocket.wait_closed()
        members.discard(websocket)

    # A plain server: no compression, no pings in the middle of a broadcast.
    async with serve(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096, close_timeout=1
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await lines(lambda text: broadcast(members, f"1 {text}\n"))
        for member in list(members):
            member.transport.abort()


def main(kind: str) -> None:
    make_room_for_files(MOST)
    if kind in ("lpws", "bare"):
        tornado(kind)
        return
    import uvloop  # both are made for it

    gc.disable()
    uvloop.run({"picows": picows_room, "websockets": websockets_room}[kind]())


if __name__ == "__main__":
    main(sys.argv[1])
