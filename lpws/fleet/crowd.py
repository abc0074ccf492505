"""A crowd of clients in a process of its own that loses its server, ``python -m lpws.fleet.crowd``.

A JSON specification comes in on the first line of standard input. Out go a line ``ready`` when all
clients are connected, and at the end a line of JSON: for each attempt to come back its client, when it
began and ended, and whether the client was back. The process ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import threading

from .. import specs
from ..trace import clock

#: Clients that connect at the same time before the run; more might find no room at the door.
AT_ONCE = 20
#: How long [s] a client that was let in waits for its answer.
ANSWER_S = 30.0


class Crowd:
    """The clients of one stampede, and the attempts that they have made."""

    def __init__(self, spec: dict) -> None:
        self.restart, self.backoff = specs.from_dict(spec["restart"]), specs.from_dict(spec["backoff"])
        self.address = ("127.0.0.1", spec["port"])
        self.host = f"127.0.0.1:{spec['port']}"
        self.loop = asyncio.get_running_loop()
        self.attempts: list[tuple] = []
        self.inside: list[socket.socket] = []
        self.few = asyncio.Semaphore(AT_ONCE)
        self.cut = asyncio.Event()

    async def connect(self, patience_s: float) -> socket.socket:
        """Connect a socket; TimeoutError if nobody has let it in by then."""
        line = socket.socket()
        line.setblocking(False)
        try:
            async with asyncio.timeout(patience_s):
                await self.loop.sock_connect(line, self.address)
        except BaseException:
            line.close()
            raise
        return line

    async def ask(self, line: socket.socket, path: str) -> bool:
        """Ask, and wait for the answer; whether it is a good one."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n"
        async with asyncio.timeout(ANSWER_S):
            await self.loop.sock_sendall(line, request.encode())
            return b" 200 " in (await self.loop.sock_recv(line, 65_536)).partition(b"\r\n")[0]

    async def live(self, number: int, ready: asyncio.Event) -> None:
        """Be connected, be cut, and come back."""
        async with self.few:
            line = await self.connect(ANSWER_S)
            await self.ask(line, "/nowhere")  # 404 is an answer, too: the server has let it in
        ready.set()
        try:
            while await self.loop.sock_recv(line, 65_536):
                pass
        except OSError:
            pass
        line.close()
        self.cut.set()
        for wait_s in self.backoff.waits_s(random.Random(f"back {self.restart.seed} {number}")):
            await asyncio.sleep(wait_s)
            begun, line = clock(), None
            try:
                line = await self.connect(self.restart.patience_s)
                back = await self.ask(line, "/back")
            except OSError:  # refused, reset, or out of patience
                back = False
            self.attempts.append((number, begun, clock(), back))
            if back:
                self.inside.append(line)
                return
            if line is not None:
                line.close()


async def main() -> None:
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_kernel, daemon=True).start()
    crowd = Crowd(spec)
    ready = [asyncio.Event() for _ in range(crowd.restart.clients)]
    lives = [asyncio.create_task(crowd.live(number, each)) for number, each in enumerate(ready)]
    for each in ready:
        await each.wait()
    print("ready", flush=True)
    await crowd.cut.wait()
    await asyncio.wait(lives, timeout=crowd.restart.until_s)
    print(json.dumps(crowd.attempts), flush=True)


def _end_with_the_kernel() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
