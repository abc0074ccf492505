"""The tasks of notebook 13: strangers stay out, friends come in, and each kind of mistake is named."""

import random

import pytest
from cells import assert_hinted, edited, is_right, made, verdict

from lpws.exercises import n13
from lpws.exercises.observer import Wrong
from lpws.exercises.visitors import Door, Guard

ALLOWED = """
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


def place(origin):
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def allowed(request, own):
    ours = {place(origin) for origin in own}
    if place(f"{request.protocol}://{request.host}") not in ours:
        return False
    if "Origin" in request.headers:
        return request.headers["Origin"] in own
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site in ("none", "same-origin")
"""
GOOD = {
    "as in the lesson": ALLOWED,
    "names alone": """
        def allowed(request, own):
            names = {origin.split("://")[1].removesuffix("]").rpartition(":")[0].strip("[]")
                     if origin.count(":") > 1 and not origin.endswith("]") else
                     origin.split("://")[1].strip("[]") for origin in own}
            if request.host_name.strip("[]") not in names:
                return False
            origin = request.headers.get("Origin")
            if origin is not None:
                return origin in own
            return request.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")
    """,
    "what strangers are": """
        import re

        def allowed(request, own):
            def strip(scheme, host):
                return re.sub({"http": r":80$", "https": ":443$"}[scheme], "", host.lower())
            hosts = {strip(*origin.split("://")) for origin in own}
            stranger = strip(request.protocol, request.host) not in hosts
            stranger |= request.headers.get("Origin", next(iter(own))) not in own
            if "Origin" not in request.headers:
                stranger |= request.headers.get("Sec-Fetch-Site") in ("same-site", "cross-site")
            return not stranger
    """,
    "patterns": """
        import re

        def allowed(request, own):
            default = {"http": "80", "https": "443"}[request.protocol]
            address = f"{request.protocol}://{request.host}".lower()
            for origin in own:
                if re.fullmatch(re.escape(origin) + rf"(:{default})?", address):
                    break
            else:
                return False
            match request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"):
                case None, None | "none" | "same-origin":
                    return True
                case None, _:
                    return False
                case origin, _:
                    return any(re.fullmatch(re.escape(each), origin) for each in own)
    """,
    "a class that is called": """
        from urllib.parse import urlparse

        class Doorkeeper:
            def key(self, url):
                url = urlparse(url.lower())
                port = {"http": 80, "https": 443}[url.scheme] if url.port is None else url.port
                return url.scheme, url.hostname, port

            def __call__(self, request, own):
                own = {self.key(each) for each in own}
                if self.key(request.full_url()) not in own:
                    return False
                origin = request.headers.get("Origin", "")
                if origin:
                    return origin != "null" and self.key(origin) in own
                return not (request.headers.get("Sec-Fetch-Site", "").endswith("-site"))

        allowed = Doorkeeper()
    """,
    "Tornado's own tools": """
        from tornado.httputil import split_host_and_port

        def allowed(request, own):
            default = {"http": 80, "https": 443}
            mine = set()
            for origin in own:
                scheme, netloc = origin.split("://")
                host, port = split_host_and_port(netloc)
                mine.add((host, port or default[scheme]))
            host, port = split_host_and_port(request.host.lower())
            if (host, port or default[request.protocol]) not in mine:
                return False
            origins = request.headers.get_list("Origin")
            if origins:
                return all(origin in own for origin in origins)
            return set(request.headers.get_list("Sec-Fetch-Site")) <= {"none", "same-origin"}
    """,
    "errors": """
        def allowed(request, own):
            try:
                check(request, own)
            except PermissionError:
                return False
            return True

        def check(request, own):
            written = set(own)
            for origin in own:
                if origin.startswith("https:") and origin.count(":") == 1:
                    written.add(origin + ":443")
                if origin.startswith("http:") and (origin.count(":") == 1 or origin.endswith("]")):
                    written.add(origin + ":80")
            if f"{request.protocol}://{request.host.casefold()}" not in written:
                raise PermissionError("Host")
            try:
                if request.headers["Origin"] not in own:
                    raise PermissionError("Origin")
            except KeyError:
                if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
                    raise PermissionError("Sec-Fetch-Site") from None
    """,
    "one expression": """
        from urllib.parse import urlsplit

        allowed = lambda request, own: (
            urlsplit(f"//{request.host}").hostname in {urlsplit(each).hostname for each in own}
            and (request.headers["Origin"] in own if request.headers.get("Origin")
                 else request.headers.get("Sec-Fetch-Site") not in {"cross-site", "same-site"})
        )
    """,
    "words in place of truth": """
        from urllib.parse import urlsplit

        def allowed(request, own):
            hosts = [urlsplit(each).hostname for each in own]
            host = request.host_name
            known = host in hosts or host[1:-1] in hosts
            origin = request.headers.get("Origin")
            if known and origin:
                return [each for each in own if each == origin]
            if known and request.headers.get("Sec-Fetch-Site", "none") in "none same-origin".split():
                return "come in"
    """,
    "an address that it builds for each": """
        def allowed(request, own):
            default = ":443" if request.protocol == "https" else ":80"
            host = request.host.lower()
            if ":" not in host.rpartition("]")[2]:
                host += default
            for each in own:
                netloc = each.partition("://")[2]
                if ":" not in netloc.rpartition("]")[2]:
                    netloc += ":443" if each[:5] == "https" else ":80"
                if netloc == host:
                    headers = dict(request.headers.get_all())
                    if "Origin" in headers:
                        return bool({headers["Origin"]} & own)
                    return headers.get("Sec-Fetch-Site", "") in ("", "none", "same-origin")
            return False
    """,
    "addresses": """
        import ipaddress

        def name(host):
            host = host.lower()
            head, colon, port = host.rpartition(":")
            if colon and port.isdigit() and (head.endswith("]") or ":" not in head):
                host = head
            try:
                return ipaddress.ip_address(host.strip("[]"))
            except ValueError:
                return host

        def allowed(request, own):
            if name(request.host) not in map(name, (each[each.index("//") + 2:] for each in own)):
                return False
            said = request.headers.get("Origin") or {
                "same-origin": min(own), "none": min(own), None: min(own),
            }.get(request.headers.get("Sec-Fetch-Site"), "nobody")
            return said in own
    """,
}


