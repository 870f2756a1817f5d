"""What every verb says, on one page in Chromium: no fault that axe knows, and nothing wider than the screen."""

from __future__ import annotations

import json

import pytest
from tests.terminal.runs import RECORDED
from tests.verbs.report.browsing import AXE, add_axe, needs_chromium

from tunescope.verbs.report.page import Opening, render, section
from tunescope.views import View, to_html

pytestmark = needs_chromium()
VIEWS = {path.stem: View.from_json(json.loads(path.read_text("utf-8"))) for path in sorted(RECORDED.glob("*.json"))}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    parts = [section("Rows", name, name, to_html(view), []) for name, view in VIEWS.items()]
    opening = Opening("Every view", [], "", [], [], [], [], None)
    path = tmp_path_factory.mktemp("views") / "page.html"
    path.write_text(render(opening, parts, []), "utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 1024, 390])
def test_every_view(tab, page, width, scheme):
    assert len(VIEWS) > 30
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(page.as_uri())
    add_axe(tab)
    assert tab.evaluate(AXE) == []
    wider = "[...document.querySelectorAll('section')].filter((each) => each.scrollWidth > each.clientWidth)"
    assert tab.evaluate(f"{wider}.map((each) => each.id)") == []
