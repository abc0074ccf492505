"""The notebooks in their second shape: form, budgets, exercises, and whether their claims notice.

A cell is found by its id or its tags, a number by where it stands in the syntax, so that a variable may
be renamed. What differs between notebooks stands in `LESSONS`. That they run and say the same again,
nbval tests.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import csv
import functools
import http.client
import io
import json
import math
import re
import socket
import ssl
import statistics
import struct
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import accounting
import booklet
import hpack
import nats.errors
import pytest
from lessons import BUDGET, LESSONS
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from wsproto.frame_protocol import FrameProtocol, ParseFailed

import lpws
import lpws.notebook
import lpws.services
import lpws.specs
from lpws.server.counted_stream import CountedStream
from lpws.services.broker import Nats
from lpws.services.programs import _in_wheel

TASKS = {"exercise", "make", "solution"}

PATHS = [booklet.NOTEBOOKS / f"{stem}.ipynb" for stem in LESSONS]


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def path(request):
    return request.param


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def is_appendix(path) -> bool:
    return path.stem[0].isalpha()


def closed(cell) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def texts(path) -> list:
    return [cell for cell in booklet.read(path).cells if cell.cell_type == "markdown"]


def lines(cell) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip()]


def described(cell) -> list[str]:
    """The alternative texts of the cell's pictures."""
    return booklet.descriptions(cell.outputs)


# ------------------------------------------------------------------------------- form and budgets


def test_it_keeps_to_the_budgets(path):
    code = booklet.code(path)
    shown = [cell for cell in code if not closed(cell)]
    lesson = [cell for cell in code if not tags(cell) & TASKS]
    words = len(" ".join(cell.source for cell in texts(path)).split())
    open_lines = sum(len(lines(cell)) for cell in shown)
    story = "\n".join(cell.source for cell in texts(path)).partition("\n## Exercises")[0]
    found = {
        "words": words,
        "open cells": len(shown),
        "open lines": open_lines,
        "all lines": sum(len(lines(cell)) for cell in code),
        "lines of an open cell": max(len(lines(cell)) for cell in shown),
        "sections": len(re.findall(r"^## ", story, flags=re.M)),
        "claims": sum(booklet.printed(cell).count("✓") for cell in lesson),
        "figures": sum(bool(described(cell)) for cell in code),
    }
    quick = sum("exercise" in tags(cell) for cell in code)
    found["minutes to read"] = round(words / 160 + open_lines / 10 + 3 * quick)
    more = 4 / 3 if is_appendix(path) else 1
    budget = BUDGET | LESSONS[path.stem].exempt
    for name, (low, high) in budget.items():
        assert low <= found[name] <= more * high, name
    assert path.stat().st_size < 1_000_000


def test_the_opening_says_what_one_will_be_able_to_do(path):
    opening = booklet.read(path).cells[1].source
    assert re.match(r"# .*\?\n", opening)
    assert 3 <= opening.split("You will be able to")[1].count("\n- ") <= 5
    assert re.search(r"\*Read and run\*: \d+ minutes", opening)
    if not is_appendix(path):  # there is nothing to build in one
        assert re.search(r"\*Build\*: \d+ minutes", opening)


def test_the_closing_says_what_was_learned_and_what_is_next(path):
    closing = "\n".join(cell.source for cell in texts(path)).partition("\n## What you learned")[2]
    for part in ("**What the field calls it**", "**Where to read on**", "**Next.**"):
        assert part in closing


def test_something_happens_within_two_cells(path):
    assert any(cell.outputs for cell in booklet.code(path)[:2])


def test_cells_were_executed_in_order_and_without_an_error(path):
    cells = booklet.code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(len(line) <= 80 for line in cell.source.splitlines()), cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


def test_machinery_and_claims_are_closed(path):
    for cell in booklet.code(path):
        claims = cell.source.count("lpws.claim(")
        if tags(cell) & {"claim", "solution"}:
            assert closed(cell), cell.id
        if closed(cell):
            assert tags(cell) & {"claim", "figure", "solution"}, cell.id
        if claims:
            # A claim whose output is not compared could not fail.
            assert "claim" in tags(cell), cell.id
            assert "nbval-ignore-output" not in tags(cell), cell.id
            said = booklet.printed(cell).splitlines()
            assert [line[0] for line in said] == ["✓"] * claims, cell.id


def test_every_figure_is_described(path):
    for cell in booklet.code(path):
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == len(described(cell)), cell.id
        for words in described(cell):
            assert len(words.split()) >= 15, words


def test_every_output_is_announced_and_read(path):
    """A text stands before each figure, and after it a text or the claims about it."""
    cells = booklet.read(path).cells
    for before, cell, after in zip(cells, cells[1:], cells[2:], strict=False):
        if cell.cell_type == "code" and described(cell):
            assert before.cell_type == "markdown", cell.id
            assert after.cell_type == "markdown" or "claim" in tags(after), cell.id


def test_the_committed_text_holds_no_guard_and_no_internals(path):
    for cell in booklet.code(path):
        if not tags(cell) & {"figure"}:
            assert "raise ValueError" not in cell.source, cell.id
            assert not re.search(r"from lpws\.(transports|relay|health|server|mailbox)", cell.source), cell.id


# -------------------------------------------------------------------------------------- exercises


def test_every_exercise_has_a_closed_solution_that_passes(path):
    cells = booklet.code(path)
    asked = [place for place, cell in enumerate(cells) if tags(cell) & {"exercise", "make"}]
    if not is_appendix(path):
        assert sum("make" in tags(cell) for cell in cells) == 1
        assert 2 <= sum("exercise" in tags(cell) for cell in cells) <= 3
    for place in asked:
        cell, solution = cells[place : place + 2]
        assert booklet.printed(cell).startswith("…"), "a stub is told what to do"
        assert "solution" in tags(solution)
        assert solution.source.startswith("# The solution\n")  # JupyterLab shows it of a closed cell
        said = booklet.printed(solution).splitlines()
        assert said
        assert all(line.startswith("✓") for line in said), solution.id


# ------------------------------------------------------------------------------------- what it says


def claims(said: str) -> list[str]:
    return [line for line in said.splitlines() if line[:1] in ("✓", "✗", "–")]


def test_every_claim_holds_in_the_simulation_whatever_runs_again(path):
    judged = booklet.to_the_end_and_back(path)
    assert [line for line in judged if line[0] != "✓"] == []


@pytest.mark.parametrize(
    ("stem", "mutation"),
    [pytest.param(stem, each, id=f"{stem}-{each.cell}-{n}")
     for stem, lesson in LESSONS.items() for n, each in enumerate(lesson.mutations)],
)  # fmt: skip
def test_a_claim_notices(stem, mutation):
    cells = booklet.code(booklet.NOTEBOOKS / f"{stem}.ipynb")
    (mutated,) = [cell for cell in cells if cell.id == mutation.cell]
    assert mutation.old in mutated.source
    assert "lpws.claim(" not in mutated.source
    assert any(mutation.claim in cell.source for cell in cells if "claim" in tags(cell))
    real, namespace, said = lpws.measure, {}, ""

    def measure(transport, work, link=None, *, handler=None, **options):
        if mutation.measured(transport, work, handler and handler.__name__):
            return real(transport, work, link, handler=handler, **options)
        return booklet.twin(transport, work, link)

    with booklet.imagined(measure=measure, live=mutation.live):
        for cell in cells:
            if not tags(cell) & TASKS and cell.id in (mutation.only or {cell.id}):
                source = cell.source.replace(mutation.old, mutation.new) if cell is mutated else cell.source
                said += booklet.execute(source, namespace)
                judged = claims(said)
                noticed = any(line.startswith(f"✗ {mutation.claim}") for line in judged)
                whole = any(line.startswith("✓") for line in judged)
                if noticed and whole:
                    break  # what else the notebook says changes nothing
    assert noticed, judged
    assert whole, "not everything is broken"


def test_there_are_three_mutations_or_more(path):
    assert len(LESSONS[path.stem].mutations) >= 3


