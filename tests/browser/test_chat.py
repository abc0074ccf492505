"""The chat as people have it: pages in a browser, whose lines are cut."""

import json
import re
import statistics
import time
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

import lpws
from lpws.chat import ChatServer, Robots, Times, handlers
from lpws.chat.handlers import WAYS
from lpws.chat.page import FILES, HOME
from lpws.chat.room import ChatRoom
from lpws.relay import Relay

from .conftest import windows
from .people import (
    HERE,
    PEOPLE,
    SMALL,
    Scissors,
    enter,
    lines_of_server,
    said_once_in_order,
    say,
    talk,
    texts,
    wait_for,
)

#: Messages that each of ten people says while their lines are cut.
MANY = 40
#: An hour passes in so many seconds.
HOUR_S = 9.0


@pytest.fixture
def chat():
    with ChatServer() as chat:
        yield chat
        assert not chat.log


@pytest.fixture(scope="module")
def kept(browser):
    """How to open a page that stays open from room to room, and those that are."""
    with windows(browser) as open_:
        yield open_, []


@pytest.fixture
def seat(kept):
    """Pages as ``window()`` gives them, but from room to room the same: to open one takes a while."""
    open_, pages = kept
    taken = []

    def take():
        if len(taken) == len(pages):
            pages.append(open_())
        taken.append(pages[len(taken)])
        return taken[-1]

    yield take
    for page in taken:
        page.goto("about:blank")


def go_offline(page, chat):
    """Nothing leaves the browser any more, and what is under way is cut."""
    page.context.set_offline(True)  # says so to the page; requests to this machine leave all the same
    page.context.route("**", lambda route: route.abort("internetdisconnected"))
    while page.evaluate("() => document.documentElement.dataset.state") == "here":
        # More than once: if an old connection fails, a browser sends the request again on a new one.
        chat.cut()
        page.wait_for_timeout(20)


def go_online(page):
    page.context.unroute("**")
    page.context.set_offline(False)


# ---------------------------------------------------------------------- lines that are cut


def test_nothing_is_lost_or_doubled_when_lines_are_cut(browser):
    """Each pair of transports is among those who talk, and each with itself."""
    times = replace(Times().faster(50), timeout_s=5.0, away_s=3.0, reload_s=60.0)
    with ChatServer(times=times) as chat, windows(browser, **SMALL) as open_:
        pages = {name: enter(open_(), chat.address, name, by) for name, by in PEOPLE.items()}
        scissors = Scissors("ten", 0.1, lines_of_server(chat))
        shown = talk(pages, MANY, scissors)
        said_once_in_order(chat, pages, MANY, shown)
    assert scissors.cuts[0] > 20, "the lines were cut"


def test_an_idle_hour(seat):
    """Nobody speaks; lines are cut, and die without a word. Nobody does anything about it."""
    # A page takes a stream for dead after three beats. At the pace of this hour that is less than a busy
    # machine may take to open one, and the page would end each before it could bring anything.
    unhurried = {"timeout_s": 0.5, "retry_s": 0.02, "retry_most_s": 0.3, "beat_s": 0.1}
    times = replace(Times().faster(3600 / HOUR_S), **unhurried)
    with (
        ChatServer(times=times) as chat,
        Relay(lpws.Link(delay_s=0), chat.port, chat.trace.append, chat.log) as relay,
    ):
        url = chat.url_over(relay.address)
        # Who polls comes last: at this pace they ask hundreds of times a second, and others open slowly.
        pages = [enter(seat(), url, f"by {by}", by) for by in reversed(WAYS[1:])]
        for page in pages:
            page.evaluate("() => { window.same = true }")
        said = []
        for quarter, happens in enumerate(("nothing", "cut", "silence", "nothing")):
            pages[0].wait_for_timeout(1000 * HOUR_S / 4)
            if happens == "cut":
                relay.cut()
            elif happens == "silence":
                relay.silence()  # no end of a connection can be seen
                for page in pages:
                    page.wait_for_function("() => document.documentElement.dataset.state === 'away'")
                relay.silence(False)
            with Robots(chat, {"Rob": lpws.WebSocket()}) as robots:
                said.append(f"quarter {quarter}")
                robots.say("Rob", said[-1])
            for page in pages:
                wait_for(page, said[-1])
        for page in pages:
            page.wait_for_function(HERE)
            assert texts(page) == said
            assert page.evaluate("() => window.same"), "without a new page"


