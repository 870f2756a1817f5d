"""`compare` of two runs of a judge: which items it judges otherwise."""

import pytest
from tests.tools import write_rows
from tests.verbs.judge.contests import judge, outputs, scores

from tunescope.errors import RunError, SettingsError
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.judge.aspects import AspectsSettings, aspects
from tunescope.verbs.judge.pairwise import PairwiseSettings, pairwise


@pytest.fixture
def answers(workplace):
    for name in ("old", "new", "base"):
        outputs(workplace / f"{name}.jsonl", name, {f"Question {i}?": f"{name} {i}" for i in range(6)})
    judge(
        workplace / "fake.jsonl",
        scores("old [01]", "base", "9 2"),
        scores("base", "old [01]", "2 9"),
        scores("new [0-3]", "base", "9 2"),
        scores("base", "new [0-3]", "2 9"),
        {"pattern": "new 5", "reply": "I'm sorry, but I can't judge this."},
        ("", r"\g<mark>: 5 5"),
    )
    return workplace


def judged(name, **settings):
    return pairwise(
        PairwiseSettings(
            answers=(f"{name}.jsonl", "base.jsonl"), oracle="fake:fake.jsonl", draws=200, out=name, **settings
        )
    )


def test_the_paired_difference_of_two_win_rates(answers):
    old, new = judged("old"), judged("new")
    run = compare(CompareSettings(a=str(old.path), b=str(new.path)))
    assert run.result["kind"] == "judgements"
    assert run.result["paired_by"] == {"system": 0, "item": 6}
    assert (run.result["same"], run.result["changed"]) == (3, 3)
    found = run.result["summary"]["win_rate"]
    assert (found["a"]["mean"], found["b"]["mean"]) == (pytest.approx(400 / 6), 90)
    assert (found["difference"]["mean"], found["difference"]["n"], found["difference"]["n_missing"]) == (20, 5, 1)
    assert found["p"] == 0.5
    assert "Judged by fake against base." in run.view.sentences
    assert run.result["summary"]["length"]["difference"]["mean"] == 0


def test_runs_of_several_systems_are_paired_system_by_system(answers):
    both = pairwise(
        PairwiseSettings(answers=("old.jsonl", "new.jsonl", "base.jsonl"), oracle="fake:fake.jsonl", draws=200)
    )
    run = compare(CompareSettings(a=str(both.path), b=str(judged("new").path)))
    assert run.result["paired_by"] == {"system": 6, "item": 0}
    assert (run.result["same"], run.result["removed"]) == (6, 6)


def test_aspects_are_compared_one_by_one(answers):
    reply = r'{"code": "\g<mark>", "depth": %d, "clarity": "N/A"}'
    pattern = r'%s \d.*"code": "(?P<mark>\w+)"'
    lines = [
        {"pattern": pattern % name, "reply": reply % score, "expand": True} for name, score in (("old", 2), ("new", 4))
    ]
    write_rows(answers / "grades.jsonl", lines)
    known = {"oracle": "fake:grades.jsonl", "aspects": ("depth", "clarity"), "draws": 200}
    old, new = (aspects(AspectsSettings(answers=(f"{name}.jsonl",), **known)) for name in ("old", "new"))
    run = compare(CompareSettings(a=str(old.path), b=str(new.path)))
    assert run.result["summary"]["depth"]["difference"]["mean"] == 2
    assert run.result["summary"]["clarity"]["difference"]["mean"] is None
    with pytest.raises(SettingsError, match=r"holds judgements and B .* holds answers"):
        compare(CompareSettings(a=str(old.path), b="new.jsonl"))


def test_a_plan_holds_no_judgements(answers):
    with pytest.raises(RunError, match="holds no rows, answers, measures or judgements to compare"):
        compare(CompareSettings(a=str(judged("old", plan=True).path), b="new.jsonl"))
