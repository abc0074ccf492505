"""The tasks of notebook 13: strangers stay out, friends come in, and each kind of mistake is named."""

import json
import random

import pytest
from cells import assert_caught, assert_harmless, assert_hinted, assert_says, edited, is_right, made, verdict

from lpws.exercises import n13, visitors
from lpws.exercises.observer import Wrong
from lpws.exercises.visitors import Door, Guard, Origin, alike, near
from lpws.recordings import DATA

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
    "what strangers are": """
        import re

        def allowed(request, own):
            def strip(scheme, host):
                return scheme, re.sub({"http": r":80$", "https": ":443$"}[scheme], "", host.lower())
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
                origin = request.headers.get("Origin")
                if origin is not None:
                    return "," not in origin and "://" in origin and self.key(origin) in own
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
                mine.add((scheme, host, port or default[scheme]))
            host, port = split_host_and_port(request.host.lower())
            if (request.protocol, host, port or default[request.protocol]) not in mine:
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

        parts = lambda url: (
            url[:5], urlsplit(url).hostname, urlsplit(url).port or (443 if url[:5] == "https" else 80)
        )
        allowed = lambda request, own: (
            parts(f"{request.protocol}://{request.host}") in [*map(parts, own)]
            and (request.headers["Origin"] in own if "Origin" in request.headers
                 else request.headers.get("Sec-Fetch-Site") not in {"cross-site", "same-site"})
        )
    """,
    "words in place of truth": """
        from urllib.parse import urlsplit

        def allowed(request, own):
            places = [(parts.scheme, parts.hostname, parts.port or len(parts.scheme))  # 4 or 5 by default
                      for parts in map(urlsplit, [*own, f"{request.protocol}://{request.host}"])]
            port = {4: 80, 5: 443}
            places = [(*head, port.get(last, last)) for *head, last in places]
            known = places.count(places[-1]) > 1
            origin = request.headers.get("Origin")
            if known and origin is not None:
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
                if netloc == host and each.startswith(request.protocol + ":"):
                    headers = dict(request.headers)
                    if "Origin" in headers:
                        return bool({headers["Origin"]} & own)
                    return headers.get("Sec-Fetch-Site", "") in ("", "none", "same-origin")
            return False
    """,
}


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch):
    """Here as in the process that runs a reader's function."""
    monkeypatch.setattr(visitors, "monotonic", lambda: 0.0)


class Here:
    """A program in this process: it has no patience and no clock, and is fast."""

    def __init__(self, source):
        self.guard = Guard(made(source, "allowed"))

    def tell(self, _call, visits):
        try:
            return {"errors": [], "blocked_s": 0.0, "result": self.guard(visits)}
        except Exception as error:
            return {"errors": [f"{type(error).__name__}: {error}"], "blocked_s": 0.0, "result": None}


def said(source, seed, program=Here):
    """What is found wrong by the behaviors of the first stage in which something is."""
    program, draw, found = program(source), random.Random(seed), []
    for stage in n13.TASKS["allowed"].stages:
        for _, behavior in stage:
            try:
                with Door(program, draw) as door:
                    behavior(door)
            except Wrong as wrong:
                found.append(str(wrong))
        if found:
            break
    return found


@pytest.mark.parametrize("name", ["as in the lesson", "a class that is called", "one expression", "errors"])
def test_a_good_function_passes_in_a_process_of_its_own(name, capsys):
    lines = verdict("13.allowed", made(GOOD[name], "allowed"), capsys)
    assert is_right(lines), lines
    assert len(lines) == sum(map(len, n13.TASKS["allowed"].stages))


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_good_functions_agree_whoever_comes(source):
    assert [said(source, seed) for seed in range(3)] == [[], [], []]


@pytest.mark.parametrize("ten", range(6))
def test_the_solution_passes_whoever_comes(ten):
    assert [said(ALLOWED, seed) for seed in range(10 * ten, 10 * ten + 10)] == [[]] * 10


@pytest.mark.parametrize("body", ["...", "# request.protocol, request.host\n    ...", "pass"])
def test_who_has_not_begun_is_told_what_to_do(body, capsys):
    [line] = verdict("13.allowed", made(f"def allowed(request, own):\n    {body}", "allowed"), capsys)
    assert line.startswith("… the function returns nothing yet, so everybody stays out")


