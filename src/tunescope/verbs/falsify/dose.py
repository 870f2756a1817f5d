"""`falsify dose`: paired rows and a dose → a row set in which that share of responses is false.

The order of rows is the same at every dose, and only the responses of falsified rows differ. Each source has
its own seeded permutation of its usable rows; dose d falsifies the first round(d * n) of them. So a lower
dose's falsified rows are among a higher one's, and each source has its share.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import InputError, Problem
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, RowsSettings, as_cli_args, at_least
from tunescope.views import Table, View, percent

if TYPE_CHECKING:
    from tunescope.rows import Row, RowFile
    from tunescope.verbs.falsify.pairs import Pair

VERSION = 1
OPERATION = "falsify dose"
MICROWORLD = re.compile(r"microworld(?::(\d+))?")


@dataclass(frozen=True, kw_only=True)
class DoseSettings(RowsSettings):
    """Falsify a share of paired rows: the same rows in the same order at every dose."""

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Paired rows: row files with a column false_output beside the true response, or microworld (microworld:SEED)."""

    dose: float = field(metadata=at_least(0, at_most=1, hint="for example 0.25 for 25 %"))
    """Share of the rows that get their false response: 0 to 1."""

    false_column: str | None = None
    """Column of the false response; false_output, false or the like (false_response, false_answer) by default."""

    source_column: str | None = None
    """Column that names a row's source, each of which gets the dose by itself; source by default, else the file."""

    seed: int = 0
    """Decides which rows are falsified first."""

    out: str | None = runs.out_field()
    """The run folder; runs/falsify-dose-KEY by default."""


def dose(settings: DoseSettings) -> Run:
    """Write the dosed rows (`rows.*`), those left out (`left_out.*`), and the tables `decisions` and `dosed`.

    `decisions` has a record per paired row: row_id, file, line, source, falsified (None: left out), rank (its
    place in its source's permutation, from 1), reason. `dosed` has one per row written: row_id, file, line,
    pair_id, source, falsified. Falsified rows carry the old response in their lineage.

    Raises:
        InputError: files that can't be read, or no row with a usable false version.
        SettingsError: a dose outside 0 to 1, a column that isn't there, files of different shapes.
    """
    from tunescope.rows import open_rows

    world = MICROWORLD.fullmatch(settings.rows[0]) if len(settings.rows) == 1 else None
    if world is not None:
        records = world_pairs(int(world[1] or 0))
        text = json.dumps(records, ensure_ascii=False)
        inputs = {settings.rows[0]: blake2b(text.encode(), digest_size=16).hexdigest()}
        return runs.execute(OPERATION, VERSION, settings, inputs, partial(_work_on_world, settings, records))
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    return runs.execute(OPERATION, VERSION, settings, rows.inputs, partial(_work, settings, list(settings.rows)))


def world_pairs(seed: int) -> list[dict[str, str]]:
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

    from tunescope.rows import RowWriter, open_rows, same_shape
    from tunescope.verbs.falsify.pairs import pair_up

    opened = open_rows(files, settings.format, settings.columns, settings.on_bad)
    like = same_shape(opened.files, OPERATION)
    pairs = pair_up(iter(opened), settings.false_column, settings.source_column)
    if not any(pair.false is not None for pair in pairs):
        _refuse(files, pairs)
    ranks = rank(pairs, settings.seed)
    sizes = Counter(pair.source for pair in pairs if pair.false is not None)
    falsified = [
        None if place is None else place <= round(settings.dose * sizes[pair.source])
        for pair, place in zip(pairs, ranks, strict=True)
    ]
    with RowWriter(folder.path, "rows", like) as keeping, RowWriter(folder.path, "left_out", like) as leaving:
        for pair, place, false in zip(pairs, ranks, falsified, strict=True):
            if false is None:
                leaving.write(pair.row)
            else:
                keeping.write(dosed(pair, settings, false, f"{place} of {sizes[pair.source]} in {pair.source}"))
    if opened.rejected:
        folder.records("rejected", (item.as_json() for item in opened.rejected))
    columns: dict[str, Any] = {
        "row_id": [pair.row.id for pair in pairs],
        "file": [pair.row.file for pair in pairs],
        "line": [pair.row.line for pair in pairs],
        "source": [pair.source for pair in pairs],
        "falsified": pa.array(falsified, pa.bool_()),
        "rank": pa.array(ranks, pa.int64()),
        "reason": pa.array([pair.reason or None for pair in pairs], pa.string()),
    }
    folder.table("decisions", pa.table(columns))
    used = [(pair, false) for pair, false in zip(pairs, falsified, strict=True) if false is not None]
    written = list(open_rows([str(keeping.path)], like.layout.format, settings.columns))
    folder.table("dosed", pa.table(_written(written, used)))
    result = _result(settings, pairs, falsified, keeping.path.name, leaving.path.name, len(opened.rejected))
    first = next((row.id for row, (_, false) in zip(written, used, strict=True) if false), None)
    return Outcome(result, _view(settings, result, folder, first, like))


