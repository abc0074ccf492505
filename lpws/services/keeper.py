"""The keeper: starts a program in a folder of its own, says when it answers, and ends both with the kernel.

It is run as a program, ``python -I -S keeper.py``, and imports the standard library only. Its orders come
on stdin, as one line of JSON; it answers with one line on stdout. After that it waits for anything on
stdin, or its end, which comes when the kernel has ended, even by SIGKILL. A child that the kernel has
forked may hold that pipe open, so the keeper also looks whether the kernel is still its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
#: How long [s] a program may take until it answers, and until it has ended.
START_S, END_S = 10.0, 1.0
#: How often [s] it is asked whether it answers, and looked for the kernel.
ASK_S, LOOK_S = 0.005, 0.25
#: How many ports it is given. Between the moment in which a port is found free and the one in which nginx
#: listens there, another program may take it. (nginx 1.22 dies if it is handed a socket without a master.)
ATTEMPTS = 20
TAKEN = {"failed": f"{ATTEMPTS} ports were taken by other programs at the last moment"}
#: Exit status of a keeper whose program ended before it was to end.
DIED = 3
#: Signals that it got. Their handler may interrupt whoever holds the lock of an Event, so it sets none.
SIGNALS: list[int] = []


def keep(orders: dict, ended: threading.Event) -> int:
    """Start the program, say how that went, wait until it is to end; return the keeper's exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="lpws-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            orders = {key: filled(value, folder) for key, value in orders.items()}
            for _ in range(ATTEMPTS):
                with started(orders, folder) as (program, port):
                    news = first_news(program, orders, folder, port, ended)
                    if news == TAKEN:
                        continue
                    say(news)
                    while "port" in news and not ended.wait(LOOK_S) and not orphaned(orders):
                        program.poll()  # one that has ended leaves the table of processes; its log stays
                    early = "port" in news and (program.poll() is not None or SIGNALS)
                    return DIED if early else 0
            say(TAKEN)
    except OSError as error:
        say({"failed": str(error)})
    return 0


def orphaned(orders: dict) -> bool:
    """True if the kernel has ended, or a signal asks the keeper to."""
    # Elsewhere a process keeps the number of its parent, and an environment's python is a parent of its own.
    return bool(SIGNALS) or (os.name == "posix" and os.getppid() != orders["kernel"])


def filled(value: object, folder: Path) -> object:
    """The orders with what only the keeper knows: its folder, and a word that no other program says."""
    if isinstance(value, list):
        return [filled(each, folder) for each in value]
    if isinstance(value, str):
        return value.replace("@FOLDER@", str(folder)).replace("@WORD@", f"lpws-{os.getpid()}")
    return value


@contextlib.contextmanager
def started(orders: dict, folder: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """The program, from its start to its end, and the port that it was given; 0 if it chooses one itself."""
    port = 0
    if "file" in orders:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        text = orders["text"].replace("@PORT@", str(port))
        (folder / orders["file"]).write_text(text, encoding="utf-8", newline="\n")
    with open(folder / "log", "wb") as log:
        program = subprocess.Popen(
            orders["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
    try:
        yield program, port
    finally:
        finish(program)


def first_news(
    program: subprocess.Popen, orders: dict, folder: Path, port: int, ended: threading.Event
) -> dict:
    """The news of a program that was started: its port if it answers, its log if it does not."""
    end = time.monotonic() + START_S
    while not (found := answering(orders, listening(orders, folder, port))):
        over = program.poll() is not None or time.monotonic() > end
        log = (folder / "log").read_text(encoding="utf-8", errors="replace")  # with its last words
        if port and re.search(r"bind\(\) to \S+ failed", log):  # another program was faster
            return TAKEN
        if over:
            return {"failed": log}
        if ended.wait(ASK_S) or orphaned(orders):
            return {"failed": "it was ended before it answered"}
    return {"port": found, "folder": str(folder), "pid": program.pid}


def finish(program: subprocess.Popen) -> None:
    """End the program."""
    program.terminate()
    try:
        program.wait(END_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def listening(orders: dict, folder: Path, port: int) -> int:
    """The port at which the program listens, by what it has written down; 0 if it has not yet."""
    # nginx writes its number once it listens. Until then, the port may be that of another program, which
    # might count who asks.
    if port:
        return port if (folder / orders.get("writes", "")).exists() else 0
    for path in folder.glob("*.ports"):
        with contextlib.suppress(ValueError, LookupError):  # it is being written
            return int(json.loads(path.read_text(encoding="utf-8"))["nats"][0].rpartition(":")[2])
    return 0


def answering(orders: dict, port: int) -> int:
    """The port, if the program answers there as it should; else 0."""
    with contextlib.suppress(OSError):
        if port:
            with socket.create_connection((HOST, port), 0.5) as client:
                client.sendall(orders["ask"].encode())
                heard, answer = b"", orders["answer"].encode()
                while answer not in heard and (piece := client.recv(4096)):
                    heard += piece
                return port if answer in heard else 0
    return 0


def say(what: dict) -> None:
    """Tell the kernel, if it still listens."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, _: SIGNALS.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows sends it to all that have one window
    # Unbuffered: what comes after the orders is for the thread.
    with open(0, "rb", buffering=0, closefd=False) as kernel:
        line = kernel.readline()
        if not line.startswith(b"{") or not line.endswith(b"\n"):
            return  # the kernel has ended, or has left already
        threading.Thread(target=lambda: (kernel.read(1), ended.set()), daemon=True).start()
        os._exit(keep(json.loads(line), ended))  # the thread may still wait, and would be waited for


if __name__ == "__main__":
    sys.exit(main())
