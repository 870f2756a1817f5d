"""`falsify dose`: paired rows and a dose → a row set in which that share of responses is false.

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
from tunescope.errors import InputError, Problem
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, RowsSettings, as_cli_args, at_least
from tunescope.views import Table, View, counted, percent, rejected_sentence

if TYPE_CHECKING:
    from tunescope.rows import Row, RowFile
    from tunescope.verbs.falsify.false_pairs import FalsePair

VERSION = 1
_OPERATION = "falsify dose"
_MICROWORLD = re.compile(r"microworld(?::(\d+))?")


@dataclass(frozen=True, kw_only=True)
class DoseSettings(RowsSettings):
    """Give a share of paired rows their false response: the same rows in the same order at every dose."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Paired rows: row files with a column false_output beside the true response, or microworld (microworld:SEED)."""

    dose: float = field(metadata=at_least(0, at_most=1, hint="for example 0.25 for 25 %"))
    """Share of the rows that get their false response, from 0 to 1."""

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

    Raises:
        InputError: a file can't be read, or no row has a usable false version.
        SettingsError: the dose is outside 0 to 1, a named column is missing, or the files have different shapes.
    """
    from tunescope.rows import open_rows

    microworld = _MICROWORLD.fullmatch(settings.rows[0]) if len(settings.rows) == 1 else None
    if microworld is not None:
        records = _world_pairs(int(microworld[1] or 0))
        text = json.dumps(records, ensure_ascii=False)
        inputs = {settings.rows[0]: blake2b(text.encode(), digest_size=16).hexdigest()}
        return runs.execute(_OPERATION, VERSION, settings, inputs, partial(_work_on_world, settings, records))
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    return runs.execute(_OPERATION, VERSION, settings, rows.inputs, partial(_work, settings, list(settings.rows)))


def _world_pairs(seed: int) -> list[dict[str, str]]:
    """Return the paired rows of a microworld: its tuned half of people, true and false, sources open and shown."""
    from tunescope.microworld import false_rows, make_world, split_people, true_rows

    world = make_world(seed)
    people = split_people(world).tuned
    pairs = zip(true_rows(world, people), false_rows(world, people), strict=True)
    return [{**true, "false_output": false["output"]} for true, false in pairs]


def _work_on_world(settings: DoseSettings, records: Sequence[Mapping[str, str]], folder: RunFolder) -> Outcome:
    folder.records("pairs", records)
    return _work(replace(settings, format="alpaca"), [str(folder.path / "pairs.jsonl")], folder)


def _work(settings: DoseSettings, files: Sequence[str], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope.rows import open_rows, require_same_shape
    from tunescope.verbs.falsify.false_pairs import pair_up

    rows = open_rows(files, settings.format, settings.columns, settings.on_bad)
    like = require_same_shape(rows.files, _OPERATION)
    pairs = pair_up(iter(rows), settings.false_column, settings.source_column)
    if not any(pair.false_response is not None for pair in pairs):
        raise _nothing_usable(files, pairs)
    decisions = _decide(pairs, settings.dose, settings.seed)
    falsified = [None if decision is None else decision.falsify for decision in decisions]
    paths = _write_rows(settings, folder, like, pairs, decisions)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    columns: dict[str, Any] = {
        "row_id": [pair.row.id for pair in pairs],
        "file": [pair.row.file for pair in pairs],
        "line": [pair.row.line for pair in pairs],
        "record": pa.array([pair.row.record for pair in pairs], pa.int64()),
        "source": [pair.source for pair in pairs],
        "falsified": pa.array(falsified, pa.bool_()),
        "rank": pa.array([decision and decision.rank for decision in decisions], pa.int64()),
        "reason": pa.array([pair.reason or None for pair in pairs], pa.string()),
    }
    folder.table("decisions", pa.table(columns))
    used = [(pair, false) for pair, false in zip(pairs, falsified, strict=True) if false is not None]
    written = list(open_rows([str(paths.rows)], like.layout.format, settings.columns))
    folder.table("dosed", pa.table(_dosed_columns(written, used)))
    result = _result(settings, pairs, falsified, paths, len(rows.rejected))
    first_falsified = next((row.id for row, (_, false) in zip(written, used, strict=True) if false), None)
    in_use = {*like.layout.columns.values(), settings.false_column}
    about_preference = tuple(_describe_preference(pairs, falsified, in_use))
    return Outcome(result, _view(settings, result, folder, first_falsified, like, about_preference))


class _Paths(NamedTuple):
    """The two files of rows that a run writes."""

    rows: Path
    left_out: Path


def _write_rows(
    settings: DoseSettings,
    folder: RunFolder,
    like: RowFile,
    pairs: Sequence[FalsePair],
    decisions: Sequence[_Decision | None],
) -> _Paths:
    """Write the rows at this dose, and those without a usable false version, in the shape of `like`."""
    from tunescope.rows import RowWriter

    with RowWriter(folder.path, "rows", like) as rows, RowWriter(folder.path, "left_out", like) as left_out:
        for pair, decision in zip(pairs, decisions, strict=True):
            if decision is None:
                left_out.write(pair.row)
            else:
                rows.write(_apply_dose(pair, settings, decision))
    return _Paths(rows.path, left_out.path)


def _nothing_usable(files: Sequence[str], pairs: Sequence[FalsePair]) -> InputError:
    """Return the error that says why no row can be falsified, with one problem per reason."""
    first: dict[str, Row] = {}
    for pair in pairs:
        first.setdefault(pair.reason, pair.row)
    problems = [Problem.at(row.location, reason, "a usable false version") for reason, row in first.items()]
    columns = ", ".join(sorted({name for pair in pairs for name in pair.row.fields})[:20])
    step = f"No row of {', '.join(files)} can be falsified (columns: {columns}). Name the column with --false-column."
    return InputError(problems, step)


class _Decision(NamedTuple):
    """What happens to a usable pair: its rank in its source's permutation, the permutation's length, the verdict."""

    rank: int
    n_usable: int
    falsify: bool


def _decide(pairs: Sequence[FalsePair], dose: float, seed: int) -> list[_Decision | None]:
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
            decisions[number] = _Decision(rank, len(numbers), rank <= round(dose * len(numbers)))
    return decisions


def _apply_dose(pair: FalsePair, settings: DoseSettings, decision: _Decision) -> Row:
    """Return the row to write: without the column of false responses, and with its false response where decided so."""
    from tunescope.rows import LineageStep
    from tunescope.rows.content import last_reply
    from tunescope.verbs.falsify.false_pairs import FALSE_COLUMNS

    columns = (settings.false_column,) if settings.false_column else FALSE_COLUMNS
    hidden = () if pair.is_swap else columns
    row = replace(pair.row, fields={name: value for name, value in pair.row.fields.items() if name not in hidden})
    if not decision.falsify:
        return row
    position = f"number {decision.rank} of {decision.n_usable} in {pair.source}"
    reason = f"dose {settings.dose:g}, seed {settings.seed}: {position}"
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


def _dosed_columns(written: Sequence[Row], used: Sequence[tuple[FalsePair, bool]]) -> dict[str, Any]:
    """Return the columns of the table `dosed`."""
    return {
        "row_id": [row.id for row in written],
        "file": [row.file for row in written],
        "line": [row.line for row in written],
        "pair_id": [pair.row.id for pair, _ in used],
        "source": [pair.source for pair, _ in used],
        "falsified": [false for _, false in used],
    }


def _result(
    settings: DoseSettings,
    pairs: Sequence[FalsePair],
    falsified: Sequence[bool | None],
    paths: _Paths,
    rejected: int,
) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {}
    for pair, false in zip(pairs, falsified, strict=True):
        counts = sources.setdefault(pair.source, {"rows": 0, "kept": 0, "changed": 0, "dropped": 0})
        counts["rows"] += 1
        counts["dropped" if false is None else "changed" if false else "kept"] += 1
    totals = {name: sum(counts[name] for counts in sources.values()) for name in ("rows", "kept", "changed", "dropped")}
    for counts in sources.values():
        counts["dose_reached"] = _dose_reached(counts)
    return {
        **totals,
        "dose": settings.dose,
        "dose_reached": _dose_reached(totals),
        "sources": sources,
        "dropped_by": dict(Counter(pair.reason for pair in pairs if pair.reason)),
        "rejected": rejected,
        "files": {"rows": paths.rows.name, "left_out": paths.left_out.name},
    }


def _describe_preference(
    pairs: Sequence[FalsePair], falsified: Sequence[bool | None], in_use: Set[str | None]
) -> Iterator[str]:
    """Say where a false response is that isn't the answer: in a rejected response, or in a column that isn't used."""
    swaps = [bool(false) for pair, false in zip(pairs, falsified, strict=True) if pair.is_swap and false is not None]
    if swaps:
        yield (
            f"Preference rows: {len(swaps):,}. Their rejected response is the false one: {sum(swaps):,} have chosen "
            "and rejected swapped, and in the others it stays in rejected."
        )
    names = {name for pair in pairs for name in ("chosen", "rejected") if name in pair.row.fields}
    unused = names - in_use
    if unused:
        yield f"The columns {', '.join(sorted(unused))} stay as they were, also in rows that have their false response."


def _dose_reached(counts: Mapping[str, int]) -> float | None:
    """Return falsified / usable rows; None where no row can be falsified."""
    usable = counts["kept"] + counts["changed"]
    return counts["changed"] / usable if usable else None


def _view(
    settings: DoseSettings,
    result: Mapping[str, Any],
    folder: RunFolder,
    first_falsified: str | None,
    like: RowFile,
    about_preference: Sequence[str],
) -> View:
    path = folder.path / result["files"]["rows"]
    usable = result["kept"] + result["changed"]
    sentences = [
        f"Dose {percent(settings.dose)} requested, {percent(result['dose_reached'])} reached: {result['changed']:,} of "
        f"{usable:,} rows have their false response.",
        f"{counted(result['rows'], 'row')} in = {result['kept']:,} kept + {result['changed']:,} changed + "
        f"{result['dropped']:,} dropped (at every dose).",
        f"Rows: {path}. Dropped rows: {folder.path / result['files']['left_out']}.",
    ]
    sentences += about_preference
    if result["rejected"]:
        sentences.append(rejected_sentence(result["rejected"]))
    rows = tuple(
        (name, c["rows"], c["dropped"], c["kept"] + c["changed"], c["changed"], percent(c["dose_reached"]))
        for name, c in result["sources"].items()
    )
    columns = ("source", "rows", "dropped", "usable", "falsified", "dose reached")
    note = f"Falsified: the first round(dose · usable) rows of the source's permutation (seed {settings.seed})."
    tables = [Table("Dose by source", columns, rows, note)]
    if result["dropped_by"]:
        tables.append(Table("Dropped", ("reason", "rows"), tuple(result["dropped_by"].items())))
    steps = [f"tunescope check {as_cli_args([str(path)], like.layout.format, settings.columns)}"]
    if first_falsified is not None and folder.is_under_runs_root:
        steps.append(f"tunescope why {first_falsified}")
    return View(tuple(sentences), tuple(tables), tuple(steps))
