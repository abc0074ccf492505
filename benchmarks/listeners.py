"""Clients of a broadcast: WebSockets by hand, which one epoll watches; Python has no cheaper reader.

    python benchmarks/listeners.py PORT NUMBER

Says ``ready`` when all are connected. Each line that it is sent is a number of bytes; it answers when
every client has read so many more: ``when the last had them``.
"""

from __future__ import annotations

import gc
import select
import socket
import sys
import time

REQUEST = (
    "GET /websocket?client={0}&request={0} HTTP/1.1\r\nHost: 127.0.0.1:{1}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
#: So many handshakes are on their way at once.
AT_ONCE = 100


def main(port: int, number: int) -> None:
    gc.disable()  # the servers do not collect garbage either
    clients: dict[int, socket.socket] = {}
    epoll = select.epoll()
    for first in range(0, number, AT_ONCE):
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(AT_ONCE, number - first))]
        for client, connection in enumerate(crowd, first):
            connection.sendall(REQUEST.format(client, port).encode())
        for connection in crowd:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(4096)
            assert b" 101 " in head, head
            connection.setblocking(False)
            clients[connection.fileno()] = connection
            epoll.register(connection, select.EPOLLIN)
    print("ready", flush=True)
    for line in sys.stdin:
        size = int(line)
        lacking = dict.fromkeys(clients, size)
        while lacking:
            for fd, _event in epoll.poll(maxevents=1024):
                got = len(clients[fd].recv(65_536))
                assert got, "a connection has ended"
                lacking[fd] -= got
                if lacking[fd] == 0:
                    del lacking[fd]
        print(time.perf_counter(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