def numbers(path) -> list:
    """The numbers that a reader may change: arguments of calls of `lpws` at the top level of open cells."""
    found = []
    for cell in booklet.code(path):
        if closed(cell) or tags(cell) & TASKS:
            continue
        for statement in ast.parse(cell.source).body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                continue
            for call in ast.walk(statement):
                name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
                if name.startswith("lpws."):
                    named = [keyword.value for keyword in call.keywords if name != "lpws.guess"]
                    for given in [*call.args, *named]:
                        if isinstance(given, ast.Constant) and type(given.value) in (int, float):
                            found.append((cell, given))
    return found


def test_a_number_that_cannot_be_is_refused_in_words(path):
    assert len(numbers(path)) >= 3
    names = booklet.read_through(path)
    for cell, number in numbers(path):
        for bad in booklet.BAD:
            source = booklet.put(cell.source, number, repr(bad))
            with booklet.imagined():
                booklet.complaint(source, names)


@pytest.mark.parametrize("bad", booklet.BAD)
def test_a_guess_of_any_kind_leaves_the_figures_whole(path, bad, caplog):
    cells = booklet.code(path)
    names = booklet.read_through(path)
    with booklet.imagined(drawn=True):
        for cell, number in numbers(path):
            if "lpws.guess(" in cell.source:
                said = booklet.execute(booklet.put(cell.source, number, repr(bad)), names)
                assert not said or said.startswith("✗ your guess: expected a number from ")
        for cell in cells:
            if "figure" in tags(cell):
                booklet.execute(cell.source, names)
    assert not caplog.records


# ---------------------------------------------------------------------------- 03: what it builds

LINK = lpws.Link(delay_s=0.01)


@pytest.fixture(scope="module")
def long_polling():
    """The names of the notebook on long polling: its handlers, and the client that listens."""
    return booklet.read_through(booklet.NOTEBOOKS / "03_long_polling.ipynb")


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("pattern", ["poisson", "bursts"])
@pytest.mark.parametrize("name", ["Remembering", "Solution"])
def test_the_handlers_keep_the_books(long_polling, name, pattern, keep_alive):
    work = lpws.Workload(clients=4, rate_hz=20, duration_s=0.6, pattern=pattern, burst=4, spacing_s=0)
    polling = lpws.LongPolling(keep_alive=keep_alive)
    run = lpws.measure(polling, work, LINK, handler=long_polling[name])
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert run.log == ()


def test_the_solution_ends_its_holds(long_polling):
    work = lpws.Workload(clients=3, rate_hz=1, duration_s=1.0, pattern="periodic")
    run = lpws.measure(lpws.LongPolling(hold_s=0.2), work, handler=long_polling["Solution"])
    assert accounting.faults(run) == []
    asked = lpws.requests(run)
    assert asked["empty"].sum() >= 3
    assert asked[asked["empty"]].held_s.min() > 0.2 - 0.005


def test_the_forgetful_handler_loses_what_falls_into_the_gap(long_polling):
    work = lpws.Workload(clients=3, rate_hz=5, duration_s=1.2, pattern="bursts", burst=2)
    polling = lpws.LongPolling(cursor=False)
    run = lpws.measure(polling, work, lpws.Link(delay_s=0.025), handler=long_polling["Held"])
    told = lpws.deliveries(run)
    # Of each pair the first finds the request held, the second, a millisecond later, does not.
    assert (told[told.message % 2 == 1].state == "delivered").all()
    assert (told[told.message % 2 == 0].state != "delivered").all()


def test_the_first_client_misses_the_warning_and_the_second_does_not(long_polling, capsys):
    for name, heard in (("Held", [1, 3]), ("Remembering", [1, 2, 3])):
        long_polling["listen"](long_polling[name])
        assert [int(line.split()[2]) for line in capsys.readouterr().out.splitlines()] == heard


def test_the_solution_leaves_no_listener_behind(long_polling):
    assert long_polling["left_behind"](long_polling["Remembering"]) == 5


def test_recorded_and_own_runs_are_of_one_specification(long_polling):
    own = {name: booklet.spec(run) for name, run in long_polling["runs"].items()}
    assert {name: booklet.spec(run) for name, run in lpws.load_run("long_polling").items()} == own


# ------------------------------------------------------------------------------ 01 Request and response


def test_a_request_on_a_new_connection_costs_the_server_more():
    """In processor time of the server's thread, by four tenths or more where it was looked at."""
    busy = lpws.Workload(clients=10, rate_hz=5.0, duration_s=1.5, seed=1)
    cost_s = {}
    for keep_alive in (False, True):
        run = lpws.measure(lpws.Reload(pause_s=0.02, keep_alive=keep_alive), busy)
        cost_s[keep_alive] = lpws.processor_time_s(run) / len(lpws.requests(run))
    assert cost_s[False] > cost_s[True]


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [("1.1", "", True), ("1.0", "", False), ("1.1", "Connection: close\r\n", False),
     ("1.0", "Connection: keep-alive\r\n", True)],
)  # fmt: skip
def test_who_keeps_a_connection(version, header, kept):
    """RFC 9112 §9.3: HTTP/1.1 keeps it unless somebody says close, HTTP/1.0 the other way round."""
    with lpws.Server() as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
        head = f"GET /reload HTTP/{version}\r\nHost: {server.host}\r\n{header}\r\n".encode()
        reader = line.makefile("rb")
        line.sendall(head)
        rows = list(iter(reader.readline, b"\r\n"))
        assert b" 204 " in rows[0]
        with contextlib.suppress(OSError):
            line.sendall(head)
        try:
            again = reader.readline()
        except ConnectionError:
            again = b""
        assert bool(again) == kept


# ------------------------------------------------------------------------ 04: what it builds

CUT = lpws.Link(delay_s=0.01, cut_at_s=0.6)


@pytest.fixture(scope="module")
def streaming():
    """The names of the notebook on Server-Sent Events: its handlers."""
    return booklet.read_through(booklet.NOTEBOOKS / "04_server_sent_events.ipynb")


@pytest.mark.parametrize("name", ["Stream", "Resuming"])
def test_the_streams_keep_the_books(streaming, name):
    work = lpws.Workload(clients=4, rate_hz=20, duration_s=0.6, pattern="bursts", burst=4, spacing_s=0)
    run = lpws.measure(lpws.SSE(), work, LINK, handler=streaming[name])
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert len(lpws.requests(run)) == 4
    assert run.log == ()


def test_only_who_looks_at_the_last_id_lacks_nothing_after_a_cut(streaming):
    work = lpws.Workload(clients=3, rate_hz=10, duration_s=2.0, pattern="periodic")
    for name, whole in (("Stream", False), ("Resuming", True)):
        run = lpws.measure(lpws.SSE(retry_s=0.5), work, CUT, handler=streaming[name])
        told = lpws.deliveries(run)
        assert (told.state == "delivered").all() == whole
        assert whole or told[told.state != "delivered"].client.nunique() == 3
        assert len(lpws.connections(run)) == 2 * 3
        assert run.log == ()


