"""Visitors of a server: its own pages and those of strangers, as browsers speak for them, and programs."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any, NamedTuple

from .observer import Wrong, raised
from .program import Program

_PORTS = {"http": 80, "https": 443}
_TOPS = "example", "test"  # names that nobody can have (RFC 2606)
_WORDS = [*("tea", "rain", "harbor", "lamp", "stone", "maple", "north"), *("quiet", "chat", "news", "room")]
#: How two browsers introduce themselves; what else they say differs in a WebSocket's handshake alone.
BROWSERS = {
    "Chromium": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0",
    "Firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
}
#: How programs do that are none.
PROGRAMS = "curl/8.14.1", "Python-urllib/3.13", "Python/3.13 websockets/15.0"
WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
#: What is shown of a request that was treated wrongly.
SHOWN = "Host", "Origin", "Sec-Fetch-Site"


class Origin(NamedTuple):
    """Scheme, host and port of a page or a server."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        """Host and port, as a browser writes them."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def site(self) -> tuple[str, str]:
        """Scheme, and the part of the name that somebody registers; of an address, all of it."""
        labels = self.host.split(".")
        return self.scheme, ".".join(labels[-2:]) if labels[-1] in _TOPS else self.host

    @property
    def trusted(self) -> bool:
        """True where browsers send ``Sec-Fetch-…`` (W3C, Secure Contexts §3.2)."""
        return self.scheme == "https" or self.host in ("127.0.0.1", "localhost", "[::1]")


