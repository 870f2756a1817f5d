"""At which dose a task breaks: a score that is flat and then falls, beside the straight line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.verbs.analyze.parts import ONE_BY_ONE, Part, percent_of
from tunescope.verbs.analyze.score_table import ScoreTable
from tunescope.views import Cell, Table, interval


def find_thresholds(scores: ScoreTable) -> Part | None:
    """Return each task's threshold; None for fewer than 4 doses.

    A task's record has `threshold` (a dose) with low, high, n (seeds) and n_missing (seeds that lack a dose); `before`,
    the score up to there; `slope`, its change per 100 % of dose from there on; `is_last`: only the highest dose lies
    behind it, so that the break is anywhere between the last two; `error` and `error_line`, the root mean square errors
    at left-out doses; and `better`: `threshold` or `line`, whichever has the smaller one.
    """
    if len(scores.doses) < 4:
        return None
    records = {task: _find_threshold(scores, task) for task in scores.tasks}
    sentences = tuple(_sentences(records, scores.doses))
    return Part(key="thresholds", result=records, sentences=sentences, tables=(_table(records),))


def _find_threshold(scores: ScoreTable, task: str) -> dict[str, Any]:
    cells = [cell for cell in scores.cells if cell.task == task and not cell.retuned]
    score = {(cell.seed, cell.dose): cell.score for cell in cells}
    series = [[score.get((seed, dose)) for dose in scores.doses] for seed in scores.seeds]
    fit = stats.threshold(scores.doses, series)
    errors = stats.left_out_errors(scores.doses, series)
    better = None if errors is None else "threshold" if errors.threshold < errors.line else "line"
    return {
        **fit.threshold.as_json("threshold"),
        "before": fit.level,
        "slope": fit.slope,
        "is_last": fit.is_last,
        "error": errors and errors.threshold,
        "error_line": errors and errors.line,
        "better": better,
    }


def _sentences(records: Mapping[str, Mapping[str, Any]], doses: Sequence[float]) -> list[str]:
    fitted = {task: r for task, r in records.items() if r["threshold"] is not None}
    if len(records) <= ONE_BY_ONE:
        return [_describe(task, r, doses) for task, r in fitted.items()]
    better = [task for task, r in fitted.items() if r["better"] == "threshold" and r["slope"] < 0]
    return [
        f"A score that is flat up to a threshold and then falls predicts left-out doses better than a straight line in "
        f"{len(better)} of {len(fitted)} tasks{': ' if better else ''}{', '.join(better)}."
    ]


def _describe(task: str, record: Mapping[str, Any], doses: Sequence[float]) -> str:
    errors = f"{record['error']:.3f} against {record['error_line']:.3f}" if record["error"] is not None else ""
    if record["better"] == "line":
        return (
            f"{task}: a straight line predicts left-out doses better than a threshold does (error "
            f"{record['error_line']:.3f} against {record['error']:.3f} of the threshold)."
        )
    if record["slope"] >= 0:
        return f"{task}: the score doesn't fall after a threshold."
    where = f"at a dose of {percent_of(round(record['threshold'], 3))}"
    if record["is_last"]:
        where = f"somewhere between {percent_of(doses[-2])} and {percent_of(doses[-1])}"
    elif record["low"] is not None:
        where += f" {interval(100 * record['low'], 100 * record['high'], 1)}"
    text = f"{task}: the score is about {record['before']:.3f} up to the threshold, and breaks {where}"
    return text + (f" (error at left-out doses {errors} of a straight line)." if errors else ".")


def _table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for task, r in records.items():
        at, low, high = (None if r[name] is None else 100 * r[name] for name in ("threshold", "low", "high"))
        ends = None if low is None or high is None else interval(low, high, 1)
        at_text = None if at is None else f"{'after ' if r['is_last'] else ''}{at:.1f} %"
        rows.append((task, at_text, ends, r["before"], r["slope"], r["error"], r["error_line"], r["better"], r["n"]))
    reasons = dict.fromkeys(r["reason"] for r in records.values() if "reason" in r)
    note = (
        "Flat up to the threshold, then a line of this slope (change of the score per 100 % of dose): least squares. "
        "The interval is over seeds: it holds all thresholds around the fitted one that no t-test rejects. "
        '"After": only the highest dose lies above the threshold. Error: root mean square at doses that were left out '
        "of the fit one at a time, of the threshold and of a straight line. n = seeds with every dose."
    )
    note += f" Without an interval: {'; '.join(reasons)}." if reasons else ""
    columns = ("task", "threshold", "95 %", "before", "slope", "error", "line's error", "better", "n")
    return Table("At which dose it breaks", columns, tuple(rows), note)
