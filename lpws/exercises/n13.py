"""The tasks of notebook 13: the function that decides who may come in, and two questions."""

from __future__ import annotations

from .task import Make, Quick, a_function
from .visitors import BROWSERS, PROGRAMS, Door, Guard, Origin, alike, near

_WHOSE = "which header says whose page it is, and what to compare it with"
_PARTS = "which parts an origin has, and which of them differ here"
_LOOKS = "which other names such a comparison takes for yours"
_NULL = "what `null` says about pages, and who can send it"
_SILENT = "which requests carry no Origin, and what the browser sends instead"
_SITE = "who else has pages on the same site: other ports, other names under the same domain"
_NOBODY = "who sends neither Origin nor Sec-Fetch-Site, and whether a page can make a browser do so"
_BELIEVED = "which server the browser believes it is talking to, and who made up that name"
_MEANT = "what `request.protocol` and `request.host` have to name together: scheme, name and port"
_WROTE = "who can write that header: it came with the request"
_EMPTY = "what an `if` makes of an empty Origin, which is there all the same"
_TWO = "which of the two Origins the page's browser wrote: a server cannot tell"
_NOTHING = "what counts if neither Origin nor Sec-Fetch-Site came: nothing but the Host"
_WRITTEN = "in how many ways the same host and port can be written"


def own_page(door: Door) -> None:
    for own in door.servers():
        for browser in BROWSERS:
            for kind in ("socket", "post", "form"):
                think = "what handshakes and POSTs from its own page have in common"
                door.page(kind, own, think, "", browser)
            for kind in ("poll", "stream", "frame", "image"):
                think = "what a browser says about a page's GET to its own server"
                door.page(kind, own, think, "", browser)
            think = "whether every page sends a Referer: a page can tell its browser not to"
            door.page("poll", own, think, "with the policy `no-referrer`", browser, referrer="")


def other_site(door: Door) -> None:
    for own in door.servers():
        page, what = Origin("https", door.name(), 443), "which is another site"
        for browser in BROWSERS:
            for kind in ("socket", "post", "form", "poll", "stream"):
                door.page(kind, page, _WHOSE, what, browser)
            door.page("form", page, _WHOSE, f"{what}, with `own` in its address", browser, f"{page}/{own}/")


def same_site(door: Door) -> None:
    for own in door.servers():
        for page, what in near(own):
            for kind in ("socket", "post", door.draw.choice(["form", "poll", "stream"])):
                door.page(kind, page, _PARTS, what)


def lookalikes(door: Door) -> None:
    for own in door.servers():
        for page, what in alike(own, door.name()):
            for kind in ("socket", door.draw.choice(["post", "poll", "stream"])):
                door.page(kind, page, _LOOKS, what)


def nobody(door: Door) -> None:
    for _ in door.servers():
        for browser in BROWSERS:
            for kind in ("socket", "post", "form", "poll"):
                door.page(kind, None, _NULL, "in a sandboxed frame", browser)
        door.page("image", None, _NULL, "in a sandboxed frame", "Chromium")


def odd(door: Door) -> None:
    for own in door.servers():
        page, what = Origin("https", door.name(), 443), "which is another site, through a proxy"
        for kind in ("socket", "post"):
            door.page(kind, page, _EMPTY, f"{what} that empties its Origin", "Chromium", Origin="")
            for both in (f"{own}\n{page}", f"{page}\n{own}"):
                door.page(kind, page, _TWO, f"{what} that adds an Origin", Origin=both)


def other_names(door: Door) -> None:
    local, named, think = door.local(), door.named(), "what `own` holds: every one is the server's"
    for own in (
        [local, local._replace(host="localhost")],
        [named, named._replace(host=named.site[1]), named._replace(port=door.port())],
        [door.named(), door.named(2)],
    ):
        for place, here in enumerate(own):
            door.begin(here, *own[:place], *own[place + 1 :])
            for page in own:
                for kind in ("socket", "post"):
                    door.page(kind, page, think, f"to {here}" * (page != here))


def silent(door: Door) -> None:
    for own in door.servers():
        other = Origin("https", door.name(), 443)
        for kind in ("image", "link", "frame", "no-cors"):
            door.page(kind, other, _SILENT, "which is another site")
            door.page(kind, other, _SILENT, "with the policy `no-referrer`", referrer="")
            think = "what the owner of a page can write into its address, which becomes the Referer"
            door.page(kind, other, think, "with `own` in its address", referrer=f"{other}/{own}/")
            for page, what in near(own):
                door.page(kind, page, _SITE if page.site == own.site else _SILENT, what)
        door.page("image", None, _SILENT, "in a sandboxed frame", "Firefox")
        sent_back = {"Sec-Fetch-Site": "cross-site", "Referer": f"{own}/room"}
        think = "whose Referer this is, and what the browser says of all the servers on the way"
        door.page("image", own, think, "sent back by a stranger's server", **sent_back)


