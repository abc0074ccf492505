"""A run: what was asked for, what happened, and on which machine; save and load."""

from __future__ import annotations

import gzip
import json
import os
import platform
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import specs
from .books import Books
from .health import Health
from .trace import Event

#: Where the recorded runs are; beside the package in a checkout.
DATA = Path(__file__).resolve().parent.parent / "data"


@dataclass(frozen=True, eq=False)  # a run equals itself alone, so that a table of it can be kept
class Run:
    """One experiment, measured or simulated.

    Parameters
    ----------
    transport, workload, link
        The specification that was run; `link` is None where clients and server share the loopback.
    events
        All events of both sides, sorted by time; t = 0 is the start, when publishing begins.
        Events with t < 0 prepared the start: the clients' connections, for example.
    origin
        ``"measured"`` or ``"simulated"``.
    machine
        The machine on which it was measured: system, processors, versions.
    log
        Lines that the server logged about faulty requests and handlers.
    causes
        Declared causes beyond the specification: a handler of the reader's, a crash, a proxy. What
        follows from the specification itself (a link that is cut, no cursor) is not repeated here.
    faults
        Sentences about what went wrong with the instrument, as far as it noticed.
    """

    transport: specs.Transport
    workload: specs.Workload
    link: specs.Link | None = None
    events: list[Event] = field(default_factory=list, repr=False)
    origin: str = "measured"
    machine: dict = field(default_factory=dict, repr=False)
    log: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Recorded as plain tuples; from here on their fields have names.
        if self.events and type(self.events[0]) is not Event:
            object.__setattr__(self, "events", list(map(Event._make, self.events)))

    @property
    def label(self) -> str:
        """Name of the transport, as it stands in figures."""
        return self.transport.label

    @property
    def delay_s(self) -> float:
        """One transit of the link [s]; 0 on loopback."""
        return self.link.delay_s if self.link else 0.0

    @cached_property
    def health(self) -> Health:
        """The verdict on the run: whether to believe it, and how far."""
        return Health.of(self.events, self.log, Books(self))

    def __repr__(self) -> str:
        parts = [repr(self.transport), repr(self.workload), *([repr(self.link)] if self.link else [])]
        tail = f"; {self.health}" if self.origin == "measured" else ""
        return f"<{self.origin} run of {', '.join(parts)}: {len(self.events):,} events{tail}>"


class RunError(RuntimeError):
    """A run that could not be finished; `run` holds what happened until then, None if it did not begin."""

    run: Run | None = None


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
    rows = [(round(t, 6), *rest) for t, *rest in run.events]
    columns = dict(zip(Event._fields, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    for name in ("name", "side"):  # few different words: store each once
        values = columns.get(name, [])
        words = sorted(set(values))
        codes = {word: code for code, word in enumerate(words)}
        columns[name] = {"words": words, "codes": [codes[value] for value in values]}
    return {
        "transport": specs.to_dict(run.transport),
        "workload": specs.to_dict(run.workload),
        "link": specs.to_dict(run.link) if run.link else None,
        "origin": run.origin,
        "machine": run.machine,
        "log": list(run.log),
        "causes": list(run.causes),
        "faults": list(run.faults),
        "events": columns,
    }


def _from_dict(data: dict) -> Run:
    columns = dict(data["events"])
    for name in ("name", "side"):
        words = columns[name]["words"]
        columns[name] = [words[code] for code in columns[name]["codes"]]
    return Run(
        transport=specs.from_dict(data["transport"]),
        workload=specs.from_dict(data["workload"]),
        link=specs.from_dict(data["link"]) if data["link"] else None,
        events=list(zip(*(columns.get(name, []) for name in Event._fields), strict=True)),
        origin=data["origin"],
        machine=data["machine"],
        log=tuple(data["log"]),
        causes=tuple(data.get("causes", ())),  # older recordings have none
        faults=tuple(data.get("faults", ())),
    )


def _version(name: str) -> str | None:
    """Version of a package; None if it is not installed, as uvloop is not on Windows."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def machine() -> dict:
    """System, number of processors, and versions that matter to a measurement, by name."""
    packages = ("tornado", "httptools", "picows", "uvloop", "numpy", "pandas", "matplotlib")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }
