"""Looks at the laboratory itself: its recordings, its transports, a short run."""

from __future__ import annotations

from collections.abc import Callable

from .cures import Finding, install, quoted, wild


def recordings() -> Finding:
    """Try to read the recorded runs."""
    from ..recordings import DATA, load

    number = 0
    for path in sorted(DATA.glob("*.json.gz")):
        try:
            number += len(load(path))
        except ValueError as error:
            cure = f"take data/{path.name} from the project again"
            if (DATA.parent / ".git").exists():
                cure = f"git -C {quoted(DATA.parent)} checkout -- {quoted(f'data/{path.name}')}"
            return Finding(str(error), cure)
    if number:
        return Finding(f"{number} recorded runs can be read")
    return Finding(
        f"there are no recorded runs in {DATA}: lpws was installed without its checkout",
        "in the checkout, where the notebooks are: " + install("--editable", ".[lab]"),
    )


def transports() -> Finding:
    """Try to serve clients of every transport."""
    from .. import specs
    from ..measurement import measure
    from ..run import RunError

    work = specs.Workload(clients=2, rate_hz=20, duration_s=0.25)
    for transport in (specs.Reload(), specs.ShortPolling(interval_s=0.1), specs.SSE(), specs.WebSocket()):
        try:
            measure(transport, work)
        except RunError as error:
            needed = install("picows" if transport.label == "WebSocket" else "httptools", again=True)
            return Finding(f"clients of {transport.label} are not served: {error}", needed)
    return Finding("clients of every transport are served")


def nginx() -> Finding:
    """Look for nginx, and try it."""
    from ..services import nginx
    from ..specs import Proxy

    return _service("nginx", lambda: nginx(Proxy(""), [9]))


def nats() -> Finding:
    """Look for NATS, and try it."""
    from ..services import nats

    return _service("nats", nats)


def _service(name: str, make: Callable) -> Finding:
    """The finding on a real program: its version and place, or what to type, since only lessons need it."""
    from ..services import Missing, find

    try:
        with make() as running:
            return Finding(f"{name} {running.version} answers ({find(name)})")
    except Missing:
        return Finding(f"{name} is not here: its lessons show recorded runs", wild(), hint=True)
    except (OSError, RuntimeError) as error:
        return Finding(str(error), f"take another {name} than {find(name)}, as by: {wild()}")


def trial() -> Finding:
    """Measure for two seconds, and pass on the run's verdict on this machine."""
    from .. import specs
    from ..measurement import measure
    from ..run import RunError

    work = specs.Workload(clients=20, rate_hz=10, duration_s=2)
    try:
        run = measure(specs.LongPolling(), work, specs.Link(delay_s=0.025))
    except RunError as error:
        return Finding(f"a run of two seconds failed: {error}", "end what computes beside it, and try again")
    cure = "end what computes beside it, put a laptop on mains, and try again"
    return Finding(f"a run of two seconds is {run.health}", "" if run.health.good else cure)
