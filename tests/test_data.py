"""What is in data/ is described there and can be read."""

import csv

import booklet
import pytest

import lpws
from lpws.figures import TRANSPORT_STYLE
from lpws.recordings import DATA

DESCRIPTION = (DATA / "README.md").read_text(encoding="utf-8")


def test_every_file_is_described():
    assert all(path.name in DESCRIPTION for path in DATA.iterdir() if path.name != "README.md")


def test_published_figures_have_source_and_caveat():
    with open(DATA / "published.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 20
    for row in rows:
        assert row["source"], row
        assert row["what"], row
        assert float(row["value"]) >= 0
        assert row["unit"]
        assert row["read"] in ("original", "in copies", "abstract only")
        if row["read"] == "in copies" and row["source"].startswith(("Lubbers", "Grigorik", "Bozdag")):
            assert row["caveat"], row


def test_the_recorded_race_is_fit_to_be_shown():
    runs = lpws.load_run("race")
    assert list(runs) == ["reload", "short polling", "long polling", "SSE", "WebSocket"]
    for run in runs.values():
        assert run.health.good, run
        assert (lpws.deliveries(run).state == "delivered").all()


@pytest.mark.parametrize("name", ["short_polling", "long_polling"])
def test_the_recorded_runs_of_a_lesson_are_fit_to_be_shown(name):
    assert (DATA / f"{name}.json.gz").stat().st_size < 100_000
    for run in lpws.load_run(name).values():
        assert run.health.good, run
        assert (lpws.deliveries(run).state == "delivered").all()


def test_growth_has_every_point_and_nothing_was_lost():
    with open(DATA / "growth.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    points = [(row["transport"], int(row["clients"])) for row in rows]
    assert points == [(label, 10**n) for label in TRANSPORT_STYLE for n in (1, 2, 3, 4)]
    for row in rows:
        described = all(f"`{name}`" in DESCRIPTION for name in row)
        assert described, row
        number = {name: float(value) for name, value in row.items() if name != "transport"}
        assert number["messages"] >= 2, row
        assert number["delivered"] == number["clients"] * number["messages"], row
        assert 0 < number["latency_median_s"] <= number["latency_p99_s"], row
        assert min(number.values()) > 0, row


def test_what_is_not_recorded_says_what_is():
    with pytest.raises(FileNotFoundError, match=r"expected one of .* \(.*\brace\b.*\), got 'rice'"):
        lpws.load_run("rice")


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b\x08\x00broken"])
def test_a_file_that_holds_no_run_is_refused(tmp_path, content):
    (tmp_path / "x.json.gz").write_bytes(content)
    with pytest.raises(ValueError, match="expected runs that lpws saved"):
        lpws.load(tmp_path / "x.json.gz")


def test_a_package_without_its_recordings_says_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr("lpws.recordings.DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match="there are no recorded runs .* in a checkout of lpws"):
        lpws.load_run("race")


def test_each_word_of_the_glossary_stands_once_and_in_its_notebook():
    with open(DATA / "glossary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["word"] for row in rows]
    assert len(set(names)) == len(names)
    for row in rows:
        assert all(row.values()), row
        (path,) = (path for path in booklet.paths() if path.stem.split("_")[0] == row["notebook"])
        text = " ".join(cell.source for cell in booklet.read(path).cells).lower()
        known = [row["word"], *row["also called"].replace(";", ",").split(",")]
        assert any(" ".join(name.split()).strip().lower() in text for name in known), row