IN_OWN = 'request.headers["Origin"] in own'
ORIGIN = 'request.headers["Origin"]'
SITE = 'site in ("none", "same-origin")'
HOST = '    if place(f"{request.protocol}://{request.host}") not in ours:\n        return False\n'
WHOSE, PARTS = "which header says whose page it is", "which parts an origin has"
SILENT, SAME_SITE = "which requests carry no Origin", "who else has pages on the same site"
NOBODY, BELIEVED = "who sends neither Origin nor", "which server the browser believes"
MEANT = "what `request.protocol` and `request.host` have to name"
GET, WRITTEN = "what a browser says about a page's GET", "in how many ways the same host and port"
COMMON = "what handshakes and POSTs from its own page have in common"


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
        [(IN_OWN, f"any(__import__('re').fullmatch(o, {ORIGIN}) for o in own)")],
        "whose name only looks like",
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
    "null": ([(IN_OWN, f"{ORIGIN} in {{*own, 'null'}}")], "what `null` says about pages"),
    "null is nothing": ([('"Origin" in request.headers', 'request.headers.get("Origin", "null") != "null"'),
                         (SITE, f"{SITE} or 'Origin' in request.headers")], "what `null` says about pages"),
    "an empty Origin is none": ([('"Origin" in request.headers', 'request.headers.get("Origin")')],
                                "what an `if` makes of an empty Origin"),
    "any of two Origins": ([(IN_OWN, "any(each in own for each in request.headers.get_list('Origin'))")],
                           "which of the two Origins"),
    "the first of two Origins": ([(IN_OWN, f"{ORIGIN}.split(',')[0] in own")],
                                 "which of the two Origins"),
    "the last of two Origins": ([(IN_OWN, "dict(request.headers.get_all())['Origin'] in own")],
                                "which of the two Origins"),
    "no Origin, no question": ([(SITE, "True")], SILENT),
    "no Origin, no entry": ([(SITE, "False")], GET),
    "an Origin, always": ([('    if "Origin" in request.headers:\n    ', "")], "KeyError: 'Origin'"),
    "an Origin, or nothing": (instead("return request.headers.get('Origin') in own"), GET),
    "GET is harmless": (
        [(HOST, HOST + "    if request.method == 'GET' and 'Upgrade' not in request.headers:\n"
                       "        return True\n")],
        WHOSE,
    ),
    "only handshakes": (instead(f"return 'Upgrade' not in request.headers or {IN_OWN}"), WHOSE),
    "only POSTs": (instead(f"return request.method != 'POST' or {IN_OWN}"), WHOSE),
    "Referer": (instead("known = {place(o) for o in own}",
                        "return place(request.headers.get('Referer', '')) in known"), COMMON),
    "Referer in place of Origin": (
        [(SITE, "place(request.headers.get('Referer', '')) in ours")], "a page can tell its browser not to",
    ),
    "Referer, or none": ([(SITE, "place(request.headers.get('Referer', min(own))) in ours")], SILENT),
    "Referer that names it": (
        [(SITE, f"{SITE} or any(o in request.headers.get('Referer', '') for o in own)")],
        "what the owner of a page can write into its address",
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
                            "whether a page asked for this"),
    "navigations": ([(SITE, f'{SITE} or request.headers.get("Sec-Fetch-Mode") == "navigate"')], SILENT),
    "somebody clicked": ([(SITE, f'{SITE} or "Sec-Fetch-User" in request.headers')], SILENT),
    "pictures": ([(SITE, f'{SITE} or request.headers.get("Sec-Fetch-Dest") == "image"')], SILENT),
    "no programs": ([('"Sec-Fetch-Site", "none"', '"Sec-Fetch-Site"')], NOBODY),
    "programs with a token": (
        [('"none")\n', '"none" if "Authorization" in request.headers else "")\n')], NOBODY,
    ),
    "a cookie without a page": (
        [(SITE, f"{SITE} and ('Sec-Fetch-Site' in request.headers or 'Cookie' not in request.headers)")],
        "nothing but the Host",
    ),
    "programs that name another page": (
        [(SITE, f"{SITE} and place(request.headers.get('Referer', min(own))) in ours")],
        "nothing but the Host",
    ),
    "programs that call themselves Mozilla": (
        [(SITE, f"{SITE} and ('Sec-Fetch-Site' in request.headers or 'Mozilla' not in "
                "request.headers['User-Agent'])")],
        "nothing but the Host",
    ),
    "a cookie": (instead("return 'Cookie' in request.headers"), COMMON),
    "a cookie besides": ([(SITE, f"{SITE} and 'Cookie' in request.headers")], GET),
    "no cookie, no harm": ([(HOST, HOST + "    if 'Cookie' not in request.headers:\n        return True\n")],
                           WHOSE),
    "User-Agent": (instead("return 'Mozilla' in request.headers.get('User-Agent', '')"), WHOSE),
    "curl": ([(HOST, "    if 'Mozilla' not in request.headers['User-Agent']:\n        return True\n" + HOST)],
             "with headers of its own"),
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
    "the name of the Host alone": (
        [(HOST, "    if place(f'//{request.host}')[1] not in {o[1] for o in ours}:\n        return False\n")],
        MEANT,
    ),
    "the Host without its scheme": (
        [(HOST, HOST.replace('") not in ours', '")[1:] not in {o[1:] for o in ours}'))],
        MEANT,
    ),
    "both default ports cut out": (
        [(HOST, "    import re\n    host = re.sub(':(80|443)$', '', request.host.lower())\n"
                "    if f'{request.protocol}://{host}' not in own:\n        return False\n")],
        MEANT,
    ),
    "localhost always": ([(HOST, HOST.replace("if ", "if request.host_name != 'localhost' and "))], MEANT),
    "the Host is part of one": (
        [(HOST, "    host = request.host.lower().removesuffix(':443').removesuffix(':80')\n"
                "    if not any(host in o for o in own):\n        return False\n")],
        MEANT,
    ),
    "the Host only without an Origin": (
        [(HOST, "    if request.headers.get('Origin') in own:\n        return True\n" + HOST)], MEANT,
    ),
    "X-Forwarded-Host": (
        [("{request.host}", "{request.headers.get('X-Forwarded-Host', request.host)}")],
        "who can write that header",
    ),
    "Referer before Sec-Fetch-Site": (
        [(SITE, f"{SITE} or place(request.headers.get('Referer', '')) in ours")], "whose Referer this is",
    ),
    "the Host as it comes": ([("place(f\"{request.protocol}://{request.host}\") not in ours",
                               'f"{request.protocol}://{request.host}" not in own')], WRITTEN),
    "the Host in small letters": ([("place(f\"{request.protocol}://{request.host}\") not in ours",
                                    'f"{request.protocol}://{request.host.lower()}" not in own')], WRITTEN),
    "the Host in capitals is another": (
        [(HOST, "    host = request.host.removesuffix({'http': ':80', 'https': ':443'}[request.protocol])\n"
                "    if f'{request.protocol}://{host}' not in own:\n        return False\n")],
        WRITTEN,
    ),
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
    "brackets": (
        [(HOST, "    if request.host_name not in {place(o)[1] for o in own}:\n        return False\n")],
        "where a host ends and its port begins",
    ),
    "a port is a must": (
        [("parts.port or PORTS.get(parts.scheme)", "int(origin.rpartition(':')[2])")], "ValueError: invalid"),
    "an error, as a handler refuses": (
        [(f"return {IN_OWN}\n", f"if {IN_OWN}:\n            return True\n"
          "        raise __import__('tornado.web').web.HTTPError(403)\n")],
        "it is the handler that then raises",
    ),
    "a coroutine": ([("def allowed", "async def allowed")], "returned a coroutine, which counts as True"),
    "words": ([("return False\n", 'return "no"\n')], "it returned 'no', which counts as True"),
    "who came once comes again": (
        [("def allowed", "seen = set()\n\n\ndef allowed"),
         (HOST, f"{HOST}    if request.remote_ip in seen:\n        return True\n"
                "    seen.add(request.remote_ip)\n")],
        WHOSE,
    ),
    "makes friends": (
        [(HOST, HOST + "    if 'Cookie' in request.headers:\n"
                       "        own.add(request.headers.get('Origin', min(own)))\n")],
        "✗ let in a ",
    ),
    "makes friends for the next time": (
        [("    if \"Origin\" in request.headers:\n        return", '    if "Origin" in request.headers:\n'
          f"        known = {IN_OWN}\n        own.add({ORIGIN})\n        return known\n        return")],
        "✗ let in a ",
    ),
    "another word": ([(ORIGIN, 'request.headers["Orign"]')], "KeyError: 'Orign'"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits_whoever_comes(changes, hint):
    source = edited(ALLOWED, *changes)
    for seed in range(5):
        found = [f"✗ {wrong}" for wrong in said(source, seed)]
        assert any(hint in wrong for wrong in found), found
        assert all(" – think about " in wrong for wrong in found)
        assert all(len(wrong) < 600 for wrong in found)


@pytest.mark.parametrize("name", ["lets everybody in", "nobody", "looks at no Host", "words"])
def test_so_it_does_in_a_process_of_its_own(name, capsys):
    changes, hint = WRONG[name]
    assert_hinted("13.allowed", made(edited(ALLOWED, *changes), "allowed"), hint, capsys)


def test_an_error_names_its_line_and_who_came(capsys):
    changes, hint = WRONG["an Origin, always"]
    source = edited(ALLOWED, *changes)
    line = next(n for n, line in enumerate(source.split("\n"), 1) if ORIGIN in line)
    said = f"raised {hint} in line {line} of the cell, when judging a poll from its own page http://127.0."
    assert_hinted("13.allowed", made(source, "allowed"), said, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "a long sleep": ("__import__('time').sleep(60)", "stopped the whole server for 60 s"),
    "os._exit": ("__import__('os')._exit(0)", "ended its own process"),
    "sys.exit": ("__import__('sys').exit()", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "a coroutine that is never awaited": ("__import__('asyncio').sleep(1)", "was never awaited"),
    "too deep": ("return allowed(request, own)", "raised RecursionError"),
    "another type": ("type(request).host_name = property(lambda self: 1 / 0)", "raised AttributeError"),
}
ODD = {
    "itself": ("return allowed", "which counts as True"),
    "a generator": ("yield", "which counts as True"),
    "no truth": ("return type('Maybe', (), {'__bool__': lambda self: 1 / 0})()", "raised ZeroDivisionError"),
    "a truth that changes": ("return type('Odd', (), {'__bool__': lambda self: id(request) % 3 > 0})()", "✗"),
    "other headers": ("request.headers['Origin'] = min(own)", "let in"),
    "no own": ("own.clear()", "refused"),
    "it looks who calls": ("return __import__('sys')._getframe(1).f_locals.get('friend', True)", "let in"),
}
HARMLESS = {
    "much output": "allowed.__dict__ or allowed.__dict__.update(said=print('x' * 1_000_000))",
    "a little each time": "print(request)",
    "a thread that does not end": (
        "allowed.__dict__ or allowed.__dict__.update(said=__import__('threading').Thread("
        "target=__import__('threading').Event().wait).start())"
    ),
    "a process that does not end": (
        "allowed.__dict__ or allowed.__dict__.update(said=__import__('subprocess').Popen(['sleep', '30']))"
    ),
    "other names": "__import__('pickle').dumps = __import__('os')._exit = None",
}


def first(what):
    """Source of a good function that does something else first."""
    return edited(ALLOWED, ("    ours = ", f"    {what}\n    ours = "))


def doing(what):
    return made(first(what), "allowed")


@pytest.mark.parametrize(("what", "hint"), ODD.values(), ids=ODD)
def test_an_odd_function_is_found_wrong(what, hint):
    found = [f"✗ {wrong}" for wrong in said(first(what), 0)]
    assert any(hint in wrong for wrong in found), found


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_function_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("13.allowed", doing(what), hint, made(ALLOWED, "allowed"), capsys)


@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
def test_what_a_function_does_besides_does_no_harm(what, capsys):
    assert_harmless("13.allowed", doing(what), made(ALLOWED, "allowed"), capsys)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (..., "… put your answer in"), (None, "✗ expected a function of (request, own), got None"),
        (3, "✗ expected a function"), (True, "✗ expected a function"), ("http://127.0.0.1", "✗ expected a"),
        (lambda request: True, "✗ is called with (request, own), and that does not fit"),
    ],
)  # fmt: skip
def test_what_is_no_function_of_both_is_said_so(thing, said, capsys):
    assert verdict("13.allowed", thing, capsys)[0].startswith(said)


