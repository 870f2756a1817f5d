"""`annotate agreement`: what it says of each kind of study, the pilot and corrections apart, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.annotations.studies import item, mark, verdicts, write_items, write_marks, write_study

from tunescope import cli
from tunescope.errors import SettingsError
from tunescope.results.agreement import AgreementResult, AnnotatorPair
from tunescope.results.annotate import Assignment, ShownRow
from tunescope.verbs.annotate.agreement import AgreementSettings, agreement

krippendorff = pytest.importorskip("krippendorff")

NAN = math.nan
TEXT = "The moon is made of cheese, and it is round."


def run_on(marks, items=None, **settings):
    """Run on a file of marks; return the run."""
    if items is not None:
        settings["items"] = write_items(Path("items.jsonl"), items)
    return agreement(AgreementSettings(marks=(write_marks(Path("marks.jsonl"), marks),), **settings))


def result_of(run):
    """Return a run's result as a record."""
    return AgreementResult.read(run)


def test_pairs_by_category(workplace):
    """Five of Figure 6's categories, three people, some missing: equal to the package, as a whole and one by one."""
    said = {
        "ann": "AABBCDEAB.",
        "bob": "AABBCDEEB.",
        "cy": ".ACBCDDABA",
    }
    marks = [
        mark(f"item{n}", person, "pairs", {"category": letter})
        for person, letters in said.items()
        for n, letter in enumerate(letters)
        if letter != "."
    ]
    run = run_on(marks)
    main = result_of(run).main
    data = [[NAN if letter == "." else ord(letter) for letter in letters] for letters in said.values()]
    theirs = krippendorff.alpha(data, level_of_measurement="nominal")
    assert main.measures["category"].alpha.mean == pytest.approx(theirs)
    for letter in "ABCDE":
        one = [[NAN if math.isnan(value) else float(value == ord(letter)) for value in row] for row in data]
        theirs = krippendorff.alpha(one, level_of_measurement="nominal")
        assert main.measures[f"category: {letter}"].alpha.mean == pytest.approx(theirs)
    assert (main.items, main.shared, main.annotators, main.marks) == (10, 9, 3, 27)
    assert main.measures["category"].alpha.n_missing == 1
    assert main.n_missing is None
    assert main.missing_reason == "files of marks don't say which items each person was assigned"
    same = main.measures["category"].same
    assert same.mean == pytest.approx((1 + 1 + 1 / 3 + 1 + 1 + 1 + 1 / 3 + 1 / 3 + 1) / 9)
    pairs = {(p.annotator_1, p.annotator_2): (p.items, p.same) for p in AnnotatorPair.read_rows(run)}
    assert pairs == {
        ("ann", "bob"): (9, pytest.approx(8 / 9)),
        ("ann", "cy"): (8, pytest.approx(6 / 8)),
        ("bob", "cy"): (8, pytest.approx(5 / 8)),
    }


def test_aspects_are_ordinal(workplace):
    scores = {"ann": [5, 4, 1, 2, 3, 3], "bob": [5, 3, 1, 2, 4, 2]}
    marks = [
        mark(f"item{n}", person, "aspects", {"answer_id": "a", "scores": {"depth": score, "tone": 3}})
        for person, given in scores.items()
        for n, score in enumerate(given)
    ]
    main = result_of(run_on(marks)).main
    theirs = krippendorff.alpha([*scores.values()], level_of_measurement="ordinal")
    assert main.measures["depth"].alpha.mean == pytest.approx(theirs)
    assert main.measures["depth"].scale == "ordinal"
    assert main.measures["tone"].alpha.mean is None
    assert main.measures["tone"].alpha.reason == "all marks are equal: nothing tells agreement from chance"


def test_causes_are_rows_of_the_item(workplace):
    rows = tuple(ShownRow(row_id=f"r{n}", place="x", texts=()) for n in range(3))
    items = [item(n, "cause", [TEXT], span=(20, 26), rows=rows) for n in range(4)]
    said = {"ann": ["r0", "r1", None, "r2"], "bob": ["r0", "r2", None, None]}
    marks = [
        mark(f"item{n}", person, "cause", {"answer_id": f"a{n}-tuned", "start": 20, "end": 26, "row_id": row})
        for person, named in said.items()
        for n, row in enumerate(named)
    ]
    main = result_of(run_on(marks, items)).main
    theirs = krippendorff.alpha([[1, 2, 0, 3], [1, 3, 0, 0]], level_of_measurement="nominal")
    assert main.measures["row"].alpha.mean == pytest.approx(theirs)
    theirs = krippendorff.alpha([[1, 1, 0, 1], [1, 1, 0, 0]], level_of_measurement="nominal")
    assert main.measures["a row or none"].alpha.mean == pytest.approx(theirs)


def spans(start, end, person, item_id, category="wrong", **more):
    """Return a person's span."""
    value = {"answer_id": item_id.replace("item", "a") + "-tuned", "start": start, "end": end, "category": category}
    return mark(item_id, person, "spans", value, **more)


