"""A program beside the kernel, as the kernel sees it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

from ..fleet.process import start, tell
from .keeper import DIED, answering
from .programs import version

PROGRAM = Path(__file__).with_name("keeper.py")
#: How long [s] a keeper may take to end its program, remove its folder and end itself.
END_S = 3.0


class StartError(RuntimeError):
    """A program that did not start; `said` is all that it said."""

    def __init__(self, program: str, said: str) -> None:
        self.said = said
        super().__init__(f"{program} did not start: {(said.strip() or 'it said nothing').splitlines()[-1]}")


class Service:
    """A program on 127.0.0.1, as a context manager; when it is left, the program is gone.

    Parameters
    ----------
    program
        Path of the program.
    orders
        What the keeper is told: the ``command``, what to ``ask`` for which ``answer``, and, where the
        laboratory chooses the port, the ``file`` and the ``text`` of a configuration; and the file that the
        program ``writes`` once it listens, if there is one: before, it is not asked.
    """

    host = "127.0.0.1"
    port = 0

    def __init__(self, program: str, orders: dict) -> None:
        self.version = version(program)
        self._orders = orders | {"command": [program, *orders["command"]]}
        self._keeper: Keeper | None = None

    def __enter__(self) -> Service:
        if self._keeper and self._keeper.is_alive():
            raise RuntimeError(f"expected one `with` at a time, got a second one for {self!r}")
        keeper = Keeper(self._orders)
        # Also if the last name of it is bound to something else, or an interrupt comes where `with` ends.
        weakref.finalize(self, keeper.leave)
        self._keeper = keeper
        try:
            keeper.start()
            facts = keeper.started.result()
            self.port, self.pid, self._folder = facts["port"], facts["pid"], facts["folder"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper.kernel != os.getpid():
            return  # a child that the kernel forked: the thread did not come along, and it ends nothing
        self._keeper.leave()
        if self._keeper.ident:  # else an interrupt came before it ran; now it will find that it is to end
            self._keeper.ended.wait()
            self._keeper.join()  # not before: once interrupted, it takes the thread for ended (Python 3.11)

    @property
    def lasted(self) -> bool:
        """True unless the program has ended before it was left; known when it is left."""
        return self._keeper.lasted

    def text(self, file: str) -> str:
        """Text of a file in the program's folder, as it is now, or was in the end; empty if there is none."""
        if not self.port:
            raise RuntimeError(f"expected a {type(self).__name__} that was started: use `with`")
        if file in self._keeper.texts:
            return self._keeper.texts[file]
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


class Keeper(threading.Thread):
    """A thread that starts a keeper, hands over what it says, and ends it when the service is left.

    It is a thread, since an interrupt of the kernel reaches the main thread alone: whatever it cuts short
    there, this one ends what it has begun. It knows nothing of the `Service`, so as not to keep it alive.
    """

    def __init__(self, orders: dict) -> None:
        super().__init__(name="lpws service", daemon=True)
        self.started: Future[dict] = Future()
        self.lasted = True  # unless its program ended too early
        self.texts: dict[str, str] = {}  # of a program that has ended: file → text
        self.kernel = os.getpid()
        self._orders = orders | {"kernel": self.kernel}
        self._left, self.ended = threading.Event(), threading.Event()
        self._process: subprocess.Popen | None = None

    def leave(self) -> None:
        """Let the program end; also one that has not yet answered."""
        self._left.set()
        if self._process and not self.started.done():
            tell(self._process.stdin, "end")

    def run(self) -> None:
        try:
            if not self._left.is_set():
                self._keep()
        finally:
            self.ended.set()

    def _keep(self) -> None:
        facts: dict = {}
        try:
            self._process = start("-I", "-S", str(PROGRAM), stderr=subprocess.DEVNULL)
            tell(self._process.stdin, json.dumps(self._orders))
            if self._left.is_set():
                tell(self._process.stdin, "end")
            facts = json.loads(self._process.stdout.readline() or '{"failed": ""}')
            if "failed" in facts:
                raise StartError(self._orders["command"][0], facts["failed"])
            self.started.set_result(facts)
            self._left.wait()
            answering(self._orders, facts["port"])
            self.texts = {each.name: _read(each) for each in Path(facts["folder"]).glob("*")}
        except Exception as error:
            self.started.set_exception(error)
        finally:
            if self._process:
                self._end(facts.get("folder"))

    def _end(self, folder: str | None) -> None:
        """End the keeper, and with it the program; do its work if it cannot."""
        keeper = self._process
        tell(keeper.stdin, "end")  # a child that the kernel forked may hold the pipe open
        with contextlib.suppress(OSError):
            keeper.stdin.close()
        status = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = keeper.wait(END_S)
        self.lasted = status in (0, None)
        if status not in (0, DIED):
            if os.name == "posix":
                with contextlib.suppress(ProcessLookupError):  # its session: the program, and itself
                    os.killpg(keeper.pid, signal.SIGKILL)
            keeper.kill()
            keeper.wait()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
        keeper.stdout.close()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
