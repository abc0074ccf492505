"""The doctor, ``python -m lpws doctor``: faults of an environment in plain words, each with its cure.

Nothing but the standard library is imported until it is known that the rest is there.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

#: Where run.py, the notebooks and the recordings are, if lpws is used from a checkout.
CHECKOUT = Path(__file__).resolve().parent.parent
WINDOWS = os.name == "nt"
#: Open files that the largest runs of the series need, on each of their two sides.
FILES = 4_096


@dataclass(frozen=True)
class Finding:
    """One finding of the doctor and, if it is a fault, its cure.

    Parameters
    ----------
    what
        The finding, in words.
    cure
        Commands to type, one per line, or a sentence where no command helps.
    hint
        Whether nothing is wrong and `cure` is only good to know.
    """

    what: str
    cure: str = ""
    hint: bool = False

    @property
    def fault(self) -> bool:
        """True if something is wrong."""
        return bool(self.cure) and not self.hint

    def __str__(self) -> str:
        mark = "✗" if self.fault else "–" if self.hint else "✓"
        return "\n  → ".join([f"{mark} {self.what}", *self.cure.splitlines()])


# ------------------------------------------------------------------------------- what to type


def quoted(word: str | Path) -> str:
    """The word as the reader's shell takes it for one."""
    if WINDOWS:  # both of its shells take double quotes, and both need them around < and >
        return f'"{word}"' if re.search(r"[^\w.:\\/=,+~-]", str(word)) else str(word)
    return shlex.quote(str(word))


def set_up() -> str:
    """The command that sets everything up again in this checkout."""
    major, minor = sys.version_info[:2]
    base = getattr(sys, "_base_executable", sys.executable)  # of this very version: another makes all anew
    usual = shutil.which("python3")
    if (major, minor) < (3, 11):
        python = "py" if WINDOWS else "python3.11"
    elif WINDOWS:
        python = f"py -{major}.{minor}"
    else:
        same = usual and os.path.realpath(usual) == os.path.realpath(base)
        python = "python3" if same else quoted(base)
    here = os.path.realpath(os.getcwd()) == str(CHECKOUT)
    return f"{python} {'run.py' if here else quoted(CHECKOUT / 'run.py')} lab"


def install(*requirements: str, again: bool = False) -> str:
    """The command that installs something into this environment; `again` also what is there already."""
    # Windows' two shells start a quoted program in different ways; its name alone they start alike.
    python = "python" if WINDOWS and " " in sys.executable else quoted(sys.executable)
    words = " ".join(map(quoted, requirements))
    if find_spec("pip"):
        return f"{python} -m pip install {'--force-reinstall --no-deps ' * again}{words}"
    if shutil.which("uv"):
        return f"uv pip install --python {quoted(sys.executable)} {'--reinstall --no-deps ' * again}{words}"
    return f"{python} -m ensurepip\n{python} -m pip install {'--force-reinstall --no-deps ' * again}{words}"


def mend(*requirements: str) -> str:
    """The command that brings these into this environment, whoever made it."""
    stamp = CHECKOUT / ".venv" / "lpws-stamp.txt"
    made_by_run_py = Path(sys.prefix).resolve() == stamp.parent.resolve() and stamp.exists()
    return set_up() if made_by_run_py else install(*requirements)


def without(variable: str) -> str:
    """The command that takes a variable from the environment of the shell."""
    return f'$env:{variable} = ""' if WINDOWS else f"unset {variable}"


# ------------------------------------------------------------------------- what is looked at


def python(version: tuple[int, ...] = tuple(sys.version_info)) -> Iterator[Finding]:
    """Look at the version of this Python."""
    found = ".".join(map(str, version[:3]))
    if version[:2] < (3, 11):
        yield Finding(f"this is Python {found}, and lpws needs 3.11 or newer", set_up())
    else:
        yield Finding(f"Python {found}")


def packages() -> Iterator[Finding]:
    """Look at every package that lpws and its notebooks ask for: is it there, new enough, and whole?"""
    try:
        wanted = importlib.metadata.requires("lpws") or []
    except importlib.metadata.PackageNotFoundError:
        there = (CHECKOUT / "run.py").exists()
        yield Finding(
            "lpws is not installed in this Python", set_up() if there else install(f"{CHECKOUT}[lab]")
        )
        return
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding("packaging is missing", mend("packaging"))
        return
    bad, cures = [], []
    for requirement in map(Requirement, wanted):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in ("", "lab")):
            continue  # for another system, or for the tests only
        try:
            found = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
        else:
            if requirement.specifier.contains(found.version, prereleases=True):
                continue
            elsewhere = _on_python_path(found)
            where = f" (from {elsewhere}, on PYTHONPATH)" if elsewhere else ""
            bad.append(
                f"{requirement.name} is {found.version}{where}, and needs to be {requirement.specifier}"
            )
            if elsewhere:
                cures.append(without("PYTHONPATH"))
                continue
        cures.append(mend(f"{requirement.name}{requirement.specifier}"))
    if bad:
        yield Finding("; ".join(bad), "\n".join(dict.fromkeys(cures)))
        return
    broken = {name: error for name in IMPORTED if (error := _import_error(name))}
    if broken:
        yield Finding(
            "; ".join(f"{name} is there and does not load ({error})" for name, error in broken.items()),
            install(*broken, again=True),
        )
        return
    yield Finding("every package is there, new enough, and loads")


#: Packages that lpws imports itself, those with compiled parts above all.
IMPORTED = (
    "tornado",
    "numpy",
    "pandas",
    "matplotlib",
    "httptools",
    "picows",
    "cloudpickle",
    "tqdm",
    "IPython",
)


