"""What is particular to each notebook in the second shape, for `test_lessons`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: The tags that a cell may have.
TAGS = {"navigation", "claim", "figure", "exercise", "make", "solution", "nbval-ignore-output"}
#: How much a notebook may have of each; an appendix a third more.
BUDGET = {
    "words": (900, 1800), "open cells": (0, 18), "open lines": (0, 230), "all lines": (0, 450),
    "lines of an open cell": (0, 20), "sections": (2, 5), "claims": (3, 12), "figures": (2, 6),
    "minutes to read": (0, 40),
}  # fmt: skip


#: Cells of 08 that run without its long silence.
SIDES = (
    "news", "join", "pinged", "others", "listen", "fade", "claim-others", "guess-cut", "busy", "claim-busy",
)  # fmt: skip


#: Cells of 16: on the train, and in its tunnels.
TRAIN = "guess-copies", "post", "train", "once", "claim-once"
TUNNELS = "guess-copies", "post", "train", "once", "stream", "robots", "tunnels", "claim-grids"


#: Cells of 11 that run whatever the table of headers holds.
POLLS = "page", "guess-tab", "tabs", "fields", "kitchen", "over-http2", "polls", "claim-bytes"


@dataclass(frozen=True)
class Mutation:
    """A mistake outside the claiming cell, and the claim that must notice it.

    Parameters
    ----------
    cell, old, new
        Which text of which cell is replaced.
    claim
        How the sentence begins that is false then.
    measured
        Which runs are measured, by transport, workload and the name of the handler; others are simulated.
    live
        Which experiments with real parts run, though what they find is recorded.
    only
        The cells that have to run, where others take their time; all of them by default.
    """

    cell: str
    old: str
    new: str
    claim: str
    measured: Callable = lambda transport, work, handler: False
    live: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """What is particular to a notebook.

    Parameters
    ----------
    mutations
        At least three.
    exempt
        Budget → its own range.
    """

    mutations: tuple[Mutation, ...]
    exempt: dict = field(default_factory=dict)


def with_keep_alive(transport, work, handler):
    return handler == "Remembering" and transport.keep_alive and work.pattern == "poisson"


CLOSES = """self.room = room
        self.request.connection.no_keep_alive = True
        self.set_header("Connection", "close")"""

#: Stem → lesson. A notebook that is rebuilt moves here from `test_notebooks`.
LESSONS = {
    "00_start_here": Lesson(
        mutations=(
            Mutation("film", "interval_s=1", "interval_s=0.3", "In the picture, long polling sends more"),
            Mutation(
                "film", "ShortPolling(interval_s=1", "ShortPolling(keep_alive=False, interval_s=1",
                "For that, short polling opened no more connections",
            ),
            Mutation("film", "pause_s=1", "pause_s=1, keep_alive=True", "Reload, which asks to close"),
            Mutation("race", "transport, work, link", "transport, work", "No message was faster"),
        ),
    ),
    "01_request_response": Lesson(
        mutations=(
            Mutation("by-hand", '"tea is ready"', '"tea is ready" * 20', "Head and body together"),
            Mutation("measure", '"keep-alive", True', '"keep-alive", False', "With keep-alive, each client"),
            Mutation("measure", '"close", False', '"close", True', "With close, the clients opened"),
        ),
    ),
    "02_short_polling": Lesson(
        mutations=(
            Mutation("since", "messages[cursor:]", "messages[cursor + 1:]", "Asked twice with the same"),
            Mutation("newest", "messages[-1:]", "messages[-2:]", "Of six messages between two polls"),
            Mutation("measure", "(1.0, 0.3)", "(1.0, 0.9)", "Polling once per second, the average"),
            Mutation("measure", "interval_s=interval_s)", "interval_s=1.3 - interval_s)", "Your clients got"),
        ),
    ),
    "03_long_polling": Lesson(
        mutations=(
            Mutation(
                "remembering", "for message in self.room.messages[cursor:]",
                "for message in self.room.messages[cursor + 1:]",
                "With a cursor, every client got every message", with_keep_alive,
            ),
            Mutation(
                "held", "self.room = room", CLOSES,
                "With keep-alive, each client opened one connection", with_keep_alive,
            ),
            Mutation("measure-held", "cursor=False", "cursor=True", "The forgetful server lost"),
            Mutation("measure-pairs", "0.001", "0.06", "Published just after an answer"),
            Mutation("measure-both", "keep_alive=False", "keep_alive=True", "With close, some message took"),
            Mutation("left-behind", "range(5)", "range(4)", "Five clients have hung up"),
        ),
    ),
    "04_server_sent_events": Lesson(
        mutations=(
            Mutation("stream", "data: {message.text}", "text: {message.text}", "The message came as one"),
            Mutation(
                "resuming", "self.room.messages[int(last):]", "self.room.messages[int(last) + 1:]",
                "A client that comes back with Last-Event-ID 1",
            ),
            Mutation(
                "resuming", "if last else []", "if last else self.room.messages",
                "A client that comes for the first time",
            ),
            Mutation("three", "burst=5", "burst=1", "Over long polling, half of the messages"),
            Mutation("three", "delay_s=0.025", "delay_s=0.03", "In a simulation of these bursts"),
        ),
    ),
    "05_websockets": Lesson(
        mutations=(
            Mutation(
                "shake", "dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA==",
                "The server's Sec-WebSocket-Accept is the hash",
            ),
            Mutation("frame", "n % 4", "n % 3", "The frame written here is the RFC's own"),
            Mutation("echo", "write_message(message)", "write_message(message[:4])", "Sent in one frame"),
            Mutation("frame", "first & 0b1111", "first & 0b0111", "A ping was answered by a pong"),
            Mutation(
                "news", "self.room.listeners.add(self.tell)",
                "self.room.listeners.update([self.tell, lambda message: self.tell(message)])",
                "Every client got every message exactly once",
                lambda transport, work, handler: handler == "News",
            ),
            Mutation(
                "measure", "lpws.WebSocket()", "lpws.LongPolling(keep_alive=False)",
                "Each client opened one connection",
            ),
            Mutation("ending", 'self.close(int(how), "so it goes")', "self.close()", "A Close frame with"),
            Mutation(
                "ending", "self.ws_connection.stream.close()", "self.close(1001)",
                "Closed without a goodbye, there was no frame",
            ),
        ),
    ),
    "06_costs": Lesson(
        mutations=(
            Mutation(
                "socket", "{message.id} {message.text}", "{message.id}: {message.text}",
                "A message over WebSocket",
            ),
            Mutation("streams", "data: {message.text}", "data: {message.text * 50}", "A message over SSE"),
            Mutation("steps", "20 + 20", "20 + 32", "With a message of 23 bytes inside"),
            Mutation("sessions", "up + down", "down", "With a hundred messages, long polling"),
            Mutation("deflate", "if not keep", "if keep", "With a memory, the updates"),
        ),
    ),
    "07_choosing": Lesson(
        mutations=(
            Mutation("measure", "long = lpws.LongPolling()", "long = lpws.LongPolling(pause_s=1.0)",
                     "With busy news, long polling asked more often"),
            Mutation("measure", "ShortPolling(interval_s=C)", "ShortPolling(interval_s=8 * C)",
                     "With quiet news, short polling asked more often"),
            Mutation("measure-paused", "(pause_s=pause_s)", "(pause_s=0.0)",
                     "With busy news, paused long polling asked no more often"),
            Mutation("measure-bursts", "burst=5", "burst=1", "In bursts of five, the average message"),
            Mutation("etag", "messages[-1].text", "messages[-1].text * len(answers)", "Asked again with the"),
            Mutation("five", "lpws.SSE()", "lpws.ShortPolling(interval_s=C)", "At 25 ms, the medians of SSE"),
        ),
    ),
    "08_dead_lines": Lesson(
        mutations=(
            Mutation("watch", "watch(lpws.Relay.silence)", "watch(lpws.Relay.cut)", "After a silence of"),
            Mutation(
                "pinged", "class Kept(News)", "class Kept(Pinged)", "TCP keep-alive found neither",
                only=("news", "join", "pinged", "hanging", "die", "claim-found"),
            ),
            Mutation(
                "others", "asyncio.sleep(0.25)", "asyncio.sleep(9)", "The server wrote at least two",
                only=SIDES,
            ),
            Mutation(
                "busy", "time.sleep(1.5)", "await asyncio.sleep(1.5)", "Ten healthy clients were busy",
                only=SIDES,
            ),
        ),
    ),
    "09_coming_back": Lesson(
        mutations=(
            Mutation("door", "backlog=backlog", "backlog=4096", "With room for 100 at the door"),
            Mutation("ways", 'first_s=1, jitter="full"', "**plain", "With full jitter, more clients"),
            Mutation("ways", '"jitter": "none"', '"jitter": "full"', "Without jitter, the largest wave"),
            Mutation("window", "lpws.Backoff(first_s=1)", "lpws.Backoff(first_s=1, factor=1)",
                     "With 10,000 clients, doubling needed"),
            Mutation("window", "clients=1000, serves_hz=MU", "clients=1500, serves_hz=MU",
                     "In the narrow window, 95 in 100"),
            Mutation("resume", "oldest - 1 <= cursor", "0 <= cursor", "A cursor that was too old"),
            Mutation("resume", "start != self.start or not", "not", "So was one from before the restart"),
        ),
    ),
    "10_proxies": Lesson(
        mutations=(
            Mutation(
                "mirror", "http_version 1.0;", "http_version 1.1;",
                "With nginx's old defaults, three",
            ),
            Mutation(
                "repair", 'NEWER = """\nproxy_http_version 1.1;', 'NEWER = """\nproxy_http_version 1.0;',
                "With HTTP/1.1, SSE gets through",
            ),
            Mutation("repair", "$http_upgrade", '""', "With Upgrade and Connection as the client"),
            Mutation("stairs-run", "gzip_types text/event-stream", "gzip_types text/plain", "With gzip"),
            Mutation(
                "stairs-run", "events_read(DEFAULTS)", "events_read(ALL_FIVE)", "Over HTTP/1.0, more than ten"
            ),
            Mutation("endings-run", "read_timeout 2s", "read_timeout 9s", "A poll held for longer than"),
            Mutation(
                "silent", "ping_interval", "pong_interval", "Held for half the timeout, the poll",
                live=("endings",),
            ),
            Mutation(
                "behind", ", through=lpws.Proxy(location)", "", "For a hundred polling clients, a proxy",
                live=("opened",),
            ),
            Mutation("behind", "(kind, work, ALL_FIVE)", "(kind, work, DEFAULTS)", "A proxy that keeps"),
        ),
    ),
    "11_http2": Lesson(
        mutations=(
            Mutation(
                "tabs", '"11_tabs.json").read_text("utf-8"))',
                '"11_tabs.json").read_text("utf-8").replace("255", "256"))', "Of 300 WebSockets",
            ),
            Mutation(
                "tabs", '"11_tabs.json").read_text("utf-8"))',
                '"11_tabs.json").read_text("utf-8").replace(\'"loaded": 6\', \'"loaded": 7\'))',
                "In Chromium, six",
            ),
            Mutation(
                "over-http2", "client.initiate_connection()",
                "client.initiate_connection()\n    client.encoder.header_table_size = 0",
                "Over HTTP/2, the tenth request took a frame header", live=("over_http2",),
                only=POLLS,
            ),
            Mutation(
                "over-http2", "send_headers(stream, FIELDS,",
                'send_headers(stream, [*FIELDS, ("cookie", f"{stream:0200}")],',
                "Over HTTP/2, the tenth request took less", live=("over_http2",),
                only=POLLS,
            ),
            Mutation(
                "polls", "sizes.append([len(HEAD)", "sizes.append([len(HEAD) - len(sizes)",
                "Over HTTP/1.1, the tenth request", live=("over_http1",),
            ),
            Mutation(
                "hold", "held(100), held(150)", "[99, 99, 1], held(150)", "For a hundred polls held",
            ),
            Mutation("hold", "held(150)", "[150, 150, 0]", "Of 150 polls"),
            Mutation("wall", "+ 0.020", "+ 0.2", "On one TCP connection, a lost packet"),
            Mutation("wall", "0.025 + 0.020", "0.020", "On ten TCP connections, or over QUIC"),
            Mutation(
                "connect", "bool(client.remote_settings.enable_connect_protocol)", "True",
                "nginx does not announce", live=("extended_connect",),
            ),
        ),
    ),
    "12_crowds": Lesson(
        mutations=(
            Mutation(
                "ways", "fan_out(tell, clients)", "fan_out(tell, most // 10)", "With ten times as many",
                only=("news", "fan-out", "guess-last", "ways", "claim-last"),
            ),
            Mutation(
                "tells", "await one.write_message(text)", "one.write_message(text)",
                "With await in the loop, the nine others", live=("stop_reading",),
                only=("news", "fan-out", "tells", "connect", "stop-reading", "stop", "where-picture",
                      "last-picture", "ways", "guess-last", "claim-where"),
            ),
            Mutation(
                "policies", "waiting[-LIMIT:]", "waiting", "With drop, prices were lost",
                live=("slow_readers",),
            ),
            Mutation(
                "policies", "news.split()[1]", "news.split()[0]", "With conflate, no more than three",
                live=("slow_readers",),
            ),
            Mutation(
                "outbox", "log[self.cursor:self", "log[self.cursor + 5:self",
                "With disconnect, the reader came back", live=("slow_readers",),
            ),
            Mutation("load", "(5, 70, 1000)}", "(5, 70, 1000)} | {1000: load(way, 5)}", "At a thousand"),
        ),
    ),
    "13_strangers": Lesson(
        mutations=(
            Mutation("cookies", '"strict", "lax"', '"strict", "law"', "From a page on another port"),
            Mutation("inbox", "== SESSION", "!= SESSION", "Unchecked, the socket sent"),
            Mutation("checked", "raise HTTPError(403)", "pass", "Checked, the socket"),
            Mutation("rules", "(None, mine)", '(None, "null")', "A rebound page's"),
            Mutation("rules", '(None, "same-origin", "none")', '(None, "same-site", "none")', "Three checks"),
            Mutation("rules", "return request.host in OURS", "return True", "Of the pages recorded"),
            Mutation("gate", "tickets.discard(ticket)", "pass", "From the access log"),
            Mutation("gate", "or ticket in tickets", "", "Each of the five"),
            Mutation("feeds", "if self.session in sessions:", "if True:", "After the logout"),
        ),
    ),
    "14_many_servers": Lesson(
        mutations=(
            Mutation("chat", "self.room.publish(text)", "self.write_message(text)", "With one server, all"),
            Mutation(
                "two", "await without_broker()", 'await without_broker("hash $uri;")',
                "With two servers in turn",
            ),
            Mutation("sticky", '"hash $uri;"', '"least_conn;"', "With the whole room at one"),
            Mutation(
                "shared", 'await self.room.broker.publish("tea", text.encode())', "self.room.publish(text)",
                "Through a broker, all 400", live=("through_broker",),
            ),
            Mutation(
                "killed", "a.crash()", "pass", "The killed server's ten WebSockets", live=("killed",),
            ),
            Mutation("stream", '"Nats-Msg-Id"', '"Message-Id"', "Said three times"),
            Mutation(
                "logs", "said.metadata.sequence.stream", "len(room.log)", "With the stream's numbers",
                live=("newcomer",),
            ),
        ),
    ),
    "15_ten_million": Lesson(
        mutations=(
            Mutation("moved", "sockets, polls = ", "polls, sockets = ", "In its first second"),
            Mutation("drained", '"WebSocket", 1.5', '"WebSocket", 0', "Jitter at least halved"),
            Mutation("dead", "range(60, 120)", "range(60, 115)", "All heard the last", live=("broker_dies",)),
            Mutation("bill", "phones / back_s", "phones / 600", "By the bill, a return spread"),
            Mutation("bill", "servers * copy_s / within_s", "phones * copy_s", "To tell everyone"),
            Mutation("sweep", "first_s=10", "first_s=40", "Every simulation lay", live=("swept",)),
        ),
    ),
    "16_build_a_chat": Lesson(
        mutations=(
            Mutation("once", "if key not in ids:", "if True:", "With a key, three tries", only=TRAIN),
            Mutation(
                "robots", '{"Last-Event-ID": last}', '{"Last-Event-ID": "0"}', "With a key and a cursor",
                only=TUNNELS,
            ),
            Mutation("robots", "len(self.room.messages)", "0", "Without a cursor, every", only=TUNNELS),
            Mutation("tunnels", "lost=n % 4 == 2, ", "", "With a cursor alone", only=TUNNELS),
            Mutation("present", "patience_s = 1.0", "patience_s = 0.0", "With patience, Ada"),
            Mutation("tell", "patience_s = 0.0", "patience_s = 1.0", "Without patience, Ada"),
            Mutation("felt", "Robots(server, ways, link)", "Robots(server, ways)", "No message reached"),
        ),
    ),
    "A_the_instrument": Lesson(
        mutations=(
            Mutation("forgetful", "cursor=False", "cursor=True", "Long polling without a cursor lost"),
            Mutation(
                "three-ways", "ask(port, timeout_s=0.5)", "await asyncio.to_thread(ask, port, 5)",
                "A blocking request to a server on the cell's own loop",
            ),
            Mutation(
                "clients", "client.getresponse().read()", "client.getresponse().read(); client.close()",
                "For five requests, http.client opened one",
            ),
            Mutation("fifteen", "await fifteen()", "await fifteen(max_clients=12)", "Of fifteen requests"),
            Mutation("by-hand", "sent += len(line)", "sent += len(line) + 1", "What a client counted"),
            Mutation("stall", "now - sent, now - intended", "now - sent, now - sent", "The honest p99 was"),
            Mutation("seeds", "aligned=aligned", "aligned=False", "In step, the mean of a run"),
        ),
    ),
    "B_the_article": Lesson(
        mutations=(
            Mutation("measure", "interval_s=0.5, keep_alive=False", "interval_s=0.5", "With close, short"),
            Mutation(
                "measure", '"short polling": lpws.ShortPolling(interval_s=0.5',
                '"short polling": lpws.ShortPolling(keep_alive=False, interval_s=0.5',
                "Without it, the same clients",
            ),
            Mutation("measure", "lpws.WebSocket()", "lpws.Reload()", "Over WebSocket, SSE, long and short"),
        ),
    ),
}  # fmt: skip
