"""The kernel's process made ready for a run: quiet, room for open files, a progress bar."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator

from .run import RunError
from .specs.fields import within

#: A run that publishes for longer than this [s] shows a progress bar.
BAR_S = 3.0
#: The most clients of one machine.
MOST_CLIENTS = 20_000
_lock = threading.Lock()
_before: list[tuple[bool, float]] = []  # what each run at present found
_BAR = "{desc} {bar} {n:.0f} of {total:.0f} {unit}"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Keep garbage collection off and thread switches quick for as long as a run lasts."""
    # Runs may overlap: the first sets this up, the last restores what was before.
    with _lock:
        _before.append((gc.isenabled(), sys.getswitchinterval()))
        gc.disable()
        sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        with _lock:
            collecting, interval_s = _before.pop()
            if not _before:  # what the first run found; one that began later found the quiet state
                sys.setswitchinterval(interval_s)
                if collecting:
                    gc.enable()


def make_room_for_files(number: int) -> None:
    """Raise the limit of open files by this number, for this process and its children.

    Raises
    ------
    RunError
        If the system does not allow that many.
    """
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        number += len(os.listdir("/dev/fd"))
    except OSError:  # none is left to look with, or the system has no such list
        number += soft if os.path.isdir("/dev/fd") else 0
    if soft != resource.RLIM_INFINITY and soft < number:
        if hard != resource.RLIM_INFINITY and hard < number:
            raise RunError(
                f"expected room for {number} open files, the system allows {hard}: "
                f"run fewer clients, restart the kernel, or start JupyterLab after `ulimit -n {number}`"
            )
        # macOS has a lower limit behind an unlimited one; if it is met, opening says so.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def room_for(clients: int) -> int:
    """Number of clients that the system has room for, each an open file; if fewer than wanted, it says so.

    Parameters
    ----------
    clients
        The number that is wanted.
    """
    within("room_for(clients)", clients, 1, MOST_CLIENTS, whole=True)
    for fewer in range(clients, 0, -max(1, clients // 20)):
        with contextlib.suppress(RunError):
            make_room_for_files(fewer + 100)
            if fewer < clients:
                print(f"This system allows too few open files: {fewer:,} clients instead of {clients:,}.")
            return fewer
    raise RunError("expected room for open files, the system allows none: restart the kernel")


def _has_frontend() -> bool:
    """True if a reader looks at this notebook, False if nbconvert or the like executes it."""
    # Jupyter's server, VS Code and Colab each leave a variable in the kernels that they start.
    return any(name.startswith(("JPY_SESSION_NAME", "VSCODE_", "COLAB_")) for name in os.environ)


@contextlib.contextmanager
def progress(
    label: str, whole: float, passed: Callable[[], float], unit: str = "s"
) -> Iterator[Callable[[], None]]:
    """Show a progress bar meanwhile, if somebody is there to see it; gives the function that moves it."""
    ipython = sys.modules.get("IPython")  # loaded already, if this is a notebook
    in_notebook = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    watched = (in_notebook and _has_frontend()) or sys.stderr.isatty()
    if (unit == "s" and whole <= BAR_S) or not watched or os.environ.get("LPWS_PROGRESS") == "0":
        yield lambda: None
        return
    from tqdm.auto import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread that watches it

    Bar.set_lock(threading.RLock())  # nor a lock for processes, which on some systems starts one

    with Bar(total=whole, desc=label, leave=False, bar_format=_BAR, unit=unit) as bar:

        def show() -> None:
            bar.n = min(max(passed(), 0), whole)
            bar.refresh()

        yield show
        bar.n = whole  # it is over; a bar that ends earlier stays, in red, as that of an interrupted run
