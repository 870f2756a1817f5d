"""Tasks of lm-eval's own: which are scored, which of their records count, and how these are averaged."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tunescope.results.bench import Choice
from tunescope.verbs.bench.scoring import BenchShard, ScoredShard, build_theirs
from tunescope.verbs.bench.summary import score_use, spread_use
from tunescope.verbs.bench.tasks.catalogue import TaskUse

PLAIN, CHAT = Choice(False, 0), Choice(True, 0)


def shard(values, use, task="t", choice=PLAIN, metric="acc", **said):
    """Return a task whose items have these values."""
    score = {
        **{"results": {f"{metric},none": 0.5}, "higher_is_better": {metric: True}, "n-shot": 0, "chance": None},
        **{"cuts": {"prompts": 0}, "n_cut": 0},
    }
    samples = [{"doc_id": n, "doc_hash": str(n), "filter": "none", metric: value} for n, value in enumerate(values)]
    return ScoredShard(BenchShard(use, task, choice, None), score | said, samples)


def test_an_item_counts_once_under_several_filters():
    """GSM8K has two: `strict-match` is the first that has the metric."""
    use = TaskUse(name="gsm8k", task=None)
    results = {"alias": "gsm8k", "exact_match,strict": 0.5, "exact_match_stderr,strict": 0.1, "exact_match,flexible": 1}
    samples = [
        {"doc_id": n, "filter": name, "exact_match": value}
        for name, values in (("flexible", [1, 1]), ("strict", [1, 0]))
        for n, value in enumerate(values)
    ]
    scored = shard([], use, metric="exact_match", results=results)._replace(samples=samples)
    score = score_use(use, [scored])
    assert (score.score, score.n) == (0.5, 2)
    assert [item["filter"] for item in scored.items] == ["strict", "strict"]
    other = scored._replace(samples=[sample | {"filter": "else"} for sample in samples[:2]])
    assert score_use(use, [other]).score == pytest.approx(1)


def test_the_spread_of_a_mean_over_subjects_is_one_too():
    use = TaskUse(name="t", task=None, over="subjects")
    plain, chat = ([[1, 0, 0, 0], [1, 1]], [[0, 0, 0, 0], [1, 0]])
    by_choice = {
        choice: [shard(values, use, f"t_{n}", choice) for n, values in enumerate(parts)]
        for choice, parts in ((PLAIN, plain), (CHAT, chat))
    }
    spread = spread_use(use, by_choice)
    assert spread.choices == {"plain 0": 0.625, "chat 0": 0.25}
    assert spread.mean == pytest.approx((0.625 + 0.25) / 2)  # by items it would be 4 / 12
    assert (spread.n, spread.low < spread.mean < spread.high) == (6, True)
    assert spread.method.startswith("mean share of 2 strata")
    pooled = spread_use(TaskUse(name="t", task=None), by_choice)
    assert pooled.mean == pytest.approx(4 / 12)


def test_a_metric_that_isnt_a_share_has_a_mean():
    use = TaskUse(name="t", task=None)
    values = [2.0, 3.5, 4.0, None, 1.5, 2.5, 3.0]
    score = score_use(use, [shard(values, use, metric="ppl")])
    assert (score.score, score.n, score.n_missing) == (pytest.approx(2.75), 6, 1)
    spread = spread_use(use, {PLAIN: [shard(values, use, metric="ppl")], CHAT: [shard(values, use, metric="ppl")]})
    assert (spread.mean, spread.lowest) == (pytest.approx(2.75), pytest.approx(2.75))


def test_what_is_no_number_is_missing():
    """Of a metric of the whole task lm-eval logs what it needs for each item: pairs, lists, texts."""
    use = TaskUse(name="t", task=None)
    for value in ([1, 2], "a", {"x": 1}, float("nan"), float("inf")):
        scored = shard([value, 1.0, 0.0], use)
        assert scored.values == [None, 1.0, 0.0]
        score = score_use(use, [scored])
        assert (score.score, score.n, score.n_missing) == (0.5, 2, 1)


def test_what_lm_eval_cannot_load_is_missing_with_its_words():
    def load(name):
        raise RuntimeError("Dataset scripts are no longer supported, but found\n logiqa.py")

    built = build_theirs(TaskUse(name="logiqa", task=None, lm_evals=True), load)
    said = "lm-eval can't load it (Dataset scripts are no longer supported, but found logiqa.py)"
    assert (built.tasks, built.reason) == ((), said)


def test_what_runs_code_outside_of_the_sandbox_is_missing():
    safe, unsafe = SimpleNamespace(), SimpleNamespace(UNSAFE_CODE=True)
    use = TaskUse(name="mixed", task=None, lm_evals=True)
    built = build_theirs(use, lambda name: {"mixed_a": safe, "mixed_b": unsafe})
    said = "lm-eval would run code that the model writes outside of our sandbox, in mixed_b"
    assert (built.tasks, built.reason) == ((safe,), said)
    assert build_theirs(use, lambda name: {"mixed_a": safe}).reason is None
