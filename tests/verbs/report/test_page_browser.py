"""The page's own hands in Chromium: rows are filtered and opened, tables saved, commands copied, parts reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tools import alpaca, write_rows
from tests.verbs.judge.judged import annotation, save
from tests.verbs.report.browsing import AXE, WIDTHS, add_axe, moving, needs_chromium, until
from tests.verbs.report.test_judges import judged
from tests.verbs.report.test_page import ROWS, checked

from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute
from tunescope.verbs.report import ReportSettings, report

pytestmark = needs_chromium()
HOSTILE = "</script><img src=x onerror='window.pwned=1'> \u202egnp.js"


@pytest.fixture
def page(workplace):
    return page_of(checked(workplace))


def page_of(run):
    return Path(report(ReportSettings(runs=(str(run.path),))).result["report"]).resolve()


def test_a_fault_filters_and_a_row_opens_in_a_drawer(tab, page):
    tab.goto(page.as_uri())
    listed = tab.locator(".row-list a")
    assert listed.count() == 4
    moving(tab, tab.get_by_role("button", name="conflicting answers 2").click)
    assert tab.evaluate("location.hash") == "#rows=rows-1&fault=conflicting_answers"
    assert listed.all_inner_texts() == ["Why is the sky blue?"] * 2
    moving(tab, listed.first.click)
    drawer = tab.get_by_role("dialog")
    assert drawer.locator("li").first.inner_text().startswith("conflicting answers (look at it): 2 answers")
    assert drawer.locator("del").all_inner_texts()[0] == "It"
    assert drawer.locator("ins").all_inner_texts()[0] == "Air"
    tab.keyboard.press("Escape")
    until(tab, "location.hash === '#rows=rows-1&fault=conflicting_answers'")  # a dialog's end is told later
    assert not drawer.is_visible()
    moving(tab, tab.get_by_role("button", name="conflicting answers 2").click)
    assert listed.count() == 4
    tab.get_by_label("Search").fill("WASH ONE")
    assert listed.all_inner_texts() == ["How?"]


def test_a_judgement_opens_in_a_drawer(tab, workplace):
    tab.goto(page_of(judged(workplace, "ours", [2] * 3 + [1])).as_uri())
    moving(tab, tab.get_by_role("button", name="loss 1").click)
    moving(tab, tab.locator(".row-list a").click)
    drawer = tab.get_by_role("dialog")
    assert drawer.get_by_role("heading", level=4).all_inner_texts()[:2] == ["instruction", "output_1"]
    assert drawer.locator(".quote").nth(1).inner_text() == "short"
    assert "tunescope why" not in drawer.inner_text()


def test_a_link_opens_the_row(tab, page):
    tab.goto(page.as_uri())
    link = tab.locator(".row-list a").last.get_attribute("href")
    tab.goto("about:blank")
    tab.goto(page.as_uri() + link)
    assert tab.get_by_role("dialog").locator("mark").inner_text().endswith("on the")


def test_a_table_is_saved_as_csv_that_no_spreadsheet_runs(tab, workplace, page):
    tab.goto(page.as_uri())
    with tab.expect_download() as started:
        tab.get_by_role("button", name="Save Faults as CSV").click()
    text = Path(started.value.path()).read_text("utf-8")
    assert started.value.suggested_filename == "faults.csv"
    assert text.splitlines()[0] == "fault,rows,surely wrong,share,95 % interval,meaning"
    assert "conflicting_answers,2,0,40.00 %," in text
    tab.evaluate("document.querySelector('td').textContent = '=1+1'")
    with tab.expect_download() as started:
        tab.get_by_role("button", name="Save Faults as CSV").click()
    assert "\n'=1+1," in Path(started.value.path()).read_text("utf-8")


def test_the_bar_leads_to_each_question(tab, page):
    tab.goto(page.as_uri())
    bar = tab.get_by_role("navigation", name="Questions")
    assert bar.get_by_role("link").all_inner_texts() == ["Overview", "Rows", "Provenance"]
    moving(tab, bar.get_by_role("link", name="Rows").click)
    top = tab.locator("#rows-all").evaluate("(node) => node.getBoundingClientRect().top")
    assert 0 <= top < 200
    assert bar.bounding_box()["y"] == 0  # it stays
    tab.goto("about:blank")
    tab.goto(page.as_uri())
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the overview"


def test_a_command_is_copied_or_selected(tab, page):
    tab.goto(page.as_uri())
    button = tab.locator(".step button")
    button.click()
    until(tab, "['Copied', 'Selected'].includes(document.querySelector('.step button').textContent)")
    if button.inner_text() == "Selected":
        assert tab.evaluate("String(getSelection())").startswith("tunescope select rows.jsonl")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing_on_the_page_and_in_the_drawer(tab, page, scheme, width):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(page.as_uri())
    add_axe(tab)
    assert tab.evaluate(AXE) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.locator(".row-list a").last.click()
    tab.get_by_role("dialog").wait_for()
    assert tab.evaluate(AXE) == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_long_name_makes_no_page_wider(tab, workplace, width):
    name = "models/" + "/".join(["a-folder-that-is-named-at-length"] * 4)
    records = [annotation(number, 2, generator_2=name) for number in range(4)]
    save(workplace / "long.json", records)
    run = recompute(RecomputeSettings(files=("long.json",), draws=200))
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(page_of(run).as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_tables_are_cards_on_a_phone_and_no_word_breaks(tab, page):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(page.as_uri())
    cell = tab.locator("td").nth(1)
    assert cell.evaluate("(node) => getComputedStyle(node).display") == "grid"
    assert cell.evaluate("(node) => getComputedStyle(node, '::before').content") == '"rows"'
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_rows_and_names_stay_texts(tab, workplace):
    rows = [alpaca(HOSTILE, ""), *ROWS[1:3], alpaca("x", HOSTILE + " and")]
    file = workplace / "a'b&amp;<b>.jsonl"
    write_rows(file, rows)
    tab.goto(page_of(check(CheckSettings(rows=(str(file),)))).as_uri())
    assert tab.locator("img, iframe, b b").count() == 0
    tab.locator(".row-list a").first.click()
    shown = tab.get_by_role("dialog").locator(".quote").first
    assert shown.inner_text().startswith("</script><img src=x onerror='window.pwned=1'> ")
    assert "\u202e" not in tab.content()
