"""What the lessons say of HTTP and of cursors in words only, looked up by running it.

What they say of browsers is in `browser/test_facts.py`.
"""

import http.client
import inspect
import re
import socket

import booklet
import pytest
from lessons import LESSONS
from tornado.web import RequestHandler
from websockets.asyncio.client import connect

import lpws


def names_of(stem):
    """The names after a notebook."""
    return booklet.read_through(booklet.NOTEBOOKS / f"{stem}.ipynb")


# ------------------------------------------------------------------------------- the scope is HTTP/1.1

LINK = lpws.Link(delay_s=0.01)


@pytest.mark.parametrize(
    ("transport", "stem", "name"),
    [(lpws.Reload(pause_s=0.1), "02_short_polling", "Since"),
     (lpws.ShortPolling(interval_s=0.1), "02_short_polling", "Since"),
     (lpws.LongPolling(), "03_long_polling", "Remembering"),
     (lpws.SSE(), "04_server_sent_events", "Resuming"),
     (lpws.WebSocket(), "05_websockets", "News")],
    ids=lambda value: getattr(value, "label", ""),
)  # fmt: skip
def test_every_transport_of_the_series_is_measured_over_http_1_1(transport, stem, name):
    versions = set()

    class Noting(names_of(stem)[name]):
        def prepare(self):
            versions.add(self.request.version)

    work = lpws.Workload(clients=2, rate_hz=20, duration_s=0.3)
    run = lpws.measure(transport, work, LINK, handler=Noting)
    assert (lpws.deliveries(run).state == "delivered").all()
    assert versions == {"HTTP/1.1"}


def test_the_server_speaks_no_http_2():
    """RFC 9113 §3.4: whoever begins with this preface speaks HTTP/2, and nothing else."""
    with lpws.Server() as server, socket.create_connection(("127.0.0.1", server.port), 5) as line:
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")


PART_ONE = [stem for stem in LESSONS if stem < "08"]  # of HTTP/2 speaks part two


@pytest.mark.parametrize("stem", PART_ONE)
def test_a_lesson_names_its_scope_before_it_measures(stem):
    cells = booklet.read(booklet.NOTEBOOKS / f"{stem}.ipynb").cells
    first = next(n for n, cell in enumerate(cells) if "lpws.measure(" in cell.source)
    said = "\n".join(cell.source for cell in cells[:first] if cell.cell_type == "markdown")
    assert re.search(r"(Everything( measured)? here|All of it) is (the WebSocket of )?HTTP/1\.1", said)


# ------------------------------------------------------------------- what a poll can have: ETag and 304


def exchange(server, path, **headers):
    """Status, length of the head and body of an answer; and its headers."""
    line = http.client.HTTPConnection(server.host, timeout=5)
    line.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = line.getresponse()
    body, head = answer.read(), sum(len(f"{name}: {value}\r\n") for name, value in answer.getheaders())
    line.close()
    return answer.status, head, len(body), answer.headers


def test_a_304_saves_the_body_and_hardly_any_of_the_head():
    with lpws.Server(handlers={"/scores": names_of("07_choosing")["Scores"]}) as server:
        server.publish("1 : 0 " * 50)
        status, head, size, headers = exchange(server, "/scores")
        assert (status, size) == (200, 300)
        again, small_head, nothing, _ = exchange(server, "/scores", If_None_Match=headers["ETag"])
        assert (again, nothing) == (304, 0)
        assert small_head > head / 2
        assert headers["Cache-Control"] == "public, max-age=1"
        server.publish("1 : 1")
        assert exchange(server, "/scores", If_None_Match=headers["ETag"])[0] == 200


# ------------------------------------------------------------- 00: the table counts all in one window


def test_the_table_of_the_race_counts_connections_and_requests_in_one_window():
    """Reload opens a connection per request: only one that is just being opened has no request yet."""
    names = names_of("00_start_here")
    table, race, end_s = names["table"], names["race"], names["work"].duration_s
    for label, run in race.items():
        assert table.connections[label] == (lpws.connections(run).opened_s <= end_s).sum()
        assert table.requests[label] == (lpws.requests(run).sent_s <= end_s).sum()
    opening = table.connections["reload"] - table.requests["reload"]
    assert abs(opening) <= 5
    longer = len(lpws.connections(race["reload"])) - table.requests["reload"]
    assert longer > 5, "counted to the end of the run it would differ"


# ------------------------------------------------------------------------- cursors that do not fit


def ask(server, path, timeout=5):
    """Status of an answer, and the numbers of its messages."""
    line = http.client.HTTPConnection(server.host, timeout=timeout)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, [int(row.split()[0]) for row in answer.read().decode().splitlines()]
    finally:
        line.close()


