"""`compare` of two models' scores: the pairs by hand, lm-eval's files, no harm, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
from tests.tools import write_rows

from tunescope.errors import InputError, RunError
from tunescope.results.compare import ScoresResult
from tunescope.results.lm_eval import find_results
from tunescope.verbs.compare import CompareSettings, compare


def write(folder, tasks, time="2026-11-29T18-00-00.1", model="m", groups=None, metric="acc"):
    """Write a results file and the items of tasks, as lm-eval does: task → the items' scores, or records."""
    folder.mkdir(parents=True, exist_ok=True)
    ending = f"_{time}" if time else ""
    results = {}
    for task, scores in tasks.items():
        items = [
            score
            if isinstance(score, dict)
            else {"doc_id": i, "doc_hash": f"{task}{i}", "prompt_hash": f"p{i}", metric: score}
            for i, score in enumerate(scores)
        ]
        write_rows(folder / f"samples_{task}{ending}.jsonl", items)
        results[task] = {"alias": task, f"{metric},none": 0.5, f"{metric}_stderr,none": 0.1}
    said = {
        "results": results,
        "group_subtasks": groups or {},
        "higher_is_better": {task: {metric: metric != "ppl"} for task in tasks},
        "config": {"model_args": f"pretrained={model}"},
        "lm_eval_version": "0.4.13",
    }
    (folder / f"results{ending}.json").write_text(json.dumps(said))
    return str(folder)


def compared(a, b, **more):
    run = compare(CompareSettings(a=a, b=b, **more))
    return run, ScoresResult.read(run)


def test_pairs_by_hand(workplace):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 60).tolist()
    second = [1 - x if i % 5 == 0 else x for i, x in enumerate(first)]
    a, b = write(workplace / "a", {"t": first}, model="before"), write(workplace / "b", {"t": second}, model="after")
    run, result = compared(a, b)
    task = result.tasks["t"]
    won = sum(x < y for x, y in zip(first, second, strict=True))
    lost = sum(x > y for x, y in zip(first, second, strict=True))
    assert (task.won, task.lost, task.difference.n, task.difference.n_missing) == (won, lost, 60, 0)
    assert (task.a.mean, task.b.mean) == (pytest.approx(np.mean(first)), pytest.approx(np.mean(second)))
    assert task.difference.mean == pytest.approx((won - lost) / 60)
    assert task.difference.low < task.difference.mean < task.difference.high
    assert task.p == pytest.approx(scipy.stats.binomtest(won, won + lost).pvalue)
    assert (task.p_holm, task.other_prompts, task.no_harm) == (task.p, 0, None)
    assert result.models == {"a": "pretrained=before", "b": "pretrained=after"}
    items = run.tables["items"].to_pylist()
    assert [(item["a"], item["b"]) for item in items] == list(zip(map(float, first), map(float, second), strict=True))
    assert run.view.sentences[1] == "No significant difference was found on t. These items may have missed one."


def test_no_harm_is_shown_or_harm_or_neither(workplace):
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2, 400).tolist()
    worse = [0 if i % 4 == 0 else x for i, x in enumerate(base)]
    tasks_a = {"same": base, "worse": base, "few": base[:20]}
    tasks_b = {"same": base, "worse": worse, "few": [1 - base[0], *base[1:20]]}
    run, result = compared(write(workplace / "a", tasks_a), write(workplace / "b", tasks_b), no_harm=3)
    assert {name: task.no_harm for name, task in result.tasks.items()} == {
        "same": "shown",
        "worse": "harm",
        "few": "too few items",
    }
    assert result.tasks["same"].equivalence["equivalent"] is True
    assert result.tasks["few"].n_needed > 100
    assert (result.tasks["same"].n_needed, result.tasks["worse"].n_needed) == (None, None)
    said = " ".join(run.view.sentences)
    assert "No harm on same: B isn't 3 points or more below A (n = 400)." in said
    assert "Harm on worse: B is worse than A by" in said
    lost = [0, sum(base[::4]) / 400, (2 * base[0] - 1) / 20]
    mean = result.mean
    assert (mean.tasks, mean.no_harm) == (("same", "worse", "few"), "too few items")
    assert mean.difference.mean == pytest.approx(-sum(lost) / 3)
    assert run.view.sentences[3].startswith("Over the 3 tasks together, each counted once, B is ")
    needed = f"{result.tasks['few'].n_needed:,}"
    assert f"Too few items of few to show no harm within 3 points: 20; about {needed} would do." in said
    assert sorted(task.p_holm for task in result.tasks.values())[0] == pytest.approx(
        3 * min(task.p for task in result.tasks.values())
    )


