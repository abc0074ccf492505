"""Checks of a specification's fields, and the sentence for a value that a field cannot have."""

from __future__ import annotations


def number(owner: object, name: str, *, least: float, most: float, whole: bool = False) -> None:
    """Raise TypeError or ValueError unless the field is a number in [least, most]."""
    value = getattr(owner, name)
    kind = "a whole number" if whole else "a number"
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not good:
        raise TypeError(f"{type(owner).__name__}({name}=…): expected {kind}, got {value!r}")
    if not least <= value <= most:
        raise ValueError(
            f"{type(owner).__name__}({name}=…): expected {kind} from {least:g} to {most:g}, got {value!r}"
        )


def flag(owner: object, name: str) -> None:
    """Raise TypeError unless the field is True or False."""
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise TypeError(f"{type(owner).__name__}({name}=…): expected True or False, got {value!r}")
