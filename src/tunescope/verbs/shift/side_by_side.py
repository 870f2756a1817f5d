"""`shift runs`: several comparisons side by side (the Limitations paper, Figure 1 and Table 11).

Does the shift grow with the number of training rows? Are answers as long as the rows that a model was tuned on?
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tunescope.errors import RunError, SettingsError
from tunescope.models.names import ModelNames
from tunescope.results.estimates import ALPHA
from tunescope.results.shift import ShiftResult
from tunescope.results.tune import TunedRows, TuneResult, TuneSetup
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field, producing_run
from tunescope.settings import POSITIONAL
from tunescope.views import Table, View, interval, percent

VERSION = 2
_NUMBERS = ("kl", "base_prob", "base_rank", "unshifted", "marginal", "shifted", "answer_tokens")
_RELATIONS = {"shift_by_size": ("training_rows", "kl"), "length_by_rows": ("row_tokens", "answer_tokens")}
_RELATION_NAMES = {
    "shift_by_size": "mean KL against training rows (Figure 1)",
    "length_by_rows": "length of answers against that of the rows' responses (Table 11)",
}


@dataclass(frozen=True, kw_only=True)
class ShiftRunsSettings:
    """Compare several shift runs: shift with training-set size, and answer length with row length."""

    runs: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Folders of at least two shift runs. What the models were tuned on is read from their tune runs."""

    out: str | None = out_field()
    """The run folder; runs/shift-runs-KEY by default."""


def shift_runs(settings: ShiftRunsSettings) -> Run:
    """Compare shift runs; return the run with the table `runs`.

    `runs` has run, model (what it is called), tuned, base, method, training_rows, row_tokens (mean supervised tokens of
    a training row) and the mean of every number with its interval. The result has `relations`: Spearman's rho with low,
    high, n, n_missing and its exact p, per method and over all methods.

    Raises:
        RunError, SettingsError: a run isn't of shift, or there are fewer than two.
    """
    opened = open_runs(settings.runs)
    for run in opened:
        if run.verb != "shift":
            raise RunError(f"{run.path} is a run of {run.verb}; expected runs of shift")
    if len(opened) < 2:
        raise SettingsError(f"{len(opened)} run of shift; expected at least two")
    inputs = {str(run.path): run.identity for run in opened}
    return execute("shift runs", VERSION, settings, inputs, partial(_work, opened))


def _work(opened: Sequence[Run], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    records = [_record(run, name) for run, name in zip(opened, _names(opened), strict=True)]
    types = dict.fromkeys(("run", "model", "tuned", "base", "method"), pa.string()) | {"training_rows": pa.int32()}
    columns = {n: pa.array([r[n] for r in records], types.get(n, pa.float64())) for n in records[0]}
    folder.table("runs", pa.table(columns))
    relations = list(_relations(records))
    result = {"runs": records, "n": len(records), "relations": relations}
    return Outcome(result, View(tuple(_sentences(relations)), tuple(_tables(records, relations)), _next(records)))


def _names(opened: Sequence[Run]) -> list[str]:
    """Return what the models are called; where two runs are of one model, with the run's folder."""
    models = ModelNames(opened)
    names = [models.of_model(ShiftResult.read(run).tuned) for run in opened]
    return [
        name if names.count(name) == 1 else f"{name} ({run.path.name})" for run, name in zip(opened, names, strict=True)
    ]


def _record(run: Run, name: str) -> dict[str, Any]:
    """Return one run's row: its numbers, and what its model was tuned on, where a tune run says it."""
    result = ShiftResult.read(run)
    record: dict[str, Any] = {"run": str(run.path), "model": name, "tuned": result.tuned, "base": result.base}
    made = producing_run(result.tuned)
    record |= {"method": None, "training_rows": None, "row_tokens": None}
    if made is not None and made.verb == "tune":
        setup = TuneSetup.read_settings(made)
        record["method"] = setup.method + (" with NEFTune" if setup.neftune_alpha else "")
        record["training_rows"] = _rows_reached(made)
        if TunedRows.NAME in made.tables:
            counts = [n for n in TunedRows.read(made).n_supervised if n]
            record["row_tokens"] = sum(counts) / len(counts) if counts else None
    for name in _NUMBERS:
        estimate = getattr(result, name)
        record |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return record


def _rows_reached(tuning: Run) -> int | None:
    """Return how many rows were trained on: all, or as many as the steps reached."""
    result, batch_size = TuneResult.read(tuning), TuneSetup.read_settings(tuning).batch_size
    if result.trained is None or result.steps is None or batch_size is None:
        return result.trained
    return min(result.trained, result.steps * batch_size)


def _relations(records: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield Spearman's rho of both relations, per method and, where there are several, over all."""
    from tunescope.stats import spearman

    methods = list(dict.fromkeys(record["method"] for record in records))
    groups = {str(m or "unknown"): [r for r in records if r["method"] == m] for m in methods}
    groups = {name: members for name, members in groups.items() if len(members) > 1}
    if len(methods) > 1:
        groups["all"] = list(records)
    for name, (x, y) in _RELATIONS.items():
        for group, members in groups.items():
            correlation = spearman([member[x] for member in members], [member[y] for member in members])
            yield {
                "relation": name,
                "tuned_by": group,
                **correlation.r.as_json("spearman"),
                "p_exact": correlation.permutation.p,
                "test": correlation.permutation.method,
            }


def _sentences(relations: Sequence[dict[str, Any]]) -> Iterator[str]:
    for relation in relations:
        rho, p, n = relation["spearman"], relation["p_exact"], relation["n"]
        what = f"{_RELATION_NAMES[relation['relation']]}, {relation['tuned_by']}"
        if rho is None:
            yield f"{what}: no correlation can be computed ({relation.get('reason', 'no pairs')})."
        elif p < ALPHA:
            yield f"{what}: Spearman {rho:.2f} over {n} runs, p = {p:.3g}."
        else:
            yield f"{what}: {n} runs show no significant relation (Spearman {rho:.2f}, p = {p:.3g})."


def _tables(records: Sequence[dict[str, Any]], relations: Sequence[dict[str, Any]]) -> Iterator[Table]:
    lines = tuple(
        (
            r["model"],
            r["method"],
            r["training_rows"],
            r["kl"],
            interval(r["kl_low"], r["kl_high"], 3),
            r["base_prob"],
            r["base_rank"],
            *(percent(r[name], 1) for name in ("unshifted", "marginal", "shifted")),
            r["row_tokens"],
            r["answer_tokens"],
        )
        for r in records
    )
    numbers = ("KL", "95 % interval", "base prob.", "base rank", "unshifted", "marginal", "shifted")
    lengths = ("row tokens", "answer tokens")
    yield Table(
        "Shift against training-set size",
        ("model", "method", "training rows", *numbers, *lengths),
        lines,
        "training rows: those that the steps reached. row tokens: the mean number of supervised tokens of a row (its "
        "response and the end of the turn).",
    )
    cells = tuple(
        (
            _RELATION_NAMES[r["relation"]],
            r["tuned_by"],
            r["spearman"],
            interval(r["low"], r["high"]),
            r["p_exact"],
            r["n"],
            r["n_missing"],
        )
        for r in relations
    )
    yield Table(
        "Relations between runs",
        ("relation", "tuned by", "Spearman", "95 % interval", "p", "runs", "missing"),
        cells,
        "p: permutation test, exact up to 8 runs. Intervals need 4 runs.",
    )


def _next(records: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    ordered = sorted(records, key=lambda record: record["kl"])
    return (shlex.join(["tunescope", "compare", ordered[0]["run"], ordered[-1]["run"]]),)
