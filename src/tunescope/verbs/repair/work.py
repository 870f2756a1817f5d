"""A repair at work: ask the oracle about every row, or plan the requests; write rows, tables and the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tunescope.errors import SettingsError
from tunescope.oracle.settings import validate_oracle
from tunescope.runs import Outcome, RunFolder, RunJob
from tunescope.verbs.repair.before_after import before_and_after
from tunescope.verbs.repair.instruction_pair import InstructionPair, NotApplicable, read_pair
from tunescope.verbs.repair.records import Repair, RepairResult
from tunescope.verbs.repair.repaired_rows import (
    RepairedRow,
    apply_result,
    count_rows,
    counts_sentence,
    result_tables,
    write_rows,
    write_tables,
)
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.views import View, rejected_sentence

if TYPE_CHECKING:
    from tunescope.rows import Row, RowFile, RowSet
    from tunescope.verbs.repair.student import Student


def repair_job(
    settings: RepairSettings, repair: Repair, student: Student | None = None, more: Mapping[str, str] | None = None
) -> RunJob:
    """Return the run that repairs every row or, with `--plan`, counts the requests.

    It writes the rows (`rows.*`), and the table `repairs` with what happened to each.

    `student` is the model that decides about new texts; it stays loaded while the oracle is asked. `more` are inputs
    beside the rows: the content of each by its name.

    `repairs` has row_id, file, line, action, status, reason, new_row_id, call_ids and the repair's own columns;
    `repaired` has the new row_id, file, line and was_row_id, so that `why` finds a row by either id.
    Every reply is written to the journal first. The same command continues a stopped run without asking again.

    Raises:
        InputError, SettingsError: rows, a prompt or a setting that can't work.
        WorkError: the server went away, or the budget is used up; the same command continues.
        TunescopeError: no call can succeed (a refused key, an unknown model).
    """
    from tunescope.oracle.connect import resolve_model
    from tunescope.rows import open_rows

    validate_oracle(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    if settings.plan:
        return _plan_job(settings, repair, student, rows, more or {})
    model = resolve_model(settings)
    inputs = _inputs(settings, repair, student, rows, more or {}, model)
    work = partial(_work, settings, repair, student, rows, model)
    device = f"oracle, student on {student.device}" if student else "oracle"
    return RunJob(repair.name, repair.version, settings, inputs, work, device)


def _inputs(
    settings: RepairSettings,
    repair: Repair,
    student: Student | None,
    rows: RowSet,
    more: Mapping[str, str],
    model: str,
) -> dict[str, str]:
    """Return what the run's key depends on besides its settings."""
    from tunescope.oracle.connect import oracle_inputs

    oracle = oracle_inputs(settings.oracle, model)
    return {**rows.inputs, **oracle, **repair.sources, **(student.inputs if student else {}), **more}


def read_pairs(
    repair: Repair, rows: RowSet, like: RowFile
) -> tuple[list[Row], dict[int, InstructionPair], dict[int, RepairResult]]:
    """Return the rows, and by position in them the pairs to repair and the results of rows that have none."""
    all_rows: list[Row] = []
    pairs: dict[int, InstructionPair] = {}
    not_applicable: dict[int, RepairResult] = {}
    for position, row in enumerate(rows):
        all_rows.append(row)
        try:
            pairs[position] = read_pair(row, like, repair.rewrites_instructions)
        except NotApplicable as reason:
            not_applicable[position] = RepairResult(None, str(reason))
    if not all_rows:
        raise SettingsError(f"no rows in {', '.join(file.name for file in rows.files)}; expected at least one")
    return all_rows, pairs, not_applicable


def _plan_job(
    settings: RepairSettings, repair: Repair, student: Student | None, rows: RowSet, more: Mapping[str, str]
) -> RunJob:
    from tunescope.oracle.plan import find_journal, plan_requests
    from tunescope.rows import require_same_shape

    name = repair.name
    inputs_for = partial(_inputs, settings, repair, student, rows, more)
    journal = find_journal(name, repair.version, replace(settings, out=None), inputs_for)
    inputs = rows.inputs | repair.sources | dict(more) | ({} if journal is None else journal.inputs)
    inputs |= {} if settings.price is None else {"price": settings.price}

    def plan(folder: RunFolder) -> Outcome:
        all_rows, pairs, _ = read_pairs(repair, rows, require_same_shape(rows.files, name))
        items = [(pair, repair.planned_requests(pair)) for pair in pairs.values()]
        about = f"about {len(pairs):,} of {len(all_rows):,} rows"
        note = "A stage that builds on an earlier reply is counted with the row's own text."
        return plan_requests(name, settings, items, repair.repair_row, journal, about, len(all_rows), note)

    return RunJob(f"{name} plan", repair.version, settings, inputs, plan)


def _work(
    settings: RepairSettings, repair: Repair, student: Student | None, rows: RowSet, model: str, folder: RunFolder
) -> Outcome:
    from tunescope.oracle.caller import describe_usage
    from tunescope.oracle.connect import connect
    from tunescope.oracle.pool import ask_all
    from tunescope.rows import require_same_shape

    like = require_same_shape(rows.files, repair.name)
    all_rows, pairs, not_applicable = read_pairs(repair, rows, like)
    with (
        student.loaded(folder.scratch) if student else nullcontext(),
        connect(settings, model, folder.path, len(pairs)) as results,
    ):
        asyncio.run(ask_all(results.caller, pairs.items(), repair.repair_row, results.add))
    repaired = []
    for position, row in enumerate(all_rows):
        if position in not_applicable:
            repaired.append(RepairedRow(row, row, not_applicable[position]))
        else:
            item = results[position]
            row_result = item.value or RepairResult.failed(item.failure)
            repaired.append(apply_result(repair, like, pairs[position], row_result, item.call_ids))
    path = write_rows(folder, like, repaired)
    write_tables(settings, repair, folder, like, repaired, path)
    if rows.rejected:
        folder.records("rejected", (record.as_json() for record in rows.rejected))
    summary = repair.summarize([row.result for row in repaired], folder.path, path)
    caller = results.caller
    result = {
        **count_rows(repaired),
        "rejected": len(rows.rejected),
        **caller.budget.summary(),
        "oracle_model": caller.model,
        "replies": caller.reply_format,
        "files": {"rows": path.name},
        **summary.result,
    }
    sentences = [
        counts_sentence(repaired),
        *summary.sentences,
        f"Rows: {path}. The table repairs says what happened to each. "
        f"{describe_usage(caller, settings.journal is not None)}. Every reply is in the journal.",
    ]
    if rows.rejected:
        sentences.append(rejected_sentence(len(rows.rejected)))
    tables = (*summary.tables, *result_tables(repaired))
    view = View(tuple(sentences), tables, summary.next, before_and_after(repaired))
    return results.unanswered("rows").added_to(result, view)
