"""Annotators in Chromium: they mark, reload and go on, by keyboard alone, on a phone, two at once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tools import alpaca, write_rows
from tests.verbs.annotate.studies import HOSTILE, answer, listening, make_study, serving
from tests.verbs.annotate.tabs import enter, press, saved, told
from tests.verbs.report.browsing import AXE, add_axe, needs_chromium

from tunescope.annotations.access import REVIEWER, Access
from tunescope.annotations.store import MarkStore, read_finished, read_marks
from tunescope.answers import read_answers

pytestmark = needs_chromium()
SPANISH = "Paris is the capital of Spain."
LONG = "word" * 100


def place_of(study, text, annotator="A1"):
    """Return the number of the item whose answer begins so, in an annotator's own order."""
    items = (study.items[each.item_id] for each in study.assignments[annotator])
    return next(i for i, item in enumerate(items, 1) if item.answers[0].text.startswith(text))


def spans(study):
    marks = read_marks(study.run.path)
    return sorted((mark.value["start"], mark.value["end"], mark.value["category"], mark.note) for mark in marks)


def test_spans_by_keyboard_alone(workplace, open_tab):
    study = make_study("spans", {"a": [answer(1, SPANISH), answer(2, "Two.")]}, annotators=1)
    with serving(study) as link:
        tab = open_tab()
        home = enter(tab, link("A1"))
        tab.keyboard.press("Tab")  # guidelines
        press(tab, "Tab", "Enter")  # go on
        tab.wait_for_url("**/item/1")
        if place_of(study, "Paris") == 2:
            press(tab, "n")
            tab.wait_for_url("**/item/2")
        press(tab, *["ArrowRight"] * 3, "Shift+ArrowRight", "1")
        saved(tab)
        press(tab, "e")
        tab.keyboard.type("capital of France 1f")
        press(tab, "Escape")
        saved(tab)
        assert spans(study) == [(9, 20, "not factual", "capital of France 1f")]
        tab.reload()
        assert tab.locator("#answer-1 mark").inner_text() == "the capital"
        press(tab, "]", "2")
        saved(tab)
        press(tab, "s")
        tab.keyboard.type("an atlas")
        press(tab, "Escape")
        saved(tab)
        assert read_marks(study.run.path)[0].sources == "an atlas"
        press(tab, "Escape", "ArrowLeft", ",", "]", "m")
        saved(tab)
        assert spans(study) == [(0, 4, "not useful", "capital of France 1f")]
        press(tab, "Delete")
        saved(tab)
        assert spans(study) == []
        press(tab, "f")
        tab.wait_for_url(lambda url: not url.endswith(f"/item/{place_of(study, 'Paris')}"))
        tab.goto(home)
        assert "A1: 1 of 2 finished" in tab.locator("h2").inner_text()
        assert {name for _, name in read_finished(study.run.path)} == {"A1"}
        with MarkStore(study.run.path) as store:
            (item_id,) = (item.item_id for item in study.items.values() if item.answers[0].text == SPANISH)
            assert {pair[0] for pair in store.finished("A1")} == {item_id}


def test_spans_with_the_mouse_over_badges_and_other_marks(workplace, open_tab):
    text = f"A\U0001d11e {HOSTILE} end"
    study = make_study("spans", {"a": [answer(1, text, HOSTILE)]}, annotators=1)
    with serving(study) as link:
        tab = open_tab()
        tab.goto(enter(tab, link("A1")) + "item/1")
        shown = tab.locator("#answer-1")
        assert "window.pwned=1" in shown.inner_text()
        assert shown.locator(".badge").all_inner_texts() == ["U+202E", "U+200B", "U+0000"]
        assert shown.locator("img").count() == 0
        for word, category in (("gnp", "not factual"), ("next", "not useful"), ("end", "not factual")):
            start = text.index(word)
            tab.evaluate(SELECT, [word, len(word)])
            tab.get_by_role("button", name=category).first.click()
            saved(tab)
            assert (start, start + len(word), category, "") in spans(study)
        badge = text.index("\u202e")
        shown.locator(".badge").first.dblclick()
        tab.keyboard.press("1")
        saved(tab)
        assert any(start <= badge < end for start, end, *_ in spans(study))
        before = spans(study)
        tab.reload()
        assert shown.locator("mark").count() >= 4
        assert tab.locator("#marks button").count() == len(before) == 4
        assert "".join(shown.locator("mark").all_inner_texts()).count("gnp") == 1


