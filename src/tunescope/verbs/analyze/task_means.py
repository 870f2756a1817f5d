"""Means over tasks: of all, of each category, and without the tasks whose source was also tuned on (FACO, figure 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from tunescope.results.falsify import DosedRow
from tunescope.results.tune import TuneSetup
from tunescope.runs import producing_run
from tunescope.verbs.analyze.bench_runs import ScoredModel
from tunescope.verbs.analyze.dose_response import dose_response
from tunescope.verbs.analyze.parts import Part, loses, name_all, percent_of, tasks_in_means
from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore
from tunescope.views import Cell, Table, interval

_ALL = "all"
_OTHERS = "not in source"
_IN_SOURCE = "in source"


def average_tasks(scores: ScoreTable, in_source: Sequence[str], left_out: Sequence[str] = ()) -> Part | None:
    """Return the dose–response of means over tasks; None for fewer than two tasks.

    `groups` has a record of `dose_response` for `all`, for `in source` and `not in source` where some tasks are and
    some aren't, and for each category; each with `tasks`, the names it is the mean of. A mean is missing where one of
    its tasks' scores is. `left_out` names the tasks that no mean counts, `in_source` those whose source was also tuned
    on.
    """
    counted = tasks_in_means(scores.tasks, left_out)
    if len(counted) < 2:
        return None
    sourced = [task for task in counted if task in in_source]
    groups: dict[str, list[str]] = {_ALL: counted}
    if sourced and len(sourced) < len(counted):
        groups |= {_OTHERS: [task for task in counted if task not in sourced], _IN_SOURCE: sourced}
    for category in dict.fromkeys(scores.categories.get(task) for task in counted):
        if category is not None:
            groups[category] = [task for task in counted if scores.categories.get(task) == category]
    score_range = (-inf, inf) if scores.chance is None else (0.0, 1.0)
    records = {
        name: {"tasks": tasks, **dose_response(_mean_cells(scores, tasks), scores.doses, scores.seeds, score_range)}
        for name, tasks in groups.items()
    }
    result = {
        "groups": records,
        "in_source": sourced,
        "left_out": [task for task in scores.tasks if task not in counted],
    }
    sentences = tuple(_sentences(records, sourced))
    return Part(key="means", result=result, sentences=sentences, tables=(_table(result, scores),))


def tasks_in_source(models: Sequence[ScoredModel], tasks: Iterable[str]) -> list[str]:
    """Return the tasks whose name is that of a source of the rows that the models were tuned on."""
    sources: set[str] = set()
    for model in models:
        rows = TuneSetup.read_settings(model.tuning).rows if model.tuning is not None else ()
        for name in rows:
            dosed = producing_run(name)
            if dosed is not None and DosedRow.NAME in dosed.tables:
                sources.update(_plain(row.source) for row in DosedRow.read_rows(dosed))
        if sources:
            break  # every dose has the same rows
    return [task for task in tasks if _plain(task) in sources]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _mean_cells(scores: ScoreTable, tasks: Sequence[str]) -> list[TaskScore]:
    """Return a cell per dose and seed, with the mean over the tasks; None where one is missing."""
    values: dict[tuple[float | None, str, bool], list[float | None]] = {}
    for cell in scores.cells:
        if cell.task in tasks:
            values.setdefault((cell.dose, cell.seed, cell.retuned), []).append(cell.score)
    cells = []
    for (dose, seed, retuned), of_place in values.items():
        known = [score for score in of_place if score is not None]
        mean = round(sum(known) / len(known), 12) if len(known) == len(tasks) else None  # 0 stays 0 in differences
        cells.append(TaskScore("", dose, seed, retuned, mean))
    return cells


def _sentences(records: Mapping[str, Mapping[str, Any]], sourced: Sequence[str]) -> list[str]:
    everything = records[_ALL]
    if everything["abs"] is None:
        return [f"The mean over {len(everything['tasks'])} tasks has no ABS: {everything['abs_reason']}."]
    drop = loses(everything["abs"], everything["abs_low"], everything["abs_high"])
    text = f"The mean over {len(everything['tasks'])} tasks {drop} from 0 to 100 %"
    if _OTHERS in records and records[_OTHERS]["abs"] is not None:
        others = records[_OTHERS]
        drop = loses(others["abs"], others["abs_low"], others["abs_high"])
        text += f"; without {name_all(sourced)}, whose sources were also tuned on, it {drop}"
    return [f"{text}."]


def _table(result: Mapping[str, Any], scores: ScoreTable) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            len(record["tasks"]),
            *(cell["mean"] for cell in record["scores"]),
            record["abs"],
            interval(record["abs_low"], record["abs_high"], 3),
            record["slope"],
            interval(record["slope_low"], record["slope_high"], 3),
        )
        for name, record in result["groups"].items()
    ]
    of_each = "; ".join(f"{name}: {', '.join(record['tasks'])}" for name, record in result["groups"].items())
    left_out = f" Left out: {name_all(result['left_out'])}." if result["left_out"] else ""
    note = (
        f"Means over tasks{f', in {scores.unit}' if scores.unit else ''}; ABS and its interval over seeds as above; "
        f"slope with its t interval over doses. {of_each}.{left_out}"
    )
    doses = (percent_of(dose) for dose in scores.doses)
    return Table(
        "Means over tasks", ("tasks", "n", *doses, "ABS", "ABS 95 %", "slope", "slope 95 %"), tuple(rows), note
    )
