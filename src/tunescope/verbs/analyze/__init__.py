"""`study analyze`: the dose–response of every task in a table of scores, or in `bench` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import factorial
from pathlib import Path
from typing import Any

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.verbs.analyze.scores import Scores
from tunescope.verbs.analyze.view import ALPHA, view

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AnalyzeSettings:
    """Compute the dose–response of every task: how its score moves with the dose of falsity."""

    table: str | None = field(default=None, metadata=INPUT)
    """A table of scores (CSV, TSV, JSON, JSON lines, Parquet): a column per dose, or columns task, dose and score."""

    from_: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Run folders of bench instead; dose and seed are found by following the runs behind each model."""

    columns: tuple[str, ...] = ()
    """What columns are called, as WORD=COLUMN with WORD one of task, dose, score, seed, retuned."""

    out: str | None = runs.out_field()
    """The run folder; runs/study-analyze-KEY by default."""


def analyze(settings: AnalyzeSettings) -> Run:
    """Write the tables `scores` (task, dose, seed, retuned, score) and `tasks`; return the run.

    The result has `tasks`: per task `pearson` with low, high, n and n_missing, `p_exact`, `p_holm`, `abs`,
    `slope`, and, where a re-tuned model was scored, `recovered`, `unrecovered` and `recovered_share`. A
    dose is a share, so `slope` is the change of the score from 0 to 100 %.

    Raises:
        InputError, SettingsError, RunError: in one sentence each.
    """
    from tunescope.rows.containers import content_hash
    from tunescope.verbs.analyze.table import read_table
    from tunescope.verbs.analyze.trail import read_runs

    if (settings.table is None) == (not settings.from_):
        raise SettingsError("expected a table of scores, or run folders of bench with --from")
    if settings.table is not None:
        scores = read_table(settings.table, settings.columns)
        inputs = {settings.table: content_hash(Path(settings.table))}
        return runs.execute("study analyze", VERSION, settings, inputs, partial(_work, scores, ()))
    found = runs.open_runs(settings.from_)
    scores = read_runs(found)
    inputs = {str(run.path): run.key for run in found}
    return runs.execute("study analyze", VERSION, settings, inputs, partial(_work, scores, found))


def _work(scores: Scores, found: Sequence[Run], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope import stats
    from tunescope.verbs.analyze.known import on_known
    from tunescope.verbs.analyze.response import dose_response

    tasks: dict[str, dict[str, Any]] = {}
    for task in scores.tasks:
        mine = [cell for cell in scores.cells if cell.task == task]
        tasks[task] = dose_response(mine, scores.doses, scores.seeds)
    adjusted = stats.holm([record["p"] for record in tasks.values()])
    for record, p in zip(tasks.values(), adjusted, strict=True):
        record["p_holm"] = p
    known = on_known(scores, found) if found else []
    result: dict[str, Any] = {
        "tasks": tasks,
        "doses": scores.doses,
        "seeds": scores.seeds,
        "read_as": {name: {"dose": dose, "as": how} for name, (dose, how) in scores.read_as.items()},
        "unused_columns": list(scores.unused),
        "unit": scores.unit,
        "family": _family(scores.doses, tasks),
        **({"known": known} if known else {}),
    }
    folder.table("scores", pa.Table.from_pylist([cell._asdict() for cell in scores.cells], schema=_score_schema()))
    flat = [{"task": task, **{k: v for k, v in r.items() if k != "scores"}} for task, r in tasks.items()]
    folder.table("tasks", _flat_table(flat))
    return Outcome(result, view(scores, result))


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
    """Return what the tests of all tasks together can show.

    Of n! orders of the doses at least two, the observed one and its mirror image, have the observed |r|.
    """
    tests = sum(record["p"] is not None for record in tasks.values())
    smallest = 2 / factorial(len(doses)) if 2 <= len(doses) <= 20 else None
    enough = next(n for n in range(2, 30) if 2 * max(tests, 1) / factorial(n) <= ALPHA)
    return {"method": "Holm", "tests": tests, "smallest_p": smallest, "doses_needed": enough}
