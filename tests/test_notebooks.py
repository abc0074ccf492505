"""The form of the notebooks, and their exercises. That they run and say the same again, nbval tests."""

import importlib.util
import re

import booklet
import pytest
from lessons import LESSONS, TAGS

import lpws

spec = importlib.util.spec_from_file_location("store", booklet.NOTEBOOKS / "store.py")
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)


@pytest.fixture(params=booklet.paths(), ids=[path.stem for path in booklet.paths()])
def any_path(request):
    return request.param


def test_there_is_a_series():
    assert store.series() == booklet.paths()
    assert [path.stem for path in booklet.paths()] == sorted(LESSONS)


def test_the_front_page_lists_the_series():
    page = (booklet.NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*?\]\(notebooks/(.*?)\) \| (.*) \|$", page, re.M)
    assert rows == [(path.name, store.title(path)) for path in store.series()]


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
