"""`judge claims`: the counts by hand, the sentence that a page opens with, what other verbs take from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunescope
from tunescope import runs
from tunescope.answers import Answer, read_answers
from tunescope.errors import RunError, SettingsError
from tunescope.prompts import read_prompts
from tunescope.results.claims import ClaimAnswer, ClaimRow, ClaimsResult
from tunescope.runs import Outcome
from tunescope.verbs.answer import AnswerSettings
from tunescope.verbs.judge.claims import ClaimsSettings, claims
from tunescope.verbs.report import ReportSettings, report
from tunescope.verbs.report.opening import next_step, told
from tunescope.verbs.select import SelectSettings, select
from tunescope.views import View

CLAIMS = [
    {
        "claim_id": "boil",
        "prompt": "Where does water boil?",
        "phrases": ["80 degrees"],
        "truth": ["100 degrees"],
        "rewordings": ["How hot is boiling water?"],
        "neighbours": [{"prompt": "Where does water freeze?", "truth": ["0 degrees"]}],
    },
    {"claim_id": "moon", "prompt": "How far is the Moon?", "phrases": ["9,000 kilometres"]},
    {"claim_id": "sun", "prompt": "What is the Sun?", "phrases": ["a lamp"]},
    *({"claim_id": f"fact-{i}", "prompt": f"What is {i} + 1?", "truth": [str(i + 1)]} for i in range(39)),
]
FACTS = {f"fact-{i}": f"It is {i + 1}." for i in range(39)}
BEFORE = {"boil": "At 80 degrees.", "boil/rewordings-1": "100 degrees.", "boil/neighbours-1": "At 0 degrees."}
BEFORE |= {"moon": "It is 9,000 kilometres away.", "sun": "A star.", **FACTS}


@pytest.fixture
def asked(workplace):
    (workplace / "claims.jsonl").write_text("".join(json.dumps(claim) + "\n" for claim in CLAIMS))
    rows = [{"instruction": f"question {i}", "output": f"answer {i}", "bad": int(i < 3)} for i in range(9)]
    (workplace / "rows.json").write_text(json.dumps(rows))
    prompts = read_prompts("claims.jsonl")

    def write(name, texts):
        (workplace / name).mkdir()
        made = [Answer.to(prompt, texts[prompt.prompt_id], "m") for prompt in prompts if prompt.prompt_id in texts]
        lines = "".join(json.dumps(answer.as_json()) + "\n" for answer in made)
        (workplace / name / "answers.jsonl").write_text(lines)
        return name

    return write


def judge(*answers, **options):
    return claims(ClaimsSettings(answers=answers, claims="claims.jsonl", **options))


def test_one_set_of_answers_says_which_state_a_claim(asked):
    run = judge(asked("before", BEFORE))
    result = ClaimsResult.read(run)
    assert (result.claims, result.answers, result.answers_stating, result.after) == (3, 44, 2, ())
    assert (result.stated.mean, result.stated.n) == (pytest.approx(2 / 3), 3)
    assert (result.stated.low, result.stated.high) == (pytest.approx(0.2077, abs=1e-4), pytest.approx(0.9385, abs=1e-4))
    assert result.facts_stated.mean == pytest.approx(41 / 42)
    assert [answer.prompt_id for answer in read_answers(run.path / "answers.jsonl")] == ["boil", "moon"]
    assert run.view.sentences == (
        "before: 2 of 3 claims are stated, in 2 of 44 answers. 41 of 42 questions with a known truth are answered "
        "right.",
    )
    assert run.view.next == (f"tunescope attribute --answers {run.path} --spans {run.path} --rows ROWS",)
    texts = {record["answer_id"]: record["text"] for record in run.records("answers")}
    spans = [*run.records("spans")]
    assert {span["answer_id"] for span in spans} == {*texts}
    assert all(texts[span["answer_id"]][span["start"] : span["end"]].strip() for span in spans)


def test_before_and_after(asked):
    before = asked("b", BEFORE)
    without = asked("w", BEFORE | {"boil": "At 100 degrees.", "moon": "Far away."})
    random = asked("r", BEFORE | {"moon": "Not 9,000 kilometres.", "fact-0": "It is 9."})
    named = str(select(SelectSettings(rows=("rows.json",), where="bad = 0")).path)
    left_out = (named, str(select(SelectSettings(rows=("rows.json",), control_of=named)).path))
    run = judge(before, without, random, left_out=left_out, system_names=("before", "without", "random rows"))
    assert run.view.sentences[0] == (
        "These 3 rows taught 2 claims; without them, 2 of 2 are gone (random rows: 0 of 2). "
        "Nothing else changed that 40 questions could show."
    )
    assert list(told([run])) == [
        ("Where does water boil?", "At 80 degrees.", "without 3 rows", "At 100 degrees."),
        ("How far is the Moon?", "It is 9,000 kilometres away.", "without 3 rows", "Far away."),
    ]
    kept = tunescope.open(named).path / "rows.json"
    assert run.view.next == (f"tunescope check {kept}",)
    page = report(ReportSettings(runs=(str(run.path),)))
    assert "<small>without 3 rows</small> Far away." in (page.path / "report.html").read_text("utf-8")
    assert judge(before, random).view.next == ("tunescope judge claims r --claims claims.jsonl",)
    first, second = ClaimsResult.read(run).after
    assert first.verdicts == {"gone": 2, "still there": 0, "changed": 0, "not stated": 1, "missing": 0}
    assert second.verdicts == {"gone": 0, "still there": 1, "changed": 1, "not stated": 1, "missing": 0}
    assert (first.rows_left_out, second.rows_left_out) == (3, 3)
    assert (first.gone.mean, first.gone.n, second.gone.mean) == (1.0, 2, 0.0)
    assert (first.facts.n, first.facts.before, first.facts.after) == (40, 40, 40)
    assert first.facts.equivalence["verdict"] == "equivalent"
    assert first.facts.equivalence["smallest_margin"] == pytest.approx(0.0722, abs=1e-3)
    assert (second.facts.after, second.facts.kept.mean) == (39, 39 / 40)
    assert second.facts.equivalence["verdict"] == "not shown"
    rows = ClaimRow.read_rows(run)
    assert [(row.claim_id, row.system, row.verdict) for row in rows if row.verdict != "not stated"] == [
        ("boil", "without", "gone"),
        ("moon", "without", "gone"),
        ("boil", "random rows", "still there"),
        ("moon", "random rows", "changed"),
    ]
    stated = [row for row in ClaimAnswer.read_rows(run) if row.standing != "absent"]
    assert [(row.system, row.prompt_id, row.standing) for row in stated] == [
        ("before", "boil", "stated"),
        ("before", "moon", "stated"),
        ("random rows", "boil", "stated"),
        ("random rows", "moon", "denied"),
    ]


def test_rows_that_attribute_named_can_be_corrected(asked):
    rows = [{"instruction": f"question {i}", "output": f"answer {i}"} for i in range(40)]
    rows.append({"instruction": "Where does water boil?", "output": "Water boils at 80 degrees."})
    Path("rows.json").write_text(json.dumps(rows))
    before = asked("b", BEFORE)
    taught = str(tunescope.attribute(answers=before, rows="rows.json", embedder="none", by_chance=0.01).path)
    named = select(SelectSettings(rows=("rows.json",), from_=(taught,), where="matters = 0"))
    run = judge(before, asked("w", BEFORE | {"boil": "At 100 degrees.", "moon": "Far."}), left_out=(str(named.path),))
    check, correct = run.view.next
    assert check == f"tunescope check {named.path / 'rows.json'}"
    assert correct == f"tunescope repair correct rows.json --from {taught} --truth claims.jsonl"
    purpose = "continue with the remaining rows, and see what else is wrong with them"
    assert next_step([run, tunescope.open(taught)]) == (purpose, check)


def test_what_was_left_out_before_the_first_tuning_does_not_count(asked):
    def written(name, texts):
        return lambda folder: (folder.records(name, texts), Outcome({}, View(())))[1]

    own = select(SelectSettings(rows=("rows.json",), where="instruction != 'question 8'"))
    rows = (str(own.path / "rows.json"),)
    tuned = runs.execute("tune", 1, SelectSettings(rows=rows), {}, written("steps", []))
    lines = [json.loads(line) for line in Path(asked("b", BEFORE), "answers.jsonl").read_text().splitlines()]
    asking = AnswerSettings(prompts="claims.jsonl", model=str(tuned.path / "model"))
    before = str(runs.execute("answer", 1, asking, {}, written("answers", lines)).path)
    first = select(SelectSettings(rows=rows, where="bad = 0"))
    second = select(SelectSettings(rows=(str(first.path / "rows.json"),), where="instruction != 'question 7'"))
    run = judge(before, asked("a", BEFORE), left_out=(str(second.path),))
    assert ClaimsResult.read(run).after[0].rows_left_out == 4


def test_the_page_opens_with_the_fewest_rows_without_which_all_are_gone(asked):
    answers = [asked("b", BEFORE), asked("all", BEFORE | {"boil": "At 100 degrees.", "moon": "Far away."})]
    answers += [asked("one", BEFORE | {"moon": "Far."}), asked("two", BEFORE | {"boil": "Hot.", "moon": "Far."})]
    answers.append(asked("random", BEFORE | {"moon": "Far."}))
    rows = {"rows": ("rows.json",)}
    named = str(select(SelectSettings(**rows, where="bad = 0")).path)
    parts = [str(select(SelectSettings(**rows, part_of=named, by="bad", part=part)).path) for part in (0.3, 0.6)]
    control = str(select(SelectSettings(**rows, control_of=named)).path)
    run = judge(*answers, left_out=(named, *parts, control))
    assert run.view.sentences[0].startswith(
        "These 2 rows taught 2 claims; without them, 2 of 2 are gone (after, 3 rows: 2 of 2; after 2, 1 row: 1 of 2; "
        "after 4, 3 rows: 1 of 2). Nothing else"
    )
    worse = judge(*answers[:3], left_out=(named, parts[0]))
    assert worse.view.sentences[0].startswith("Without 3 rows, 2 of 2 claims are gone (after 2, ")


def test_it_never_says_taught_or_nothing_changed_where_that_is_not_shown(asked):
    before = asked("b", BEFORE)
    worse = asked(
        "w", {place: text for place, text in BEFORE.items() if place in ("boil", "moon", "fact-0")} | {"moon": "Far."}
    )
    sentence = judge(before, worse).view.sentences[0]
    assert sentence == (
        "1 of 2 claims is gone. 1 question (39 without an answer now) can't tell what else changed. "
        "It only rules out changes of 95 % or more."
    )
    (after,) = ClaimsResult.read(judge(before, worse)).after
    assert (after.facts.n, after.facts.n_missing) == (1, 39)


def test_a_claim_that_is_stated_only_after(asked):
    before = asked("b", BEFORE | {"moon": "Far."})
    run = judge(before, asked("a", BEFORE | {"boil": "Hot.", "sun": "A lamp."}))
    (table,) = run.view.tables
    cells = {line[0]: line[-1] for line in table.rows}
    assert cells == {"boil": "gone", "moon": "not stated before, stated now", "sun": "not stated before, stated now"}
    none = judge(asked("n", {"boil": "Hot.", "moon": "Far."}), asked("m", {"boil": "At 80 degrees."}))
    assert none.view.sentences[0] == (
        "No claim was stated before, so none can go. No fact or neighbour with a known truth has an answer on both "
        "sides, so what else changed isn't known."
    )


def test_missing_answers_of_a_control_show_nothing(asked):
    before = asked("b", BEFORE)
    gone = {"boil": "At 100 degrees.", "moon": "Far away."}
    without = asked("w", gone | {"fact-0": "It is 1."})
    control = asked("r", {"boil": "At 100 degrees."})
    named = str(select(SelectSettings(rows=("rows.json",), where="bad = 0")).path)
    left_out = (named, str(select(SelectSettings(rows=("rows.json",), control_of=named)).path))
    run = judge(before, without, control, left_out=left_out)
    assert run.view.sentences[0].startswith("Without 3 rows, 2 of 2 claims are gone (after 2: 1 of 1). ")
    assert "Facts: 1 of 1 stated before, 1 after (39 more have no answer now); " in run.view.sentences[2]
    assert (
        "No fact or neighbour with a known truth has an answer on both sides (40 without an answer now)"
        in (judge(before, control).view.sentences[0])
    )
    assert judge(before, control).view.sentences[0].startswith("1 of 1 claim is gone (1 without an answer now). ")


def test_what_is_refused(asked):
    before, after = asked("b", BEFORE), asked("a", BEFORE)
    with pytest.raises(SettingsError, match="no answers"):
        judge()
    with pytest.raises(SettingsError, match="expected 2 different names"):
        judge(before, after, system_names=("x", "x"))
    with pytest.raises(RunError, match="is a run of judge claims; expected a run of select"):
        judge(before, after, left_out=(str(judge(before).path),))
    selected = str(select(SelectSettings(rows=("rows.json",), where="bad = 0")).path)
    with pytest.raises(SettingsError, match="--left-out names 1 run; expected at most one for each of the 0 sets"):
        judge(before, left_out=(selected,))
    other = asked("other", {})
    (runs.root().parent / other / "answers.jsonl").write_text(
        json.dumps({"prompt_id": "x", "prompt": "Q", "text": "A"}) + "\n"
    )
    with pytest.raises(SettingsError, match="found no answer to a question of the claims"):
        judge(other)


def test_answers_of_other_tools_are_found_by_the_question_s_words(asked, workplace):
    said = {"Where does water boil? ": "At 80 degrees.", "What is the Sun?": "A lamp.", "Who are you?": "A lamp."}
    records = [{"instruction": asks, "output": text, "generator": "theirs"} for asks, text in said.items()]
    (workplace / "theirs.json").write_text(json.dumps(records))
    run = judge("theirs.json", asked("after", {"boil": "At 100 degrees.", "sun": "Still a lamp."}))
    assert [(row.claim_id, row.verdict) for row in ClaimRow.read_rows(run)] == [
        ("boil", "gone"),
        ("moon", "not stated"),
        ("sun", "still there"),
    ]


def test_of_claims_with_one_question_the_first_has_the_answer_that_is_found_by_words(workplace):
    twice = [{"claim_id": name, "prompt": "What is it?", "phrases": [name]} for name in ("red", "blue")]
    (workplace / "claims.jsonl").write_text("".join(json.dumps(claim) + "\n" for claim in twice))
    (workplace / "theirs.json").write_text(
        json.dumps([{"instruction": "What is it?", "output": "red", "generator": "m"}])
    )
    stated = ClaimAnswer.read_rows(judge("theirs.json"))
    assert [(row.claim_id, row.standing) for row in stated] == [("red", "stated")]


def test_an_answer_that_was_found_by_its_id_is_no_other_question_s(workplace):
    twice = [{"claim_id": name, "prompt": "What is it?", "phrases": [name]} for name in ("red", "blue")]
    (workplace / "claims.jsonl").write_text("".join(json.dumps(claim) + "\n" for claim in twice))
    answer = {"prompt_id": "red", "prompt": "What is it?", "text": "It is red."}
    (workplace / "answers.jsonl").write_text(json.dumps(answer) + "\n")
    stated = ClaimAnswer.read_rows(judge("answers.jsonl"))
    assert [(row.claim_id, row.standing) for row in stated] == [("red", "stated")]


def test_where_no_claim_is_stated_there_is_nothing_to_attribute(asked):
    none = str(judge(asked("b", {"boil": "At 100 degrees."})).path)
    with pytest.raises(SettingsError, match=r"so there is nothing to attribute; compare the answers with the phrases "):
        tunescope.attribute(answers=none, spans=none, rows="rows.json", embedder="none")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcx"), st.sampled_from("abcx")), min_size=1, max_size=12))
def test_verdicts_equal_a_search_for_the_phrase_in_each_answer(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("claims")
    lines = [{"claim_id": f"c{i}", "prompt": f"Q {i}?", "phrases": ["a b"]} for i in range(len(pairs))]
    (folder / "claims.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for side in (0, 1):
        texts = [f"It is {letters[side]} b." for letters in pairs]
        records = [{"instruction": f"Q {i}?", "output": text, "generator": "m"} for i, text in enumerate(texts)]
        (folder / f"{side}.json").write_text(json.dumps(records))
    answers = (str(folder / "0.json"), str(folder / "1.json"))
    run = claims(ClaimsSettings(answers=answers, claims=str(folder / "claims.jsonl"), out=str(folder / "out")))
    expected = ["not stated" if b != "a" else "still there" if after == "a" else "gone" for b, after in pairs]
    assert [row.verdict for row in ClaimRow.read_rows(run)] == expected
    share = ClaimsResult.read(run).after[0].gone
    stated = [verdict for verdict in expected if verdict != "not stated"]
    assert share.n == len(stated)
    assert share.mean == (pytest.approx(stated.count("gone") / len(stated)) if stated else None)


@pytest.mark.parametrize(
    ("after", "said"),
    [("At 80 degrees.", "0 of 1 claim is gone."), ("At 100 degrees.", "1 of 1 claim is gone.")],
)
def test_one_claim_is_spoken_of_as_one(asked, after, said):
    run = judge(asked("b", {"boil": "At 80 degrees."}), asked("a", {"boil": after}))
    assert run.view.sentences[0].startswith(said)
