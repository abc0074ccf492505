"""The world around a reader's half of a room: servers that are killed, clients that resume, people who talk.

It runs in the program's process, on the program's clock, and gives no verdict: it returns what happened.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import random
from collections.abc import Coroutine
from importlib import import_module
from typing import Any

import cloudpickle

from .pipe import Pipe

#: How long [s] a line takes from a server to a client.
TRANSIT_S = 0.005
#: The longest time [s] between two looks of the world at itself.
STEP_S = 0.25
#: How often somebody publishes the same message at most.
TRIES = 20
_here: contextvars.ContextVar[Server | None] = contextvars.ContextVar("server", default=None)


class Servers:
    """A reader's class, to be called with a story: it serves in servers; returns what happened.

    Parameters
    ----------
    data
        The class, pickled: each server has a copy of its own, as in a process of its own.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Loading nats-py takes long on a busy machine: now, and not in the time of the first story.
        import_module(".stream", __package__)
        self.__dict__ |= state

    async def __call__(self, story: dict[str, Any]) -> dict[str, Any]:
        from .stream import Stream

        moods = itertools.chain(story["moods"], itertools.repeat("kept"))
        return await World(self.data, story, Stream(moods, story["deleted"])).live()


class World:
    """A broker, and what happens at it.

    Parameters
    ----------
    data
        The reader's class.
    story
        Acts, each as (when [s], what, …), with the ``seed`` of what is left open, and when it is over.
    broker
        Its `connect` is what a server has of it, and `stored` what it keeps.
    """

    def __init__(self, data: bytes, story: dict[str, Any], broker: Any) -> None:
        self.data, self.story, self.broker = data, story, broker
        self.draw = random.Random(story["seed"])
        self.loop = asyncio.get_running_loop()
        self.begun_s = self.loop.time()
        self.servers: dict[str, Server] = {}
        self.clients: dict[str, Client] = {}
        self.tasks: set[asyncio.Task] = set()
        self.notes: list[tuple] = []  # (what, who, how)
        self.said: list[tuple] = []  # (key, server, outcome), attempt by attempt
        self.counts: list[int] = []

    @property
    def now_s(self) -> float:
        return self.loop.time() - self.begun_s

    async def live(self) -> dict[str, Any]:
        """Let everything happen; tell it."""
        self.loop.set_task_factory(self._task)
        try:
            for at_s, what, *which in self.story["acts"]:
                await self.rest(at_s)
                if inspect.isawaitable(done := getattr(self, what)(*which)):
                    await done
            await self.rest(self.story["until_s"])
            heard = {name: list(client.heard) for name, client in self.clients.items()}
            came = {name: client.came for name, client in self.clients.items()}
        finally:
            self.loop.set_task_factory(None)
            for task in self.tasks:
                task.cancel()
            for name in list(self.servers):
                self.kill(name)
        stored = self.broker.stored()
        return {"stream": await stored if inspect.isawaitable(stored) else stored, "heard": heard,
                "came": came, "said": self.said, "notes": self.notes, "counts": self.counts}  # fmt: skip

    def _task(self, loop: asyncio.AbstractEventLoop, work: Coroutine, **options: Any) -> asyncio.Task:
        """A task that dies with the server in which it was begun."""
        task = asyncio.Task(work, loop=loop, **options)
        context = options.get("context")
        server = context.get(_here) if context else _here.get()
        mine = server.tasks if server else self.tasks
        mine.add(task)
        task.add_done_callback(mine.discard)
        if server and not server.alive:
            task.cancel()
        return task

    async def rest(self, until_s: float) -> None:
        """Wait. A program that looks again and again does so within a step, in which no time passes."""
        while (left_s := until_s - self.now_s) > 1e-9:
            await asyncio.sleep(min(left_s, STEP_S))
            if order := getattr(self.loop, "order", None):
                order.turns = 0

    # -------------------------------------------------------------------------------- acts

    async def start(self, name: str) -> None:
        """A server begins, or begins anew, unless it lives."""
        if name in self.servers:
            return
        connected = self.broker.connect()
        js = await connected if inspect.isawaitable(connected) else connected
        self.servers[name] = Server(self, js)

    def kill(self, name: str) -> None:
        if name in self.servers:
            self.servers.pop(name).die()

    def listen(self, name: str, at: str | None, cursor: int) -> None:
        """A client comes, to one server or to any."""
        self.clients[name] = client = Client(self, name, at, cursor)
        client.life = self.loop.create_task(client.live())

    def leave(self, name: str) -> None:
        self.clients[name].life.cancel()

    def say(self, key: str, text: str, at: str | None) -> None:
        """Somebody publishes, at one server or at any, until a server says that it is done."""
        self.loop.create_task(self._say(key, text, at))

    def count(self) -> None:
        """Look how many subscriptions there are."""
        self.counts.append(sum(len(server.js.subscriptions) for server in self.servers.values()))

    async def _say(self, key: str, text: str, at: str | None) -> None:
        for _ in range(TRIES):
            name, server = await self.pick(at)
            work = server.begin(server.publish(text, key))
            await asyncio.wait([work, server.death], return_when=asyncio.FIRST_COMPLETED)
            if not server.alive or work.cancelled():
                outcome = "killed"
            elif error := work.exception():
                outcome = f"raised {type(error).__name__}: {error}"[:200]
            else:
                outcome = "done"
            # A model knows at once what it keeps; with a real broker it shows in the end.
            stored = [] if outcome != "done" else self.broker.stored()
            kept = True if inspect.iscoroutine(stored) else text in [text for text, _ in stored]
            if inspect.iscoroutine(stored):
                stored.close()
            self.said.append((key, text, name, outcome, kept))
            if outcome == "done":
                return
            await asyncio.sleep(self.draw.uniform(0.01, 0.05))

    async def pick(self, at: str | None) -> tuple[str, Server]:
        """A server that lives."""
        while not (names := [name for name in self.servers if at in (None, name)]):
            await asyncio.sleep(0.02)
        name = self.draw.choice(sorted(names))
        return name, self.servers[name]