@pytest.mark.parametrize("path", ["clock", "enter"])
def test_a_dead_line_does_not_keep_anybody_at_the_door(page, chat, path):
    """A request that is never answered has an end, and the next one may be."""
    page.add_init_script(
        "const real = AbortSignal.timeout; AbortSignal.timeout = (ms) => real.call(AbortSignal, ms / 50)"
    )
    held = []
    page.route(f"**/{path}", lambda route: held.append(route) if len(held) < 2 else route.continue_())
    page.goto(f"{chat.address}#name=Ada&by=SSE")
    page.wait_for_function(HERE)
    assert len(held) == 2
    assert [person.name for person in chat.people] == ["Ada"]


def test_every_request_of_the_page_has_an_end():
    """Whoever writes another one is reminded."""
    for file, _ in FILES.values():
        for call in re.findall(r"\bfetch\((?:[^()]|\([^()]*\))*\)", (HOME / file).read_text("utf-8")):
            assert re.search(r"signal: within\(", call), (file, call)


# ---------------------------------------------------------------------- what the room answers

#: Status and reason of the answer → what the page says of it, and whether it goes on trying.
ANSWERS = {
    400: ("Not let in", "The room does not accept this: of no use"),
    403: ("This room is closed", "The notebook has closed this room. Run its cell again for a new one."),
    404: ("This room is closed", "The notebook has closed this room. Run its cell again for a new one."),
    409: ("Connection lost", ""),
    429: ("Connection lost", ""),
    500: ("Connection lost", ""),
    503: ("The room is full", ""),
}


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("path", ["enter", "longpolling*"])
def test_each_answer_is_told_as_what_it_is(page, chat, path, status):
    state, note = ANSWERS[status]
    page.route(f"**/{path}", lambda route: route.fulfill(status=status, body=f"{status} of no use\n"))
    page.goto(f"{chat.address}#name=Ada&by=long polling")
    page.wait_for_function(
        "(state) => document.getElementById('state-text').textContent.startsWith(state)", arg=state
    )
    assert page.inner_text("#note") == note
    page.unroute(f"**/{path}")
    if status == 400:
        page.get_by_role("button", name="Come in").click()
    if status not in (403, 404):
        page.wait_for_function(HERE)
        assert page.inner_text("#note") == ""


def test_a_name_that_is_refused_can_be_another(page, chat):
    page.goto(f"{chat.address}#name=Ada%E2%80%8B&by=SSE")
    page.get_by_text("Expected a name of characters that show, got U+200B").wait_for()
    page.locator("#name").fill("Ada")
    page.locator("#name").press("Enter")
    page.wait_for_function(HERE)
    assert [person.name for person in chat.people] == ["Ada"]


@pytest.mark.parametrize("by", WAYS)
def test_whom_the_room_has_forgotten_comes_in_again_and_loses_nothing(page, by):
    with ChatServer(times=Times().faster(10)) as chat:
        enter(page, chat.address, "Ada", by)
        say(page, "one")
        wait_for(page, "one")
        [ada] = chat.people

        def forget():  # in one turn of the loop: a page that polls could come back in between
            chat.room.part(ada.secret)
            chat.room.roster.forget(ada.secret)

        chat.thread.call(forget)
        chat.cut()
        say(page, "two")
        wait_for(page, "two")
        assert texts(page) == ["one", "two"]
        assert [(person.name, person.number) for person in chat.people] == [("Ada", 1)]


