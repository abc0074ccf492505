"""Programs as a reader writes them: source text, run as a cell of a notebook is."""

import textwrap

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


def assert_says(task, answer, said, capsys):
    """Fail unless the verdict on an answer is one line that begins like this."""
    [line] = verdict(task, answer, capsys)
    assert line.startswith(said)
