"""Real programs beside the kernel: found, started, used, interrupted and killed, with nothing left behind."""

import contextlib
import gc
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from leaks import nothing_left_behind
from wire import until

import lpws
from lpws import services
from lpws.services import keeper, programs, service
from lpws.services.proxy import configuration

MOMENTS, SEED = int(os.environ.get("LPWS_MOMENTS", 5)), os.environ["LPWS_SEED"]
#: As long as it may take [s] until nothing is left of a kernel that was killed.
GONE_S = 2.0
SYSTEM = os.pathsep.join(["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"])

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks at processes as POSIX shows them")
LINUX = os.path.isdir("/proc/self")
linux = pytest.mark.skipif(not LINUX, reason="asks Linux")


# ------------------------------------------------------------------------------- the builds


def build(name):
    """Path of one build of a program; a test of one that is not there fails in CI."""
    if name == "debian":
        found = shutil.which("nginx", path=SYSTEM)
    elif name == "wheel":
        found = programs._in_wheel()
    else:
        found = services.find("nats")
    if not found and not os.environ.get("CI"):
        pytest.skip(f"this machine has no {name}")
    assert found, f"CI must have {name}"
    return found


@pytest.fixture(params=["debian", "wheel"])
def nginx(request, monkeypatch, tmp_path):
    """The laboratory's nginx, with each build."""
    monkeypatch.setenv("LPWS_NGINX", build(request.param))
    monkeypatch.setenv("LPWS_MARK", str(tmp_path))
    return lpws.nginx


#: What starts each service, as a program of a cell would.
STARTS = {
    "debian": "lpws.nginx(lpws.Proxy(lpws.Proxy.OPEN), [9])",
    "wheel": "lpws.nginx(lpws.Proxy(lpws.Proxy.OPEN), [9])",
    "nats": "lpws.nats()",
    "stream": "lpws.nats(stream=True)",
}


@pytest.fixture(params=STARTS)
def start(request, monkeypatch, tmp_path):
    """A function that makes each service; its folder will be in `tmp_path`."""
    if request.param in ("debian", "wheel"):
        monkeypatch.setenv("LPWS_NGINX", build(request.param))
    else:
        build("nats")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("LPWS_MARK", str(tmp_path))
    make = eval(f"lambda: {STARTS[request.param]}", {"lpws": lpws})
    make.text = STARTS[request.param]
    return make


def marked(mark):
    """The processes, but this one, that have inherited the mark: number → command."""
    found = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            variables = Path("/proc", number, "environ").read_bytes()
            if f"LPWS_MARK={mark}".encode() in variables.split(b"\0") and int(number) != os.getpid():
                found[number] = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def left(folder):
    """Processes and folders of a service that are left."""
    return [*(marked(folder).values() if LINUX else []), *map(str, folder.iterdir())]


def sockets_of(numbers):
    """Local addresses of the sockets of processes, as Linux lists them: protocol, address."""
    inodes, found = set(), set()
    for number in numbers:
        with contextlib.suppress(OSError):
            for descriptor in Path("/proc", number, "fd").iterdir():
                inodes |= set(re.findall(r"^socket:\[(\d+)\]$", os.readlink(descriptor)))
    for protocol in ("tcp", "tcp6", "udp", "udp6") if inodes else ():
        for line in Path("/proc/net", protocol).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.add((protocol, fields[1]))
    return found


def listening(ports):
    """Those of the ports at which a process that has inherited the mark is."""
    if LINUX:
        # Who connected to find out would be counted by another test's server, if that has the port by now.
        taken = sockets_of(marked(os.environ["LPWS_MARK"]))
        return [port for port in ports if ("tcp", f"0100007F:{port:04X}") in taken]
    found = []
    for port in ports:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            found.append(port)
    return found


def closed(port):
    """Whether none of ours is at the port."""
    return listening([port]) == []


def all_gone(folder, ports=()):
    """Wait, as long as it may take, until no process, folder or port is left."""
    end = time.monotonic() + GONE_S
    while found := [*left(folder), *listening(ports)]:
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    assert found == []


