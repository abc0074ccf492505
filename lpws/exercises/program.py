"""A reader's program in a process of its own, as the observer in the kernel sees it."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

import cloudpickle

#: How long [s] a program may take for one order, most of which take milliseconds.
PATIENCE_S = 2.0
#: How long [s] it may take for all orders: less than its process lives (`child._LIFE_S`).
LIFE_S = 50.0
#: How long [s] its process may take to begin, on a busy machine.
_START_S = 20.0
#: How much of what the program prints is shown [characters], and the most that it may carry [bytes].
_SHOWN, _CARRIED = 2000, 50_000_000


class Unfit(Exception):
    """The program cannot be tried (any further), and the message says why."""


class Program:
    """A function or class of the reader's, sent to a process that serves or calls it.

    A context manager: on leaving it, however that happens, the process and its children are gone.

    Parameters
    ----------
    thing
        The function or class. It is sent by value, with all that it uses from the notebook.

    Raises
    ------
    Unfit
        If it cannot be sent.
    """

    def __init__(self, thing: Any) -> None:
        self.data = to_bytes(thing)
        self.printed = ""

    def __enter__(self) -> Program:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            self._control: socket.socket | None = None
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # An interrupt is for the kernel, which then ends this process and what it started.
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_paths()), "PYTHONUNBUFFERED": "1"},
            )
            stack.push(self.__exit__)
            self._output = threading.Thread(target=self._drain, name="lpws output", daemon=True)
            self._output.start()
            token = secrets.token_hex()
            self._process.stdin.write(f"{listener.getsockname()[1]} {token}\n".encode())
            self._process.stdin.close()
            self._control = self._accept(listener, token.encode())
            self._send(self.data)
            if refused := self._receive(_START_S)["refused"]:
                raise Unfit(
                    f"what you wrote could not be unpacked in the process that runs it ({refused}): "
                    "import or define in the notebook all that it uses"
                )
            stack.pop_all()
            listener.close()
        self._end_s = time.monotonic() + LIFE_S
        return self

    def __exit__(
        self, _kind: type | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._output.join(1)  # longer only if a process that it started has left its group
        if self._control is not None:
            self._control.close()

    def tell(self, *order: Any, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """Let the process carry out an order; return its report.

        Raises
        ------
        Unfit
            If it has ended, or does not come to it in time.
        """
        if time.monotonic() > self._end_s:
            raise Unfit(SLOW)
        self._send(pickle.dumps(order))
        return self._receive(within_s)

    def _accept(self, listener: socket.socket, token: bytes) -> socket.socket:
        """The connection of the process, and of no other."""
        listener.settimeout(0.1)
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                control, _ = listener.accept()
                control.settimeout(1)
                control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(TimeoutError):
                    if secrets.compare_digest(control.recv(len(token), socket.MSG_WAITALL), token):
                        return control
                control.close()
        self._output.join(1)
        words = self.printed.strip().splitlines() or ["no word"]
        raise Unfit(f"the process that was to run it did not begin ({words[-1]}): run the cell again")

    def _send(self, data: bytes) -> None:
        self._control.settimeout(PATIENCE_S)
        try:
            self._control.sendall(struct.pack("!I", len(data)) + data)
        except TimeoutError:
            raise _stuck(PATIENCE_S) from None
        except OSError:
            raise Unfit(ENDED) from None

    def _receive(self, within_s: float) -> dict[str, Any]:
        end_s = time.monotonic() + within_s
        try:
            (size,) = struct.unpack("!I", self._exactly(4, end_s))
            return _Plain.loads(self._exactly(size, end_s))
        except TimeoutError:
            self._process.kill()
            raise _stuck(within_s) from None

    def _exactly(self, size: int, end_s: float) -> bytes:
        data = b""
        while len(data) < size:
            self._control.settimeout(max(0.001, end_s - time.monotonic()))
            try:
                more = self._control.recv(size - len(data))
            except TimeoutError:
                raise
            except OSError:
                more = b""
            if not more:
                raise Unfit(ENDED)
            data += more
        return data

    def _drain(self) -> None:
        """Keep the beginning of what is printed, and let no program wait for the rest to be read."""
        with self._process.stdout as output:
            while data := os.read(output.fileno(), 65_536):
                if len(self.printed) <= _SHOWN:
                    self.printed += data.decode(errors="replace")[: _SHOWN + 1 - len(self.printed)]

    def words(self) -> str:
        """The output that the program printed, cut."""
        cut = "\n… (and so on)" if len(self.printed) > _SHOWN else ""
        return self.printed[:_SHOWN].rstrip() + cut


SLOW = f"had not come through all of it after {LIFE_S:g} s – think about what it does again each time"
ENDED = "ended its own process – think about who else lives in it: a server ends only when it is told to"


def _stuck(within_s: float) -> Unfit:
    """The reason for which a program that does not come to an end cannot be tried any further."""
    return Unfit(
        f"did not come back within {within_s:g} s, and was ended – think about a loop without an end, "
        "or a call that waits and lets nothing else go on meanwhile"
    )


class _Plain(pickle.Unpickler):
    """Reads text, numbers and collections of them, and no object of the program's."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"expected plain values, got {module}.{name}")

    @classmethod
    def loads(cls, data: bytes) -> Any:
        return cls(io.BytesIO(data)).load()


def _paths() -> list[str]:
    """The process's module search path: the kernel's, but with the notebook's folder last.

    A ``random.py`` that lies there must not come before the library's.
    """
    here = os.getcwd()
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [path for path in sys.path if path and (os.path.abspath(path) != here or here == home)]
    return [*paths, here]


def to_bytes(thing: Any) -> bytes:
    """The function or class by value.

    Raises
    ------
    Unfit
        If it cannot be sent, with the name of what keeps it.
    """
    try:
        data = cloudpickle.dumps(thing)
    except Exception as error:
        name = _culprit(thing)
        whose = f"`{name}`, which it uses," if name else "it"
        raise Unfit(
            f"cannot be run by itself: {whose} cannot leave the notebook ({type(error).__name__}: "
            f"{str(error)[:100]}) – make what it needs inside it"
        ) from None
    if len(data) > _CARRIED:
        raise Unfit(
            f"uses {len(data) / 1e6:,.0f} MB of the notebook's values, which would all be sent – "
            "make what it needs inside it"
        )
    return data


def _culprit(thing: Any) -> str | None:
    """Name of a value of the notebook that the function or class uses and that cannot be sent."""
    for own, part in [("", thing), *getattr(thing, "__dict__", {}).items()]:
        function = getattr(part, "__func__", part)
        code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
        if code is None:
            if own and not own.startswith("__") and not _can_leave(part):
                return own
            continue
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        used = {name: names[name] for name in code.co_names if name in names}
        for name, value in (used | {name: cell.cell_contents for name, cell in cells}).items():
            if not _can_leave(value):
                return name
    return None


def _can_leave(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True
