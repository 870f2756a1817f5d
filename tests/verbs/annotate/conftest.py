"""Chromium, and a function that opens tabs in which an annotator is at work."""

from __future__ import annotations

import pytest
from tests.verbs.report.conftest import browser

__all__ = ["browser"]
REFUSALS = """window.refused = [];
addEventListener('securitypolicyviolation', (e) => refused.push(e.violatedDirective));"""


@pytest.fixture
def open_tab(browser):
    """Return a function that opens a tab of its own cookies; what a page complains about fails the test."""
    complaints, contexts = [], []

    def open_one(width=1280):
        context = browser.browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda asked: complaints.extend([] if "//127.0.0.1" in asked.url else [asked.url]))
        tab.add_init_script(REFUSALS)
        return tab

    yield open_one
    assert complaints == []
    for context in contexts:
        for tab in context.pages:
            assert tab.evaluate("window.refused") == []
            assert tab.evaluate("typeof window.pwned") == "undefined"
        context.close()
