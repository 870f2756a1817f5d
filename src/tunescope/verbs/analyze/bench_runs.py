"""Scores from run folders: the dose and seed behind each `bench` run, read from the runs that led to it.

bench → the tune run that made its model → the falsify run that made its rows: dose and seed
bench → tune → tune → …: the model was re-tuned; its dose is that of its first tuning
bench → a model that no run made: the model before tuning
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult
from tunescope.results.falsify import DoseSetup
from tunescope.results.tune import TuneSetup, TuneStep
from tunescope.runs import Run, producing_run
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore

_CHECKPOINT = re.compile(r"checkpoints[\\/]epoch-(\d+)$")


class Origin(NamedTuple):
    """How a scored model was tuned; `base` is the model before the first tuning."""

    dose: float | None
    seed: str
    retuned: bool
    base: str


class ScoredModel(NamedTuple):
    """A model that a `bench` run scored, and how it came to be.

    Attributes:
        run: the run of `bench`.
        origin: its dose and seed, whether it was re-tuned, and the model before tuning.
        epochs: how often its last tuning saw each row; None for a model that wasn't tuned, or where it isn't known.
        tuning: the run of its last tuning.
    """

    run: Run
    origin: Origin
    epochs: float | None
    tuning: Run | None


def open_models(runs: Sequence[Run]) -> list[ScoredModel]:
    """Return the models that `bench` runs scored.

    Raises:
        RunError: a run of another verb, or a model whose rows don't come from `falsify dose`.
        SettingsError: the models have different bases, or two runs are for one cell.
    """
    models: list[ScoredModel] = []
    seen: dict[tuple[str, Origin, float | None], Run] = {}
    for run in runs:
        if run.verb != "bench":
            raise RunError(f"{run.path}: found a run of {run.verb}; expected runs of bench")
        model = _open_model(run)
        models.append(model)
        for task in BenchResult.read(run).tasks:
            twice = seen.setdefault((task, model.origin, model.epochs), run)
            if twice is not run:
                raise SettingsError(f"{twice.path} and {run.path} score {task} at the same dose and seed; give one")
    bases = {model.origin.base for model in models}
    if len(bases) > 1:
        raise SettingsError(
            f"the runs have different base models ({', '.join(sorted(bases))}); give those of one with --from, and "
            "those of a second with --against"
        )
    return models


def _open_model(run: Run) -> ScoredModel:
    name = BenchResult.read(run).model
    origin = find_origin(run, name)
    tuning = producing_run(name)
    if tuning is None or tuning.verb != "tune":
        return ScoredModel(run, origin, None, None)
    checkpoint = _CHECKPOINT.search(str(Path(name)))
    return ScoredModel(run, origin, float(checkpoint[1]) if checkpoint else _epochs_of(tuning), tuning)


def _epochs_of(tuning: Run) -> float | None:
    """Return how often a tuning saw each row: by its last step, else by its settings."""
    if not (tuning.path / f"{TuneStep.NAME}.jsonl").is_file():
        return TuneSetup.read_settings(tuning).epochs
    last = max((step.epoch for step in TuneStep.read_lines(tuning)), default=None)
    return None if last is None else round(last, 3)


def tuned_alike(models: Sequence[ScoredModel]) -> list[ScoredModel]:
    """Return the models after one number of epochs, where they differ in these; untuned ones are among them.

    It is the number that most models have, and of several such the largest. Re-tuned models have one of their own.
    """
    usual = {retuned: _usual_epochs(models, retuned) for retuned in (False, True)}
    return [model for model in models if model.tuning is None or model.epochs == usual[model.origin.retuned]]


def _usual_epochs(models: Sequence[ScoredModel], retuned: bool) -> float | None:
    counts = Counter(m.epochs for m in models if m.tuning is not None and m.origin.retuned == retuned)
    return max(counts, key=lambda epochs: (counts[epochs], epochs or 0.0), default=None)


def read_scores(models: Sequence[ScoredModel]) -> ScoreTable:
    """Return the scores of models, each with its dose and seed; of those that differ in epochs, see `tuned_alike`."""
    cells: list[TaskScore] = []
    run_paths: list[str] = []
    chance: dict[str, float] = {}
    categories: dict[str, str] = {}
    alike = tuned_alike(models)
    for model in alike:
        origin = model.origin
        for task, score in BenchResult.read(model.run).tasks.items():
            if score.chance is not None:
                chance[task] = score.chance
            if score.category is not None:
                categories[task] = score.category
            cells.append(TaskScore(task, origin.dose, origin.seed, origin.retuned, score.score))
            run_paths.append(str(model.run.path))
    doses = sorted({cell.dose for cell in cells if cell.dose is not None})
    read_as = {f"{dose:g}": (dose, "share") for dose in doses}
    others = {m.epochs for m in models if m.epochs is not None and m not in alike and not m.origin.retuned}
    return ScoreTable(
        tuple(cells),
        read_as,
        chance=chance,
        run_paths=tuple(run_paths),
        base=models[0].origin.base,
        categories=categories,
        epochs=_usual_epochs(models, retuned=False) if others else None,
        other_epochs=tuple(sorted(others)),
    )


def find_origin(run: Run, model: str) -> Origin:
    """Follow the model that a run used back to its base model: dose, seed, whether it was re-tuned, base.

    Raises:
        RunError: the rows of a tuning don't come from `falsify dose`.
        SettingsError: tunings in an order that isn't one tuning, or 100 % and then 0 %.
    """
    tunings: list[Run] = []
    while (producer := producing_run(model)) is not None and producer.verb == "tune":
        tunings.append(producer)
        model = TuneSetup.read_settings(producer).model
    if not tunings:
        return Origin(None, "", False, model)
    first, *later = reversed(tunings)
    dose, seed = _dose_and_seed(first)
    if later and (dose != 1 or len(later) > 1 or _dose_and_seed(later[0])[0] != 0):
        doses = " then ".join(f"{100 * _dose_and_seed(each)[0]:g} %" for each in (first, *later))
        raise SettingsError(
            f"{run.path}: its model was tuned on {doses}; expected one tuning, or 100 % then 0 % (clean re-tuning)"
        )
    return Origin(dose, seed, bool(later), model)


def _dose_and_seed(tuning: Run) -> tuple[float, str]:
    """Return the dose of the rows that a model was tuned on, and the seeds of both steps as a label."""
    tuned = TuneSetup.read_settings(tuning)
    falsify_runs = [producing_run(name) for name in tuned.rows]
    if len(falsify_runs) != 1 or falsify_runs[0] is None or falsify_runs[0].verb != "falsify dose":
        names = ", ".join(tuned.rows)
        raise RunError(f"{tuning.path} was tuned on {names}; expected the rows of one `falsify dose` run")
    dosed = DoseSetup.read_settings(falsify_runs[0])
    dose = dosed.dose_of(tuned.rows[0])
    if dose is None:
        expected = f"one of the files rows-DOSE in {falsify_runs[0].path}, which has several doses"
        raise RunError(f"{tuning.path} was tuned on {tuned.rows[0]}; expected {expected}")
    label = str(tuned.seed) if tuned.seed == dosed.seed else f"tune {tuned.seed}, falsify {dosed.seed}"
    return dose, label
