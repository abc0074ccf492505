"""The times in the trace against those of the capture, event by event."""

import dataclasses

import pandas as pd
import pytest
from times import SENSE, distances
from watch import watched

import lpws
from lpws.recordings import DATA

WORK = lpws.Workload(clients=4, rate_hz=40, duration_s=1.0, seed=3)
ALL, NO_ANSWERS = set(SENSE), {name for name in SENSE if "response" not in name}
SEEN = {
    lpws.Reload(pause_s=0.05): ALL,
    lpws.ShortPolling(interval_s=0.1): ALL,
    lpws.LongPolling(): ALL,
    lpws.SSE(): NO_ANSWERS,
    lpws.WebSocket(): NO_ANSWERS,
}


@pytest.fixture(scope="module", params=SEEN, ids=repr)
def seen(request, namespace, tmp_path_factory):
    return watched(namespace, tmp_path_factory.mktemp("wire"), request.param, WORK)


def test_every_packet_lies_between_its_sending_and_its_receipt(seen):
    table = distances(seen)
    assert set(table["name"]) >= SEEN[seen.run.transport]
    assert table.distance_s.min() >= -seen.uncertain_ns / 1e9
    messages = (table["name"] == "message_received").sum()
    assert messages == (lpws.deliveries(seen.run).state == "delivered").sum() > 0


def test_events_are_in_the_same_order_on_the_wire_and_at_both_ends(seen):
    """For each client, by itself."""
    for _, table in distances(seen).sort_values("t", kind="stable").groupby(["name", "client"]):
        assert table.wire_s.is_monotonic_increasing


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_clock_that_is_off_is_noticed(seen, side):
    """By twice the median distance, toward the packets: half of the events are out of order then."""
    name = {"server": "message_sent", "client": "message_received"}[side]
    table = distances(seen)
    off_s = 2 * SENSE[name] * table[table["name"] == name].distance_s.median()
    events = [(t + off_s * (where == side), what, where, *rest) for t, what, where, *rest in seen.run.events]
    wrong = dataclasses.replace(seen, run=dataclasses.replace(seen.run, events=events))
    assert distances(wrong).distance_s.min() < -seen.uncertain_ns / 1e9


def test_the_recorded_table_has_no_event_before_its_cause():
    table = pd.read_csv(DATA / "wire.csv")
    assert set(table["name"]) == set(SENSE)
    assert set(table.transport) == {transport.label for transport in SEEN}
    assert (table.p05_s > 0).all()