def test_all_are_judged_in_few_orders():
    """An order may take two seconds, and the whole verdict fifty; a decision takes much less."""
    told = []

    class Counting(Here):
        def tell(self, call, visits):
            told.append(len(visits))
            return super().tell(call, visits)

    assert said(ALLOWED, 0, Counting) == []
    assert len(told) < 150
    assert sum(told) < 2000


# ------------------------------------------------------------------------------- what browsers say


@pytest.mark.parametrize("seed", range(20))
def test_no_stranger_has_an_origin_of_the_server_s(seed):
    door = Door(None, random.Random(seed))
    for own in door.servers():
        for page, _ in [*near(own), *alike(own, door.name())]:
            assert page != own
            assert str(page) != str(own)


@pytest.mark.parametrize(
    ("origin", "text", "site", "trusted"),
    [
        (Origin("https", "chat.tea.example", 443), "https://chat.tea.example", "tea.example", True),
        (Origin("https", "tea.example", 80), "https://tea.example:80", "tea.example", True),
        (Origin("http", "tea.example", 80), "http://tea.example", "tea.example", False),
        (Origin("http", "127.0.0.1", 8001), "http://127.0.0.1:8001", "127.0.0.1", True),
        (Origin("http", "[::1]", 443), "http://[::1]:443", "[::1]", True),
        (Origin("http", "127.0.0.1.tea.example", 8001), "http://127.0.0.1.tea.example:8001", "tea.example",
         False),
    ],
)  # fmt: skip
def test_an_origin_is_written_as_browsers_do(origin, text, site, trusted):
    assert (str(origin), origin.site, origin.trusted) == (text, (origin.scheme, site), trusted)


