"""The tasks of notebook 10: a location that lets all five transports pass, and three questions."""

from __future__ import annotations

import asyncio
import itertools
import re
from numbers import Real
from typing import Any

from .behind import PATIENCE_S, Client, Plain, Scene
from .location import Location
from .observer import Wrong
from .task import Quick

#: The lines of the http block, which somebody has set for the whole proxy, and a little over two seconds [s].
AROUND = "gzip on;\ngzip_types text/plain text/event-stream;\nproxy_read_timeout 1s;\n"
SILENCE_S = 2.1
_POLLS = 6
_CLOCK = "which of nginx's clocks runs while a server has nothing to say"
_THINK = {
    400: "what the server needs to know of a client's request",
    403: "whom the server lets in, and by which headers",
    405: "what becomes of a request on its way",
    426: "what the server needs to know of a client's request",
    502: "what nginx and the server say to each other, and who does not understand it",
    504: _CLOCK,
}


def _answered(what: str, client: Client) -> Wrong:
    status, _, body, _ = client.so_far()
    if status == 0 and client.ended:
        return Wrong(f"{what} got no answer: its connection was closed", "who closed it, and why")
    if status in (0, 200) and not client.complete():
        return Wrong(f"{what} had {len(body)} bytes of an answer after {PATIENCE_S:g} s, and not its end",
                     "what holds an answer up on its way")  # fmt: skip
    if status == 200:
        return Wrong(f"{what} got {body[:40]!r}, which the server did not say", "who said it")
    return Wrong(f"{what} got {status}", _THINK.get(status, "who wrote this status, nginx or the server"))


async def _asks(scene: Scene, what: str) -> Plain:
    """The handler of a request whose answer has come back as it was."""
    client = await scene.client("/answer")
    if not await client.got():
        raise _answered(what, client)
    if age := re.search("max-age=[1-9].*", client.so_far().headers.get("cache-control", "")):
        raise Wrong(f"the answer to {what} came with `{age[0]}`, which the server did not say",
                    "what a browser does that is to ask the same again")  # fmt: skip
    return client.handler


async def reload(scene: Scene) -> None:
    await _asks(scene, "the request for a page")


async def polls(scene: Scene) -> None:
    for _ in range(3):
        await _asks(scene, "a short poll")


async def _held(scene: Scene, hold_s: float) -> Client:
    client = await scene.client("/held")
    if not await client.arrived() or (hold_s and await client.moved(hold_s)):
        raise _answered("a held poll", client)
    return client


async def _released(client: Client) -> None:
    client.handler.released.set()
    if not await client.got():
        raise _answered("a held poll", client)


async def long_poll(scene: Scene) -> None:
    await _released(await _held(scene, 0.3))


async def stream(scene: Scene) -> Client:
    client = await scene.client("/stream", Accept="text/event-stream")
    for sent in range(scene.draw.randrange(5, 9)):
        if not await client.heard(f"data: {scene.text()}\n\n" if sent else ""):
            break
    else:
        if (kind := client.so_far().headers.get("content-type")) != "text/event-stream":
            raise Wrong(f"the event stream came as {kind}", "what an EventSource wants to read there")
        return client
    if client.ended or client.so_far().status not in (0, 200) or not client.handler:
        raise _answered("the request for an event stream", client)
    await client.heard("".join(f"data: {scene.text()}\n\n" for _ in range(10)))
    status, _, body, _ = client.so_far()
    had = f"{len(body)} of these {len(client.handler.said)} bytes" if status else "nothing, not even the head"
    raise Wrong(f"the server had sent the head of an event stream and {sent + 10} events, and the client had "
                f"{had}", "who gathers bytes on the way: there may be more than one")  # fmt: skip