def _look(task: asyncio.Task) -> None:
    """Look how a task has ended, so that its error is no complaint of the loop."""
    task.cancelled() or task.exception()


class Server:
    """A process of the reader's, until it is killed."""

    def __init__(self, world: World, js: Any) -> None:
        self.world, self.js = world, js
        self.alive, self.death = True, world.loop.create_future()
        self.tasks: set[asyncio.Task] = set()
        self.context = contextvars.copy_context()
        self.context.run(_here.set, self)
        self.room = self.context.run(lambda: alone(world.data)(js))

    def begin(self, work: Coroutine) -> asyncio.Task:
        task = self.world.loop.create_task(work, context=self.context)
        # Whoever waits for it looks, unless the story ends in the same turn of the loop: it is no complaint.
        task.add_done_callback(_look)
        return task

    def die(self) -> None:
        """End as SIGKILL ends a process: nothing that it has begun goes on."""
        self.alive = False
        self.js.kill()
        for task in list(self.tasks):
            task.add_done_callback(_look)  # nobody's any more
            task.cancel()
        self.death.set_result(None)

    async def publish(self, text: str, key: str) -> None:
        if inspect.isawaitable(done := self.room.publish(text, key)):
            await done

    async def serve(self, client: Client) -> None:
        """Send a client what the reader's `listen` gives."""
        news = self.room.listen(client.cursor)
        if not hasattr(news, "__aiter__"):
            if inspect.iscoroutine(news):
                news.close()
            raise NotImplementedError
        line = Pipe(TRANSIT_S, lambda item: client.hear(self, item))
        try:
            async for item in news:
                line.send(item)
        finally:
            if hasattr(news, "aclose"):
                await news.aclose()


class Client:
    """Somebody who listens at a server and, when that is dead, at another, from the last number on."""

    def __init__(self, world: World, name: str, at: str | None, cursor: int) -> None:
        self.world, self.name, self.at, self.cursor = world, name, at, cursor
        self.heard: list[tuple] = []  # (when [s], number, text)
        self.server: Server | None = None
        stored = world.broker.stored()
        self.came = 0 if inspect.iscoroutine(stored) else len(stored)  # how many messages there were
        if inspect.iscoroutine(stored):
            stored.close()

    async def live(self) -> None:
        while True:
            _, server = await self.world.pick(self.at)
            self.server = server
            work = server.begin(server.serve(self))
            try:
                await asyncio.wait([work, server.death], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.server = None
                work.cancel()
            if server.alive and work.done() and not work.cancelled():
                error = work.exception()
                how = f"raised {type(error).__name__}: {error}"[:200] if error else "ended"
                self.world.notes.append((how, self.name, len(self.heard)))
                return
            await asyncio.sleep(self.world.draw.uniform(0.001, 0.02))

    def hear(self, server: Server, item: Any) -> None:
        """Take a line, unless its connection has broken meanwhile."""
        if server is not self.server or not server.alive:
            return
        if not (isinstance(item, tuple | list) and [type(part) for part in item] == [int, str]):
            self.world.notes.append(("odd", self.name, f"{item!r:.60}"))
            return
        number, text = item
        self.heard.append((self.world.now_s, number, text))
        self.cursor = number


def alone(data: bytes) -> type:
    """A copy of the reader's class that shares nothing with the others, not even what stands in it."""
    # cloudpickle gives the class that it has made from the same pickle before, unless it forgets that.
    cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
    return cloudpickle.loads(data)
