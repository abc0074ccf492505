"""A network namespace of its own, in which part of a test runs as on another machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

#: sched.h: a new network namespace.
_CLONE_NEWNET = 0x40000000
#: ip_local_port_range in a namespace: ports that tshark takes for no other protocol than the one it is told.
_PORTS = "50000 56999"


def need(*tools: str) -> None:
    """Skip the test, with its reason, where a namespace or these programs or files cannot be had.

    Where everything must be had (``CI=true``), fail.
    """
    missing = [tool for tool in tools if not (os.path.exists(tool) or shutil.which(tool))]
    if not sys.platform.startswith("linux"):
        reason = "network namespaces are Linux's"
    elif os.geteuid() != 0:
        reason = "only root may make a network namespace"
    elif missing:
        reason = f"not there: {', '.join(missing)}"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"expected to be able to look at the wire: {reason}")
    pytest.skip(reason)


class Namespace:
    """A network namespace, and the one thread that lives in it. A context manager.

    It has no name, and lasts as long as the thread, the threads and processes begun by it, and their
    sockets: nothing is left that would have to be removed, even if all are killed.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lpws namespace")

    def __enter__(self) -> Namespace:
        try:
            self.call(_leave)
            self.call(subprocess.run, ["ip", "link", "set", "lo", "up"], check=True)
            self.call(Path("/proc/sys/net/ipv4/ip_local_port_range").write_text, _PORTS)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def call(self, function: Callable, *args: Any, **options: Any) -> Any:
        """What the function returns, or raises, in this namespace."""
        return self._thread.submit(function, *args, **options).result()


def _leave() -> None:
    """Move this thread into a new namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "expected a network namespace of its own")