def near(own: Origin) -> list[tuple[Origin, str]]:
    """Other origins near this one, and what each is."""
    ports = {own.port + 1, own.port * 10 + 1, own.port // 10, 80, 443} - {own.port}
    pages = [(own._replace(port=port), "which is another origin on the same host")
             for port in sorted(ports) if 0 < port < 2**16]  # fmt: skip
    if own.scheme == "https":
        plain = own._replace(scheme="http", port=80 if own.port == 443 else own.port)
        pages.append((plain, "which came over http, and is another origin"))
        domain = own.site[1]
        names = {f"blog.{domain}", f"www.{own.host}", domain} - {own.host}
        pages += [(own._replace(host=name), "which is another origin of the same site")
                  for name in sorted(names)]  # fmt: skip
    return pages


def alike(own: Origin, evil: str) -> list[tuple[Origin, str]]:
    """Origins of strangers, among them of somebody with an evil name, that look like this one, and how."""
    host = own.host
    names = {f"{host}.{evil}": "begins", f"www.{host}.{evil}": "looks", f"{host}-{evil}": "begins"}
    if own.scheme == "https":
        names |= {f"my{host}": "ends", f"my-{host}": "ends"}
        names |= {host.replace(".", "-", 1): "looks"} if host.count(".") > 1 else {}
    return [(own._replace(host=name), f"whose name only {how} like yours") for name, how in names.items()]


class Kind(NamedTuple):
    """A way in which a page makes its browser send a request."""

    words: str
    method: str
    mode: str
    dest: str
    origin: str  # when the browser says whose page it is: always, never, or to "others" than its own server


KINDS = {
    "socket": Kind("a WebSocket from", "GET", "websocket", "empty", "always"),
    "stream": Kind("an event stream for", "GET", "cors", "empty", "others"),
    "poll": Kind("a poll from", "GET", "cors", "empty", "others"),
    "post": Kind("a POST from", "POST", "cors", "empty", "always"),
    "form": Kind("a form's POST from", "POST", "navigate", "document", "always"),
    "no-cors": Kind("a `no-cors` request from", "GET", "no-cors", "empty", "never"),
    "image": Kind("an image in", "GET", "no-cors", "image", "never"),
    "frame": Kind("a frame in", "GET", "navigate", "iframe", "never"),
    "link": Kind("a followed link in", "GET", "navigate", "document", "never"),
}


class Guard:
    """The reader's function at a server's door, in the process that runs it."""

    def __init__(self, allowed: Callable[[Any, set[str]], Any]) -> None:
        self.allowed, self.names, self.own = allowed, [], set()
        self.error: Exception | None = None

    def __call__(self, visits: list[tuple]) -> list[tuple[bool, str]]:
        """Decisions on visits, one after the other, up to one that fails or takes time."""
        if (error := self.error) is not None:
            self.error = None
            raise error
        decided: list[tuple[bool, str]] = []
        for visit in visits:
            begun_s = monotonic()
            try:
                decided.append(self.decide(*visit))
            except Exception as error:
                self.error = error
                break
            if monotonic() > begun_s:  # no time passes here but in a call that blocks
                break
        return decided

    def decide(self, names: list[str], ip: str, scheme: str, method: str, path: str, says: dict) -> tuple:
        """The decision, and the value that stands for it if that is no truth value."""
        from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

        if names != self.names:  # a server keeps its set as long as it lives
            self.names, self.own = names, set(names)
        context = SimpleNamespace(remote_ip=ip, protocol=scheme, address=(ip, 50_000))
        headers = HTTPHeaders()
        for name, value in says.items():
            for line in value.split("\n"):
                headers.add(name, line)
        request = HTTPServerRequest(
            start_line=RequestStartLine(method, path, "HTTP/1.1"),
            headers=headers,
            connection=SimpleNamespace(context=context),
        )
        value = self.allowed(request, self.own)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("your function returned a coroutine, which counts as True whatever it would say")
        return bool(value), "" if isinstance(value, bool) else f"{value!r:.40}"


class Door:
    """A server with its own origins, and those who come to it.

    Parameters
    ----------
    program
        The process in which the reader's function decides.
    draw
        Where names, ports and people come from.
    """

    def __init__(self, program: Program, draw: random.Random) -> None:
        self.program, self.draw, self.begun = program, draw, 0
        self.visits: list[tuple[str, bool, str, tuple]] = []

    def __enter__(self) -> Door:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.decide()

    def decide(self) -> None:
        """Let the program decide on those who came; raise `Wrong` for the first who is treated wrongly."""
        visits, self.visits = self.visits, []
        while visits:
            told = self.program.tell("call", [visit for *_, visit in visits])
            errors, decided = told["errors"], told["result"] or []
            for (case, friend, think, _), (let_in, value) in zip(visits, decided, strict=False):
                if let_in != friend:
                    counts = f"; it returned {value}, which counts as {let_in}" if value else ""
                    raise Wrong(f"{'let in' if let_in else 'refused'} {case}{counts}", think)
            if told["blocked_s"]:
                stood, case = f"{told['blocked_s']:.3g} s", visits[max(0, len(decided) - 1)][0]
                raise Wrong(f"stopped the whole server for {stood} when judging {case}",
                            "who has to wait meanwhile")  # fmt: skip
            if not decided and not errors:
                errors = self.program.tell("call", [])["errors"] or ["no decision"]
            if errors:
                case = f"one of {len(decided)} visitors" if decided else visits[0][0]
                if errors[0].startswith("HTTPError: HTTP "):  # Tornado's, which its handlers may raise
                    raise Wrong(f"raised {errors[0]}, when judging {case}",
                                "what was asked for: False; it is the handler that then raises")  # fmt: skip
                raise raised(errors[0], f", when judging {case}")
            visits = visits[len(decided) :]

    # ---------------------------------------------------------------------------- names and servers

    def port(self) -> int:
        """A port that no scheme has by default, though its digits may begin as those of one that has."""
        return self.draw.choice([8080, 8001, 4430, 4433, self.draw.randrange(1024, 6000)])

    def name(self) -> str:
        """A name that somebody could register."""
        words = "".join(self.draw.sample(_WORDS, 2))
        return f"{words}{self.draw.randrange(10, 100)}.{self.draw.choice(_TOPS)}"

    def local(self, host: str = "127.0.0.1", port: int = 0) -> Origin:
        """Origin of a server on the reader's own machine."""
        return Origin("http", host, port or self.port())

    def named(self, labels: int = 3, port: int = 443) -> Origin:
        """Origin of a server on the web, whose name has so many labels."""
        return Origin("https", f"{self.draw.choice(_WORDS)}." * (labels - 2) + self.name(), port)

    def begin(self, *own: Origin) -> None:
        """Begin a server that has these origins; requests go to the first."""
        self.decide()
        self.own, self.here, self.begun = own, own[0], self.begun + 1
        self.ip = "203.0.113.7" if self.here.scheme == "https" else "127.0.0.1"
        # Whoever comes has logged in (with a cookie that is SameSite=Lax, as all are by default) or has not.
        self.cookie = f"login={self.draw.randrange(10**6)}" if self.begun % 2 else ""

    def servers(self) -> Iterator[Origin]:
        """Origins of usual servers, one after the other, each of which has begun."""
        for own in self.local(), self.named(), self.named(2), self.named(3, self.port()):
            self.begin(own)
            yield own

    # ---------------------------------------------------------------------------- who comes

    def page(self, kind: str, page: Origin | None, think: str, what: str = "", browser: str = "",
             referrer: str = "default", here: Origin | None = None, **written: str) -> None:
        """Let a page make its browser send a request.

        Parameters
        ----------
        kind
            Of the request, one of `KINDS`.
        page
            Origin of the page; None is that of a sandboxed frame, which has none.
        think
            What to think about if it is treated wrongly.
        what
            What the page is to the server.
        browser
            One of `BROWSERS`; if not given, it is drawn.
        referrer
            Address of the page as the browser is to tell it; empty if it is not to.
        here
            Where the browser believes the request goes, if another name leads to the server.
        written
            Headers that the page has added, or what becomes of the browser's own on the way; one that
            comes twice has two lines.
        """  # fmt: skip
        browser, here = browser or self.draw.choice(list(BROWSERS)), here or self.here
        friend = page in self.own and here in self.own and "Sec-Fetch-Site" not in written
        words, method, mode, dest, origin = KINDS[kind]
        site = "same-origin" if page == here else "cross-site"
        if page and page != here and page.site == here.site:
            site = "same-site"
        says = self._browser(browser, here)
        if mode == "no-cors" and not page and browser == "Chromium":
            origin = "always"  # Chromium says `null` even then
        if origin == "always" or (origin == "others" and page != here):
            says["Origin"] = str(page or "null")
        if here.trusted and (browser == "Firefox" or kind != "socket"):
            says |= {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
            says |= {"Sec-Fetch-User": "?1"} if kind in ("link", "form") else {}
        if page and referrer and kind != "socket":
            path = "room" if page == here else ""  # other servers learn the origin alone
            says["Referer"] = f"{page}/{path}" if referrer == "default" else referrer
        says |= WEBSOCKET if kind == "socket" else {}
        says |= {"Accept": "text/event-stream"} if kind == "stream" else {}
        if self.cookie and here in self.own and (site != "cross-site" or kind == "link"):
            says["Cookie"] = self.cookie
        whose = f"a page on {page}" if page else "a page"
        if page in self.own:
            whose = f"its own page {page}, in {browser}"
        who = f"{words} {whose}{', ' if page and what else ' '}{what}".strip()
        if "Cookie" in says and not friend:
            who += "; the browser sent the cookie along"
        self._knock(who, method, says | written, friend, think)

    def address(self, browser: str, think: str) -> None:
        """Let somebody type the address of the server."""
        says = self._browser(browser, self.here) | ({"Cookie": self.cookie} if self.cookie else {})
        says |= {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        says["Sec-Fetch-User"] = "?1"
        self._knock(f"somebody who typed the address, in {browser}", "GET", says, True, think)

    def other(self, think: str, host: str = "", scheme: str = "", friend: bool = True, **says: str) -> None:
        """Let a program other than a browser ask, and name this host and scheme instead if given."""
        told = [f", with {name}: {says[name]}" for name in ("User-Agent", "Referer") if name in says]
        says = {"Host": host or self.here.netloc, "User-Agent": self.draw.choice(PROGRAMS)} | says
        method = self.draw.choice(["GET", "POST"])
        if self.draw.random() < 0.3:
            says["Authorization"] = f"Bearer {self.draw.randrange(10**9)}"
        if self.draw.random() < 0.3:
            says, method = says | WEBSOCKET, "GET"
        what = "WebSocket" if "Upgrade" in says else method
        who = f"a {what} from a program other than a browser" + f", over {scheme}" * bool(scheme)
        who += "".join(told)
        self._knock(who, method, says, friend, think, scheme)

    def _browser(self, browser: str, here: Origin) -> dict[str, str]:
        return {"Host": here.netloc, "User-Agent": BROWSERS[browser]}

    def _knock(self, who: str, method: str, says: dict[str, str], friend: bool, think: str,
               scheme: str = "") -> None:  # fmt: skip
        facts = ["own: " + " and ".join(map(str, self.own))]
        told = {name: says[name].replace("\n", " and ") or "(empty)" for name in SHOWN if name in says}
        facts += [f"{name}: {told[name]}" if name in told else f"no {name}" for name in SHOWN]
        facts += ["a cookie" if "Cookie" in says else "no cookie"]
        case = f"{who} ({', '.join(facts)})"
        if self.draw.random() < 0.3:  # as they come through a proxy that speaks HTTP/2 with the browser
            says = {name.lower(): value for name, value in says.items()}
        path = self.draw.choice(["/", "/news", f"/news?cursor={self.draw.randrange(100)}", "/room/socket"])
        own = [str(each) for each in self.own]
        visit = own, self.ip, scheme or self.here.scheme, method, path, says
        self.visits.append((case, friend, think, visit))
