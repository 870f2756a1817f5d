"""What tables and pages call models: by how they were tuned, as far as this tells them apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tunescope.results.answer import AnswerSetup
from tunescope.results.bench import BenchResult
from tunescope.results.compare import CompareKind, CompareSetup, ScoresResult
from tunescope.results.shift import ShiftResult
from tunescope.results.tune import TuneSetup
from tunescope.runs import Run, producing_run

_METHODS = {"lora": "LoRA", "full": "full tuning"}
NO_DIFFERENCE = {"out", "track", "checkpoint_minutes", "keep_checkpoints", "micro_batch"}
"""Settings of `tune` that change nothing in the model."""
_MADE = {"rows", "model"}
"""Settings of `tune` that may be what another run made."""
_MOST = 3
"""Settings that a label names; models that differ in more go by their folders."""


class ModelNames:
    """What a table or page calls each model.

    A tuned model goes by its method. Where several of the models share it, the settings in which they differ are
    added: `LoRA (lr 0.0001)`. Where those don't tell them apart, the run's folder is added. Another model goes by the
    last part of its name.
    """

    def __init__(self, opened: Sequence[Run]) -> None:
        """Name the models that these runs are about."""
        tuned = {run.path: run for run in _tuned_runs(opened)}
        groups: dict[str, list[Run]] = defaultdict(list)
        for run in tuned.values():
            groups[_method(run)].append(run)
        self._of_runs = {run.path: label for group in groups.values() for run, label in _tell_apart(group)}

    def of_run(self, tuned: Run) -> str:
        """Return the label of the model of a tune run."""
        return self._of_runs.get(tuned.path) or _method(tuned)

    def of_model(self, model: str) -> str:
        """Return the label of a model, given as `--model` takes it."""
        tuned = _tuned_run(model)
        return Path(model).name if tuned is None else self.of_run(tuned)

    def of_folder(self, opened: Sequence[Run], path: str) -> str:
        """Return the label of the model whose answers a run folder holds; of another folder or a file its own name."""
        run = next((r for r in opened if str(r.path) == path), None) or producing_run(path)
        if run is None or run.verb != "answer":
            return Path(path).name
        return self.of_model(AnswerSetup.read_settings(run).model)

    def of_answers(self, path: str) -> str | None:
        """Return the label of the tuned model whose answers a run folder, or a file in it, holds; else None."""
        run = producing_run(path)
        tuned = _tuned_run(AnswerSetup.read_settings(run).model) if run is not None and run.verb == "answer" else None
        return None if tuned is None else self.of_run(tuned)

    def of_scores(self, compared: Run) -> tuple[str, str]:
        """Return the labels of A and B of a comparison of scores; equal ones also get the last part of the path."""
        models, sides = ScoresResult.read(compared).models, CompareSetup.read_settings(compared)
        a, b = self.of_model(models["a"]), self.of_model(models["b"])
        return (f"{a} ({Path(sides.a).name})", f"{b} ({Path(sides.b).name})") if a == b else (a, b)


def _tuned_runs(opened: Iterable[Run]) -> Iterator[Run]:
    """Yield the tune runs among the runs, and those whose models the runs are about."""
    for run in opened:
        models: list[str] = []
        if run.verb == "tune":
            yield run
        elif run.verb == "answer":
            models = [AnswerSetup.read_settings(run).model]
        elif run.verb == "bench":
            models = [BenchResult.read(run).model]
        elif run.verb == "compare" and CompareKind.read(run).kind == "scores":
            models = [*ScoresResult.read(run).models.values()]
        elif run.verb == "shift":
            result = ShiftResult.read(run)
            models = [result.tuned, result.base]
        elif run.verb == "compare" and CompareKind.read(run).kind == "answers":
            sides = CompareSetup.read_settings(run)
            yield from _tuned_runs(Run(Path(side)) for side in (sides.a, sides.b) if Path(side, "run.json").is_file())
        yield from filter(None, map(_tuned_run, models))


def _tuned_run(model: str) -> Run | None:
    """Return the tune run that a model comes from, if there is one."""
    for folder in (Path(model), Path(model).parent):
        if (folder / "run.json").is_file():
            run = Run(folder)
            if run.verb == "tune":
                return run
    return None


def _method(tuned: Run) -> str:
    """Return how a model was tuned, for example `LoRA with NEFTune`."""
    setup = TuneSetup.read_settings(tuned)
    return _METHODS[setup.method] + (" with NEFTune" if setup.neftune_alpha else "")


def _tell_apart(group: Sequence[Run]) -> Iterator[tuple[Run, str]]:
    """Yield each run with its method and what the others of its method do differently."""
    settings = [_settings_of(run) for run in group]
    names = list(dict.fromkeys(name for each in settings for name in each))
    differing = [name for name in names if any(each.get(name) != settings[0].get(name) for each in settings)]
    differing = _without_repeated(settings, differing)
    details = [", ".join(_describe_setting(name, each.get(name)) for name in differing) for each in settings]
    distinct = len(set(details)) == len(group) and len(differing) <= _MOST
    for run, detail in zip(group, details, strict=True):
        added = detail if distinct else run.path.name
        yield run, f"{_method(run)} ({added})" if len(group) > 1 else _method(run)


def _settings_of(run: Run) -> dict[str, Any]:
    """Return a run's settings by name; rows and a model that another run made go by its verb and its settings."""
    settings: dict[str, Any] = {}
    for name, value in run.info["settings"].items():
        if name in NO_DIFFERENCE:
            continue
        maker = _maker(value) if name in _MADE else None
        if maker is None:
            settings[name] = value
            continue
        settings[name] = maker.verb
        settings |= {f"{name} {inner}": each for inner, each in _settings_of(maker).items()}
    return settings


def _maker(value: Any) -> Run | None:
    """Return the run that made the only path in a setting."""
    paths = value if isinstance(value, list) else [value]
    return producing_run(paths[0]) if len(paths) == 1 and isinstance(paths[0], str) else None


def _without_repeated(settings: Sequence[dict[str, Any]], differing: Sequence[str]) -> list[str]:
    """Leave out what a run lacks, and what another setting says: rows and tuning often have the same seed."""
    kept: list[str] = []
    for name in sorted(differing, key=lambda each: " " in each):
        is_everywhere = all(name in each for each in settings)
        said = [other for other in kept if all(each[other] == each.get(name) for each in settings)]
        if is_everywhere and not said:
            kept.append(name)
    return kept


def _describe_setting(name: str, value: Any) -> str:
    """Write a setting and its value, files by their names."""
    values = value if isinstance(value, list) else ["none" if value is None else value]
    shown = (Path(v).name if isinstance(v, str) else f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    return f"{name.replace('_', ' ')} {' '.join(shown)}"