SELECT = """([word, length]) => {
  const walk = document.createTreeWalker(document.getElementById("answer-1"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const at = walk.currentNode.data.indexOf(word);
    if (at >= 0) { getSelection().setBaseAndExtent(walk.currentNode, at, walk.currentNode, at + length); return; }
  }
}"""


def test_two_annotators_and_two_tabs_at_once(workplace, open_tab):
    study = make_study("spans", {"a": [answer(1, SPANISH)]}, annotators=2)
    with serving(study) as link:
        one, two = open_tab(expects="409 (Conflict)"), open_tab()
        other_tab = one.context.new_page()
        for tab, name in ((one, "A1"), (two, "A2")):
            tab.goto(enter(tab, link(name)) + "item/1")
        press(one, "ArrowRight", "1")
        saved(one)
        press(two, "ArrowRight", "ArrowRight", "2")
        saved(two)
        assert spans(study) == [(0, 5, "not factual", ""), (6, 8, "not useful", "")]
        assert one.locator("#marks button").count() == two.locator("#marks button").count() == 1
        other_tab.goto(one.url)
        press(other_tab, "]", "2")
        saved(other_tab)
        press(one, "]", "1")
        sentence = "Not saved: another tab changed this mark (version 2, yours was 1); reload the page"
        told(one, sentence)
        assert spans(study)[0] == (0, 5, "not useful", "")


def test_the_server_goes_and_comes_back(workplace, open_tab):
    from tunescope.verbs.annotate.app import make_app

    study = make_study("verdicts", {"a": [answer(1, "x")], "b": [answer(1, "y")]}, annotators=1)
    tab = open_tab(expects="net::ERR_CONNECTION_REFUSED")
    with MarkStore(study.run.path) as store:
        app = make_app(study, store)
        with listening(app) as port:
            tab.goto(enter(tab, f"http://127.0.0.1:{port}/enter#{Access(store).make_link('A1')}") + "item/1")
        press(tab, "1")
        told(tab, "Not saved yet")
        assert read_marks(study.run.path) == []
        with listening(app, port):
            saved(tab)
        assert len(read_marks(study.run.path)) == 1


def cause_study():
    write_rows(Path("rows.jsonl"), [alpaca("The capital of France?", "It is Paris."), alpaca("Paris?", "A prince.")])
    write_rows(Path("a.jsonl"), [answer(1, SPANISH)])
    (only,) = read_answers("a.jsonl")
    Path("spans.jsonl").write_text(json.dumps({"answer_id": only.answer_id, "start": 0, "end": 5}))
    given = {"rows": ("rows.jsonl",), "spans": "spans.jsonl", "annotators": 1}
    return make_study("cause", {"a": [answer(1, SPANISH)]}, **given)


def test_a_cause_by_keyboard_alone(workplace, open_tab):
    study = cause_study()
    with serving(study) as link:
        tab = open_tab()
        tab.goto(enter(tab, link("A1")) + "item/1")
        assert tab.locator("#answer-1 mark").inner_text() == "Paris"
        assert tab.locator(".passage mark").all_inner_texts() == ["Paris"] * 2
        press(tab, "ArrowDown", "ArrowDown")
        saved(tab)
        press(tab, "c")
        tab.keyboard.type("capitals")
        press(tab, "Escape")
        saved(tab)
        press(tab, "r")
        tab.keyboard.type("Where does Spain's king live?")
        press(tab, "Tab")
        tab.keyboard.type("In Madrid.")
        press(tab, "Escape", "x")
        saved(tab)
        (item,) = study.items.values()
        reworded = {"prompt": "Where does Spain's king live?", "answer": "In Madrid.", "gone": True}
        (mark,) = read_marks(study.run.path)
        assert mark.value == {
            "answer_id": item.answers[0].answer_id,
            "start": 0,
            "end": 5,
            "row_id": item.rows[1].row_id,
            "concept": "capitals",
            "rewordings": [reworded],
        }
        tab.reload()
        assert tab.get_by_label("Row 2").is_checked()
        assert tab.get_by_label("lost").is_checked()
        press(tab, "0", "f")
        tab.wait_for_url("**/")
        assert read_marks(study.run.path)[0].value["row_id"] is None
        assert len(read_finished(study.run.path)) == 1