@pytest.mark.parametrize("by", WAYS[1:])
def test_what_the_room_keeps_no_more_is_told(page, monkeypatch, by):
    """To whom comes late and to whom comes back; and who is here, though it is long since they came."""
    monkeypatch.setattr(ChatRoom, "most", 5_000)
    told = "Array.from(document.querySelectorAll('#log > .note'), (row) => row.textContent)"
    with ChatServer() as chat, Robots(chat, {"Bea": lpws.SSE()}):
        chat.thread.call(lambda: [chat.room.publish(f"one {n}") for n in range(40)])
        enter(page, chat.address, "Ada", by)
        wait_for(page, "one 39")
        kept = len(chat.room.messages)
        first = page.evaluate(told)[0]
        assert first == f"{chat.room.mailbox.last - kept} older messages the room does not keep any more"
        page.wait_for_function("() => document.getElementById('here').textContent.includes('Bea')")
        go_offline(page, chat)
        chat.thread.call(lambda: [chat.room.publish(f"two {n}") for n in range(40)])
        go_online(page)
        wait_for(page, "two 39")
        assert len([row for row in page.evaluate(told) if row.endswith("does not keep any more")]) == 2
        chat.publish("three")
        wait_for(page, "three")
        shown = [int(text.split()[1]) for text in texts(page) if text.startswith("two")]
        assert shown == list(range(shown[0], 40))


@pytest.mark.parametrize("by", ["toString", "constructor", "__proto__", "pigeon"])
def test_an_address_that_names_no_transport(page, chat, by):
    enter(page, chat.address, "Ada", by)
    assert [person.by for person in chat.people] == ["WebSocket"]


def test_what_the_notebook_publishes_is_seen(page, chat):
    enter(page, chat.address, "Ada", "SSE")
    chat.publish("tea is ready")
    wait_for(page, "tea is ready")
    assert page.inner_text("#log .author") == "the notebook"
    say(page, "thank you")
    wait_for(page, "thank you")


# ---------------------------------------------------------------------- who it is


def test_a_page_that_is_loaded_anew_is_the_same_person(page, chat):
    enter(page, chat.address, "Ada", "SSE")
    say(page, "one")
    wait_for(page, "one")
    for n in (2, 3):
        page.reload()
        page.wait_for_function(HERE)
        say(page, f"number {n}")
        wait_for(page, f"number {n}")
    assert [(person.name, person.number) for person in chat.people] == [("Ada", 0)]
    assert {message["name"] for message in chat.said} == {"Ada"}
    assert page.locator(".said.mine").count() == 3, "and knows what it said before"
    chat.collect()
    while not [event for event in chat.run("Ada").events if event[1:3] == ("message_received", "client")]:
        page.wait_for_timeout(20)
    run = chat.run("Ada")
    sent = [
        event[5] for event in run.events if event[1:3] == ("request_received", "server") and event[5] >= 0
    ]
    assert len(sent) == len(set(sent)), "no number of a request twice"
    assert lpws.deliveries(run).copies.max() == 1


def test_a_page_that_did_not_say_goodbye_is_the_same_person(page, chat):
    page.add_init_script("navigator.sendBeacon = () => true")
    enter(page, chat.address, "Ada", "SSE")
    say(page, "one")
    wait_for(page, "one")
    page.reload()
    page.wait_for_function(HERE)
    wait_for(page, "one")
    assert [(person.name, person.number) for person in chat.people] == [("Ada", 0)]
    [ada] = chat.people
    assert ada.since > chat.said[0]["id"], "its run begins anew, for it hears everything again"


def test_a_window_that_is_opened_from_another_is_somebody_else(page, chat):
    """It gets a copy of what that one keeps."""
    enter(page, chat.address, "Ada", "WebSocket")
    with page.expect_popup() as opened:
        page.evaluate("(url) => { window.open(url) }", f"{chat.address}#name=Bea&by=WebSocket")
    opened.value.wait_for_function(HERE)
    assert [(person.name, person.number) for person in chat.people] == [("Ada", 0), ("Bea", 1)]


# ---------------------------------------------------------------------- six connections


