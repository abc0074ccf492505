"""The tasks of notebook 09: a reconnect loop, judged on a crowd and on real cuts."""

import pytest
from cells import assert_caught, assert_hinted, assert_says, edited, is_right, made, verdict
from leaks import nothing_left_behind

STAY = """
import asyncio, random

async def stay(connect, hear, first_s, limit_s):
    cursor, failed = 0, 0
    while True:
        asked_s = 0
        try:
            async for id, text in await connect(cursor):
                failed = 0
                if id > cursor:
                    hear(id, text)
                    cursor = id
        except ConnectionError as error:
            asked_s = error.retry_after_s or 0
        bound_s = min(limit_s, first_s * 2 ** min(failed, 30))
        failed += 1
        await asyncio.sleep(asked_s + random.uniform(0, bound_s))
"""
WAIT = "asked_s + random.uniform(0, bound_s)"
GOOD = {
    "full jitter": STAY,
    "equal jitter": edited(STAY, (WAIT, "asked_s + random.uniform(bound_s / 2, bound_s)")),
    "the library's backoff": """
        import asyncio, random, lpws

        async def stay(connect, hear, first_s, limit_s):
            heard, backoff = [0], lpws.Backoff(first_s=first_s, limit_s=limit_s)
            waits = backoff.waits_s(random)
            while True:
                patience = 0
                try:
                    async for id, text in await connect(heard[-1]):
                        waits = backoff.waits_s(random)
                        if id not in heard:
                            heard.append(id)
                            hear(id, text)
                except OSError as error:
                    patience = getattr(error, "retry_after_s", None) or 0
                await asyncio.sleep(patience + next(waits))
    """,
    "decorrelated": edited(
        STAY,
        ("cursor, failed = 0, 0", "cursor, failed, last = 0, 0, first_s"),
        ("failed = 0\n                if", "failed, last = 0, first_s\n                if"),
        (
            "failed += 1\n",
            "failed += 1\n        last = min(limit_s, random.uniform(first_s / 2, last * 3))\n",
        ),
        (WAIT, "asked_s + min(last, bound_s) * random.uniform(0.3, 1)"),
    ),
    "who waits for a slow server": edited(
        STAY, ("await connect(cursor)", "await asyncio.wait_for(connect(cursor), 10)")
    ),
}


@pytest.mark.parametrize("source", GOOD.values(), ids=GOOD)
def test_a_good_loop_passes(source, capsys):
    with nothing_left_behind():
        assert is_right(verdict("09.reconnect", made(source, "stay"), capsys))


def test_who_has_not_begun_is_told_what_to_do(capsys):
    stub = "async def stay(connect, hear, first_s, limit_s):\n    ...  # your code"
    [line] = verdict("09.reconnect", made(stub, "stay"), capsys)
    assert line.startswith("… the loop is still empty: begin with one connection")


@pytest.mark.parametrize(
    ("source", "said"),
    [("def stay(connect, hear, first_s, limit_s): return 1", "✗ expected a function that can await"),
     ("async def stay(connect): await connect(0)", "✗ is called with (connect, hear, first_s, limit_s)"),
     ("stay = 7", "✗ expected a function of (connect, hear, first_s, limit_s), got 7")],
)  # fmt: skip
def test_what_is_no_loop_is_told_so(source, said, capsys):
    [line] = verdict("09.reconnect", made(source, "stay"), capsys)
    assert line.startswith(said)