def test_pairs_verdicts_and_aspects_by_keyboard(workplace, open_tab):
    answers = {"a": [answer(1, "short")], "b": [answer(1, "somewhat longer")]}
    cases = [
        ("pairs", answers, ["4"], {"category": "only the longer invents to prolong"}),
        ("verdicts", answers, ["1", "0"], {"preference": 0.5}),
        ("aspects", {"a": answers["a"]}, ["3", "ArrowUp", "4", "5"], {"scores": {"depth": 4, "wit": 5}}),
    ]
    for kind, given, keys, expected in cases:
        more = {"aspects": ("depth", "wit")} if kind == "aspects" else {}
        study = make_study(kind, given, annotators=1, **more)
        with serving(study) as link:
            tab = open_tab()
            tab.goto(enter(tab, link("A1")) + "item/1")
            press(tab, *keys)
            saved(tab)
            (mark,) = read_marks(study.run.path)
            assert {**mark.value, "answer_id": 0} == {**expected, "answer_id": 0}
            press(tab, "f")
            tab.wait_for_url("**/")
            assert "All items are finished" in tab.locator("main").inner_text()


def test_a_reviewer_corrects(workplace, open_tab):
    study = make_study("spans", {"a": [answer(1, SPANISH)]}, annotators=1)
    with serving(study) as link:
        one, reviewer = open_tab(), open_tab()
        one.goto(enter(one, link("A1")) + "item/1")
        press(one, "ArrowRight", "1")
        saved(one)
        reviewer.goto(enter(reviewer, link(REVIEWER)) + "review/1/1")
        assert reviewer.get_by_role("heading", level=1).inner_text() == "Item 1 of 1, marks of A1"
        press(reviewer, "]", "2")
        saved(reviewer)
        press(reviewer, "e")
        reviewer.keyboard.type("read the guidelines")
        press(reviewer, "Escape")
        saved(reviewer)
        one.reload()
        press(one, "]")
        expected = "Corrected by a reviewer. The annotator's own: not factual: “Paris”"
        assert one.locator("#correction").inner_text() == expected
        assert one.get_by_label("Note").input_value() == "read the guidelines"


def test_no_page_overflows_a_phone_and_axe_is_content(workplace, open_tab):
    answers = {"a": [answer(1, f"{LONG} {HOSTILE}")], "b": [answer(1, "short")]}
    studies = [make_study(kind, answers, annotators=1) for kind in ("pairs", "verdicts")]
    studies += [make_study(kind, {"a": answers["a"]}, annotators=1) for kind in ("spans", "aspects")]
    tab, faults = open_tab(390), []
    for study in (*studies, cause_study()):
        with serving(study) as link:
            home, kind = enter(tab, link("A1")), study.result.kind
            for path in ("", "item/1", "guidelines") if kind == "pairs" else ("item/1",):
                tab.goto(home + path)
                if kind == "spans":
                    press(tab, "ArrowRight", "1")
                    saved(tab)
                tab.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true; })")
                add_axe(tab)
                faults += [f"{kind} /{path}: {fault}" for fault in tab.evaluate(AXE)]
                for width in (390, 1280):
                    tab.set_viewport_size({"width": width, "height": 844})
                    if tab.evaluate("document.documentElement.scrollWidth") > width:
                        faults.append(f"{kind} /{path}: overflows {width}")
    assert faults == []
