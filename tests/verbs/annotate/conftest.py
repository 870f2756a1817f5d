"""Chromium, with a function that opens tabs in which an annotator is at work, and studies without a browser."""

from __future__ import annotations

import pytest
from tests.verbs.annotate.studies import make_study
from tests.verbs.report.conftest import browser

from tunescope.annotations.store import MarkStore

__all__ = ["browser"]
REFUSALS = """window.refused = [];
addEventListener('securitypolicyviolation', (e) => refused.push(e.violatedDirective));"""


@pytest.fixture
def open_tab(browser):
    """Return a function that opens a tab of its own cookies; what a page complains about fails the test."""
    complaints, contexts = [], []

    def open_one(width=1280, expects="nothing"):
        context = browser.browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.on("console", lambda message: complaints.extend([] if expects in message.text else [message.text]))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("request", lambda asked: complaints.extend([] if "//127.0.0.1" in asked.url else [asked.url]))
        context.add_init_script(REFUSALS)
        return context.new_page()

    yield open_one
    assert complaints == []
    for context in contexts:
        for tab in context.pages:
            assert tab.evaluate("window.refused") == []
            assert tab.evaluate("typeof window.pwned") == "undefined"
        context.close()


@pytest.fixture
def open_study(workplace):
    """Return a function that makes a study and gives it, its application and visits of it."""
    stores = []

    def make(kind, answers, serving=None, **settings):
        from tests.verbs.annotate.visits import Visit

        from tunescope.verbs.annotate.app import make_app

        study = make_study(kind, answers, **settings)
        store = MarkStore(study.run.path)
        stores.append(store)
        app = make_app(study, store, serving)
        return study, app, lambda name: Visit(app, store, name)

    yield make
    for store in stores:
        store.__exit__()
