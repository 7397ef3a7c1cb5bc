"""A headless Chromium for the tests of this folder."""

import pytest

from .pages import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens pages; a test fails on anything that one reports as an error."""
    contexts, errors = [], []

    def begin(url):
        contexts.append(chromium.new_context(viewport={"width": 640, "height": 400}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(url)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert errors == []
