"""The fleet's process as the kernel sees it: started, sent commands, and read for reports."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

from ..run import RunError

#: The longest time [s] that the process may take to end by itself.
END_S = 2.0
#: How long [s] other clients, of a crowd or an audience, may take to begin, and to say what happened.
PATIENCE_S = 30.0
_REPORT = re.compile(rb"(ready|events|done) (\d+)\n")


class FleetDied(RuntimeError):
    """The clients ended before they were told to; the message holds their last words."""


class RemoteFleet:
    """A fleet in a process of its own, as a context manager; when it is left, the process is gone.

    Parameters
    ----------
    spec
        The specification that ``python -m lpws.fleet`` reads on its first line.
    """

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        self.said: set[str] = set()  # which of the words "ready" and "done" have come
        self.batches: list[bytes] = []
        self.total: int | None = None  # how many events there are in all, as the fleet says at its end

    def __enter__(self) -> RemoteFleet:
        self.commands, reports = self.launch()
        self.reader = threading.Thread(target=self._read, args=(reports,), name="lpws reports", daemon=True)
        self.reader.start()
        self.tell(json.dumps(self.spec))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            self.commands.close()  # the fleet ends when its commands do
        self.end()
        self.reader.join()

    def launch(self) -> tuple[BinaryIO, BinaryIO]:
        """Start the fleet; return the pipe for its commands and the pipe of its reports."""
        with contextlib.ExitStack() as stack:
            self.last_words = stack.enter_context(tempfile.TemporaryFile())
            self.process = start("-m", "lpws.fleet", stderr=self.last_words)
            stack.pop_all()  # the file stays open as long as the process
        return self.process.stdin, self.process.stdout

    def end(self) -> None:
        """Wait until the process is gone."""
        self._exit_status()
        self.last_words.close()

    def death(self) -> str:
        """Sentence on an unexpected end: exit status and last words."""
        code = self._exit_status()
        self.last_words.seek(0)
        return f"exit status {code}; {last_words(self.last_words)}"

    def _exit_status(self) -> int:
        """Wait for the process, kill it if it does not end, and return its exit status."""
        try:
            return self.process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def tell(self, line: str) -> None:
        """Send a command."""
        tell(self.commands, line)  # check tells of its death, with its last words

    def check(self) -> None:
        """Raise `FleetDied` if the clients ended before they were told to."""
        if not self.reader.is_alive() and "done" not in self.said:
            raise FleetDied(
                f"the clients ended before the run was over ({self.death()}): "
                "fix what they complain of, or run the cell again"
            )

    def events(self) -> list[tuple]:
        """All events that have been handed over."""
        return [event for batch in self.batches for event in marshal.loads(batch)]

    def _read(self, reports: BinaryIO) -> None:
        with reports:
            for line in reports:
                report = _REPORT.fullmatch(line)
                if report is None:
                    continue  # a line that Python printed, or the torn last line of a killed process
                word, size = report[1].decode(), int(report[2])
                data = reports.read(size)
                if len(data) < size:
                    return  # it died in the middle of a batch
                if word == "events":
                    self.batches.append(data)
                else:
                    self.total = marshal.loads(data) if word == "done" else self.total
                    self.said.add(word)


@contextlib.contextmanager
def clients_beside(module: str, spec: dict, within_s: float) -> Iterator[subprocess.Popen]:
    """A process of other clients, as a context manager: once it is ready, until it is killed.

    Parameters
    ----------
    module
        What the process runs.
    spec
        The specification that it reads on its first line.
    within_s
        How long [s] it may take until it is ready; a `RunError` says so.
    """
    with start("-m", module, stderr=subprocess.PIPE) as process:
        try:
            tell(process.stdin, json.dumps(spec))
            next_line(process, within_s)
            yield process
        finally:
            process.kill()


def start(*program: str, stderr: BinaryIO | int) -> subprocess.Popen:
    """Start a program of the laboratory beside the kernel, with a pipe to it and one from it.

    Parameters
    ----------
    *program
        What this Python is told to run.
    stderr
        Where its last words go.
    """
    # The kernel's search path without its current folder, and without paths of pathlib, which readers put
    # there and Python itself passes over.
    paths = [path for path in sys.path if path and isinstance(path, str)]
    with _undebugged():
        return subprocess.Popen(
            # -P: a reader's json.py beside the notebook is not the one that the program needs.
            [sys.executable, "-P", *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # an interrupt is for the kernel, which then lets the program go
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )


def tell(pipe: BinaryIO, line: str) -> None:
    """Send a line to a program; nothing if it has ended."""
    with contextlib.suppress(OSError, ValueError):
        pipe.write(line.encode() + b"\n")
        pipe.flush()


def next_line(process: subprocess.Popen, within_s: float) -> bytes:
    """The next line of the clients' process.

    Raises
    ------
    RunError
        If it ends instead, or lets that time [s] pass.
    """
    timer = threading.Timer(within_s, process.kill)
    timer.start()
    try:
        if line := process.stdout.readline():
            return line
    finally:
        timer.cancel()
    raise RunError(f"the clients ended before their time; {last_words(process.stderr)}")


def last_words(stderr: BinaryIO) -> str:
    """The last line that a program wrote before it ended, in words."""
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return f"their last words: {lines[-1] if lines else 'none'}"


def _undebugged() -> contextlib.AbstractContextManager:
    """A context in which JupyterLab's debugger, if it is on, does not take over a process that begins."""
    debugger = sys.modules.get("_pydev_bundle.pydev_monkey")
    return getattr(debugger, "skip_subprocess_arg_patch", contextlib.nullcontext)()


class FleetInThread(RemoteFleet):
    """The same clients in a thread of the kernel, to see what they would disturb there."""

    def launch(self) -> tuple[BinaryIO, BinaryIO]:
        ours, commands = (os.fdopen(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
        reports, out = (os.fdopen(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
        self.error: BaseException | None = None
        from . import __main__ as fleet  # here, since the kernel needs none of the clients' libraries else

        def work() -> None:
            with ours, out:
                try:
                    fleet.live(json.loads(ours.readline()), ours, out)
                except BaseException as error:
                    self.error = error

        self.thread = threading.Thread(target=work, name="lpws fleet", daemon=True)
        self.thread.start()
        return commands, reports

    def end(self) -> None:
        self.thread.join()

    def death(self) -> str:
        return repr(self.error)
