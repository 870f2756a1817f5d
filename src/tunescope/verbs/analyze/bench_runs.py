"""Scores from run folders: the dose and seed behind each `bench` run, read from the runs that led to it.

bench → the tune run that made its model → the falsify run that made its rows: dose and seed
bench → tune → tune → …: the model was re-tuned; its dose is that of its first tuning
bench → a model that no run made: the model before tuning
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunescope.errors import RunError, SettingsError
from tunescope.results.bench import BenchResult
from tunescope.results.falsify import DoseSetup
from tunescope.results.tune import TuneSetup
from tunescope.runs import Run, producing_run
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore


class _Origin(NamedTuple):
    """How a scored model was tuned; `base` is the model before the first tuning."""

    dose: float | None
    seed: str
    retuned: bool
    base: str


def read_runs(runs: Sequence[Run]) -> ScoreTable:
    """Return the scores of `bench` runs, each with its dose and seed.

    Raises:
        RunError: a run of another verb, or a model whose rows don't come from `falsify dose`.
        SettingsError: the models have different bases, or two runs are for one cell.
    """
    cells: list[TaskScore] = []
    run_paths: list[str] = []
    seen: dict[tuple[str, _Origin], Run] = {}
    chance: dict[str, float] = {}
    for run in runs:
        if run.verb != "bench":
            raise RunError(f"{run.path}: found a run of {run.verb}; expected runs of bench")
        origin = find_origin(run)
        for task, score in BenchResult.read(run).tasks.items():
            twice = seen.setdefault((task, origin), run)
            if twice is not run:
                raise SettingsError(f"{twice.path} and {run.path} score {task} at the same dose and seed; give one")
            if score.chance is not None:
                chance[task] = score.chance
            cells.append(TaskScore(task, origin.dose, origin.seed, origin.retuned, score.score))
            run_paths.append(str(run.path))
    bases = {origin.base for _, origin in seen}
    if len(bases) > 1:
        raise SettingsError(
            f"the runs have different base models ({', '.join(sorted(bases))}); give those of one with --from, and "
            "those of a second with --against"
        )
    doses = sorted({cell.dose for cell in cells if cell.dose is not None})
    read_as = {f"{dose:g}": (dose, "share") for dose in doses}
    return ScoreTable(tuple(cells), read_as, chance=chance, run_paths=tuple(run_paths), base=bases.pop())


def find_origin(run: Run) -> _Origin:
    """Follow a `bench` run back to its base model: dose, seed, whether it was re-tuned, base.

    Raises:
        RunError: the rows of a tuning don't come from `falsify dose`.
        SettingsError: tunings in an order that isn't one tuning, or 100 % and then 0 %.
    """
    tunings: list[Run] = []
    model = BenchResult.read(run).model
    while (producer := producing_run(model)) is not None and producer.verb == "tune":
        tunings.append(producer)
        model = TuneSetup.read_settings(producer).model
    if not tunings:
        return _Origin(None, "", False, model)
    first, *later = reversed(tunings)
    dose, seed = _dose_and_seed(first)
    if later and (dose != 1 or len(later) > 1 or _dose_and_seed(later[0])[0] != 0):
        doses = " then ".join(f"{100 * _dose_and_seed(each)[0]:g} %" for each in (first, *later))
        raise SettingsError(
            f"{run.path}: its model was tuned on {doses}; expected one tuning, or 100 % then 0 % (clean re-tuning)"
        )
    return _Origin(dose, seed, bool(later), model)


def _dose_and_seed(tuning: Run) -> tuple[float, str]:
    """Return the dose of the rows that a model was tuned on, and the seeds of both steps as a label."""
    tuned = TuneSetup.read_settings(tuning)
    falsify_runs = [producing_run(name) for name in tuned.rows]
    if len(falsify_runs) != 1 or falsify_runs[0] is None or falsify_runs[0].verb != "falsify dose":
        names = ", ".join(tuned.rows)
        raise RunError(f"{tuning.path} was tuned on {names}; expected the rows of one `falsify dose` run")
    dosed = DoseSetup.read_settings(falsify_runs[0])
    label = str(tuned.seed) if tuned.seed == dosed.seed else f"tune {tuned.seed}, falsify {dosed.seed}"
    return dosed.dose, label
