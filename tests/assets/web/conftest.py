import pytest

from . import browser


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as running:
        yield running


@pytest.fixture
def open_page(chromium):
    """Opens addresses; the test fails on anything that a page reports as an error, unless it is expected."""
    contexts, errors = [], []

    def begin(address, expected=()):
        contexts.append(chromium.new_context(viewport={"width": 160, "height": 100}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: None)
        page.goto(address)
        page.expected_errors = expected
        return page

    yield begin
    expected = [text for context in contexts for page in context.pages for text in page.expected_errors]
    for context in contexts:
        context.close()
    assert [error for error in errors if not any(text in error for text in expected)] == []
