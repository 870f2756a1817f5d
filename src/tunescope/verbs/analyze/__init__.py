"""`study analyze`: the dose–response of every task in a table of scores, or in `bench` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from math import factorial, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.results.estimates import ALPHA
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, at_least
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.parts import Part
from tunescope.verbs.analyze.score_table import ScoreTable
from tunescope.verbs.analyze.view import view

if TYPE_CHECKING:
    from tunescope.verbs.analyze.answer_runs import AnsweringModel

VERSION = 6


@dataclass(frozen=True, kw_only=True)
class AnalyzeSettings:
    """Compute the dose–response of every task: how its score changes with the share of false rows."""

    table: str | None = field(default=None, metadata={**INPUT, **POSITIONAL})
    """A table of scores (CSV, TSV, JSON, JSON lines or Parquet). It has a column per dose, or a row per dose and a
    column per task, or the columns task, dose and score."""

    from_: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Run folders of bench, instead of a table. Dose and seed come from the tune and falsify runs behind each model."""

    against: tuple[str, ...] = field(default=(), metadata=INPUT)
    """A second model's table or, with --from, its bench runs, to tell which of the two models loses more on the tasks
    that they share."""

    leave_out: tuple[str, ...] = ()
    """Tasks to leave out of means and comparisons over tasks. Rows called average, mean, overall or all are always left
    out."""

    in_source: tuple[str, ...] = ()
    """Tasks whose source was also tuned on. Means are also given without them. By default, with --from, those with the
    name of a source of the rows."""

    answers: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Run folders of answer, from models of several doses on the same prompts, to show some answers at 0 and at 100 %
    side by side, and to tell whether the text of a wrong answer supports the wrong option."""

    examples: int = field(default=5, metadata=at_least(1))
    """How many prompts of --answers to show side by side."""

    seed: int = 0
    """Decides which prompts --examples shows."""

    columns: tuple[str, ...] = ()
    """Your names for the table's columns, as WORD=COLUMN, where WORD is task, dose, score, seed, retuned or
    category."""

    out: str | None = runs.out_field()
    """The run folder; runs/study-analyze-KEY by default."""


def analyze(settings: AnalyzeSettings) -> Run:
    """Write the tables `scores` (task, dose, seed, retuned, score) and `tasks`; return the run.

    The result has `tasks`: per task `pearson` with low, high, n and n_missing, `p_exact`, `p_holm`, `abs`,
    `slope`, and, where a re-tuned model was scored, `recovered`, `unrecovered` and `recovered_share`. A
    dose is a share, so `slope` is the change of the score from 0 to 100 %. Each analysis that can be computed adds a
    key of its own; docs/reference/dose-response.md lists them.

    Raises:
        InputError: the table can't be read.
        SettingsError: neither or both of a table and runs, or scores that don't belong together.
        RunError: a run that isn't of bench, or whose rows don't come from `falsify dose`.
    """
    from tunescope.verbs.analyze.answer_runs import read_answer_runs

    if (settings.table is None) == (not settings.from_):
        raise SettingsError("expected a table of scores, or run folders of bench with --from")
    if settings.table is not None:
        if len(settings.against) > 1:
            raise SettingsError(f"found {len(settings.against)} tables with --against; expected one")
        sources = [_read_table(path, settings.columns) for path in (settings.table, *settings.against)]
    else:
        sources = [_read_runs(paths) for paths in (settings.from_, settings.against) if paths]
    if len({source.name for source in sources}) < len(sources):
        raise SettingsError(f"both models are called {sources[0].name}; expected another one with --against")
    _require_tasks(settings, [task for source in sources for task in source.scores.tasks])
    inputs = {path: content for source in sources for path, content in source.inputs.items()}
    answer_runs = runs.open_runs(settings.answers)
    answered = read_answer_runs(answer_runs) if answer_runs else []
    inputs |= {str(run.path): run.identity for run in answer_runs}
    return runs.execute("study analyze", VERSION, settings, inputs, partial(_work, settings, sources, answered))


class _ModelScores(NamedTuple):
    """The scores of one model at all doses, where they were read, and what the run's key knows of that."""

    name: str
    scores: ScoreTable
    models: Sequence[ScoredModel]
    inputs: Mapping[str, str]


def _read_table(path: str, columns: Sequence[str]) -> _ModelScores:
    from tunescope.rows.containers import content_hash
    from tunescope.verbs.analyze.score_files import read_table

    return _ModelScores(Path(path).stem, read_table(path, columns), (), {path: content_hash(Path(path))})


def _read_runs(paths: Sequence[str]) -> _ModelScores:
    from tunescope.verbs.analyze.bench_runs import open_models, read_scores

    bench_runs = runs.open_runs(paths)
    models = open_models(bench_runs)
    scores = read_scores(models)
    return _ModelScores(scores.base, scores, models, {str(run.path): run.identity for run in bench_runs})