# ------------------------------------------------------------------------------ being found


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine on which nothing is installed."""
    for name in ("LPWS_NGINX", "LPWS_NATS"):
        monkeypatch.delenv(name, raising=False)
    real = shutil.which
    monkeypatch.setattr(programs, "FOLDERS", (None, str(tmp_path / "sbin"), str(tmp_path / "scripts")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "_in_wheel", lambda: real("nginx", path=str(tmp_path / "wheel")))
    return tmp_path


def executable(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_nginx_is_looked_for_in_this_order(bare, monkeypatch):
    assert services.find("nginx") is None
    for folder in ("wheel", "scripts", "sbin", "bin"):
        path = executable(bare / folder / "nginx")
        assert services.find("nginx") == path
    monkeypatch.setenv("LPWS_NGINX", executable(bare / "mine"))
    assert services.find("nginx") == str(bare / "mine")
    monkeypatch.setenv("LPWS_NGINX", "")
    assert services.find("nginx") is None


def test_nats_is_looked_for_in_this_order(bare):
    assert services.find("nats") is None
    for folder in ("scripts", "sbin", "bin"):
        path = executable(bare / folder / "nats-server")
        assert services.find("nats") == path


def test_a_file_that_is_no_program_is_passed_over(bare):
    path = Path(executable(bare / "bin" / "nginx"))
    path.chmod(0o644)
    assert services.find("nginx") is None


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: lpws.nginx(lpws.Proxy(""), [9]), "nginx"),
        (lambda: lpws.nats(), "nats-server"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(bare, call, name):
    with pytest.raises(services.Missing) as caught:
        call()
    assert str(caught.value).startswith(f"expected {name} on this machine, found none: `python3 run.py wild`")


def test_an_unknown_service():
    with pytest.raises(ValueError, match="expected nginx or nats, got 'caddy'"):
        services.find("caddy")


def test_the_folders_are_those_of_systems_and_environments():
    assert {None, "/usr/sbin", "/usr/local/sbin"} < set(programs.FOLDERS)
    assert str(Path(sys.prefix, "bin")) in programs.FOLDERS


def test_versions(nginx):
    path = os.environ["LPWS_NGINX"]
    assert re.fullmatch(r"1\.\d+\.\d+", services.version(path))
    with nginx(lpws.Proxy(""), [9]) as front:
        assert front.version == services.version(path)


def test_the_builds_are_not_the_same_version():
    """Else nothing would be said on both of nginx's defaults."""
    debian, wheel = (services.version(build(name)) for name in ("debian", "wheel"))
    numbers = [tuple(map(int, each.split("."))) for each in (debian, "1.29.7", wheel)]
    if os.environ.get("CI"):
        assert numbers == sorted(numbers)


# ------------------------------------------------------------------------- nginx as a proxy


