"""What a notebook asks and says: guesses, and answers to exercises."""

import asyncio
import base64
import inspect
import io
import json
import math
import re
import types
from xml.etree import ElementTree

import ipywidgets
import matplotlib
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

import lpws
import lpws.services
from lpws import notebook
from lpws.exercises.answer import verdict

matplotlib.use("Agg")


@pytest.mark.parametrize("value", [0, 0.3, 1, np.float64(0.3), np.int64(1)])
def test_a_guess_is_a_number(value, capsys):
    guess = lpws.guess(value, most=1)
    assert type(guess) is float
    assert guess == value
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "value", [-1, 1.1, 40, 10**400, math.inf, math.nan, None, "abc", "0.3", True, ..., [0.3], 1j]
)
def test_what_is_no_guess_is_said_and_left_out(value, capsys):
    assert math.isnan(lpws.guess(value, most=1))
    said = capsys.readouterr().out
    assert said == f"✗ your guess: expected a number from 0 to 1, got {value!r}; it is left out\n"


def test_a_guess_without_a_range_is_some_positive_number(capsys):
    assert lpws.guess(1e6) == 1e6
    assert math.isnan(lpws.guess(-1))
    assert "expected a number from 0 to 1e+06, got -1;" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["abc", 10**400, 1e6])
def test_a_guess_that_is_left_out_does_not_change_the_figure(value, recwarn, caplog):
    figure, ax = plt.subplots()
    ax.set(xscale="log", yscale="log", xlim=(1, 10), ylim=(1, 10))
    before = figure.get_tightbbox().extents
    guess = lpws.guess(value)
    ax.plot(2, guess, "x")
    ax.annotate("your guess", (2, guess), (6, 6), textcoords="offset points")
    ax.axhline(guess)
    figure.canvas.draw()
    assert (figure.get_tightbbox().extents == before).all()
    assert not recwarn.list
    assert not caplog.records
    plt.close(figure)


def test_a_latency_that_is_left_out_is_not_on_the_ecdf():
    run = lpws.simulate(lpws.WebSocket(), lpws.Workload(clients=1, duration_s=1.0))
    for guess_s, marked in ((0.1, True), (lpws.guess("abc"), False)):
        ax = lpws.ecdf(run, guess_s=guess_s)
        assert any(text.get_text() == "your guess" for text in ax.texts) == marked
        plt.close(ax.figure)


@pytest.mark.parametrize(
    ("answer", "begin"),
    [
        (100, "✓"),
        (100.9, "✓"),
        (99.1, "✓"),
        (101.1, "✗ not 101"),
        (10**400, "✗ not 1000"),
        (None, "✗ expected"),
    ],
)
def test_an_answer_may_be_a_little_off(answer, begin):
    assert verdict(answer, 100.0, within=0.01).startswith(begin)


@pytest.mark.parametrize(("answer", "right"), [(True, 1), (False, 0.0), (1, True), ("1", 1), ([1], (1,))])
def test_an_answer_of_another_kind_is_not_right(answer, right):
    assert verdict(answer, right).startswith("✗ expected a")


def test_an_answer_that_is_not_there_yet_is_asked_for():
    assert verdict(..., 1).startswith("… put your answer")


def test_a_wrong_answer_has_its_hint():
    said = [verdict(answer, 1, hints={2: "that is twice as many"}) for answer in (2, 3)]
    assert said == ["✗ not 2: that is twice as many", "✗ not 3"]


def test_an_answer_that_the_judge_cannot_take_is_no_error():
    assert verdict("abc", lambda answer: answer > 1).startswith("✗ '>' not supported")
    assert verdict(2, lambda answer: answer > 1) == "✓ that is right"


@pytest.mark.parametrize("task", [3, None, "3.hold", "hold", ..., ["03.hold"]])
def test_a_task_has_a_name(task):
    with pytest.raises(ValueError, match=r"expected the name of a task, such as '03\.hold', got "):
        lpws.check(task, 1)


@pytest.mark.parametrize("relation", ["==", "!=", "<", "<=", ">", ">="])
def test_a_claim_holds_or_not(relation, capsys):
    for left in (1, 2, 3):
        lpws.claim("it is so", left, relation, 2)
        holds = eval(f"{left} {relation} 2")
        said = "✓ it is so\n" if holds else f"✗ it is so: found {left} {relation} 2\n"
        assert capsys.readouterr().out == said


def test_a_claim_of_another_relation_is_an_error():
    with pytest.raises(ValueError, match="expected one of ==, .*, got '≈'"):
        lpws.claim("it is so", 1, "≈", 1)


def test_a_claim_without_what_it_needs_is_not_judged(capsys):
    for right in (1, 2):
        lpws.claim("it is so", 1, "==", right, needs={"tea": True, "milk": False, "sugar": False})
    assert capsys.readouterr().out == "– needs milk, sugar: it is so\n" * 2
    lpws.claim("it is so", 1, "==", 1, needs={"tea": True})
    assert capsys.readouterr().out == "✓ it is so\n"


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: a list of bundles, type → data."""
    bundles = []

    def display(data, raw=False, **_):
        assert raw
        bundles.append(data)

    monkeypatch.setattr("lpws.notebook.display", display)
    return bundles


def pixels(data):
    """The pixels of a PNG, of its bytes in base64."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.mark.parametrize("thing", ["a figure", "its axes", "a figure that pyplot does not know"])