def _work(
    settings: AnalyzeSettings, sources: Sequence[_ModelScores], answered: Sequence[AnsweringModel], folder: RunFolder
) -> Outcome:
    import pyarrow as pa

    from tunescope.verbs.analyze.answer_runs import rate_support, show_examples
    from tunescope.verbs.analyze.known_facts import score_known_facts

    scores, models = sources[0].scores, sources[0].models
    tasks = _responses(scores)
    known_facts = score_known_facts(scores, models) if models else []
    parts = _analyze_further(settings, sources, tasks)
    if answered:
        parts += [
            each
            for each in (show_examples(answered, settings.examples, settings.seed), rate_support(answered))
            if each is not None
        ]
    result: dict[str, Any] = {
        "tasks": tasks,
        "doses": scores.doses,
        "seeds": scores.seeds,
        "read_as": {name: {"dose": dose, "as": unit} for name, (dose, unit) in scores.read_as.items()},
        "unused_columns": list(scores.unused),
        **({"unused_rows": list(scores.unused_rows)} if scores.unused_rows else {}),
        "unit": scores.unit,
        "family": _family(scores.doses, tasks),
        **({"known": known_facts} if known_facts else {}),
        **{part.key: part.result for part in parts},
    }
    folder.table("scores", pa.Table.from_pylist([cell._asdict() for cell in scores.cells], schema=_score_schema()))
    flat = [{"task": task, **{k: v for k, v in r.items() if k != "scores"}} for task, r in tasks.items()]
    folder.table("tasks", _flat_table(flat))
    for part in parts:
        if part.records is not None:
            folder.table(part.key, _flat_table(part.records))
    return Outcome(result, view(scores, result, parts))


def _responses(scores: ScoreTable) -> dict[str, dict[str, Any]]:
    """Return the dose–response of every task, with p adjusted for all of them."""
    from tunescope import stats
    from tunescope.verbs.analyze.dose_response import dose_response

    tasks: dict[str, dict[str, Any]] = {}
    for task in scores.tasks:
        cells = [cell for cell in scores.cells if cell.task == task]
        score_range = (-inf, inf) if scores.chance is None else (0.0, 1.0)  # bench's are shares; a table's may be any
        tasks[task] = dose_response(cells, scores.doses, scores.seeds, score_range)
    adjusted = stats.holm([record["p"] for record in tasks.values()])
    for record, p_holm in zip(tasks.values(), adjusted, strict=True):
        record["p_holm"] = p_holm
    return tasks


def _analyze_further(
    settings: AnalyzeSettings, sources: Sequence[_ModelScores], tasks: Mapping[str, Mapping[str, Any]]
) -> list[Part]:
    """Return what the scores, and the runs behind them, show beside each task's dose–response."""
    from tunescope.verbs.analyze.bench_runs import tuned_alike
    from tunescope.verbs.analyze.dose_response import abs_by_seed
    from tunescope.verbs.analyze.epochs import follow_epochs
    from tunescope.verbs.analyze.lies import rate_lies
    from tunescope.verbs.analyze.losses import compare_losses
    from tunescope.verbs.analyze.subjects import compare_subjects
    from tunescope.verbs.analyze.task_means import average_tasks, tasks_in_source
    from tunescope.verbs.analyze.thresholds import find_thresholds
    from tunescope.verbs.analyze.two_models import ModelLosses, compare_models

    scores = sources[0].scores
    in_source = settings.in_source or tasks_in_source(sources[0].models, scores.tasks)
    parts: list[Part | None] = [average_tasks(scores, in_source, settings.leave_out), find_thresholds(scores)]
    if len(sources) > 1:
        first, second = (
            ModelLosses(source.name, responses, {task: abs_by_seed(source.scores, task) for task in responses})
            for source, responses in zip(sources, (tasks, _responses(sources[1].scores)), strict=True)
        )
        parts.append(compare_models(first, second, settings.leave_out, scores.unit))
    if models := sources[0].models:
        chance, alike = scores.chance or {}, tuned_alike(models)
        parts += [rate_lies(alike, chance), compare_subjects(alike, chance), compare_losses(alike)]
        parts.append(follow_epochs(models, settings.leave_out))
    return [part for part in parts if part is not None]


def _require_tasks(settings: AnalyzeSettings, tasks: Sequence[str]) -> None:
    """Refuse a task that isn't scored, with the nearest names."""
    for option, names in (("--leave-out", settings.leave_out), ("--in-source", settings.in_source)):
        for name in names:
            if name not in tasks:
                near = get_close_matches(name, tasks, 3) or list(dict.fromkeys(tasks))[:5]
                raise SettingsError(f"{option} {name}: no task of that name is scored; name one of {', '.join(near)}")


def _score_schema() -> Any:
    import pyarrow as pa

    kinds = {"task": pa.string(), "dose": pa.float64(), "seed": pa.string(), "retuned": pa.bool_()}
    return pa.schema([*kinds.items(), ("score", pa.float64())])


def _flat_table(records: Sequence[Mapping[str, Any]]) -> Any:
    """Return the records as a table, with the columns of all of them."""
    import pyarrow as pa

    names = dict.fromkeys(name for record in records for name in record)
    return pa.table({name: [record.get(name) for record in records] for name in names})


def _family(doses: Sequence[float], tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the tests can show as one family: the smallest possible p, and the doses needed for 5 %.

    Of the n! orders of n doses at least two have the observed |r|: the observed order and its mirror image.
    """
    tests = sum(record["p"] is not None for record in tasks.values())
    smallest = 2 / factorial(len(doses)) if 2 <= len(doses) <= 20 else None
    doses_needed = next(n for n in range(2, 30) if 2 * max(tests, 1) / factorial(n) <= ALPHA)
    return {"method": "Holm", "tests": tests, "smallest_p": smallest, "doses_needed": doses_needed}
