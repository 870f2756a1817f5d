"""From scored items to the score of each task, the suite's means, and what the scores depend on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from tunescope import stats
from tunescope.results.bench import BenchScore, Choice, ScoreMean, ScoreSpread
from tunescope.results.code import CodeScore
from tunescope.verbs.bench.scoring import ScoredCode, ScoredShard
from tunescope.verbs.bench.tasks.catalogue import Suite, TaskUse, combine, summarize


def score_use(use: TaskUse, shards: Sequence[ScoredShard]) -> BenchScore:
    """Return the score of a use from its tasks, all scored under one choice.

    The interval is over items. Where the score is the mean over subjects, its standard error is that of a mean of
    independent means, which the shares' effective n is computed from.
    """
    chances = [(shard.score["chance"], len(shard.values)) for shard in shards]
    known = [(chance, n) for chance, n in chances if chance is not None]
    return BenchScore.from_json(
        _mean_over(use, [shard.values for shard in shards]).as_json("score")
        | {
            "metric": shards[0].metric,
            "chance": combine(use, known) if len(known) == len(chances) else None,
            "category": use.category,
            "shots": shards[0].score["n-shot"],
            "n_cut": sum(max(shard.score["cuts"]["prompts"], shard.score["n_cut"]) for shard in shards),
        }
    )


def _mean_over(use: TaskUse, parts: Sequence[Sequence[float | None]]) -> stats.Estimate:
    """Return the mean over the items of a use's tasks, or over tasks where the use says so.

    Metrics of lm-eval's own tasks may leave the range from 0 to 1, such as a perplexity.
    """
    values = [value for part in parts for value in part]
    if not all(0 <= value <= 1 for value in values if value is not None):
        return stats.mean(values)
    if use.over == "subjects" and len({len(part) for part in parts}) > 1:
        return stats.share_of_strata(parts)
    return stats.mean_share(values)


def score_code(use: TaskUse, code: CodeScore) -> BenchScore:
    """Return the score of a use whose answers are code: pass@1, or pass@10 where that is its metric."""
    metric = use.metric or "pass@1"
    score = code.pass_at_10 if metric == "pass@10" else code.pass_at_1
    said = score.as_json()
    more = {"metric": metric, "category": use.category, "n_cut": code.n_cut}
    return BenchScore.from_json({**said, "score": said.pop("mean"), **more})


def spread_use(use: TaskUse, by_choice: Mapping[Choice, Sequence[ScoredShard]]) -> ScoreSpread:
    """Return how a use's score depends on the choices that it was scored under."""
    scores = {choice: score_use(use, shards).score for choice, shards in by_choice.items()}
    return _spread(use, scores, [[shard.values for shard in shards] for shards in by_choice.values()])


def spread_code(use: TaskUse, by_choice: Mapping[Choice, ScoredCode]) -> ScoreSpread:
    """Return how the score of a use whose answers are code depends on the choices that it was scored under."""
    scored = {choice: score_code(use, code.score) for choice, code in by_choice.items()}
    values = [[[each[scored[choice].metric] for each in code.problems]] for choice, code in by_choice.items()]
    return _spread(use, {choice: each.score for choice, each in scored.items()}, values)


def _spread(
    use: TaskUse, scores: Mapping[Choice, float | None], values: Sequence[Sequence[Sequence[float | None]]]
) -> ScoreSpread:
    """Return the spread of scores by choice; `values` holds, by choice, the values of each part's items."""
    of_parts = zip(*values, strict=True)
    means = [
        [None if None in item else sum(item) / len(item) for item in zip(*by_choice_values, strict=True)]
        for by_choice_values in of_parts
    ]
    known = [score for score in scores.values() if score is not None]
    return ScoreSpread.from_json(
        _mean_over(use, means).as_json("mean")
        | {
            "lowest": min(known, default=None),
            "highest": max(known, default=None),
            "template": _template_difference(scores),
            "exemplars": _exemplar_deviation(scores),
            "choices": {choice.name: score for choice, score in scores.items()},
        }
    )


def _template_difference(scores: Mapping[Choice, float | None]) -> float | None:
    """Return the mean score in the chat template minus that without it, over the seeds that have both."""
    pairs = [(scores.get(Choice(True, seed)), scores.get(Choice(False, seed))) for seed in _seeds(scores)]
    apart = [chat - plain for chat, plain in pairs if chat is not None and plain is not None]
    return float(np.mean(apart)) if apart else None


def _exemplar_deviation(scores: Mapping[Choice, float | None]) -> float | None:
    """Return the standard deviation over seeds, pooled over with and without the template."""
    groups = defaultdict(list)
    for choice, score in scores.items():
        if score is not None:
            groups[choice.chat].append(score)
    variances = [np.var(group, ddof=1) for group in groups.values() if len(group) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else None


def _seeds(scores: Mapping[Choice, float | None]) -> list[int]:
    return sorted({choice.seed for choice in scores})


def mean_scores(suite: Suite, tasks: Mapping[str, BenchScore]) -> dict[str, ScoreMean]:
    """Return the mean of the suite and of its categories."""
    made = summarize(suite, {label: task.score for label, task in tasks.items()})
    return {name: ScoreMean(mean=each.mean, n_tasks=each.n_tasks, missing=each.missing) for name, each in made.items()}
