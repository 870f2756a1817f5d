"""A repair at work: ask the oracle about every row, or plan the requests; write rows, tables and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.oracle.plan import planned
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.settings import refuse_nonsense
from tunescope.runs import Outcome, Run, RunFolder
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
    from tunescope.oracle.run import Known
    from tunescope.rows import Row, RowFile, RowSet
    from tunescope.verbs.repair.student import Student

AS: Mapping[ReplyFormat, str] = {"json": "as JSON, which the server holds the model to", "tags": "in tagged sections"}
"""How replies are asked for."""


def repair_rows(settings: RepairSettings, repair: Repair, student: Student | None = None) -> Run:
    """Repair every row; write the rows (`rows.*`), and the table `repairs` with what happened to each.

    `student` is the model that decides about new texts; it stays loaded while the oracle is asked.

    `repairs` has row_id, file, line, action, status, reason, new_row_id, call_ids and the repair's own columns;
    `repaired` has the new row_id, file, line and was_row_id, so that `why` finds a row by either id.
    Every reply is written to the journal first. The same command continues a stopped run without asking again.

    Raises:
        InputError, SettingsError: rows, a prompt or a setting that can't work.
        WorkError: the server went away, or the budget is used up; the same command continues.
        TunescopeError: no call can succeed (a refused key, an unknown model).
    """
    from tunescope.oracle.connect import model_of
    from tunescope.rows import open_rows

    refuse_nonsense(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    if settings.plan:
        from tunescope.oracle.run import known_journal

        inputs_for = partial(_inputs, settings, repair, student, rows)
        known = known_journal(repair.name, repair.version, replace(settings, out=None), inputs_for)
        cached_inputs = {} if known is None else known.inputs
        price = {} if settings.price is None else {"price": settings.price}
        inputs = rows.inputs | repair.sources | cached_inputs | price
        plan = partial(_plan, settings, repair, rows, known)
        return runs.execute(f"{repair.name} plan", repair.version, settings, inputs, plan)
    model = model_of(settings)
    inputs = _inputs(settings, repair, student, rows, model)
    work = partial(_work, settings, repair, student, rows, model)
    device = f"oracle, student on {student.device}" if student else "oracle"
    return runs.execute(repair.name, repair.version, settings, inputs, work, device)


def _inputs(
    settings: RepairSettings, repair: Repair, student: Student | None, rows: RowSet, model: str
) -> dict[str, str]:
    """Return what the run's key depends on besides its settings."""
    from tunescope.oracle.connect import inputs_of

    return {**rows.inputs, **inputs_of(settings, model), **repair.sources, **(student.inputs if student else {})}


def _read_pairs(rows: RowSet, like: RowFile) -> tuple[list[Row], dict[int, InstructionPair], dict[int, RepairResult]]:
    """Return the rows, and by position in them the pairs to repair and the results of rows that have none."""
    all_rows: list[Row] = []
    pairs: dict[int, InstructionPair] = {}
    not_applicable: dict[int, RepairResult] = {}
    for position, row in enumerate(rows):
        all_rows.append(row)
        try:
            pairs[position] = read_pair(row, like)
        except NotApplicable as reason:
            not_applicable[position] = RepairResult(None, str(reason))
    if not all_rows:
        raise SettingsError(f"no rows in {', '.join(file.name for file in rows.files)}; expected at least one")
    return all_rows, pairs, not_applicable


def _plan(settings: RepairSettings, repair: Repair, rows: RowSet, known: Known | None, folder: RunFolder) -> Outcome:
    from tunescope.oracle.run import replayed
    from tunescope.rows import require_same_shape

    all_rows, pairs, _ = _read_pairs(rows, require_same_shape(rows.files, repair.name))
    requests = {position: repair.planned_requests(pair) for position, pair in pairs.items()}
    if known is None:
        reply_format: ReplyFormat = "json" if settings.replies == "json" else "tags"
        missing = [request for each in requests.values() for request in each]
        return planned(repair.name, len(all_rows), len(pairs), missing, settings, reply_format)
    cached = replayed(settings, known.model, known.journal, pairs, repair.repair_row)
    missing = [
        request
        for position, each in requests.items()
        for n_cached in [cached.calls[position]]
        if n_cached is not None
        for request in each[n_cached:]
    ]
    return planned(repair.name, len(all_rows), len(pairs), missing, settings, cached.way, cached.free, known.journal)


def _work(
    settings: RepairSettings, repair: Repair, student: Student | None, rows: RowSet, model: str, folder: RunFolder
) -> Outcome:
    from tunescope.oracle.run import ask_all
    from tunescope.rows import require_same_shape

    like = require_same_shape(rows.files, repair.name)
    all_rows, pairs, not_applicable = _read_pairs(rows, like)
    with student.loaded(folder.scratch) if student else nullcontext():
        oracle, replies = ask_all(settings, model, folder.path, pairs, repair.repair_row)
    repaired = []
    for position, row in enumerate(all_rows):
        if position in not_applicable:
            repaired.append(RepairedRow(row, row, not_applicable[position]))
        else:
            reply = replies[position]
            row_result = reply.value or RepairResult.failed(reply.failed)
            repaired.append(apply_result(repair, like, pairs[position], row_result, reply.call_ids))
    path = write_rows(folder, like, repaired)
    write_tables(settings, repair, folder, like, repaired, path)
    if rows.rejected:
        folder.records("rejected", (record.as_json() for record in rows.rejected))
    summary = repair.summarize([row.result for row in repaired], folder.path, path)
    result = {
        **count_rows(repaired),
        "rejected": len(rows.rejected),
        "tokens": {"prompt": oracle.budget.prompt_tokens, "completion": oracle.budget.completion_tokens},
        "cost": oracle.budget.cost,
        "oracle_model": oracle.model,
        "replies": oracle.used,
        "files": {"rows": path.name},
        **summary.result,
    }
    sentences = [
        counts_sentence(repaired),
        *summary.sentences,
        f"Rows: {path}. The table repairs says what happened to each. {oracle.told_used(AS)}; every reply is in the "
        "journal.",
    ]
    if rows.rejected:
        sentences.append(rejected_sentence(len(rows.rejected)))
    tables = (*summary.tables, *result_tables(repaired))
    return Outcome(result, View(tuple(sentences), tables, summary.next))
