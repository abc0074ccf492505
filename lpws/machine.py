"""What a run asks of the process that it runs in: quiet, room for files, and a sign of life."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator

from .run import RunError

#: A run that publishes for longer than this [s] shows a progress bar.
BAR_S = 3.0
_lock = threading.Lock()
_before: list[tuple[bool, float]] = []  # what each run at present found
_BAR = "{desc} {bar} {n:.0f} of {total:.0f} s"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection and quick changes of thread, as long as a run lasts."""
    # The first of several runs at once sets it up, the last puts back what was before.
    with _lock:
        _before.append((gc.isenabled(), sys.getswitchinterval()))
        gc.disable()
        sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        with _lock:
            # The state of one that began later is the quiet one: it goes, whoever ends.
            collecting, interval_s = _before[0]
            _before.pop()
            if not _before:
                sys.setswitchinterval(interval_s)
                if collecting:
                    gc.enable()


def make_room_for_files(number: int) -> None:
    """Let this process open so many more files, and its children too, as far as the system allows."""
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


def _has_frontend() -> bool:
    """Whether somebody looks at this notebook, not nbconvert or another program that only stores it."""
    # Jupyter's server, VS Code and Colab each leave a variable in the kernels that they start.
    return any(name.startswith(("JPY_SESSION_NAME", "VSCODE_", "COLAB_")) for name in os.environ)


@contextlib.contextmanager
def progress(label: str, duration_s: float, passed_s: Callable[[], float]) -> Iterator[Callable[[], None]]:
    """What to call now and then to move a progress bar, if there is somebody to see it."""
    ipython = sys.modules.get("IPython")  # loaded already, if this is a notebook
    in_notebook = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    watched = (in_notebook and _has_frontend()) or sys.stderr.isatty()
    if duration_s <= BAR_S or not watched or os.environ.get("LPWS_PROGRESS") == "0":
        yield lambda: None
        return
    from tqdm.auto import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread that watches it

    Bar.set_lock(threading.RLock())  # nor a lock for processes, which on some systems starts one

    with Bar(total=duration_s, desc=label, leave=False, bar_format=_BAR) as bar:

        def show() -> None:
            bar.n = min(max(passed_s(), 0), duration_s)
            bar.refresh()

        yield show
        bar.n = duration_s  # it is over; a bar that ends earlier stays, in red, as that of an interrupted run