def test_a_figure_is_shown_once_with_its_description(thing, shown):
    if thing == "a figure that pyplot does not know":
        figure = Figure()
        figure.subplots()
    else:
        figure, ax = plt.subplots()
    lpws.show(ax if thing == "its axes" else figure, 'A line that rises, "fast" & <steady>.')
    (data,) = shown
    html = ElementTree.fromstring(f"<all>{data['text/html'].replace('><details', '/><details')}</all>")
    assert html.find("img").get("alt") == 'A line that rises, "fast" & <steady>.'
    assert html.find("details").get("open") is None
    assert html.find("details/summary").tail == 'A line that rises, "fast" & <steady>.'
    assert plt.get_fignums() == [], "or the end of the cell would show it again"

    crisp = pixels(html.find("img").get("src").removeprefix("data:image/png;base64,"))
    light = pixels(data["image/png"])
    assert crisp.shape[1] == 2 * int(html.find("img").get("width")) == 2 * light.shape[1]


@pytest.mark.parametrize("words", ["9", "9,999,999 requests per second"])
def test_what_labels_say_does_not_change_the_width(words, shown):
    """The width stands in the stored output, and measured values differ from run to run."""
    ax = lpws.axes(width=6)
    ax.set_ylabel(words)
    ax.text(0.5, 0.5, words)
    lpws.show(ax, "Nothing.")
    assert ' width="600" ' in shown[0]["text/html"]


def test_axes_as_the_value_of_a_cell_are_a_picture():
    ax = lpws.axes(height=2)
    ax.set_title("tea <is> ready", loc="left")
    data = InteractiveShell.instance().display_formatter.format(ax)[0]
    assert 'alt="tea &lt;is&gt; ready"' in data["text/html"]
    assert pixels(data["image/png"]).shape[1] == 750


def test_what_is_no_figure_or_has_no_description_is_not_shown():
    with pytest.raises(TypeError, match="expected a figure or its axes, got 3"):
        lpws.show(3, "A line that rises.")
    figure, ax = plt.subplots()
    with pytest.raises(ValueError, match="expected a description"):
        lpws.show(ax, " ")
    plt.close(figure)


@pytest.fixture
def outputs(monkeypatch):
    """What is displayed: a list of (what happened, bundle)."""
    said = []

    class Handle:
        def display(self, data, raw):
            said.append(("display", data))

        def update(self, data, raw):
            said.append(("update", data))

    monkeypatch.setattr("lpws.notebook.DisplayHandle", Handle)
    monkeypatch.setattr("lpws.notebook.display", lambda data, raw: said.append(("slider", data)))
    return said


@pytest.fixture
def widgets(monkeypatch):
    """The sliders that were made."""
    made = []
    for kind in ("FloatSlider", "IntSlider", "SelectionSlider"):
        real = getattr(ipywidgets, kind)
        monkeypatch.setattr(
            ipywidgets, kind, lambda real=real, **options: made.append(real(**options)) or made[-1]
        )
    return made


def teeth(interval_s=1.0, clients=2):
    ax = lpws.axes(height=2)
    ax.set_title(f"{interval_s:g} {clients}", loc="left")
    if interval_s == 0.3:
        raise ValueError("expected another interval")
    return ax


def test_a_slider_draws_the_figure_anew_in_its_place(outputs, widgets):
    lpws.slider(teeth, "Teeth.", interval_s=(0.1, 2.0, 0.1), clients=[1, 2, 5])
    assert [kind for kind, _ in outputs] == ["slider", "slider", "display"]
    assert outputs[0][1]["text/plain"] == "a slider for interval_s, while a kernel runs"
    assert [widget.value for widget in widgets] == [1.0, 2]
    first = outputs[-1][1]
    assert '<img alt="Teeth."' in first["text/html"]

    widgets[0].value = 0.5
    kind, second = outputs[-1]
    assert kind == "update"
    assert second["image/png"] != first["image/png"]
    assert '<img alt="Teeth. Now interval_s = 0.5, clients = 2."' in second["text/html"]
    widgets[1].value = 5
    assert "clients = 5." in outputs[-1][1]["text/html"]
    widgets[0].value = 0.3
    assert outputs[-1] == ("update", {"text/plain": "✗ expected another interval"})


def test_a_slider_is_sharp_when_it_rests(outputs, widgets, monkeypatch):
    monkeypatch.setattr("lpws.notebook.REST_S", 0)

    async def move():
        lpws.slider(teeth, "Teeth.", interval_s=(0.1, 2.0, 0.1))
        for value in (0.5, 0.6, 0.7):
            widgets[0].value = value
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(move())
    wide = [pixels(re.search('base64,([^"]*)', data["text/html"])[1]).shape[1] for _, data in outputs[1:]]
    assert wide == [1500, 750, 750, 750, 1500]


