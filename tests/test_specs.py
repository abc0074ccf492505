"""The specifications: what they refuse and how, their way through JSON, and their random choices."""

import dataclasses
import itertools
import json
import math
import pathlib
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpws import specs
from lpws.specs import (
    SSE,
    Backoff,
    Link,
    LongPolling,
    Outage,
    Proxy,
    Reload,
    Restart,
    ShortPolling,
    WebSocket,
    Workload,
)
from lpws.specs.proxy import statements

KINDS = (*specs.TRANSPORTS, Workload, Link, Outage, Backoff, Restart)


#: Fields that are a word of a list.
WORDS = {"pattern", "how", "jitter"}

# ----------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("kind", KINDS)
def test_every_specification_has_defaults_and_cannot_be_changed(kind):
    spec = kind()
    name = dataclasses.fields(kind)[0].name
    assert spec == kind()
    assert hash(spec) == hash(kind())
    assert repr(spec).startswith(f"{kind.__name__}({name}=")
    assert eval(repr(spec), vars(specs).copy()) == spec
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(spec, name, 1)
    with pytest.raises(TypeError, match="positional"):
        kind(1)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, field.name) for kind in KINDS for field in dataclasses.fields(kind) if field.name not in WORDS],
)
@pytest.mark.parametrize("value", ["1", [1], 1j])
def test_a_wrong_type_is_refused(kind, name, value):
    expected = "True or False" if isinstance(getattr(kind(), name), bool) else "a (whole )?number"
    says = rf"^{kind.__name__}\({name}=…\): expected {expected}, got "
    with pytest.raises(TypeError, match=says) as caught:
        kind(**{name: value})
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize(
    ("kind", "name", "value", "says"),
    [
        (Reload, "keep_alive", 1, "expected True or False, got 1"),
        (ShortPolling, "aligned", None, "expected True or False, got None"),
        (ShortPolling, "interval_s", True, "expected a number, got True"),
        (Workload, "clients", 2.0, "expected a whole number, got 2.0"),
        (Workload, "clients", True, "expected a whole number, got True"),
        (Workload, "seed", 1.5, "expected a whole number, got 1.5"),
        (Link, "delay_s", None, "expected a number, got None"),
    ],
)
def test_a_near_miss_is_refused(kind, name, value, says):
    with pytest.raises(TypeError) as caught:
        kind(**{name: value})
    assert str(caught.value) == f"{kind.__name__}({name}=…): {says}"


@pytest.mark.parametrize(
    ("kind", "name", "least", "most"),
    [
        (Reload, "pause_s", 0.001, 3600),
        (ShortPolling, "interval_s", 0.001, 3600),
        (LongPolling, "hold_s", 0.001, 300),
        (LongPolling, "pause_s", 0, 3600),
        (SSE, "retry_s", 0.001, 3600),
        (WebSocket, "flush_s", 0, 60),
        (WebSocket, "ping_s", 0, 3600),
        (WebSocket, "retry_s", 0.001, 3600),
        (Workload, "clients", 1, 20_000),
        (Workload, "rate_hz", 0.001, 10_000),
        (Workload, "duration_s", 0.001, 3600),
        (Workload, "burst", 1, 10_000),
        (Workload, "spacing_s", 0, 60),
        (Workload, "size_bytes", 1, 65_536),
        (Workload, "seed", 0, 2**63),
        (Link, "delay_s", 0, 10),
        (Link, "cut_at_s", 0, 3600),
        (Link, "silent_at_s", 0, 3600),
        (Link, "silent_for_s", 0, 3600),
        (Outage, "at_s", 0, 3600),
        (Outage, "away_s", 0, 3600),
        (Outage, "server", 0, 63),
        (Outage, "jitter_s", 0, 3600),
        (Backoff, "first_s", 0.001, 3600),
        (Backoff, "factor", 1, 100),
        (Backoff, "limit_s", 0.001, 3600),
        (Restart, "clients", 1, 1_000_000),
        (Restart, "away_s", 0, 60),
        (Restart, "backlog", 1, 1_000_000),
        (Restart, "patience_s", 0.01, 60),
        (Restart, "serves_hz", 1, 1_000_000),
        (Restart, "until_s", 0.1, 600),
        (Restart, "seed", 0, 2**63),
    ],
)
def test_bounds(kind, name, least, most):
    for value in (least, most):
        assert getattr(kind(**{name: value}), name) == value
    step = 1 if isinstance(getattr(kind(), name), int) else 1e-6
    outside = [least - step, most + step] + (
        [math.nan, math.inf, -math.inf] if isinstance(step, float) else []
    )
    for value in outside:
        with pytest.raises(
            ValueError, match=rf"{kind.__name__}\({name}=…\): expected a .*number from .* to "
        ) as caught:
            kind(**{name: value})
        assert str(caught.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("pattern", ["Poisson", "burst", "", None, 3])
def test_an_unknown_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="expected 'poisson', 'periodic' or 'bursts', got ") as caught:
        Workload(pattern=pattern)
    assert str(caught.value).endswith(repr(pattern))


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [(Outage, "how", "'crash' or 'drain'"), (Backoff, "jitter", "'none', 'full' or 'equal'")],
)
@pytest.mark.parametrize("value", ["", "Full", None, 3])
def test_an_unknown_word_is_refused(kind, name, words, value):
    with pytest.raises(ValueError, match="expected") as caught:
        kind(**{name: value})
    assert str(caught.value) == f"{kind.__name__}({name}=…): expected {words}, got {value!r}"


