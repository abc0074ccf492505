"""An audience in a process of its own, WebSockets that only listen: ``python -m lpws.fleet.audience``.

A JSON specification comes in on the first line of standard input; ``ready`` goes out when all clients are
connected. Each further line is a number of messages and a time [s]: when every client has so many, or the
time is over, a line of JSON goes out, which has for each client the times at which it had them. The process
ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import picows

from ..trace import clock

#: Handshakes that are on their way at once; more might find no room at the door.
AT_ONCE = 50
#: From one look at what the clients have to the next [s].
LOOK_S = 0.01


class Ear(picows.WSListener):
    """A client: when it had each message."""

    def __init__(self) -> None:
        super().__init__()
        self.times_s: list[float] = []

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
            self.times_s.append(clock())


async def main() -> None:
    """Be the audience, until standard input ends."""
    spec = json.loads(sys.stdin.readline())
    url, clients = f"ws://127.0.0.1:{spec['port']}{spec['path']}", spec["clients"]
    ears: list[Ear] = []
    while len(ears) < clients:
        few = range(min(AT_ONCE, clients - len(ears)))
        # The same as in `Client.upgrade`: this option makes trouble on uvloop.
        opened = [picows.ws_connect(Ear, url, use_aiofastnet=False) for _ in few]
        ears += [ear for _, ear in await asyncio.gather(*opened)]
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted, until_s = int(line.split()[0]), clock() + float(line.split()[1])
        while clock() < until_s and any(len(ear.times_s) < wanted for ear in ears):
            await asyncio.sleep(LOOK_S)
        print(json.dumps([ear.times_s[:wanted] for ear in ears]), flush=True)


if __name__ == "__main__":
    gc.disable()  # a collection would be a pause
    try:
        from uvloop import run
    except ImportError:  # on Windows
        from asyncio import run
    run(main())
