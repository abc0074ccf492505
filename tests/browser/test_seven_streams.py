"""The page of notebook 11 that opens seven streams: in a browser it does what the notebook says."""

import re

import booklet
import pytest

HTTP2 = booklet.NOTEBOOKS / "11_http2.ipynb"


@pytest.fixture
def lines(browser):
    """Its lines after it has closed all streams, without their times."""
    names = {}
    for cell in booklet.code(HTTP2):
        if cell.id in ("page", "live"):
            booklet.execute(cell.source, names)
    page = browser.new_page()
    try:
        page.clock.install()
        page.goto(names["seven"].url + "/")
        # Its clock goes on when what was to come has come, so that the order does not depend on the machine.
        lines = page.locator("#log li")
        for several, then_ms in ((6, 1000), (7, 2000), (9, 2000), (16, 0)):
            lines.nth(several - 1).wait_for()
            page.clock.run_for(then_ms)
        return [re.sub("^[0-9.]+ s: ", "", each) for each in lines.all_inner_texts()]
    finally:
        page.close()
        names["seven"].stop()


def test_six_streams_are_open_and_the_seventh_waits_for_the_first(lines):
    assert sorted(lines[:6]) == [f"stream {number} is open" for number in range(1, 7)]
    assert lines[6:9] == ["polling", "closed a stream", "stream 7 is open"]
    assert lines[9:15] == ["closed a stream"] * 6
    assert lines[15] == "poll answered"
