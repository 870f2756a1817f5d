"""The pages of docs/: no link is broken, the reference is what the code says, each page has its place in the site."""

import re
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.tools import ROOT

sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tools" / "site"))
import build
import docs
import reference

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
PAGES = [
    *docs.pages(),
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("benchmarks/README.md"),
    *ROOT.glob("benchmarks/[!.]*/README.md"),
]


def slug(heading):
    """Return the anchor of a heading, as repositories and the site make it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page):
    """Return the anchors of a page's headings."""
    text = FENCE.sub("", page.read_text("utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def broken(page, text):
    """Yield the links of a page that lead nowhere; where others lead out of the repository isn't asked."""
    for found in LINK.finditer(FENCE.sub("", text)):
        target = found[1] or found[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_broken(page):
    assert [*broken(page, page.read_text("utf-8"))] == []


def test_broken_links_are_seen():
    page = ROOT / "docs" / "index.md"
    text = "[a](nowhere.md) [b](how-to/check.md) [c](how-to/check.md#nowhere) [d](#nowhere) [e](https://example.org)"
    assert [*broken(page, text)] == ["nowhere.md", "how-to/check.md#nowhere", "#nowhere"]
    assert [*broken(page, "```text\n[a](nowhere.md)\n```\n")] == []


def test_the_reference_is_what_the_code_says():
    """If not: python tools/reference.py --write."""
    assert {path: path.read_text("utf-8") for path in reference.FOLDER.glob("*.md")} == reference.pages()


def test_every_page_is_in_the_navigation_once():
    assert build.not_in_navigation() == []


def test_what_a_page_loads_from_outside_is_seen(tmp_path):
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="https://x.org/a.css"><script src="//x.org/a.js"></script>'
        '<a href="https://x.org">x</a><img src="b.png"><link rel="canonical" href="https://x.org/">'
    )
    (tmp_path / "a.css").write_text("@font-face { src: url(https://x.org/a.woff2) } p { background: url(b.png) }")
    assert [*build.loaded_from_outside(tmp_path)] == [
        "a.html: https://x.org/a.css",
        "a.html: //x.org/a.js",
        "a.css: https://x.org/a.woff2",
    ]


def test_a_link_out_of_the_docs_leads_to_a_page_that_shows_the_file():
    page = ROOT / "docs" / "tutorials" / "demo.md"
    text, outside = build.relink(page, Path("tutorials/demo.md"))
    assert ROOT / "recipes" / "demo.yaml" in outside
    assert "](../repository/recipes/demo.yaml.md)" in text
    assert build.shown_file(ROOT / "recipes" / "demo.yaml").startswith("# recipes/demo.yaml\n\n````yaml\n")


@pytest.mark.parametrize("page", docs.pages()[1:], ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_says_in_its_first_two_lines_what_it_answers(page):
    lines = re.sub(r"<!--.*?-->", "", page.read_text("utf-8")).split("\n")
    title, first, second = [line for line in lines if line][:3]
    assert title.startswith("# ")
    assert "?" in first + second
