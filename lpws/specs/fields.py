"""Checks of fields and arguments, and the sentence for a value that one cannot have."""

from __future__ import annotations


def number(owner: object, name: str, *, least: float, most: float, whole: bool = False) -> None:
    """Raise TypeError or ValueError unless the field is a number in [least, most]."""
    within(f"{type(owner).__name__}({name}=…)", getattr(owner, name), least, most, whole)


def within(what: str, value: object, least: float, most: float, whole: bool = False) -> None:
    """Raise TypeError or ValueError unless what has this value is a number in [least, most]."""
    expected = f"{what}: expected a {'whole ' * whole}number"
    if not isinstance(value, int if whole else (int, float)) or isinstance(value, bool):
        raise TypeError(f"{expected}, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{expected} from {least:g} to {most:g}, got {value!r}")


def flag(owner: object, name: str) -> None:
    """Raise TypeError unless the field is True or False."""
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise TypeError(f"{type(owner).__name__}({name}=…): expected True or False, got {value!r}")
