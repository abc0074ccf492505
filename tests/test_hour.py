"""An hour of a chat in two seconds, with those who flood it, who stop reading, and who only look in."""

import contextlib
import itertools
import json
import socket
import threading
import time
from functools import partial

import pytest
from wire import HANDSHAKE, PATIENCE_S, Wire, until

from lpws.chat import ChatServer, Times
from lpws.chat.handlers import MOST_EVENTS
from lpws.chat.letters import MOST_SAID
from lpws.chat.room import MOST_TEXT, ChatRoom
from lpws.chat.roster import MOST_DONE, MOST_GONE, MOST_HERE
from lpws.server import counted_stream, server
from lpws.server.counted_stream import Door
from lpws.transports.room import MOST_COUNTED
from lpws.wire import from_lines

HOUR_S = 2.0
TIMES = Times().faster(3600 / HOUR_S)
STOPPED = 12
IN_ALL = 16_000_000


class Guest:
    """Somebody with the chat's address."""

    def __init__(self, chat, name):
        self.chat, self.secret, self.keys = chat, f"secret of {name}", map(str, itertools.count())
        status, answer = self.post("/enter", name=name, by="SSE")
        assert status in (200, 503), "503 if too many came just now"
        self.ticket = json.loads(answer)["ticket"] if status == 200 else None

    def ask(self, method, path, body=b"", **headers):
        with Wire(self.chat) as wire:
            wire.request(self.chat.prefix + path, method, body, **headers)
            return wire.take_answer()

    def post(self, path, **letter):
        body = json.dumps({"secret": self.secret} | letter).encode()
        return self.ask("POST", path, body, Content_Type="application/json", Content_Length=str(len(body)))

    def flood(self):
        said = [{"key": next(self.keys), "text": MOST_TEXT * "x", "typed": 0.0} for _ in range(MOST_SAID)]
        assert self.post("/post", said=said)[0] in (200, 429)

    def flood_the_record(self):
        event = [1.0, "failed", 0, 2, 3]
        assert self.post("/report", key=next(self.keys), events=MOST_EVENTS * [event])[0] in (200, 429)

    def look_in(self, path="/reload"):
        """The whole log, as somebody who comes has it."""
        status, body = self.ask("GET", f"{path}?cursor=0&ticket={self.ticket}")
        assert status in (200, 204)
        return from_lines(body.encode())


def knock(chat):
    """What a stranger does."""
    with Wire(chat) as wire:
        wire.request("/reload")
        assert wire.take_answer()[0] == 403


def stop_reading(chat, ticket, path):
    """A connection whose owner asks for everything and reads nothing."""
    wire = Wire(chat, receive_buffer=4096)
    headers = HANDSHAKE if path == "/websocket" else {}
    wire.request(f"{chat.prefix}{path}?cursor=0&ticket={ticket}", **headers)
    return wire


def accept(door, really=Door.accept):
    connection, address = really(door)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    return connection, address


@pytest.fixture
def hour(nothing_left, monkeypatch):
    # So that a dozen who stop reach this limit as well; over a network, kernels keep less than on loopback.
    monkeypatch.setattr(counted_stream, "MOST_IN_ALL", IN_ALL)
    monkeypatch.setattr(Door, "accept", accept)
    monkeypatch.setattr(server, "MOST_EVENTS", 10_000)
    with ChatServer(times=TIMES) as chat:
        yield chat


def test_an_hour_of_everything_stays_under_its_bounds(hour):
    chat, over, errors = hour, threading.Event(), []
    ada = Guest(chat, "Ada")

    def again(acts):
        try:
            for act in acts:
                if over.is_set():
                    return
                act()
        except Exception as error:
            if not over.is_set():
                errors.append(error)

    flooders = [Guest(chat, f"flooder {n}") for n in range(3)]
    acts = [itertools.repeat(guest.flood) for guest in flooders[:2]]
    acts += [itertools.repeat(flooders[2].flood_the_record), itertools.repeat(partial(knock, chat))]
    acts += [(partial(Guest, chat, f"newcomer {n}") for n in itertools.count())]
    threads = [threading.Thread(target=again, args=(each,), daemon=True) for each in acts]
    most = {}

    def look():
        room, streams = chat.room, chat._streams
        found = {
            "waiting": sum(stream.backlog for stream in streams),
            "log": sum(len(text) + 100 for _, text in room.mailbox.log),
            "trace": len(chat.trace),
            "people": len(room.roster.people),
            "letters": max(len(p.said) + len(p.reported) for p in room.roster.people.values()),
            "counted": max(len(room.arrived), len(room.strangers)),
            "held": len(room.waiting) + len(room.followers) + len(room.streams),
        }
        for name, number in found.items():
            most[name] = max(most.get(name, 0), number)

    with contextlib.ExitStack() as stack:

        def stop():
            path = ("/websocket", "/sse")[next(turn) % 2]
            stack.callback(stop_reading(chat, ada.ticket, path).socket.close)

        turn = itertools.count()
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + HOUR_S
        hung_up = 0
        while time.monotonic() < end_s or (hung_up < 3 and time.monotonic() < end_s + PATIENCE_S):
            if chat.thread.call(lambda: len(chat.room.streams)) < STOPPED:
                stop()
            chat.thread.call(look)
            hung_up = len(chat.log)
            if next(turn) % 20 == 0 and (messages := ada.look_in()):
                ids = [id for id, _ in messages]
                assert ids == list(range(ids[0], ids[-1] + 1)), "whoever comes has all that is kept, in order"
        over.set()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        last = chat.publish("tea is ready")
        assert last in {message.id for message in ada.look_in()}
    assert errors == []
    assert IN_ALL / 2 < most["waiting"] <= IN_ALL + 4 * ChatRoom.most
    assert 0.5 * ChatRoom.most < most["log"] <= ChatRoom.most
    assert 10_000 < most["trace"] <= 10_000 + 30 * MOST_EVENTS, "so many come between two looks"
    assert most["people"] <= MOST_HERE + MOST_GONE
    assert MOST_DONE <= most["letters"] <= 2 * MOST_DONE
    assert most["counted"] <= MOST_COUNTED
    assert {line.partition(":")[0] for line in chat.log} == {"hung up on a client that did not read"}
    until(lambda: not chat.room.busy)
