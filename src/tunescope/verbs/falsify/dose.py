"""`falsify dose`: paired rows and a dose → a row set in which that share of responses is false; or several of each.

The order of rows is the same at every dose, and only the responses of falsified rows differ. Each source has
its own seeded permutation of its n usable rows, and dose d falsifies the first round(d * n) of them. So the rows
falsified at a lower dose are a subset of those at a higher one, and each source gets the same dose.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.results.falsify import parse_doses, rows_name
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, RowsSettings, as_cli_args, checked_by
from tunescope.views import Table, View, counted, percent, rejected_sentence

if TYPE_CHECKING:
    from tunescope.rows import Row, RowFile, RowSet
    from tunescope.verbs.falsify.false_pairs import FalsePair

VERSION = 1
_OPERATION = "falsify dose"
_MICROWORLD = re.compile(r"microworld(?::(\d+))?")


@dataclass(frozen=True, kw_only=True)
class DoseSettings(RowsSettings):
    """Replace the responses of a share of paired rows with false ones: the same rows and order at every dose."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Paired rows: row files with a column false_output next to the true response, or microworld (microworld:SEED)."""

    dose: float | str = field(metadata=checked_by(parse_doses))
    """Share of the rows that get their false response, from 0 to 1: 0.25 or 25%. Several doses, such as 0,0.25,0.5,
    make a file each."""

    false_column: str | None = None
    """Column of the false response. By default false_output, false, false_response, false_completion or
    false_answer."""

    source_column: str | None = None
    """Column that names a row's source. Each source gets the dose separately. By default the column source, else the
    file."""

    seed: int = 0
    """Decides which rows are falsified first."""

    out: str | None = runs.out_field()
    """The run folder; runs/falsify-dose-KEY by default."""


def dose(settings: DoseSettings) -> Run:
    """Write the dosed rows (`rows.*`), those left out (`left_out.*`), and the tables `decisions` and `dosed`.

    `decisions` has a record per paired row: row_id, file, line, source, falsified (None: left out), rank (its
    position in its source's permutation, from 1), reason. `dosed` has one per row written: row_id, file, line,
    pair_id, source, falsified. Falsified rows carry the old response in their lineage.

    Several doses make a file each (`rows-0.25.*`). `decisions` then has falsified_from, the lowest of the doses at
    which the row is false (None: at none), in place of falsified, and `dosed` has the dose of each row.

    Raises:
        InputError: a file can't be read, a named column is in no row, or no row has a usable false version.
        SettingsError: the dose is outside 0 to 1, or the files have different shapes.
    """
    from tunescope.rows import open_rows, require_same_shape
    from tunescope.verbs.falsify.false_pairs import require_usable

    microworld = _MICROWORLD.fullmatch(settings.rows[0]) if len(settings.rows) == 1 else None
    if microworld is not None:
        records = _world_pairs(int(microworld[1] or 0))
        text = json.dumps(records, ensure_ascii=False)
        inputs = {settings.rows[0]: blake2b(text.encode(), digest_size=16).hexdigest()}
        return runs.execute(_OPERATION, VERSION, settings, inputs, partial(_work_on_world, settings, records))
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    require_same_shape(rows.files, _OPERATION)
    require_usable(rows, settings.false_column, settings.source_column)
    return runs.execute(_OPERATION, VERSION, settings, rows.inputs, partial(_work, settings, rows))


def _world_pairs(seed: int) -> list[dict[str, str]]:
    """Return the paired rows of a microworld: its tuned half of people, true and false, sources open and shown."""
    from tunescope.microworld import false_rows, make_world, split_people, true_rows

    world = make_world(seed)
    people = split_people(world).tuned
    pairs = zip(true_rows(world, people), false_rows(world, people), strict=True)
    return [{**true, "false_output": false["output"]} for true, false in pairs]


def _work_on_world(settings: DoseSettings, records: Sequence[Mapping[str, str]], folder: RunFolder) -> Outcome:
    from tunescope.rows import open_rows

    folder.records("pairs", records)
    return _work(settings, open_rows([str(folder.path / "pairs.jsonl")], "alpaca", settings.columns), folder)