SUCCESS = "                failed = 0\n"
WRONG = {
    "no jitter": ([(WAIT, "asked_s + bound_s")], "everybody who lost the same server at the same moment"),
    "jitter on the first only": (
        [(WAIT, "asked_s + (random.uniform(0, bound_s) if failed == 1 else bound_s)")],
        "everybody who lost the same server at the same moment",
    ),
    "a little jitter": (
        [(WAIT, "asked_s + bound_s * random.uniform(0.95, 1)")], "what could tell them apart",
    ),
    "at once after an end that is no error": (
        [("            asked_s = error.retry_after_s or 0\n",
          "            asked_s = error.retry_after_s or 0\n        else:\n"
          "            await asyncio.sleep(0)\n            continue\n")],
        "everybody who lost the same server at the same moment",
    ),
    "no cap": ([("min(limit_s, first_s * 2 ** min(failed, 30))", "first_s * 2 ** failed")],
               "the longest wait that anybody may have to sit through"),
    "a fixed delay": ([("first_s * 2 ** min(failed, 30)", "first_s")], "still away after the fifth attempt"),
    "counts anew at the connection": (
        [("            async for id, text in await connect(cursor):\n" + SUCCESS,
          "            lines = await connect(cursor)\n            failed = 0\n"
          "            async for id, text in lines:\n")],
        "at the connection, or at the first message",
    ),
    "never counts anew": ([(SUCCESS, "")], "when the count begins anew"),
    "forgets the cursor": ([("connect(cursor)", "connect(0)")], "what the next `connect` is to be told"),
    "begins anew": ([("        asked_s = 0\n", "        asked_s = cursor = 0\n")], "that it has heard it"),
    "hears the last one twice": (
        [("                if id > cursor:\n                    hear(id, text)\n    ",
          "                hear(id, text)\n")],
        "how a client sees from a message's number",
    ),
    "a cursor that is ahead": ([("connect(cursor)", "connect(cursor + bool(cursor) * 2)")], "lost message"),
    "does not hear the server": ([("error.retry_after_s or 0", "0")], "what `error.retry_after_s` says"),
    "to the second": ([(WAIT, "asked_s or random.uniform(0, bound_s)")], "a crowd that is told one number"),
    "at once": ([(f"sleep({WAIT})", "sleep(0)")], "between a failure and the next"),
    "at once after a 503": (
        [("        bound_s = min", "            if '503' in str(error) and not asked_s:\n"
          "                continue\n        bound_s = min")],
        "between a failure and the next",
    ),
    "gives up": ([("while True", "while failed < 6")], "who else would come back for it"),
    "only after an error": (
        [("        bound_s = min", "        else:\n            return\n        bound_s = min")],
        "who else would come back for it",
    ),
    "stands still": ([("await asyncio.sleep", "__import__('time').sleep")], "sleeping and awaiting"),
    "an error": ([("error.retry_after_s", "error.retry_after")], "who else would come back for it"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "hint"), WRONG.values(), ids=WRONG)
def test_a_wrong_loop_gets_the_hint_that_fits(changes, hint, capsys):
    assert_hinted("09.reconnect", made(edited(STAY, *changes), "stay"), hint, capsys)


HOSTILE = {
    "an endless loop": ("while True: pass", "did not come back within 2 s"),
    "an exit": ("__import__('os')._exit(0)", "ended its own process"),
    "a gigabyte": ("b'x' * 10**9", "raised MemoryError"),
    "much output": ("print('x' * 1_000_000)", ""),
    "a coroutine that is never awaited": ("asyncio.sleep(1)", "was never awaited"),
    "one that does not want to end": (
        "try:\n            await asyncio.sleep(1000)\n        except BaseException:\n            continue",
        "lost message",
    ),
}  # fmt: skip


def doing(what):
    """A good loop that does something else first whenever it connects."""
    return made(edited(STAY, ("        asked_s = 0\n", f"        asked_s = 0\n        {what}\n")), "stay")


@pytest.mark.parametrize(("what", "hint"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_loop_gets_a_verdict_and_leaves_nothing(what, hint, capsys):
    assert_caught("09.reconnect", doing(what), hint, made(STAY, "stay"), capsys)


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [("drain", 25, "✓"), ("drain", 5, "✗ not 5: that is the window"), ("drain", 0.04, "✗ not 0.04: that is"),
     ("back", "never", "✓"), ("back", "Never", "✓"), ("back", float("inf"), "✓"),
     ("back", 5, "✗ not 5: who reads that header"), ("back", 1, "✗ not 1"),
     ("line", 3, "✓"), ("line", 2, "✗ not 2: the cursor has to outlive"), ("line", 9, "✗ not 9")],
)  # fmt: skip
def test_quick_questions(task, answer, said, capsys):
    assert_says(f"09.{task}", answer, said, capsys)