async def web_socket(scene: Scene, **headers: str) -> Client:
    client = await scene.web_client(**headers)
    await client.until(Client.complete)
    status, what, seen = client.so_far().status, "the WebSocket handshake", client.handler
    if seen and status != 101 and seen.request.headers.get("Upgrade", "").lower() != "websocket":
        raise Wrong(f"{what} got {status}: Tornado never saw `Upgrade: websocket`",
                    "which headers concern one connection, so that nginx does not pass them on")  # fmt: skip
    saw = seen.request.headers.get("Connection", "") if seen else ""
    if seen and status != 101 and "upgrade" not in saw.lower():
        raise Wrong(f"{what} got {status}: Tornado saw `Upgrade: websocket`, but `Connection: {saw}` with it",
                    "which two headers belong together in a handshake")  # fmt: skip
    if seen and status == 403:
        raise Wrong(f"{what} of a page with Origin: {headers.get('Origin')} got 403: Tornado was told Host: "
                    f"{seen.request.host}", "what the handler compares, and who wrote it")  # fmt: skip
    if status == 101 and not client.opened():
        raise Wrong(f"{what} got 101, but not all that a client wants to read with it",
                    "which headers of an answer this location takes away")  # fmt: skip
    if not client.opened():
        raise _answered(what, client)
    if not await client.says(scene.text()):
        raise Wrong("what was said over a WebSocket did not come through and back; Tornado had been asked in "
                    f"{seen.request.version}", "which version of HTTP can change the protocol")  # fmt: skip
    return client


async def silence(scene: Scene) -> None:
    poll, events, web = await _held(scene, 0), await stream(scene), await web_socket(scene)
    cut = await asyncio.gather(*(client.moved(SILENCE_S) for client in (poll, events, web)))
    if any(cut):
        ends = f"the held poll got {poll.so_far().status}", "the event stream ended", "the WebSocket ended"
        after_s = min(client.quiet_s for client in itertools.compress((poll, events, web), cut))
        raise Wrong(
            f"after {after_s:.1f} s without a message {', '.join(itertools.compress(ends, cut))}", _CLOCK
        )
    await _released(poll)
    if not (await events.heard("data: again\n\n") and await web.says("again")):
        raise Wrong("a stream or a WebSocket did not go on after a silence", _CLOCK)


async def gathers(scene: Scene) -> None:
    behind = {(await _asks(scene, "a short poll")).address for _ in range(_POLLS)}
    if len(behind) == _POLLS:
        raise Wrong(f"{_POLLS} polls, one after the other, took {_POLLS} connections behind the proxy",
                    "who closes them: what nginx tells the server, and in which version")  # fmt: skip


async def browser(scene: Scene) -> None:
    await web_socket(scene, Origin=f"http://{scene.host}")
    stranger = await scene.web_client(Origin="http://elsewhere.example")
    await stranger.until(Client.complete)
    if stranger.so_far().status != 403:
        raise Wrong("a page of another site could open a WebSocket, too",
                    "what the server is to learn from the browser's own Origin and Host")  # fmt: skip


def beats(answer: Any) -> bool:
    """True if such a pause between heartbeats [s] is short enough, and no shorter than need be."""
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise ValueError(f"expected a number, got {answer!r:.60}")
    if not answer > 0:
        raise ValueError(f"expected seconds, got {answer:g}")
    if 5 <= answer <= 15:
        return True
    if answer > 30:
        raise ValueError(f"not {answer:g}: the shortest patience on the way counts")
    if answer > 15:
        raise ValueError(f"not {answer:g}: how long is the pause if a heartbeat is late by an interval?")
    raise ValueError(f"not {answer:g}: that does it, and sends several times as many as it takes")


TASKS = {
    "location": Location(
        stub="the location has no line yet: begin with the transport that does not even get its handshake",
        around=AROUND,
        stages=[
            [
                ("lets a page pass that is asked for", reload),
                ("lets short polls pass", polls),
                ("lets a held poll pass", long_poll),
                ("lets an event stream pass, each event at once", stream),
                ("lets a WebSocket pass, both ways", web_socket),
                ("needs fewer connections behind it than there are polls", gathers),
            ],
            [
                ("leaves polls, streams and WebSockets alone that are silent for two seconds", silence),
                ("lets a browser's WebSocket pass, and no page of another site", browser),
            ],
        ],
    ),
    "heartbeat": Quick(beats),
    "full": Quick(
        1 + (1024 - 1) // 2,
        {
            511: "that user is still served",
            513: "one listens, and 512 users would take 1,024 more",
            **dict.fromkeys((1023, 1024, 1025), "how many connections does the proxy hold for one user?"),
        },
    ),
    "origin": Quick(
        2,
        {
            1: "without it Python would get no further than the browser",
            3: "that concerns what is gathered, and is said to a proxy about a stream",
        },
    ),
}
