"""A run that is watched: what the watcher sees, what is drawn, and what a notebook keeps of it."""

from dataclasses import replace

import accounting
import pytest
from jupyter_client import KernelManager
from leaks import nothing_left_behind
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import lpws
from lpws.figures.pair import SIZE
from lpws.liveview import describe

WORK = lpws.Workload(clients=3, rate_hz=10, duration_s=1.5, seed=3)
POLLING = lpws.ShortPolling(interval_s=0.2, keep_alive=False)


def test_the_watcher_sees_the_run_grow():
    seen = []
    run = lpws.measure(POLLING, WORK, watch=seen.extend)
    sizes = [len(one.events) for one in seen]
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 3  # nothing, something, all
    assert seen[-1].events == run.events
    assert accounting.faults(run) == []
    # What the clients say is seen while they are at it, and in it nothing happens before its cause.
    halfway = seen[-2]
    assert {"client", "server", "publisher"} <= {event[2] for event in halfway.events}
    assert (lpws.deliveries(halfway).latency_s.dropna() > 0).all()
    assert halfway.log == ()


@pytest.mark.parametrize("watch", [lambda _runs: None, next], ids=["never looks", "looks once"])
def test_a_run_goes_on_when_the_watcher_looks_away(watch, nothing_left):
    run = lpws.measure(POLLING, WORK, watch=watch)
    assert accounting.faults(run) == []
    assert (lpws.deliveries(run).state == "delivered").all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("looks", [1, 2])
def test_what_stops_the_watcher_stops_the_run(error, looks):
    def watch(runs):
        for _, _run in zip(range(looks), runs, strict=False):
            pass
        raise error

    with nothing_left_behind(), pytest.raises(error):
        lpws.measure(POLLING, replace(WORK, duration_s=60), watch=watch)


def test_a_watcher_is_a_function():
    with pytest.raises(TypeError, match=r"expected a function such as lpws\.live, got True"):
        lpws.measure(POLLING, WORK, watch=True)


def drawn(run):
    """The figure's corners of the line, dots, names."""
    figure = Figure()
    lpws.connections_and_latency(run, figure=figure)
    above, below = figure.axes
    [opened] = [line for line in above.get_lines() if line.get_label() == "opened"]
    [dots] = [line for line in below.get_lines() if line.get_label() == "delivery"]
    return opened.get_xydata(), dots.get_xydata(), [text.get_text() for text in above.texts], below


@pytest.mark.parametrize("spec", [POLLING, lpws.LongPolling(), lpws.SSE(), lpws.Reload()], ids=repr)
def test_the_figure_shows_what_the_tables_say(spec):
    run = lpws.simulate(spec, WORK, lpws.Link(delay_s=0.025))
    line, dots, names, below = drawn(run)
    table = lpws.deliveries(run).dropna(subset="received_s")
    opened_s = lpws.connections(run, "server").opened_s
    end_s = max(WORK.duration_s, table.received_s.max())
    assert tuple(line[-1]) == (pytest.approx(end_s), (opened_s < end_s).sum())
    unit_s = 1.0 if "[s]" in below.get_ylabel() else 0.001
    expected = sorted(zip(table.received_s, table.latency_s, strict=True))
    assert sorted((t, unit_s * age) for t, age in dots) == [pytest.approx(pair) for pair in expected]
    assert f"{line[-1, 1]:,.0f} opened" in names
    assert below.get_xlim() == (0, end_s)


def test_what_is_written_has_room():
    """A crowd's numbers are long; the picture has a fixed size."""
    figure = Figure(figsize=SIZE)
    busy = replace(WORK, clients=300, rate_hz=100)
    lpws.connections_and_latency(lpws.simulate(POLLING, busy), figure=figure)
    FigureCanvasAgg(figure).draw()
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        assert not text.get_text() or (box.x0 >= 0 and box.x1 <= figure.bbox.x1), text.get_text()


def test_a_run_is_drawn_as_far_as_it_has_come():
    run = lpws.simulate(POLLING, WORK)
    half = replace(run, events=[event for event in run.events if event[0] < 0.7])
    for part, most_s in ((replace(run, events=[]), 0.0), (half, 0.7)):
        line, dots, _, below = drawn(part)
        assert line[-1, 0] <= most_s
        assert len(dots) == sum(event[1] == "message_received" for event in part.events)
        assert below.get_xlim() == (0, WORK.duration_s)


def test_what_makes_a_run_unfit_is_written_below():
    run = replace(lpws.simulate(POLLING, WORK), origin="measured", log=("no tea",))
    assert any("no tea" in text.get_text() for text in drawn(run)[3].texts)


def test_outside_a_notebook_nothing_is_shown(capsys):
    figure = lpws.live([lpws.simulate(POLLING, WORK)] * 2)
    assert len(figure.axes) == 2
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------------------- in a notebook

WATCH = f"""
import lpws
run = lpws.measure(lpws.{POLLING!r}, lpws.{WORK!r}, watch=lpws.live)
"""
LEFT = """
import multiprocessing, os, threading
print(sorted(thread.name for thread in threading.enumerate() if "lpws" in thread.name))
print(open(f"/proc/self/task/{threading.main_thread().native_id}/children").read().split())
"""


@pytest.fixture
def kernel():
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client, manager
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.context.destroy()


def execute(client, code, take=lambda _kind, _content: None):
    """The messages that the code sent to the notebook: (kind, content); `take` sees them come."""
    said = []

    def hook(message):
        if message["msg_type"] not in ("status", "execute_input"):
            said.append((message["msg_type"], message["content"]))
            take(*said[-1])

    reply = client.execute_interactive(code, output_hook=hook, timeout=60)
    return reply["content"]["status"], said


def pictures(said):
    return [(kind, content) for kind, content in said if "image/png" in content.get("data", {})]


def test_a_notebook_keeps_one_figure_with_its_description(kernel):
    client, _ = kernel
    for _ in range(2):  # the cell is run again
        status, said = execute(client, WATCH)
        assert status == "ok"
        [(first, content), *others] = pictures(said)
        assert first == "display_data"
        assert others
        assert {kind for kind, _ in others} == {"update_display_data"}
        for _, other in others:  # the same place, and the same but for the picture
            assert other["transient"] == content["transient"]
            assert other["data"]["text/plain"] == content["data"]["text/plain"]
        assert others[-1][1]["data"]["image/png"] != content["data"]["image/png"]
        description = describe(lpws.simulate(POLLING, WORK))
        for _, one in pictures(said):
            assert f'<img alt="{description}"' in one["data"]["text/html"]
        assert len(said) == len(pictures(said))  # and nothing else, no warning


def test_an_interrupt_leaves_the_figure_and_nothing_else(kernel):
    client, manager = kernel

    def interrupt(kind, _content):
        if kind == "update_display_data":
            manager.interrupt_kernel()

    long = WATCH.replace(f"duration_s={WORK.duration_s}", "duration_s=60.0")
    assert long != WATCH
    status, said = execute(client, long, interrupt)
    assert status == "error"
    assert said[-1][1]["ename"] == "KeyboardInterrupt"
    assert len(pictures(said)) >= 2
    status, said = execute(client, LEFT)
    assert "".join(content["text"] for _, content in said) == "[]\n[]\n"
    assert execute(client, WATCH)[0] == "ok"
