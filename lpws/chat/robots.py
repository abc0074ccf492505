"""Robots: people made of Python, who listen by the laboratory's client halves and say what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ..loopthread import LoopThread, quiet
from ..relay import Relay
from ..specs import Link, Transport
from ..trace import clock
from ..transports import HALVES
from ..transports.client import Client
from ..transports.session import Session
from .server import ChatServer

#: The longest time [s] that something may take that should happen at once.
PATIENCE_S = 10.0
#: How often a robot posts the same thing until it has an answer.
ATTEMPTS = 5


class Robot(Client):
    """A client that passes over the signs of life of a WebSocket, which have no id."""

    def read(self, body: bytes, *line: Any) -> None:
        lines = body.splitlines(keepends=True)
        super().read(b"".join(line for line in lines if not line.startswith(b"0 ")), *line)


class Robots:
    """Robots in a chat, who record what they get in its trace. A context manager.

    Parameters
    ----------
    chat
        The server, which runs.
    ways
        Name → transport by which this robot listens.
    link
        What is between the robots and the server, if anything.
    """

    def __init__(self, chat: ChatServer, ways: Mapping[str, Transport], link: Link | None = None) -> None:
        self.chat, self.ways, self.link = chat, dict(ways), link
        self.clients: dict[str, Client] = {}
        self._secrets = {name: secrets.token_hex(16) for name in self.ways}
        self._entered: dict[str, dict] = {}  # name → what the room said: client, ticket …
        self._lines: dict[str, http.client.HTTPConnection] = {}

    def __enter__(self) -> Robots:
        with contextlib.ExitStack() as stack:
            self._address = "127.0.0.1", self.chat.port
            if self.link:
                relay = Relay(self.link, self.chat.port, self.chat.trace.append, self.chat.log)
                self._address = stack.enter_context(relay).address
            stack.callback(self._hang_up)
            stack.callback(self._leave)
            self._enter()
            thread = LoopThread("lpws robots")
            stack.callback(thread.stop)
            thread.start(self._listen())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, name: str, text: str) -> int:
        """Id of the message that a robot says; it waits if the room finds it too quick."""
        message = {"key": secrets.token_hex(16), "text": text, "typed": clock()}
        return self._post(name, "/post", {"secret": self._secrets[name], "said": [message]})["ids"][0]

    def behind(self) -> list[str]:
        """The robots who do not have the newest message."""
        last = self.chat.room.mailbox.last
        return [name for name, client in self.clients.items() if client.cursor < last]

    def _enter(self) -> None:
        for name, transport in self.ways.items():
            secret = self._secrets[name]
            # When a cell runs again, its robots are others; the name is no secret's but the notebook's.
            self.chat.thread.call(self.chat.room.roster.forget, self.chat.robots.get(name))
            self.chat.robots[name] = secret
            given = {"secret": secret, "name": name, "by": transport.label}
            self._entered[name] = self._post(name, "/enter", given)

    def _leave(self) -> None:
        with contextlib.suppress(OSError):  # the server may have stopped
            for name in self._entered:
                self._post(name, "/leave", {"secret": self._secrets[name]})

    def _post(self, name: str, path: str, letter: dict) -> dict:
        """The answer to a letter; on a connection of the robot's own, which is kept."""
        for rest in reversed(range(ATTEMPTS)):
            line = self._lines.setdefault(
                name, http.client.HTTPConnection(*self._address, timeout=PATIENCE_S)
            )
            try:
                headers = {"Content-Type": "application/json", "Host": self.chat.host}
                line.request("POST", self.chat.prefix + path, json.dumps(letter), headers)
                answer = line.getresponse()
                body = answer.read()
                if answer.status != 429:
                    break
                time.sleep(float(answer.headers["Retry-After"]))
            except OSError:  # closed meanwhile (RFC 9112 §9.5); the key lets the letter be sent again
                self._lines.pop(name).close()
                if not rest:
                    raise
        if answer.status != 200:
            raise RuntimeError(f"expected the server to take {letter}, it answered {body.decode().strip()}")
        return json.loads(body)

    def _hang_up(self) -> None:
        while self._lines:
            self._lines.popitem()[1].close()

    @contextlib.asynccontextmanager
    async def _listen(self) -> AsyncIterator[None]:
        connections = itertools.count()
        sessions = []
        for name, transport in self.ways.items():
            number = self._entered[name]["client"]
            session = Session(
                transport=transport,
                seed=number,
                numbers=[number],
                address=self._address,
                host=self.chat.host,
                grace_s=PATIENCE_S,
                record=self.chat.trace.append,
                prefix=self.chat.prefix,
                connections=connections,
                requests=itertools.count(1_000_000 * number),
            )
            session.question += f"ticket={self._entered[name]['ticket']}&"
            self.clients[name] = Robot(session, number)
            session.start.set_result(clock())
            sessions.append(session)
        with quiet(self.chat.log):
            halves = [(HALVES[type(client.transport)].listen, client) for client in self.clients.values()]
            tasks = [asyncio.create_task(listen(client)) for listen, client in halves]
            try:
                async with asyncio.timeout(PATIENCE_S):
                    for session in sessions:
                        await session.ready.wait()
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for client in self.clients.values():
                    client.close()
                for _ in range(100):  # turns of the loop in which connections end
                    if not any(session.open or session.opening for session in sessions):
                        break
                    await asyncio.sleep(0.002)