class Mirror(BaseHTTPRequestHandler):
    """Answers with what it was asked: version, headers, and from which port."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = {"version": self.request_version, "from": self.client_address[1], "path": self.path}
        body = json.dumps(asked | {name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror():
    """The port of a server that says how it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def through(front, headers=None, path="/x"):
    """Status and answer of one request, on a connection of its own."""
    connection = HTTPConnection(front.host, front.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


UPGRADE = {"Connection": "Upgrade", "Upgrade": "tea"}


@pytest.mark.parametrize(
    ("proxy", "version", "connection", "upgrade"),
    [
        (lpws.Proxy(""), "HTTP/1.0", "close", None),
        (lpws.Proxy(lpws.Proxy.AS_MOST_MET), "HTTP/1.0", "close", None),
        (lpws.Proxy(lpws.Proxy.OPEN), "HTTP/1.1", "Upgrade", "tea"),
        # Each line alone, so that what is not said differs.
        (lpws.Proxy("proxy_http_version 1.1;"), "HTTP/1.1", "close", None),
        (lpws.Proxy("proxy_set_header Upgrade $http_upgrade;"), "HTTP/1.0", "close", "tea"),
        (lpws.Proxy("proxy_set_header Connection keep-alive;"), "HTTP/1.0", "keep-alive", None),
        (lpws.Proxy("", http="proxy_http_version 1.1;"), "HTTP/1.1", "close", None),
        (lpws.Proxy("", http="proxy_set_header Upgrade $http_upgrade;"), "HTTP/1.0", "close", "tea"),
        (lpws.Proxy("", http=lpws.Proxy.OPEN), "HTTP/1.1", "Upgrade", "tea"),
        # What the location sets stands for all that is set around it.
        (lpws.Proxy("proxy_set_header X 1;", http=lpws.Proxy.OPEN), "HTTP/1.1", "close", None),
        (lpws.Proxy("'proxy_set_header' \"CONNECTION\" a;"), "HTTP/1.0", "a", None),
        (lpws.Proxy("# proxy_set_header Connection a;"), "HTTP/1.0", "close", None),
    ],
    ids=repr,
)
def test_every_version_does_the_same(nginx, mirror, proxy, version, connection, upgrade):
    with nginx(proxy, [mirror]) as front:
        status, body = through(front, UPGRADE)
        asked = json.loads(body)
        assert (status, asked["version"], asked.get("connection"), asked.get("upgrade")) == (
            *(200, version, connection, upgrade),
        )
        assert front.log() == ""
        assert front.access_log() == "200 GET /x HTTP/1.1\n"


def over_http2(front, *paths):
    """Status and answer of requests that are all sent before the first answer is read, and the settings."""
    config = h2.config.H2Configuration(header_encoding="utf-8")
    client, found = h2.connection.H2Connection(config), {}
    with socket.create_connection((front.host, front.port), 10) as connection:
        client.initiate_connection()
        for number, path in enumerate(paths):
            fields = {":method": "GET", ":scheme": "http", ":authority": "servers", ":path": path}
            client.send_headers(1 + 2 * number, fields.items(), end_stream=True)
            found[1 + 2 * number] = [0, b""]
        ended = 0
        while ended < len(paths):
            connection.sendall(client.data_to_send())
            piece = connection.recv(65_536)
            assert piece, "the proxy closed the connection"
            for event in client.receive_data(piece):
                match event:
                    case h2.events.ResponseReceived():
                        found[event.stream_id][0] = int(dict(event.headers)[":status"])
                    case h2.events.DataReceived():
                        found[event.stream_id][1] += event.data
                    case h2.events.StreamEnded():
                        ended += 1
    return found, dict(client.remote_settings)


def test_every_version_speaks_http2(nginx, mirror):
    """1.22 by a parameter of `listen`, 1.31 by a directive: the same settings, and one connection for all."""
    with nginx(lpws.Proxy(lpws.Proxy.OPEN, http2=True), [mirror]) as front:
        found, settings = over_http2(front, "/a", "/b", "/c")
        assert front.log() == ""
        assert sorted(front.access_log().splitlines()) == [f"200 GET /{each} HTTP/2.0" for each in "abc"]
    asked = [json.loads(body) for _, body in found.values()]
    assert [status for status, _ in found.values()] == [200] * 3
    assert [(each["path"], each["version"]) for each in asked] == [(f"/{it}", "HTTP/1.1") for it in "abc"]
    assert all("connection" not in each and "upgrade" not in each for each in asked)
    assert settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] == 128
    assert settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 0


def test_without_http2_it_is_not_spoken(nginx, mirror):
    with (
        nginx(lpws.Proxy(lpws.Proxy.OPEN), [mirror]) as front,
        socket.create_connection((front.host, front.port), 10) as connection,
    ):
        connection.sendall(services.proxy.READY_2.encode())
        assert connection.recv(12).startswith(b"HTTP/1.1 40")


@pytest.mark.parametrize(("location", "connections"), [(lpws.Proxy.OPEN, 1), (lpws.Proxy.AS_MOST_MET, 5)])
def test_connections_to_the_server_are_kept_where_nobody_asks_to_close_them(
    nginx, mirror, location, connections
):
    keep = {"Connection": "keep-alive"}
    with nginx(lpws.Proxy(location), [mirror]) as front:
        asked = [json.loads(through(front, keep)[1]) for _ in range(5)]
    assert len({each["from"] for each in asked}) == connections


def test_several_servers_take_turns_and_none_is_shunned(nginx, mirror):
    """Two names of one server, and one that is down: each request finds a server that is up."""
    with socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        ports = [mirror, down.getsockname()[1]]
        with nginx(lpws.Proxy(""), ports) as front:
            assert [through(front)[0] for _ in range(6)] == [200] * 6
            assert front.log().count("connect() failed") == 3  # asked again each time: max_fails=0


