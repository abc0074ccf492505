"""The two kinds of tasks, and how one is judged."""

from __future__ import annotations

import dis
import inspect
import random
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import FunctionType
from typing import Any

from .answer import verdict
from .observer import Scene, Wrong
from .program import Program, Unfit

#: A sentence, and the function that raises `Wrong` unless it is true of a program.
Behavior = tuple[str, Callable[..., None]]
#: Methods that a stub has filled in: they do not count as begun.
_SETUP = {"initialize", "__init__"}


@dataclass(frozen=True)
class Quick:
    """A question that is answered with a value.

    Parameters
    ----------
    right
        The right answer, or a function that says whether an answer is right.
    hints
        Wrong answer → what to think about again.
    within
        How far, relative to the right answer, a number may be off.
    exact
        Whether capitals, hyphens and the blanks at the ends of a text count.
    """

    right: Any
    hints: Mapping[Any, str] = field(default_factory=dict)
    within: float = 0.0
    exact: bool = False

    def judge(self, answer: Any) -> list[str]:
        return [verdict(answer, self.right, self.hints, self.within, self.exact)]


@dataclass(frozen=True)
class Make:
    """Something to write, which is run and watched.

    Parameters
    ----------
    stub
        What is said to somebody who has not begun.
    expected
        What is wrong with the thing at first sight, if it is not even of the kind that is asked for; with
        "…" before it, what is missing on this machine.
    stages
        Behaviors, the most basic ones first. If one of a stage fails, the later ones are not tried:
        they would say the same in other words.
    scene
        What the behaviors are given: around the program, with the source of chance.
    wrap
        What is sent to the program's process in place of the thing itself, made from it.
    """

    stub: str
    expected: Callable[[Any], str | None]
    stages: Sequence[Sequence[Behavior]]
    scene: Callable[[Program, random.Random], Any] = Scene
    wrap: Callable[[Any], Any] = lambda thing: thing

    def judge(self, thing: Any) -> list[str]:
        if problem := self.expected(thing):
            return [problem if problem.startswith("…") else f"✗ {problem}"]
        if _is_empty(thing):
            return [f"… {self.stub}"]
        try:
            program = Program(self.wrap(thing))
        except Unfit as reason:
            return [f"✗ {reason}"]
        # The same program gets the same verdict, and another one other names and times.
        draw = random.Random(seed_of(program.data))
        said: list[str] = []
        try:
            with program:
                said += self._watched(program, draw)
        except Unfit as reason:
            said.append(f"✗ {reason}")
        if words := program.words():
            said += ["", "Your program printed:", words]
        return said

    def _watched(self, program: Program, draw: random.Random) -> list[str]:
        said: list[str] = []
        for stage in self.stages:
            failed = False
            for sentence, behavior in stage:
                try:
                    with self.scene(program, draw) as scene:
                        behavior(scene)
                except Wrong as what:
                    failed = True
                    if f"✗ {what}" not in said:
                        said.append(f"✗ {what}")
                except Unfit as reason:
                    return [*said, f"✗ {reason}"]
                else:
                    said.append(f"✓ {sentence}")
            if failed:
                break
        return said


def seed_of(data: bytes) -> int:
    """A number for a pickled program, the same each time that the same source is run."""
    # cloudpickle gives each class that it sends a random name (a UUID), by which it would know it again.
    return zlib.crc32(re.sub(rb"[0-9a-f]{32}", b"", data))


def a_handler(module: str = "tornado.web", name: str = "RequestHandler") -> Callable[[Any], str | None]:
    """A check that a thing is a handler, by name, since only a task that asks for one may load Tornado."""

    def problem(thing: Any) -> str | None:
        kind = getattr(import_module(module), name)
        if isinstance(thing, type) and issubclass(thing, kind):
            return None
        return f"expected a class that derives from {name}, got {named(thing)}"

    return problem


def a_function(arguments: str) -> Callable[[Any], str | None]:
    """A check that a thing is a function of these arguments."""

    def problem(thing: Any) -> str | None:
        count = len(arguments.split(", "))
        if not callable(thing):
            return f"expected a function of ({arguments}), got {named(thing)}"
        try:
            inspect.signature(thing).bind(*range(count))
        except TypeError as error:
            return f"is called with ({arguments}), and that does not fit: {error}"
        except ValueError:
            pass  # a function of C that does not say
        return None

    return problem


def named(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"{thing!r:.60}"


#: Where classes live that a reader's may derive from without having written anything.
_NOT_OURS = ("tornado.", "builtins")


def _empty() -> None: ...


async def _empty_too() -> None: ...


def _is_empty(thing: Any) -> bool:
    """True if nothing has been written yet into the body of the function, or of a class's methods."""
    bases = getattr(thing, "__mro__", ())
    own = [kind for kind in bases if kind is thing or not kind.__module__.startswith(_NOT_OURS)]
    parts: Iterable[Any] = [part for kind in own for part in vars(kind).values()] or [thing]
    parts = [getattr(part, "fget", part) for part in parts]  # of a property
    functions = [part for part in parts if inspect.isfunction(part) and part.__name__ not in _SETUP]
    return bool(functions) and all(map(says_nothing, functions))


def says_nothing(function: FunctionType) -> bool:
    """True if the body of the function is nothing but words, dots and ``pass``."""
    consts = set(map(repr, function.__code__.co_consts)) - {"None", "Ellipsis", repr(function.__doc__)}
    return not consts and _steps(function) in (_steps(_empty), _steps(_empty_too))


def _steps(function: FunctionType) -> list[str]:
    return [step.opname for step in dis.get_instructions(function) if step.opname != "NOP"]
