"""Letters: what a page may send. JSON, and every field of it is checked."""

from __future__ import annotations

import json
from typing import Any

#: The longest secret or key of a page.
MOST_KEY = 64
#: The most messages in one letter.
MOST_SAID = 50


def is_time(value: Any) -> bool:
    """True if the value can be a time [s] of the server's clock; NaN and infinity cannot."""
    return type(value) in (int, float) and abs(value) < 1e12


def fields(data: Any, **kinds: type) -> dict[str, Any]:
    """The object, each of its fields of its kind.

    Raises
    ------
    ValueError
        If it is something else.
    """
    good = isinstance(data, dict) and all(
        is_time(data.get(name)) if kind is float else isinstance(data.get(name), kind)
        for name, kind in kinds.items()
    )
    keys = [data[name] for name in ("secret", "key") if name in kinds] if good else [""]
    # Plain ASCII: a lone surrogate, which JSON can spell, is no text and cannot be told to anybody.
    if not all(0 < len(key) <= MOST_KEY and key.isascii() and key.isprintable() for key in keys):
        raise ValueError(f"Expected a JSON object with {', '.join(kinds)}")
    return data


def parsed(body: str | bytes, **kinds: type) -> dict[str, Any]:
    """The fields of a letter, as `fields` has them, from its JSON.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        return fields(json.loads(body), **kinds)
    except RecursionError:
        raise ValueError("Expected JSON that is not so deep") from None


def messages(said: list) -> list[dict[str, Any]]:
    """The messages of a letter, each with `key`, `text` and when it was `typed` [s].

    Raises
    ------
    ValueError
        If one of them is something else, or if there are none or too many.
    """
    if not 0 < len(said) <= MOST_SAID:
        raise ValueError(f"Expected 1 to {MOST_SAID} messages, got {len(said)}")
    return [fields(each, key=str, text=str, typed=float) for each in said]
