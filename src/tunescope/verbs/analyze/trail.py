"""Scores from run folders: each `bench` run's dose and seed, found by following the runs behind it.

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
from tunescope.verbs.analyze.scores import Score, Scores


class Origin(NamedTuple):
    """What a scored model went through; `base` is the model that it all began with."""

    dose: float | None
    seed: str
    retuned: bool
    base: str


def read_runs(found: Sequence[Run]) -> Scores:
    """Return the scores of `bench` runs, each with its dose and seed.

    Raises:
        RunError: a run of another verb, or a model whose rows no `falsify dose` made.
        SettingsError: models that don't begin with the same one, or two runs for one cell.
    """
    cells: list[Score] = []
    places: list[str] = []
    seen: dict[tuple[str, Origin], Run] = {}
    chance: dict[str, float] = {}
    for run in found:
        if run.verb != "bench":
            raise RunError(f"{run.path}: found a run of {run.verb}; expected runs of bench")
        origin = origin_of(run)
        for task, score in BenchResult.read(run).tasks.items():
            twice = seen.setdefault((task, origin), run)
            if twice is not run:
                raise SettingsError(f"{twice.path} and {run.path} score {task} at the same dose and seed; give one")
            chance[task] = score.chance
            cells.append(Score(task, origin.dose, origin.seed, origin.retuned, score.accuracy))
            places.append(str(run.path))
    bases = {origin.base for _, origin in seen}
    if len(bases) > 1:
        raise SettingsError(f"the runs begin with different models ({', '.join(sorted(bases))}); give those of one")
    doses = sorted({cell.dose for cell in cells if cell.dose is not None})
    return Scores(tuple(cells), {f"{dose:g}": (dose, "share") for dose in doses}, (), "", chance, tuple(places))


def origin_of(run: Run) -> Origin:
    """Follow a `bench` run back to the model it began with."""
    tunings: list[Run] = []
    model = BenchResult.read(run).model
    while (made := producing_run(model)) is not None and made.verb == "tune":
        tunings.append(made)
        model = TuneSetup.read_settings(made).model
    if not tunings:
        return Origin(None, "", False, model)
    first, *later = reversed(tunings)
    dose, seed = _dosed(first)
    if later and (dose != 1 or len(later) > 1 or _dosed(later[0])[0] != 0):
        passed = " then ".join(f"{100 * _dosed(each)[0]:g} %" for each in (first, *later))
        raise SettingsError(
            f"{run.path}: its model was tuned on {passed}; expected one tuning, or 100 % then 0 % (clean re-tuning)"
        )
    return Origin(dose, seed, bool(later), model)


def _dosed(tuning: Run) -> tuple[float, str]:
    """Return the dose of the rows that a model was tuned on, and the seeds of both steps as a label."""
    tuned = TuneSetup.read_settings(tuning)
    runs = [producing_run(name) for name in tuned.rows]
    if len(runs) != 1 or runs[0] is None or runs[0].verb != "falsify dose":
        raise RunError(
            f"{tuning.path} was tuned on {', '.join(tuned.rows)}; expected the rows of one `falsify dose` run"
        )
    dosed = DoseSetup.read_settings(runs[0])
    label = str(tuned.seed) if tuned.seed == dosed.seed else f"tune {tuned.seed}, falsify {dosed.seed}"
    return dosed.dose, label
