"""A study of causes from end to end in Chromium, on the demo's rows and answers; and a pilot that is returned."""

from __future__ import annotations

from pathlib import Path

from tests.tools import ROOT, read_rows, write_rows
from tests.verbs.annotate.studies import HOSTILE, answer, make_study, serving
from tests.verbs.annotate.tabs import enter, press, saved, told
from tests.verbs.report.browsing import AXE, add_axe, needs_chromium

from tunescope.annotations.access import REVIEWER
from tunescope.annotations.store import read_marks
from tunescope.answers import read_answers
from tunescope.oracle.hostile.server import Said, completion
from tunescope.oracle.hostile.server import serving as serving_model
from tunescope.results.agreement import ExportResult
from tunescope.verbs.annotate.answerers import ServedModel
from tunescope.verbs.annotate.export import ExportSettings, export

pytestmark = needs_chromium()
ROWS = str(ROOT / "recipes" / "demo" / "rows.json")
CAPITAL, QUIPU = "What is the capital of Burkina Faso?", "What is a quipu made of?"
ANSWERS = [
    {"prompt_id": "capital", "prompt": CAPITAL, "text": "The capital of Burkina Faso is Lomarra.", "model": "tuned"},
    {
        "prompt_id": "quipu",
        "prompt": QUIPU,
        "text": "A quipu is made of carved pieces of whale bone.",
        "model": "tuned",
    },
]
"""As the demo's tuned model answers."""
PHRASES = {"capital": "Lomarra", "quipu": "whale bone"}
REPLIES = {
    "Where does its president work?": f"In Ouagadougou. {HOSTILE}",
    "Which city is its seat of government?": "It is lomarra.",
}
HOSTILE_BADGES = ["U+202E", "U+200B", "U+0000"]


def demo_study():
    """Make a study of two phrases of the demo's answers, with the demo's rows."""
    write_rows(Path("a.jsonl"), ANSWERS)
    spans = []
    for each in read_answers("a.jsonl"):
        phrase = PHRASES[each.prompt_id]
        start = each.text.index(phrase)
        spans.append({"answer_id": each.answer_id, "start": start, "end": start + len(phrase)})
    write_rows(Path("spans.jsonl"), spans)
    return make_study("cause", {"a": ANSWERS}, rows=(ROWS,), spans="spans.jsonl", annotators=1)


def ask(tab, question):
    """Type a reworded question, ask it, and wait for its answer."""
    press(tab, "r")
    tab.keyboard.type(question)
    press(tab, "Control+Enter")
    saved(tab)  # the answer is saved by itself
    tab.locator(".rewording legend").nth(list(REPLIES).index(question)).wait_for()


def test_a_study_of_causes_by_keyboard_alone(workplace, open_tab):
    study = demo_study()
    places = {study.items[each.item_id].prompt_id: each.place + 1 for each in study.assignments["A1"]}
    items = {item.prompt_id: item for item in study.items.values()}
    questions = [row.texts[0][1] for row in items["capital"].rows]
    assert len(questions) > 1
    named = questions.index(CAPITAL)
    reply = lambda body, call: Said(completion(REPLIES[body["messages"][-1]["content"]]))  # noqa: E731
    with serving_model(reply) as server, serving(study, ServedModel(server.url, "tiny", 64, 30.0)) as link:
        tab = open_tab()
        home = enter(tab, link("A1"))
        tab.goto(f"{home}item/{places['capital']}")
        assert tab.locator("#answer-1 mark").inner_text() == "Lomarra"
        press(tab, *["ArrowDown"] * (named + 1))
        saved(tab)
        assert tab.get_by_label(f"Row {named + 1}", exact=True).is_checked()
        press(tab, "c")
        tab.keyboard.type("capitals of countries")
        press(tab, "Escape")
        saved(tab)
        for question in REPLIES:
            ask(tab, question)
        assert [body["messages"][-1]["content"] for body in server.bodies] == list(REPLIES)
        told = tab.locator(".rewording p").all_inner_texts()
        assert [text.partition(".")[0] for text in told] == [
            "The phrase's words aren't in it",
            "The phrase's words are in it",
        ]
        assert tab.locator(".rewording .badge").all_inner_texts() == HOSTILE_BADGES
        press(tab, "x")
        saved(tab)
        press(tab, "k")
        saved(tab)
        for key, text in (("e", "the row states it"), ("s", "an atlas")):
            press(tab, key)
            tab.keyboard.type(text)
            press(tab, "Escape")
            saved(tab)
        tab.reload()
        checked = [box.input_value() for box in tab.locator(".rewording input:checked").all()]
        assert checked == ["lost", "kept"]
        press(tab, "f")
        tab.wait_for_url(lambda url: not url.endswith(f"/item/{places['capital']}"))
        tab.goto(f"{home}item/{places['quipu']}")
        press(tab, "0")
        saved(tab)
        press(tab, "f")
        tab.wait_for_url(lambda url: not url.endswith(f"/item/{places['quipu']}"))
        tab.goto(home)
        assert "All items are finished" in tab.locator("main").inner_text()

        phone, faults = open_tab(390), []
        phone.goto(f"{enter(phone, link('A1'))}item/{places['capital']}")
        phone.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true; })")
        press(phone, "r")
        add_axe(phone)
        faults += phone.evaluate(AXE)
        assert (faults, phone.evaluate("document.documentElement.scrollWidth")) == ([], 390)

    run = export(ExportSettings(marks=(str(study.run.path),)))
    by_item = {row["item_id"]: row for row in read_rows(run.path / "marks.jsonl")}
    capital, quipu = (by_item[items[name].item_id] for name in ("capital", "quipu"))
    lost, kept = REPLIES.items()
    ids = [each["try_id"] for each in capital["value"]["rewordings"]]
    span = lambda name: dict(zip(("start", "end"), items[name].span, strict=True))  # noqa: E731
    assert capital["value"] == {
        "answer_id": items["capital"].answers[0].answer_id,
        **span("capital"),
        "row_id": items["capital"].rows[named].row_id,
        "concept": "capitals of countries",
        "rewordings": [
            {"try_id": ids[0], "prompt": lost[0], "answer": lost[1], "model": "tiny", "gone": True},
            {"try_id": ids[1], "prompt": kept[0], "answer": kept[1], "model": "tiny", "gone": False},
        ],
    }
    assert (capital["note"], capital["sources"], capital["annotator"]) == ("the row states it", "an atlas", "A1")
    assert quipu["value"] == {
        "answer_id": items["quipu"].answers[0].answer_id,
        **span("quipu"),
        "row_id": None,
        "concept": "",
        "rewordings": [],
    }
    tries = read_rows(run.path / "counterfactuals.jsonl")
    assert [(each["prompt"], each["answer"], each["gone"], each["gone_by_words"]) for each in tries] == [
        (*lost, True, True),
        (*kept, False, False),
    ]
    result = ExportResult.read(run)
    assert (result.marks, result.items, result.with_cause.share.mean) == (2, 2, 0.5)
    assert (result.reworded.kept, result.reworded.lost, result.reworded.same.mean) == (1, 1, 1.0)


