"""A browser for the tests: the Chromium of the system, driven by Playwright; nothing is downloaded."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

pytest.register_assert_rewrite("browser.people")  # so that what it asserts is explained, as in a test

#: How long [ms] anything in a page may take, on a machine that does much else.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)

#: What a browser may do of its own accord, switched off.
ARGUMENTS = [
    "--no-sandbox",  # there is none for root
    "--no-proxy-server",  # everything is on this machine, evil.example too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that an attacker has made to point here, and two of one site.
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP *.tea.example 127.0.0.1",
]
OUTPUT = Path(__file__).resolve().parents[2] / "test-output"


def _chromium() -> str:
    """Where the browser is; without one the test is skipped, except where all tests have to run."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "expected Chromium or Chrome on the path, found neither"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@contextlib.contextmanager
def launched(chromium, *arguments):
    """A browser, with these arguments, too."""
    browser = chromium.launch(executable_path=_chromium(), args=[*ARGUMENTS, *arguments])
    yield browser
    browser.close()


@pytest.fixture(scope="package")  # not for the session: it keeps an event loop in this thread
def browser():
    """The browser."""
    _chromium()
    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        yield browser


#: What JupyterLab itself complains of as a page or a kernel ends: a request of its own was under way, or a
#: part of it asks for the kernel once more.
PARTING = ("Failed to fetch", "Cannot read properties of null (reading 'kernel')")


def _parting(error):
    """Whether something of JupyterLab's own ended with its page or its kernel, which it does not catch."""
    return error.error.message in PARTING and "/static/lab/" in (error.error.stack or "")


@contextlib.contextmanager
def windows(browser, **options):
    """Opens pages, each in a window and a profile of its own, in which there may be no error.

    A page behind another one in the same window is drawn once a second only.
    """
    contexts, errors = [], []

    def open_():
        context = browser.new_context(
            **{"viewport": {"width": 1000, "height": 760}, "reduced_motion": "reduce"} | options
        )
        context.on("weberror", lambda error: errors.append(str(error.error)) if not _parting(error) else None)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return context.new_page()

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def window(browser):
    """Opens pages: ``window()``."""
    with windows(browser) as open_:
        yield open_


@pytest.fixture
def page(window):
    """A page."""
    return window()


@pytest.fixture
def context(page):
    """A fresh profile, in which no page may have an error."""
    return page.context


@pytest.fixture
def output():
    """The folder of what is kept to be looked at."""
    OUTPUT.mkdir(exist_ok=True)
    return OUTPUT


@pytest.fixture
def shot(output):
    """Keeps a picture of a page: ``shot(page, "name")``."""
    return lambda page, name, **options: page.screenshot(path=output / f"{name}.png", **options)