def test_an_outage_ends_when_the_server_is_back():
    assert Outage(at_s=2, away_s=3).end_s == 5
    assert Outage(at_s=2, away_s=None).end_s == 2


# ------------------------------------------------------------------------------------ the waits


def waits_s(number, seed=1, **given):
    return list(itertools.islice(Backoff(**given).waits_s(random.Random(seed)), number))


def test_waits_without_jitter_are_doubled_up_to_a_limit():
    assert waits_s(5, first_s=0.5, limit_s=3, jitter="none") == [0.5, 1, 2, 3, 3]
    assert waits_s(3, first_s=0.5, factor=1, jitter="none") == [0.5, 0.5, 0.5]
    assert waits_s(2, first_s=9, limit_s=3, jitter="none") == [3, 3]


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5)])
def test_jitter_fills_its_range_and_no_more(jitter, least):
    drawn = np.array([waits_s(3, seed, first_s=1, jitter=jitter) for seed in range(2000)]) / [1, 2, 4]
    assert drawn.min() >= least
    assert drawn.max() <= 1
    assert np.abs(drawn.mean(axis=0) - (least + 1) / 2).max() < 5 * (1 - least) / math.sqrt(12 * 2000)
    assert np.abs(np.corrcoef(drawn.T)[0, 1]) < 0.12  # one wait says nothing of the next


def test_waits_are_repeated_by_their_seed():
    assert waits_s(5, 7) == waits_s(5, 7) != waits_s(5, 8)


# ------------------------------------------------------------------------------------ the proxy