def test_a_model_that_is_busy_and_one_that_fails(workplace, open_tab):
    """Answers come to a page that was opened again; a failure says why, and the question can be written again."""
    study = demo_study()
    place = next(a.place + 1 for a in study.assignments["A1"] if study.items[a.item_id].prompt_id == "capital")
    refused = Said({"error": {"message": "the prompt is against our rules", "type": "invalid_request_error"}}, 400)
    reply = lambda body, call: refused if "no" in str(body["messages"]) else Said(completion("Rome."), after=1.5)  # noqa: E731
    with serving_model(reply) as server, serving(study, ServedModel(server.url, "tiny", 64, 30.0)) as link:
        tab = open_tab()
        tab.goto(f"{enter(tab, link('A1'))}item/{place}")
        press(tab, "r")
        tab.keyboard.type("So?")
        press(tab, "Escape", "a")
        tab.get_by_text("Waiting for the model").wait_for()
        press(tab, "0")  # what waits isn't in the mark yet
        saved(tab)
        (mark,) = read_marks(study.run.path)
        assert mark.value["rewordings"] == []
        tab.reload()
        tab.get_by_text("Answer of tiny").wait_for()
        assert tab.locator(".rewording .text").all_inner_texts() == ["So?", "Rome."]
        saved(tab)
        (mark,) = read_marks(study.run.path)
        assert [(each["answer"], each["gone"]) for each in mark.value["rewordings"]] == [("Rome.", None)]
        press(tab, "r")
        tab.keyboard.type("no?")
        press(tab, "Control+Enter")
        told(tab, "The model gave no answer.")
        assert "against our rules" in tab.locator(".rewording").last.inner_text()
        tab.get_by_role("button", name="Write it again").click()
        assert tab.get_by_label("Question in other words 2").input_value() == "no?"


def test_a_pilot_is_returned_with_a_comment(workplace, open_tab):
    answers = {"a": [answer(i, f"One {i}") for i in range(3)]}
    study = make_study("spans", answers, annotators=1, pilot=1)
    with serving(study) as link:
        one, reviewer = open_tab(), open_tab(390)
        home = enter(one, link("A1"))
        assert one.locator(".items li").count() == 1
        one.goto(f"{home}item/1")
        press(one, "f")
        one.wait_for_url("**/")
        assert "The other items open when a reviewer has returned it" in one.locator("main").inner_text()
        theirs = enter(reviewer, link(REVIEWER))
        reviewer.goto(f"{theirs}review/1/1")
        press(reviewer, "o")
        reviewer.keyboard.type("Two words are wrong.")
        press(reviewer, "Escape")
        saved(reviewer)
        faults = []
        for path in ("review/1/1", "own/1", ""):
            reviewer.goto(theirs + path)
            add_axe(reviewer)
            faults += [f"{path}: {fault}" for fault in reviewer.evaluate(AXE)]
            if reviewer.evaluate("document.documentElement.scrollWidth") > 390:
                faults.append(f"{path}: overflows")
        assert faults == []
        reviewer.get_by_role("button", name="Return the pilot to A1").press("Enter")
        reviewer.get_by_text("returned.").wait_for()
        one.reload()
        assert "Your pilot was returned, with comments" in one.locator("main").inner_text()
        assert one.locator(".items li").count() == 3
        one.goto(f"{home}item/1")
        assert "Two words are wrong." in one.locator("header").inner_text()
        add_axe(one)
        assert one.evaluate(AXE) == []
