"""What TCP learns of a path that loses every packet, and what `data/silence.csv` says of it."""

import pandas as pd
import pytest
import silence
from namespaces import need
from silence import SENDS, SENDS_WITH_LIMIT, WAITS, WAITS_WITH_PROBES

from lpws import DATA


@pytest.fixture(scope="module", params=["recorded", "measured"])
def found(request):
    """One row a connection and a change: as it was recorded, and on this machine."""
    if request.param == "recorded":
        return pd.read_csv(DATA / "silence.csv", keep_default_na=False)
    need("ip", "/dev/net/tun")
    return silence.changes(silence.measure(0.7, 5.0))


def of(found, kind):
    return found[found.connection == kind]


def test_only_who_asks_for_it_learns_within_seconds(found):
    ended = found[found.error != ""]
    assert dict(zip(ended.connection, ended.error, strict=True)) == {
        SENDS_WITH_LIMIT: "ETIMEDOUT",
        WAITS_WITH_PROBES: "ETIMEDOUT",
    }
    limits_s = {SENDS_WITH_LIMIT: silence.USER_TIMEOUT_S,
                WAITS_WITH_PROBES: (1 + silence.PROBES) * silence.KEEP_ALIVE_S}  # fmt: skip
    for kind, limit_s in limits_s.items():
        # Keep-alive counts from the last segment that came, which was before.
        assert of(found, kind).time_s.iloc[-1] >= limit_s - 0.7 - silence.LOOKS_EVERY_S


def test_the_sender_s_books_fill_and_its_pauses_double(found):
    sends = of(found, SENDS)
    before, after = sends[sends.time_s < 0], sends[sends.time_s > 0.3]
    assert before.unacknowledged_bytes.max() <= len(silence.MESSAGE)
    assert (before.sent_again == 0).all()
    assert after.unacknowledged_bytes.is_monotonic_increasing
    assert after.unacknowledged_bytes.iloc[-1] > 5 * len(silence.MESSAGE)
    again = sends.time_s[sends.sent_again.diff() > 0].to_numpy()
    pauses = again[1:] - again[:-1]
    assert len(again) >= 4
    assert all(later > 1.5 * earlier for earlier, later in zip(pauses, pauses[1:], strict=False))


def test_a_connection_that_only_waits_is_in_no_doubt(found):
    waits = of(found, WAITS)
    assert (waits[["unacknowledged_bytes", "unacknowledged", "sent_again"]] == 0).all(axis=None)


def test_nothing_is_left_behind(nothing_left):
    need("ip", "/dev/net/tun")
    with silence.tun.breakable(0.01) as (near, far, cut):
        cut()
        assert near is not far