def no_page(door: Door) -> None:
    for own in door.servers():
        for browser in BROWSERS:
            door.address(browser, "whether a page asked for this, and what browsers say if none did")
        for _ in range(6):
            door.other(_NOBODY)
        door.other(_NOTHING, Cookie=f"login={door.draw.randrange(10**6)}")
        door.other(_NOTHING, Referer=f"https://{door.name()}/")
        door.other(_NOTHING, **{"User-Agent": f"Mozilla/5.0 (compatible; +https://{door.name()}/)"})
        door.other("what an Origin says, whoever sends it", Origin=str(own))


def elsewhere(door: Door) -> None:
    for own in door.servers():
        ports = {own.port + 1, own.port * 10 + 1, 9999, 80, 443} - {own.port}
        hosts = [own._replace(port=port).netloc for port in sorted(ports) if 0 < port < 2**16]
        names = {own.site[1], "localhost", door.name(), own.host.partition(".")[2]} - {own.host, ""}
        for host in hosts + [own._replace(host=name).netloc for name in sorted(names)]:
            door.other(_MEANT, host, friend=False)
        door.other(_MEANT, own.netloc, "http" if own.scheme == "https" else "https", friend=False)
        page, what = own._replace(host=door.name()), "to another name"
        for kind in ("socket", "post"):
            door.page(kind, own, _MEANT, what, here=page)


def rebound(door: Door) -> None:
    for host in ("127.0.0.1", "localhost"):
        own, what = door.local(host), f"a name that was made to point to {host}"
        for name in (door.name(), f"{host}.{door.name()}", f"my-{door.name()}"):
            door.begin(own)
            page = own._replace(host=name)
            for kind in ("socket", "post", "poll", "stream", "image"):
                door.page(kind, page, _BELIEVED, what, here=page)
            says = {"User-Agent": door.draw.choice(PROGRAMS), "Authorization": "Bearer 7"}
            what_else = f"{what}, with headers of its own"
            door.page("poll", page, _BELIEVED, what_else, "Firefox", here=page, **says)
            what_else = f"{what}, with an X-Forwarded-Host of its own"
            door.page("poll", page, _WROTE, what_else, here=page, **{"X-Forwarded-Host": own.netloc})


def written(door: Door) -> None:
    local, six = [("127.0.0.1", 0), ("localhost", 80)], [("[::1]", 0), ("[::1]", 80)]
    for own in [door.named(), door.named(2, door.port()), *(door.local(*each) for each in local + six)]:
        door.begin(own)
        think = "where a host ends and its port begins, and what no port means"
        think += "; the brackets of an IPv6 address belong to the host" * (own.host[0] == "[")
        for kind in ("socket", "post", "poll"):
            door.page(kind, own, think)
        full = f"{own.host}:{own.port}"
        for host in sorted({own.netloc, full, full.upper(), own.netloc.upper(), own.netloc.title()}):
            door.other(_WRITTEN, host)


def everybody(door: Door) -> None:
    visits = [own_page, other_site, same_site, lookalikes, nobody, odd, other_names, silent, no_page, rebound]
    for visit in door.draw.sample([*visits, elsewhere, written], 12):
        visit(door)


TASKS = {
    "allowed": Make(
        stub="the function returns nothing yet, so everybody stays out: begin with the server's page",
        expected=a_function("request, own"),
        wrap=Guard,
        scene=Door,
        stages=[
            [
                ("lets its own page in, from Chromium and from Firefox", own_page),
                ("keeps out a page on another site", other_site),
            ],
            [
                ("keeps out other origins on the same host or site", same_site),
                ("keeps out names that only look like its own", lookalikes),
                ("keeps out pages whose origin is `null`", nobody),
                ("keeps out strangers whose Origin comes empty, or twice", odd),
                ("lets its pages in under each of its names", other_names),
            ],
            [
                ("keeps out strangers' images, links and frames, which carry no Origin", silent),
                ("lets in typed addresses, and programs other than browsers", no_page),
            ],
            [
                ("keeps out a name rebound to the server", rebound),
                ("keeps out requests that were meant for another server", elsewhere),
                ("knows its own host, however it is written", written),
            ],
            [("decides the same when everybody comes again, in any order", everybody)],
        ],
    ),
    "site": Quick(
        4,
        {
            1: "what is a site? Both names end in the same registered domain, tea.example",
            2: "no script can read a cookie with HttpOnly, but the browser still sends it",
            3: "what does CORS apply to? Browsers need no permission to open a WebSocket",
        },
    ),
    "suffix": Quick(
        3,
        {
            1: "how does this origin end?",
            2: "whose page is this? It is not a stranger's",
            4: "how does this origin end?",
        },
    ),
}