class Here:
    """A program in this process: it has no patience and no clock, and is fast."""

    def __init__(self, source):
        self.guard = Guard(made(source, "allowed"))

    def tell(self, _call, *arguments):
        try:
            return {"errors": [], "blocked_s": 0.0, "result": self.guard(*arguments)}
        except Exception as error:
            return {"errors": [f"{type(error).__name__}: {error}"], "blocked_s": 0.0, "result": None}


def said(source, seed):
    """What is found wrong by the behaviors of the first stage in which something is."""
    program, draw, found = Here(source), random.Random(seed), []
    for stage in n13.TASKS["allowed"].stages:
        for _, behavior in stage:
            with Door(program, draw) as door:
                try:
                    behavior(door)
                except Wrong as wrong:
                    found.append(str(wrong))
        if found:
            break
    return found


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys):
    lines = verdict("13.allowed", made(source, "allowed"), capsys)
    assert is_right(lines), lines
    assert len(lines) == sum(map(len, n13.TASKS["allowed"].stages))


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_good_functions_agree_whoever_comes(source):
    assert [said(source, seed) for seed in range(3)] == [[], [], []]


@pytest.mark.parametrize("ten", range(20))
def test_the_solution_passes_whoever_comes(ten):
    assert [said(ALLOWED, seed) for seed in range(10 * ten, 10 * ten + 10)] == [[]] * 10


