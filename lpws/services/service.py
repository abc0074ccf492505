"""A program beside the kernel, as the kernel sees it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

from ..fleet.process import undebugged
from .keeper import answering
from .programs import version

KEEPER = Path(__file__).with_name("keeper.py")
#: How long [s] a keeper may take to end its program, remove its folder and end itself.
END_S = 3.0


class StartError(RuntimeError):
    """A program that did not start; `said` is all that it said."""

    def __init__(self, program: str, said: str) -> None:
        self.said = said
        super().__init__(f"{program} did not start: {(said.strip() or 'it said nothing').splitlines()[-1]}")


class Service:
    """A program on 127.0.0.1, as a context manager; when it is left, the program is gone.

    A thread starts the keeper and waits for it, since an interrupt of the kernel reaches the main thread
    alone: whatever it cuts short there, the thread ends what it has begun.

    Parameters
    ----------
    program
        Path of the program.
    orders
        What the keeper is told: ``command``, what to ``ask`` for which ``answer``, and, where the
        laboratory chooses the port, the ``file`` and the ``text`` of a configuration.
    """

    host = "127.0.0.1"
    port = 0

    def __init__(self, program: str, orders: dict) -> None:
        self.version = version(program)
        self._orders = orders | {"command": [program, *orders["command"]], "kernel": os.getpid()}
        self._folder: str | None = None

    def __enter__(self) -> Service:
        started: Future[dict] = Future()
        left = threading.Event()
        self._records: dict[str, str] = {}  # of a program that has ended: file → text
        # Also if the last name of it is bound to something else, or an interrupt comes where `with` ends.
        weakref.finalize(self, left.set)
        self._left = left
        self._thread = threading.Thread(
            target=_keep, args=(self._orders, self._records, started, left), name="lpws service", daemon=True
        )
        try:
            self._thread.start()
            facts = started.result()
            self.port, self.pid, self._folder = facts["port"], facts["pid"], facts["folder"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        if self._thread.ident:
            self._thread.join()

    def text(self, file: str) -> str:
        """Text of a file in the program's folder, as it is now, or was in the end; empty if there is none."""
        if self._folder is None:
            raise RuntimeError(f"expected a {type(self).__name__} that was started: use `with`")
        if file in self._records:
            return self._records[file]
        # nginx writes a line when the client has its answer already. One thread serves all clients, so that
        # when it has answered once more, it has written down what it answered before.
        answering(self._orders, self.port)
        return _read(Path(self._folder, file))

    def log(self) -> str:
        """Text of the program's log."""
        return self.text("log")

    def __repr__(self) -> str:
        where = f"at {self.host}:{self.port}" if self.port else "not started"
        return f"<{type(self).__name__} {self.version}, {where}>"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _keep(orders: dict, records: dict[str, str], started: Future[dict], left: threading.Event) -> None:
    """Start a keeper, hand over what it says, and end it when the service is left."""
    try:
        with undebugged():
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", KEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt is for the kernel
            )  # fmt: skip
    except BaseException as error:
        started.set_exception(error)
        return
    facts = {}
    try:
        _tell(keeper, json.dumps(orders))
        facts = json.loads(keeper.stdout.readline() or '{"failed": ""}')
        if "failed" in facts:
            started.set_exception(StartError(orders["command"][0], facts["failed"]))
        else:
            started.set_result(facts)
            left.wait()
            answering(orders, facts["port"])
            records |= {path.name: _read(path) for path in Path(facts["folder"]).glob("*") if path.is_file()}
    finally:
        _end(keeper, facts.get("folder"))


def _tell(keeper: subprocess.Popen, line: str) -> None:
    with contextlib.suppress(OSError):  # it has ended: what it says next is nothing
        keeper.stdin.write(line.encode() + b"\n")
        keeper.stdin.flush()


def _end(keeper: subprocess.Popen, folder: str | None) -> None:
    """End the keeper, and with it the program; do its work if it cannot."""
    _tell(keeper, "end")  # a child that the kernel forked may hold the pipe open
    with contextlib.suppress(OSError):
        keeper.stdin.close()
    try:
        code = keeper.wait(END_S)
    except subprocess.TimeoutExpired:
        code = None
    if code != 0:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):  # its session: the program, and itself
                os.killpg(keeper.pid, signal.SIGKILL)
        keeper.kill()
        keeper.wait()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    keeper.stdout.close()
