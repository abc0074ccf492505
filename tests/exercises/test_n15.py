"""The tasks of notebook 15: how many servers, judged by a simulation that is itself held against theory."""

import asyncio
import copy
import heapq
import inspect
import math
import random
import re
import time

import pytest
from cells import assert_caught, assert_harmless, assert_hinted, assert_says, edited, is_right, made, verdict

from lpws import models
from lpws.exercises import farm, n15, task
from lpws.exercises.child import plain
from lpws.exercises.observer import Wrong
from lpws.exercises.program import Program

SERVERS = """
def servers_needed(service):
    s = service
    work = (s["messages_hz"] * s["delivery_cpu_s"]
            + s["heartbeat_cpu_s"] / s["heartbeat_every_s"])
    servers = s["lost"]
    while True:
        servers += 1
        left = servers - s["lost"]
        share = s["clients"] / left
        back = s["clients"] * s["lost"] / servers / left
        if (share * s["delivery_cpu_s"] <= s["last_s"]
                and share * work <= s["busy"]
                and s["base_bytes"] + share * s["client_bytes"]
                <= s["memory_bytes"]
                and back * s["handshake_cpu_s"] <= s["back_s"]):
            return servers
"""
#: The closed forms, one after the other.
FORMS = """
import math

def servers_needed(s):
    n, lost = s["clients"], s["lost"]
    work = s["messages_hz"] * s["delivery_cpu_s"] + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]
    last = n * s["delivery_cpu_s"] / s["last_s"]
    cores = n * work / s["busy"]
    memory = n * s["client_bytes"] / (s["memory_bytes"] - s["base_bytes"])
    pairs = n * lost * s["handshake_cpu_s"] / s["back_s"]
    back = lost / 2 + math.sqrt(lost**2 / 4 + pairs) - lost
    left = max(last, cores, memory, back)
    return math.ceil(left) + lost
"""
GOOD = {
    "tries one after the other": SERVERS,
    "closed forms": FORMS,
    "bisection": edited(SERVERS, ("def servers_needed(service):", "def enough(service, servers):"), (
        "    servers = s[\"lost\"]\n    while True:\n        servers += 1\n", "    if True:\n"), (
        "            return servers", "            return True\n    return False\n\n\n"
        "def servers_needed(service):\n    low, high = service['lost'], 10**6\n"
        "    while high - low > 1:\n        middle = (low + high) // 2\n"
        "        if enough(service, middle):\n            high = middle\n        else:\n"
        "            low = middle\n    return high")),
    "numpy": """
        import numpy as np
        def servers_needed(s):
            k = np.arange(s["lost"] + 1, 100_000)
            left = k - s["lost"]
            share = s["clients"] / left
            work = s["messages_hz"] * s["delivery_cpu_s"] + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]
            good = share * s["delivery_cpu_s"] <= s["last_s"]
            good &= share * work <= s["busy"]
            good &= s["base_bytes"] + share * s["client_bytes"] <= s["memory_bytes"]
            good &= share * s["lost"] / k * s["handshake_cpu_s"] <= s["back_s"]
            return k[good][0]
    """,
    "numpy's ceil, a float": edited(FORMS, ("math.ceil(left) + lost", "np.ceil(left) + lost"),
                                    ("import math", "import math\nimport numpy as np")),
    "a whole float": edited(FORMS, ("return math.ceil(left) + lost", "return float(math.ceil(left) + lost)")),
    "fractions": """
        import math
        from fractions import Fraction
        def servers_needed(service):
            s = {name: Fraction(repr(value)) for name, value in service.items()}
            rate = s["messages_hz"] * s["delivery_cpu_s"] + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]
            left = math.ceil(max(
                s["clients"] * s["delivery_cpu_s"] / s["last_s"],
                s["clients"] * rate / s["busy"],
                s["clients"] * s["client_bytes"] / (s["memory_bytes"] - s["base_bytes"])))
            lost = s["lost"]
            while lost * s["clients"] * s["handshake_cpu_s"] > s["back_s"] * left * (left + lost):
                left += 1
            return int(left + lost)
    """,
    "clients of a server": """
        def servers_needed(s):
            work = s["messages_hz"] * s["delivery_cpu_s"] + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]
            most = int(min(s["last_s"] / s["delivery_cpu_s"], s["busy"] / work,
                           (s["memory_bytes"] - s["base_bytes"]) / s["client_bytes"]))
            servers = -(-s["clients"] // most) + s["lost"]
            homeless = lambda k: -(-s["clients"] // k) * s["lost"]
            while homeless(servers) / (servers - s["lost"]) * s["handshake_cpu_s"] > s["back_s"]:
                servers += 1
            return servers
    """,
    "a class": """
        import math
        class Planner:
            def __init__(self, service):
                self.__dict__.update(service)
                self.per_client = (self.messages_hz * self.delivery_cpu_s
                                   + self.heartbeat_cpu_s / self.heartbeat_every_s)
            def needs(self):
                yield self.clients * self.delivery_cpu_s / self.last_s
                yield self.clients * self.per_client / self.busy
                yield self.clients * self.client_bytes / (self.memory_bytes - self.base_bytes)
                k = self.lost + 1
                while self.clients / k * self.lost / (k - self.lost) * self.handshake_cpu_s > self.back_s:
                    k += 1
                yield k - self.lost
        def servers_needed(service):
            plan = Planner(service)
            return max(map(math.ceil, plan.needs())) + plan.lost
    """,
    "awaits": edited(SERVERS, ("def servers", "async def servers")),
    "recursion": """
        def servers_needed(s, k=None):
            k = k or s["lost"] + 1
            left = k - s["lost"]
            share = s["clients"] / left
            work = s["messages_hz"] * s["delivery_cpu_s"] + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]
            worst = max(share * s["delivery_cpu_s"] / s["last_s"], share * work / s["busy"],
                        share * s["client_bytes"] / (s["memory_bytes"] - s["base_bytes"]),
                        share * s["lost"] / k * s["handshake_cpu_s"] / s["back_s"])
            return k if worst <= 1 else servers_needed(s, k + 1)
    """,
    "a simulation of its own": """
        def servers_needed(s):
            def good(k):
                left = k - s["lost"]
                share = -(-s["clients"] // left)
                time_s, busy_s, end_s = 0.0, 0.0, 40 / s["messages_hz"]
                for n in range(40):
                    time_s = max(time_s, n / s["messages_hz"]) + share * s["delivery_cpu_s"]
                    busy_s += share * s["delivery_cpu_s"]
                    if time_s - n / s["messages_hz"] > s["last_s"]:
                        return False
                busy_s += share * end_s / s["heartbeat_every_s"] * s["heartbeat_cpu_s"]
                bytes_ = s["base_bytes"] + share * s["client_bytes"]
                back_s = (share - s["clients"] // k) * s["handshake_cpu_s"]
                return busy_s <= s["busy"] * end_s and bytes_ <= s["memory_bytes"] and back_s <= s["back_s"]
            k = s["lost"] + 1
            while not good(k):
                k += 1
            return k
    """,
    "one more, to be safe": edited(FORMS, ("+ lost\n", "+ lost + 1\n")),
}  # fmt: skip


