"""Longer training on false rows: the score over epochs at each dose, with its trend (the FACO paper, figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.results.bench import BenchResult
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.parts import Part, complete_mean, name_all, percent_of, tasks_in_means, with_interval
from tunescope.views import Cell, Table, interval

_MEAN = "mean"
"""What the mean over tasks is called."""


def follow_epochs(models: Sequence[ScoredModel], left_out: Sequence[str] = ()) -> Part | None:
    """Return each task's trend over epochs per dose; None where the models don't differ in epochs.

    A record has task (`mean` is the mean over all tasks that every model has), dose, `trend` (the slope of the score
    over epochs, per epoch: its mean over seeds, each with its own least-squares line) with low, high (Student t over
    seeds), n (seeds) and n_missing (seeds scored after one number of epochs only, which count nowhere here), and
    `scores`: per number of epochs the mean over seeds with its t interval. A dose where every seed is missing has no
    record. Models whose number of epochs isn't known and re-tuned ones are left out.
    """
    tuned = [model for model in models if model.epochs is not None and not model.origin.retuned]
    epochs = sorted({model.epochs for model in tuned if model.epochs is not None})
    if len(epochs) < 2:
        return None
    scores = [_scores_of(model) for model in tuned]
    tasks = list(dict.fromkeys(name for each in scores for name in each))
    averaged = [task for task in tasks_in_means(tasks, left_out) if all(task in each for each in scores)]
    for each in scores if len(averaged) > 1 else ():
        each[_MEAN] = complete_mean([each[task] for task in averaged])
    records = []
    for task in [*tasks, *([_MEAN] if len(averaged) > 1 else [])]:
        for dose in sorted({model.origin.dose for model in tuned if model.origin.dose is not None}):
            by_seed: dict[str, dict[float, float | None]] = {}
            for model, score in zip(tuned, scores, strict=True):
                if model.origin.dose == dose and model.epochs is not None and task in score:
                    by_seed.setdefault(model.origin.seed, {})[model.epochs] = score[task]
            if any(len(of_seed) > 1 for of_seed in by_seed.values()):
                records.append({"task": task, "dose": dose, **_trend(by_seed, epochs)})
    if not records:
        return None
    result = {"epochs": epochs, "trends": records, "tasks_in_mean": averaged}
    flat = [{"task": record["task"], "dose": record["dose"], **each} for record in records for each in record["scores"]]
    sentences = tuple(_sentences(records, averaged))
    return Part(
        key="epochs", result=result, sentences=sentences, tables=(_table(records, epochs, averaged),), records=flat
    )


def _scores_of(model: ScoredModel) -> dict[str, float | None]:
    return {task: score.score for task, score in BenchResult.read(model.run).tasks.items()}


def _trend(by_seed: Mapping[str, Mapping[float, float | None]], epochs: Sequence[float]) -> dict[str, Any]:
    followed = [scores for scores in by_seed.values() if len(scores) > 1]
    slopes = [stats.slope(list(scores), list(scores.values())).value for scores in followed]
    slopes += [None] * (len(by_seed) - len(followed))
    curve = [{"epochs": each, **stats.mean_t([scores.get(each) for scores in followed]).as_json()} for each in epochs]
    return {**stats.mean_t(slopes).as_json("trend"), "scores": curve}


def _sentences(records: Sequence[Mapping[str, Any]], averaged: Sequence[str]) -> list[str]:
    """Say of the mean, or of the only task, at which doses the score changes with the epochs."""
    task = _MEAN if len(averaged) > 1 else records[0]["task"]
    of_task = [record for record in records if record["task"] == task and record["low"] is not None]
    if not of_task:
        return []
    falls = [percent_of(record["dose"]) for record in of_task if record["high"] < 0]
    rises = [percent_of(record["dose"]) for record in of_task if record["low"] > 0]
    said = f"the mean over {len(averaged)} tasks" if task == _MEAN else task
    parts = [f"{verb} at {name_all(doses)}" for verb, doses in (("falls", falls), ("rises", rises)) if doses]
    last = of_task[-1]
    value = with_interval(last["trend"], last["low"], last["high"], 4)
    text = " and ".join(parts) or "neither rises nor falls significantly at any dose"
    return [f"With more epochs {said} {text}; at {percent_of(last['dose'])} it changes by {value} per epoch."]


def _table(records: Sequence[Mapping[str, Any]], epochs: Sequence[float], averaged: Sequence[str]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            record["task"],
            percent_of(record["dose"]),
            *(each["mean"] for each in record["scores"]),
            record["trend"],
            interval(record["low"], record["high"], 4),
            record["n"],
        )
        for record in records
    )
    mean = f" Mean: over {', '.join(averaged)}." if len(averaged) > 1 else ""
    note = (
        "The score by number of epochs: the mean over seeds that were tuned for several numbers of epochs. Trend: its "
        "slope per epoch, the mean of the seeds' own "
        f"slopes, with its Student t interval; n = seeds.{mean}"
    )
    columns = ("task", "dose", *(f"{each:g} epoch{'' if each == 1 else 's'}" for each in epochs), "trend", "95 %", "n")
    return Table("Epochs", columns, rows, note)