def test_what_goes_wrong_stands_in_the_log(nginx):
    with socket.socket() as down:
        down.bind(("127.0.0.1", 0))
        with nginx(lpws.Proxy(""), [down.getsockname()[1]]) as front:
            assert through(front)[0] == 502
            now = front.log()
            assert "connect() failed (111: Connection refused) while connecting to upstream" in now
    assert front.log() == now  # what it was in the end
    assert front.access_log() == "502 GET /x HTTP/1.1\n"


def test_a_proxy_that_is_full(nginx, mirror):
    with nginx(lpws.Proxy("", connections=4), [mirror]) as front, contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(socket.create_connection((front.host, front.port)))
        until(lambda: "4 worker_connections are not enough" in front.log())
    assert closed(front.port)


def test_what_comes_in_pieces_is_in_the_log_as_soon_as_it_is_answered(nginx, mirror):
    with nginx(lpws.Proxy(""), [mirror]) as front:
        for number in range(1, 30):
            through(front)
            assert front.access_log().count("\n") == number


# --------------------------------------------------------------------- a wrong configuration


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        (
            lpws.Proxy("proxy_bufering off;"),
            'nginx refuses location, line 1 "proxy_bufering off;": unknown directive "proxy_bufering"',
        ),
        (
            lpws.Proxy("# one\n\n  proxy_buffering of;\n"),
            'nginx refuses location, line 3 "proxy_buffering of;": invalid value "of" in "proxy_buffering"'
            ' directive, it must be "on" or "off"',
        ),
        (
            lpws.Proxy("", http="gzip on;\ngzip_types;"),
            'nginx refuses http, line 2 "gzip_types;": invalid number of arguments in "gzip_types" directive',
        ),
        (
            lpws.Proxy("gzip on;", http="\n\nlisten 80;\n"),
            'nginx refuses http, line 3 "listen 80;": "listen" directive is not allowed here',
        ),
        (
            lpws.Proxy("proxy_pass http://x;"),
            'nginx refuses location, line 1 "proxy_pass http://x;": "proxy_pass" directive is duplicate',
        ),
        (
            lpws.Proxy("gzip on;", upstream="\nleast_con;"),
            'nginx refuses upstream, line 2 "least_con;": unknown directive "least_con"',
        ),
        (
            lpws.Proxy("gzip on;\nset $a $b;"),
            'nginx refuses this configuration: unknown "b" variable',
        ),
        (
            lpws.Proxy("'gzip'on;"),
            'nginx refuses location, line 1 "\'gzip\'on;": unexpected "o"',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_configuration_is_refused_in_nginxs_words_at_the_readers_line(nginx, proxy, says, tmp_path):
    with pytest.raises(ValueError, match="^nginx refuses") as caught, nginx(proxy, [9]):
        pass
    assert str(caught.value) == says


@pytest.mark.parametrize(
    "proxy",
    [
        lpws.Proxy(""), lpws.Proxy(lpws.Proxy.OPEN, http="a;\n\nb;"), lpws.Proxy("\n\n"),
        lpws.Proxy("c;", http="a;\n\nb;", upstream="d;\n\n\ne;"),
    ],
    ids=repr,
)
def test_lines_are_found_again(proxy):
    text, lines = configuration(proxy, (9,), "1.22.1")
    for name, (first, own) in lines.items():
        assert "\n".join(own) == getattr(proxy, name)
        assert text.split("\n")[first - 1 : first - 1 + len(own)] == own


@pytest.mark.parametrize("upstream", ["keepalive 64;", "least_conn;\nkeepalive 4;\nkeepalive_requests 9;"])
def test_the_reader_says_how_many_connections_to_servers_are_kept(nginx, upstream):
    with lpws.nginx(lpws.Proxy("", upstream=upstream), [9]) as front:
        assert front.port
    text, _lines = configuration(lpws.Proxy("", upstream=upstream), (9,), "1.22.1")
    for name in ("keepalive ", "keepalive_requests "):
        assert text.count(name) == 1


@pytest.mark.parametrize("ports", [[], [0], [65536], ["8888"], [True], [9, None]])
def test_ports_that_are_none(ports):
    with pytest.raises(ValueError, match="expected the ports of one server or more, got "):
        lpws.nginx(lpws.Proxy(""), ports)


def test_a_proxy_that_is_none():
    with pytest.raises(TypeError, match="expected a Proxy, got 'gzip on;'"):
        lpws.nginx("gzip on;", [9])


# ---------------------------------------------------------------------------- NATS as a broker


def talk(broker, *lines, until_heard=b"PONG"):
    """All that NATS says to a client that says these lines."""
    with socket.create_connection((broker.host, broker.port), 10) as client:
        client.sendall("".join(f"{line}\r\n" for line in [*lines, "PING"]).encode())
        heard = b""
        while until_heard not in heard:
            heard += client.recv(4096)
    return heard.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_a_broker_hands_messages_on(stream):
    build("nats")
    with lpws.nats(stream=stream) as broker:
        assert broker.url == f"nats://127.0.0.1:{broker.port}"
        lines = 'CONNECT {"verbose":false}', "SUB tea 1", "PUB tea 5", "ready"
        heard = talk(broker, *lines)
        assert "MSG tea 1 5\r\nready\r\n" in heard
        facts = json.loads(re.search(r"INFO ({.*})", heard)[1])
        assert facts["version"] == broker.version
        assert facts.get("jetstream", False) is stream
        assert "Server is ready" in broker.log()


def test_a_broker_comes_in_the_place_of_another():
    build("nats")
    with lpws.nats() as first:
        url = first.url
    with lpws.nats(port=first.port) as second:
        assert second.url == url
        assert "PONG" in talk(second)


# --------------------------------------------------------------------------- only 127.0.0.1


@linux
def test_it_listens_on_127_0_0_1_alone(start, tmp_path):
    with start() as running:
        numbers = marked(tmp_path)
        assert str(running.pid) in numbers
        assert sockets_of(numbers) == {("tcp", f"0100007F:{running.port:04X}")}


def test_nothing_is_written_but_in_its_folder(start, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    with start() as running:
        [folder] = [each for each in tmp_path.iterdir() if each != home]
        files = ["nginx.pid", "access.log"] if hasattr(running, "proxy") else ["*.ports"]
        assert all(list(folder.glob(name)) for name in ["log", *files])
    assert list(tmp_path.iterdir()) == [home]
    assert list(home.iterdir()) == []


# ------------------------------------------------------------------------ started and ended


@pytest.fixture
def by_itself(monkeypatch):
    """Fails if a keeper does not end by itself, and is killed; that would take seconds each time."""
    killed, kill = [], os.killpg
    monkeypatch.setattr(service.os, "killpg", lambda *each: killed.append(each) or kill(*each))
    yield
    assert killed == []


def test_a_hundred_times(start, tmp_path, nothing_left, by_itself):
    """In all; in the soak, a thousand. One of them is used again, as by a cell that runs twice."""
    ports = []
    one = start()
    for number in range(5 * MOMENTS):
        with one if number % 2 else start() as running:
            ports.append(running.port)
        assert running.lasted
        assert (list(tmp_path.iterdir()), closed(running.port)) == ([], True)  # at once
    all_gone(tmp_path, ports)


def test_thirty_at_once(start, tmp_path, nothing_left):
    with contextlib.ExitStack() as stack:
        running = []
        threads = [
            threading.Thread(target=lambda: running.append(stack.enter_context(start()))) for _ in range(30)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The threads that started them have ended, and they have not.
        assert len({each.port for each in running}) == 30
        assert not any(closed(each.port) for each in running)
    all_gone(tmp_path, [each.port for each in running])


def test_one_that_is_forgotten_ends(start, tmp_path):
    running = start().__enter__()
    port = running.port
    del running
    gc.collect()
    all_gone(tmp_path, [port])


def test_before_it_is_started(start):
    waiting = start()
    assert repr(waiting).endswith(", not started>")
    with pytest.raises(RuntimeError, match="expected a (Nginx|Nats) that was started: use `with`"):
        waiting.log()
    with waiting as running:
        assert repr(running).endswith(f" {running.version}, at 127.0.0.1:{running.port}>")


@pytest.mark.parametrize(
    ("program", "says"),
    [("exit 3", "it said nothing"), ("echo no tea; exit 3", "no tea"), ("echo no; echo tea", "tea")],
)
def test_a_program_that_does_not_start(tmp_path, monkeypatch, program, says, nothing_left):
    path = Path(executable(tmp_path / "false-nginx"))
    path.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    for variable in ("LPWS_NGINX", "LPWS_NATS"):
        monkeypatch.setenv(variable, str(path))
    for make in (lpws.nats, lambda: lpws.nginx(lpws.Proxy(""), [9])):
        with pytest.raises(RuntimeError, match=rf"^{path} did not start: {says}$"), make():
            pass


def test_a_program_that_cannot_be_run(tmp_path, monkeypatch, nothing_left):
    path = Path(executable(tmp_path / "nats"))
    path.write_text("#!/no/such/shell\n", encoding="utf-8")
    monkeypatch.setenv("LPWS_NATS", str(path))
    with pytest.raises(RuntimeError, match=rf"^{path} cannot be run: "):
        lpws.nats()


def test_a_program_that_never_answers_is_given_up(tmp_path, monkeypatch, nothing_left):
    path = Path(executable(tmp_path / "nats"))
    path.write_text("#!/bin/sh\n[ $1 = -v ] || exec sleep 1000\n", encoding="utf-8")
    monkeypatch.setattr(keeper, "START_S", 0.1)
    told = []
    monkeypatch.setattr(keeper, "say", told.append)
    orders = {"command": [str(path), "x"], "ask": "", "answer": "x", "kernel": os.getppid()}
    keeper.keep(orders | {"kernel": os.getppid()}, threading.Event())
    assert told == [{"failed": ""}]


def test_a_port_that_is_taken_at_the_last_moment(nginx, monkeypatch, tmp_path):
    """Two programs have the port that was found free, and are asked nothing; the third one is free."""
    real, given, told = socket.create_server, [], []
    ended = threading.Event()

    def create_server(address):
        free = real(address)
        if len(given) < 2:
            given.append(free)
            free.listen()
            return contextlib.closing(socket.socket(fileno=os.dup(free.fileno())))
        return free

    def say(news):
        told.append(news)
        ended.set()

    monkeypatch.setattr(keeper.socket, "create_server", create_server)
    monkeypatch.setattr(keeper, "say", say)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    orders = nginx(lpws.Proxy(""), [9])._orders | {"kernel": os.getppid()}
    keeper.keep(orders, ended)
    taken = [each.getsockname()[1] for each in given]
    for each in given:
        each.setblocking(False)
        with each, pytest.raises(BlockingIOError):
            each.accept()
    [news] = told
    assert news["port"] not in taken
    assert len(taken) == 2


def test_another_nginx_of_the_laboratory_is_not_taken_for_ones_own(nginx, tmp_path):
    """It may have got the port in that moment."""
    with nginx(lpws.Proxy(""), [9]) as other:
        own = keeper.filled(other._orders["answer"], tmp_path)
        assert keeper.answering(other._orders | {"answer": "HTTP/1.1 200 OK"}, other.port) == other.port
        assert keeper.answering(other._orders | {"answer": own}, other.port) == 0


# ------------------------------------------------------------------------------ interrupted


@pytest.fixture
def interruptible():
    """The handler that a kernel has; a shell that starts Python in the background takes it away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def use_interrupted(start, after_s, ports):
    """Whether an interrupt came while the service was started, used or ended."""
    timer = threading.Timer(after_s, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    try:
        try:
            timer.start()
            with start() as running:
                ports.append(running.port)
                running.log()
        finally:
            timer.join()
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # it connected when it was interrupted
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment(start, tmp_path, interruptible):
    draw = random.Random(f"{SEED} {start.text}")
    began = time.perf_counter()
    with start() as running:
        running.log()
    whole_s = time.perf_counter() - began
    ports = []
    for _ in range(MOMENTS):
        with nothing_left_behind():
            assert use_interrupted(start, draw.uniform(0, whole_s), ports)
            gc.collect()
            all_gone(tmp_path, ports)
            # The wait for its thread was interrupted, too.
            until(lambda: not any(thread.name == "lpws service" for thread in threading.enumerate()))
        with nothing_left_behind(), start() as running:
            assert not closed(running.port)


@linux
def test_an_interrupt_before_it_answers(tmp_path, monkeypatch, interruptible, by_itself):
    """It need not wait until a program that never answers is given up."""
    path = Path(executable(tmp_path / "nats"))
    path.write_text("#!/bin/sh\n[ $1 = -v ] || exec sleep 1000\n", encoding="utf-8")
    monkeypatch.setenv("LPWS_NATS", str(path))
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("LPWS_MARK", str(folder))
    broker = lpws.nats()

    def interrupt():
        until(lambda: any("sleep" in command for command in marked(folder).values()))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with nothing_left_behind():
        thread.start()
        with pytest.raises(KeyboardInterrupt), broker:
            pytest.fail("it has answered")
        thread.join()
    assert "it was ended before it answered" in str(broker._keeper.started.exception())
    assert left(folder) == []


def test_an_interrupt_before_its_thread_runs(start, tmp_path, monkeypatch, interruptible):
    """It is never begun."""
    ends, begun = threading.Event(), service.Keeper._bootstrap_inner

    def late(keeper):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        ends.wait(1)  # at most: the signal may come when the main thread is about to wait, and wake it later
        begun(keeper)

    monkeypatch.setattr(service.Keeper, "_bootstrap_inner", late)
    before = threading.active_count()
    with nothing_left_behind():
        with pytest.raises(KeyboardInterrupt), start():
            pytest.fail("it was started")
        ends.set()
        until(lambda: threading.active_count() == before)
        assert left(tmp_path) == []


def test_an_interrupt_of_the_kernels_group_does_not_reach_it(start, tmp_path):
    """As a terminal sends it; JupyterLab, too, interrupts all that is in the kernel's group."""
    code = f"""
import os, signal, sys, lpws
with {start.text} as running:
    try:
        print(running.port, flush=True)
        sys.stdin.readline()
    except KeyboardInterrupt:
        print(running.log() is not None, flush=True)
    sys.stdin.readline()
"""
    with kernel(code) as process:
        port = int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "True\n"
        assert not closed(port)
        process.stdin.close()
        assert process.wait() == 0
    assert left(tmp_path) == []
    assert closed(port)


# ----------------------------------------------------------------------------------- killed


@contextlib.contextmanager
def kernel(code):
    """A process in a session of its own that runs the code."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip
    try:
        with process.stdout:
            yield process
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()


@linux
def test_the_kernel_is_killed_at_any_moment(start, tmp_path):
    """Two moments each, ten and more in all; the soak draws more."""
    loaded = "import lpws, time\nlpws.nginx, lpws.nats\nprint('now', flush=True)\n"
    code = f"{loaded}with {start.text}: time.sleep(60)"
    draw = random.Random(f"{SEED} {start.text}")
    for _ in range(max(2, MOMENTS // 5)):
        with kernel(code) as process:
            assert process.stdout.readline() == "now\n"
            time.sleep(draw.uniform(0, 0.15))
            os.killpg(process.pid, signal.SIGKILL)  # all that JupyterLab can reach
            process.wait()
            all_gone(tmp_path)


@linux
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_the_kernel_is_killed_while_it_is_used(start, tmp_path, by):
    code = f"import lpws, time\nwith {start.text} as running: print(running.port, flush=True); time.sleep(60)"
    with kernel(code) as process:
        port = int(process.stdout.readline())
        assert len(left(tmp_path)) == 4  # kernel, keeper, program, folder
        process.send_signal(by)
        process.wait()
        all_gone(tmp_path, [port])


@linux
def test_a_child_of_the_kernel_that_lives_on_does_not_keep_it(start, tmp_path):
    """It was forked, and holds all that its parent held: the keeper's pipe, too."""
    code = f"""
import os, time, lpws
with {start.text} as running:
    if os.fork():
        print(running.port, flush=True)
    else:
        del os.environ["LPWS_MARK"]
        os.closerange(1, 3)
    time.sleep(60)
"""
    with kernel(code) as process:
        port = int(process.stdout.readline())
        process.kill()
        process.wait()
        end = time.monotonic() + GONE_S
        while time.monotonic() < end and (not closed(port) or list(tmp_path.iterdir())):
            time.sleep(0.01)
        assert closed(port)
        assert list(tmp_path.iterdir()) == []
        os.killpg(process.pid, signal.SIGKILL)


def test_a_child_of_the_kernel_that_lives_on_does_not_delay_its_end(start, tmp_path):
    code = f"""
import os, signal, time, lpws
from lpws.services import service
service.os.killpg = lambda *each: print("the keeper was killed", flush=True)
with {start.text} as running:
    child = os.fork()
    if not child:
        del os.environ["LPWS_MARK"]
        os.closerange(1, 3)
        time.sleep(60)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""
    with kernel(code) as process:
        assert process.stdout.read() == ""
        assert process.wait() == 0
    assert left(tmp_path) == []


def test_a_child_of_the_kernel_that_ends_does_not_end_it(start, tmp_path):
    code = f"""
import os, sys, lpws
with {start.text} as running:
    child = os.fork()
    if not child:
        sys.exit()  # it leaves the block, too
    os.waitpid(child, 0)
    print(running.port, flush=True)
    sys.stdin.readline()
"""
    with kernel(code) as process:
        port = int(process.stdout.readline())
        assert not closed(port)
        process.stdin.close()
        assert process.wait() == 0
    assert left(tmp_path) == []


def test_a_kernel_that_ends_without_leaving_it(start, tmp_path):
    code = f"import lpws\nrunning = {start.text}.__enter__()\nprint(running.port, flush=True)"
    with kernel(code) as process:
        port = int(process.stdout.readline())
        assert process.wait() == 0
        all_gone(tmp_path, [port])


def exists(pid):
    """Whether there is a process of this number, if only in the table of processes."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_program_is_killed(start, tmp_path, nothing_left):
    with start() as running:
        log = running.log()
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: closed(running.port) and not exists(running.pid))  # the keeper has seen it, too
        assert running.log() == log
    assert not running.lasted
    all_gone(tmp_path)


def test_it_is_not_started_twice(start, tmp_path, nothing_left):
    with start() as running:
        with pytest.raises(RuntimeError, match="expected one `with` at a time"):
            running.__enter__()
        assert not closed(running.port)
    all_gone(tmp_path, [running.port])


def test_the_program_is_stopped_and_cannot_end_by_itself(start, tmp_path, nothing_left, by_itself):
    with start() as running:
        os.kill(running.pid, signal.SIGSTOP)
    all_gone(tmp_path, [running.port])


def kill_keeper(mark, by):
    """Kill the keeper, and wait until it is gone."""
    [keeper] = [number for number, command in marked(mark).items() if "keeper.py" in command]
    os.kill(int(keeper), by)
    until(lambda: keeper not in marked(mark))


@linux
def test_the_keeper_is_killed(start, tmp_path, nothing_left):
    with start() as running:
        kill_keeper(tmp_path, signal.SIGKILL)
    assert not running.lasted  # nobody knows
    all_gone(tmp_path, [running.port])


@linux
def test_the_keeper_is_asked_to_end(start, tmp_path, nothing_left, by_itself):
    with start() as running:
        kill_keeper(tmp_path, signal.SIGTERM)
        all_gone(tmp_path, [running.port])
    assert not running.lasted


@linux
def test_a_signal_finds_the_keeper_with_a_lock_in_its_hand(start, tmp_path):
    """Whoever waits for an event holds its lock, and a handler that sets the event would wait for that."""
    code = (
        "import os, runpy, signal, sys, threading\n"
        "class Held(threading.Event):\n"
        "    def wait(self, timeout=None):\n"
        "        with self._cond:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return super().wait(timeout)\n"
        "threading.Event = Held\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    orders = start()._orders | {"kernel": os.getpid()}
    command = [sys.executable, "-c", code, service.PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            process.stdin.flush()
            assert process.wait(10) in (0, keeper.DIED)
        finally:
            process.kill()
    all_gone(tmp_path)


def test_its_folder_is_removed(start, tmp_path, nothing_left):
    with start() as running:
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
        assert running.log() == ""
        assert not closed(running.port)
    all_gone(tmp_path, [running.port])