def test_a_proxy_is_its_lines():
    proxy = Proxy(Proxy.OPEN, http="gzip on;", connections=20)
    assert eval(repr(proxy)) == proxy
    assert hash(proxy) == hash(Proxy(Proxy.OPEN, http="gzip on;", connections=20))
    assert proxy != Proxy(Proxy.OPEN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        proxy.http = ""
    with pytest.raises(TypeError, match="positional"):
        Proxy("", "gzip on;")


@pytest.mark.parametrize("value", [3, None, b"gzip on;", ["gzip on;"]])
@pytest.mark.parametrize("name", ["location", "http"])
def test_lines_of_a_proxy_are_text(name, value):
    with pytest.raises(TypeError) as caught:
        Proxy(**{"location": "", name: value})
    assert str(caught.value) == f"Proxy({name}=…): expected lines of a configuration (str), got {value!r}"


@pytest.mark.parametrize("value", ["20", 20.0, True, None])
def test_connections_of_a_proxy_are_a_number(value):
    with pytest.raises(TypeError, match=r"^Proxy\(connections=…\): expected a whole number, got "):
        Proxy("", connections=value)


@pytest.mark.parametrize("value", [1, "on", None])
def test_a_proxy_speaks_http2_or_does_not(value):
    with pytest.raises(TypeError) as caught:
        Proxy("", http2=value)
    assert str(caught.value) == f"Proxy(http2=…): expected True or False, got {value!r}"


@pytest.mark.parametrize("value", [-1, 0, 3, 8193])
def test_connections_of_a_proxy_have_bounds(value):
    with pytest.raises(ValueError, match=r"^Proxy\(connections=…\): expected a whole number from 4 to 8192"):
        Proxy("", connections=value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gzip on;\n}", "the } in line 2 closes a block that nothing here has opened"),
        ("} location /x {", "the } in line 1 closes a block that nothing here has opened"),
        ("if ($x) {\nreturn 503;", "the { in line 1 opens a block that nothing closes"),
        ("if ($x) { return 503 }", "expected ; after '503', got } in line 1"),
        ("gzip on", "expected ; after 'on', got the end"),
        ("gzip on; # off;\ngzip", "expected ; after 'gzip', got the end"),
        ("return 503 'no;", "the quote in line 1 has no partner"),
        ('\nreturn 503 "no\\";', "the quote in line 2 has no partner"),
        ("gzip on;\0", "expected text that can stand in a file, got '\\x00'"),
        ("gzip \ud800;", "expected text that can stand in a file, got '\\ud800'"),
        ("gzip on\\", "expected ; after 'on\\\\', got the end"),
    ],
)
@pytest.mark.parametrize("name", ["location", "http"])
def test_torn_lines_of_a_proxy_are_refused(name, text, says):
    with pytest.raises(ValueError, match=f"^Proxy.{name}=….: ") as caught:
        Proxy(**{"location": "", name: text})
    assert str(caught.value) == f"Proxy({name}=…): {says}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (";;", []),
        ("# { ; '", []),
        ("gzip on;", [["gzip", "on"]]),
        ("'include' x;", [["include", "x"]]),
        ('add_header A "} ; # {";', [["add_header", "A", "} ; # {"]]),
        ("rewrite ^/(\\{|a\\;b) /$1;", [["rewrite", "^/(\\{|a\\;b)", "/$1"]]),
        ("set $a ${b}c;", [["set", "$a", "${b}c"]]),
        ("set $a b#c'd\"e};", [["set", "$a", "b#c'd\"e}"]]),
        ("if ($a) { if ($b) { return 1; } }", [["if", "($a)"], ["if", "($b)"], ["return", "1"]]),
        ("a{}b;", [["a"], ["b"]]),
        ("gzip\x0bon\xa0;", [["gzip\x0bon\xa0"]]),
    ],
)
def test_a_configuration_is_read_as_nginx_reads_it(text, found):
    assert statements(text) == found


def test_transports_differ():
    for name in ("path", "label"):
        assert len({getattr(kind, name) for kind in specs.TRANSPORTS}) == len(specs.TRANSPORTS)
    assert {kind for kind in specs.TRANSPORTS if kind.persistent} == {LongPolling, SSE, WebSocket}
    assert set(specs.TRANSPORTS) == set(specs.Transport.__subclasses__())


def test_patience_is_longer_than_what_it_waits_for():
    assert ShortPolling(interval_s=3.0).patience_s > 3.0
    assert LongPolling(pause_s=3.0).patience_s >= 3.0
    assert WebSocket(flush_s=3.0).patience_s > 3.0
    assert math.exp(-Reload(pause_s=3.0).patience_s / 3.0) < 1e-4


# ------------------------------------------------------------------------------- through JSON

times = st.floats(0.001, 60)
flags = st.booleans()
any_spec = st.one_of(
    st.builds(Reload, pause_s=times, keep_alive=flags),
    st.builds(ShortPolling, interval_s=times, keep_alive=flags, aligned=flags),
    st.builds(LongPolling, hold_s=times, keep_alive=flags, cursor=flags, pause_s=times),
    st.builds(SSE, retry_s=times),
    st.builds(WebSocket, flush_s=times, ping_s=times, retry_s=times),
    st.builds(
        Workload,
        clients=st.integers(1, 20_000),
        rate_hz=times,
        duration_s=times,
        size_bytes=st.integers(1, 65_536),
        pattern=st.sampled_from(["poisson", "periodic", "bursts"]),
        seed=st.integers(0, 2**63),
    ),
    st.builds(Link, delay_s=st.floats(0, 10), cut_at_s=st.none() | times, silent_at_s=st.none() | times),
    st.builds(Proxy, st.sampled_from(["", Proxy.OPEN]), connections=st.integers(4, 8192)),
)
bounded = settings(max_examples=200, derandomize=True, deadline=None, database=None)