@pytest.mark.parametrize("by", ["SSE", "long polling"])
def test_six_windows_that_wait_say_that_there_can_be_no_seventh(context, page, chat, by):
    pages = [page, *(context.new_page() for _ in range(5))]
    for n, each in enumerate(pages):
        enter(each, chat.address, f"window {n}", by)
    for each in pages:
        each.get_by_text("6 windows of this browser wait on a connection each").wait_for()
    pages[0].get_by_role("radio", name="WebSocket").check()
    for each in pages:
        each.wait_for_function("() => document.getElementById('crowd').textContent === ''")
    pages[0].get_by_role("radio", name=by, exact=True).check()
    pages[1].get_by_text("6 windows of this browser wait").wait_for()
    pages[5].close()
    for each in pages[:5]:
        each.wait_for_function("() => document.getElementById('crowd').textContent === ''")


def test_windows_that_do_not_wait_are_as_many_as_they_like(context, page, chat):
    pages = [page, *(context.new_page() for _ in range(6))]
    for n, each in enumerate(pages):
        enter(each, chat.address, f"window {n}", ["WebSocket", "reload", "short polling"][n % 3])
    assert [each.inner_text("#crowd") for each in pages] == [""] * 7


# ---------------------------------------------------------------------- how much of it


#: Sends these texts, all at once, and keeps what the page says of it.
POUR = """(texts) => {
  const text = document.getElementById("text"), form = document.getElementById("speak");
  const note = document.getElementById("note");
  window.notes = [];
  new MutationObserver(() => window.notes.push(note.textContent)).observe(note, { childList: true });
  for (const each of texts) {
    text.value = each;
    form.requestSubmit();
  }
}"""


