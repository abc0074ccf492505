"""A model of a stream of NATS, with the face that nats-py gives it: numbered, deduplicated, at least once.

It runs in the program's process, on the program's clock, so that a check needs no broker. A test compares
the verdicts that it leads to with those of the real one.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from nats import errors
from nats.js import errors as js_errors

from .pipe import Pipe

SUBJECT = "room"
#: How long [s] a word takes to the broker, or from it.
HOP_S = 0.001
#: NATS's own: when [s] an unacknowledged message comes again, and how many may be unacknowledged.
ACK_WAIT_S, MOST_UNACKED = 30.0, 1000
#: How long [s] nats-py waits for the broker's answer.
TIMEOUT_S = 5.0


class Stream:
    """The messages so far, and who is to have them.

    Parameters
    ----------
    moods
        What becomes of each publish: ``"kept"``, ``"mute"`` (kept, and the answer is lost) or ``"deaf"``.
    deleted
        How many messages it had and has no more, as those beyond its ``max_age``.
    """

    def __init__(self, moods: Iterator[str], deleted: int = 0) -> None:
        self.moods, self.deleted = moods, deleted
        self.messages: list[tuple[bytes, dict]] = [(b"", {})] * deleted
        self.keys: dict[str, int] = {}
        self.consumers: dict[str, Consumer] = {}
        self.names = map("consumer{}".format, itertools.count(1))

    def keep(self, data: bytes, headers: dict) -> tuple[int, bool]:
        """Keep a message; return its number, and whether its key is known already."""
        key = headers.get("Nats-Msg-Id")
        if key and key in self.keys:
            return self.keys[key], True
        self.messages.append((data, headers))
        if key:
            self.keys[key] = len(self.messages)
        for consumer in list(self.consumers.values()):
            consumer.push()
        return len(self.messages), False

    def stored(self) -> list[tuple[str, str | None]]:
        """Text and key of each message."""
        kept = self.messages[self.deleted :]
        return [(data.decode("utf-8", "replace"), headers.get("Nats-Msg-Id")) for data, headers in kept]

    def connect(self) -> JetStream:
        """A connection of one server."""
        return JetStream(self)


class Consumer:
    """Somebody who reads, as the broker knows them: how far they are, and what is not acknowledged."""

    def __init__(self, stream: Stream, config: Any, durable: str | None, acks: bool) -> None:
        self.stream, self.durable = stream, durable
        self.name = durable or getattr(config, "name", None) or next(stream.names)
        self.policy = str(getattr(config.ack_policy, "value", config.ack_policy)) if acks else "none"
        self.wait_s = config.ack_wait or ACK_WAIT_S
        self.most = config.max_ack_pending or MOST_UNACKED
        self.loop = asyncio.get_running_loop()
        self.next = max(self._first(config), stream.deleted + 1)
        self.again_s: dict[int, float] = {}  # number → when it comes again, unless it is acknowledged
        self.sent: Counter[int] = Counter()
        self.takers: list[Subscription] = []
        self.turn = itertools.count()
        self.more: asyncio.Future | None = None
        stream.consumers[self.name] = self

    def _first(self, config: Any) -> int:
        last = len(self.stream.messages)
        policy = str(getattr(config.deliver_policy, "value", config.deliver_policy))
        if policy == "by_start_sequence":
            if not isinstance(config.opt_start_seq, int) or config.opt_start_seq < 1:
                raise js_errors.BadRequestError(description="opt_start_seq: expected a number from 1")
            return config.opt_start_seq
        return {"new": last + 1, "last": max(last, 1), "last_per_subject": max(last, 1)}.get(policy, 1)

    def take(self) -> Message | None:
        """The message that is to go out now, if there is one."""
        now_s = self.loop.time()
        late = [number for number, at_s in self.again_s.items() if at_s <= now_s]
        if late:
            number = min(late)
        elif self.next <= len(self.stream.messages) and len(self.again_s) < self.most:
            number, self.next = self.next, self.next + 1
        else:
            return None
        self.sent[number] += 1
        if self.policy != "none":
            self.again_s[number] = now_s + self.wait_s
            self.loop.call_later(self.wait_s, self.push)
        return Message(self, number)

    def push(self) -> None:
        """Send what can be sent, to the takers in turn; wake one who pulls."""
        while self.takers and (message := self.take()):
            self.takers[next(self.turn) % len(self.takers)].send(message)
        if self.more and not self.more.done():
            self.more.set_result(None)

    def acknowledge(self, number: int, good: bool = True) -> None:
        if not good:
            self.again_s[number] = self.loop.time()
        elif self.policy == "all":
            self.again_s = {n: at_s for n, at_s in self.again_s.items() if n > number}
        else:
            self.again_s.pop(number, None)
        self.push()

    def forget(self, subscription: Subscription) -> None:
        """Somebody has left: a consumer that has a name stays."""
        with suppress(ValueError):
            self.takers.remove(subscription)
        if not self.durable:
            self.stream.consumers.pop(self.name, None)

    def info(self) -> SimpleNamespace:
        pending = len(self.stream.messages) - self.next + 1
        return SimpleNamespace(name=self.name, stream_name=SUBJECT, num_pending=pending,
                               num_ack_pending=len(self.again_s), push_bound=bool(self.takers))  # fmt: skip


class Message:
    """A message as a subscriber has it."""

    subject = SUBJECT

    def __init__(self, consumer: Consumer, number: int) -> None:
        self._consumer, self._acked = consumer, False
        self.data, headers = consumer.stream.messages[number - 1]
        self.headers = self.header = headers or None
        self.reply = f"$JS.ACK.{SUBJECT}.{consumer.name}.{number}"
        count = sum(consumer.sent.values())
        self.metadata = SimpleNamespace(
            sequence=SimpleNamespace(stream=number, consumer=count), stream=SUBJECT, consumer=consumer.name,
            num_delivered=consumer.sent[number], num_pending=len(consumer.stream.messages) - number,
            timestamp=datetime.datetime.now(datetime.UTC),
        )  # fmt: skip

    async def ack(self, good: bool = True) -> None:
        if self._acked:
            raise errors.MsgAlreadyAckdError(self)
        self._acked = True
        self._consumer.acknowledge(self.metadata.sequence.stream, good)

    async def nak(self, delay: float | None = None) -> None:
        await self.ack(good=False)

    async def ack_sync(self, timeout: float = 1.0) -> None:
        await asyncio.sleep(2 * HOP_S)
        await self.ack()

    term = ack

    async def in_progress(self) -> None:
        self._consumer.again_s[self.metadata.sequence.stream] += self._consumer.wait_s


class Subscription:
    """A subscription of one server: the broker pushes, or the server fetches."""

    def __init__(self, js: JetStream, consumer: Consumer, cb: Callable | None = None) -> None:
        self._js, self._consumer, self._queue, self._cb = js, consumer, asyncio.Queue(), cb
        self._open, self._calls = True, None
        self.send = Pipe(HOP_S, self._arrive).send
        js.subscriptions.append(self)
        if cb:
            self._calls = asyncio.ensure_future(self._call())

    def _arrive(self, message: Message) -> None:
        if self._open and self._js.alive:
            self._queue.put_nowait(message)

    async def _call(self) -> None:
        async for message in self:
            await self._cb(message)

    @property
    def messages(self) -> Subscription:
        return self

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        if (message := await self._queue.get()) is None:
            raise StopAsyncIteration
        return message

    async def next_msg(self, timeout: float | None = 1.0) -> Message:
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except TimeoutError:
            raise errors.TimeoutError from None

    async def fetch(
        self, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None
    ) -> list[Message]:
        end_s = self._consumer.loop.time() + (timeout or 1e9)
        await self._js.there()
        while not (found := list(itertools.islice(iter(self._consumer.take, None), batch))):
            self._consumer.more = self._consumer.loop.create_future()
            left_s = end_s - self._consumer.loop.time()
            if not (await asyncio.wait([self._consumer.more], timeout=max(left_s, 0)))[0]:
                raise errors.TimeoutError if batch == 1 else TimeoutError  # as nats-py does
        await self._js.there()
        return found

    async def unsubscribe(self, limit: int = 0) -> None:
        if self._open:
            self._open = False
            self._js.subscriptions.remove(self)
            self._consumer.forget(self)
            self._queue.put_nowait(None)

    drain = unsubscribe

    async def consumer_info(self) -> SimpleNamespace:
        await self._js.there()
        return self._consumer.info()


class JetStream:
    """The broker as a server of the reader has it: as much of the JetStream of nats-py as a room needs."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.alive = stream, True
        self.subscriptions: list[Subscription] = []

    async def there(self) -> None:
        """Let a word go to the broker; the server may not live to see it arrive."""
        await asyncio.sleep(HOP_S)
        if not self.alive:
            raise asyncio.CancelledError

    def kill(self) -> None:
        """The server is killed: the broker notices at once that its connection has ended."""
        self.alive = False
        for subscription in self.subscriptions:
            subscription._consumer.forget(subscription)

    async def publish(
        self, subject: str, payload: bytes = b"", timeout: float | None = None, stream: str | None = None,
        headers: dict | None = None, msg_ttl: float | None = None,
    ) -> SimpleNamespace:  # fmt: skip
        if not isinstance(payload, bytes | bytearray):
            raise TypeError(f"publish: expected bytes, got {payload!r:.40}")
        headers = {str(name): str(value) for name, value in (headers or {}).items()}
        mood = next(self._stream.moods)
        await self.there()
        if subject != SUBJECT:
            raise js_errors.NoStreamResponseError
        if mood != "deaf":
            number, known = self._stream.keep(bytes(payload), headers)
        if mood != "kept":
            await asyncio.sleep(timeout or TIMEOUT_S)
            raise errors.TimeoutError
        await self.there()
        return SimpleNamespace(stream=SUBJECT, seq=number, duplicate=known or None)

    async def subscribe(
        self, subject: str, queue: str | None = None, cb: Callable | None = None, durable: str | None = None,
        stream: str | None = None, config: Any = None, manual_ack: bool = False,
        ordered_consumer: bool = False, deliver_policy: Any = None, **_: Any,
    ) -> Subscription:  # fmt: skip
        consumer = await self._consumer(subject, queue or durable, config, deliver_policy, ordered_consumer)
        if consumer.takers and not queue:
            raise js_errors.Error("consumer is already bound to a subscription")
        if cb and not manual_ack and consumer.policy != "none":
            call = cb

            async def cb(message: Message) -> None:
                await call(message)
                with suppress(errors.MsgAlreadyAckdError):
                    await message.ack()

        subscription = Subscription(self, consumer, cb)
        consumer.takers.append(subscription)
        consumer.push()
        return subscription

    async def pull_subscribe(
        self, subject: str, durable: str | None = None, stream: str | None = None, config: Any = None,
        **_: Any,
    ) -> Subscription:  # fmt: skip
        return Subscription(self, await self._consumer(subject, durable, config))

    async def _consumer(
        self, subject: str, name: str | None, config: Any, policy: Any = None, ordered: bool = False
    ) -> Consumer:
        from nats.js.api import ConsumerConfig

        await self.there()
        if subject != SUBJECT:
            raise js_errors.NotFoundError(description="no stream has this subject")
        config = config or ConsumerConfig()
        if policy:
            config.deliver_policy = policy
        name = name or config.durable_name
        found = self._stream.consumers.get(name) if name else None
        return found or Consumer(self._stream, config, name, not ordered)

    async def get_msg(self, stream_name: str, seq: int | None = None, **_: Any) -> SimpleNamespace:
        await self.there()
        if stream_name != SUBJECT or not self._stream.deleted < (seq or 0) <= len(self._stream.messages):
            raise js_errors.NotFoundError(code=404, description="no message found")
        data, headers = self._stream.messages[seq - 1]
        return SimpleNamespace(subject=SUBJECT, seq=seq, sequence=seq, data=data, headers=headers or None,
                               header=headers or None)  # fmt: skip

    async def get_last_msg(self, stream_name: str, subject: str = SUBJECT, **_: Any) -> SimpleNamespace:
        return await self.get_msg(stream_name, len(self._stream.messages))

    async def stream_info(self, name: str, **_: Any) -> SimpleNamespace:
        await self.there()
        if name != SUBJECT:
            raise js_errors.NotFoundError(code=404, description="stream not found")
        last, deleted = len(self._stream.messages), self._stream.deleted
        state = SimpleNamespace(messages=last - deleted, first_seq=min(last, deleted + 1), last_seq=last)
        return SimpleNamespace(config=SimpleNamespace(name=SUBJECT, subjects=[SUBJECT]), state=state)

    def __repr__(self) -> str:
        return json.dumps({"stream": SUBJECT, "messages": len(self._stream.stored())})