@bounded
@given(any_spec)
def test_a_specification_comes_back_from_json(spec):
    back = specs.from_dict(json.loads(json.dumps(specs.to_dict(spec))))
    assert back == spec
    assert type(back) is type(spec)


@pytest.mark.parametrize("kind", ["Polling", "", None, 3])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(ValueError, match="a specification of kind Reload, .*Backoff, got ") as caught:
        specs.from_dict({"kind": kind})
    assert str(caught.value).endswith(repr(kind))
    with pytest.raises(ValueError, match="got None"):
        specs.from_dict({})


def test_an_unknown_field_is_refused():
    with pytest.raises(
        ValueError, match="LongPolling has no hold, tau; it has cursor, hold_s, keep_alive, pause_s"
    ):
        specs.from_dict({"kind": "LongPolling", "tau": 1, "hold": 2, "pause_s": 0})


def test_a_bad_value_is_refused_on_the_way_back():
    with pytest.raises(ValueError, match="expected a number from"):
        specs.from_dict({"kind": "LongPolling", "hold_s": 1000})


def test_what_is_left_out_has_its_default():
    assert specs.from_dict({"kind": "Link"}) == Link()


# ------------------------------------------------------------------------------ random choices


def test_poisson_counts_and_gaps():
    # 400 runs of 5 s at 4 Hz: the count of each has mean and variance 20.
    runs = [Workload(rate_hz=4, duration_s=5, seed=seed).due_times_s() for seed in range(400)]
    counts = np.array([len(run) for run in runs])
    assert abs(counts.mean() - 20) < 5 * math.sqrt(20 / 400)
    # The variance of a Poisson sample's variance is (λ + 2λ²)/n, near enough.
    assert abs(counts.var(ddof=1) - 20) < 5 * math.sqrt((20 + 2 * 20**2) / 400)
    # Given their number, the times are uniform; thirds of the run do not know of each other.
    times_s = np.concatenate(runs)
    assert abs(times_s.mean() - 2.5) < 5 * 5 / math.sqrt(12 * len(times_s))
    first, second = (np.array([sum(low <= t < low + 2 for t in run) for run in runs]) for low in (0, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(400)
    gaps_s = np.diff(Workload(rate_hz=10, duration_s=2000).due_times_s())
    assert abs(gaps_s.mean() - 0.1) < 5 * 0.1 / math.sqrt(len(gaps_s))
    assert abs(gaps_s.std() - 0.1) < 5 * 0.1 * math.sqrt(2 / len(gaps_s))
    assert abs(np.mean(gaps_s > 0.1) - math.exp(-1)) < 5 * 0.5 / math.sqrt(len(gaps_s))


def test_periodic():
    assert Workload(pattern="periodic", rate_hz=4, duration_s=1).due_times_s() == [0.25, 0.5, 0.75, 1.0]
    assert (
        len(Workload(pattern="periodic", rate_hz=10, duration_s=0.3).due_times_s()) == 3
    )  # 0.3 is not 3 × 0.1
    assert len(Workload(pattern="periodic", rate_hz=7, duration_s=100).due_times_s()) == 700


def test_bursts():
    work = Workload(pattern="bursts", burst=3, spacing_s=0.01, rate_hz=6, duration_s=1)
    assert work.due_times_s() == pytest.approx([0.5, 0.51, 0.52, 1.0, 1.01, 1.02])
    at_once = Workload(pattern="bursts", burst=3, spacing_s=0, rate_hz=6, duration_s=1)
    assert at_once.due_times_s() == [0.5] * 3 + [1.0] * 3


@bounded
@given(
    st.builds(
        Workload,
        rate_hz=st.floats(0.001, 50),
        duration_s=st.floats(0.001, 20),
        seed=st.integers(0, 1000),
        pattern=st.sampled_from(["poisson", "periodic", "bursts"]),
        burst=st.integers(1, 9),
        spacing_s=st.floats(0, 2),
    )
)
def test_due_times_are_sorted_within_the_run_and_not_empty(work):
    times_s = work.due_times_s()
    assert times_s
    assert times_s == sorted(times_s) == work.due_times_s()
    over_s = work.burst * work.spacing_s if work.pattern == "bursts" else 0
    assert times_s[0] > 0
    assert times_s[-1] <= work.duration_s + over_s + 1e-6
    if work.pattern == "bursts":
        assert len(times_s) % work.burst == 0


@pytest.mark.parametrize("size_bytes", [1, 6, 20, 65_536])
def test_a_payload_has_its_size_and_tells_its_number(size_bytes):
    for number in (1, 10, 99_999):
        text = Workload(size_bytes=size_bytes).payload(number)
        assert len(text.encode()) == size_bytes
        assert f"news {number} ".startswith(text.rstrip("."))


def test_what_differs_by_transport_stands_on_the_transport():
    """No module of the core asks which transport it has before it."""
    names = "|".join(kind.__name__ for kind in specs.TRANSPORTS)
    for path in pathlib.Path(specs.__file__).parents[1].rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(rf"isinstance\([^)]*\b({names})\b", text), path


def test_seeds():
    a, b, c = (Workload(seed=seed) for seed in (1, 1, 2))
    assert a.due_times_s() == b.due_times_s() != c.due_times_s()
    for transport in (ShortPolling(), Reload()):
        firsts = [[transport.first_due_s(seed, client) for client in range(20)] for seed in (1, 1, 2)]
        assert firsts[0] == firsts[1]
        assert not set(firsts[0]) & set(firsts[2])
        assert len(set(firsts[0])) == 20


def test_the_same_choices_on_every_machine():
    assert Workload().due_times_s()[:2] == pytest.approx([0.48880709, 0.82386603], abs=1e-8)
    assert ShortPolling().first_due_s(1, 0) == pytest.approx(0.29350005, abs=1e-8)


def test_first_polls_are_spread_over_the_interval():
    n = 4000
    first_s = np.array([ShortPolling(interval_s=2.0).first_due_s(1, client) for client in range(n)])
    assert 0 <= first_s.min() < first_s.max() < 2
    assert abs(first_s.mean() - 1) < 5 * 2 / math.sqrt(12 * n)
    assert abs(first_s.std() - 2 / math.sqrt(12)) < 5 * 0.5 / math.sqrt(n)
    counts, _ = np.histogram(first_s, bins=10, range=(0, 2))
    assert abs(counts - n / 10).max() < 5 * math.sqrt(n / 10)
    # A client's phase is a share of the interval, whatever that is.
    assert ShortPolling(interval_s=4.0).first_due_s(1, 3) == pytest.approx(2 * first_s[3])


@pytest.mark.parametrize(
    "transport", [ShortPolling(aligned=True), LongPolling(), SSE(), WebSocket()], ids=str
)
def test_the_others_begin_at_the_start(transport):
    assert {transport.first_due_s(1, client) for client in range(9)} == {0.0}


def test_pauses_are_exponential():
    reload = Reload(pause_s=0.5)
    pauses_s = np.array(list(itertools.islice(reload.pauses_s(1, 3), 5000)))
    assert pauses_s[0] == reload.first_due_s(1, 3)
    assert abs(pauses_s.mean() - 0.5) < 5 * 0.5 / math.sqrt(5000)
    assert abs(pauses_s.std() - 0.5) < 5 * 0.5 * math.sqrt(2 / 5000)
    assert abs(np.mean(pauses_s > 0.5) - math.exp(-1)) < 5 * 0.5 / math.sqrt(5000)
    others_s = list(itertools.islice(reload.pauses_s(1, 4), 5000))
    assert abs(np.corrcoef(pauses_s, others_s)[0, 1]) < 5 / math.sqrt(5000)
