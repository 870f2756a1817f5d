"""The docs are executed: every command and every Python block prints what its page says."""

from __future__ import annotations

import difflib
import re
import shutil
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import docs
import screenshots

from tests import warm
from tests.terminal.rules import faults_of, run_views
from tests.tools import ROOT
from tunescope.verbs import VERBS

NUMBER = re.compile(r"\d[\d,]*\.\d+")


def alike(now: str, before: str) -> bool:
    """Tell whether two pages say the same, numbers with a decimal point within 1 %.

    Another processor adds in another order, and a model that was trained on it differs in the fourth digit.
    """
    one, other = (" ".join(NUMBER.sub("0.0", text).split()) for text in (now, before))
    numbers = [[float(found.replace(",", "")) for found in NUMBER.findall(text)] for text in (now, before)]
    return one == other and numbers[0] == pytest.approx(numbers[1], rel=0.01, abs=0.011)


def test_alike():
    assert alike("a  1.000 b", "a 1.005 b")
    assert not alike("a 1.00 b", "a 1.05 b")
    assert not alike("a 1.0 b 7", "a 1.0 b 8")
    assert not alike("a 1.0", "a 1.0 2.0")


@pytest.mark.long
@pytest.mark.parametrize("chain", docs.chains(), ids=lambda chain: chain[0].stem)
def test_pages_print_what_they_say(chain):
    faults: list[tuple[str, list[str]]] = []

    def look(folder: Path) -> None:
        shown = [(verb, [*faults_of(view, 80), *faults_of(view, 120)]) for verb, view in run_views(folder)]
        faults.extend((verb, found) for verb, found in shown if found)

    now = docs.render(chain, warm.programs(), look)
    if not now:
        pytest.skip("the real data (TUNESCOPE_TEST_DATA or ../shared/data) aren't here")
    assert faults == [], "lines that are too wide, or names that are broken, in a terminal"
    before = [page.read_text("utf-8") for page in chain[: len(now)]]
    stale = [number for number in range(len(now)) if not alike(now[number], before[number])]
    assert not stale, "\n".join(
        line
        for number in stale
        for line in difflib.unified_diff(
            before[number].split("\n"), now[number].split("\n"), str(chain[number]), "now", lineterm=""
        )
    )


@pytest.mark.parametrize("name", [name for name, verb in VERBS.items() if verb.proven])
def test_proven_verb_has_a_page_with_its_command_and_python(name):
    page = docs.page_of(name)
    chain = next(chain for chain in docs.chains() if page in chain)  # its definitions and proofs too
    found = [block for each in chain for block in docs.blocks(each.read_text("utf-8"))]
    assert any(block.kind == "console" and f"tunescope {name}" in block.code for block in found)
    assert any(block.kind == "python" and f"tunescope.{name.replace(' ', '_')}(" in block.code for block in found)


def test_unproven_verb_is_listed_as_not_yet():
    text = (docs.ROOT / "docs" / "reference" / "not-yet.md").read_text("utf-8")
    missing = [name for name, verb in VERBS.items() if not verb.proven and f"`{name}`" not in text]
    assert missing == []


def test_every_picture_can_be_taken_again_and_is_shown():
    texts = "\n".join(page.read_text("utf-8") for page in [*screenshots.DOCS.rglob("*.md"), ROOT / "README.md"])
    pictures = {path.name for path in screenshots.DOCS.glob("*.png")}
    assert pictures == {*screenshots.SHOTS}
    assert [name for name in sorted(pictures) if f"/{name}" not in texts] == []


SLOW_PAGES = [name for name in screenshots.MAKERS if name not in ("rows", "repaired", "taught")]
"""Pages that take minutes to make."""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize(
    "name",
    [
        "rows",
        pytest.param("repaired", marks=pytest.mark.model),
        pytest.param("taught", marks=pytest.mark.model),
        *(pytest.param(name, marks=[pytest.mark.drill, pytest.mark.model]) for name in SLOW_PAGES),
    ],
)
def test_pictures_are_taken_of_pages_that_are_made_here(workplace, name):
    """The page has what a picture shows, where its address says; the picture is as wide as that."""
    (workplace / "taken").mkdir()
    page = Path(screenshots.MAKERS[name]().result["report"]).resolve()
    pictures = [*screenshots.take({name: page}, workplace / "taken")]
    assert {path.name for path in pictures} == {each for each, shot in screenshots.SHOTS.items() if shot.page == name}
    for path in pictures:
        wide, high = struct.unpack(">II", path.read_bytes()[16:24])
        committed = struct.unpack(">II", (screenshots.DOCS / path.name).read_bytes()[16:24])
        assert (wide, high) == pytest.approx(committed, rel=0.1)
