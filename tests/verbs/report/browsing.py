"""What tests of pages in Chromium share; the fixtures `browser` and `tab` are in conftest.py."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = {"wide": 1280, "narrow": 380}
AXE = """() => axe.run(document, {resultTypes: ['violations']})
  .then((found) => found.violations.map((each) => `${each.id}: ${each.nodes[0].html}`))"""


def needs_chromium():
    """Return the marks of a module whose tests drive a browser."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install tunescope[dev]")
    return [
        pytest.mark.long,
        pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    ]


def add_axe(tab):
    """Load axe into the page, from its package."""
    source = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python: the dev extra")
    tab.evaluate((Path(source.__file__).parent / "axe.min.js").read_text("utf-8"))


def moving(tab, act):
    """Do what changes the page's address, and wait until the page has drawn what is there."""
    tab.evaluate("void (window.moved = new Promise((done) => addEventListener('hashchange', done, {once: true})))")
    act()
    tab.evaluate("window.moved.then(() => null)")


def idle(tab):
    """Wait until every timer of up to 80 ms that the page has set has fired, however slow the machine is."""
    tab.evaluate("new Promise((done) => setTimeout(done, 100))")


def until(tab, expression, seconds=30):
    """Wait until an expression is true in the page. Playwright's own wait needs `eval`, which the page forbids."""
    limit = time.monotonic() + seconds
    while not tab.evaluate(expression):
        assert time.monotonic() < limit, f"{expression} isn't true after {seconds} s"
        tab.wait_for_timeout(20)