def test_a_stream_leaves_no_listener_behind(streaming):
    with lpws.Server(handlers={"/news": streaming["Resuming"]}) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as line:
            line.sendall(f"GET /news HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
            assert line.recv(4096)
            assert len(server.room.listeners) == 1
        end = time.monotonic() + 5
        while server.room.listeners and time.monotonic() < end:
            time.sleep(0.01)
        assert not server.room.listeners


# ---------------------------------------------------------------------------------- 05 WebSockets


@pytest.fixture(scope="module")
def websockets():
    """The names of the notebook on WebSockets: frames by hand, and its handlers."""
    return booklet.read_through(booklet.NOTEBOOKS / "05_websockets.ipynb")


@pytest.mark.parametrize("size", [0, 1, 5, 124, 125])
def test_a_frame_by_hand_is_that_of_wsproto(websockets, size):
    payload = bytes(range(97, 97 + 26)).ljust(size, b"x")[:size]
    server = FrameProtocol(False, [])
    server.receive_bytes(websockets["frame"](1, payload))
    assert [each.payload.encode() for each in server.received_frames()] == [payload]
    sent = io.BytesIO(FrameProtocol(False, []).send_data(payload.decode()))
    assert websockets["read_frame"](sent) == (1, payload)


@pytest.mark.parametrize("size", [5, 125, 126, 65_535, 65_536])
def test_a_frame_s_head_grows_as_wsproto_has_it(websockets, size):
    assert websockets["around"](size) == len(FrameProtocol(False, []).send_data("x" * size)) - size


def test_a_server_must_hang_up_on_a_client_that_does_not_mask(websockets):
    """RFC 6455 §5.1. wsproto does; Tornado does not."""
    server = FrameProtocol(False, [])
    server.receive_bytes(b"\x81\x05Hello")
    with pytest.raises(ParseFailed, match="unmasked"):
        list(server.received_frames())
    assert websockets["talk"](b"\x81\x05Hello") == (1, b"Hello")


@pytest.mark.parametrize("name", ["News", "Solution"])
def test_the_websocket_handlers_keep_the_books(websockets, name):
    work = lpws.Workload(clients=4, rate_hz=20, duration_s=0.6, seed=2)
    run = lpws.measure(lpws.WebSocket(), work, LINK, handler=websockets[name])
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert run.log == ()


def test_the_recorded_websocket_run_is_of_the_notebook_s_specification(websockets):
    assert booklet.spec(lpws.load_run("race")["WebSocket"]) == booklet.spec(websockets["run"])


# --------------------------------------------------------------------------------------- 06 Costs


@pytest.fixture(scope="module")
def costs():
    """The names of the notebook on costs: its handlers, its client, its arithmetic."""
    return booklet.read_through(booklet.NOTEBOOKS / "06_costs.ipynb")


@pytest.mark.parametrize("kind", ["long polling", "SSE", "WebSocket"])
def test_the_handlers_of_the_costs_keep_the_books(costs, kind):
    work = lpws.Workload(clients=4, rate_hz=20, duration_s=0.6, seed=2)
    run = lpws.measure(costs["spec"][kind], work, LINK, handler=costs["HANDLERS"][kind])
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()
    assert run.log == ()


@pytest.mark.parametrize("kind", ["long polling", "SSE", "WebSocket"])
def test_the_client_that_counts_and_the_server_agree(costs, kind, monkeypatch):
    servers = []

    class Kept(lpws.Server):
        def start(self):
            servers.append(self)
            return super().start()

        __enter__ = start

    monkeypatch.setattr(lpws, "Server", Kept)
    up, down = map(sum, zip(*costs["listen"](kind, 12), strict=True))
    assert len(servers) == 1
    read, written = (
        sum(event[7] for event in servers[0].trace if event[1] == name) for name in ("read", "written")
    )
    assert read == up
    # Whoever is still listening when the server stops is sent a goodbye.
    goodbye = {"long polling": (0,), "SSE": (0, 5), "WebSocket": (0, 2, 4)}[kind]
    assert written - down in goodbye


def test_a_record_of_tls_1_3_adds_22_bytes(costs):
    pem = Path(__file__).parent / "throwaway.pem"  # its key is public, and opens nothing
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving.load_cert_chain(pem)
    serving.num_tickets = 0
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    for context in (serving, asking):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = asking.wrap_bio(down, up), serving.wrap_bio(up, down, server_side=True)
    handshake = 0
    for _ in range(3):
        for side, out in ((client, up), (server, down)):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            handshake += out.pending
    assert client.version() == "TLSv1.3"
    assert handshake > 1000  # a kilobyte at the very least, with one short certificate
    for size in (1, 23, 871, 16_384):
        assert client.write(bytes(size)) == size
        assert up.pending == size + costs["record"]
        assert server.read(20_000) == bytes(size)


def test_http_2_packs_a_head_that_repeats_into_28_and_61_bytes(costs):
    """By hpack, from the second poll on; `connection` is no field there."""
    rows = costs["HEADS"]["long polling"].format(host="localhost:8888", cursor=0).split("\n")
    asks, answers, sizes = hpack.Encoder(), hpack.Encoder(), []
    for n in range(3):
        fields = [row.strip().lower().split(": ", 1) for row in rows[2:] if ": " in row]
        fields = [pair for pair in fields if pair[0] not in ("host", "connection")]
        head = [(":method", "GET"), (":scheme", "https"), (":path", f"/news?cursor={n}")]
        head += [(":authority", "localhost:8888"), *map(tuple, fields)]
        answer = [(":status", "200"), ("server", "TornadoServer/6.6.1"), ("content-length", "15")]
        answer += [("content-type", "text/html; charset=UTF-8")]
        answer += [("date", f"Fri, 27 Nov 2026 03:59:5{n} GMT")]
        answer += [("etag", f'"{n}1183b3f0ed5a3334cc58ee99c005dbb22d81c9b"')]
        sizes.append((len(asks.encode(head)), len(answers.encode(answer))))
    assert sizes[0][0] > 300
    for up, down in sizes[1:]:
        assert (up, down) == (pytest.approx(28, abs=3), pytest.approx(61, abs=3))


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO counts packets on Linux")
def test_a_poll_takes_three_packets_and_a_message_over_a_stream_two(costs):
    """By the system's count, of a client that does not ask again at once; delays merge some of them."""

    def packets(line):
        return sum(struct.unpack_from("=II", line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 136))

    per_message = {}
    for kind in ("long polling", "WebSocket"):
        with lpws.Server(handlers={"/news": costs["HANDLERS"][kind]}) as server:
            line = socket.create_connection(("127.0.0.1", server.port), 5)
            with line, line.makefile("rb") as reader:
                for n in range(7):
                    if n == 1:  # the opening is another matter
                        before = packets(line)
                    server.publish("twenty letters......")
                    if n == 0 or kind == "long polling":
                        line.sendall(costs["HEADS"][kind].format(host=server.host, cursor=n).encode())
                        assert list(iter(reader.readline, b"\r\n"))
                    assert reader.read1(1000)
                    time.sleep(0.06)  # time for an acknowledgment that travels alone
                per_message[kind] = (packets(line) - before) / 6
    assert 2 <= per_message["long polling"] <= 4
    assert 1 <= per_message["WebSocket"] <= 3
    assert per_message["WebSocket"] < per_message["long polling"]


def test_processor_time_long_polling_most_a_frame_packed_once_least(costs):
    """4.5 times a WebSocket with `write_message`, and half of it, where it was looked at."""
    cost = {}
    for name, kind, handler in (
        ("poll", "long polling", "LongPoll"), ("plain", "WebSocket", "Socket"), ("once", "WebSocket", None),
    ):  # fmt: skip
        run = lpws.measure(costs["spec"][kind], costs["work"], handler=handler and costs[handler])
        cost[name] = costs["microseconds"](run)
    assert cost["poll"] > 1.5 * cost["plain"]
    assert cost["plain"] > cost["once"]


def test_waiting_costs_alike_and_a_compressor_many_times_as_much(costs):
    """13 to 19 KiB, and 285, where it was looked at; zlib's manual says 256 to compress."""
    kib = {kind: costs["kib_per_client"](kind, costs["HANDLERS"][kind], 20) for kind in costs["HANDLERS"]}
    assert max(kib.values()) < 4 * min(kib.values())
    assert costs["kib_per_client"]("WebSocket", costs["Squeezed"], 20) > 256


def test_hello_compresses_as_the_rfc_says(costs):
    """RFC 7692 §7.2.3.1 and §7.2.3.2: 7 bytes, and 5 with context takeover."""
    first, second = costs["deflated"](["Hello", "Hello"], True)
    assert first == 7
    assert second < first
    assert costs["deflated"](["Hello"] * 2, False) == [7, 7]


def test_the_published_figures_follow_from_871_and_2_bytes():
    with open(lpws.DATA / "published.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"].startswith("Lubbers")]
    again = [8000 * n * size / 2**20 for size in (871, 2) for n in (1, 10, 100)]
    assert [float(row["value"]) for row in rows] == pytest.approx(again, rel=0.02)


# ------------------------------------------------------------------------------------- 07 Choosing


@pytest.fixture(scope="module")
def choosing():
    """The names of the notebook on choosing: its ways, and what its sliders draw."""
    return booklet.read_through(booklet.NOTEBOOKS / "07_choosing.ipynb")


