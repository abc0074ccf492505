"""What is wrong with an environment, in plain words, and what to type: ``python -m lpws doctor``.

Nothing but the standard library is imported until it is known that the rest is there.
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: What sets everything up again, in a checkout.
SET_UP = "python3 run.py lab"
#: Open files that the largest runs of the series need, on each of their two sides.
FILES = 4_096


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found and, if that is a fault, what cures it."""

    what: str
    cure: str = ""

    def __str__(self) -> str:
        return f"✗ {self.what}\n  → {self.cure}" if self.cure else f"✓ {self.what}"


def python(version: tuple[int, ...] = tuple(sys.version_info)) -> Iterator[Finding]:
    """Whether this Python is new enough."""
    found = ".".join(map(str, version[:3]))
    if version[:2] < (3, 11):
        yield Finding(f"this is Python {found}, and lpws needs 3.11 or newer", f"with a newer one: {SET_UP}")
    else:
        yield Finding(f"Python {found}")


def packages() -> Iterator[Finding]:
    """Whether every package that lpws and its notebooks ask for is there, and new enough."""
    try:
        wanted = importlib.metadata.requires("lpws") or []
        from packaging.requirements import Requirement
    except ImportError as error:  # PackageNotFoundError is one
        yield Finding(f"lpws is not installed in this Python ({error})", SET_UP)
        return
    bad = []
    for requirement in map(Requirement, wanted):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in ("", "lab")):
            continue  # for another system, or for the tests only
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
        else:
            if not requirement.specifier.contains(found, prereleases=True):
                bad.append(f"{requirement.name} is {found}, and needs to be {requirement.specifier}")
    if bad:
        yield Finding("; ".join(bad), f"{SET_UP}, or: {sys.executable} -m pip install -e '.[lab]'")
    else:
        yield Finding("every package is there, and new enough")


def kernel() -> Iterator[Finding]:
    """Whether JupyterLab would start its Python kernel with this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return  # packages says what is missing
    try:
        command = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("Jupyter has no Python kernel", f"{sys.executable} -m pip install ipykernel")
        return
    started = command.argv[0]
    if os.path.dirname(started) and Path(started).parent.resolve() != Path(sys.executable).parent.resolve():
        yield Finding(
            f"the kernel python3 in {command.resource_dir} starts another Python, {started}",
            f"remove it with 'jupyter kernelspec remove python3', then: {SET_UP}",
        )
    else:
        yield Finding("the kernel of the notebooks is this Python")


def loopback() -> Iterator[Finding]:
    """Whether a server can be reached on 127.0.0.1."""
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
    """Whether a proxy would come between a client and 127.0.0.1."""
    proxies = urllib.request.getproxies()
    if "http" in proxies and not urllib.request.proxy_bypass("127.0.0.1"):
        yield Finding(
            "clients that honour the proxy of this system would ask it for 127.0.0.1, too",
            "export NO_PROXY=127.0.0.1,localhost before you start JupyterLab",
        )
    else:
        yield Finding("no proxy stands before 127.0.0.1")


def files() -> Iterator[Finding]:
    """Whether enough files may be open at once."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        yield Finding(
            f"this system allows {hard:,} open files, too few for more than {hard // 4:,} clients",
            f"ulimit -n {FILES} before you start JupyterLab, if you are allowed to",
        )
    else:
        yield Finding("enough files may be open at once")


def processors() -> Iterator[Finding]:
    """Whether server and clients have a processor each."""
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
    """Whether the recorded runs can be read."""
    from .run import DATA, load

    try:
        number = sum(len(load(path)) for path in DATA.glob("*.json.gz"))
    except ValueError as error:
        yield Finding(str(error), "git checkout -- data")
        return
    if number:
        yield Finding(f"{number} recorded runs can be read")
    else:
        yield Finding(
            f"there are no recorded runs in {DATA}", "use lpws from a checkout: pip install -e '.[lab]'"
        )


def trial() -> Iterator[Finding]:
    """What a run of two seconds says of this machine."""
    from . import specs
    from .measurement import measure
    from .run import RunError

    work = specs.Workload(clients=20, rate_hz=10, duration_s=2)
    try:
        run = measure(specs.LongPolling(), work, specs.Link(delay_s=0.025))
    except RunError as error:
        yield Finding(f"a run of two seconds failed: {error}", "mend what stands above, and try again")
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
    *(recordings, trial),  # these use the package itself
)


def examine() -> Iterator[Finding]:
    """Every finding, until something is missing that the rest would need."""
    for look in LOOKS:
        for finding in look():
            yield finding
            if finding.cure and look in (python, packages, loopback):
                return
