"""Looks at this machine: its loopback, a proxy before it, open files, processors."""

from __future__ import annotations

import os
import socket
import urllib.request

from .cures import Finding, with_variable

#: Open files that the largest runs of the series need, on each of their two sides.
FILES = 4_096


def loopback() -> Finding:
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
        return Finding("a server on 127.0.0.1 can be reached")
    return Finding(
        f"a server on 127.0.0.1 cannot be reached ({said})",
        "let programs of yours connect on 127.0.0.1, in the firewall or the sandbox that forbids it",
    )


def proxy() -> Finding:
    """Look for a proxy that would come between a client and 127.0.0.1."""
    proxies = urllib.request.getproxies()
    if "http" in proxies and not urllib.request.proxy_bypass("127.0.0.1"):
        return Finding(
            "other programs would ask the proxy of this system for 127.0.0.1, too; lpws does not",
            with_variable("NO_PROXY", "127.0.0.1,localhost"),
            hint=True,
        )
    return Finding("no proxy stands before 127.0.0.1")


def files() -> Finding | None:
    """Look at how many files may be open at once."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return None
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        return Finding(
            f"this system allows {hard:,} open files, too few for more than {hard // 4:,} clients",
            f"start JupyterLab after 'ulimit -n {FILES}', if you are allowed to",
        )
    return Finding("enough files may be open at once")


def processors() -> Finding:
    """Look whether server and clients have a processor each."""
    try:
        number = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        number = os.cpu_count() or 1
    if number < 2:
        return Finding(
            "there is one processor: server and clients wait for each other, and latencies come out longer",
            "give the machine or its container a second one; counts can be trusted as they are",
        )
    return Finding(f"{number} processors")