def test_the_recorded_ways_are_those_of_the_lesson(choosing):
    ways = {"short polling": "short", "long polling": "long", "long polling, paused": "paused"}
    recorded = lpws.load_run("side_by_side")
    assert len(recorded) == 15
    for label, run in recorded.items():
        assert run.health.good, run
        assert run.transport == choosing[ways[label.rpartition(",")[0]]]
        assert run.link == choosing["link"]


def test_the_sliders_of_choosing_draw_whatever_is_set(choosing):
    for burst in (1, 12):
        assert f"Bursts of {burst}:" in choosing["compare"](burst).get_title(loc="left")
    for transit_ms in (2, 100):
        for messages_per_s in (0.5, 40):
            choosing["distance"](transit_ms, messages_per_s).figure.draw_without_rendering()
        for situation in choosing["situations"]:
            choosing["board"](situation, transit_ms).figure.draw_without_rendering()


@pytest.mark.parametrize("transit_s", [0.002, 0.025, 0.1])
@pytest.mark.parametrize("situation", ["a chat", "a dashboard", "a ticker", "a progress bar"])
def test_the_board_tells_what_a_simulation_shows(choosing, situation, transit_s):
    rate_hz, says_hz, oldest_s = choosing["situations"][situation]
    work = lpws.Workload(clients=10, rate_hz=rate_hz, duration_s=min(400 / rate_hz, 3600), seed=6)
    gap_s = max(2 * transit_s, oldest_s - transit_s)
    ways = {
        "short polling": lpws.ShortPolling(interval_s=gap_s),
        "long polling, paused": lpws.LongPolling(pause_s=gap_s - 2 * transit_s, hold_s=30),
        "long polling": lpws.LongPolling(hold_s=30),
        "SSE": lpws.SSE(),
        "WebSocket": lpws.WebSocket(),
    }
    assert list(ways) == choosing["BOARD"]
    if gap_s < 2.1 * transit_s:  # polls that overlap: the models need an interval above a round trip
        del ways["short polling"]
    for name, way in ways.items():
        run = lpws.simulate(way, work, lpws.Link(delay_s=transit_s))
        asked = lpws.requests(run).sent_s.between(0, work.duration_s).sum() / 10
        per_minute, worst_s = choosing["prices"](name, choosing["situations"][situation], transit_s)
        said = 60 * says_hz * (name != "WebSocket")
        # 400 messages: a standard error of 5 % at most; the rate that came is not quite the one asked for.
        assert 60 * asked / work.duration_s == pytest.approx(per_minute - said, rel=0.2, abs=0.5), name
        assert lpws.deliveries(run).latency_s.max() <= worst_s + 1e-9, name


def test_each_situation_has_its_row_in_the_table(choosing):
    said = [cell.source for cell in texts(booklet.NOTEBOOKS / "07_choosing.ipynb")]
    (table,) = (text for text in said if "|---" in text)
    rows = re.findall(r"^\| \*\*(.*?)\*\*", table, flags=re.M)
    assert [row.removesuffix(" to phones") for row in rows] == list(choosing["situations"])


# -------------------------------------------------------------------------------------- 10 Proxies

PROXIES = booklet.NOTEBOOKS / "10_proxies.ipynb"
#: Each nginx of this machine: that of the system, and that of the wheel.
NGINX = [each for each in ("/usr/sbin/nginx", _in_wheel()) if each and Path(each).exists()]


@pytest.fixture(scope="module")
def proxies():
    """The names of the notebook on proxies, its experiments as they were recorded."""
    return booklet.read_through(PROXIES)


def experiment(found) -> object:
    """What a result says, whatever chance made of its numbers."""
    match found:
        case [int(), behind]:  # connections opened in front and behind
            return "few" if behind < 100 else "many"
        case [int(), *_]:  # how many events had been read after each
            first = next((n for n, count in enumerate(found, 1) if count), None)
            return first and first < 10
        case dict() if any(isinstance(each, list) for each in found.values()):  # how connections ended
            return {path: how for path, (_, how) in found.items()}
    return found


@pytest.mark.parametrize("program", NGINX)
def test_each_nginx_does_what_the_lesson_says(proxies, program, monkeypatch):
    """Debian's 1.22 and the wheel's 1.31 have other defaults."""
    monkeypatch.setenv("LPWS_NGINX", program)
    recorded = json.loads((lpws.DATA / "10_proxies.json").read_text(encoding="utf-8"))["results"]
    names = {name: getattr(value, "__wrapped__", value) for name, value in proxies.items()}
    for asked, result in recorded.items():
        found = json.loads(json.dumps(eval(asked, vars(lpws.specs) | names)))
        assert experiment(found) == experiment(result), asked


def test_without_nginx_the_lesson_shows_what_was_recorded(monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", "there-is-none")
    monkeypatch.setattr(lpws.notebook, "_TOLD", set())
    names, said = {}, ""
    with booklet.imagined(drawn=True, measure=lpws.measure), pytest.MonkeyPatch.context() as inner:
        inner.setattr(lpws, "or_recorded", lpws.notebook.or_recorded)
        for cell in booklet.code(PROXIES):
            said += booklet.execute(cell.source, names)
            if cell.id == "dial":
                assert "expected nginx on this machine, found none: `python3 run.py wild` brings it" in said
    assert said.count("Until then you see") == 1
    assert [line for line in claims(said) if line[0] != "✓"] == []
    assert said.count("✓") >= 11 + 3


def test_an_experiment_that_was_not_recorded_says_so(proxies, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", "there-is-none")
    again = lpws.notebook.or_recorded("10_proxies")(proxies["answers"].__wrapped__)
    with pytest.raises(lpws.services.Missing, match=r"run.py wild.*nothing is recorded of answers\('#'\)"):
        again("#")


@pytest.mark.parametrize("program", NGINX)
@pytest.mark.parametrize("keep", ["an address", "", "keepalive 32;"])
def test_who_keeps_connections_to_the_server(proxies, program, keep, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", program)
    used = set()

    class Poll(RequestHandler):
        def get(self):
            used.add(self.request.connection.stream.socket.getpeername())

    with socket.create_server(("127.0.0.1", 0)) as free, lpws.Server(handlers={"/poll": Poll}) as server:
        port = free.getsockname()[1]
        address = f"127.0.0.1:{server.port}"
        server.admit("behind", address)
        bare = keep == "an address"
        around = f"upstream behind {{ server {address}; {'' if bare else keep} }}"
        around += f"server {{ listen 127.0.0.1:{port}; location / {{ {proxies['ALL_FIVE']}"
        around += f"proxy_pass http://{address if bare else 'behind'}; }} }}"
        free.close()
        with lpws.nginx(lpws.Proxy("", http=around), [server.port]) as front:
            with contextlib.closing(http.client.HTTPConnection(front.host, port, timeout=5)) as client:
                for _ in range(5):
                    client.request("GET", "/poll")
                    assert client.getresponse().read() == b""
            newer = tuple(int(part) for part in front.version.split(".")) > (1, 29, 6)
    assert len(used) == (1 if keep == "keepalive 32;" or (newer and not bare) else 5)


def test_over_http_1_0_tornado_accepts_a_websocket(proxies):
    found = proxies["answers"].__wrapped__(proxies["ALL_FIVE"].replace("1.1", "1.0"))
    assert (found["SSE"], found["WebSocket"]) == (0, 101)


@pytest.mark.parametrize("path", ["/longpolling?hold=9", "/sse", "/websocket"])
def test_a_full_proxy_refuses_the_tenth(proxies, path):
    proxy, found = lpws.Proxy(proxies["ALL_FIVE"], connections=20), []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lpws.Server())
        server.admit(*proxies["HOSTS"])
        front = stack.enter_context(lpws.nginx(proxy, [server.port]))
        for _ in range(12):
            line = stack.enter_context(proxies["dial"](front, path))
            line.settimeout(0.2 if path.startswith("/long") else 5)
            try:
                found.append(int(line.recv(9999).split()[1]))
            except TimeoutError:
                found.append("held")
    assert found[:9] == [{"/sse": 200, "/websocket": 101}.get(path, "held")] * 9
    assert found[9:] == [500] * 3


def test_what_ends_the_holding_back(proxies):
    read, off = proxies["events_read"].__wrapped__, "proxy_buffering off;"
    assert experiment(read(proxies["DEFAULTS"] + off)) is True
    assert experiment(read(proxies["ALL_FIVE"] + off, proxies["GZIP"])) is True
    assert experiment(read(proxies["ALL_FIVE"], "gzip on;")) is True


@pytest.mark.parametrize(
    ("header", "passes"), [((), False), (("X-Accel-Buffering", "no"), True), (("Incremental", "?1"), False)]
)
def test_how_a_server_can_ask_for_no_buffering(proxies, header, passes):
    """RFC 10036 has a header for it that nginx does not know yet."""

    class Stream(RequestHandler):
        async def get(self):
            if header:
                self.set_header(*header)
            self.write("data: tea is ready\n\n")
            await self.flush()
            await asyncio.sleep(1.5)

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lpws.Server(handlers={"/stream": Stream}))
        server.admit(*proxies["HOSTS"])
        front = stack.enter_context(lpws.nginx(lpws.Proxy(proxies["DEFAULTS"]), [server.port]))
        line = stack.enter_context(proxies["dial"](front, "/stream"))
        with contextlib.nullcontext() if passes else pytest.raises(TimeoutError):
            said = b""
            while b"tea is ready" not in said:
                said += line.recv(9999)


def test_to_the_server_an_impatient_proxy_is_a_client_that_has_gone(proxies):
    gone = threading.Event()

    class Held(proxies["Held"]):
        def on_connection_close(self):
            gone.set()

    impatient = lpws.Proxy(proxies["ALL_FIVE"] + "proxy_read_timeout 1s;")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lpws.Server(handlers={"/held": Held}))
        server.admit(*proxies["HOSTS"])
        front = stack.enter_context(lpws.nginx(impatient, [server.port]))
        stack.enter_context(proxies["dial"](front, "/held?silent_s=4"))
        assert gone.wait(3)


