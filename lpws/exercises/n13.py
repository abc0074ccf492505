"""The tasks of notebook 13: the function that decides who may come in, and two questions."""

from __future__ import annotations

from .task import Make, Quick, a_function
from .visitors import BROWSERS, PROGRAMS, Door, Guard, Origin, alike, near

_WHOSE = "which header says whose page it is, and what it has to be compared with"
_PARTS = "which parts an origin has, and which of them differ here"
_LOOKS = "which other names such a comparison takes for yours"
_NULL = "what `null` says of a page, and who can make one"
_SILENT = "which requests carry no Origin, and what the browser says of them instead"
_SITE = "who else has pages on the same site: other ports, other names under the same domain"
_NOBODY = "who asks when neither Origin nor Sec-Fetch-Site comes, and whether a page can have tricked them"
_BELIEVED = "which server the browser believes it is talking to, and who made up that name"
_WRITTEN = "in how many ways the same host and port can be written"


def own_page(door: Door) -> None:
    for own in door.servers():
        for browser in BROWSERS:
            for kind in ("socket", "post", "form"):
                think = "what its own page's handshakes and POSTs have in common, in both browsers"
                door.page(kind, own, think, "", browser)
            for kind in ("poll", "stream", "frame", "image"):
                think = "what a browser says of a GET from a page to its own server"
                door.page(kind, own, think, "", browser)
            think = "whether every page of its own sends this header: a page can tell its browser not to"
            door.page("poll", own, think, "whose policy is `no-referrer`", browser, referrer="")


def other_site(door: Door) -> None:
    for own in door.servers():
        page, what = Origin("https", door.name(), 443), "which is another site"
        for browser in BROWSERS:
            for kind in ("socket", "post", "form", "poll", "stream"):
                door.page(kind, page, _WHOSE, what, browser)
            door.page("form", page, _WHOSE, f"{what}, with yours in its address", browser, f"{page}/{own}/")


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


def other_names(door: Door) -> None:
    local, named, think = door.local(), door.named(), "what `own` holds: each of these origins is its own"
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
            door.page(kind, other, _SILENT, "whose policy is `no-referrer`", referrer="")
            think = "what the owner of a page can write into its address, which becomes the Referer"
            door.page(kind, other, think, "with yours in its address", referrer=f"{other}/{own}/")
            for page, what in near(own):
                door.page(kind, page, _SITE if page.site == own.site else _SILENT, what)
        door.page("image", None, _SILENT, "in a sandboxed frame", "Firefox")


def no_page(door: Door) -> None:
    for own in door.servers():
        for browser in BROWSERS:
            door.address(browser, "whether any page has asked for this, and what the browser says then")
        for _ in range(6):
            door.other(_NOBODY)
        door.other("what an Origin says, whoever sends it", Origin=str(own))


def rebound(door: Door) -> None:
    for host in ("127.0.0.1", "localhost"):
        own, what = door.local(host), f"a name that was made to point to {host}"
        for name in (door.name(), f"{host}.{door.name()}", f"my-{door.name()}"):
            door.begin(own)
            page = own._replace(host=name)
            for kind in ("socket", "post", "poll", "stream", "image"):
                door.page(kind, page, _BELIEVED, what, here=page)
            says = {"User-Agent": door.draw.choice(PROGRAMS), "Authorization": "Bearer 7"}
            what_else = f"{what}, with headers that it wrote itself"
            door.page("poll", page, _BELIEVED, what_else, "Firefox", here=page, **says)


def written(door: Door) -> None:
    local, six = [("127.0.0.1", 0), ("localhost", 80)], [("[::1]", 0), ("[::1]", 80)]
    for own in [door.named(), door.named(2, door.port()), *(door.local(*each) for each in local + six)]:
        door.begin(own)
        for kind in ("socket", "post", "poll"):
            door.page(kind, own, "where a host ends and its port begins, and what no port means")
        full = f"{own.host}:{own.port}"
        for host in sorted({own.netloc, full, full.upper(), own.netloc.upper(), own.netloc.title()}):
            door.other(_WRITTEN, host)


def everybody(door: Door) -> None:
    visits = [own_page, other_site, same_site, lookalikes, nobody, other_names, silent, no_page, rebound]
    for visit in door.draw.sample([*visits, written], 10):
        visit(door)


TASKS = {
    "allowed": Make(
        stub="the function returns nothing yet, which keeps everybody out: begin with its own page",
        expected=a_function("request, own"),
        wrap=Guard,
        scene=Door,
        stages=[
            [
                ("lets its own page in, from Chromium and from Firefox", own_page),
                ("keeps out the page of another site", other_site),
            ],
            [
                ("keeps out other origins on the same host and of the same site", same_site),
                ("keeps out names that only look like its own", lookalikes),
                ("keeps out pages whose origin is `null`", nobody),
                ("lets its pages in under each of its names", other_names),
            ],
            [
                ("keeps out images, links and frames of strangers, which carry no Origin", silent),
                ("lets in typed addresses, and programs that are no browser", no_page),
            ],
            [
                ("keeps out a name that was made to point to it", rebound),
                ("knows its own host, however it is written", written),
            ],
            [("decides the same when all of them come again, in any order", everybody)],
        ],
    ),
    "site": Quick(
        4,
        {
            1: "what is a site? Both names end in the same registered domain, tea.example",
            2: "no script can read a cookie with HttpOnly, but the browser still sends it",
            3: "to what does CORS apply? No browser asks the server before it opens a WebSocket",
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