@pytest.mark.parametrize(("text", "most"), [("tea", 50), ("☕" * 990, 32_000 // 2970)], ids=["many", "long"])
def test_all_that_waits_goes_in_few_letters(page, text, most):
    """What was written without a connection does not cost a round trip for each message."""
    letters = []

    class Post(handlers.Post):
        def say(self, data):
            letters.append(len(data["ids"]))
            super().say(data)

    times = replace(Times(), pace_s=0.001)
    with ChatServer(handlers={"/post": Post}, times=times) as chat:
        enter(page, chat.address, "Ada", "long polling")
        go_offline(page, chat)
        said = [f"{text} {n}" for n in range(3 * most + 1)]
        page.evaluate(POUR, said)
        go_online(page)
        wait_for(page, said[-1])
        assert texts(page) == said
    assert letters == [*(3 * [most]), 1], "as much as a letter may hold"


@pytest.mark.parametrize("by", ["WebSocket", "long polling"])
def test_who_is_too_quick_is_told_and_loses_nothing(page, by):
    times = replace(Times(), pace_s=0.1, burst_s=0.4)
    with ChatServer(times=times) as chat:
        enter(page, chat.address, "Ada", by)
        said = [f"tea {n}" for n in range(12)]
        page.evaluate(POUR, said)
        wait_for(page, said[-1])
        page.wait_for_function("() => document.getElementById('note').textContent === ''")
        assert page.evaluate("() => window.notes") == [
            "That was quick: the room takes 10 messages a second from each. The others follow by themselves.",
            "",
        ]
        assert texts(page) == said == [message["text"] for message in chat.said]
        at = [message["at"] for message in chat.said]
        allowed = [0.1 * n - 0.4 for n in range(12)]  # the first five at once
        assert all(t - at[0] > least - 0.001 for t, least in zip(at, allowed, strict=True))


@pytest.mark.parametrize("by", ["WebSocket", "long polling"])
def test_what_the_room_does_not_take_is_said_and_holds_up_nothing(page, chat, by):
    enter(page, chat.address, "Ada", by)
    page.evaluate(POUR, ["one", "\x01", "two"])
    wait_for(page, "two")
    assert texts(page) == ["one", "two"]
    page.wait_for_function("() => !document.querySelector('#waiting li')")
    assert page.evaluate("() => window.notes") == ["The room does not take “\x01”."]


def test_the_strip_counts_when_something_happens(page, chat):
    """Not at the next tick of a clock: here there is none."""
    page.add_init_script("window.setInterval = () => 0")
    enter(page, chat.address, "Ada", "WebSocket")
    page.locator("#counts", has_text=re.compile(r"^1 connection · 1 request · ")).wait_for()
    page.get_by_role("radio", name="SSE").check()
    page.locator("#counts", has_text=re.compile(r"^[23] connections · 2 requests · ")).wait_for()


# ---------------------------------------------------------------------------- how it feels


def test_a_message_is_there_at_once(seat, chat, shot, output):
    """What is pushed is there in a small part of the time that a poll takes."""
    ways = WAYS[1:]
    pages = {by: enter(seat(), chat.address, f"by {by}", by) for by in ways}
    writer = enter(seat(), chat.address, "Ada", "WebSocket")
    for n in range(15):
        say(writer, f"message {n}")
        writer.wait_for_timeout(130)
    for page in pages.values():
        wait_for(page, "message 14")
    ages_s = {
        by: page.eval_on_selector_all(".said .age", "(ages) => ages.map((age) => Number(age.dataset.s))")
        for by, page in pages.items()
    }
    medians_s = {by: statistics.median(ages) for by, ages in ages_s.items()}
    for name, page in {"wide": pages["SSE"], "polling": pages["short polling"]}.items():
        shot(page, f"chat_{name}")
    (output / "chat_ages.json").write_text(json.dumps(medians_s, indent=1), encoding="utf-8")
    interval_s = Times().interval_s
    for by in ("long polling", "SSE", "WebSocket"):
        assert medians_s[by] < interval_s / 4, medians_s
        assert medians_s[by] < medians_s["short polling"] / 2, medians_s
    assert all(-0.05 < age < 2 * interval_s + 1 for ages in ages_s.values() for age in ages), "clocks agree"
    assert max(ages_s["short polling"]) - min(ages_s["short polling"]) > interval_s / 3


def test_a_reload_that_is_asked_for_during_another_follows_it(page, chat):
    """The answer under way may be older than what the reader wants to see."""
    held = []
    enter(page, chat.address, "Ada", "reload")
    page.route("**/reload?*", lambda route: held.append((route, route.fetch())), times=1)
    page.click("#reload")
    while not held:
        page.wait_for_timeout(10)
    chat.publish("tea is ready")
    page.click("#reload")
    [(route, answer)] = held
    route.fulfill(response=answer)
    page.get_by_text("tea is ready").wait_for()


def test_the_page_tells_what_it_did(seat, chat):
    pages = {by: enter(seat(), chat.address, f"by {by}", by) for by in WAYS}
    for by, page in pages.items():
        say(page, f"hello by {by}")
    pages["reload"] = pages.pop("reload")  # the last one: it has all once the others have
    for page in pages.values():
        page.click("#reload", force=True) if page is pages["reload"] else None
        for by in WAYS:
            wait_for(page, f"hello by {by}")
    chat.collect()
    pages["reload"].click("#reload")  # it hears of nothing by itself

    def received(by):
        return [e for e in chat.run(f"by {by}").events if e[1] == "message_received"]

    deadline = time.monotonic() + 20
    while not all(received(by) for by in WAYS):
        assert time.monotonic() < deadline
        pages["SSE"].wait_for_timeout(20)
    for by in WAYS:
        run = chat.run(f"by {by}")
        table = lpws.deliveries(run)
        said = [message["id"] for message in chat.said]
        mine = table[table.message.isin(said)]
        assert list(mine.state.unique()) == ["delivered"], by
        assert list(mine.copies.unique()) == [1]
        asked = lpws.requests(run)
        assert asked.received_s.notna().any()
        assert (asked.sent_s.dropna() < run.workload.duration_s).all()
        # Its clock was set by the server's: no answer came before it was sent, but for the error.
        assert (mine.received_s - mine.sent_s > -0.1).all()
        # A browser does not say how much came on a socket, on which the page also speaks.
        size = "" if by == "WebSocket" else r"[\d.]+ kB of answers · "
        counted = rf"\d+ connections? · \d+ requests? · {size}4 messages, at the median "
        counts = pages[by].inner_text("#counts")
        assert re.match(counted, counts), counts


# --------------------------------------------------------------------------- how one uses it


def test_what_somebody_types_is_shown_and_not_run(seat, chat, shot):
    evil = [
        "<script>document.title = 'run'</script>",
        "<img src=x onerror=\"document.title = 'run'\">",
        "</li></ol><h1>big</h1>",
        "javascript:alert(1)",
        "&lt;b&gt; ${1+1} {{1+1}}",
        "\u202eesrever",
    ]
    dialogs = []
    ada = enter(seat(), chat.address, "Ada", "SSE")
    ada.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    writer = enter(seat(), chat.address, "<b>Bob</b>", "WebSocket")
    for text in evil:
        say(writer, text)
    wait_for(ada, evil[-1])
    assert texts(ada) == evil
    assert ada.locator("#log .author").first.inner_text() == "<b>Bob</b>"
    assert ada.locator("#log img, #log script, #log b, #log h1, #log a, #here b").count() == 0
    assert ada.title() == "A room with five doors"
    assert dialogs == []
    shot(ada, "chat_markup")


def test_with_the_keyboard_alone(page, chat):
    page.goto(chat.address)
    page.keyboard.press("Tab")  # the ways in
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("() => document.activeElement.value") == "SSE"
    for _ in range(3):
        if page.evaluate("() => document.activeElement.id") != "name":
            page.keyboard.press("Tab")
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.wait_for_function(HERE)
    assert page.evaluate("() => document.activeElement.id") == "text"
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    wait_for(page, "hello")
    assert page.input_value("#text") == ""
    assert [(person.name, person.by) for person in chat.people] == [("Ada", "SSE")]
    page.get_by_role("button", name="Change name").press("Enter")
    page.keyboard.type("Bea")
    page.keyboard.press("Enter")
    page.get_by_text("Ada is now Bea").wait_for()
    assert [person.name for person in chat.people] == ["Bea"]


def test_the_door_opens_when_its_script_is_there(page, chat):
    """Who is quicker than the script is not let down: nothing can be pressed, and what was typed stays."""
    held = []
    page.route("**/chat.js", lambda route: held.append(route))
    page.goto(chat.address, wait_until="commit")
    button = page.get_by_role("button", name="Come in")
    page.locator("#name").press_sequentially("Ada")
    assert button.is_disabled()
    page.locator("#name").press("Enter")
    while not held:
        page.wait_for_timeout(10)
    [script] = held
    script.continue_()
    page.locator("#door button:enabled").wait_for()
    assert page.url == chat.address
    assert chat.people == []
    assert page.input_value("#name") == "Ada"
    button.click()
    page.wait_for_function(HERE)
    assert [person.name for person in chat.people] == ["Ada"]


def test_what_is_said_before_one_is_in_is_kept(page, chat):
    """On a slow way it takes a while to come in, and one can type meanwhile."""
    held = []
    page.route("**/enter", lambda route: held.append(route))
    page.goto(f"{chat.address}#name=Ada&by=long polling")
    say(page, "am I too early?")
    page.get_by_text("on its way").wait_for()
    while not held:
        page.wait_for_timeout(10)
    assert chat.people == []
    held[0].continue_()
    wait_for(page, "am I too early?")
    assert page.inner_text("#note") == ""


def test_another_way_in_loses_nothing(seat, chat):
    ada = enter(seat(), chat.address, "Ada", WAYS[0])
    writer = enter(seat(), chat.address, "Bob", "WebSocket")
    wanted = []
    for n, by in enumerate([*WAYS, *reversed(WAYS)]):
        ada.get_by_role("radio", name=by, exact=True).check()
        for page in (writer, ada):
            wanted.append(f"{page is ada} {n}")
            say(page, wanted[-1])
            if page is ada:
                wait_for(writer, wanted[-1])
    ada.get_by_role("radio", name="SSE").check()
    wait_for(ada, wanted[-1])
    assert sorted(texts(ada)) == sorted(wanted)
    assert texts(ada) == texts(writer)
    assert texts(ada)[1::2] == wanted[1::2]
    ada.wait_for_function("() => document.querySelector('#here .person').dataset.by === 'SSE'")


def test_another_way_in_ends_the_reloads(page, chat):
    asked = []
    enter(page, chat.address, "Ada", "reload")
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("radio", name="SSE", exact=True).check()
    page.wait_for_function("() => document.querySelector('#here .person').dataset.by === 'SSE'")
    say(page, "tea, please")
    wait_for(page, "tea, please")
    assert [url for url in asked if "/reload?" in url] == []


def test_who_is_offline_is_told_and_what_they_said_is_kept(window, chat, shot):
    with Robots(chat, {"Rob": lpws.WebSocket()}) as robots:
        page = enter(window(), chat.address, "Ada", "long polling")
        go_offline(page, chat)
        page.get_by_text("You are offline").wait_for()
        say(page, "are you there?")
        page.get_by_text("on its way").wait_for()
        robots.say("Rob", "where is Ada?")
        shot(page, "chat_offline")
        assert texts(page) == []
        go_online(page)
        for text in ("where is Ada?", "are you there?"):
            wait_for(page, text)
        page.wait_for_function(HERE)
        assert page.get_by_text("on its way").count() == 0
        assert texts(page) == ["where is Ada?", "are you there?"]


def test_who_goes_is_seen_to_go(window, chat):
    ada = enter(window(), chat.address, "Ada", "SSE")
    bea = enter(window(), chat.address, "Bea", "long polling")
    ada.locator("#here .person", has_text="Bea").wait_for()
    bea.close(run_before_unload=True)
    ada.get_by_text("Bea has gone").wait_for()
    assert ada.locator("#here .person").all_inner_texts() == ["Ada\nSSE\nyou"]


def test_a_room_that_is_closed_says_so(window):
    with ChatServer(times=Times().faster(10)) as chat:
        page = enter(window(), chat.address, "Ada", "SSE")
    page.get_by_text("Connection lost").wait_for()
    page.get_by_role("button", name="Try now").wait_for()


@pytest.mark.parametrize("look", ["light", "dark", "narrow", "large text"])
def test_nobody_is_kept_out(browser, chat, shot, look):
    """What axe finds, before coming in, in the room, and without a connection."""
    context = browser.new_context(
        color_scheme="dark" if look == "dark" else "light",
        viewport={"width": 340, "height": 640} if look == "narrow" else {"width": 1000, "height": 760},
        reduced_motion="reduce" if look == "dark" else "no-preference",
    )
    page = context.new_page()

    def found():
        results = Axe().run(page)
        return [results.generate_report()] if results.violations_count else []

    with Robots(chat, {"Rosa": lpws.SSE(), "Cem": lpws.LongPolling()}) as robots:
        page.goto(chat.address)
        assert found() == []
        shot(page, f"chat_door_{look}")
        page.fill("#name", "Ada")
        page.press("#name", "Enter")
        page.wait_for_function(HERE)
        if look == "large text":
            page.evaluate("() => { document.body.style.fontSize = '24px' }")
        for by in WAYS if look == "light" else WAYS[-1:]:
            page.get_by_role("radio", name=by, exact=True).check()
            page.wait_for_function(HERE)
            robots.say("Rosa", f"do you hear me by {by}?")
            say(page, f"by {by}, yes")
            if by == "reload":
                page.get_by_role("button", name="Reload").click()
            wait_for(page, f"by {by}, yes")
            assert found() == []
        robots.say("Cem", "a long word, such as " + 60 * "donaudampfschiff"[:8])
        page.get_by_text("a long word").wait_for()
        wide = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "nothing sticks out"
        shot(page, f"chat_{look}")
        go_offline(page, chat)
        page.get_by_text("You are offline").wait_for()
        assert found() == []
    context.close()
