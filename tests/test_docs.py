"""The docs are executed: every command and every Python block prints what its page says."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import docs

from tunescope.verbs import VERBS


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: page.name)
def test_page_prints_what_it_says(page):
    now = docs.render(page)
    if now is None:
        pytest.skip("the real data (TUNESCOPE_TEST_DATA or ../shared/data) aren't here")
    before = page.read_text("utf-8")
    assert now == before, "\n".join(
        difflib.unified_diff(before.split("\n"), now.split("\n"), "page", "now", lineterm="")
    )


@pytest.mark.parametrize("name", [name for name, verb in VERBS.items() if verb.proven])
def test_proven_verb_has_a_page_with_its_command_and_python(name):
    text = docs.page_of(name).read_text("utf-8")
    found = list(docs.blocks(text))
    assert any(block.kind == "console" and f"tunescope {name}" in block.code for block in found)
    assert any(block.kind == "python" and f"tunescope.{name.replace(' ', '_')}(" in block.code for block in found)


def test_unproven_verb_is_listed_as_not_yet():
    text = (docs.ROOT / "docs" / "not-yet.md").read_text("utf-8")
    missing = [name for name, verb in VERBS.items() if not verb.proven and f"`{name}`" not in text]
    assert missing == []