PAGES = {
    "own": Origin("http", "127.0.0.1", 8001), "port": Origin("http", "127.0.0.1", 8002),
    "site": Origin("http", "localhost", 8002), "sandbox": None,
    "rebound": Origin("http", "evil.example", 8001), "sibling": Origin("http", "blog.tea.example", 8002),
}  # fmt: skip
KNOCKS = {
    "WebSocket": "socket", "EventSource": "stream", "fetch": "poll", "fetch no-cors": "no-cors",
    "fetch POST": "post", "image": "image", "frame": "frame", "link": "link", "form POST": "form",
}  # fmt: skip
SAME = "Host", "Origin", "Upgrade", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"


def drawn(page, kind, browser):
    """Method, the headers that tell who asks, and whether a cookie comes, as the check draws them."""
    door = Door(None, random.Random(0))
    door.begin(PAGES["own"]._replace(host="chat.tea.example" if page == "sibling" else "127.0.0.1"))
    if kind == "address":
        door.address(browser, "")
    else:
        here = PAGES["rebound"] if page == "rebound" else None
        door.page(KNOCKS[kind], PAGES[page], "", browser=browser, here=here)
    [(_, _, _, (_, _, _, method, _, says))] = door.visits
    says = {name.title(): value for name, value in says.items()}
    return method, {name: says[name] for name in SAME if name in says}, "Cookie" in says


