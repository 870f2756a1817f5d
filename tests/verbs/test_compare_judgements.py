"""`compare` of two runs of a judge: which items it judges otherwise."""

import pytest
from tests.tools import write_rows
from tests.verbs.judge.contests import judge, outputs, scores
from tests.verbs.judge.judged import annotation, ours, review, save, shard, single

from tunescope.errors import RunError, SettingsError
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.judge.aspects import AspectsSettings, aspects
from tunescope.verbs.judge.leaderboard import LeaderboardSettings, leaderboard
from tunescope.verbs.judge.pairwise import PairwiseSettings, pairwise
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute


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


def test_verdicts_that_agree_up_to_rounding_are_the_same(workplace):
    """A preference from a judge's log-probabilities comes back with other last digits."""
    runs = [
        recomputed(save(workplace / f"{name}.json", [annotation(i, 1.3 + step) for i in range(12)]))
        for name, step in (("a", 0.0), ("b", 1e-9), ("c", 0.001))
    ]
    same, changed = (compare(CompareSettings(a=str(runs[0].path), b=str(run.path))) for run in runs[1:])
    assert (same.result["same"], same.result["changed"]) == (12, 0)
    assert same.result["summary"]["win_rate"]["difference"]["mean"] == 0
    assert (changed.result["same"], changed.result["changed"]) == (0, 12)
    assert changed.result["summary"]["win_rate"]["difference"]["mean"] == pytest.approx(0.1)
    assert changed.result["summary"]["win_rate"]["unpaired_difference"]["mean"] == pytest.approx(0.1)


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


def recomputed(*files, **settings):
    return recompute(RecomputeSettings(files=tuple(map(str, files)), draws=200, **settings))


def said(*items, way, **columns):
    """Return our judgements of items, each won in both orders, asked for in one way."""
    lines = [ours(item, ("system", 1), ("reference", 1), **columns) for item in items]
    for line in lines:
        line["orders"] = [{**order, "way": way} for order in line["orders"]]
    return lines


def test_runs_with_different_reply_formats_say_so(workplace):
    files = {way: save(workplace / f"{way}.jsonl", said("1", "2", way=way, system=way)) for way in ("json", "tags")}
    runs = {way: recomputed(file) for way, file in files.items()}
    assert {way: run.result["asked_as"] for way, run in runs.items()} == {"json": "json", "tags": "tags"}
    run = compare(CompareSettings(a=str(runs["json"].path), b=str(runs["tags"].path)))
    warning = (
        "The judges were asked for different reply formats: JSON in A, text in B. The runs may differ for that reason "
        "alone."
    )
    assert run.result["setup_differences"] == [warning]
    assert warning in run.view.sentences
    board = leaderboard(LeaderboardSettings(runs=tuple(str(run.path) for run in runs.values())))
    paths = [str(run.path) for run in runs.values()]
    assert warning.replace(" A,", f" {paths[0]},").replace(" B.", f" {paths[1]}.") in board.view.sentences
    both = recomputed(*files.values())
    assert both.result["asked_as"] == "json, tags"
    assert any("JSON in some calls and for text in others" in sentence for sentence in both.view.sentences)
    same = compare(CompareSettings(a=str(runs["json"].path), b=str(runs["json"].path)))
    assert same.result["setup_differences"] == []


def test_runs_with_different_rules_or_scores_say_so(workplace):
    name = save(workplace / "r.json", {"data": [review(i, (9, 8), (8, 8)) for i in range(3)]})
    runs = [recomputed(name), recomputed(name, rule="agree"), recomputed(name, scores="text")]
    rules = compare(CompareSettings(a=str(runs[0].path), b=str(runs[1].path))).result["setup_differences"]
    assert rules == [
        "The verdicts follow different rules: over both orders (net) in A, over both orders (agree) in B. The runs may "
        "differ for that reason alone."
    ]
    (read,) = compare(CompareSettings(a=str(runs[0].path), b=str(runs[2].path))).result["setup_differences"]
    assert read.startswith("The scores come from different places: as stored in A, read again in the replies in B.")


def test_several_judges_and_parts_are_kept_apart(workplace):
    """The scores of one judge don't stand for another's, nor does one part's verdict for another part's."""
    by = {
        judge: [
            shard(i, {"depth": score}, generator_cand="m", eval_config={"gpt": judge}, result=None) for i in range(3)
        ]
        for judge, score in (("x", "5"), ("y", "1"))
    }
    both = recomputed(save(workplace / "both.json", [*by["x"], *by["y"]]))
    assert {name: r["aspects"]["depth"]["mean"] for name, r in both.result["systems"].items()} == {
        "m by x": 5, "m by y": 1,
    }  # fmt: skip
    one = recomputed(save(workplace / "one.json", by["y"]))
    run = compare(CompareSettings(a=str(both.path), b=str(both.path)))
    assert (run.result["a"], run.result["same"]) == (6, 6)
    assert run.result["summary"]["depth"]["a"]["mean"] == 3
    assert compare(CompareSettings(a=str(both.path), b=str(one.path))).result["paired_by"] == {"system": 0, "item": 0}
    reviews = {name: {"data": [review(i, scores, scores[::-1]) for i in range(3)]} for name, scores in (
        ("good", (9, 1)), ("poor", (1, 9)),
    )}  # fmt: skip
    files = {name: save(workplace / f"{name}.json", data) for name, data in reviews.items()}
    parts, poor = recomputed(*files.values()), recomputed(files["poor"])
    run = compare(CompareSettings(a=str(parts.path), b=str(poor.path)))
    assert (run.result["same"], run.result["changed"], run.result["removed"]) == (3, 0, 3)


def test_two_judges_of_one_system_compare_item_by_item(workplace):
    names = [
        save(workplace / f"{judge}.jsonl", [single(i, score, judge=[judge, "v1"]) for i in range(3)])
        for judge, score in (("x", 7), ("y", 9))
    ]
    run = compare(CompareSettings(a=str(recomputed(names[0]).path), b=str(recomputed(names[1]).path)))
    assert run.result["summary"]["score"]["difference"]["mean"] == 2