def _refuse(files: Sequence[str], pairs: Sequence[Pair]) -> None:
    """Raise the report of why no row can be falsified, one problem per reason."""
    first: dict[str, Row] = {}
    for pair in pairs:
        first.setdefault(pair.reason, pair.row)
    problems = [Problem(row.file, row.line, reason, "a usable false version") for reason, row in first.items()]
    found = ", ".join(sorted({name for pair in pairs for name in pair.row.fields})[:20])
    step = f"No row of {', '.join(files)} can be falsified (columns: {found}). Name the column with --false-column."
    raise InputError(problems, step)


def rank(pairs: Sequence[Pair], seed: int) -> list[int | None]:
    """Return each pair's place, from 1, in its source's permutation; None where it can't be falsified.

    The permutation of a source depends on the seed, its name and the number of its usable rows only.
    """
    members: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        if pair.false is not None:
            members.setdefault(pair.source, []).append(number)
    ranks: list[int | None] = [None] * len(pairs)
    for source, numbers in members.items():
        places = list(range(1, len(numbers) + 1))
        Random(f"{seed}/falsify/{source}").shuffle(places)
        for number, place in zip(numbers, places, strict=True):
            ranks[number] = place
    return ranks


def dosed(pair: Pair, settings: DoseSettings, false: bool, place: str) -> Row:
    """Return the row as it is written: without the column of false responses, and falsified where it is to be."""
    from tunescope.rows import Step
    from tunescope.verbs.falsify.pairs import FALSE_COLUMNS

    hidden = (settings.false_column,) if settings.false_column else FALSE_COLUMNS
    row = replace(pair.row, fields={name: value for name, value in pair.row.fields.items() if name not in hidden})
    if not false:
        return row
    last = max(i for i, message in enumerate(row.messages) if message.role == "assistant")
    messages = tuple(replace(m, content=pair.false) if i == last else m for i, m in enumerate(row.messages))
    reason = f"dose {settings.dose:g}, seed {settings.seed}: number {place}"
    return row.changed(
        messages, Step(OPERATION, VERSION, (row.id,), reason, old={"response": row.messages[last].content})
    )


def _written(written: Sequence[Row], used: Sequence[tuple[Pair, bool]]) -> dict[str, Any]:
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
    pairs: Sequence[Pair],
    falsified: Sequence[bool | None],
    kept_in: str,
    left_in: str,
    rejected: int,
) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {}
    for pair, false in zip(pairs, falsified, strict=True):
        counts = sources.setdefault(pair.source, {"rows": 0, "kept": 0, "changed": 0, "dropped": 0})
        counts["rows"] += 1
        counts["dropped" if false is None else "changed" if false else "kept"] += 1
    whole = {name: sum(counts[name] for counts in sources.values()) for name in ("rows", "kept", "changed", "dropped")}
    for counts in sources.values():
        counts["dose_reached"] = _reached(counts)
    return {
        **whole,
        "dose": settings.dose,
        "dose_reached": _reached(whole),
        "sources": sources,
        "dropped_by": dict(Counter(pair.reason for pair in pairs if pair.reason)),
        "rejected": rejected,
        "files": {"rows": kept_in, "left_out": left_in},
    }


def _reached(counts: Mapping[str, int]) -> float | None:
    """Return falsified / usable rows; None where no row can be falsified."""
    usable = counts["kept"] + counts["changed"]
    return counts["changed"] / usable if usable else None


def _view(
    settings: DoseSettings, result: Mapping[str, Any], folder: RunFolder, first: str | None, like: RowFile
) -> View:
    path = folder.path / result["files"]["rows"]
    usable = result["kept"] + result["changed"]
    sentences = [
        f"Dose {percent(settings.dose)} asked, {percent(result['dose_reached'])} reached: {result['changed']:,} of "
        f"{usable:,} rows have their false response.",
        f"{result['rows']:,} rows in = {result['kept']:,} kept + {result['changed']:,} changed + {result['dropped']:,} "
        "dropped (at every dose).",
        f"The rows: {path}; the others: {folder.path / result['files']['left_out']}.",
    ]
    if result["rejected"]:
        sentences.append(f"{result['rejected']:,} records couldn't be read and are in rejected.jsonl.")
    rows = tuple(
        (name, c["rows"], c["dropped"], c["kept"] + c["changed"], c["changed"], percent(c["dose_reached"]))
        for name, c in result["sources"].items()
    )
    columns = ("source", "rows", "dropped", "usable", "falsified", "dose reached")
    note = f"Falsified = the first round(dose · usable) of the source's permutation (seed {settings.seed})."
    tables = [Table("Dose by source", columns, rows, note)]
    if result["dropped_by"]:
        tables.append(Table("Dropped", ("reason", "rows"), tuple(result["dropped_by"].items())))
    steps = [f"tunescope check {as_cli_args([str(path)], like.layout.format, settings.columns)}"]
    if first is not None and folder.is_at_home:
        steps.append(f"tunescope why {first}")
    return View(tuple(sentences), tuple(tables), tuple(steps))