def test_spans_by_character(workplace):
    """Alpha of characters is the package's, and F1 that of the characters that two people marked."""
    items = [item(0, "spans", [TEXT]), item(1, "spans", ["All of it is right."]), item(2, "spans", [TEXT])]
    marks = [
        spans(20, 26, "ann", "item0"),
        spans(16, 26, "bob", "item0"),
        spans(38, 43, "bob", "item0", "useless"),
        mark("item1", "ann", "spans", {}),
        mark("item1", "bob", "spans", {}),
        spans(0, 8, "ann", "item2"),
    ]
    run = run_on(marks, items)
    main = result_of(run).main
    data = [[0] * (44 + 19), [0] * (44 + 19)]
    data[0][20:26] = [1] * 6
    data[1][16:26] = [1] * 10
    data[1][38:43] = [2] * 5
    theirs = krippendorff.alpha(data, level_of_measurement="nominal")
    assert main.measures["category"].alpha.mean == pytest.approx(theirs)
    marked = [[min(1, value) for value in row] for row in data]
    theirs = krippendorff.alpha(marked, level_of_measurement="nominal")
    assert main.measures["marked or not"].alpha.mean == pytest.approx(theirs)
    useless = [[int(value == 2) for value in row] for row in data]
    theirs = krippendorff.alpha(useless, level_of_measurement="nominal")
    assert main.measures["category: useless"].alpha.mean == pytest.approx(theirs)
    assert main.overlap.mean == pytest.approx(2 * 6 / (6 + 15))
    assert (main.overlap.n, main.overlap.n_missing) == (2, 1)
    assert [p.same for p in AnnotatorPair.read_rows(run)] == [pytest.approx(12 / 21)]
    without = result_of(run_on(marks)).main
    assert without.measures["marked or not"].alpha.mean is None
    assert without.measures["marked or not"].alpha.reason.endswith("name their study with --items")
    assert without.overlap.mean == pytest.approx(12 / 21)


def test_the_pilot_is_apart_and_corrections_are_told(workplace):
    items = [item(n, "pairs", ["A.", "B."]) for n in range(6)]
    assignments = [
        Assignment(annotator=name, item_id=f"item{n}", phase="pilot" if n < 2 else "main", group=0, place=n)
        for name in ("ann", "bob")
        for n in range(6)
    ]
    said = {"ann": "XYXYXX", "bob": "YXXYYX"}
    marks = [
        mark(f"item{n}", name, "pairs", {"category": letter}, phase="pilot" if n < 2 else "main")
        for name, letters in said.items()
        for n, letter in enumerate(letters)
        if (name, n) != ("bob", 5)
    ]
    corrected = mark(
        "item4",
        "bob",
        "pairs",
        {"category": "X"},
        mark_id=marks[-1].mark_id,
        reviewer="rev",
        original={"category": "Y"},
    )
    study = write_study(Path("study"), items, assignments, [*marks[:-1], corrected])
    run = agreement(AgreementSettings(marks=(study,)))
    result = result_of(run)
    assert result.pilot.measures["category"].alpha.mean == pytest.approx(
        krippendorff.alpha([[0, 1], [1, 0]], level_of_measurement="nominal")
    )
    assert (result.main.items, result.main.shared, result.main.n_missing) == (4, 3, 1)
    assert result.main.measures["category"].alpha.mean == 1.0
    before = krippendorff.alpha([[0, 1, 0], [0, 1, 1]], level_of_measurement="nominal")
    assert result.before_corrections["category"].mean == pytest.approx(before)
    assert result.corrected == 1
    text = " ".join(run.view.sentences)
    assert "2 annotators marked 4 items, 3 of them by two or more." in text
    assert "2 annotators marked 2 items of the pilot" in text
    assert "1 assigned mark missing: not made yet, and not counted." in text
    assert f"Before that, alpha was {before:.3f}; with the corrections it is 1.000" in text


def test_what_is_printed(workplace, capsys):
    items, marks = verdicts(0, 60)
    path = write_marks(Path("marks.jsonl"), marks)
    run = agreement(AgreementSettings(marks=(path,), items=write_items(Path("items.jsonl"), items)))
    main = result_of(run).main
    data = [[m.value["preference"] for m in marks if m.annotator == f"person {n}"] for n in range(3)]
    alpha = main.measures["preference"].alpha
    assert alpha.mean == pytest.approx(krippendorff.alpha(data, level_of_measurement="ordinal"))
    assert alpha.low < alpha.mean < alpha.high
    assert run.view.sentences[0].startswith("3 annotators marked 60 items, 60 of them by two or more. Alpha of prefer")
    assert run.view.next == (
        "tunescope annotate export marks.jsonl --items items.jsonl",
        "tunescope annotate agreement marks.jsonl --items items.jsonl --judge RUN",
    )
    again = agreement(AgreementSettings(marks=(path,), items="items.jsonl"))
    assert again.path == run.path
    assert json.loads(json.dumps(run.result))["kind"] == "verdicts"
    assert cli.VERBS["annotate agreement"].summary.endswith(".")


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        (
            [("item1", "ann"), ("item2", "ann")],
            "found marks of one annotator, ann; agreement needs two who mark the same",
        ),
        (
            [("item1", "ann"), ("item2", "bob")],
            "found no item that two of the 2 annotators have marked, of 2; agreement",
        ),
    ],
)
def test_what_has_no_agreement(people, sentence, workplace):
    marks = [mark(item_id, name, "verdicts", {"preference": 1.0}) for item_id, name in people]
    with pytest.raises(SettingsError) as caught:
        run_on(marks)
    assert str(caught.value).startswith(sentence)
    assert not Path("runs").exists()
