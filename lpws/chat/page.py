"""The page of the chat: four files that a browser may load, and what it may do with them."""

from __future__ import annotations

import re
from pathlib import Path

from ..server.handlers import RoomHandler

HOME = Path(__file__).parent / "page"
#: Name in the address → file and type.
FILES = {
    "": ("index.html", "text/html"),
    "chat.css": ("chat.css", "text/css"),
    **{
        f"{name}.js": (f"{name}.js", "text/javascript")
        for name in ("chat", "clock", "journal", "listener", "outbox", "strip", "transports", "windows")
    },
}
PATH = f"/({'|'.join(name.replace('.', r'[.]') for name in FILES)})"

#: Who may put the page into a frame: notebooks, on this machine and in VS Code.
_FRAMES = (
    "'self'",
    *(
        f"{scheme}://{host}:*"
        for host in ("localhost", "127.0.0.1", "*.localhost")
        for scheme in ("http", "https")
    ),
    "vscode-webview:",
    "vscode-file:",
)
#: Nothing but the room's own files and answers; no text becomes markup; only a notebook may frame it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        f"frame-ancestors {' '.join(_FRAMES)}",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


def policy(referrer: str) -> str:
    """The policy for a page that this address asks for.

    Content Security Policy has no way to write an IPv6 address (CSP 3 §2.3.1): a browser passes over
    ``http://[::1]:*``. A notebook that is served there may frame the page like any other of this machine,
    so it gets a policy of its own. Which page asks, no page can pretend.
    """
    loopback = re.match(r"http://\[::1\](:\d+)?(/|$)", referrer)
    return POLICY.replace("frame-ancestors", "frame-ancestors http:") if loopback else POLICY


class Page(RoomHandler):
    """A file of the page."""

    def get(self, name: str) -> None:
        file, kind = FILES[name]
        body = (HOME / file).read_bytes()
        for header, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Security-Policy": policy(self.request.headers.get("Referer", "")),
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",  # the address holds the token
            "Cache-Control": "no-store",
        }.items():
            self.set_header(header, value)
        self.record("response_sent", size=len(body))
        self.finish(body)