class Here(Program):
    """A program that is called in the process of the tests, where the judge is the same, and faster."""

    def __init__(self, thing):
        super().__init__(thing)  # what is drawn follows from its bytes
        self.thing = thing

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def tell(self, order, *arguments, within_s):
        assert order == "call"
        try:
            value = self.thing(*copy.deepcopy(arguments))
            value = asyncio.run(value) if inspect.isawaitable(value) else value
            return {"errors": [], "result": plain(value)}
        except Exception as error:
            return {"errors": [f"{type(error).__name__}: {error}"], "result": None}


@pytest.fixture
def here(monkeypatch):
    """Programs are called in this process; no hostile ones, and none that must be carried to another."""
    monkeypatch.setattr(task, "Program", Here)


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_function_passes(source, capsys, here):
    lines = verdict("15.servers", made(source, "servers_needed"), capsys)
    assert is_right(lines), lines
    assert len(lines) == 6


@pytest.mark.parametrize("name", ["tries one after the other", "numpy", "awaits"])
def test_in_its_own_process_as_well(name, capsys):
    assert is_right(verdict("15.servers", made(GOOD[name], "servers_needed"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = "def servers_needed(service):\n    ...  # your code"
    [line] = verdict("15.servers", made(stub, "servers_needed"), capsys)
    assert line.startswith("… `servers_needed` returns nothing yet: how many")


# ------------------------------------------------------------------------------ wrong programs

LAST, CORES, MEMORY = (line for line in FORMS.splitlines() if line.strip().startswith(
    ("last =", "cores =", "memory =")))  # fmt: skip
CEIL, LARGEST = "math.ceil(left) + lost", "max(last, cores, memory, back)"
BEATS = ' + s["heartbeat_cpu_s"] / s["heartbeat_every_s"]'
MOST, PART = "which limit needs the most", "how to round a fraction"
LEFT = "how many servers must remain"
GONE = "who has the lost servers' clients"
BACK, LATE, WORK = "whose clients come back", "before it reaches the last", "all that one processor has to do"
ENOUGH = "are enough – think about"
HELD, UNITS = "what a server holds for its clients", "the units"
WRONG = {
    "rounds down": ([(CEIL, "math.floor(left) + lost")], PART),
    "rounds, and the nearest is one less": ([(CEIL, "int(left) + lost")], PART),
    "divides whole numbers": ([(CEIL, "int(left // 1) + lost")], PART),
    "adds the limits up": ([(LARGEST, "last + cores + memory + back")], MOST),
    "only the last client": ([(LARGEST, "last")], "of work per second"),
    "only the processors": ([(LARGEST, "cores")], LATE),
    "only memory": ([(LARGEST, "memory")], "was allowed"),
    "the smallest": ([(LARGEST, "min(last, cores, memory)")], "was allowed"),
    "the average": ([(LARGEST, "(last + cores + memory) / 3")], LATE),
    "no time for the last": ([(LARGEST, "max(cores, memory, back)")], LATE),
    "no processors": ([(LARGEST, "max(last, memory, back)")], "of work per second"),
    "no memory": ([(LARGEST, "max(last, cores, back)")], HELD),
    "no return": ([(LARGEST, "max(last, cores, memory)")], BACK),
    "no heartbeats": ([(BEATS, "")], "while nobody says anything"),
    "heartbeats alone": ([('s["messages_hz"] * s["delivery_cpu_s"] + ', "")], WORK),
    "deliveries or heartbeats": (
        [('s["messages_hz"] * s["delivery_cpu_s"]' + BEATS,
          'max(s["messages_hz"] * s["delivery_cpu_s"], s["heartbeat_cpu_s"] / s["heartbeat_every_s"])')],
        WORK),
    "heartbeats on other servers": (
        [('s["messages_hz"] * s["delivery_cpu_s"]' + BEATS, 's["messages_hz"] * s["delivery_cpu_s"]'),
         (LARGEST, 'max(last, cores + math.ceil(n * s["heartbeat_cpu_s"] / s["heartbeat_every_s"]), '
                   "memory, back)")], "of work per second"),
    "a heartbeat per second": ([(' / s["heartbeat_every_s"]', "")], ENOUGH),
    "heartbeats times their interval": ([(' / s["heartbeat_every_s"]', ' * s["heartbeat_every_s"]')], ENOUGH),
    "busy all the time": ([('n * work / s["busy"]', "n * work")], "what share of each processor stays idle"),
    "busy twice": ([('n * work / s["busy"]', 'n * work / s["busy"] ** 2')], MOST),
    "as idle as busy": ([('n * work / s["busy"]', 'n * work / s["busy"] / 4')], "of work per second"),
    "the memory of an empty server": (
        [('(s["memory_bytes"] - s["base_bytes"])', 's["memory_bytes"]')], "before the first client comes"),
    "one empty server for all": (
        [(MEMORY, '    memory = (n * s["client_bytes"] + s["base_bytes"]) / s["memory_bytes"]')],
        "before the first client comes"),
    "an empty server for each client": (
        [(MEMORY, '    memory = n * (s["client_bytes"] + s["base_bytes"]) / s["memory_bytes"]')], UNITS),
    "memory in kilobytes": ([('n * s["client_bytes"]', 'n / 1000 * s["client_bytes"]')], HELD),
    "nobody is lost": ([(" + lost\n", "\n")], GONE),
    "one is lost": ([(" + lost\n", " + (lost > 0)\n")], "of them gone, "),
    "twice as many are lost": ([(" + lost\n", " + 3 * lost\n")], LEFT),
    "each server twice": ([(" + lost\n", " * (1 + (lost > 0))\n")], LEFT),
    "clients times clients": ([("n * lost * s", "n * n * s")], ENOUGH),
    "everybody comes back, whoever is lost": (
        [("back = lost / 2 + math.sqrt(lost**2 / 4 + pairs) - lost",
          'back = n * s["handshake_cpu_s"] / s["back_s"]')], "if no server is lost"),
    "shared among all, also the lost": (
        [("lost / 2 + math.sqrt(lost**2 / 4 + pairs)", "math.sqrt(pairs)")], "back after"),
    "one server takes all in": ([("lost / 2 + math.sqrt(lost**2 / 4 + pairs) - lost", "pairs")], ENOUGH),
    "the clients of one": ([("n * lost * s", "n * (lost > 0) * s")], BACK),
    "half of the time": ([('/ s["back_s"]', '/ s["back_s"] / 2')], BACK),
    "the last in milliseconds": ([('/ s["last_s"]', '/ (s["last_s"] / 1000)')], UNITS),
    "costs in microseconds": ([('n * s["delivery_cpu_s"] / s', 'n * s["delivery_cpu_s"] / 1e6 / s')], LATE),
    "rate times time": ([(LAST, LAST + ' * s["messages_hz"]')], LATE),
    "half, since the average waits half": ([(LAST, LAST + " / 2")], LATE),
    "the last by a busy processor": ([(LAST, LAST + ' / s["busy"]')], MOST),
    "a third more": ([(CEIL, "math.ceil(1.34 * left) + lost")], MOST),
    "two always": ([(CEIL, "2 + lost")], "allowed"),
    "a thousand": ([(CEIL, "1000")], ENOUGH),
    "no whole number": ([(CEIL, "left + lost")], "a whole number of servers"),
    "text": ([(CEIL, "str(math.ceil(left) + lost)")], "a whole number of servers"),
    "a wrong key": ([('s["busy"]', 's["busy_s"]')], "what that line expects"),
    "divides by those lost": ([("pairs = n * lost", "pairs = n / lost")], "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_function_gets_the_hint_that_fits(changes, hint, capsys, here):
    assert_hinted("15.servers", made(edited(FORMS, *changes), "servers_needed"), hint, capsys)


ODD = {
    "None": "None", "dots": "...", "text": "'3'", "nan": "float('nan')", "infinity": "float('inf')",
    "True": "True", "a half": "3.5", "a list": "[3]", "a dict": "{'servers': 3}", "bytes": "b'3'",
    "a complex": "3+0j", "a function": "max", "numpy's True": "__import__('numpy').bool_(True)",
    "a decimal": "__import__('decimal').Decimal(3)",
    "an array": "__import__('numpy').array([3, 4])",
}  # fmt: skip


def test_a_wrong_function_in_its_own_process_gets_the_same_hints(capsys, monkeypatch):
    for name in "no heartbeats", "a wrong key", "text":
        changes, hint = WRONG[name]
        function = made(edited(FORMS, *changes), "servers_needed")
        assert_hinted("15.servers", function, hint, capsys)
        lines = verdict("15.servers", function, capsys)
        with monkeypatch.context() as patch:
            patch.setattr(task, "Program", Here)
            same = verdict("15.servers", function, capsys)
        assert [re.sub(r" in line \d+ of the cell", "", line) for line in lines] == same


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_what_is_no_number_is_told_so(value, capsys, here):
    source = f"def servers_needed(service): return {value}"
    lines = verdict("15.servers", made(source, "servers_needed"), capsys)
    assert lines[0].startswith(("✗ returned ", "… ")), lines
    assert not any(line.startswith("✓") for line in lines)


@pytest.mark.parametrize(
    ("value", "said"),
    [("0", "✗ asked for fewer than one server"),
     ("-3", "✗ asked for fewer than one server"),
     ("-10**400", "✗ asked for fewer than one server"),
     ("1", "✗ asked for 1 server: "), ("1.0", "✗ asked for 1 server: "),
     ("10**12", "✗ asked for a billion servers, or more, but "),
     ("10**5000", "✗ asked for a billion servers, or more, but "),
     ("1e308", "✗ asked for a billion servers, or more, but "),
     ("__import__('numpy').int32(1)", "✗ asked for 1 server: "),
     ("__import__('numpy').float64(900_000)", "✗ asked for 900,000 servers, but ")],
)  # fmt: skip
def test_numbers_far_off(value, said, capsys, here):
    source = f"def servers_needed(service): return {value}"
    lines = verdict("15.servers", made(source, "servers_needed"), capsys)
    assert lines[0].startswith(said), lines
    assert " – think about " in lines[0]


def test_as_few_as_may_be_lost(capsys, here):
    source = edited(FORMS, (CEIL, "lost or math.ceil(left)"))
    assert_hinted("15.servers", made(source, "servers_needed"), "may be gone – think about who is", capsys)


def test_a_verdict_can_be_tried_in_a_cell(capsys, here):
    function = made(edited(FORMS, (BEATS, "")), "servers_needed")
    lines = verdict("15.servers", function, capsys)
    start = next(n for n, line in enumerate(lines) if line.startswith("service = {"))
    end = next(n for n, line in enumerate(lines) if n >= start and line.endswith("}"))
    assert max(map(len, lines[start : end + 1])) <= 80
    cell = {}
    exec("\n".join(lines[start : end + 1]), cell)
    assert f"asked for {function(cell['service']):,} servers" in lines[start - 1]


def test_the_same_function_gets_the_same_verdict(capsys):
    function = made(edited(FORMS, (BEATS, "")), "servers_needed")
    first, second = (verdict("15.servers", function, capsys) for _ in range(2))
    assert first == second


# ------------------------------------------------------------------------------------ hostile

HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "a long sleep": ("while True: __import__('time').sleep(60)", "did not come back"),
    "an exit": ("__import__('os')._exit(0)", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "an endless recursion": ("servers_needed(s)", "raised RecursionError"),
    "an error": ("raise ValueError('too many')", "raised ValueError: too many"),
    "a coroutine that is never awaited": ("__import__('asyncio').sleep(1)", "was never awaited"),
}  # fmt: skip
HARMLESS = {
    "much output": "print('x' * 1_000_000)",
    "a fake verdict": "print('✓ everything is right')",
    "a thread": "import threading; threading.Thread(target=threading.Event().wait).start()",
    "changes the service": "s = dict(s), s.clear(); s = s[0]",
    "other names": "import builtins, pickle, os; builtins.print = pickle.dumps = os._exit = None",
}


def doing(what):
    """A good function that does something else first."""
    return made(edited(FORMS, ('    n, lost = s["clients"]', f'    {what}\n    n, lost = s["clients"]')),
                "servers_needed")  # fmt: skip


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_function_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    # Below a ✗ stands `service = {…`, to be tried in a cell.
    assert_caught("15.servers", doing(what), hint, made(FORMS, "servers_needed"), capsys, begin="✓✗s ")


@pytest.mark.parametrize("what", HARMLESS.values(), ids=HARMLESS)
def test_what_a_function_does_besides_does_no_harm(what, capsys):
    assert_harmless("15.servers", doing(what), made(FORMS, "servers_needed"), capsys)


def test_what_is_no_function_is_told_so(capsys):
    assert_says("15.servers", 14, "✗ expected a function of (service), got 14", capsys)
    none = made("def servers_needed(): return 14", "servers_needed")
    assert_says("15.servers", none, "✗ is called with (service), and that does not fit", capsys)


def test_a_verdict_takes_less_than_three_seconds(capsys):
    def takes_s():
        start_s = time.monotonic()
        assert is_right(verdict("15.servers", made(SERVERS, "servers_needed"), capsys))
        return time.monotonic() - start_s

    assert any(takes_s() < 3 for _ in range(3))  # the second and third are for a busy machine


# ------------------------------------------------------------------------- the services drawn

DRAWN = [("last", 0), ("busy", 0), ("idle", 0), ("memory", 0), ("last", 4), ("busy", 1), ("memory", 3),
         ("back", 2), ("back", 5)]  # fmt: skip
SEEDS = range(200)
right = made(SERVERS, "servers_needed")


def drawn(seed, tight, lost):
    return n15.service(random.Random(f"{seed} {tight} {lost}"), tight, lost)


@pytest.mark.parametrize(("tight", "lost"), DRAWN)
def test_the_solution_finds_what_the_simulation_finds(tight, lost):
    for seed in SEEDS:
        service = drawn(seed, tight, lost)
        number = right(service)
        assert farm.is_enough(service, number), service
        assert not farm.is_enough(service, number - 1), service


@pytest.mark.parametrize(("tight", "lost"), DRAWN)
def test_one_more_is_accepted_or_a_tenth(tight, lost):
    for seed in SEEDS[:10]:
        service = drawn(seed, tight, lost)
        number = right(service)
        for accepted in (number, number + 1, number + number // 10):
            n15.judge(service, accepted)
        for other in (number - 1, max(number + 2, int(1.1 * number) + 1)):
            with pytest.raises(Wrong):
                n15.judge(service, other)


@pytest.mark.parametrize(("tight", "lost"), DRAWN)
def test_one_limit_asks_for_the_most(tight, lost):
    limit = tight.replace("idle", "busy")
    for seed in SEEDS:
        service = drawn(seed, tight, lost)
        found = farm.limits(service, farm.live(service, right(service) - 1))
        assert [name for name, (was, allowed) in found.items() if was > allowed] == [limit], service


def test_more_servers_are_never_worse():
    for seed, (tight, lost) in enumerate(DRAWN):
        service = drawn(seed, tight, lost)
        number = right(service)
        enough = [farm.is_enough(service, servers) for servers in range(1, 2 * number)]
        assert enough == [servers >= number for servers in range(1, 2 * number)]
        assert farm.least(service, 10**9) == number


# ------------------------------------------------------- the simulation against what is known

PLAIN = {
    "clients": 12_000, "messages_hz": 0.5, "delivery_cpu_s": 50e-6, "heartbeat_cpu_s": 200e-6,
    "heartbeat_every_s": 20.0, "handshake_cpu_s": 1e-3, "client_bytes": 20_000, "base_bytes": 10**8,
    "memory_bytes": 10**9, "last_s": 1.0, "busy": 0.7, "lost": 0, "back_s": 5.0,
}  # fmt: skip


def test_without_heartbeats_the_last_hears_after_all_writes():
    lived = farm.live(PLAIN | {"heartbeat_cpu_s": 0.0}, 4)
    assert lived.last_s == pytest.approx(models.last_latency(clients=3000, write_s=50e-6, delay_s=0))
    assert lived.busy == pytest.approx(3000 * 0.5 * 50e-6)
    assert lived.clients == 3000
    assert lived.memory_bytes == 10**8 + 3000 * 20_000


def test_without_messages_only_heartbeats_are_work():
    lived = farm.live(PLAIN | {"delivery_cpu_s": 0.0}, 4)
    assert lived.busy == pytest.approx(3000 / 20 * 200e-6, rel=1e-3)
    assert lived.last_s <= 200e-6


def test_deliveries_and_heartbeats_add_up():
    lived = farm.live(PLAIN, 4)
    assert lived.busy == pytest.approx(3000 * (0.5 * 50e-6 + 200e-6 / 20), rel=1e-3)
    assert 3000 * 50e-6 <= lived.last_s <= 3000 * 50e-6 + 200e-6


def test_too_much_work_is_never_done():
    # 0.6 s of writing, ten times per second
    crowded = PLAIN | {"messages_hz": 10.0, "heartbeat_cpu_s": 0.0}
    lived = farm.live(crowded, 1)
    assert lived.busy == pytest.approx(1)
    assert lived.offered == pytest.approx(6)
    assert lived.last_s == pytest.approx(3 * 0.6 - 2 * 0.1)  # the third message waits for two others


@pytest.mark.parametrize(("servers", "lost"), [(4, 1), (6, 3), (12, 5)])
def test_those_who_come_back_are_taken_in_one_by_one(servers, lost):
    lived = farm.live(PLAIN | {"lost": lost}, servers)
    left = servers - lost
    come = 12_000 * lost / servers / left
    assert lived.clients == math.ceil(12_000 / left)
    assert lived.back_s == pytest.approx(models.drain_s(clients=come, serves_hz=1000), rel=3e-3)


def test_nobody_comes_back_where_nobody_is_lost():
    assert farm.live(PLAIN, 3).back_s == 0


def one_by_one(service, servers):
    """The same farm, every client and every piece of work by itself: last [s], busy, back [s]."""
    alive = range(service["lost"], servers)
    first = [client % servers for client in range(service["clients"])]
    turns = iter(range(service["clients"]))
    after = [server if server in alive else alive[next(turns) % len(alive)] for server in first]
    fullest = max(alive, key=after.count)
    members, period_s = after.count(fullest), 1 / service["messages_hz"]
    queue, number, gap_s = [], 0, service["heartbeat_every_s"] / members
    while (at_s := (number + 0.5) * gap_s) < 3 * period_s:
        heapq.heappush(queue, (at_s, 1, service["heartbeat_cpu_s"]))
        number += 1
    for message in range(3):
        for _ in range(members):
            heapq.heappush(queue, (message * period_s, 0, service["delivery_cpu_s"]))
    now_s = busy_s = last_s = 0.0
    while queue:
        at_s, kind, takes_s = heapq.heappop(queue)
        begins_s = max(now_s, at_s)
        now_s = begins_s + takes_s
        busy_s += max(0.0, min(now_s, 3 * period_s) - max(begins_s, period_s))
        if kind == 0:
            last_s = max(last_s, now_s - at_s)
    comes = sum(was not in alive and now == fullest for was, now in zip(first, after, strict=True))
    return last_s, busy_s / (2 * period_s), comes * service["handshake_cpu_s"]


@pytest.mark.parametrize("servers", [3, 4, 7, 20])
@pytest.mark.parametrize("lost", [0, 2])
def test_it_is_as_if_every_delivery_was_followed(servers, lost):
    service = PLAIN | {"lost": lost}
    lived = farm.live(service, servers)
    last_s, busy, back_s = one_by_one(service, servers)
    assert lived.last_s == pytest.approx(last_s, rel=1e-2)
    assert lived.busy == pytest.approx(busy, rel=2e-3)
    assert lived.back_s == pytest.approx(back_s, rel=1e-2)


def test_heartbeats_taken_together_change_little(monkeypatch):
    service = PLAIN | {"clients": 200_000, "messages_hz": 0.05}
    together = farm.live(service, 4)
    monkeypatch.setattr(farm, "_PIECES", 10**7)
    apart = farm.live(service, 4)
    assert together.last_s == pytest.approx(apart.last_s, rel=2e-3)
    assert together.busy == pytest.approx(apart.busy, rel=2e-3)


# -------------------------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [("newcomers", 40, "✓"), ("newcomers", 41, "✓"), ("newcomers", 39, "✓"), ("newcomers", 42, "✗ not 42"),
     ("newcomers", 4000, "✗ not 4000: that is an even share, but"),
     ("newcomers", 50, "✗ not 50: the new servers get"), ("newcomers", 200, "✗ not 200: the old"),
     ("newcomers", 0, "✗ not 0: a returning client"), ("newcomers", "40", "✗ expected a number"),
     ("apps", 458_333, "✓"), ("apps", 460_000, "✓"), ("apps", 500_000, "✗ not 500000: the shared"),
     ("apps", 1e7 / 240, "✗ not 4.17e+04: that is what remains"),
     ("apps", 41_666.67, "✗ not 4.17e+04: that is what remains"), ("apps", 0, "✗ not 0"),
     ("apps", 27_500_000, "✗ not 27500000: that is per minute"),
     ("apps", 2 * 1e7 * 11 / 240, "✗ not 9.17e+05: a ping and its pong are one"),
     ("apps", 30_000_000, "✗ not 30000000: that is per minute; and the shared"),
     ("newcomers", 8, "✗ not 8: the proxy takes turns among 25"),
     ("newcomers", 10, "✗ not 10: that is of the clients of one old server")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"15.{task}", answer, said, capsys)