def test_a_difference_may_stand_against_items_that_would_do_without_one(workplace):
    base = [1] * 40 + [0] * 60
    worse = [0, 0, *base[2:]]
    run, result = compared(write(workplace / "a", {"t": base}), write(workplace / "b", {"t": worse}), no_harm=5)
    needed = result.tasks["t"].n_needed
    assert needed <= 100
    assert run.view.sentences[2] == (
        "Too few items of t to show no harm within 5 points: 100, in which B is 2.0 points below A; without a "
        f"difference about {needed} would do."
    )


def test_the_mean_leaves_out_scores_of_which_less_is_better(workplace):
    tasks = {name: [0, 1] * 20 for name in ("one", "two")}
    a, b = write(workplace / "a", tasks, metric="ppl"), write(workplace / "b", tasks, metric="ppl")
    assert compared(a, b, metric="ppl")[1].mean is None
    a, b = write(workplace / "c", tasks), write(workplace / "d", tasks)
    assert compared(a, b)[1].mean.tasks == ("one", "two")


def test_a_better_score_is_no_harm_and_a_lower_perplexity_is_better(workplace):
    rng = np.random.default_rng(2)
    before = rng.gamma(3, 2, 80).tolist()
    a = write(workplace / "a", {"t": before}, metric="ppl")
    b = write(workplace / "b", {"t": [x - 1 for x in before]}, metric="ppl")
    assert compared(a, b, no_harm=1, metric="ppl")[1].tasks["t"].no_harm == "shown"
    assert compared(b, a, no_harm=1, metric="ppl")[1].tasks["t"].no_harm == "harm"


def test_points_arent_of_a_perplexity(workplace):
    a = write(workplace / "a", {"t": [20.0, 30.0, 25.0]}, metric="ppl")
    b = write(workplace / "b", {"t": [21.0, 29.0, 25.5]}, metric="ppl")
    run, result = compared(a, b, no_harm=1, metric="ppl")
    assert (result.tasks["t"].no_harm, result.tasks["t"].equivalence, result.tasks["t"].n_needed) == (None, None, None)
    assert "Whether t was harmed isn't tested: the margin is of a share, and ppl isn't one." in run.view.sentences
    worse = write(workplace / "worse", {"t": [20.0 + i for i in range(20)]}, metric="ppl")
    better = write(workplace / "better", {"t": [15.5 + i for i in range(20)]}, metric="ppl")
    said = compared(better, worse, no_harm=1, metric="ppl")[0].view.sentences
    assert "B is above A on t by 4.5." in said
    assert "Harm on t: B is worse than A by 4.5." in said
    said = compared(worse, better, no_harm=1, metric="ppl")[0].view.sentences
    assert "No harm on t: B is better by 4.5 (n = 20)." in said


def test_a_task_without_an_item_scored_on_both_sides_isnt_tested(workplace):
    a = write(workplace / "a", {"t": [1, None]})
    b = write(workplace / "b", {"t": [None, 1]})
    run, result = compared(a, b, no_harm=1)
    assert (result.tasks["t"].no_harm, result.tasks["t"].difference.n) == (None, 0)
    assert "Whether t was harmed isn't tested: no item has a score on both sides." in run.view.sentences


def test_groups_are_one_task_and_content_decides_what_pairs(workplace):
    groups = {"mmlu": ["mmlu_a", "mmlu_b"]}
    a = write(workplace / "a", {"mmlu_a": [1, 0, 1], "mmlu_b": [0, 1]}, groups=groups)
    shuffled = [{"doc_id": 9, "doc_hash": f"mmlu_a{i}", "acc": value} for i, value in ((2, 1), (0, 0), (1, 0))]
    b = write(workplace / "b", {"mmlu_a": shuffled, "mmlu_b": [0, 1]}, groups=groups)
    (name, task), *rest = compared(a, b)[1].tasks.items()
    assert (name, rest, task.difference.n, task.won, task.lost) == ("mmlu", [], 5, 0, 1)


def test_groups_in_groups_are_one_task_and_a_part_pairs_with_the_whole(workplace):
    groups = {"mmlu": ["mmlu_stem", "mmlu_other"], "mmlu_stem": ["mmlu_a", "mmlu_b"], "mmlu_other": ["mmlu_c"]}
    groups["mmlu_a"] = []
    whole = write(workplace / "a", {"mmlu_a": [1, 0], "mmlu_b": [0, 1, 1], "mmlu_c": [1]}, groups=groups)
    part = write(workplace / "b", {"mmlu_b": [1, 1, 1]}, groups=groups)
    (name, task), *rest = compared(whole, part)[1].tasks.items()
    assert (name, rest, task.difference.n, task.won, task.lost) == ("mmlu", [], 3, 1, 0)
    assert find_results(whole).groups == {"mmlu": ["mmlu_a", "mmlu_b", "mmlu_c"]}


