"""The fleet as the kernel sees it: start it, tell it something, wait for its word."""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import queue
import subprocess
import sys
import tempfile
import threading
from typing import BinaryIO

from . import fleet
from .trace import clock


class FleetDied(RuntimeError):
    """The clients ended before they were told to; the message holds their last words."""


class RemoteFleet:
    """A fleet in a process of its own. A context manager; on leaving it, the process is gone.

    Parameters
    ----------
    spec
        What `lpws.fleet` reads on its first line.
    """

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        self.words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.batches: list[bytes] = []
        self.done = False  # whether the clients have said so

    def __enter__(self) -> RemoteFleet:
        self.commands, reports = self.launch()
        self.reader = threading.Thread(target=self._read, args=(reports,), name="lpws reports", daemon=True)
        self.reader.start()
        self.tell(json.dumps(self.spec))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.commands.close()  # the fleet takes that as its end
        except BrokenPipeError:
            pass  # it has ended already
        self.end()
        self.reader.join()

    def launch(self) -> tuple[BinaryIO, BinaryIO]:
        """Where to write commands and where to read reports, of a fleet that has just begun."""
        self.last_words = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lpws.fleet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.last_words,
            # An interrupt is for the kernel: it lets the fleet go.
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        return self.process.stdin, self.process.stdout

    def end(self) -> None:
        """Wait until the process is gone."""
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.last_words.close()

    def death(self) -> str:
        """What is known of an unexpected end."""
        code = self.process.wait()
        self.last_words.seek(0)
        lines = self.last_words.read().decode(errors="replace").strip().splitlines()
        return f"exit status {code}; its last words: {lines[-1] if lines else 'none'}"

    def tell(self, line: str) -> None:
        """Send a command."""
        try:
            self.commands.write(line.encode() + b"\n")
            self.commands.flush()
        except BrokenPipeError:
            pass  # wait_for and check tell of its death, with its last words

    def check(self) -> None:
        """Raise `FleetDied` if it has."""
        if not self.reader.is_alive() and not self.done:
            raise FleetDied(f"the clients ended before the run was over ({self.death()}); run the cell again")

    def wait_for(self, word: str, limit_s: float, stopped: threading.Event) -> bool:
        """Whether the fleet said the word within the limit, or before the run was stopped."""
        end = clock() + limit_s
        while clock() < end and not stopped.is_set():
            try:
                said = self.words.get(timeout=0.1)
            except queue.Empty:
                self.check()
            else:
                if said == word:
                    return True
        return False

    def events(self) -> list[tuple]:
        """All events that have been handed over."""
        return [event for batch in self.batches for event in marshal.loads(batch)]

    def _read(self, reports: BinaryIO) -> None:
        with reports:
            while line := reports.readline():
                word, size = line.split()
                data = reports.read(int(size))
                if len(data) < int(size):
                    return  # it died in the middle of a batch
                if word == b"events":
                    self.batches.append(data)
                else:
                    self.done = self.done or word == b"done"
                    self.words.put(word.decode())


class FleetInThread(RemoteFleet):
    """The same clients in a thread of the kernel, to see what they would disturb there."""

    def launch(self) -> tuple[BinaryIO, BinaryIO]:
        ours, commands = (os.fdopen(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
        reports, out = (os.fdopen(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
        self.error: BaseException | None = None

        def work() -> None:
            with ours, out:
                try:
                    asyncio.run(fleet.run(json.loads(ours.readline()), ours, out))
                except BaseException as error:
                    self.error = error

        self.thread = threading.Thread(target=work, name="lpws fleet", daemon=True)
        self.thread.start()
        return commands, reports

    def end(self) -> None:
        self.thread.join()

    def death(self) -> str:
        return repr(self.error)