def test_without_widgets_a_picture_and_a_sentence(outputs, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lpws.slider(teeth, "Teeth.", interval_s=(0.1, 2.0, 0.1))
    assert [kind for kind, _ in outputs] == ["display"]
    assert "change interval_s in the cell" in capsys.readouterr().out


@pytest.mark.parametrize("ranges", [{"interval_s": 3}, {"interval_s": []}, {"other": (0, 1, 0.1)}])
def test_a_slider_says_what_it_expects(ranges, outputs):
    with pytest.raises(ValueError, match="expected"):
        lpws.slider(teeth, "Teeth.", **ranges)
    with pytest.raises(TypeError, match="expected a function that returns a figure"):
        lpws.slider(lambda a=1: a, "Teeth.", a=(0, 2, 1))


def test_source_is_the_code_itself():
    code = lpws.source(lpws.guess)
    assert code.language == "python"
    assert code.data.startswith("def guess(")


# ------------------------------------------------------------------- experiments with real parts


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A folder of recordings; nothing has been found or told in this kernel yet."""
    monkeypatch.setattr(notebook, "DATA", tmp_path)
    monkeypatch.setattr(notebook, "_FOUND", {})
    monkeypatch.setattr(notebook, "_TOLD", set())
    monkeypatch.delenv("LPWS_RECORD", raising=False)
    return tmp_path / "lesson.json"


def statuses(path, times=1):
    return {"status": (200,) * times}


def nothing(path, times=1):
    raise lpws.services.Missing("expected nginx on this machine, found none: `run wild` brings it")


async def awaited_statuses(path, times=1):
    return statuses(path, times)


async def awaited_nothing(path, times=1):
    nothing(path, times)


def as_statuses(function):
    """The function, as an experiment called statuses; one that is awaited, awaited."""
    function = types.FunctionType(function.__code__, function.__globals__, "statuses")
    function.__defaults__ = (1,)
    experiment = lpws.or_recorded("lesson")(function)
    if not inspect.iscoroutinefunction(function):
        return experiment
    return lambda *given: asyncio.run(experiment(*given))


@pytest.mark.parametrize(
    ("finds", "misses"), [(statuses, nothing), (awaited_statuses, awaited_nothing)], ids=["plain", "awaited"]
)
def test_what_an_experiment_finds_is_recorded_while_a_notebook_is_stored(
    recorded, monkeypatch, capsys, finds, misses
):
    here = as_statuses(finds)
    assert here("/a") == {"status": [200]}  # as it would come from the file
    assert not recorded.exists()
    monkeypatch.setenv("LPWS_RECORD", "1")
    here("/a", 2)
    here("/b")
    results = json.loads(recorded.read_text(encoding="utf-8"))["results"]
    assert list(results) == ["statuses('/a')", "statuses('/a', 2)", "statuses('/b')"]
    assert capsys.readouterr().out == ""
    elsewhere = as_statuses(misses)
    assert elsewhere("/a", 2) == {"status": [200, 200]}
    assert elsewhere("/b") == {"status": [200]}
    said = "expected nginx on this machine, found none: `run wild` brings it. Until then you see what was"
    assert capsys.readouterr().out == f"{said} recorded on another machine.\n"


@pytest.mark.parametrize("misses", [nothing, awaited_nothing], ids=["plain", "awaited"])
@pytest.mark.parametrize("known", [True, False])
def test_what_was_not_recorded_is_missing(recorded, known, misses):
    if known:
        recorded.write_text('{"results": {"statuses(\'/a\')": 1}}', encoding="utf-8")
    with pytest.raises(lpws.services.Missing, match=r"`run wild` brings it; nothing is recorded of statuses"):
        as_statuses(misses)("/b")


@pytest.mark.parametrize("module", ["h2", "h2.connection", "hpack", "nats"])
def test_a_client_that_is_not_installed_is_missing(recorded, capsys, module):
    def lonely(path, times=1):
        raise ModuleNotFoundError(f"No module named {path!r}", name=path)

    recorded.write_text(json.dumps({"results": {f"statuses({module!r})": 7}}), encoding="utf-8")
    assert as_statuses(lonely)(module) == 7
    package = "nats-py" if module == "nats" else module.partition(".")[0]
    says = f"expected the package {package} in this environment, found none: `python3 run.py wild` brings it."
    assert capsys.readouterr().out.startswith(says)


def test_a_module_that_is_no_client_is_not_missing_but_wrong(recorded):
    def mistyped():
        import h3x  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="h3x"):
        lpws.or_recorded("lesson")(mistyped)()


def test_an_experiment_that_fails_says_so_itself(recorded):
    def broken():
        raise ValueError("expected ; after 'on'")

    with pytest.raises(ValueError, match="expected ;"):
        lpws.or_recorded("lesson")(broken)()