# ------------------------------------------------------------------------- A: what it says of the instrument


@pytest.fixture(scope="module")
def instrument():
    """The names of the notebook on the instrument."""
    return booklet.read_through(booklet.NOTEBOOKS / "A_the_instrument.ipynb")


def test_the_health_of_a_run_is_what_its_trace_says(instrument):
    work = lpws.Workload(clients=3, rate_hz=20, duration_s=1.0, pattern="periodic")
    run = lpws.measure(lpws.WebSocket(), work, LINK)
    for part, (middle_s, p99_s) in run.health.lateness_s.items():
        late_s = sorted(instrument["lateness_s"](run, part.replace("server loop", "server's loop")))
        assert (middle_s, p99_s) == (late_s[len(late_s) // 2], late_s[int(0.99 * len(late_s))])
    assert instrument["lateness_s"](run, "link").min() >= 0
    assert run.health.resolution_s == max(p99_s for _, p99_s in run.health.lateness_s.values())


def test_nothing_is_published_before_every_client_listens():
    work = lpws.Workload(clients=60, rate_hz=20, duration_s=0.3)
    run = lpws.measure(lpws.WebSocket(), work)
    trace = lpws.events(run)
    connected = trace[(trace.name == "response_received") & (trace.side == "client")]
    assert len(connected) == work.clients
    assert connected.t.max() <= trace[trace.name == "published"].t.min()


def test_few_deliveries_share_what_a_loop_costs_anyway(instrument):
    cost_us = []
    for rate_hz in (1.0, 100.0):
        work = lpws.Workload(clients=10, rate_hz=rate_hz, duration_s=1.5, pattern="periodic")
        cost_us.append(instrument["cost_us"](lpws.measure(lpws.WebSocket(), work), "server"))
    assert cost_us[0] > cost_us[1]


def in_time_wait(pairs) -> tuple[int, int]:
    """How many of these connections, pairs of ports, are in TIME-WAIT at the server, and at the client."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row.split()[1:4] for row in table]  # two ends, address:port, and the state
    ends = {tuple(int(end.split(":")[1], 16) for end in row[:2]) for row in rows if row[2] == "06"}
    return len(ends & pairs), len(ends & {pair[::-1] for pair in pairs})


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells of every connection")
@pytest.mark.parametrize(("header", "left"), [("Connection: close\r\n", (3, 0)), ("", (0, 3))])
def test_the_side_that_closes_first_keeps_the_time_wait(header, left):
    pairs = set()
    with lpws.Server() as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as line:
                pairs.add((server.port, line.getsockname()[1]))
                line.sendall(f"GET /shortpolling HTTP/1.1\r\nHost: {server.host}\r\n{header}\r\n".encode())
                assert line.recv(65_536)
                while header and line.recv(65_536):
                    pass  # until the server has closed
        end = time.monotonic() + 20
        while sum(in_time_wait(pairs)) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert in_time_wait(pairs) == left


def test_linux_hands_out_ports_for_470_connections_per_second():
    assert 60_999 - 32_768 + 1 == 28_232  # `ip_local_port_range`, both included
    assert 28_232 // 60 == 470  # TCP_TIMEWAIT_LEN


@pytest.mark.parametrize("method", ["write_to_fd", "read_from_fd"])
def test_a_byte_that_the_server_does_not_count_is_noticed(instrument, monkeypatch, method):
    real = getattr(CountedStream, method)

    def one_less(self, data):
        size = real(self, data)
        name = {"write_to_fd": "bytes_written", "read_from_fd": "bytes_read"}[method]
        setattr(self, name, getattr(self, name) - bool(size))
        return size

    monkeypatch.setattr(CountedStream, method, one_less)
    cells = {cell.id: cell.source for cell in booklet.code(booklet.NOTEBOOKS / "A_the_instrument.ipynb")}
    names = dict(instrument)
    said = "".join(booklet.execute(cells[name], names) for name in ("by-hand", "audit", "claim-accounts"))
    assert "✗ What a client counted by hand" in said
    assert "✓ Clients and server counted the same connections" in said


def test_how_far_the_mean_of_a_run_scatters(instrument):
    """C/√(12 M) in step, and C/√(12 M N) with phases of their own."""
    works = [lpws.Workload(clients=20, rate_hz=3.0, duration_s=3.0, seed=seed) for seed in range(30)]
    expected = math.sqrt(statistics.mean(1 / (12 * len(work.due_times_s())) for work in works))
    assert instrument["in_step"].std() == pytest.approx(expected, rel=1 / 3)
    assert instrument["own"].std() * math.sqrt(20) == pytest.approx(expected, rel=1 / 3)


def test_wrk2_and_the_notebook_name_the_same_numbers():
    with open(lpws.DATA / "published.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"].startswith("wrk2")]
    assert max(float(row["value"]) for row in rows) > 200 * min(float(row["value"]) for row in rows)


# --------------------------------------------------------------------------------------- 11 HTTP/2

HTTP2 = booklet.NOTEBOOKS / "11_http2.ipynb"


@pytest.fixture(scope="module")
def http2():
    """The names of the notebook on HTTP/2, its experiments as they were recorded."""
    return booklet.read_through(HTTP2)


def sizes_up(found) -> object:
    """What a result says but for the bytes down, which depend on the date."""
    match found:
        case [[[int(), int(), str()], *_] as sizes, table]:
            return [[up, block] for up, _, block in sizes], table
        case [[int(), int()], *_]:
            return [up for up, _ in found]
    return found


@pytest.mark.parametrize("program", NGINX)
def test_each_nginx_speaks_http2_as_the_lesson_says(http2, program, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", program)
    recorded = json.loads((lpws.DATA / "11_http2.json").read_text(encoding="utf-8"))["results"]
    names = {name: getattr(value, "__wrapped__", value) for name, value in http2.items()}
    assert len(recorded) == 5
    for asked, result in recorded.items():
        found = json.loads(json.dumps(eval(asked, names)))
        assert sizes_up(found) == sizes_up(result), asked


@pytest.mark.parametrize("lacking", ["nginx", "h2"])
def test_without_nginx_or_h2_the_lesson_shows_what_was_recorded(monkeypatch, lacking):
    if lacking == "nginx":
        monkeypatch.setenv("LPWS_NGINX", "there-is-none")
    for name in [name for name in sys.modules if lacking == "h2" and name.partition(".")[0] == "h2"]:
        monkeypatch.delitem(sys.modules, name)
    if lacking == "h2":
        monkeypatch.setitem(sys.modules, "h2", None)
    monkeypatch.setattr(lpws.notebook, "_TOLD", set())
    names, said = {}, ""
    with booklet.imagined(drawn=True), pytest.MonkeyPatch.context() as inner:
        inner.setattr(lpws, "or_recorded", lpws.notebook.or_recorded)
        for cell in booklet.code(HTTP2):
            said += booklet.execute(cell.source, names)
    assert said.count("Until then you see") == 1
    assert re.search(rf"expected (the package )?{lacking} .* none: `python3 run.py wild` brings it", said)
    assert [line for line in claims(said) if line[0] != "✓"] == []


@pytest.mark.parametrize("program", NGINX)
def test_nginx_never_shortens_its_answers(http2, program, monkeypatch):
    """Its own fields never go into the table: each answer is as long as the one before, but for the date."""
    monkeypatch.setenv("LPWS_NGINX", program)
    sizes, _ = http2["over_http2"].__wrapped__(6)
    down = [down for _, down, _ in sizes[1:]]  # the first came with the settings
    assert max(down) - min(down) <= 2


@pytest.mark.parametrize("program", NGINX)
def test_nginx_ends_a_connection_with_far_too_many_streams_at_once(http2, program, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", program)
    behind, answered, refused = http2["held"].__wrapped__(300)
    assert (behind, answered) == (0, 0)
    assert refused < 300


def test_twice_as_many_held_polls_fit_a_full_proxy(http2, monkeypatch):
    """One connection in front and one per poll behind: 20 connections hold 18 polls, where they held 9."""
    whole = lpws.Proxy
    monkeypatch.setattr(lpws, "Proxy", functools.partial(whole, connections=20))
    monkeypatch.setattr(lpws.Proxy, "OPEN", whole.OPEN, raising=False)
    behind, answered, refused = http2["held"].__wrapped__(25)
    assert (behind, answered, refused) == (18, 25, 0)


# ----------------------------------------------------------------------------------- 12: one slow reader


@pytest.fixture(scope="module")
def crowds():
    """The names of the notebook on crowds."""
    return booklet.read_through(booklet.NOTEBOOKS / "12_crowds.ipynb")


def stop_reading(crowds, tell):
    """What the lesson's experiment finds now."""
    experiment = crowds["stop_reading"].__wrapped__
    if not isinstance(tell, str):
        experiment.__globals__[tell.__name__] = tell
        tell = tell.__name__
    return experiment(tell)


@pytest.mark.skipif(sys.platform != "linux", reason="how much a kernel keeps differs between systems")
def test_the_bytes_of_a_stopped_reader_lie_in_three_places(crowds):
    rows, _, worst_s = stop_reading(crowds, "unawaited")
    _, handed, taken, unread = rows[-1]
    assert handed == 10
    assert 0.01 < unread < taken < handed
    assert None not in worst_s
    # Its kernel fills first, then ours; after that only what waits in Python grows.
    halfway = rows[len(rows) // 2]
    assert taken - halfway[2] < handed - halfway[1]


def test_whoever_awaits_the_slowest_lets_all_wait(crowds):
    async def gathered(text):
        await asyncio.gather(*(one.write_message(text) for one in list(crowds["everybody"])))

    for tell in ("awaited", gathered):
        rows, sent_s, worst_s = stop_reading(crowds, tell)
        assert len(sent_s) < 100
        assert sum(age is not None for age in worst_s) <= len(sent_s)
        assert rows[-1][1] == rows[-5][1]


def test_a_policy_decides_what_waits(crowds):
    news = [f"#{n}; {tea} {n} " for n, tea in enumerate(["assam", "oolong"] * 10)]
    kept = {kind.__name__: kind.keep(None, news) for kind in crowds["KINDS"][:3]}
    assert kept == {"Unbounded": news, "Drop": news[-10:], "Conflate": news[-2:]}


def test_a_client_that_comes_back_gets_the_log_in_portions(crowds):
    log = crowds["log"]
    log[:] = [f"#{n}; assam 5 " for n in range(1, 101)]
    with (
        lpws.Server(handlers={"/box": crowds["Disconnect"]}) as server,
        crowds["connect"](server, "/box?cursor=7") as reader,
    ):
        data = b""
        while b"#100;" not in data:
            assert (some := reader.recv(65536)), "the connection was closed"
            data += some
    log.clear()
    size = 4 + 500  # of a frame with its head
    portions = [re.findall(rb"#(\d+);", data[at : at + size]) for at in range(0, len(data), size)]
    assert [int(n) for portion in portions for n in portion] == list(range(8, 101))
    assert max(map(len, portions)) == crowds["LIMIT"]


def test_the_recorded_crowds_grow_in_line(crowds):
    with open(lpws.DATA / "crowds.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last_s = {(row["tell"], int(row["clients"])): float(row["last_s"]) for row in rows}
    assert sorted({many for _, many in last_s}) == [1_000, 3_000, 10_000]
    for tell in ("as_dict", "as_text", "as_frame"):
        assert 5 < last_s[tell, 10_000] / last_s[tell, 1_000] < 20
        assert last_s["as_frame", 10_000] <= last_s[tell, 10_000] <= last_s["as_dict", 10_000]


# ---------------------------------------------------------------------------------- 14 Many servers

MANY_SERVERS = booklet.NOTEBOOKS / "14_many_servers.ipynb"


@pytest.fixture(scope="module")
def many():
    """The names of the notebook on many servers; its experiments are the real ones."""
    names = booklet.read_through(MANY_SERVERS)
    recorded = json.loads((lpws.DATA / "14_many_servers.json").read_text(encoding="utf-8"))["results"]
    experiments = {asked.partition("(")[0] for asked in recorded}
    return names | {name: names[name].__wrapped__ for name in experiments}


def gist(found) -> object:
    """What a result says of who heard whom, or who lost something, whatever chance made of the rest."""
    match found:
        case [[list(), *_] as heard, codes, statuses]:  # how a killed server was survived
            return [len(set(row)) == len(row) == 100 for row in heard], codes, statuses
        case [list(), *_]:  # who heard whom
            return [sorted(row) for row in found]
        case [float(), *_]:  # times
            return len(found)
    return found


@pytest.mark.parametrize("program", NGINX)
def test_each_nginx_shares_out_clients_as_the_lesson_says(many, program, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", program)
    recorded = json.loads((lpws.DATA / "14_many_servers.json").read_text(encoding="utf-8"))["results"]
    assert len(recorded) == 10
    for asked, result in recorded.items():
        found = json.loads(json.dumps(asyncio.run(eval(asked, dict(many)))))
        assert gist(found) == gist(result), asked


def shows_what_was_recorded(absent, notebook, monkeypatch, **instead):
    """Assert that a notebook without a program (its variable) or nats-py says so, and that all holds."""
    if absent == "nats-py":
        monkeypatch.setitem(sys.modules, "nats", None)
    else:
        monkeypatch.setenv(absent, "there-is-none")
    monkeypatch.setattr(lpws.notebook, "_TOLD", set())
    monkeypatch.setattr(lpws.notebook, "_FOUND", {})
    names, said = {}, ""
    with booklet.imagined(drawn=True, **instead), pytest.MonkeyPatch.context() as inner:
        inner.setattr(lpws, "or_recorded", lpws.notebook.or_recorded)
        for cell in booklet.code(notebook):
            if not tags(cell) & TASKS:
                said += booklet.execute(cell.source, names)
    assert said.count("Until then you see what was recorded") == 1
    assert "found none: `python3 run.py wild` brings it" in said
    assert [line for line in claims(said) if line[0] != "✓"] == []
    assert said.count("✓") == 12


@pytest.mark.parametrize("absent", ["LPWS_NGINX", "LPWS_NATS", "nats-py"])
def test_without_a_broker_or_a_proxy_the_lesson_shows_what_was_recorded(absent, monkeypatch):
    shows_what_was_recorded(absent, MANY_SERVERS, monkeypatch)


@contextlib.contextmanager
def cluster():
    """Addresses of three brokers that are one: whatever is published at one is heard at all."""
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [each.getsockname()[1] for each in free]
        stack.close()
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        brokers = []
        for port in ports:
            text = (
                f"listen: 127.0.0.1:@PORT@\nserver_name: b{port}\n"
                "jetstream { store_dir: '@FOLDER@/stream' }\n"
                f"cluster {{ name: tea, listen: '127.0.0.1:{port}', routes: [{routes}] }}\n"
            )
            orders = {"command": ["-c", "@FOLDER@/nats.conf"], "file": "nats.conf", "text": text}
            broker = Nats(lpws.services.find("nats"), orders | {"ask": "", "answer": "INFO"})
            brokers.append(stack.enter_context(broker))
        yield [broker.url for broker in brokers]


async def until_it_works(ask, patience_s=20.0):
    """What the call gives, once the brokers have agreed on their leader."""
    end = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except (nats.errors.Error, AssertionError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)


def test_the_lesson_runs_on_a_cluster_of_three_brokers(many):
    """The very code of the notebook; each server and the speaker at a broker of its own."""

    async def numbered(server, urls):
        server.enter(many["numbered"](server.room, urls))

    async def lesson():
        async with await many["connect"](urls) as speaker:
            stream = speaker.jetstream()
            add = functools.partial(stream.add_stream, name="tea", subjects=["tea"], num_replicas=3)
            await until_it_works(add)
            with many["two_servers"]({"/room": many["Poll"]}) as (address, a, b):
                # A consumer has its own leader, too.
                await until_it_works(functools.partial(numbered, a, urls[:1]))
                for n in range(1, 31):
                    ack = await stream.publish("tea", str(n).encode(), headers={"Nats-Msg-Id": f"{n}"})
                    again = await stream.publish("tea", str(n).encode(), headers={"Nats-Msg-Id": f"{n}"})
                    assert (ack.seq, again.seq) == (n, n)
                await until_it_works(functools.partial(numbered, b, urls[1:]))
                got = []
                a.crash()
                await many["read"](address, 10, got, b, "30")
                assert got == [*range(11, 31)]
            await stream.delete_stream("tea")
        with many["two_servers"]({"/room": many["Shared"]}) as (address, *both):
            for server, url in zip(both, urls, strict=False):
                server.enter(many["subscribed"](server.room, [url]))

            async def all_heard():
                assert sum(map(len, await many["who_heard"](address))) == 400

            await until_it_works(all_heard)  # a broker learns a moment later who is subscribed at another

    with cluster() as urls:
        asyncio.run(asyncio.wait_for(lesson(), 60))


def test_the_proxy_does_not_say_a_post_again(many):
    """A server that dies before it has answered a GET is replaced, and one that dies with a POST is not."""
    asked = []

    class Slow(RequestHandler):
        async def get(self):
            asked.append(self.request.method)
            await asyncio.sleep(0.5)

        post = get

    async def statuses():
        with many["two_servers"]({"/slow": Slow}) as (address, a, _):
            fetch = AsyncHTTPClient(force_instance=True).fetch
            url = f"http://{address}/slow"
            answers = [fetch(url, raise_error=False),
                       fetch(url, method="POST", body=b"", raise_error=False)]  # in turn: A, B
            answers += [fetch(url, method="POST", body=b"", raise_error=False)]  # A
            answers = [asyncio.ensure_future(each) for each in answers]
            end = time.monotonic() + 10
            while len(asked) < 3 and time.monotonic() < end:
                await asyncio.sleep(0.01)
            a.crash()
            return sorted([(await each).code for each in answers])

    found = asyncio.run(statuses())
    assert len(found) == 3
    assert found == [200, 200, 502]
    assert asked.count("GET") in (1, 2)
    assert asked.count("POST") == 2


def test_with_one_more_message_the_client_would_hear_again(many):
    """Of a server that counts by itself, a client hears nothing until that has counted past its cursor."""

    async def got(last):
        async with many["a_stream"]() as (stream, url):
            with many["two_servers"]({"/room": many["Poll"]}) as (address, a, b):
                a.crash()
                b.enter(many["counted"](b.room, url))
                for n in range(61, last + 1):
                    await stream.publish("tea", str(n).encode())
                found = []
                await many["read"](address, 100, found, b, str(last))
        return found

    assert asyncio.run(got(160)) == []
    assert asyncio.run(got(161)) == [161]


def test_a_stream_knows_a_key_for_two_minutes(many):
    async def window_s():
        async with many["a_stream"]() as (stream, _):
            return (await stream.stream_info("tea")).config.duplicate_window

    assert asyncio.run(window_s()) == 120


# --------------------------------------------------------------------------- 15: what it builds on

TEN_MILLION = booklet.NOTEBOOKS / "15_ten_million.ipynb"


@pytest.fixture(scope="module")
def scale():
    """The names of the notebook on ten million phones, its experiments as they were recorded."""
    return booklet.read_through(TEN_MILLION)


@pytest.mark.parametrize("program", NGINX)
def test_behind_each_nginx_polls_move_and_websockets_stay(scale, program, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", program)
    moved, count = scale["moved"].__wrapped__, scale["how_often"]
    sockets, polls = moved("WebSocket", 0), moved("short polling", 0)
    assert [count(sockets["opened"], n, 0.5, 2) for n in range(3)] == [0, 0, 0]
    at_a = count(sockets["opened"], 0, -9, 2) - count(sockets["closed"], 0, -9, 2)
    assert 10 < at_a < 20
    assert count(sockets["closed"], 0, 2, 9) == at_a  # when it is drained
    back = [count(sockets["opened"], n, 2, 9) for n in range(3)]
    assert back[0] == 0
    assert back[1] + back[2] == at_a
    assert min(back[1:]) > at_a / 4
    ends_s = min(t for t, n, _ in polls["closed"] if n == 0 and t > 2)
    until_drained = [count(polls["request_received"], n, -9, ends_s) for n in (0, 1)]
    assert min(until_drained) > max(until_drained) * 2 / 3
    begins_s = min(t for t, n, _ in polls["request_received"] if n == 2)
    since_c = [count(polls["request_received"], n, begins_s, 9) for n in (1, 2)]
    assert min(since_c) > max(since_c) * 2 / 3
    kept = count(polls["opened"], 0, -9, 2) - count(polls["closed"], 0, -9, 2)
    assert 1 <= kept < count(polls["request_received"], 0, -9, 2) / 2  # each carries several polls
    closes = count(polls["closed"], 0, 2, 9)
    assert count(polls["request_received"], 0, ends_s, 9) <= closes


@pytest.mark.parametrize("absent", ["LPWS_NGINX", "LPWS_NATS", "nats-py"])
def test_without_a_broker_or_a_proxy_ten_million_shows_what_was_recorded(absent, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", "there-is-none")  # a run through it takes long
    shows_what_was_recorded(absent, TEN_MILLION, monkeypatch, measure=lpws.measure)


def test_a_stream_on_disk_outlives_its_broker(scale, tmp_path):
    """What was acknowledged is there when a broker comes back; a publish to one that is away fails."""

    def broker(port):
        command = ["-a", "127.0.0.1", "-p", f"{port}", "--ports_file_dir", "@FOLDER@"]
        orders = {"command": [*command, "-js", "-sd", f"{tmp_path}"], "ask": "", "answer": "INFO"}
        return Nats(lpws.services.find("nats"), orders)

    async def story():
        with broker(-1) as first:
            speaker = await scale["connect"](first.url, wait_s=0.1)
            stream = speaker.jetstream()
            await stream.add_stream(name="tea", subjects=["tea"])
            assert [(await stream.publish("tea", b"ready")).seq for _ in range(5)] == [1, 2, 3, 4, 5]
        with pytest.raises((nats.errors.Error, asyncio.TimeoutError)):
            await stream.publish("tea", b"is anybody there?", timeout=0.3)
        with broker(first.port):
            await until_it_works(lambda: stream.stream_info("tea"))
            assert (await stream.get_msg("tea", 5)).data == b"ready"
            await speaker.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_broker_that_is_away_is_spoken_to_until_the_buffer_is_full(scale):
    """nats-py takes 2 MiB for it, and then refuses; without a buffer, it refuses immediately."""
    piece, taken = bytes(1 << 16), []

    async def say_much(speaker):
        while len(taken) < 100:
            await speaker.publish("tea", piece)
            taken.append(piece)

    async def story():
        with lpws.nats() as broker:
            speaker = await scale["connect"](broker.url, wait_s=0.1)
            without = await nats.connect(
                broker.url, reconnect_time_wait=0.1, max_reconnect_attempts=-1, pending_size=-1
            )
            await without.publish("tea", b"ready")  # while the broker is there
            await without.flush()
        while speaker.is_connected or without.is_connected:
            await asyncio.sleep(0.01)
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            await without.publish("tea", b"ready")
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            await say_much(speaker)
        assert len(taken) in (31, 32)  # each with a few bytes before it
        with lpws.nats(port=broker.port):
            while not (speaker.is_connected and without.is_connected):
                await asyncio.sleep(0.01)
            await speaker.close()
            await without.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_the_bill_is_what_multiplying_gives(scale):
    needs = {what: number for what, (number, _) in scale["bill"](1_000_000, 10, 50, 100).items()}
    assert needs["tell all"] == pytest.approx(1e5 * scale["delivery_s"])
    assert needs["heartbeats"] == pytest.approx(2e4 * scale["heartbeat_s"])
    assert needs["come back"] == pytest.approx(1e4 * scale["return_s"])
    of_processors = [needs[what] for what in ("tell all", "heartbeats", "come back")]
    assert needs["processor"] == pytest.approx(sum(of_processors))
    assert needs["memory"] == pytest.approx(1_000_000 * scale["client_bytes"] / 2**32)
    assert needs["network"] == pytest.approx(0.0608)
    assert needs["TLS at nginx"] == pytest.approx(1e4 / 2000)
    servers = math.ceil(max(needs[what] for what in ("processor", "memory", "network")))
    assert needs["broker"] == pytest.approx(servers * scale["copy_s"] / 10)


def test_the_sliders_of_the_bill_draw_whatever_is_set(scale):
    for phones in (10_000, 100_000_000):
        for seconds in ((1, 15, 1), (600, 900, 600)):
            scale["draw"](phones, *seconds).figure.draw_without_rendering()


def test_the_published_rates_follow_from_what_was_published():
    with open(lpws.DATA / "scale.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    published = {"Discord": [1 / 70e-6, 1 / 30e-6], "MigratoryData": [192_000 * 10, 12_000_000 / 60]}
    for who, rates_hz in published.items():
        found = [float(row["deliveries_hz"]) for row in rows if row["who"] == who]
        assert found == pytest.approx(rates_hz, abs=1)


# --------------------------------------------------------------------------------- 16: what it builds

CHAT = booklet.NOTEBOOKS / "16_build_a_chat.ipynb"


@pytest.fixture(scope="module")
def chat():
    """The names of the notebook on the chat."""
    return booklet.read_through(CHAT)


def test_two_posts_with_a_key_at_the_same_time_make_two_messages(chat):
    """The colleague of the exercise: between the look at the key and its note stands an `await`."""
    both = threading.Barrier(2)
    ids = {}

    class Slow(chat["Post"]):
        async def post(self):
            said = json.loads(self.request.body)
            if said["key"] not in ids:
                await asyncio.to_thread(both.wait, 5)  # until the other one waits, too
                ids[said["key"]] = self.publish(said)
            self.write({"id": ids[said["key"]]})

    with lpws.Server(handlers={"/post": Slow}) as server:
        said = {"key": "k7", "name": "Ada", "text": "tea is ready"}
        posts = [threading.Thread(target=chat["send"], args=[server], kwargs=said) for _ in range(2)]
        for each in posts:
            each.start()
        for each in posts:
            each.join(10)
        assert [json.loads(message.text)["text"] for message in server.room.messages] == ["tea is ready"] * 2


def test_four_transits_from_typed_to_read(chat):
    """The unluckiest message by long polling, and its way to the server before."""
    work = lpws.Workload(clients=1, rate_hz=2, duration_s=1.0, pattern="bursts", burst=2, spacing_s=1e-4)
    told = lpws.deliveries(lpws.simulate(lpws.LongPolling(), work, lpws.Link(delay_s=0.04)))
    assert 1 + told.latency_s.max() / 0.04 == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(
    ("lesson", "kind"),
    [
        ("streaming", "Stream"), ("streaming", "Resuming"), ("costs", "Stream"),
        ("chat", "Stream"), ("chat", "Present"),
    ],
)  # fmt: skip
def test_a_client_that_goes_while_its_stream_is_written_to_leaves_nothing(lesson, kind, request):
    """A `flush` that fails ends the handler, and Tornado says nothing to its `on_connection_close`.

    The laboratory's server ends no handler for that; so here it is Tornado alone.
    """
    stream = request.getfixturevalue(lesson)[kind]
    lines, closed = [], []

    class Seen(stream):
        def initialize(self, room):
            super().initialize(room)
            lines.append(self.request.connection.stream)

        def on_connection_close(self):
            closed.append(self)
            super().on_connection_close()

        def log_exception(self, *error):
            assert isinstance(error[1], StreamClosedError)

    async def story():
        room = SimpleNamespace(messages=[], listeners=set(), publish=lambda text: None)
        server = HTTPServer(Application([("/stream", Seen, {"room": room})]))
        (door,) = bind_sockets(0, "127.0.0.1")
        server.add_socket(door)
        try:
            reader, writer = await asyncio.open_connection(*door.getsockname())
            writer.write(b"GET /stream?name=Ada HTTP/1.1\r\nHost: tea\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            (wake,) = room.listeners
            room.messages.append(SimpleNamespace(id=1, text="tea is ready"))
            wake(room.messages[0])  # the stream is about to be written to …
            lines[0].close()  # … when its client has gone
            async with asyncio.timeout(5):
                while room.listeners:
                    await asyncio.sleep(0.001)
            writer.close()
        finally:
            server.stop()
            await server.close_all_connections()

    asyncio.run(story())
    assert not closed, "so nobody else could have removed the listener"


@pytest.mark.parametrize(("returns", "heard"), [(False, ["came", "left"]), (True, ["came"])])
def test_each_cut_begins_the_patience_anew(chat, monkeypatch, returns, heard):
    """Else the end that an earlier cut has asked for falls into the next tunnel."""
    told, timers, tunnels = [], [], []

    async def get(_handler):
        tunnels.append(asyncio.Event())
        await tunnels[-1].wait()

    def opened():
        handler = object.__new__(chat["Present"])
        handler.get_query_argument = lambda _: "Ada"
        handler.room = SimpleNamespace(publish=lambda text: told.append(json.loads(text)["kind"]))
        return asyncio.ensure_future(handler.get())

    async def story():
        def call_later(_, end, *given):
            timers.append(asyncio.Handle(end, given, loop))
            return timers[-1]

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", call_later)
        for _ in range(3):
            stream = opened()
            await asyncio.sleep(0)
            tunnels[-1].set()
            await stream
        last = opened() if returns else asyncio.sleep(0)
        await asyncio.sleep(0)
        for timer in timers[:2]:
            timer._run()
        assert told == ["came"]
        timers[2]._run()
        assert told == heard
        for tunnel in tunnels:
            tunnel.set()
        await last

    chat["here"].clear()
    monkeypatch.setattr(chat["Stream"], "get", get)
    asyncio.run(story())


def test_a_stream_sends_what_is_after_its_cursor_now_and_later(chat):
    with lpws.Server(handlers={"/stream": chat["Stream"]}) as server:
        for n in range(1, 6):
            server.publish(str(n))
        client = http.client.HTTPConnection(server.host, timeout=5)
        client.request("GET", "/stream", headers={"Last-Event-ID": "3"})
        answer = client.getresponse()
        server.publish("6")
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.read(len(b"id: 4\ndata: 4\n\n") * 3) == b"".join(
            b"id: %d\ndata: %d\n\n" % (n, n) for n in (4, 5, 6)
        )
        client.close()
