"""nginx: a proxy between the clients of a run and its servers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..specs import Proxy
from ..specs.proxy import statements
from .programs import must_find, version
from .service import Service, StartError

#: What comes before the reader's lines, between those for http and those for the location, and after them.
#: Each default that differs between versions of nginx is written out: with 1.29.7 `proxy_http_version`
#: became 1.1, no `Connection: close` is sent any more, and connections to servers are kept, up to 32.
HEAD = """daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format lpws '$status $request';
    access_log access.log lpws;
    upstream servers {{
{upstream}
        {servers}
        {keep}
        {once}
    }}
    {version}
"""
MIDDLE = """
    server {{
        listen {host}:@PORT@{http2};
        location = /ready {{
            access_log off;
            return 200 @WORD@;
        }}
        location / {{
            proxy_pass http://servers;
            {connection}
"""
TAIL = """
        }
    }
}
"""
#: Lines of its log that tell of more than a client or a server; that its connections do not suffice, a run
#: declares.
GRAVE = re.compile(r"\[(?:alert|crit|emerg)\] (?!.*worker_connections are not)(.*?)(?:, client: .*)?$", re.M)


#: How it is asked whether it is ready.
READY = "GET /ready HTTP/1.0\r\n\r\n"
#: The same over HTTP/2: the preface, empty settings, and a block of literal fields, all of it in ASCII.
_FIELDS = {":method": "GET", ":scheme": "http", ":path": "/ready", ":authority": "lpws"}
_BLOCK = "".join(f"\0{chr(len(name))}{name}{chr(len(text))}{text}" for name, text in _FIELDS.items())
READY_2 = (
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\4\0\0\0\0\0"
    f"\0\0{chr(len(_BLOCK))}\1\5\0\0\0\1{_BLOCK}"
)  # fmt: skip


class Nginx(Service):
    """A running nginx.

    Attributes
    ----------
    host, port
        Where it listens.
    version
        As in ``"1.22.1"``.
    """

    def __init__(self, proxy: Proxy, ports: Iterable[int]) -> None:
        self.proxy, self.ports = proxy, tuple(ports)
        if not isinstance(proxy, Proxy):
            raise TypeError(f"expected a Proxy, got {proxy!r}")
        if not self.ports or not all(type(port) is int and 0 < port < 65536 for port in self.ports):
            raise ValueError(f"expected the ports of one server or more, got {self.ports!r}")
        program = must_find("nginx")
        text, self._lines = configuration(proxy, self.ports, version(program))
        command = ["-e", "stderr", "-p", "@FOLDER@/", "-c", "@FOLDER@/nginx.conf"]
        ask = {"ask": READY_2 if proxy.http2 else READY, "answer": "@WORD@", "writes": "nginx.pid"}
        super().__init__(program, ask | {"command": command, "file": "nginx.conf", "text": text})

    def __enter__(self) -> Nginx:
        try:
            return super().__enter__()
        except StartError as error:
            raise self._refusal(error) from None

    def access_log(self) -> str:
        """Text of the access log: a line per request that has been answered, with its status."""
        return self.text("access.log")

    def faults(self) -> list[str]:
        """Sentences on what kept it from its work, if anything did; when it has been left."""
        faults = [] if self.lasted else ["the proxy ended during the run"]
        if said := GRAVE.findall(self.log()):
            faults.append(f"the proxy said, {len(said)} times such as this: {said[0]}")
        return faults

    def _refusal(self, error: StartError) -> Exception:
        """The error to raise: in nginx's own words, with the line in the reader's text, if it has one."""
        found = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*?)(?: in \S+nginx\.conf:(\d+))?$", error.said, re.M)
        if not found:
            return error
        what, line = found[1], int(found[2] or 0)
        for name, (first, text) in self._lines.items():
            if first <= line < first + len(text):
                own = text[line - first].strip()
                return ValueError(f'nginx refuses {name}, line {line - first + 1} "{own}": {what}')
        return ValueError(f"nginx refuses this configuration: {what}")


def nginx(proxy: Proxy, ports: Iterable[int]) -> Nginx:
    """nginx as a context manager, with `port`, `host`, `version`, `log()` and `access_log()`.

    Parameters
    ----------
    proxy
        The lines of its configuration.
    ports
        Where its servers listen, on 127.0.0.1.

    Raises
    ------
    Missing
        If this machine has no nginx.
    ValueError
        On entering it, if nginx refuses the configuration.

    Examples
    --------
    >>> with nginx(Proxy(Proxy.OPEN), [8888]) as front:
    ...     front.host
    '127.0.0.1'
    """
    return Nginx(proxy, ports)


def configuration(
    proxy: Proxy, ports: tuple[int, ...], number: str
) -> tuple[str, dict[str, tuple[int, list[str]]]]:
    """The text of nginx's configuration, and where the reader's lines stand in it: first number, lines."""
    http, location = statements(proxy.http), statements(proxy.location)
    # Headers set in the location replace those set around it, all of them.
    around = sets_header(http) and not sets_header(location)
    close = "" if sets_header(http if around else location, "connection") else CLOSE
    version = next((words[1:] for words in location + http if words[0] == "proxy_http_version"), None)
    keeps = {words[0] for words in statements(proxy.upstream)}
    head = HEAD.format(
        connections=proxy.connections,
        upstream=proxy.upstream,
        servers="\n        ".join(f"server {Service.host}:{port} max_fails=0;" for port in ports),
        version="" if any(words[0] == "proxy_http_version" for words in http) else "proxy_http_version 1.0;",
        keep="" if "keepalive" in keeps else "keepalive 32;",
        # With 1.0 the server closes each connection; nginx, which is not told, would use some of them again.
        once="" if version == ["1.1"] or "keepalive_requests" in keeps else "keepalive_requests 1;",
    ) + (close if around else "")
    # With 1.25.1 the parameter of `listen` became a directive of its own.
    new = tuple(map(int, re.findall(r"\d+", number))) >= (1, 25, 1)
    http2 = ("; http2 on" if new else " http2") if proxy.http2 else ""
    middle = MIDDLE.format(host=Service.host, http2=http2, connection="" if around else close)
    first = head.count("\n") + 1
    lines = {"http": (first, proxy.http.split("\n"))}
    lines["upstream"] = (HEAD.count("\n", 0, HEAD.index("{upstream}")) + 1, proxy.upstream.split("\n"))
    first += proxy.http.count("\n") + middle.count("\n")
    lines["location"] = (first, proxy.location.split("\n"))
    return "".join([head, proxy.http, middle, proxy.location, TAIL]), lines


CLOSE = "proxy_set_header Connection close;\n"


def sets_header(lines: list[list[str]], name: str = "") -> bool:
    """True if statements set a header of requests to the servers, or the one of this name."""
    headers = [words[1].lower() for words in lines if words[0] == "proxy_set_header" and len(words) > 1]
    return name in headers if name else bool(headers)
