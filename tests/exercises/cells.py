"""Programs as a reader writes them: source text, run as a cell of a notebook is."""

import textwrap

from leaks import nothing_left_behind

from lpws.exercises import check


def made(source, name):
    """The thing of that name that a cell with this source defines."""
    cell = {"__name__": "__main__"}
    exec(textwrap.dedent(source), cell)
    return cell[name]


def verdict(task, thing, capsys):
    """What `check` prints, as lines."""
    capsys.readouterr()
    check(task, thing)
    return capsys.readouterr().out.splitlines()


def is_right(lines):
    """Whether all is said to be right, and nothing else is said."""
    return bool(lines) and all(line.startswith("✓") for line in lines)


def edited(source, *changes):
    """The source with each old text, which must be in it, replaced by the new one."""
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


def assert_hinted(task, thing, hint, capsys):
    """Fail unless a program is found wrong, with something to think about each time, and once this hint."""
    lines = verdict(task, thing, capsys)
    wrong = [line for line in lines if line.startswith("✗")]
    assert any(hint in line for line in wrong), lines
    assert all(" – think about " in line for line in wrong), lines


def assert_caught(task, thing, hint, good, capsys, begin="✓✗"):
    """Fail unless a hostile program gets a verdict and leaves nothing, and a good one passes after it.

    The verdict is that it is wrong, with this hint; if that is empty, it may be any, as of a program that
    is as slow as the machine is busy. Its lines begin with one of these characters.
    """
    with nothing_left_behind():
        lines = verdict(task, thing, capsys)
    assert not hint or any(line.startswith("✗") and hint in line for line in lines), lines
    assert all(line[0] in begin and len(line) < 800 for line in lines[: [*lines, ""].index("")]), lines
    assert is_right(verdict(task, good, capsys))


def assert_harmless(task, thing, good, capsys):
    """Fail unless a program that does something besides is right, leaves nothing, and a good one passes."""
    with nothing_left_behind():
        lines = verdict(task, thing, capsys)
    assert is_right(lines[: lines.index("")] if "" in lines else lines), lines  # below stands what it printed
    assert sum(map(len, lines)) < 3000
    assert is_right(verdict(task, good, capsys))


def assert_says(task, answer, said, capsys):
    """Fail unless the verdict on an answer is one line that begins like this."""
    [line] = verdict(task, answer, capsys)
    assert line.startswith(said)