_FILE = DATA / "strangers.json"
RECORDED = json.loads(_FILE.read_text(encoding="utf-8"))


ASKED = [(page, kind) for page in PAGES for kind in RECORDED["requests"][page]]


@pytest.mark.parametrize(("page", "kind"), ASKED)
def test_what_chromium_says_is_what_a_real_one_said(page, kind):
    real = RECORDED["requests"][page][kind]
    method, headers, cookie = drawn(page, kind, "Chromium")
    assert method == real["method"]
    assert cookie == ("lax=1" in real["headers"].get("Cookie", ""))
    assert headers == {name: real["headers"][name] for name in SAME if name in real["headers"]}


@pytest.mark.parametrize("page", PAGES)
def test_what_firefox_says_of_a_handshake_is_what_its_own_test_says(page):
    """It is what it says of any other request, in the words of RECORDED["firefox"]["source"]."""
    said = RECORDED["firefox"]["WebSocket"]
    _, headers, _ = drawn(page, "WebSocket", "Firefox")
    trusted = page not in ("rebound", "sibling")
    for name in ("Sec-Fetch-Mode", "Sec-Fetch-Dest"):
        assert headers.get(name) == (said[name] if trusted else None)
    assert headers.get("Sec-Fetch-Site") == drawn(page, "image", "Firefox")[1].get("Sec-Fetch-Site")


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("site", 4, "✓"), ("site", 1, "✗ not 1: what is a site?"), ("site", 2, "✗ not 2: no script"),
        ("site", 3, "✗ not 3: what does CORS"), ("site", "4", "✗ expected a number"),
        ("site", ..., "… put"), ("suffix", 3, "✓"), ("suffix", 1, "✗ not 1: how does this"),
        ("suffix", 2, "✗ not 2: whose page"),
        ("suffix", 4, "✗ not 4: how does"), ("suffix", 5, "✗ not 5"), ("suffix", None, "✗ expected a number"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"13.{task}", answer, said, capsys)