class Newest(RequestHandler):
    """Polls of a server that keeps the newest three messages, and takes any cursor."""

    def initialize(self, room):
        self.room = room

    def get(self):
        cursor = int(self.get_query_argument("cursor"))
        self.tell([each for each in self.room.messages[-3:] if each.id > cursor])

    def tell(self, messages):
        for message in messages:
            self.write(f"{message.id} {message.text}\n")


class Honest(Newest):
    """The same, with one more answer: your cursor is too old."""

    def get(self):
        cursor, kept = int(self.get_query_argument("cursor")), self.room.messages[-3:]
        if kept and cursor < kept[0].id - 1:
            self.set_status(410)
        else:
            super().get()


def test_a_server_that_keeps_a_window_needs_the_answer_that_a_cursor_is_too_old():
    with lpws.Server(handlers={"/newest": Newest, "/honest": Honest}) as server:
        for _ in range(7):
            server.publish("tea")
        silently = []
        for cursor in range(8):
            lacks = list(range(cursor + 1, 8))
            status, got = ask(server, f"/newest?cursor={cursor}")
            assert status == 200
            silently.append(got != lacks)
            status, got = ask(server, f"/honest?cursor={cursor}")
            assert (status, got) == ((200, lacks) if cursor >= 4 else (410, []))
        assert silently == [True] * 4 + [False] * 4


def test_after_a_restart_a_cursor_may_be_too_new_and_then_nothing_comes_until_the_numbers_catch_up():
    with lpws.Server(handlers={"/held": names_of("03_long_polling")["Remembering"]}) as server:
        server.publish("tea is ready")
        for number in (2, 3):  # the client has heard three messages before the restart
            server.publish("tea gets cold", after_s=0.2)
            assert ask(server, "/held?cursor=3") == (200, []), number
        server.publish("tea is cold", after_s=0.2)
        assert ask(server, "/held?cursor=3") == (200, [4])


def test_a_cursor_of_one_server_means_nothing_to_another_that_has_messages_of_its_own():
    since = names_of("02_short_polling")["Since"]
    with lpws.Server(handlers={"/news": since}) as one, lpws.Server(handlers={"/news": since}) as other:
        for _ in range(3):
            one.publish("of one")
            other.publish("of the other")
        _, got = ask(one, "/news?cursor=0")
        assert ask(other, f"/news?cursor={max(got)}") == (200, []), "three messages are missed, silently"
        assert ask(other, "/news?cursor=0") == (200, [1, 2, 3])


# ------------------------------------------------------------------------------------ 05: pings


def test_a_ping_costs_a_small_frame_each_way_and_a_common_library_sends_one_every_20_to_30_seconds():
    names = names_of("05_websockets")
    ping = names["frame"](9, b"")
    with lpws.Server(handlers={"/echo": names["Echo"]}) as server, names["dial"](server) as (line, reader, _):
        line.sendall(ping)
        pong = reader.read(2)
    assert (len(ping), pong) == (6, b"\x8a\x00")
    interval_s = inspect.signature(connect.__init__).parameters["ping_interval"].default
    assert 20 <= interval_s <= 30


# ------------------------------------------------- 06 and 07: when polling is cheap, and when it is late


def test_with_packets_a_dozen_messages_in_an_answer_cost_less_than_over_either_stream():
    counted = names_of("06_costs")["counted"]
    text, packet = len("tea is ready"), 20 + 20
    each = {kind: sum(counts[2]) for kind, counts in counted.items()}
    line = len("3 tea is ready\n")
    around = each["long polling"] - line + 3 * packet  # request, response, and an acknowledgment

    def in_a_heap(messages):
        return around / messages + line + 1  # and one for a longer number

    streams = {kind: each[kind] + 2 * packet for kind in ("SSE", "WebSocket")}
    assert text < in_a_heap(12) < min(streams.values())
    assert in_a_heap(6) > max(streams.values()), "a dozen is the order of magnitude"


def test_over_http_2_a_long_poll_still_takes_the_most_bytes_and_a_websocket_the_fewest():
    """Frames have a head of 9 bytes (RFC 9113 §4.1): of the two blocks of headers, and of the data."""
    frame = 9
    long_poll = 3 * frame + len("3 tea is ready\n")  # even if the heads themselves shrink to nothing
    sse = frame + len("id: 3\ndata: tea is ready\n\n")
    websocket = frame + 2 + len("3 tea is ready")  # RFC 8441
    assert long_poll > sse > websocket


def test_on_loopback_short_polling_takes_half_an_interval_in_the_median_and_nearly_all_at_p99():
    def share(latency_s):
        return float(lpws.models.short_polling_cdf(latency_s, interval_s=0.25, delay_s=0.0))

    assert share(0.125) == pytest.approx(0.5)
    assert share(0.99 * 0.25) == pytest.approx(0.99)
