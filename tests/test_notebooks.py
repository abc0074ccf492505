"""The form of the notebooks, and their exercises. That they run and say the same again, nbval tests."""

import importlib.util
import re

import booklet
import pytest
from lessons import LESSONS, TAGS

import lpws

#: Those in the first shape; the others are in `test_lessons`.
PATHS = [path for path in booklet.paths() if path.stem not in LESSONS]

spec = importlib.util.spec_from_file_location("store", booklet.NOTEBOOKS / "store.py")
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def path(request):
    return request.param


@pytest.fixture(params=booklet.paths(), ids=[path.stem for path in booklet.paths()])
def any_path(request):
    return request.param


def test_there_is_a_series():
    assert store.series() == booklet.paths()


def test_the_front_page_lists_the_series():
    page = (booklet.NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*?\]\(notebooks/(.*?)\) \| (.*) \|$", page, re.M)
    assert rows == [(path.name, store.title(path)) for path in store.series()]


def test_every_code_cell_was_executed_in_order(path):
    cells = booklet.code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_outputs_hold_no_error_and_no_warning(path):
    for cell in booklet.code(path):
        assert all(output.output_type != "error" for output in cell.outputs), cell.source
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.source


def test_stored_claims_hold(path):
    """No ✗ and no claim that is not judged; the answers of exercises are still to be given."""
    for cell in booklet.code(path):
        if booklet.tagged(cell, "nbval-ignore-output"):  # holds no claim, see below
            continue
        for line in filter(None, booklet.printed(cell).splitlines()):
            assert line.startswith("…" if booklet.tagged(cell, "exercise") else "✓"), line


def test_claims_are_compared(path):
    """A claim whose output is not compared could not fail."""
    for cell in booklet.code(path):
        if "lpws.claim(" in cell.source or "lpws.check(" in cell.source:
            assert not booklet.tagged(cell, "nbval-ignore-output"), cell.source
    assert sum(cell.source.count("lpws.claim(") for cell in booklet.code(path)) >= 8


def test_every_figure_has_a_description(path):
    outputs = [output for cell in booklet.code(path) for output in cell.outputs]
    found = booklet.descriptions(outputs)
    assert len(found) == sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert all(len(alt.split()) >= 15 for alt in found), found


def test_every_output_is_announced_and_read(path):
    """Text stands before and after each figure and table, unless an exercise's solution follows."""
    cells = booklet.read(path).cells
    for before, cell, after in zip(cells, cells[1:], cells[2:], strict=False):
        if cell.cell_type == "code" and any("data" in output for output in cell.outputs):
            assert before.cell_type == "markdown", cell.source
            assert after.cell_type == "markdown", cell.source


def test_cells_are_short(path):
    for cell in booklet.code(path):
        assert len(cell.source.splitlines()) <= 25, cell.source
        assert all(len(line) <= 100 for line in cell.source.splitlines()), cell.source


def test_the_whole_is_short(path):
    cells = (cell for cell in booklet.read(path).cells if cell.cell_type == "markdown")
    texts = (cell.source for cell in cells if not booklet.tagged(cell, "navigation"))
    story = "\n".join(texts).partition("\n## Sources")[0]
    lines = (line for line in story.splitlines() if not line.startswith("|"))
    assert 1500 <= sum(len(line.split()) for line in lines) <= 2500
    assert path.stat().st_size < 1_000_000


def test_it_is_in_the_stored_form(any_path):
    notebook = booklet.read(any_path)
    again = booklet.read(any_path)
    store.tidy(again, any_path)
    assert again == notebook, "run: python3 run.py notebooks"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} <= TAGS
    assert booklet.tagged(notebook.cells[0], "navigation")
    assert booklet.tagged(notebook.cells[-1], "navigation")


def test_links_lead_somewhere(any_path):
    for cell in booklet.read(any_path).cells:
        if cell.cell_type == "markdown":
            for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", cell.source):
                other = booklet.NOTEBOOKS / target if target else any_path
                assert other.exists(), target
                if anchor:
                    text = "\n".join(c.source for c in booklet.read(other).cells if c.cell_type == "markdown")
                    assert f"# {anchor.replace('-', ' ')}\n" in text, anchor


def test_it_begins_with_a_question_and_what_one_will_be_able_to_do(path):
    opening = booklet.read(path).cells[1].source
    assert re.match(r"# .*\?\n", opening)
    assert 3 <= opening.split("You will be able to")[1].count("\n- ") <= 5


def test_every_exercise_has_a_collapsed_solution(path):
    cells = booklet.code(path)
    places = [place for place, cell in enumerate(cells) if booklet.tagged(cell, "exercise")]
    assert len(places) >= 4
    for place in places:
        assert booklet.tagged(cells[place + 1], "solution")
        # JupyterLab shows the first line of a closed cell.
        assert cells[place + 1].source.startswith("# The solution\n")
        assert cells[place + 1].metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
        assert booklet.printed(cells[place + 1]).startswith("✓")


@pytest.fixture
def hints(monkeypatch):
    """The hints of the last check: wrong answer → hint."""
    known = {}

    def check(answer, right, **options):
        known.update(options.get("hints", {}))
        real_check(answer, right, **options)

    real_check = lpws.check
    monkeypatch.setattr(lpws, "check", check)
    return known


def test_exercises_know_right_from_wrong(path, hints):
    """The stub fails, each wrong answer that was foreseen gets its hint, the solution passes."""
    namespace = booklet.read_through(path)

    def said_to(answer):
        return booklet.execute(re.sub(r"= \.\.\.", f"= {answer}", cell.source, count=1), namespace)

    with booklet.imagined():
        for cell in booklet.code(path):
            if booklet.tagged(cell, "exercise"):
                hints.clear()
                assert said_to("...").startswith("…")
                assert hints, "an exercise has hints"
                for wrong, hint in dict(hints).items():
                    said = said_to(repr(wrong))
                    assert said.startswith("✗"), (wrong, said)
                    assert hint in said
                for other in ("None", "'abc'", "[]"):  # of another type
                    said = said_to(other)
                    assert said.startswith("✗"), other
                    assert "not supported between" not in said, "a sentence of Python's, not one that helps"
            elif booklet.tagged(cell, "solution"):
                said = booklet.execute(cell.source, namespace)
                assert all(line.startswith("✓") for line in filter(None, said.splitlines())), said


def test_the_recorded_race_is_the_one_of_the_notebook(monkeypatch):
    """Gray and colored lines are runs of one specification."""
    asked, namespace = [], {"lpws": lpws}
    monkeypatch.setattr(lpws, "measure", lambda *spec: asked.append(spec))
    for cell in booklet.code(booklet.paths()[0]):
        if cell.id in ("film", "race"):
            booklet.execute(cell.source, namespace)
    recorded = lpws.load_run("race").values()
    assert [(run.transport, run.workload, run.link) for run in recorded] == asked
    assert all(run.machine["tornado"] for run in recorded)
