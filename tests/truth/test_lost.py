"""What one lost packet delays, and what a change of address ends; and what `data/` says of both."""

import json

import lost
import moved
import pandas as pd
import pytest
from namespaces import need

from lpws import DATA


@pytest.fixture(scope="module", params=["recorded", "measured"])
def found(request):
    """One row a message, by way: as it was recorded, and on this machine."""
    if request.param == "measured":
        need("ip", "/dev/net/tun")
        table = pd.concat([lost.measure(way) for way in lost.WAYS])
    else:
        table = pd.read_csv(DATA / "lost.csv")
    return {way: rows.set_index("number") for way, rows in table.groupby("way")}


def test_every_message_arrives_and_none_before_a_transit(found):
    assert found.keys() == lost.WAYS.keys()
    for rows in found.values():
        assert list(rows.index) == list(range(lost.MESSAGES))
        assert (rows.received_s - rows.sent_s >= lost.DELAY_S).all()


def test_the_lost_message_takes_three_transits(found):
    """That one is missing is learned from those after it, a transit later; then it is sent again."""
    for rows in found.values():
        row = rows.loc[lost.LOST]
        assert row.received_s - row.sent_s >= 3 * lost.DELAY_S


def test_on_one_tcp_connection_nothing_overtakes_it(found):
    rows = found["HTTP/2"]
    late = rows.loc[lost.LOST]
    assert (rows[rows.index > lost.LOST].received_s >= late.received_s).all()
    held_up = rows[(rows.index > lost.LOST) & (rows.sent_s < late.received_s - lost.DELAY_S)]
    assert set(held_up.stream) - {late.stream}  # those whose packets were there, behind the gap


@pytest.mark.parametrize("way", ["separate", "QUIC"])
def test_otherwise_only_its_own_stream_waits_for_it(found, way):
    rows = found[way]
    late = rows.loc[lost.LOST]
    next_ones = rows[(rows.index > lost.LOST) & (rows.index < lost.LOST + 5)]
    assert (next_ones.received_s < late.received_s).all()
    own = rows[(rows.stream == late.stream) & (rows.index > lost.LOST)]
    assert (own.received_s >= late.received_s).all()


def test_the_recording_is_of_a_quiet_machine():
    table = pd.read_csv(DATA / "lost.csv")
    late = lost.delayed(table)
    assert late.groupby("way").stream.nunique().to_dict() == {"HTTP/2": 10, "QUIC": 1, "separate": 1}
    assert late[late.number < lost.LOST].empty


def test_polls_on_a_quic_connection_survive_a_change_of_address():
    found = {"held": 100, "answered": 100, "addresses": 2}
    assert moved.measure() == found
    assert json.loads((DATA / "moved.json").read_text(encoding="utf-8")) == found


def test_nothing_is_left_behind(nothing_left):
    need("ip", "/dev/net/tun")
    with lost.tun.lossy(0.01) as (near, far, lose):
        lose(1)
        assert near is not far
