"""Pictures of `study race` and `study match`: ways to choose rows against random ones, full tuning against LoRA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunescope.runs import Run
from tunescope.verbs.report.pictures import Measured, Scale, dots


def study_picture(run: Run) -> str:
    """Draw the differences that a run of `study race` or `study match` found; "" for another verb's."""
    if run.verb == "study race":
        values = list(_races(run.result["rules"]))
        drawn = dots(values, Scale("score less that of random rows", line=0.0))
    elif run.verb == "study match":
        tasks = run.result["tasks"]
        drawn = dots(
            [_measured(task, each["difference"]) for task, each in tasks.items()],
            Scale("score of full tuning less that of LoRA, at equal loss", line=0.0),
        )
    else:
        return ""
    return f'<div class="pictures">{drawn}</div>'


def _races(rules: Iterable[Mapping[str, Any]]) -> Iterable[Measured]:
    """Yield each way's mean difference over tasks, or that of the only task."""
    for rule in rules:
        differences = rule["differences"]
        if differences:
            yield _measured(rule["rule"], differences.get("mean") or next(iter(differences.values())))


def _measured(name: str, estimate: Mapping[str, Any]) -> Measured:
    return Measured(name, estimate["mean"], estimate["low"], estimate["high"])
