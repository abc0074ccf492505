"""An audience that only listens; room for open files; models of a message to N clients, and simulations."""

import contextlib
import itertools
import math
import random

import numpy as np
import pytest
from leaks import nothing_left_behind
from tornado.websocket import WebSocketHandler

import lpws
from lpws import models
from lpws.run import RunError

SIZES = (0, 125, 126, 65_535, 65_536, 70_000)


class News(WebSocketHandler):
    """Sends each message as it is, when it is published."""

    def initialize(self, room):
        self.room = room

    def open(self):
        self.room.listeners.add(self.tell)

    def on_close(self):
        self.room.listeners.discard(self.tell)

    def tell(self, message):
        self.write_message(message.text)


@contextlib.contextmanager
def listening(clients):
    """A server, and an audience of its news."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lpws.Server(handlers={"/news": News}))
        yield server, stack.enter_context(lpws.Audience(server, "/news", clients=clients))


# -------------------------------------------------------------------------------- the audience


def test_every_client_hears_every_message_after_its_publish():
    with nothing_left_behind(), listening(30) as (server, audience):
        begun_s = []
        for number, size in enumerate(SIZES, 1):
            begun_s.append(lpws.clock())
            server.publish(size * ".")
            heard_s = audience.heard(number)
            assert heard_s.shape == (30, number)
    assert (heard_s > np.array(begun_s)).all()
    assert (heard_s[:, :-1] < np.array(begun_s)[1:]).all()


def test_messages_that_come_together_are_told_apart():
    with listening(3) as (server, audience):
        for _ in range(50):
            server.publish("tea is ready")
        assert not np.isnan(audience.heard(50)).any()


def test_what_does_not_come_is_not_a_number():
    with listening(2) as (server, audience):
        server.publish("tea is ready")
        assert audience.heard(1).shape == (2, 1)
        heard_s = audience.heard(2, within_s=0.2)
        assert np.isnan(heard_s).tolist() == [[False, True]] * 2
        server.drop()  # and who is cut off keeps what it had
        assert np.isnan(audience.heard(2, within_s=0.2)).tolist() == [[False, True]] * 2


def test_an_audience_that_is_refused_says_why():
    refused = pytest.raises(RunError, match="clients ended before their time; .*404")
    with nothing_left_behind(), lpws.Server() as server, refused:
        lpws.Audience(server, "/nowhere", clients=2).__enter__()


ODD = 0, -1, 10**9, None, "abc", 2.5


@pytest.mark.parametrize("wrong", ODD)
def test_a_number_of_clients_that_cannot_be(wrong):
    words = r"\(clients.*\): expected a whole number( from 1 to 20000)?, got "
    with lpws.Server() as server, pytest.raises((TypeError, ValueError), match=words):
        lpws.Audience(server, "/websocket", clients=wrong)
    with pytest.raises((TypeError, ValueError), match=words):
        lpws.room_for(wrong)


@pytest.mark.parametrize("wrong", ODD)
def test_what_is_no_server_and_what_is_no_path(wrong):
    with pytest.raises(TypeError, match=f"expected a Server that runs, got {wrong!r}"):
        lpws.Audience(wrong, "/news", clients=2)
    words = f"expected the path of a WebSocket, as '/news', got {wrong!r}"
    with lpws.Server() as server, pytest.raises(ValueError, match=words):
        lpws.Audience(server, wrong, clients=2)
    with pytest.raises(RuntimeError, match="expected a server that was started"):
        lpws.Audience(lpws.Server(), "/news", clients=2)


def test_what_nobody_can_have_heard():
    with listening(1) as (server, audience):
        for wrong in ODD:
            words = r"heard\(messages\): expected a whole number( from 1 to 10000)?, got "
            with pytest.raises((TypeError, ValueError), match=words):
                audience.heard(wrong)
            words = r"heard\(within_s=…\): expected a number( from 0 to 3600)?, got "
            if wrong not in (0, 2.5):
                with pytest.raises((TypeError, ValueError), match=words):
                    audience.heard(1, within_s=wrong)
        server.publish("tea is ready")
        assert not np.isnan(audience.heard(1)).any()


def test_an_audience_listens_only_inside_its_with():
    with lpws.Server(handlers={"/news": News}) as server:
        audience = lpws.Audience(server, "/news", clients=1)
        words = "expected an audience that listens: use `with"
        with pytest.raises(RuntimeError, match=words):
            audience.heard(1)
        with audience:
            pass
        with pytest.raises(RuntimeError, match=words):
            audience.heard(1)


def test_on_a_machine_with_few_descriptors_there_is_room_for_fewer(capsys):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert lpws.room_for(10) == 10
    assert capsys.readouterr().out == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _kind: (1024, 1024))
        patch.setattr(resource, "setrlimit", lambda *_: None)
        fewer = lpws.room_for(1000)
        assert 500 < fewer < 1000
        assert f"{fewer} clients instead of 1,000" in capsys.readouterr().out
        patch.setattr(resource, "getrlimit", lambda _kind: (10, 10))
        with pytest.raises(RunError, match="expected room for open files"):
            lpws.room_for(1000)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


# ---------------------------------------------------------------------------------- the models


def poisson(rate_hz, number, seed):
    draw = random.Random(seed)
    return list(itertools.accumulate(draw.expovariate(rate_hz) for _ in range(number)))


def mean_of_frames(clients, rate_hz, write_s, number=20_000):
    """The queue in front of a loop that writes each message to all, one message after the other."""
    free_s = total_s = 0.0
    for at_s in poisson(rate_hz, number, "frames"):
        begin_s = max(at_s, free_s)
        free_s = begin_s + clients * write_s
        total_s += begin_s - at_s + (clients + 1) / 2 * write_s
    return total_s / number


@pytest.mark.parametrize("load", [0.05, 0.5, 0.8])
def test_frames_wait_in_a_queue(load):
    clients, write_s = 80, 50e-6
    case = {"clients": clients, "rate_hz": load / (clients * write_s), "write_s": write_s}
    assert models.frames_latency(**case, delay_s=0) == pytest.approx(mean_of_frames(**case), rel=0.05)


def test_from_the_rate_that_fills_the_loop_on_there_is_no_end():
    crowd = {"clients": 80, "write_s": 50e-6, "delay_s": 0}
    assert math.isfinite(models.frames_latency(rate_hz=249, **crowd))
    assert math.isinf(models.frames_latency(rate_hz=250, **crowd))
    assert math.isinf(models.frames_latency(rate_hz=1000, **crowd))


def mean_of_polls(clients, rate_hz, answer_s, number=4_000):
    """A loop that takes the requests of long polls and answers them, one after the other; no link.

    Half of the time of a poll is its request, half its answer.
    """
    news = poisson(rate_hz, number, "polls")
    step_s, now_s, total_s = answer_s / 2, 0.0, 0.0
    cursors, held, asking = [0] * clients, list(range(clients)), []
    published = 0
    while published < number or asking:
        if not asking:
            now_s = max(now_s, news[published])
        while published < number and news[published] <= now_s:
            published += 1
            for client in held:
                asking.append((client, "answer"))
            held = []
        client, what = asking.pop(0)
        now_s += step_s
        if what == "answer":
            new = news[cursors[client] : published]
            total_s += sum(now_s - at_s for at_s in new)
            cursors[client] = published
            asking.append((client, "request"))
        elif cursors[client] < published:
            asking.append((client, "answer"))
        else:
            held.append(client)
    return total_s / (number * clients)


@pytest.mark.parametrize("rate_hz", [1, 100, 1000])
def test_polls_bend_and_do_not_break(rate_hz):
    """A rule of thumb: within a third of what a loop does, from idle to far beyond."""
    case = {"clients": 40, "rate_hz": rate_hz, "answer_s": 400e-6}
    assert models.polls_latency(**case, delay_s=0) == pytest.approx(mean_of_polls(**case), rel=0.33)


def test_the_last_of_many_by_hand():
    assert models.last_latency(clients=30_000, write_s=50e-6, delay_s=0.025) == pytest.approx(1.525)
    few = models.gathered_latency(clients=80, rate_hz=0.001, flush_s=0.05, write_s=50e-6, delay_s=0)
    many = models.gathered_latency(clients=80, rate_hz=1e6, flush_s=0.05, write_s=50e-6, delay_s=0)
    assert few == pytest.approx(0.05 + 81 * 25e-6, rel=1e-3)
    assert many == pytest.approx(0.025 + 81 * 25e-6, rel=1e-3)