def test_tasks_of_a_group_with_other_metrics_stay_by_themselves(workplace):
    folder = workplace / "a"
    write(folder, {"g_a": [1, 0]}, groups={"g": ["g_a", "g_b"]}, time="")
    said = json.loads((folder / "results.json").read_text("utf-8"))
    said["results"]["g_b"], said["higher_is_better"]["g_b"] = {"ppl,none": 3.0}, {"ppl": False}
    (folder / "results.json").write_text(json.dumps(said))
    write_rows(folder / "samples_g_b.jsonl", [{"doc_id": 0, "doc_hash": "x", "ppl": 3.0}])
    tasks = find_results(str(folder)).tasks()
    assert {name: (task.metric, task.higher_is_better) for name, task in tasks.items()} == {
        "g_a": ("acc", True),
        "g_b": ("ppl", False),
    }


def test_an_item_under_two_filters_is_one(workplace):
    """lm-eval logs GSM8K's items under each; the first filter that has the metric counts."""
    items = [
        {"doc_id": i, "doc_hash": f"t{i}", "filter": name, "acc": value}
        for name, values in (("loose", (1, 1)), ("none", (0, 1)))
        for i, value in enumerate(values)
    ]
    a = write(workplace / "a", {"t": items})
    assert [*find_results(a).tasks()["t"].scores.values()] == [0.0, 1.0]
    b = write(workplace / "b", {"t": [item | {"filter": f"no {item['filter']}"} for item in items]})
    assert [*find_results(b).tasks()["t"].scores.values()] == [1.0, 1.0]


def test_repeated_content_is_paired_in_order(workplace):
    twice = [{"doc_id": i, "doc_hash": "same", "acc": value} for i, value in enumerate((1, 0))]
    again = [{"doc_id": i, "doc_hash": "same", "acc": value} for i, value in enumerate((1, 1))]
    task = compared(write(workplace / "a", {"t": twice}), write(workplace / "b", {"t": again}))[1].tasks["t"]
    assert (task.difference.n, task.won, task.lost) == (2, 1, 0)


def test_other_prompts_and_missing_items_are_said(workplace):
    a = write(workplace / "a", {"t": [1, 0, 1], "only": [1]})
    other = [{"doc_id": i, "doc_hash": f"t{i}", "prompt_hash": "x", "acc": 1} for i in range(2)]
    run, result = compared(a, write(workplace / "b", {"t": other}))
    task = result.tasks["t"]
    assert (task.other_prompts, task.difference.n, task.difference.n_missing) == (2, 2, 1)
    assert result.only_a == ("only",)
    assert "A and B were asked 2 items with different prompts." in run.view.sentences


def test_the_newest_of_a_folders_results_and_those_of_its_model_folder(workplace):
    folder = workplace / "out" / "org__model"
    write(folder, {"t": [0, 0]}, time="2026-01-01T00-00-00.1")
    write(folder, {"t": [1, 1]}, time="2026-02-01T00-00-00.1")
    found = find_results(str(workplace / "out"))
    assert found.path.name == "results_2026-02-01T00-00-00.1.json"
    assert [*found.tasks()["t"].scores.values()] == [1.0, 1.0]
    assert find_results(str(folder / "results_2026-01-01T00-00-00.1.json")).tasks()["t"].scores[("t0", 0)] == 0.0
    assert find_results(str(workplace)) is None


def test_what_is_refused(workplace):
    a, b = write(workplace / "a", {"t": [1, 0]}), write(workplace / "b", {"u": [1, 0]})
    with pytest.raises(RunError, match=r"has the tasks t and .* has u; expected one in common"):
        compared(a, b)
    with pytest.raises(InputError, match="no task with items and the metric f1"):
        compared(a, a, metric="f1")
    other = write(workplace / "c", {"t": [{"doc_id": 0, "doc_hash": "else", "acc": 1}]})
    with pytest.raises(RunError, match="t: no item of one side is an item of the other"):
        compared(a, other)
    bare = workplace / "bare"
    bare.mkdir()
    (bare / "results_x.json").write_text(json.dumps({"results": {"t": {"acc,none": 1.0}}}))
    with pytest.raises(InputError, match="no file of items beside it; expected items of a task, which lm-eval writes"):
        compared(a, str(bare))
    (bare / "results_x.json").write_text("[]")
    with pytest.raises(InputError, match=r"no results by task; expected a results file of lm-eval 0\.4"):
        compared(a, str(bare))
    (bare / "results_x.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        compared(a, str(bare))
