"""Annotators in Chromium: they mark, reload and go on, by keyboard alone, on a phone, two at once."""

from __future__ import annotations

import pytest
from tests.verbs.annotate.studies import HOSTILE, answer, make_study, serving
from tests.verbs.report.browsing import AXE, add_axe, needs_chromium

from tunescope.annotations.store import read_finished, read_marks

pytestmark = needs_chromium()


def enter(tab, link):
    tab.goto(link)
    tab.wait_for_url("**/")
    assert "#" not in tab.url


def saved(tab):
    """Wait until the page says that the server has all of it."""
    tab.get_by_role("status").filter(has_text="Saved.").wait_for()


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)


def spans(folder):
    marks = [mark for mark in read_marks(folder)]
    return sorted((mark.value["start"], mark.value["end"], mark.value["category"], mark.note) for mark in marks)


def test_spans_by_keyboard_alone(workplace, open_tab):
    texts = ["Paris is the capital of Spain.", HOSTILE]
    study = make_study("spans", {"a": [answer(i, text) for i, text in enumerate(texts)]}, annotators=1)
    with serving(study) as link:
        tab = open_tab()
        enter(tab, link("A1"))
        first = next(i for i, each in enumerate(study.assignments["A1"], 1) if each.item_id == spanish(study))
        tab.goto(tab.url + f"item/{first}")
        press(tab, "ArrowRight", "ArrowRight", "ArrowRight", "Shift+ArrowRight", "1")
        saved(tab)
        press(tab, "e")
        tab.keyboard.type("capital of France")
        press(tab, "Escape")
        saved(tab)
        assert spans(study.run.path) == [(9, 20, "not factual", "capital of France")]
        tab.reload()
        assert tab.locator("#answer-1 mark").inner_text() == "the capital"
        press(tab, "]", "2")
        saved(tab)
        assert spans(study.run.path) == [(9, 20, "not useful", "capital of France")]
        press(tab, "Delete")
        saved(tab)
        assert spans(study.run.path) == []


def spanish(study):
    return next(item.item_id for item in study.items.values() if "Spain" in item.answers[0].text)
