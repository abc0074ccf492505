"""Raw connections to a server: what a test says byte by byte, and what comes back."""

import contextlib
import http.client
import socket
import time

from tornado.web import RequestHandler
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, Request, TextMessage

from lpws.server import handlers
from lpws.server.counted_stream import CountedStream
from lpws.specs import SSE, LongPolling, ShortPolling, WebSocket
from lpws.transports import HALVES
from lpws.wire import from_lines

POLL, HOLD, STREAM, SOCKET = ShortPolling.path, LongPolling.path, SSE.path, WebSocket.path
PATHS = [kind.path for kind in HALVES]
FRIEND = "http://localhost:8888"
#: No test waits longer [s] than this for a thing that should happen.
PATIENCE_S = 20.0
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Plain(RequestHandler):
    """A handler that knows nothing of rooms."""

    def get(self):
        self.write("plain")


class Bug(RequestHandler):
    """A handler with a mistake."""

    def get(self):
        return 1 / 0


class BugInSocket(handlers.WebSocket):
    """A WebSocket with a mistake."""

    def on_message(self, message):
        return int(message) / 0


def until(condition):
    """Wait for a condition that should come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


class Wire:
    """A plain connection to the server."""

    def __init__(self, server, *, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if receive_buffer:  # before it connects, so that the window is small from the start
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", server.port))
        self.host = server.host
        self.data = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(ConnectionError):  # the server may have heard enough
            self.socket.sendall(data)

    def read_again(self):
        """Open the window of a slow reader."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)

    def request(self, path, method="GET", body=b"", **headers):
        """Send a request; a header that is None is left out."""
        headers = {"Host": self.host} | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in headers.items() if v is not None]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def more(self):
        """Receive something; b"" at the end."""
        try:
            data = self.socket.recv(1_000_000)
        except ConnectionResetError:
            data = b""
        self.data += data
        return data

    def take(self, size):
        """The next `size` bytes."""
        while len(self.data) < size:
            assert self.more(), f"expected {size} bytes, got {self.data!r} and the end"
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def take_head(self):
        """Status and header lines of the next answer."""
        while b"\r\n\r\n" not in self.data:
            assert self.more(), f"expected an answer, got {self.data!r} and the end"
        head = self.take(self.data.index(b"\r\n\r\n") + 4).decode()
        return int(head.split()[1]), head.lower()

    def take_answer(self):
        """Status and body of the next answer."""
        status, head = self.take_head()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return status, self.take(int(length or 0)).decode()

    def take_all(self):
        """Everything until the end."""
        while self.more():
            pass
        return self.take(len(self.data))


def ask(server, path, method="GET", body=b"", **headers):
    """Status and body of the answer to one request."""
    with Wire(server) as wire:
        wire.request(path, method, body, **headers)
        return wire.take_answer()


def say(server, data):
    """Status of the answer to these bytes, after which the server closes the connection."""
    with Wire(server) as wire:
        wire.send(data)
        answer = wire.take_all()
        assert answer.startswith(b"HTTP/1.1 "), answer
        assert answer.count(b"HTTP/1.1") == 1
        assert b"Traceback" not in answer
        return int(answer[9:12])


def names(server, *wanted):
    """Names of the events of requests, in order."""
    return [
        event[1] for event in server.trace if event[1] in (wanted or ("request_received", "response_sent"))
    ]


def frame(opcode, payload=b"", *, fin=True, reserved=0, masked=True, size=None):
    """A frame of a client, right or wrong; `size` is what its head says."""
    size = len(payload) if size is None else size
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([masked << 7 | size])
    elif size < 65_536:
        head += bytes([masked << 7 | 126]) + size.to_bytes(2)
    else:
        head += bytes([masked << 7 | 127]) + size.to_bytes(8)
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"  # RFC 6455 §5.7
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


class Peer(Wire):
    """A WebSocket client that has its frames read by wsproto."""

    def __init__(self, server, query="", path=SOCKET, **options):
        super().__init__(server, **options)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.waiting = []
        self.socket.sendall(self.protocol.send(Request(host=server.host, target=f"{path}?{query}")))
        first = self.next()
        assert isinstance(first, AcceptConnection | RejectConnection)
        self.accepted = isinstance(first, AcceptConnection)

    def next(self):
        """The next event; None at the end."""
        while not self.waiting:
            data = self.more()
            self.data.clear()
            if not data:
                return None
            self.protocol.receive_data(data)
            self.waiting += self.protocol.events()
        return self.waiting.pop(0)

    def message(self):
        """The messages of the next text frame."""
        text = ""
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return from_lines(text.encode())

    def closed(self):
        """Code of the Close frame that comes next, answered; then the connection must end."""
        event = self.next()
        assert isinstance(event, CloseConnection), event
        if self.protocol.state is not ConnectionState.CLOSED:  # it was the server's idea
            self.send(self.protocol.send(event.response()))
        assert self.next() is None
        return event.code


def take_parts(monkeypatch, draw):
    """Let sockets take a part of what is written to them, of any size, or nothing."""
    write = CountedStream.write_to_fd

    def write_some(stream, data):
        size = draw.choice([0, 1, 2, 3, 7, 50, 1000])
        if not size:
            raise BlockingIOError
        return write(stream, data[:size])

    monkeypatch.setattr(CountedStream, "write_to_fd", write_some)


def hold(server, query="hold=60&cursor=0", **headers):
    """A request that the server holds."""
    count = len(server.room.waiting)
    wire = Wire(server)
    wire.request(f"{HOLD}?{query}", **headers)
    until(lambda: len(server.room.waiting) > count)
    return wire


@contextlib.contextmanager
def stream(server, query="cursor=0", **headers):
    """The lines of an event stream, read by http.client, and how to read the next event."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"{STREAM}?{query}", headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield response
        response.close()
    finally:
        connection.close()
