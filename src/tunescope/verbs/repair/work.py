"""What all repairs share: rows in → each kept or changed, with a reason, its lineage, and the calls it cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tunescope import runs
from tunescope.errors import SettingsError, WorkError
from tunescope.oracle.replies import STATUSES, Status
from tunescope.oracle.request import Request
from tunescope.oracle.settings import OracleSettings, validate_oracle
from tunescope.runs import NOT_IN_KEY, Outcome, RunFolder, RunJob
from tunescope.settings import RowsSettings
from tunescope.verbs.repair.pairs import Pair, Undefined, pair_of
from tunescope.views import Cell, Table, View, rejected_sentence

if TYPE_CHECKING:
    from tunescope.oracle.caller import Caller
    from tunescope.oracle.calls import Calls
    from tunescope.rows import Row, RowFile, RowSet
    from tunescope.verbs.repair.student import Student

PROMPTS = Path(__file__).with_name("prompts")
"""Where our Jinja files are."""
SHOWN = 10
"""Kept rows whose reason the view shows."""


@dataclass(frozen=True, kw_only=True)
class RepairSettings(OracleSettings, RowsSettings):
    """Rows, an oracle, and what to show before it is asked."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Ask nothing: fill in every prompt and say how many calls and tokens, and with --price how much money."""

    out: str | None = runs.out_field()
    """The run folder; runs/repair-NAME-KEY by default."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What came of one row: the reply's status (None: no reply), a reason whose first word names it, new texts.

    A text that is None is as it was. `columns` go into the table; `notes` into the lineage.
    """

    status: Status | None
    reason: str
    instruction: str | None = None
    response: str | None = None
    columns: Mapping[str, Cell] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class Told(NamedTuple):
    """What a repair says of all rows: numbers, sentences, tables, what to type next."""

    result: dict[str, Any]
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    next: tuple[str, ...]


class Repair(Protocol):
    """One repair.

    Attributes:
        name: the verb.
        version: of its step.
        columns: those it adds to the table `repairs`: name → Arrow type.
    """

    name: str
    version: int
    columns: Mapping[str, str]

    @property
    def sources(self) -> dict[str, str]:
        """Return what its prompts are made from, by name, in the order in which they are asked: a hash of each."""

    def asks(self, pair: Pair) -> list[Request]:
        """Return what is asked about a row, in order, as far as it is known before."""

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        """Ask about a row, and read the replies; raises `ItemFailed` where there is none."""

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        """Sum up; `run` and `rows` are the folder and the rows that came out."""


