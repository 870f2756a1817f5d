"""Case cards: which questions have one, what is marked in them, and what stands beside."""

from __future__ import annotations

import re
from html import unescape

from tests.verbs.report.xray_runs import answer_of, answer_run, attribute_run
from tests.verbs.report.xray_scene import HOSTILE, MIXED, scene

from tunescope.models.names import ModelNames
from tunescope.verbs.report.cases import cases_html
from tunescope.verbs.report.columns import columns_of
from tunescope.verbs.report.xray import xray

TEXTS = [["user", "Where is it?"], ["assistant", "In Lomarra."]]


def data_of(runs):
    """Return the X-ray's data of runs."""
    names = ModelNames(runs)
    return xray(columns_of(runs, names), names)


def cards(data):
    """Return each card's heading, address, marked stretches and rows."""
    found = []
    for card in cases_html(data).split('<article class="case">')[1:]:
        (address, called), *_ = re.findall(r'<h3><a href="([^"]*)">(.*?)</a>', card)
        marks = [unescape(mark) for mark in re.findall(r"<mark>(.*?)</mark>", card, re.DOTALL)]
        found.append((called, unescape(address), marks, re.findall(r"<h4>Row ([^,]*),", card)))
    return found


def test_words_in_common_are_marked_in_the_answer_and_in_its_rows(workplace):
    works, mixed, hostile = cards(data_of(scene(workplace)))
    assert works == (
        "p1",
        "#prompt=p1",
        ["works as a baker", "very day a baker g", "works as a baker", "very", "day a baker g"],
        ["aaaa000011112222"],
    )
    assert mixed[2] == [MIXED[MIXED.index("𝔘") :]] * 2
    assert hostile[1:3] == ("#prompt=p+2%26x%3D%3Cb%3E", [HOSTILE] * 2)


def test_without_words_in_common_a_stated_claim_has_a_card_with_the_rows_that_taught_it(workplace):
    said = [answer_of("p1", "Where?", "It is in Lomarra, they say.", "m"), answer_of("p2", "Who?", "Nobody.", "m")]
    taught = {said[0].answer_id: [{"row_id": "aaaa", "how": "words", "copied": 0, "matters": True, "texts": TEXTS}]}
    runs = [answer_run(workplace / "said", said), attribute_run(workplace / "taught", said, taught, 1)]
    data = data_of(runs)
    assert cases_html(data) == ""
    data["prompts"][0]["answers"][0]["claims"] = [["capital", "stated", "in Lomarra"]]
    data["prompts"][1]["answers"][0]["claims"] = [["capital", "absent", ""]]
    assert cards(data) == [("p1", "#prompt=p1", ["in Lomarra"], ["aaaa"])]
    data["prompts"][0]["answers"][0]["claims"] = [["capital", "stated", "Lomarra"]]
    assert cards(data) == [("p1", "#prompt=p1", ["Lomarra", "Lomarra"], ["aaaa"])]
    assert "Claim capital: stated (“Lomarra”)." in cases_html(data)


def test_a_long_text_is_cut_around_its_marks(workplace):
    text = "a " * 400 + "the claim" + " b" * 400
    data = data_of([answer_run(workplace / "said", [answer_of("p1", "Where?", text, "m")])])
    data["prompts"][0]["answers"][0]["claims"] = [["c", "stated", "the claim"]]
    (shown,) = re.findall(r'<p class="quote" dir="auto">(…[^…]*…)</p>', cases_html(data))
    assert shown == "…" + "a " * 120 + "<mark>the claim</mark>" + " b" * 120 + "…"


def test_no_character_is_cut_in_two(workplace):
    text = "x" + "😀" * 300 + "the claim" + "😀" * 300
    data = data_of([answer_run(workplace / "said", [answer_of("p1", "Where?", text, "m")])])
    data["prompts"][0]["answers"][0]["claims"] = [["c", "stated", "the claim"]]
    assert "\ufffd" not in cases_html(data)
    data["prompts"][0]["answers"][0]["text"] = "y" + text
    assert "\ufffd" not in cases_html(data)
