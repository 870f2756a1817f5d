"""Run folders of `falsify dose`, `tune` and `bench`, as these verbs would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tunescope.results.bench import BenchResult, BenchScore, BenchSetup, ScoredItem, ScoredQuestion
from tunescope.results.falsify import DoseSetup
from tunescope.results.tune import TuneSetup, TuneStep
from tunescope.runs import Run
from tunescope.views import View


def made(name: str, verb: str, settings: dict[str, Any], result: dict[str, Any] | None = None) -> Run:
    """Write a finished run folder as a verb would."""
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    record = {"key": name, "verb": verb, "settings": settings, "result": result or {}, "view": View(()).as_json()}
    (folder / "run.json").write_text(json.dumps(record))
    return Run(folder)


def falsified(dose: float, seed: int = 0) -> str:
    name = f"falsify-{dose}-{seed}"
    if not Path("runs", name).exists():
        made(name, "falsify dose", DoseSetup(dose=dose, seed=seed).as_json())
    return f"runs/{name}/rows.jsonl"


def tuned(name: str, model: str, rows: str, seed: int = 0) -> str:
    made(name, "tune", TuneSetup(model=model, rows=(rows,), method="full", seed=seed).as_json())
    (Path("runs") / name / "model").mkdir()
    return f"runs/{name}/model"


def scored(name: str, model: str, accuracy: float = 0.5, right: list[tuple[str, bool]] | None = None) -> Run:
    numbers = {"low": None, "high": None, "n": 1, "n_missing": 0, "n_people": 1, "method": "by hand"}
    score = BenchScore.from_json({"score": accuracy, "metric": "acc", "chance": 0.25, **numbers})
    result = BenchResult(model=model, suite="microworld", tasks={"open": score})
    run = made(name, "bench", {"model": model}, result.as_json())
    blank = {"task": "open", "prompt": "", "gold": "", "chosen": "", "log_probabilities": (), "options": ()}
    rows = [
        ScoredQuestion(**blank, question=str(i), person=person, right=is_right)
        for i, (person, is_right) in enumerate(right or [("A", True)])
    ]
    pq.write_table(ScoredQuestion.table(rows), run.path / "questions.parquet")
    return run


def add_losses(name: str, losses: Sequence[float | None], epochs: float = 1.0) -> None:
    """Write the loss of each step of a tuning."""
    steps = [
        TuneStep(step=i, epoch=epochs * i / len(losses), loss=loss, lr=1e-3, tokens=10)
        for i, loss in enumerate(losses, 1)
    ]
    lines = "".join(json.dumps(step.as_json()) + "\n" for step in steps)
    (Path("runs") / name / "metrics.jsonl").write_text(lines)


def benched(
    name: str, model: str, right: Mapping[str, Sequence[bool]], of: str | None = None, category: str | None = None
) -> Run:
    """Write a run of lm-eval's tasks: whether each question of each part is right; the parts are tasks, or `of` one."""
    parts = {of: [answer for answers in right.values() for answer in answers]} if of else right
    numbers = {"low": None, "high": None, "n_missing": 0, "method": "by hand", "category": category}
    tasks = {
        task: BenchScore.from_json(
            {"score": sum(answers) / len(answers), "metric": "acc", "chance": 0.25, "n": len(answers), **numbers}
        )
        for task, answers in parts.items()
    }
    settings = {"model": model, **BenchSetup(chat=False, seed=1234).as_json()}
    run = made(name, "bench", settings, BenchResult(model=model, suite="faco", tasks=tasks).as_json())
    items = [
        ScoredItem(task=part, choice="plain 1234", doc_id=i, doc_hash=f"{part}{i}", score=float(answer))
        for part, answers in right.items()
        for i, answer in enumerate(answers)
    ]
    pq.write_table(ScoredItem.table(items), run.path / "items.parquet")
    return run
