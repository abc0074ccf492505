"""The address at which the reader's browser finds a server that runs in the kernel."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

from .server.server import Server

#: Names under which JupyterLab serves its own machine alone.
_LOCAL = {"localhost", "127.0.0.1", "::1"}


def page_url(server: Server, path: str = "/", *, proxied: bool | None = None) -> str:
    """Address of a page of the server, as the reader's browser needs it.

    Where browser and kernel are on one machine it is the server's own. Where they are not (JupyterHub,
    Binder, JupyterLab started over SSH or for other machines too) the browser reaches nothing but
    JupyterLab, which hands on to the server what comes to ``/proxy/PORT/…``, if jupyter-server-proxy
    is installed beside it; if it is not, that is printed. The server then answers to any ``Host``,
    to pages of that host, and to whoever knows its token.

    Parameters
    ----------
    server
        A server that runs and has a token.
    path
        Of the page. What the page asks for in turn it has to name by relative addresses.
    proxied
        Whether to go through JupyterLab; if not given, that is found out.

    Raises
    ------
    ValueError
        If the server has no token.
    RuntimeError
        If it does not run.

    Notes
    -----
    What is measured through the proxy is the proxy, too. Found with jupyter-server-proxy 4.6:

    - An answer is handed on when it is complete. Only a request whose ``Accept`` is
      ``text/event-stream`` and nothing else, as `EventSource` sends it, gets each piece at once.
    - Each request comes to the server on a new connection, whatever the browser does.
    - A request is held for 300 s at most; then the browser gets a 599.
    - A browser that leaves a held request or an event stream is not seen to leave: the server must
      not take who is connected for who is there.
    - The close of a WebSocket comes through, but not its code.

    Examples
    --------
    >>> with Server(token=True) as server:
    ...     page_url(server, "/sse", proxied=False) == f"{server.url}/sse"
    True
    """
    if not server.prefix:
        raise ValueError(f"expected a server with a token in its address, Server(token=True), got {server!r}")
    thread, jupyter = server.thread, _jupyter()
    if proxied is None:
        proxied = "JUPYTERHUB_SERVICE_PREFIX" in os.environ or _serves_others(jupyter)
        if proxied and find_spec("jupyter_server_proxy") is None:
            print(
                "– your browser seems to be on another machine than the kernel, and cannot reach this page: "
                "install jupyter-server-proxy, and start JupyterLab again"
            )
            proxied = False
    if not proxied:
        return server.url + path
    thread.call(setattr, server.room, "proxied", True)
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or jupyter.get("base_url", "/")
    return f"{base}proxy/{server.port}{server.prefix}{path}"


def _jupyter() -> dict:
    """What the Jupyter server that started this kernel says of itself; empty if there is none."""
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        # As jupyter_server.serverapp.list_running_servers() finds it, which takes seconds to import.
        path = Path(jupyter_runtime_dir()) / f"jpserver-{os.environ['JPY_PARENT_PID']}.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ImportError, KeyError, OSError, ValueError, TypeError):
        return {}


def _serves_others(jupyter: dict) -> bool:
    """Whether the browser of this Jupyter server may be on another machine."""
    return bool(jupyter) and ("SSH_CONNECTION" in os.environ or jupyter.get("hostname") not in _LOCAL)