@pytest.mark.parametrize("body", ["...", "# request.protocol, request.host\n    ...", "pass"])
def test_who_has_not_begun_is_told_what_to_do(body, capsys):
    [line] = verdict("13.allowed", made(f"def allowed(request, own):\n    {body}", "allowed"), capsys)
    assert line.startswith("… the function returns nothing yet, which keeps everybody out")


IN_OWN = 'request.headers["Origin"] in own'
ORIGIN = 'request.headers["Origin"]'
SITE = 'site in ("none", "same-origin")'
HOST = '    if place(f"{request.protocol}://{request.host}") not in ours:\n        return False\n'
WHOSE, PARTS, LOOKS = "which header says whose page it is", "which parts an origin has", "which other names such"
SILENT, SAME_SITE = "which requests carry no Origin", "who else has pages on the same site"
NOBODY, BELIEVED = "who asks when neither Origin nor", "which server the browser believes"
GET, WRITTEN = "what a browser says of a GET from a page", "in how many ways the same host and port"
COMMON = "what its own page's handshakes and POSTs have in common"


def instead(*lines):
    """A function with nothing but these lines."""
    return [(ALLOWED[ALLOWED.index("    ours = ") :], "".join(f"    {line}\n" for line in lines))]


WRONG = {
    "lets everybody in": (instead("return True"), WHOSE),
    "nobody": (instead("return False"), COMMON),
    "returns nothing": (instead("own.copy()"), COMMON),
    "ends with": ([(IN_OWN, f"any({ORIGIN}.endswith(o.split('://')[1]) for o in own)")], PARTS),
    "ends with, and the same scheme": (
        [(IN_OWN, f"any({ORIGIN}.endswith(o.split('://')[1]) and place({ORIGIN})[::2] == place(o)[::2]"
                  " for o in own)")],
        PARTS,  # a name below its own
    ),
    "ends with the domain": (
        [(IN_OWN, f"any((place({ORIGIN})[1] or '').endswith('.'.join(place(o)[1].split('.')[-2:]))"
                  f" and place({ORIGIN})[::2] == place(o)[::2] for o in own)")],
        "another origin of the same site",
    ),
    "begins with": ([(IN_OWN, f"any({ORIGIN}.startswith(o) for o in own)")], PARTS),
    "begins with, and the same port": (
        [(IN_OWN, f"any({ORIGIN}.startswith(o.rsplit(':', o.count(':') > 1)[0])"
                  f" and place({ORIGIN})[2] == place(o)[2] for o in own)")],
        "whose name only begins like yours",
    ),
    "is in": ([(IN_OWN, f"any(o in {ORIGIN} for o in own)")], PARTS),
    "the other way in": ([(IN_OWN, f"any({ORIGIN} in o for o in own)")], PARTS),
    "in a text": ([(IN_OWN, f"{ORIGIN} in ' '.join(own)")], PARTS),
    "the name is in": (
        [(IN_OWN, f"any(place(o)[1] in {ORIGIN} and place({ORIGIN})[::2] == place(o)[::2] for o in own)")],
        PARTS,
    ),
    "a pattern with loose dots": (
        [(IN_OWN, f"any(__import__('re').fullmatch(o, {ORIGIN}) for o in own)")], "whose name only looks like",
    ),
    "a pattern without an end": (
        [(IN_OWN, f"any(__import__('re').match(__import__('re').escape(o), {ORIGIN}) for o in own)")], PARTS,
    ),
    "hosts alone": ([(IN_OWN, f"place({ORIGIN})[1] in {{place(o)[1] for o in own}}")], PARTS),
    "hosts and ports": ([(IN_OWN, f"place({ORIGIN})[1:] in {{place(o)[1:] for o in own}}")],
                        "which came over http"),
    "netlocs": ([(IN_OWN, f"urlsplit({ORIGIN}).netloc in {{urlsplit(o).netloc for o in own}}")],
                "which came over http"),
    "hosts and schemes": ([(IN_OWN, f"place({ORIGIN})[:2] in {{place(o)[:2] for o in own}}")],
                          "another origin on the same host"),
    "Tornado's own check": (
        instead("origin = request.headers.get('Origin')",
                "return origin is None or urlsplit(origin).netloc.lower() == request.headers['Host']"),
        "which came over http",
    ),
    "Host is Origin": (
        [(HOST, ""), (IN_OWN, f"{ORIGIN} in {{*own, f'{{request.protocol}}://{{request.host}}'}}")], BELIEVED,
    ),
    "this Host alone": ([(IN_OWN, f"{ORIGIN} == f'{{request.protocol}}://{{request.host}}'")],
                        "what `own` holds"),
    "the first of them": ([(IN_OWN, f"{ORIGIN} == max(own, key=len)")], "what `own` holds"),
    "null": ([(IN_OWN, f"{ORIGIN} in {{*own, 'null'}}")], "what `null` says of a page"),
    "null is nothing": ([('"Origin" in request.headers', 'request.headers.get("Origin", "null") != "null"'),
                         (SITE, f"{SITE} or 'Origin' in request.headers")], "what `null` says of a page"),
    "no Origin, no question": ([(SITE, "True")], SILENT),
    "no Origin, no entry": ([(SITE, "False")], GET),
    "an Origin, always": ([('    if "Origin" in request.headers:\n    ', "")], "KeyError: 'Origin'"),
    "an Origin, or nothing": (instead("return request.headers.get('Origin') in own"), GET),
    "GET is harmless": ([(HOST, HOST + '    if request.method == "GET" and "Upgrade" not in request.headers:\n'
                                       "        return True\n")], WHOSE),
    "only handshakes": (instead("return 'Upgrade' not in request.headers or request.headers['Origin'] in own"),
                        WHOSE),
    "only POSTs": (instead("return request.method != 'POST' or request.headers.get('Origin') in own"), WHOSE),
    "Referer": (instead("return place(request.headers.get('Referer', '')) in {place(o) for o in own}"), COMMON),
    "Referer in place of Origin": (
        [(SITE, "place(request.headers.get('Referer', '')) in ours")], "a page can tell its browser not to",
    ),
    "Referer, or none": ([(SITE, "place(request.headers.get('Referer', min(own))) in ours")], SILENT),
    "Referer that names it": (
        [(SITE, f"{SITE} or any(o in request.headers.get('Referer', '') for o in own)")], SILENT,
    ),
    "only Sec-Fetch-Site": (
        instead("return request.headers.get('Sec-Fetch-Site', 'none') in ('none', 'same-origin')"), WHOSE,
    ),
    "Sec-Fetch-Site, always": (
        instead("return request.headers.get('Sec-Fetch-Site') in ('none', 'same-origin')"), COMMON,
    ),
    "Sec-Fetch-Site has to agree": (
        [(IN_OWN, IN_OWN + " and request.headers.get('Sec-Fetch-Site', 'same-origin') == 'same-origin'")],
        "what `own` holds",
    ),
    "the same site": ([(SITE, 'site != "cross-site"')], SAME_SITE),
    "the same site, by name": ([(SITE, 'site in ("none", "same-origin", "same-site")')], SAME_SITE),
    "a list without none": ([('"none")\n', '"same-origin")\n'), (SITE, 'site == "same-origin"')],
                            "whether any page has asked for this"),
    "navigations": ([(SITE, f'{SITE} or request.headers.get("Sec-Fetch-Mode") == "navigate"')], SILENT),
    "somebody clicked": ([(SITE, f'{SITE} or "Sec-Fetch-User" in request.headers')], SILENT),
    "pictures": ([(SITE, f'{SITE} or request.headers.get("Sec-Fetch-Dest") == "image"')], SILENT),
    "no programs": ([('"Sec-Fetch-Site", "none"', '"Sec-Fetch-Site"')], NOBODY),
    "programs with a token": (
        [('"none")\n', '"none" if "Authorization" in request.headers else "")\n')], NOBODY,
    ),
    "a cookie": (instead("return 'Cookie' in request.headers"), COMMON),
    "a cookie besides": ([(SITE, f"{SITE} and 'Cookie' in request.headers")], GET),
    "no cookie, no harm": ([(HOST, HOST + "    if 'Cookie' not in request.headers:\n        return True\n")],
                           WHOSE),
    "User-Agent": (instead("return 'Mozilla' in request.headers.get('User-Agent', '')"), WHOSE),
    "curl": ([(HOST, "    if 'Mozilla' not in request.headers['User-Agent']:\n        return True\n" + HOST)],
             "with headers that it wrote itself"),
    "a token of anybody": (
        [(HOST, "    if 'Authorization' in request.headers:\n        return True\n" + HOST)], BELIEVED,
    ),
    "addresses of this machine": (instead("return request.remote_ip in ('127.0.0.1', '::1')"), WHOSE),
    "looks at no Host": ([(HOST, "")], BELIEVED),
    "the Host begins": (
        [(HOST, "    if not request.host_name.startswith(tuple(place(o)[1] for o in own)) "
                "and '[' not in request.host:\n        return False\n")],
        BELIEVED,
    ),
    "the Host ends in it": (
        [(HOST, "    if not any(place(o)[1].split('.')[0] in request.host.lower() for o in own) "
                "and '[' not in request.host:\n        return False\n")],
        BELIEVED,
    ),
    "the Host as it comes": ([("place(f\"{request.protocol}://{request.host}\") not in ours",
                               'f"{request.protocol}://{request.host}" not in own')], WRITTEN),
    "the Host in small letters": ([("place(f\"{request.protocol}://{request.host}\") not in ours",
                                    'f"{request.protocol}://{request.host.lower()}" not in own')], WRITTEN),
    "any 443 is cut out": (
        [(HOST, "    host = request.host.lower().replace(':443', '').replace(':80', '')\n"
                "    if f'{request.protocol}://{host}' not in own:\n        return False\n")],
        "✗ refused ",
    ),
    "cut at the first colon": (
        [(HOST, "    if request.host.lower().split(':')[0] not in {o.split('//')[1].split(':')[0] "
                "for o in own if '[' not in o}:\n        return False\n")],
        "where a host ends and its port begins",
    ),
    "brackets": ([(HOST, "    if request.host_name not in {place(o)[1] for o in own}:\n        return False\n")],
                 "where a host ends and its port begins"),
    "a port is a must": (
        [("parts.port or PORTS.get(parts.scheme)", "int(origin.rpartition(':')[2])")], "ValueError: invalid"),
    "a coroutine": ([("def allowed", "async def allowed")], "returned a coroutine, which counts as True"),
    "words": ([("return False\n", 'return "no"\n')], "it returned 'no', which counts as True"),
    "who came once comes again": (
        [("def allowed", "seen = set()\n\n\ndef allowed"),
         (HOST, HOST + "    if request.remote_ip in seen:\n        return True\n    seen.add(request.remote_ip)\n")],
        WHOSE,
    ),
    "makes friends": (
        [(HOST, HOST + "    if 'Cookie' in request.headers:\n"
                       "        own.add(request.headers.get('Origin', min(own)))\n")],
        PARTS,
    ),
    "another word": ([(ORIGIN, 'request.headers["Orign"]')], "KeyError: 'Orign'"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("13.allowed", made(edited(ALLOWED, *changes), "allowed"), hint, capsys)


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_it_does_whoever_comes(changes, hint):
    source = edited(ALLOWED, *changes)
    for seed in range(5):
        found = [f"✗ {wrong}" for wrong in said(source, seed)]
        assert any(hint in wrong for wrong in found), found
        assert all(len(wrong) < 500 for wrong in found)
