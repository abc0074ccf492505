"""The tasks of notebook 10: a location that lets all five transports pass, and three questions."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
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
_CLOCK = "which of nginx's timeouts runs while the server has nothing to say"
_THINK = {
    400: "what the server needs to know about the client's request",
    403: "which headers decide whom the server lets in",
    405: "what happens to a request on its way",
    426: "what the server needs to know about the client's request",
    502: "what nginx and the server say to each other, and which of them does not understand",
    504: _CLOCK,
}


def _answered(what: str, client: Client) -> Wrong:
    status, _, body, _ = client.so_far()
    if status == 0 and client.ended:
        return Wrong(f"{what} got no answer: its connection was closed", "which side closed it, and why")
    if status in (0, 200) and not client.complete():
        return Wrong(f"{what} had {len(body)} bytes of an answer after {PATIENCE_S:g} s, but not its end",
                     "what delays an answer on its way")  # fmt: skip
    if status == 200:
        return Wrong(f"{what} got {body[:40]!r}, which the server did not send", "who sent it")
    return Wrong(f"{what} got {status}", _THINK.get(status, "who wrote this status, nginx or the server"))


async def _asks(scene: Scene, what: str) -> Plain:
    """The handler of a request whose answer came back unchanged."""
    client = await scene.client("/answer")
    if not await client.got():
        raise _answered(what, client)
    if kept := _kept(client.so_far().headers):
        raise Wrong(f"the answer to {what} came with `{kept}`, which the server did not send",
                    "what a browser does when it wants the same URL again")  # fmt: skip
    return client.handler


def _kept(headers: dict[str, str]) -> str:
    """The header that lets a browser, or a cache on the way, keep an answer; empty if none does."""
    control, expires = headers.get("cache-control", ""), headers.get("expires", "")
    if re.search("(?i)no-(store|cache)", control):
        return ""
    if age := re.search("(?i)(max-age|s-maxage)=\"?0*[1-9].*", control):
        return age[0]
    with suppress(TypeError, ValueError, OverflowError):  # what is no date is past (RFC 9111 §5.3)
        if "max-age" not in control.lower() and mktime_tz(parsedate_tz(expires)) > time.time():
            return f"Expires: {expires}"
    return ""


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
            came = f"with Content-Type: {kind}" if kind else "without a Content-Type"
            raise Wrong(f"the event stream came {came}", "which type an EventSource insists on")
        return client
    if client.ended or client.so_far().status not in (0, 200) or not await client.arrived():
        raise _answered("the request for an event stream", client)
    await client.heard("".join(f"data: {scene.text()}\n\n" for _ in range(10)))
    status, _, body, _ = client.so_far()
    had = f"{len(body)} of these {len(client.handler.said)} bytes" if status else "nothing, not even the head"
    raise Wrong(f"the server had sent the head of an event stream and {sent + 10} events, but the client had "
                f"received {had}",
                "what collects bytes on the way: there may be more than one culprit")  # fmt: skip


async def web_socket(scene: Scene, **headers: str) -> Client:
    client = await scene.web_client(**headers)
    await client.until(Client.complete)
    status, what, seen = client.so_far().status, "the WebSocket handshake", client.handler
    if seen and status != 101 and seen.request.headers.get("Upgrade", "").lower() != "websocket":
        raise Wrong(f"{what} got {status}: Tornado never saw `Upgrade: websocket`",
                    "which headers belong to a single connection, so that nginx drops them")  # fmt: skip
    saw = seen.request.headers.get("Connection", "") if seen else ""
    if seen and status != 101 and "upgrade" not in saw.lower():
        raise Wrong(f"{what} got {status}: Tornado saw `Upgrade: websocket`, but with `Connection: {saw}`",
                    "which two headers belong together in a handshake")  # fmt: skip
    if seen and status == 403:
        raise Wrong(f"{what} from a page with Origin: {headers.get('Origin')} got 403: Tornado was told "
                    f"Host: {seen.request.host}",
                    "which two headers the handler compares, and who wrote each")  # fmt: skip
    if status == 101 and not client.opened():
        raise Wrong(f"{what} got 101, but not all the headers that a client requires",
                    "which response headers this location removes")  # fmt: skip
    if not client.opened():
        raise _answered(what, client)
    if not await client.says(scene.text()):
        raise Wrong("a WebSocket message did not reach the server and come back; nginx had asked Tornado in "
                    f"{seen.request.version}", "which version of HTTP can switch protocols")  # fmt: skip
    return client


async def silence(scene: Scene) -> None:
    poll, events, web = await _held(scene, 0), await stream(scene), await web_socket(scene)
    cut = await asyncio.gather(*(client.moved(SILENCE_S) for client in (poll, events, web)))
    if not any(cut):  # nginx may be late: once it answers another request, it has seen to its timers
        await _asks(scene, "a short poll")
        cut = await asyncio.gather(*(client.moved(0) for client in (poll, events, web)))
    if any(cut):
        ends = f"the held poll got {poll.so_far().status}", "the event stream ended", "the WebSocket ended"
        after_s = min(client.quiet_s for client in itertools.compress((poll, events, web), cut))
        raise Wrong(
            f"after {after_s:.1f} s without a message, {', '.join(itertools.compress(ends, cut))}", _CLOCK
        )
    await _released(poll)
    if not (await events.heard("data: again\n\n") and await web.says("again")):
        raise Wrong("a stream or a WebSocket no longer worked after a silence", _CLOCK)


async def gathers(scene: Scene) -> None:
    behind = {(await _asks(scene, "a short poll")).address for _ in range(_POLLS)}
    if len(behind) == _POLLS:
        raise Wrong(f"{_POLLS} polls, one after another, took {_POLLS} connections behind the proxy",
                    "why they are closed: what nginx tells the server, in which HTTP version")  # fmt: skip


async def browser(scene: Scene) -> None:
    await web_socket(scene, Origin=f"http://{scene.host}")
    stranger = await scene.web_client(Origin="http://elsewhere.example")
    await stranger.until(Client.complete)
    if stranger.so_far().status != 403:
        raise Wrong("another site's page could also open a WebSocket",
                    "what the server must learn: the browser's own Origin and Host")  # fmt: skip


def beats(answer: Any) -> bool:
    """True if this heartbeat interval [s] is short enough, and a whole second more would be too long."""
    if isinstance(answer, bool) or not isinstance(answer, Real):
        raise ValueError(f"expected a number, got {answer!r:.60}")
    if not answer > 0:
        raise ValueError(f"expected a positive number of seconds, got {answer:g}")
    if 14 <= answer < 15:
        return True
    if answer == 15:
        raise ValueError("not 15: a heartbeat that is 15 s late comes exactly when the 30 s are over: a race")
    if answer >= 30:
        raise ValueError(f"not {answer:g}: the shortest timeout on the path counts")
    if answer > 15:
        raise ValueError(f"not {answer:g}: how long is the silence if a heartbeat comes an interval late?")
    raise ValueError(f"not {answer:g}: that works, but so does a longer interval")


TASKS = {
    "location": Location(
        stub="the location is still empty: start with the transport whose handshake already fails",
        around=AROUND,
        stages=[
            [
                ("delivers a page", reload),
                ("lets short polls through", polls),
                ("lets a held poll through", long_poll),
                ("passes on each event of a stream at once", stream),
                ("lets a WebSocket through, in both directions", web_socket),
                ("lets polls share connections to the server", gathers),
            ],
            [
                ("keeps polls, streams and WebSockets open through two seconds of silence", silence),
                ("lets a browser's WebSocket through, but not one from another site", browser),
            ],
        ],
    ),
    "heartbeat": Quick(beats),
    "full": Quick(
        1 + (1024 - 1) // 2,
        {
            511: "that WebSocket still opens",
            513: "one connection listens, and 512 WebSockets would take 1,024 more",
            **dict.fromkeys(
                (1023, 1024, 1025), "how many connections does the proxy hold for one WebSocket?"
            ),
        },
    ),
    "origin": Quick(
        2,
        {
            1: "then Python would get a 403 as well: nginx would send an Origin, and none that matches Host",
            3: "buffering can delay an answer, not turn it into a 403",
        },
    ),
}
