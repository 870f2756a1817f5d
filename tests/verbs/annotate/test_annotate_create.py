"""Studies: which items they have of each kind, what is refused, and that the same settings make the same study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tools import alpaca, write_rows
from tests.verbs.annotate.studies import answer, make_study

from tunescope.answers import read_answers
from tunescope.errors import InputError, RunError, SettingsError
from tunescope.results.annotate import STUDY_KINDS
from tunescope.verbs.annotate import create
from tunescope.verbs.annotate.create import AnnotateCreateSettings, annotate_create
from tunescope.verbs.attribute import attribute
from tunescope.verbs.attribute.settings import AttributeSettings

ONE = [answer(i, f"one {i}", "secret-a") for i in range(6)]
TWO = [answer(i, f"two {i}", "secret-b") for i in range(6)]


def shown(study):
    return sorted(tuple(each.text for each in item.answers) for item in study.items.values())


def test_an_item_for_each_answer(workplace):
    study = make_study("spans", {"a": ONE, "b": [*TWO, answer(9, " \n")]}, pilot=2, annotators=3)
    assert shown(study) == [*((f"one {i}",) for i in range(6)), *((f"two {i}",) for i in range(6))]
    assert study.result.as_json() == {
        "kind": "spans",
        "items": 12,
        "pilot": 2,
        "annotators": ["A1", "A2", "A3"],
        "groups": 1,
        "groups_each": 1,
        "overlap": [0, 0, 0, 10],
        "categories": ["not factual", "not useful"],
    }
    assert study.guidelines.startswith("Read the question, then the whole answer.")
    assert study.run.view.tables[0].rows == ((1, 0), (2, 0), (3, 10))


def test_pairs_are_of_one_question_and_differ(workplace):
    later = [TWO[2], {**TWO[1], "text": "one 1"}, TWO[0], answer(7, "two 7")]
    study = make_study("pairs", {"a": ONE, "b": later})
    assert shown(study) == [("one 0", "two 0"), ("one 2", "two 2")]
    assert study.run.view.sentences[1:3] == (
        "Left out: 4 answers without a partner.",
        "Left out: 1 pair of equal answers.",
    )
    assert len(study.result.categories) == 6
    assert {each.system for item in study.items.values() for each in item.answers} == {"secret-a", "secret-b"}


def test_pairs_of_files_that_others_made_go_by_their_question(workplace):
    others = [{"instruction": f"What is {i}?", "output": f"theirs {i}", "generator": "g"} for i in (4, 1)]
    assert shown(make_study("verdicts", {"a": ONE, "b": others})) == [("one 1", "theirs 1"), ("one 4", "theirs 4")]


def test_aspects_are_named_in_the_guidelines(workplace):
    study = make_study("aspects", {"a": ONE}, aspects=("factuality", "wit"))
    assert study.result.aspects == ("factuality", "wit")
    assert "- **factuality**: is what it says true, without errors or inventions?\n- **wit**\n" in study.guidelines
    assert make_study("aspects", {"a": ONE}).result.aspects[:2] == ("helpfulness", "clarity")


def test_the_limits_preset_and_what_wins_over_it(workplace):
    many = {"a": [answer(i, f"one {i}") for i in range(900)]}
    study = make_study("spans", many, preset="limits")
    expected = {"items": 850, "pilot": 50, "groups": 4, "groups_each": 2, "overlap": [0, 0, 800, 0, 0]}
    assert study.result.as_json().items() >= expected.items()
    same = AnnotateCreateSettings(
        kind="spans", answers=("a.jsonl",), limit=800, groups=4, groups_each=2, annotators=4, pilot=50
    )
    assert annotate_create(same).path == study.run.path
    study = make_study("spans", {"a": many["a"][:100]}, preset="limits", pilot=10, annotators=2)
    assert study.result.overlap == (0, 90, 0)
    assert study.run.view.sentences[1:] == (
        "There are fewer than the 800 items that --limit or --preset asks for.",
        "No item outside of the pilot is seen by two people, so their agreement can't be measured.",
    )


def test_the_same_settings_make_the_same_study_and_the_seed_another(workplace):
    first = make_study("spans", {"a": ONE}, limit=3)
    files = {path.name: path.read_bytes() for path in first.run.path.glob("[!.]*") if path.name != "run.json"}
    assert sorted(files) == ["assignments.jsonl", "guidelines.md", "items.jsonl"]
    assert make_study("spans", {"a": ONE}, limit=3).run.path == first.run.path
    again = make_study("spans", {"a": ONE}, limit=3, out="again")
    assert {name: (again.run.path / name).read_bytes() for name in files} == files
    other = make_study("spans", {"a": ONE}, limit=3, seed=1)
    assert other.run.path != first.run.path
    assert len(first.items) == len(other.items) == 3


ROWS = [
    alpaca("What is the capital of France?", "It is Paris, a city of light."),
    alpaca("And of Spain?", "Madrid."),
    alpaca("Where is Paris?", "In France."),
    alpaca("Who was Paris?", "A prince of Troy."),
    alpaca("What is the capital of Italy?", "It is Rome."),
]


def phrases(*spans):
    with open("spans.jsonl", "w") as file:
        for span in spans:
            file.write(json.dumps(span) + "\n")


def cause_study(**settings):
    text = "The capital of Spain is Paris. It is nice."
    write_rows(Path("rows.jsonl"), ROWS)
    write_rows(Path("a.jsonl"), [answer(0, text)])
    (only,) = read_answers("a.jsonl")
    paris, nice = text.index("Paris"), text.index("nice")
    phrases(
        {"answer_id": only.answer_id, "start": paris, "end": paris + 5},
        {"answer_id": only.answer_id, "char_start": nice, "char_end": nice + 4},
    )
    given = {"rows": ("rows.jsonl",), "spans": "spans.jsonl", **settings}
    return make_study("cause", {"a": [answer(0, text)]}, **given)


def test_a_phrase_has_the_rows_in_which_it_occurs(workplace):
    study = cause_study(annotators=1)
    by_phrase = {item.answers[0].text[slice(*item.span)]: item for item in study.items.values()}
    questions = {phrase: sorted(row.texts[0][1] for row in item.rows) for phrase, item in by_phrase.items()}
    assert questions == {
        "Paris": ["What is the capital of France?", "Where is Paris?", "Who was Paris?"],
        "nice": [],
    }
    assert (study.result.phrases, study.result.phrases_found) == (2, 1)
    assert study.run.view.sentences[1:3] == (
        "2 of 2 phrases drawn with seed 0, 1 phrase found in a row letter by letter.",
        '1 phrase without any row: annotators can only answer "none of these rows".',
    )
    (place,) = {row.place for row in by_phrase["Paris"].rows if row.texts[0][1] == "Where is Paris?"}
    assert place == "rows.jsonl:3"


def test_rows_that_are_too_many_are_drawn(workplace):
    seen = set()
    for seed in range(20):
        study = cause_study(annotators=1, rows_each=1, seed=seed)
        (row,) = (row for item in study.items.values() for row in item.rows)
        seen.add(row.texts[0][1])
    assert seen == {"What is the capital of France?", "Where is Paris?", "Who was Paris?"}
    assert "1 phrase found in more than 1 row: 1 of them is shown." in study.run.view.sentences


def test_rows_that_attribution_names_stand_among_them(workplace):
    write_rows(Path("rows.jsonl"), ROWS)
    write_rows(Path("a.jsonl"), [answer(0, "The capital of Spain is Paris. It is nice.")])
    run = attribute(AttributeSettings(rows=("rows.jsonl",), answers="a.jsonl", embedder="none", top=4))
    named = {row["row_id"] for row in run.tables["attributions"].to_pylist()}
    assert len(named) == 4
    study = cause_study(annotators=1, from_=(str(run.path),))
    nice, paris = sorted(study.items.values(), key=lambda item: len(item.rows))
    assert {row.row_id for row in nice.rows} == named
    assert {row.row_id for row in paris.rows} > named
    write_rows(Path("other.jsonl"), ROWS[:2])
    with pytest.raises(SettingsError, match=r"^--from names \d rows that --rows lacks, such as \w{16}; expected a run"):
        cause_study(rows=("other.jsonl",), from_=(str(run.path),))


def test_what_is_refused(workplace):
    with pytest.raises(SettingsError, match=r"^--kind pairs: found 1 files of answers; expected two"):
        make_study("pairs", {"a": ONE})
    with pytest.raises(SettingsError, match=r"have no question in common; expected answers to the same"):
        make_study("pairs", {"a": ONE[:2], "b": TWO[2:]})
    with pytest.raises(SettingsError, match=r"have the same answers; expected some that differ$"):
        make_study("verdicts", {"a": ONE, "b": [{**each, "model": "other"} for each in ONE]})
    with pytest.raises(SettingsError, match=r"^--kind cause: expected --rows ROWS"):
        make_study("cause", {"a": ONE})
    with pytest.raises(SettingsError, match=r"^--rows: found with --kind spans; expected it with --kind cause only"):
        make_study("spans", {"a": ONE}, rows=("a.jsonl",))
    with pytest.raises(SettingsError, match=r"^--categories: found with --kind aspects"):
        make_study("aspects", {"a": ONE}, categories=("x",))
    with pytest.raises(SettingsError, match=r"^--aspects: found with --kind spans"):
        make_study("spans", {"a": ONE}, aspects=("x",))
    with pytest.raises(SettingsError, match=r"^--categories x x: expected up to 9 different names$"):
        make_study("spans", {"a": ONE}, categories=("x", "x"))
    with pytest.raises(SettingsError, match=r"a\.jsonl: found no answer with a text"):
        make_study("spans", {"a": [answer(0, " ")]})
    with pytest.raises(SettingsError, match=r"b\.jsonl: found twice; expected each file of answers once$"):
        annotate_create(AnnotateCreateSettings(kind="pairs", answers=("b.jsonl", "./b.jsonl")))
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        annotate_create(AnnotateCreateSettings(kind="spans", answers=("nowhere.jsonl",)))
    with pytest.raises(SettingsError, match=r"^--guidelines nowhere\.md: found no text that can be read"):
        make_study("spans", {"a": ONE}, guidelines="nowhere.md")
    with pytest.raises(RunError, match=r"expected a finished run folder"):
        make_study("spans", {"a": ONE}).open("nowhere")


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ({"answer_id": "x", "start": 0, "end": 1}, r"found the answer 'x'; expected one of --answers"),
        ({"start": 0, "end": 1}, r"expected answer_id, start and end"),
        ({"start": 3, "end": 3}, r"found characters 3 to 3; expected a stretch of the answer's 5"),
        ({"start": 0, "end": 6}, r"found characters 0 to 6; expected a stretch of the answer's 5"),
    ],
)
def test_phrases_that_are_none(workplace, span, problem):
    write_rows(Path("rows.jsonl"), ROWS)
    write_rows(Path("a.jsonl"), ONE[:1])
    (only,) = read_answers("a.jsonl")
    phrases({"answer_id": only.answer_id, **span} if "stretch" in problem else span)
    with pytest.raises(SettingsError, match=rf"^spans\.jsonl:1: {problem}"):
        make_study("cause", {"a": ONE[:1]}, rows=("rows.jsonl",), spans="spans.jsonl")


def test_every_kind_has_guidelines(workplace):
    folder = Path(create.__file__).parent / "guidelines"
    assert {path.stem for path in folder.iterdir()} == set(STUDY_KINDS)
