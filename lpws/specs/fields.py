"""Fields of specifications, each with what it may be, and the sentence for a value that one cannot have."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any


class Spec:
    """The base of all specifications, which are frozen dataclasses: it checks the fields of a new one."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if check := each.metadata.get("check"):
                check(f"{type(self).__name__}({each.name}=…)", getattr(self, each.name))


def number(default: float | None, *, least: float, most: float, optional: bool = False) -> Any:
    """A field for a number in [least, most], a whole one if its default is; `optional`: or None."""

    def check(what: str, value: object) -> None:
        if value is not None or not optional:
            within(what, value, least, most, whole=isinstance(default, int))

    return field(default=default, metadata={"check": check})


def flag(default: bool) -> Any:
    """A field for True or False."""

    def check(what: str, value: object) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"{what}: expected True or False, got {value!r}")

    return field(default=default, metadata={"check": check})


def word(*words: str, default: str) -> Any:
    """A field for one of two or more words."""

    def check(what: str, value: object) -> None:
        if value not in words:
            expected = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
            raise ValueError(f"{what}: expected {expected}, got {value!r}")

    return field(default=default, metadata={"check": check})


def within(what: str, value: object, least: float, most: float, whole: bool = False) -> None:
    """Raise TypeError or ValueError unless what has this value is a number in [least, most]."""
    expected = f"{what}: expected a {'whole ' * whole}number"
    if not isinstance(value, int if whole else (int, float)) or isinstance(value, bool):
        raise TypeError(f"{expected}, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{expected} from {least:g} to {most:g}, got {value!r}")
