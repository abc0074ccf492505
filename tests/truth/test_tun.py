"""The laboratory's link against the kernel's own TCP over a line of the same length."""

import functools
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import transits
import tun
from namespaces import need

import lpws
from lpws.recordings import DATA
from lpws.server.counted_stream import CountedStream

D = transits.LINK.delay_s


@pytest.fixture(scope="module")
def over_kernel():
    """`lpws.measure` with the clients beyond a line, in place of the relay."""
    need("ip", "/dev/net/tun")
    with tun.line(D) as (near, far):
        yield functools.partial(tun.measure, near, far)


@pytest.fixture(scope="module")
def table(over_kernel):
    return transits.table(lpws.measure, over_kernel).set_index("what")


def takes_as_many_transits(row, measured):
    """Whether it never takes less than whole transits, and the quickest not one more."""
    early_s = 0.001  # the second of two messages begins so much later
    return (
        row.relay * D - early_s <= measured.relay_least_s < (row.relay + 0.9) * D
        and row.kernel * D - early_s <= measured.kernel_least_s
        and (measured.kernel_least_s < (row.kernel + 0.9) * D or row.what == transits.SLOW_START)
    )


@pytest.mark.parametrize("row", transits.ROWS, ids=lambda row: row.what)
def test_both_take_as_many_transits(table, row):
    assert takes_as_many_transits(row, table.loc[row.what])


@pytest.mark.parametrize("row", transits.ROWS, ids=lambda row: row.what)
def test_the_recorded_table_says_the_same(row):
    recorded = pd.read_csv(DATA / "link.csv", index_col="what").loc[row.what]
    assert (recorded.relay_transits, recorded.kernel_transits) == (row.relay, row.kernel)
    assert takes_as_many_transits(row, recorded)


@pytest.mark.parametrize("column", ["relay_least_s", "kernel_least_s"])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_transit_too_few_or_too_many_is_noticed(column, off):
    table = pd.read_csv(DATA / "link.csv", index_col="what")
    table[column] += off * D
    noticed = [row.what for row in transits.ROWS if not takes_as_many_transits(row, table.loc[row.what])]
    late = column == "kernel_least_s" and off > 0  # in one row the kernel may be
    assert noticed == [row.what for row in transits.ROWS if not (late and row.what == transits.SLOW_START)]


def test_nagle_shows_over_the_kernel_alone(over_kernel, monkeypatch):
    """A second small message waits for an ACK, a round trip; next door to the relay, that comes at once."""
    monkeypatch.setattr(CountedStream, "set_nodelay", lambda _stream, _value: None)
    relay_s, kernel_s = (
        transits.second(measure(lpws.SSE(), transits.PAIRS, transits.LINK)).min()
        for measure in (lpws.measure, over_kernel)
    )
    assert relay_s < 1.9 * D
    assert kernel_s > 2.9 * D


def test_nothing_is_left_behind(nothing_left):
    need("ip", "/dev/net/tun")
    with pytest.raises(KeyboardInterrupt), tun.line(0.01):
        raise KeyboardInterrupt


def test_the_line_ends_with_its_maker():
    """However that ends: the output of both is over."""
    need("ip", "/dev/net/tun")
    code = "import os, signal, tun\nwith tun.line(0.01):\n print('up', flush=True)\n os.kill(os.getpid(), 9)"
    command, here = [sys.executable, "-c", code], Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "up\n", "")
