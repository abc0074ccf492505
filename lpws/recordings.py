"""Recordings: runs saved to a file and loaded again; those of ``data/`` by their name."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from . import specs
from .run import Run
from .trace import Event

#: The folder of the recorded runs; beside the package in a checkout.
DATA = Path(__file__).resolve().parent.parent / "data"


def save(runs: dict[str, Run], path: str | Path) -> None:
    """Write runs, by label, to one file that `load` reads.

    Times are rounded to microseconds. The same runs make the same file, byte by byte.

    Parameters
    ----------
    runs
        The runs, each under a label.
    path
        Of the file, ``NAME.json.gz``; what it held is replaced, unless writing fails.
    """
    text = json.dumps({label: _to_dict(run) for label, run in runs.items()}, separators=(",", ":"))
    path = Path(path)
    # Written beside the old file and then put in its place: a full disk must not destroy a recording.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(gzip.compress(text.encode(), mtime=0))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | Path) -> dict[str, Run]:
    """The runs that `save` wrote, by label.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds no runs.
    """
    try:
        return {
            label: _from_dict(data)
            for label, data in json.loads(gzip.decompress(Path(path).read_bytes())).items()
        }
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected runs that lpws saved, but {path} does not hold any ({error!r})"
        ) from error


def load_run(name: str) -> dict[str, Run]:
    """The recorded runs of one experiment, by label.

    Parameters
    ----------
    name
        Of the recording: ``data/NAME.json.gz``.

    Raises
    ------
    FileNotFoundError
        If nothing of that name is recorded; the message lists what is.
    """
    path = DATA / f"{name}.json.gz"
    if not path.exists():
        known = sorted(path.name.removesuffix(".json.gz") for path in DATA.glob("*.json.gz"))
        raise FileNotFoundError(
            f"expected one of the recorded runs ({', '.join(known)}), got {name!r}"
            if known
            else f"there are no recorded runs in {DATA}: they come with the notebooks, in a checkout of "
            "lpws, which 'pip install --editable .' installs"
        )
    return load(path)


def _to_dict(run: Run) -> dict:
    columns = {name: [event[n] for event in run.events] for n, name in enumerate(Event._fields)}
    columns["t"] = [round(t, 6) for t in columns["t"]]
    for name in ("name", "side"):  # few different words: store each once
        words = sorted(set(columns[name]))
        columns[name] = {"words": words, "codes": [words.index(word) for word in columns[name]]}
    return {field.name: _plain(getattr(run, field.name)) for field in fields(Run)} | {"events": columns}


def _from_dict(data: dict) -> Run:
    columns = dict(data["events"])
    for name in ("name", "side"):
        words = columns[name]["words"]
        columns[name] = [words[code] for code in columns[name]["codes"]]
    events = list(zip(*(columns.get(name, []) for name in Event._fields), strict=True))
    # Older recordings lack some of the fields.
    given = {field.name: _whole(data[field.name]) for field in fields(Run) if field.name in data}
    return Run(**given | {"events": events})


def _plain(value: Any) -> Any:
    """The value as JSON takes it: a specification as a dict, a tuple as a list."""
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return specs.to_dict(value) if is_dataclass(value) else value


def _whole(value: Any) -> Any:
    """The value that `_plain` made this of."""
    if isinstance(value, list):
        return tuple(map(_whole, value))
    return specs.from_dict(value) if isinstance(value, dict) and "kind" in value else value
