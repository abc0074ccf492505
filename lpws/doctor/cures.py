"""A finding of the doctor, and its cure: the commands to type."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

#: Where run.py, the notebooks and the recordings are, if lpws is used from a checkout.
CHECKOUT = Path(__file__).resolve().parents[2]
WINDOWS = os.name == "nt"


@dataclass(frozen=True)
class Finding:
    """One finding of the doctor and, if it is a fault, its cure.

    Parameters
    ----------
    what
        The finding, in words.
    cure
        Commands to type, one per line, or a sentence where no command helps.
    hint
        Whether nothing is wrong and `cure` is only good to know.
    """

    what: str
    cure: str = ""
    hint: bool = False

    @property
    def fault(self) -> bool:
        """True if something is wrong."""
        return bool(self.cure) and not self.hint

    def __str__(self) -> str:
        mark = "✗" if self.fault else "–" if self.hint else "✓"
        return "\n  → ".join([f"{mark} {self.what}", *self.cure.splitlines()])


def quoted(word: str | Path) -> str:
    """The word as the reader's shell takes it for one."""
    if WINDOWS:  # both of its shells take double quotes, and both need them around < and >
        return f'"{word}"' if re.search(r"[^\w.:\\/=,+~-]", str(word)) else str(word)
    return shlex.quote(str(word))


def set_up(command: str = "lab") -> str:
    """The command that sets everything up again in this checkout, with what a command of run.py needs."""
    major, minor = sys.version_info[:2]
    base = getattr(sys, "_base_executable", sys.executable)  # of this very version: another makes all anew
    usual = shutil.which("python3")
    if (major, minor) < (3, 11):
        python = "py" if WINDOWS else "python3.11"
    elif WINDOWS:
        python = f"py -{major}.{minor}"
    else:
        same = usual and os.path.realpath(usual) == os.path.realpath(base)
        python = "python3" if same else quoted(base)
    here = os.path.realpath(os.getcwd()) == str(CHECKOUT)
    return f"{python} {'run.py' if here else quoted(CHECKOUT / 'run.py')} {command}"


def install(*requirements: str, again: bool = False) -> str:
    """The command that installs something into this environment; `again` also what is there already."""
    # Windows' two shells start a quoted program in different ways; its name alone they start alike.
    python = "python" if WINDOWS and " " in sys.executable else quoted(sys.executable)
    words = " ".join(map(quoted, requirements))
    if find_spec("pip"):
        return f"{python} -m pip install {'--force-reinstall --no-deps ' * again}{words}"
    if shutil.which("uv"):
        return f"uv pip install --python {quoted(sys.executable)} {'--reinstall --no-deps ' * again}{words}"
    return f"{python} -m ensurepip\n{python} -m pip install {'--force-reinstall --no-deps ' * again}{words}"


def mend(*requirements: str) -> str:
    """The command that brings these into this environment, whoever made it."""
    return set_up() if _made_by_run_py() else install(*requirements)


def wild() -> str:
    """The command that brings the real programs of part two into this environment, whoever made it."""
    pinned = CHECKOUT / "requirements-wild.txt"
    if _made_by_run_py():
        return set_up("wild")
    if pinned.exists():
        return install("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(pinned))
    return install("lpws[wild]")


def _made_by_run_py() -> bool:
    stamp = CHECKOUT / ".venv" / "lpws-stamp.txt"
    return Path(sys.prefix).resolve() == stamp.parent.resolve() and stamp.exists()


def without(variable: str) -> str:
    """The command that takes a variable from the environment of the shell."""
    return f'$env:{variable} = ""' if WINDOWS else f"unset {variable}"


def with_variable(variable: str, value: str) -> str:
    """The command that sets a variable in the environment of the shell."""
    return f'$env:{variable} = "{value}"' if WINDOWS else f"export {variable}={value}"


def rename(folder: str, name: str) -> str:
    """The command that gives a folder another name."""
    if WINDOWS:
        return f"ren {quoted(folder)} {name}"
    return f"mv {quoted(folder)} {quoted(Path(folder).with_name(name))}"
