"""The page of the chat: four files that a browser may load, and what it may do with them."""

from __future__ import annotations

from pathlib import Path

from ..transports.room import RoomHandler

HOME = Path(__file__).parent / "page"
#: Name in the address → file and type.
FILES = {
    "": ("index.html", "text/html"),
    "chat.css": ("chat.css", "text/css"),
    **{
        f"{name}.js": (f"{name}.js", "text/javascript")
        for name in ("chat", "clock", "journal", "listener", "outbox", "strip", "transports")
    },
}
PATH = f"/({'|'.join(name.replace('.', r'[.]') for name in FILES)})"

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
        "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


class Page(RoomHandler):
    """A file of the page."""

    def get(self, name: str) -> None:
        file, kind = FILES[name]
        body = (HOME / file).read_bytes()
        for header, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",  # the address holds the token
            "Cache-Control": "no-store",
        }.items():
            self.set_header(header, value)
        self.record("response_sent", size=len(body))
        self.finish(body)
