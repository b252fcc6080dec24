"""A real browser: Debian's chromium, driven by playwright."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from slotbase.devstack.browser import ADVICE, find_browser


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-pictures", action="store_true", help="renew docs/mails (test_mails.py)"
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, once for the tests of a file.

    While it runs, Django takes this thread for an asynchronous one and refuses queries.
    """
    path = find_browser()
    assert path is not None, ADVICE
    # Chromium refuses to sandbox itself as root; it only visits our own pages.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose console stays without errors: no blocked script, no missing file."""
    problems: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # What is refused with a page of ours, such as a version that is not the last.
        is_refusal = "the server responded with a status of 409" in message.text
        if message.type in {"error", "warning"} and not is_refusal:
            problems.append(message.text)

    page = browser.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == []
