"""The proxy: lines of an nginx configuration, read as nginx reads them."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from .fields import Spec, flag, number

#: The words of a configuration. Quotes and comments begin where a word begins, and `${name}` lies inside one.
WORD = re.compile(
    r"""(?s)[ \t\r\n]+|\#[^\n]*
    |(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<mark>[;{}])
    |(?P<torn>["'].*)
    |(?P<plain>(?:\\.|\$\{|[^ \t\r\n;{\\]|\\$)+)""",
    re.VERBOSE,
)


#: Directives that keep nothing back of what is ready to go.
PROMPT = re.compile("proxy_(http_version|set_header|hide_header|buffering|(read|send|connect)_timeout)")


@dataclass(frozen=True)
class Proxy(Spec):
    """A proxy between clients and servers: its configuration, but for the laboratory's own lines.

    Parameters
    ----------
    location
        The body of nginx's ``location / { … }``, all but ``proxy_pass``, which the laboratory writes.
    http
        Lines for the block around it, such as ``gzip on;``.
    upstream
        Lines for the block that lists the servers: which of them gets a request, such as ``least_conn;``.
    connections
        How many connections the proxy may have open, to clients and to servers together.
    http2
        Whether it speaks HTTP/2 to its clients, without TLS, to those who begin with it (RFC 9113 §3.3).

    Examples
    --------
    >>> Proxy("proxy_read_timeout 2s;", connections=20)
    Proxy(location='proxy_read_timeout 2s;', http='', upstream='', connections=20, http2=False)
    """

    #: nginx as most people met it: its defaults up to version 1.29.6.
    AS_MOST_MET: ClassVar[str] = "proxy_http_version 1.0;\nproxy_set_header Connection close;\n"
    #: The lines that let every transport pass, each message at once.
    OPEN: ClassVar[str] = (
        "proxy_http_version 1.1;\n"
        "proxy_set_header Upgrade $http_upgrade;\n"
        "proxy_set_header Connection $http_connection;\n"
        "proxy_buffering off;\n"
    )

    location: str
    _: KW_ONLY
    http: str = ""
    upstream: str = ""
    connections: int = number(512, least=4, most=8192)
    http2: bool = flag(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("location", "http", "upstream"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise TypeError(f"Proxy({name}=…): expected lines of a configuration (str), got {text!r}")
            try:
                statements(text)
            except ValueError as error:
                raise ValueError(f"Proxy({name}=…): {error}") from None

    def prompt(self, stream: bool) -> bool:
        """True if none of its lines can keep back what is ready to go: an answer, or a part of a stream."""
        found = statements(self.location) + statements(self.http)
        buffers = [words[1:] for words in found if words[0] == "proxy_buffering"] or [["on"]]
        return all(PROMPT.fullmatch(words[0]) for words in found) and (not stream or buffers[0] == ["off"])


def statements(text: str) -> list[list[str]]:
    """The statements of a configuration, each a list of its words, without quotes; blocks are not nested.

    A statement that opens a block is one like others; the end of a block is none.

    >>> statements("gzip on;  # all of it\\nif ($slow) { return 503 'not now'; }")
    [['gzip', 'on'], ['if', '($slow)'], ['return', '503', 'not now']]

    Raises
    ------
    ValueError
        If a brace or a quote has no partner, or nothing ends the last statement.
    """
    if odd := re.search("[\0\ud800-\udfff]", text):
        raise ValueError(f"expected text that can stand in a file, got {odd[0]!r}")
    found, words, open_lines = [], [], []
    for match in WORD.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        kind, word = match.lastgroup, match[0]
        if kind == "torn":
            raise ValueError(f"the quote in line {line} has no partner")
        if kind == "mark":
            if word == "}" and words:
                raise ValueError(f"expected ; after {words[-1]!r}, got }} in line {line}")
            if word == "}" and not open_lines:
                raise ValueError(f"the }} in line {line} closes a block that nothing here has opened")
            if word == "{":
                open_lines.append(line)
            elif word == "}":
                open_lines.pop()
            found += [words] if words else []
            words = []
        elif kind:
            words.append(word[1:-1] if kind == "quoted" else word)
    if words:
        raise ValueError(f"expected ; after {words[-1]!r}, got the end")
    if open_lines:
        raise ValueError(f"the {{ in line {open_lines[-1]} opens a block that nothing closes")
    return found