def repair_job(settings: RepairSettings, mender: Repair, student: Student | None = None) -> RunJob:
    """Return the run that repairs every row or, with `--plan`, counts what would be asked.

    It writes the rows (`rows.*`), and the table `repairs` with what happened to each.

    `student` is the model that the mender lets decide; it is at work while rows are asked about.

    `repairs` has row_id, file, line, action, status, reason, new_row_id, call_ids and the repair's own columns;
    `repaired` has the new row_id, file, line and was_row_id, so that `why` finds a row by either.
    Every reply is in the journal first, so the same command goes on where it stopped, without asking again.

    Raises:
        InputError, SettingsError: rows, a prompt or a setting that can't work.
        WorkError: the server went away, or the budget is used up; the same command goes on.
        TunescopeError: no call can succeed (a refused key, an unknown model).
    """
    from tunescope.oracle.connect import resolve_model
    from tunescope.rows import open_rows

    validate_oracle(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    if settings.plan:
        return _plan_job(settings, mender, student, rows)
    model = resolve_model(settings)
    inputs = _inputs(settings, mender, student, rows, model)
    work = partial(_work, settings, mender, student, rows, model)
    device = f"oracle, student on {student.device}" if student else "oracle"
    return RunJob(mender.name, mender.version, settings, inputs, work, device)


def _inputs(
    settings: RepairSettings, mender: Repair, student: Student | None, rows: RowSet, model: str
) -> dict[str, str]:
    """Return what the run's key knows beside its settings."""
    from tunescope.oracle.connect import oracle_inputs

    oracle = oracle_inputs(settings.oracle, model)
    return {**rows.inputs, **oracle, **mender.sources, **(student.inputs if student else {})}


def _pairs(rows: RowSet, like: RowFile) -> tuple[list[Row], dict[int, Pair], dict[int, Mended]]:
    """Return the rows, and by place in them what can be asked about and what can't."""
    items: list[Row] = []
    pairs: dict[int, Pair] = {}
    undefined: dict[int, Mended] = {}
    for place, row in enumerate(rows):
        items.append(row)
        try:
            pairs[place] = pair_of(row, like)
        except Undefined as reason:
            undefined[place] = Mended(None, str(reason))
    if not items:
        raise SettingsError(f"no rows in {', '.join(file.name for file in rows.files)}; expected at least one")
    return items, pairs, undefined


def _plan_job(settings: RepairSettings, mender: Repair, student: Student | None, rows: RowSet) -> RunJob:
    from tunescope.oracle.plan import find_journal, plan_requests
    from tunescope.rows import require_same_shape

    name = mender.name
    inputs_for = partial(_inputs, settings, mender, student, rows)
    journal = find_journal(name, mender.version, replace(settings, out=None), inputs_for)
    inputs = rows.inputs | mender.sources | ({} if journal is None else journal.inputs)
    inputs |= {} if settings.price is None else {"price": settings.price}

    def plan(folder: RunFolder) -> Outcome:
        all_rows, pairs, _ = _pairs(rows, require_same_shape(rows.files, name))
        items = [(pair, mender.asks(pair)) for pair in pairs.values()]
        about = f"about {len(pairs):,} of {len(all_rows):,} rows"
        note = "A stage that builds on an earlier reply is counted with the row's own text."
        return plan_requests(name, settings, items, mender.mend, journal, about, len(all_rows), note)

    return RunJob(f"{name} plan", mender.version, settings, inputs, plan)


def _work(
    settings: RepairSettings, mender: Repair, student: Student | None, rows: RowSet, model: str, folder: RunFolder
) -> Outcome:
    from tunescope.oracle.connect import connect
    from tunescope.oracle.pool import ask_all
    from tunescope.rows import require_same_shape

    like = require_same_shape(rows.files, mender.name)
    items, pairs, mended = _pairs(rows, like)
    with (
        student.at_work(folder.scratch) if student else nullcontext(),
        connect(settings, model, folder.path, len(pairs)) as results,
    ):
        asyncio.run(ask_all(results.caller, pairs.items(), mender.mend, results.add))
    for place, result in results.items():
        mended[place] = result.value or Mended(None, f"failed: {result.failure}")
    calls = {place: result.call_ids for place, result in results.items() if result.call_ids}
    after = _write(mender, folder, like, items, pairs, mended, calls)
    _tables(settings, mender, folder, like, items, mended, calls, after)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    return _outcome(settings, mender, folder, items, mended, after, results.caller, len(rows.rejected))


class _After(NamedTuple):
    """The rows that came out: their file, and whether each was kept or changed."""

    path: Path
    actions: list[str]


def _write(
    mender: Repair,
    folder: RunFolder,
    like: RowFile,
    items: Sequence[Row],
    pairs: Mapping[int, Pair],
    mended: dict[int, Mended],
    calls: Mapping[int, tuple[str, ...]],
) -> _After:
    """Write the rows; where the format has no place for a change, `mended` says that the row stays."""
    from tunescope.rows import RowWriter

    actions = []
    with RowWriter(folder.path, "rows", like) as writer:
        for place, row in enumerate(items):
            new, mended[place] = _renewed(mender, like, row, pairs.get(place), mended[place], calls.get(place, ()))
            writer.write(new)
            actions.append("kept" if new.messages == row.messages else "changed")
    return _After(writer.path, actions)


def _tables(
    settings: RepairSettings,
    mender: Repair,
    folder: RunFolder,
    like: RowFile,
    items: Sequence[Row],
    mended: Mapping[int, Mended],
    calls: Mapping[int, tuple[str, ...]],
    after: _After,
) -> None:
    """Write the table `repairs`, by the ids that rows came with, and `repaired`, by those that they left with."""
    import pyarrow as pa

    from tunescope.rows import open_rows

    written = list(open_rows([str(after.path)], like.layout.format, settings.columns))
    ordered = [mended[place] for place in range(len(items))]
    ids = [row.id for row in items]
    table = {
        "row_id": pa.array(ids),
        "file": pa.array([row.file for row in items]),
        "line": pa.array([row.line for row in items], pa.int64()),
        "action": pa.array(after.actions),
        "status": pa.array([m.status for m in ordered], pa.string()),
        "reason": pa.array([m.reason for m in ordered]),
        "new_row_id": pa.array([row.id for row in written]),
        "call_ids": pa.array([calls.get(place, ()) for place in range(len(items))], pa.list_(pa.string())),
    }
    for name, kind in mender.columns.items():
        table[name] = pa.array([m.columns.get(name) for m in ordered], pa.type_for_alias(kind))
    folder.table("repairs", pa.table(table))
    where = {name: [getattr(row, name) for row in written] for name in ("file", "line")}
    folder.table("repaired", pa.table({"row_id": table["new_row_id"], **where, "was_row_id": ids}))


def _renewed(
    mender: Repair, like: RowFile, row: Row, pair: Pair | None, mended: Mended, calls: tuple[str, ...]
) -> tuple[Row, Mended]:
    """Return the row as it leaves, with the step in its lineage where the oracle was asked, and what came of it."""
    from tunescope.rows import LineageStep

    if pair is None or not calls:
        return row, mended
    hashes = "+".join(mender.sources.values())
    step = LineageStep(mender.name, mender.version, (row.id,), mended.reason, hashes, calls, notes=mended.notes)
    instruction = pair.instruction if mended.instruction is None else mended.instruction
    response = pair.response if mended.response is None else mended.response
    old = {"instruction": pair.instruction} if instruction != pair.instruction else {}
    old |= {"response": pair.response} if response != pair.response else {}
    if not old:
        return replace(row, lineage=(*row.lineage, step)), mended
    new = row.with_messages(pair.messages(instruction, response), replace(step, old=old))
    try:
        like.layout.render(new)
    except WorkError as error:
        mended = replace(mended, status="fallback", reason=f"format: {error}", instruction=None, response=None)
        return replace(row, lineage=(*row.lineage, replace(step, reason=mended.reason))), mended
    return new, mended


def _outcome(
    settings: RepairSettings,
    mender: Repair,
    folder: RunFolder,
    items: Sequence[Row],
    mended: Mapping[int, Mended],
    after: _After,
    caller: Caller,
    rejected: int,
) -> Outcome:
    from tunescope.oracle.caller import describe_usage

    ordered = [mended[place] for place in range(len(items))]
    told = mender.told(ordered, folder.path, after.path)
    counts = Counter(after.actions)
    because = Counter(
        m.reason.partition(":")[0] for m, action in zip(ordered, after.actions, strict=True) if action == "kept"
    )
    statuses = Counter(m.status for m in ordered)
    failed = sum(m.reason.startswith("failed:") for m in ordered)
    result: dict[str, Any] = {
        "rows": len(items),
        "kept": counts["kept"],
        "changed": counts["changed"],
        "dropped": 0,
        "kept_by": dict(sorted(because.items())),
        "statuses": {status: statuses[status] for status in STATUSES},
        "failed": failed,
        "rejected": rejected,
        "tokens": {"prompt": caller.budget.prompt_tokens, "completion": caller.budget.completion_tokens},
        "cost": caller.budget.cost,
        "oracle_model": caller.model,
        "replies": caller.reply_format,
        "files": {"rows": after.path.name},
        **told.result,
    }
    usage = describe_usage(caller, settings.journal is not None)
    listed = ", ".join(f"{name} {count:,}" for name, count in because.most_common())
    sentences = [
        f"{len(items):,} rows in = {counts['kept']:,} kept{f' ({listed})' if listed else ''} + "
        f"{counts['changed']:,} changed + 0 dropped.",
        *told.sentences,
        f"Rows: {after.path}. What happened to each is in the table repairs. {usage}. Every reply is in the journal.",
    ]
    if rejected:
        sentences.append(rejected_sentence(rejected))
    cells = tuple((status, statuses[status]) for status in STATUSES)
    undefined = len(items) - sum(statuses[status] for status in STATUSES) - failed
    note = "Replies by status; failed: no reply could be had; not asked: the repair isn't defined for the row."
    tables = [Table("Replies", ("status", "rows"), (*cells, ("failed", failed), ("not asked", undefined)), note)]
    odd = [
        (row.id, f"{row.file}:{row.line}", m.reason)
        for row, m, action in zip(items, ordered, after.actions, strict=True)
        if action == "kept" and m.status != "ok"
    ]
    if odd:
        more = f"The first {SHOWN} of {len(odd):,}." if len(odd) > SHOWN else ""
        tables.append(Table("Kept as they were", ("row id", "place", "reason"), tuple(odd[:SHOWN]), more))
    return Outcome(result, View(tuple(sentences), (*told.tables, *tables), told.next))