def _import_error(name: str) -> str:
    """The reason why a package cannot be imported; empty if it can."""
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a torn package may raise
        return f"{error}".splitlines()[0] if str(error) else type(error).__name__
    return ""


def _on_python_path(found: importlib.metadata.Distribution) -> str:
    """The folder of PYTHONPATH that the package lies in, if it lies in one."""
    place = os.path.realpath(str(found.locate_file("")))
    folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return next((folder for folder in folders if os.path.realpath(folder) == place), "")


def kernel() -> Iterator[Finding]:
    """Look whether JupyterLab would start its Python kernel with this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return  # packages says what is missing
    try:
        command = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("Jupyter has no Python kernel", mend("ipykernel"))
        return
    started = command.argv[0]
    if os.path.dirname(started) and Path(started).parent.resolve() != Path(sys.executable).parent.resolve():
        yield Finding(
            f"the kernel python3 in {command.resource_dir} starts another Python, {started}",
            _rename(command.resource_dir, "python3-other"),  # under that name it can still be used
        )
    else:
        yield Finding("the kernel of the notebooks is this Python")


def _rename(folder: str, name: str) -> str:
    """The command that gives a folder another name."""
    if WINDOWS:
        return f"ren {quoted(folder)} {name}"
    return f"mv {quoted(folder)} {quoted(Path(folder).with_name(name))}"


def loopback() -> Iterator[Finding]:
    """Try to reach a server on 127.0.0.1."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(2)
            with socket.create_connection(server.getsockname(), timeout=2) as client:
                served, _ = server.accept()
                with served:
                    served.sendall(b"hello")
                    client.settimeout(2)
                    said = client.recv(5)
    except OSError as error:
        said = error
    if said == b"hello":
        yield Finding("a server on 127.0.0.1 can be reached")
    else:
        yield Finding(
            f"a server on 127.0.0.1 cannot be reached ({said})",
            "let programs of yours connect on 127.0.0.1, in the firewall or the sandbox that forbids it",
        )


def proxy() -> Iterator[Finding]:
    """Look for a proxy that would come between a client and 127.0.0.1."""
    proxies = urllib.request.getproxies()
    if "http" in proxies and not urllib.request.proxy_bypass("127.0.0.1"):
        yield Finding(
            "other programs would ask the proxy of this system for 127.0.0.1, too; lpws does not",
            '$env:NO_PROXY = "127.0.0.1,localhost"' if WINDOWS else "export NO_PROXY=127.0.0.1,localhost",
            hint=True,
        )
    else:
        yield Finding("no proxy stands before 127.0.0.1")


def files() -> Iterator[Finding]:
    """Look at how many files may be open at once."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        yield Finding(
            f"this system allows {hard:,} open files, too few for more than {hard // 4:,} clients",
            f"start JupyterLab after 'ulimit -n {FILES}', if you are allowed to",
        )
    else:
        yield Finding("enough files may be open at once")


def processors() -> Iterator[Finding]:
    """Look whether server and clients have a processor each."""
    try:
        number = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        number = os.cpu_count() or 1
    if number < 2:
        yield Finding(
            "there is one processor: server and clients wait for each other, and latencies come out longer",
            "give the machine or its container a second one; counts can be trusted as they are",
        )
    else:
        yield Finding(f"{number} processors")


def recordings() -> Iterator[Finding]:
    """Try to read the recorded runs."""
    from .recordings import DATA, load

    number = 0
    for path in sorted(DATA.glob("*.json.gz")):
        try:
            number += len(load(path))
        except ValueError as error:
            again = f"git -C {quoted(DATA.parent)} checkout -- {quoted(f'data/{path.name}')}"
            cure = (
                again if (DATA.parent / ".git").exists() else f"take data/{path.name} from the project again"
            )
            yield Finding(str(error), cure)
            return
    if number:
        yield Finding(f"{number} recorded runs can be read")
    else:
        yield Finding(
            f"there are no recorded runs in {DATA}: lpws was installed without its checkout",
            "in the checkout, where the notebooks are: " + install("--editable", ".[lab]"),
        )


def transports() -> Iterator[Finding]:
    """Try to serve clients of every transport."""
    from . import specs
    from .measurement import measure
    from .run import RunError

    work = specs.Workload(clients=2, rate_hz=20, duration_s=0.25)
    for transport in (specs.Reload(), specs.ShortPolling(interval_s=0.1), specs.SSE(), specs.WebSocket()):
        try:
            measure(transport, work)
        except RunError as error:
            needed = ["picows"] if transport.label == "WebSocket" else ["httptools"]
            yield Finding(
                f"clients of {transport.label} are not served: {error}", install(*needed, again=True)
            )
            return
    yield Finding("clients of every transport are served")


def trial() -> Iterator[Finding]:
    """Measure for two seconds, and pass on the run's verdict on this machine."""
    from . import specs
    from .measurement import measure
    from .run import RunError

    work = specs.Workload(clients=20, rate_hz=10, duration_s=2)
    try:
        run = measure(specs.LongPolling(), work, specs.Link(delay_s=0.025))
    except RunError as error:
        yield Finding(f"a run of two seconds failed: {error}", "end what computes beside it, and try again")
        return
    if run.health.good:
        yield Finding(f"a run of two seconds is {run.health}")
    else:
        yield Finding(
            f"a run of two seconds is {run.health}",
            "end what computes beside it, put a laptop on mains, and try again",
        )


#: What is looked at, in this order.
LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *(python, packages, kernel, loopback, proxy, files, processors),
    *(recordings, transports, trial),  # these use the package itself
)


def examine() -> Iterator[Finding]:
    """Every finding, until something is missing that the rest would need."""
    for look in LOOKS:
        for finding in look():
            yield finding
            if finding.fault and look in (python, packages, loopback):
                return
