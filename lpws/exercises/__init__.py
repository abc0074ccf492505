"""The exercises of the notebooks, and the judge of an answer or a program.

A module for each notebook, ``n03`` for notebook 03, holds its tasks. A program is run in a process of its
own (`program`, `child`), on a clock of its own (`clock`), and is watched from outside (`observer`).
A configuration is run by a real nginx (`location`), with a server behind it and clients before it (`behind`).
A decoder of header blocks is told those of a peer (`headers`).
A function that lets people in is asked about strangers and friends (`visitors`).
A number of servers is tried in virtual time (`farm`).
A whole chat is tried by robots (`chats`), which speak, listen, leave and come back at any moment.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def check(task: str, answer: Any) -> None:
    """Print whether the answer to a task is right; if it is a program, what it does right and wrong.

    Parameters
    ----------
    task
        The number of the notebook and the name of the task, as in ``"03.hold"``.
    answer
        The reader's value, function or class; ``...`` stands for none yet.

    Raises
    ------
    ValueError
        If there is no such task.

    Examples
    --------
    >>> check("03.transits", 1)
    ✗ not 1: that is the luckiest message, the one that finds a request waiting
    """
    if not (isinstance(task, str) and re.fullmatch(r"(\d\d|[A-Z])\.\w+", task)):
        raise ValueError(f"expected the name of a task, such as '03.hold', got {task!r}")
    notebook, name = task.split(".")
    home = f"{__name__}.n{notebook}"
    tasks = import_module(home).TASKS if find_spec(home) else {}
    if name not in tasks:
        names = ", ".join(f"{notebook}.{name}" for name in tasks) or "none"
        raise ValueError(f"expected a task of notebook {notebook} ({names}), got {task!r}")
    if answer is ...:
        print("… put your answer in place of the three dots, and run the cell again")
        return
    print("\n".join(tasks[name].judge(answer)))
