"""The Jupyter server to which this kernel belongs, found and asked: does it serve other machines?"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from .server.server import Server

#: Names under which JupyterLab serves its own machine alone.
_LOCAL = {"localhost", "127.0.0.1", "::1"}
#: The longest time [s] to wait for an answer of the Jupyter server, which is on this machine.
_ASK_S = 2.0
#: Asks without a proxy, whatever the system's is: what it asks is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def record() -> dict:
    """The record that this kernel's Jupyter server keeps of itself; empty if there is none."""
    try:
        from jupyter_core.paths import jupyter_runtime_dir
    except ImportError:
        return {}
    # As jupyter_server.serverapp.list_running_servers() finds them, which takes seconds to import.
    folder = Path(jupyter_runtime_dir())
    for number in (os.environ.get("JPY_PARENT_PID"), os.getppid()):
        if said := _read(folder / f"jpserver-{number}.json"):
            return said
    # On Windows that variable holds the handle of a process, which is nobody's number; and the parent of
    # the kernel may be a launcher. So every server is asked whether this kernel is one of its own.
    if "JPY_SESSION_NAME" in os.environ and (kernel := kernel_id()):
        for said in filter(None, map(_read, sorted(folder.glob("jpserver-*.json")))):
            if _ask(said, f"api/kernels/{kernel}") == 200:
                return said
    return {}


def _read(path: Path) -> dict:
    """The record of a Jupyter server in this file; empty if it holds none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def kernel_id() -> str:
    """The name under which a Jupyter server knows this kernel; empty outside of one."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    file = getattr(getattr(kernel, "parent", None), "connection_file", "")
    return Path(file).stem.removeprefix("kernel-") if file else ""


def _ask(jupyter: dict, path: str) -> int | None:
    """The status of its answer to a GET of this path; None if no answer came."""
    scheme = "https" if jupyter.get("secure") else "http"
    try:
        address = ipaddress.ip_address(jupyter.get("hostname", ""))
    except ValueError:  # a name, which to look up may take long
        address = ipaddress.ip_address("127.0.0.1")
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    host = f"[{address}]" if address.version == 6 else str(address)
    url = f"{scheme}://{host}:{jupyter.get('port')}{jupyter.get('base_url', '/')}{path}"
    asked = urllib.request.Request(url, headers={"Authorization": f"token {jupyter.get('token', '')}"})
    try:
        with _DIRECT.open(asked, timeout=_ASK_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, http.client.HTTPException):  # its certificate is not known here, say
        return None


def hands_on(jupyter: dict) -> bool:
    """True if JupyterLab hands on requests to ``/proxy/PORT/``, as far as it can be asked."""
    if not jupyter:  # it is elsewhere, under a hub; what is installed here tells most
        return find_spec("jupyter_server_proxy") is not None
    with Server(token=True) as somebody:  # who does not know whoever comes, and says 403
        return _ask(jupyter, f"proxy/{somebody.port}/") != 404


def serves_others(jupyter: dict) -> bool:
    """True if the browser of this Jupyter server may be on another machine."""
    return bool(jupyter) and (
        "SSH_CONNECTION" in os.environ
        or jupyter.get("hostname") not in _LOCAL
        or _is_open_to_others(jupyter.get("port"))
    )


def _is_open_to_others(port: int | None) -> bool:
    """True if this port can be reached by another address of this machine than its loopback.

    A Jupyter server that was told to listen to all of them (``--ip='*'``) says "localhost" of itself.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # an address for examples; nothing is sent
            address = probe.getsockname()[0]
        if address.startswith("127.") or not port:
            return False
        with socket.create_connection((address, port), timeout=0.5):
            return True
    except OSError:
        return False
