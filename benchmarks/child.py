"""A process that is asked by lines and answers by lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


class Child:
    """One of the scripts beside this one, in a process of its own. A context manager.

    Parameters
    ----------
    script
        Its file name.
    arguments
        What stands behind it on the command line.
    """

    def __init__(self, script: str, *arguments: object) -> None:
        self.command = [sys.executable, str(HERE / script), *map(str, arguments)]

    def __enter__(self) -> Child:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, encoding="utf-8", bufsize=1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # which the child takes as its end
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def hear(self) -> str:
        """The next line that it says.

        Raises
        ------
        RuntimeError
            If it ended instead.
        """
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended, with exit status {self.process.wait()}")
        return line.strip()

    def ask(self, line: str) -> str:
        """What it answers to a line."""
        self.process.stdin.write(line + "\n")
        return self.hear()
