"""The address at which the reader's browser finds a server that runs in the kernel."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from pathlib import Path

from .server.server import Server

#: Names under which JupyterLab serves its own machine alone.
_LOCAL = {"localhost", "127.0.0.1", "::1"}
#: The longest time [s] to wait for an answer of the Jupyter server, which is on this machine.
_ASK_S = 2.0
#: Asks without a proxy, whatever the system's is: what it asks is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def page_url(server: Server, path: str = "/", *, proxied: bool | None = None) -> str:
    """Address of a page of the server, as the reader's browser needs it.

    Where browser and kernel are on one machine it is the server's own. Where they are not (JupyterHub,
    Binder, JupyterLab started over SSH or for other machines too) the browser reaches nothing but
    JupyterLab, which hands on to the server what comes to ``/proxy/PORT/…``, if jupyter-server-proxy
    is installed beside it. JupyterLab is asked, and if it does not, that is printed. The server then
    answers to any ``Host``, to pages of that host, and to whoever knows its token.

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
    A measurement through the proxy includes the proxy. Found with jupyter-server-proxy 4.6:

    - An answer is handed on when it is complete. Only a request whose ``Accept`` is
      ``text/event-stream`` and nothing else, as `EventSource` sends it, gets each piece at once.
    - Each request comes to the server on a new connection, whatever the browser does.
    - A request is held for 300 s at most; then the browser gets a 599.
    - A browser that leaves a held request or an event stream is not seen to leave: the server must
      not take who is connected for who is there.
    - The close of a WebSocket comes through, but not its code.
    - JupyterLab's log names the address of a request that failed, with the token in it: who may read
      the log may read along until the server is stopped.

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
        if proxied and not _hands_on(jupyter):
            print(
                "– your browser seems to be on another machine than the kernel, and cannot reach this page: "
                "install jupyter-server-proxy where JupyterLab is installed, and start JupyterLab again"
            )
            proxied = False
    if not proxied:
        return server.url + path
    thread.call(setattr, server.room, "proxied", True)
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or jupyter.get("base_url", "/")
    return f"{base}proxy/{server.port}{server.prefix}{path}"


class LivePage:
    """A page that a server in this kernel serves, to be shown in the notebook: the last line of a cell.

    Parameters
    ----------
    server
        Which serves it, and runs.
    url
        Where the reader's browser finds it.
    html
        What is shown.
    instead
        What is shown where there is no HTML.
    png
        A picture for viewers that drop HTML, in base64.
    """

    def __init__(self, server: Server, url: str, html: str, instead: str, png: str = "") -> None:
        self.server, self.url = server, url
        self._bundle = {"text/html": html, "text/plain": instead}
        if png:
            self._bundle["image/png"] = png

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return self._bundle


def live_page(
    server: Server,
    path: str = "/",
    *,
    title: str,
    instead: str,
    height: int = 420,
    picture: Path | None = None,
    small: Path | None = None,
    shows: str = "",
) -> LivePage:
    """A page of the server in a window of the notebook, with what is shown instead where there is no kernel.

    A notebook outlives its kernel, and is read in places where nothing runs. There the reader finds a
    sentence in place of a dead window; a notebook that is executed with nobody watching (stored, or
    tested) keeps no address and no token.

    Parameters
    ----------
    server
        A server that runs and has a token.
    path
        Of the page.
    title
        Its name, for people who hear the notebook.
    instead
        A sentence or two on what would be here, and how to get it.
    height
        Of the window [px].
    picture
        File of a PNG picture of the page, shown where nobody watches.
    small
        The same in fewer bytes, for viewers that drop HTML.
    shows
        What it shows, in words.

    Examples
    --------
    >>> with Server(token=True) as server:
    ...     page = live_page(server, title="The stream", instead="A stream was here.", height=100)
    """
    url = page_url(server, path)
    words = f"<p style='margin:0.6em 0'>{escape(instead)}</p>"
    if os.environ.get("LPWS_PROGRESS") == "0":  # nobody is watching
        html, data = words, ""
        if picture is not None:
            data, shown = (b64encode(each.read_bytes()).decode() for each in (small or picture, picture))
            html = f'<img alt="{escape(shows)}" width="880" src="data:image/png;base64,{shown}">{html}'
        return LivePage(server, url, html, instead, data)
    link = f'<a href="{escape(url)}" target="_blank" rel="noopener">in a window of its own</a>'
    # An <object> shows what is inside it if its page cannot be had: the kernel has ended, or the browser
    # does not let this page into that one (its frame-ancestors, CSP 3 §6.4.2). An <iframe> stays blank.
    html = (
        f'<object type="text/html" data="{escape(url)}" title="{escape(title)}" aria-label="{escape(title)}" '
        f'style="display:block;width:100%;height:{int(height)}px;border:0">{words}'
        "<p>If you have just run this cell and see this sentence, your browser does not show the page inside "
        f"the notebook: open it {link}.</p></object>"
        f"<p style='margin:0.4em 0'>The same page {link}.</p>"
    )
    return LivePage(server, url, html, instead)


def _jupyter() -> dict:
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
    if "JPY_SESSION_NAME" in os.environ and (kernel := _kernel_id()):
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


def _kernel_id() -> str:
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
    except (
        OSError,
        ValueError,
        http.client.HTTPException,
    ):  # none that can be asked: its certificate is not known here, say
        return None


def _hands_on(jupyter: dict) -> bool:
    """True if JupyterLab hands on requests to ``/proxy/PORT/``, as far as it can be asked."""
    if not jupyter:  # it is elsewhere, under a hub; what is installed here tells most
        return find_spec("jupyter_server_proxy") is not None
    with _somebody() as port:
        return _ask(jupyter, f"proxy/{port}/") != 404


@contextlib.contextmanager
def _somebody() -> Iterator[int]:
    """A port of this machine at which a server says yes to the first who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_ASK_S)

        def say_yes() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(_ASK_S)
                    connection.recv(65_536)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes"
                    )

        thread = threading.Thread(target=say_yes, name="lpws proxy?", daemon=True)
        thread.start()
        yield server.getsockname()[1]
        with contextlib.suppress(OSError):  # if nobody has come, the thread waits no longer
            socket.create_connection(server.getsockname(), timeout=_ASK_S).close()
        thread.join()


def _serves_others(jupyter: dict) -> bool:
    """True if the browser of this Jupyter server may be on another machine."""
    if not jupyter:
        return False
    return (
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
