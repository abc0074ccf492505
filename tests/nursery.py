"""Processes of the laboratory that are forked from one in which Python has begun and all is imported.

A new Python takes 0.15 s of the processor until it has imported what clients need, or a reader's program:
more than most tests. A copy has its own session, pipes and chance, and the modules of a new one, not more.
Where anything else would be different (its path, its folder, a variable of its environment), a new Python
begins, as it does in the tests that are about that process (`conftest.py`).
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module
from types import SimpleNamespace

#: Linux can wait for a process that is not one's own child.
POSSIBLE = hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")
#: What ``-m`` is told → the module that then is ``__main__``, and what it imports later.
PROGRAMS = {
    "lpws.fleet": ("lpws.fleet.__main__", "uvloop"),
    "lpws.exercises.child": ("lpws.exercises.child",),
}
#: Variables of the environment that are allowed for, or say nothing to the programs.
KNOWN = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTEST_CURRENT_TEST"}
#: Copies that nobody has waited for.
COPIES: set[int] = set()


def circumstances(env: dict[str, str]) -> tuple:
    """What a process finds when it begins, but for its path."""
    return os.getcwd(), {name: value for name, value in env.items() if name not in KNOWN}


class Nursery:
    """Forks processes, for each program from one of its own. A context manager."""

    def __init__(self) -> None:
        self.paths = [path for path in sys.path if path and isinstance(path, str)]
        self.found = circumstances(dict(os.environ))
        self.lock = threading.Lock()

    def __enter__(self) -> Nursery:
        self.controls, self.processes = {}, []
        for program in PROGRAMS:
            self.controls[program], theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, "-P", __file__, program, str(theirs.fileno())]
                environment = os.environ | {"PYTHONPATH": os.pathsep.join(self.paths)}
                self.processes.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                        start_new_session=True, env=environment,
                    )
                )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for control in self.controls.values():
            control.close()
        for process in self.processes:
            process.wait()

    def ask(self, program: str, what: object, fds: tuple[int, ...] = ()) -> int:
        """The answer of the process that forks this program."""
        control = self.controls[program]
        with self.lock:
            socket.send_fds(control, [json.dumps(what).encode()], fds)
            return int(control.recv(100))

    def popen(self, command: list[str], *, env: dict[str, str], **options) -> Copy | subprocess.Popen:
        """`subprocess.Popen`, if need be."""
        *python, program = command
        paths = env["PYTHONPATH"].split(os.pathsep)
        if (
            python == [sys.executable, "-P", "-m"]
            and program in PROGRAMS
            and {*paths} <= {*self.paths, self.found[0]}
            and circumstances(env) == self.found
        ):
            return Copy(self, program, {name: env[name] for name in KNOWN if name in env}, **options)
        return subprocess.Popen(command, env=env, **options)

    def module(self) -> SimpleNamespace:
        """The module `subprocess`, with that function."""
        return SimpleNamespace(**vars(subprocess) | {"Popen": self.popen})


class Copy:
    """What `subprocess.Popen` is to whoever starts a process, as far as the laboratory uses it."""

    def __init__(
        self, nursery: Nursery, program: str, known: dict[str, str], *, stdin, stdout, stderr,
        start_new_session,
    ) -> None:  # fmt: skip
        import resource

        assert (stdin, stdout, start_new_session) == (subprocess.PIPE, subprocess.PIPE, True)
        self.nursery, self.args, self.returncode = nursery, program, None
        (theirs, ours), (our_end, their_end) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(ours, "wb"), os.fdopen(our_end, "rb")
        try:
            order = [known, resource.getrlimit(resource.RLIMIT_NOFILE)]
            last = their_end if stderr == subprocess.STDOUT else stderr.fileno()
            self.pid = nursery.ask(program, order, (theirs, their_end, last))
        finally:
            os.close(theirs)
            os.close(their_end)
        COPIES.add(self.pid)
        self._end = os.pidfd_open(self.pid)  # nobody waits for it before `wait` does: it is this process

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            look = select.poll()
            look.register(self._end, select.POLLIN)
            if not look.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = self.nursery.ask(self.args, self.pid)
            COPIES.remove(self.pid)
            os.close(self._end)
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def kill(self) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, signal.SIGKILL)


def fork(program: str, control: socket.socket) -> bool:
    """Fork when told to. True in a copy, which is to become the program; False at the end."""
    while True:
        data, fds, _, _ = socket.recv_fds(control, 65_536, 3)
        if not data:
            return False
        order = json.loads(data)
        if isinstance(order, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(order, 0)[1])
        elif (answer := os.fork()) == 0:
            control.close()
            os.setsid()
            for number, fd in enumerate(fds):
                os.dup2(fd, number)
                os.close(fd)
            begin(*order)
            return True
        for fd in fds:
            os.close(fd)
        control.send(b"%d" % answer)


def begin(known: dict[str, str], files: tuple[int, int]) -> None:
    """Let all be as a new Python finds it."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    for name in KNOWN:
        os.environ.pop(name, None)
    os.environ.update(known)
    sys.path[:] = dict.fromkeys([*known["PYTHONPATH"].split(os.pathsep), *sys.path])
    unbuffered = "PYTHONUNBUFFERED" in known
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        like = getattr(sys, name)
        raw = os.fdopen(number, "wb" if number else "rb", 0 if unbuffered and number else -1, closefd=False)
        lines = name == "stderr" and not unbuffered
        stream = io.TextIOWrapper(raw, like.encoding, like.errors, None, lines, unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    program, number = sys.argv[1:]
    control = socket.socket(fileno=int(number))
    own, *later = PROGRAMS[program]
    for name in own, *later:
        with contextlib.suppress(ImportError):
            import_module(name)
    # It is imported again as `__main__`, as by ``-m``; what it imports is there.
    package, _, name = own.rpartition(".")
    del sys.modules[own]
    delattr(sys.modules[package], name)
    gc.collect()
    if fork(program, control):
        sys.argv[1:] = []
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