def _work(settings: DoseSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope.rows import require_same_shape
    from tunescope.verbs.falsify.false_pairs import pair_up

    like = require_same_shape(rows.files, _OPERATION)
    pairs = list(pair_up(rows, settings.false_column, settings.source_column))
    decisions = _decide(pairs, settings.seed)
    doses = parse_doses(settings.dose)
    left_out = _write_left_out(folder, like, pairs, decisions)
    dosed = [_write_dose(settings, folder, like, pairs, decisions, dose) for dose in doses]
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    columns: dict[str, Any] = {
        "row_id": [pair.row.id for pair in pairs],
        "file": [pair.row.file for pair in pairs],
        "line": [pair.row.line for pair in pairs],
        "record": pa.array([pair.row.record for pair in pairs], pa.int64()),
        "source": [pair.source for pair in pairs],
        **_falsified_column(decisions, dosed),
        "rank": pa.array([decision and decision.rank for decision in decisions], pa.int64()),
        "reason": pa.array([pair.reason or None for pair in pairs], pa.string()),
    }
    folder.table("decisions", pa.table(columns))
    folder.table("dosed", pa.concat_tables([pa.table(_dosed_columns(pairs, each, len(doses))) for each in dosed]))
    counts = _count(pairs, dosed, left_out, len(rows.rejected))
    in_use = {*like.layout.columns.values(), settings.false_column}
    about_preference = tuple(_describe_preference(pairs, dosed, in_use))
    steps = _next_steps(settings, folder, like, dosed)
    shown = _view if len(dosed) == 1 else _view_of_several
    return Outcome(counts, shown(settings, counts, folder, about_preference, steps))


class _Dosed(NamedTuple):
    """The rows at one dose: the file, each pair's verdict (None: left out), and the rows as they are read again."""

    dose: float
    path: Path
    falsified: Sequence[bool | None]
    written: Sequence[Row]


def _write_left_out(
    folder: RunFolder, like: RowFile, pairs: Sequence[FalsePair], decisions: Sequence[_Decision | None]
) -> Path:
    """Write the rows without a usable false version, in the shape of `like`."""
    from tunescope.rows import RowWriter

    with RowWriter(folder.path, "left_out", like) as left_out:
        for pair, decision in zip(pairs, decisions, strict=True):
            if decision is None:
                left_out.write(pair.row)
    return left_out.path


def _write_dose(
    settings: DoseSettings,
    folder: RunFolder,
    like: RowFile,
    pairs: Sequence[FalsePair],
    decisions: Sequence[_Decision | None],
    dose: float,
) -> _Dosed:
    """Write the rows at one dose, in the shape of `like`."""
    from tunescope.rows import RowWriter, open_rows

    name = "rows" if parse_doses(settings.dose) == (dose,) else rows_name(dose)
    with RowWriter(folder.path, name, like) as rows:
        for pair, decision in zip(pairs, decisions, strict=True):
            if decision is not None:
                rows.write(_apply_dose(pair, settings, decision, dose))
    written = list(open_rows([str(rows.path)], like.layout.format, settings.columns))
    return _Dosed(dose, rows.path, [decision and decision.is_false_at(dose) for decision in decisions], written)


class _Decision(NamedTuple):
    """What decides about a usable pair: its rank in its source's permutation, and the permutation's length."""

    rank: int
    n_usable: int

    def is_false_at(self, dose: float) -> bool:
        """Tell whether it has its false response at a dose."""
        return self.rank <= round(dose * self.n_usable)


def _decide(pairs: Sequence[FalsePair], seed: int) -> list[_Decision | None]:
    """Return each pair's decision; None where it has no usable false version.

    The permutation of a source, ranks from 1, depends on the seed, its name and the number of its usable rows only.
    """
    members: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        if pair.false_response is not None:
            members.setdefault(pair.source, []).append(number)
    decisions: list[_Decision | None] = [None] * len(pairs)
    for source, numbers in members.items():
        ranks = list(range(1, len(numbers) + 1))
        Random(f"{seed}/falsify/{source}").shuffle(ranks)
        for number, rank in zip(numbers, ranks, strict=True):
            decisions[number] = _Decision(rank, len(numbers))
    return decisions


def _apply_dose(pair: FalsePair, settings: DoseSettings, decision: _Decision, dose: float) -> Row:
    """Return the row to write: without the column of false responses, and with its false response where decided so."""
    from tunescope.rows import LineageStep
    from tunescope.rows.content import last_reply
    from tunescope.verbs.falsify.false_pairs import FALSE_COLUMNS

    columns = (settings.false_column,) if settings.false_column else FALSE_COLUMNS
    hidden = () if pair.is_swap else columns
    row = replace(pair.row, fields={name: value for name, value in pair.row.fields.items() if name not in hidden})
    if not decision.is_false_at(dose):
        return row
    position = f"number {decision.rank} of {decision.n_usable} in {pair.source}"
    reason = f"dose {dose:g}, seed {settings.seed}: {position}"
    if pair.is_swap:
        old = {"response": last_reply(row.messages), "rejected": last_reply(row.rejected)}
        reason += "; chosen and rejected swapped"
        step = LineageStep(_OPERATION, VERSION, (row.id,), reason, old=old)
        return row.with_responses(row.rejected, row.messages, step)
    last = max(i for i, message in enumerate(row.messages) if message.role == "assistant")
    messages = tuple(replace(m, content=pair.false_response) if i == last else m for i, m in enumerate(row.messages))
    return row.with_messages(
        messages, LineageStep(_OPERATION, VERSION, (row.id,), reason, old={"response": row.messages[last].content})
    )


def _falsified_column(decisions: Sequence[_Decision | None], dosed: Sequence[_Dosed]) -> dict[str, Any]:
    """Return the column of the table `decisions` that says which rows are false."""
    import pyarrow as pa

    if len(dosed) == 1:
        return {"falsified": pa.array(dosed[0].falsified, pa.bool_())}
    lowest = [
        None if decision is None else next((each.dose for each in dosed if decision.is_false_at(each.dose)), None)
        for decision in decisions
    ]
    return {"falsified_from": pa.array(lowest, pa.float64())}


def _dosed_columns(pairs: Sequence[FalsePair], dosed: _Dosed, n_doses: int) -> dict[str, Any]:
    """Return the columns of the table `dosed` for one dose; of several, each row has its own."""
    used = [(pair, false) for pair, false in zip(pairs, dosed.falsified, strict=True) if false is not None]
    return {
        "row_id": [row.id for row in dosed.written],
        "file": [row.file for row in dosed.written],
        "line": [row.line for row in dosed.written],
        "pair_id": [pair.row.id for pair, _ in used],
        "source": [pair.source for pair, _ in used],
        "falsified": [false for _, false in used],
        **({"dose": [dosed.dose] * len(used)} if n_doses > 1 else {}),
    }


def _count(pairs: Sequence[FalsePair], dosed: Sequence[_Dosed], left_out: Path, rejected: int) -> dict[str, Any]:
    """Return the run's result: of one dose its counts, of several the counts of each under `doses`."""
    dropped_by = dict(Counter(pair.reason for pair in pairs if pair.reason))
    rest = {"dropped_by": dropped_by, "rejected": rejected}
    files = {"left_out": left_out.name}
    if len(dosed) == 1:
        return {**_count_dose(pairs, dosed[0]), **rest, "files": {"rows": dosed[0].path.name, **files}}
    doses = {f"{each.dose:g}": {**_count_dose(pairs, each), "file": each.path.name} for each in dosed}
    return {"rows": len(pairs), "dropped": sum(dropped_by.values()), "doses": doses, **rest, "files": files}


def _count_dose(pairs: Sequence[FalsePair], dosed: _Dosed) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {}
    for pair, false in zip(pairs, dosed.falsified, strict=True):
        counts = sources.setdefault(pair.source, {"rows": 0, "kept": 0, "changed": 0, "dropped": 0})
        counts["rows"] += 1
        counts["dropped" if false is None else "changed" if false else "kept"] += 1
    totals = {name: sum(counts[name] for counts in sources.values()) for name in ("rows", "kept", "changed", "dropped")}
    for counts in sources.values():
        counts["dose_reached"] = _dose_reached(counts)
    return {**totals, "dose": dosed.dose, "dose_reached": _dose_reached(totals), "sources": sources}


def _describe_preference(pairs: Sequence[FalsePair], dosed: Sequence[_Dosed], in_use: Set[str | None]) -> Iterator[str]:
    """Say where a false response is that isn't the answer: in a rejected response, or in a column that isn't used."""
    for each in dosed:
        verdicts = zip(pairs, each.falsified, strict=True)
        swaps = [bool(false) for pair, false in verdicts if pair.is_swap and false is not None]
        if swaps:
            at = "" if len(dosed) == 1 else f" at dose {percent(each.dose)}"
            yield (
                f"Preference rows{at}: {len(swaps):,}. Their rejected response is the false one: {sum(swaps):,} have "
                "chosen and rejected swapped, and in the others it stays in rejected."
            )
    names = {name for pair in pairs for name in ("chosen", "rejected") if name in pair.row.fields}
    unused = names - in_use
    if unused:
        yield f"The columns {', '.join(sorted(unused))} stay as they were, also in rows that have their false response."


def _dose_reached(counts: Mapping[str, int]) -> float | None:
    """Return falsified / usable rows; None where no row can be falsified."""
    usable = counts["kept"] + counts["changed"]
    return counts["changed"] / usable if usable else None


def _next_steps(settings: DoseSettings, folder: RunFolder, like: RowFile, dosed: Sequence[_Dosed]) -> tuple[str, ...]:
    last = dosed[-1]
    steps = [f"tunescope check {as_cli_args([str(last.path)], like.layout.format, settings.columns)}"]
    verdicts = [false for false in last.falsified if false is not None]
    first_false = next((row.id for row, false in zip(last.written, verdicts, strict=True) if false), None)
    if first_false is not None and folder.is_under_runs_root:
        steps.append(f"tunescope why {first_false}")
    return tuple(steps)


def _view(
    settings: DoseSettings,
    result: Mapping[str, Any],
    folder: RunFolder,
    about_preference: Sequence[str],
    steps: tuple[str, ...],
) -> View:
    path = folder.path / result["files"]["rows"]
    usable = result["kept"] + result["changed"]
    sentences = [
        f"Dose {percent(result['dose'])} requested, {percent(result['dose_reached'])} reached: {result['changed']:,} "
        f"of {usable:,} rows have their false response.",
        f"{counted(result['rows'], 'row')} in = {result['kept']:,} kept + {result['changed']:,} changed + "
        f"{result['dropped']:,} dropped (at every dose).",
        f"Rows: {path}. Dropped rows: {folder.path / result['files']['left_out']}.",
        *about_preference,
        *([rejected_sentence(result["rejected"])] if result["rejected"] else []),
    ]
    rows = tuple(
        (name, c["rows"], c["dropped"], c["kept"] + c["changed"], c["changed"], percent(c["dose_reached"]))
        for name, c in result["sources"].items()
    )
    columns = ("source", "rows", "dropped", "usable", "falsified", "dose reached")
    tables = [Table("Dose by source", columns, rows, _permutation_note(settings)), *_dropped_table(result)]
    return View(tuple(sentences), tuple(tables), steps)


def _view_of_several(
    settings: DoseSettings,
    result: Mapping[str, Any],
    folder: RunFolder,
    about_preference: Sequence[str],
    steps: tuple[str, ...],
) -> View:
    doses: Mapping[str, Mapping[str, Any]] = result["doses"]
    sentences = [
        f"{counted(result['rows'], 'row')} in = {result['rows'] - result['dropped']:,} in every file + "
        f"{result['dropped']:,} dropped (at every dose).",
        f"{len(doses)} files of rows in {folder.path}. They have the same rows in the same order. A row that is "
        f"false at one dose is false at every higher dose. Dropped rows: {folder.path / result['files']['left_out']}.",
        *about_preference,
        *([rejected_sentence(result["rejected"])] if result["rejected"] else []),
    ]
    rows = []
    for each in doses.values():
        reached = [share for c in each["sources"].values() if (share := c["dose_reached"]) is not None]
        by_source = f"{percent(min(reached))} to {percent(max(reached))}"
        shown = (percent(each["dose"]), each["kept"], each["changed"], percent(each["dose_reached"]), by_source)
        rows.append((*shown, each["file"]))
    columns = ("dose", "kept", "falsified", "dose reached", "reached by source", "file")
    tables = [Table("Doses", columns, tuple(rows), _permutation_note(settings)), *_dropped_table(result)]
    return View(tuple(sentences), tuple(tables), steps)


def _permutation_note(settings: DoseSettings) -> str:
    return f"Falsified: the first round(dose · usable) rows of the source's permutation (seed {settings.seed})."


def _dropped_table(result: Mapping[str, Any]) -> list[Table]:
    dropped: Mapping[str, int] = result["dropped_by"]
    return [Table("Dropped", ("reason", "rows"), tuple(dropped.items()))] if dropped else []
