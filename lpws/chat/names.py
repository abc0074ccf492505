"""Names that people can be told apart by: what shows, in one form; and which of them look alike."""

from __future__ import annotations

import unicodedata

#: What takes no ink though Unicode counts it among letters, marks and symbols.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164"
#: Control and format characters, lone surrogates, private and unassigned ones, ends of lines.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
#: They choose between two pictures of the same character.
_VARIATIONS = {ord("\ufe0e"): None, ord("\ufe0f"): None}
#: Letters of one picture, after case folding: Cyrillic, Greek and digits as the Latin letter they resemble.
_TWINS = str.maketrans(
    "авеёзкмнорстухіїјѕԁԛԝһӏ" "αβεηικνορτυχ" "01i|",
    "abee3kmhopctyxiijsdqwhl" "abenikvoptux" "olll",
)  # fmt: skip


def plain(name: str) -> str:
    """The name in the one form in which it is kept (NFKC), with single spaces.

    Raises
    ------
    ValueError
        If it holds something that does not show, which would make two names look the same, or that
        turns the direction of what is written around it.

    Examples
    --------
    >>> plain(" Ａda  Lovelace ")
    'Ada Lovelace'
    >>> plain("Ada\\u200b")
    Traceback (most recent call last):
    ValueError: Expected a name of characters that show, got U+200B
    """
    name = unicodedata.normalize("NFKC", name.translate(_VARIATIONS))
    for letter in name:
        if letter in _BLANK or "\ufe00" <= letter <= "\ufe0f" or "\U000e0000" <= letter <= "\U000e0fff":
            break
        if unicodedata.category(letter) in _UNSEEN:
            break
    else:
        return " ".join(name.split())
    raise ValueError(f"Expected a name of characters that show, got U+{ord(letter):04X}")


def look(name: str) -> str:
    """The skeleton of a name, equal for names that are easily taken for each other.

    >>> look("Ada") == look("ADA") == look("\\u0410d\\u0430")  # two of its letters are Cyrillic
    True
    >>> look("Ada") == look("Ida")
    False
    """
    return name.casefold().translate(_TWINS).translate(_TWINS)
