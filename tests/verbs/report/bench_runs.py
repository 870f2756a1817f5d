"""Run folders of `bench`, written by hand as the verb writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope import stats
from tunescope.results.bench import RESULTS_FILE, BenchResult, BenchScore, ScoredItem, ScoreMean, ScoreSpread
from tunescope.runs import Outcome, Run, execute
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.views import View

Items = Sequence[float | None]


def bench_score(items: Items, **more: Any) -> BenchScore:
    """Score items as `bench` does, by accuracy with a chance of a quarter."""
    score = stats.mean_share(items).as_json("score")
    return BenchScore.from_json(score | {"metric": "acc", "chance": 0.25, "shots": 5, **more})


def spread_of(items: Items, choices: Mapping[str, float]) -> ScoreSpread:
    """Make the spread of a task over choices; its interval is that of `items`."""
    values = list(choices.values())
    return ScoreSpread.from_json(
        stats.mean_share(items).as_json("mean")
        | {"lowest": min(values), "highest": max(values), "template": -0.125, "exemplars": None}
        | {"choices": dict(choices)}
    )


def bench_run(
    folder: Path,
    tasks: Mapping[str, Items],
    *,
    model: str = "base",
    subjects: Mapping[str, Items] | None = None,
    spread: Mapping[str, ScoreSpread] | None = None,
    missing: Mapping[str, str] | None = None,
    following: Sequence[str] = (),
    label: str = "mmlu",
    **more: Any,
) -> Run:
    """Write a run of `bench`: task → its items' scores; `subjects` are those of mmlu, and are its `label`'s."""
    subjects = subjects or {}
    items = {f"mmlu_{name}": scores for name, scores in subjects.items()}
    whole = {label: [score for scores in subjects.values() for score in scores]} if subjects else {}
    scores = {name: bench_score(values, **more) for name, values in {**tasks, **whole}.items()}
    known = [score.score for score in scores.values() if score.score is not None]
    lost = tuple(missing or ())
    mean = None if lost else sum(known) / len(known)
    result = BenchResult(
        model=model,
        suite="smoke",
        tasks=scores,
        means={"all": ScoreMean(mean=mean, n_tasks=len(scores) + len(lost), missing=lost)},
        spread=dict(spread or {}),
        missing=dict(missing or {}),
    )

    def work(run: Any) -> Outcome:
        rows = [
            ScoredItem(task=task, choice=choice, doc_id=n, doc_hash=f"{task}{n}", score=score)
            for choice, wrong in (("plain 1234", False), ("chat 1234", True))  # of the other choice nothing is right
            for task, values in {**tasks, **items}.items()
            for n, score in enumerate(values)
            for score in [0.0 if wrong else score]
        ]
        run.table(ScoredItem.NAME, ScoredItem.table(rows))
        groups = {"mmlu": list(items)} if items else {}
        metrics = {task: {"acc,none": 0.5} for task in {**tasks, **items}}
        said = {"results": metrics, "group_subtasks": groups, "model_name": model}
        run.text(RESULTS_FILE, json.dumps(said))
        return Outcome(result.as_json(), View((f"{model} on smoke.",), next=tuple(following)))

    inputs = {"model": model, "folder": folder.name}  # as other models and tasks make other runs
    return execute("bench", 3, BenchSettings(model=model, suite=("smoke",), out=str(folder)), inputs, work)
