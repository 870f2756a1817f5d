"""Chromium, and an empty tab of it."""

from __future__ import annotations

import pytest
from tests.verbs.report.browsing import CHROMIUM

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        folder = tmp_path_factory.mktemp("profile")
        context = started.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=ARGUMENTS, headless=True
        )
        yield context
        context.close()


@pytest.fixture
def tab(browser):
    """An empty tab; what it complains about fails the test."""
    complaints = []
    tab = browser.new_page()
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.set_default_timeout(20_000)
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda asked: complaints.extend([] if asked.url.startswith("file:") else [asked.url]))
    tab.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.violatedDirective));"
    )
    yield tab
    assert complaints == []
    assert tab.evaluate("window.refused") == []
    assert tab.evaluate("typeof window.pwned") == "undefined"
    tab.close()
