"""The address at which the reader's browser finds a server that runs in the kernel."""

from __future__ import annotations

import os
from base64 import b64encode
from html import escape
from pathlib import Path

from . import jupyter
from .server.server import Server

#: Calls a page by the name under which the reader's browser sees the notebook.
_AS_SEEN = """<script>if (location.hostname === "localhost")
for (const part of document.querySelectorAll('[data="URL"], [href="URL"]'))
part.outerHTML = part.outerHTML.replaceAll("//127.0.0.1:", "//localhost:")</script>"""


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
    thread, ours = server.thread, jupyter.record()
    if proxied is None:
        proxied = "JUPYTERHUB_SERVICE_PREFIX" in os.environ or jupyter.serves_others(ours)
        if proxied and not jupyter.hands_on(ours):
            print(
                "– your browser seems to be on another machine than the kernel, and cannot reach this page: "
                "install jupyter-server-proxy where JupyterLab is installed, and start JupyterLab again"
            )
            proxied = False
    if not proxied:
        return server.url + path
    thread.call(setattr, server.room, "proxied", True)
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or ours.get("base_url", "/")
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
    proxied: bool | None = None,
    as_seen: bool = False,
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
    proxied
        Whether to go through JupyterLab, as in `page_url`. A page that takes all the connections that a
        browser has for one host must not: those would be JupyterLab's own.
    as_seen
        Whether at ``localhost`` if that is where the reader's browser sees JupyterLab. For a browser that
        name and 127.0.0.1 are two sites, and a frame of another site gets no cookies.

    Examples
    --------
    >>> with Server(token=True) as server:
    ...     page = live_page(server, title="The stream", instead="A stream was here.", height=100)
    """
    url = page_url(server, path, proxied=proxied)
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
    if as_seen:
        html += _AS_SEEN.replace("URL", escape(url))
    return LivePage(server, url, html, instead)
