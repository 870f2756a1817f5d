"""`select`: keep some rows, and give a reason for each of the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tunescope import expressions, runs
from tunescope.errors import ExpressionError, RunError, SettingsError
from tunescope.locations import Location
from tunescope.models.embedded import DEFAULT
from tunescope.oracle.api import refuse_secrets
from tunescope.results.select import Decisions, KeptTokens
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings, above, as_cli_args, at_least, group
from tunescope.views import Table, View, counted, rejected_sentence

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.models.training_rows import TokenCount
    from tunescope.rows import RowFile, RowSet, RowWriter

VERSION = 1
_EXAMPLES = 5
"""Dropped rows that the view shows."""
_FROM_ALL = " from all rows"
"""The end of a control's reason where the rows that were kept are too few to draw from."""
_PLACE = ("row_id", "file", "line")
_TOKENS = group("Tokens")


@dataclass(frozen=True, kw_only=True)
class SelectSettings(RowsSettings):
    """Keep the rows that meet a condition, rank highest, or are drawn at random."""

    from_: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Run folders whose tables are joined on row_id. Their columns can be named in --where and --by."""

    where: str | None = None
    """Keep the rows for which this holds, for example "ifd_ppl < 1 and near_duplicate = false"."""

    top: int | None = field(default=None, metadata=at_least(0))
    """Of the remaining rows, keep this many with the highest --by."""

    by: str | None = None
    """The number that --top and --tokens rank by. Rows with the same number stay in file order."""

    ascending: bool = False
    """Rank the lowest number first instead."""

    sample: int | None = field(default=None, metadata=at_least(0))
    """Of the remaining rows, keep this many, drawn at random. They stay in file order."""

    tokens: int | None = field(default=None, metadata={**_TOKENS, **INPUT, **at_least(1)})
    """Of the remaining rows, keep the first that fit into this many tokens: those with the highest --by or, without
    --by, in random order. Tokens are counted as tune reads a row: prompt and response, in the model's chat template."""

    model: str = field(default=DEFAULT, metadata={**_TOKENS, **INPUT, "refuse": refuse_secrets})
    """The model whose tokenizer counts --tokens."""

    max_length: int = field(default=1024, metadata={**_TOKENS, **INPUT, **at_least(1)})
    """Maximum length of a row in tokens, as tune cuts it. Tokens beyond it aren't counted."""

    control_of: str | None = field(default=None, metadata=INPUT)
    """A run of select to make a control for: drop as many rows as it dropped, at random, from those that it kept (from
    all rows if it kept fewer). Rows that earlier runs of select dropped before it count too."""

    part_of: str | None = field(default=None, metadata=INPUT)
    """A run of select: drop only a part of the rows that it dropped, those with the highest --by (with --ascending, the
    lowest). Rows that earlier runs of select dropped before it count too."""

    part: float = field(default=0.5, metadata={**INPUT, **above(0, at_most=1)})
    """With --part-of: the share of those rows to drop."""

    seed: int = 0
    """The seed of --sample, of --control-of and of --tokens without --by."""

    out: str | None = runs.out_field()
    """The run folder; runs/select-KEY by default."""


def select(settings: SelectSettings) -> Run:
    """Write the kept rows (`rows.*`), the dropped rows (`dropped.*`) and a reason for each (`decisions`).

    Both files have the format and container of the input. `decisions` has row_id, file, line,
    record, kept and reason; with --tokens also tokens and supervised_tokens, those of each row (0 where it can't be
    trained on).

    Raises:
        InputError: rows that can't be read.
        SettingsError: nothing to select by, or options that don't go together.
        ExpressionError: a --where that doesn't parse, or names no column.
        RunError: a run that is missing, or was made on other rows.
        TunescopeError: with --tokens, no such model, or one without a tokenizer.
        MissingPackageError: with --tokens, transformers isn't installed.
    """
    from tunescope.rows import open_rows

    _validate(settings)
    if settings.where is not None:
        expressions.parse(settings.where)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    sources = runs.open_runs(settings.from_)
    beside = [_open_selection(path) for path in (settings.control_of, settings.part_of)]
    inputs = rows.inputs | {str(run.path): run.identity for run in sources}
    for what, run in zip(("control of", f"part {settings.part:g} of"), beside, strict=True):
        inputs |= {f"{what} {run.path}": f"{what} {run.identity}"} if run is not None else {}
    if settings.tokens is not None:
        from tunescope.models import fingerprint

        how = f"{settings.tokens} tokens of at most {settings.max_length} a row"
        inputs |= {f"{how} by {settings.model}": f"{how} {fingerprint(settings.model)}"}
    work = partial(_work, settings, rows, sources, beside)
    return runs.execute("select", VERSION, settings, inputs, work)


def _open_selection(path: str | None) -> Run | None:
    """Open the run of select that this one is beside."""
    if path is None:
        return None
    (run,) = runs.open_runs([path])
    if run.verb != "select":
        raise RunError(f"{run.path} is a run of {run.verb}; expected a run of select")
    return run


def _validate(settings: SelectSettings) -> None:
    given = (settings.where, settings.top, settings.sample, settings.tokens, settings.control_of, settings.part_of)
    if all(each is None for each in given):
        raise SettingsError("nothing to select by; type --where, --top with --by, --sample, --tokens or --control-of")
    if settings.tokens is not None:
        for name in ("top", "sample", "control_of", "part_of"):
            if getattr(settings, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise SettingsError(f"--tokens with {option}: each says how many rows are kept; leave one of them out")
        return
    if settings.part_of is not None:
        if settings.by is None or settings.top is not None:
            raise SettingsError("--part-of goes with --by, and without --top: --part-of RUN --by rank --ascending")
    elif (settings.top is None) != (settings.by is None):
        raise SettingsError("--top and --by go together: --top 1000 --by ifd_ppl")


def _work(
    settings: SelectSettings,
    rows: RowSet,
    sources: Sequence[Run],
    beside: Sequence[Run | None],
    folder: RunFolder,
) -> Outcome:
    from tunescope.rows import require_same_shape

    like = require_same_shape(rows.files, "select")
    try:
        table, records = _join(settings, rows, sources)
    except ExpressionError as error:
        if sources:
            raise
        raise ExpressionError(
            f"{error}; what check and measure say of rows comes with --from, for example --from runs/check-…"
        ) from error
    counts = None if settings.tokens is None else _count_tokens(settings, rows)
    reasons = _decide(settings, table, counts)
    control_of, part_of = beside
    if control_of is not None:
        _apply_control(control_of, settings.seed, table, reasons)
    if part_of is not None:
        _apply_part(settings, part_of, table, reasons)
    kept, dropped = _write_rows(rows, reasons, like, folder)
    _write_decisions(table, records, reasons, counts, folder)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    result = {
        "rows": len(reasons),
        "kept": kept.count,
        "changed": 0,
        "dropped": dropped.count,
        "dropped_by": dict(Counter(reason.partition(":")[0] for reason in reasons if reason is not None)),
        "rejected": len(rows.rejected),
        "files": {"kept": kept.path.name, "dropped": dropped.path.name},
    }
    if control_of is not None:
        is_all = any(reason is not None and reason.endswith(_FROM_ALL) for reason in reasons)
        result["control_drawn_from"] = "all rows" if is_all else "kept rows"
    if counts is not None:
        result["tokens"] = _sum_tokens(settings, counts, reasons).as_json()
    return Outcome(result, _view(settings, result, reasons, _locations(table, records), folder))


def _count_tokens(settings: SelectSettings, rows: RowSet) -> list[TokenCount]:
    from tunescope.models import silence_libraries
    from tunescope.models.training_rows import count_tokens

    with silence_libraries():
        return list(count_tokens(settings.model, rows, settings.max_length))


def _sum_tokens(settings: SelectSettings, counts: Sequence[TokenCount], reasons: Sequence[str | None]) -> KeptTokens:
    kept = [count for count, reason in zip(counts, reasons, strict=True) if reason is None]
    return KeptTokens(
        budget=settings.tokens or 0,
        kept=sum(count.tokens for count in kept),
        supervised=sum(count.supervised for count in kept),
        all_rows=sum(count.tokens for count in counts),
        model=settings.model,
        max_length=settings.max_length,
    )


def _decide(settings: SelectSettings, table: pa.Table, counts: Sequence[TokenCount] | None) -> list[str | None]:
    """Return for each row why it is dropped, as `RULE: DETAILS`, or None where it is kept."""
    reasons: list[str | None] = [None] * len(table)
    if settings.where is not None:
        _apply_where(settings.where, table, reasons)
    if settings.top is not None and settings.by is not None and settings.part_of is None:
        _apply_top(settings.top, settings.by, settings.ascending, table, reasons)
    if settings.sample is not None:
        _apply_sample(settings.sample, settings.seed, reasons)
    if counts is not None:
        _apply_tokens(settings, counts, table, reasons)
    return reasons


def _write_rows(
    rows: RowSet, reasons: Sequence[str | None], like: RowFile, folder: RunFolder
) -> tuple[RowWriter, RowWriter]:
    """Write the kept and the dropped rows; return their writers, which know the paths and counts."""
    from tunescope.rows import RowWriter

    with RowWriter(folder.path, "rows", like) as kept, RowWriter(folder.path, "dropped", like) as dropped:
        for row, reason in zip(rows, reasons, strict=True):
            (kept if reason is None else dropped).write(row)
    return kept, dropped


def _write_decisions(
    table: pa.Table,
    records: Sequence[int | None],
    reasons: Sequence[str | None],
    counts: Sequence[TokenCount] | None,
    folder: RunFolder,
) -> None:
    import pyarrow as pa

    columns = {name: table[name] for name in _PLACE}
    columns["record"] = pa.array(records, pa.int64())
    columns["kept"] = pa.array([reason is None for reason in reasons])
    columns["reason"] = pa.array(reasons, pa.string())
    if counts is not None:
        columns["tokens"] = pa.array([count.tokens for count in counts], pa.int32())
        columns["supervised_tokens"] = pa.array([count.supervised for count in counts], pa.int32())
    folder.table(Decisions.NAME, pa.table(columns))


def _view(
    settings: SelectSettings,
    result: dict[str, Any],
    reasons: list[str | None],
    locations: Sequence[tuple[str, Location]],
    folder: RunFolder,
) -> View:
    kept, dropped = (folder.path / result["files"][name] for name in ("kept", "dropped"))
    examples = [(i, reason) for i, reason in enumerate(reasons) if reason is not None][:_EXAMPLES]
    lines = tuple((locations[i][0], str(locations[i][1]), reason) for i, reason in examples)
    counts = ", ".join(f"{rule} {count:,}" for rule, count in result["dropped_by"].items())
    sentences = [
        f"{counted(result['rows'], 'row')} in = {result['kept']:,} kept + {result['dropped']:,} dropped"
        + (f" ({counts})." if counts else "."),
        f"Kept: {kept}. Dropped: {dropped}. The table decisions has the reason for each row.",
    ]
    if not result["kept"]:
        sentences.append("No row is left. The table below has the reasons. Loosen the conditions and select again.")
    if "tokens" in result:
        sentences.append(_say_tokens(KeptTokens.from_json(result["tokens"])))
    if result.get("control_drawn_from") == "all rows":
        sentences.append(
            f"{settings.control_of} kept fewer rows than it dropped, so the control is drawn from all rows: it has "
            "some of the dropped ones too."
        )
    if result["rejected"]:
        sentences.append(rejected_sentence(result["rejected"]))
    tables = (Table("First dropped", ("row id", "place", "reason"), lines),) if lines else ()
    check = f"tunescope check {as_cli_args([str(kept)], settings.format, settings.columns)}"
    return View(tuple(sentences), tables, (check,) if result["kept"] else ())


def _say_tokens(tokens: KeptTokens) -> str:
    text = (
        f"The kept rows have {tokens.kept:,} tokens of the {tokens.budget:,} allowed, {tokens.supervised:,} of them "
        f"supervised. Tokens are counted with {tokens.model}, up to {tokens.max_length:,} a row."
    )
    if tokens.all_rows <= tokens.budget:
        text += f" All rows together have no more than {tokens.all_rows:,}: none was dropped for its tokens."
    return text


def _locations(table: pa.Table, records: Sequence[int | None]) -> list[tuple[str, Location]]:
    """Return every row's id and where it is."""
    columns = (table[name].to_pylist() for name in _PLACE)
    return [
        (row_id, Location(file, line, record)) for row_id, file, line, record in zip(*columns, records, strict=True)
    ]


def _join(settings: SelectSettings, rows: RowSet, sources: Sequence[Run]) -> tuple[pa.Table, list[int | None]]:
    """Return row_id, file, line and every column that the settings name, in file order; and the record numbers.

    A name is looked for in the runs, then in the rows' own columns; `source.NAME` only in those.
    """
    import pyarrow as pa

    names = list(expressions.names(expressions.parse(settings.where))) if settings.where is not None else []
    names += [settings.by] if settings.by is not None else []
    run_columns = _run_columns(sources)
    from_rows = list(dict.fromkeys(name for name in names if name not in run_columns and name not in _PLACE))
    columns, records = _row_columns(rows, from_rows, run_columns)
    arrays = {name: _to_array(name, values) for name, values in columns.items()}
    for name in names:
        if name in run_columns:
            arrays[name] = _take_run_column(name, run_columns[name], arrays["row_id"])
    return pa.table(arrays), records


def _row_columns(
    rows: RowSet, names: Sequence[str], run_columns: Mapping[str, Mapping[Run, pa.Table]]
) -> tuple[dict[str, list[Any]], list[int | None]]:
    """Read row_id, file, line and the rows' own columns `names`; and the record numbers.

    Raises:
        ExpressionError: no row has such a column.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*_PLACE, *names)}
    records: list[int | None] = []
    present: dict[str, None] = {}
    for row in rows:
        records.append(row.record)
        for name, value in zip(_PLACE, (row.id, row.file, row.line), strict=True):
            columns[name].append(value)
        present |= dict.fromkeys(row.fields)
        for name in names:
            columns[name].append(row.fields.get(name.removeprefix("source.")))
    for name in names:
        if name.removeprefix("source.") not in present:
            expressions.validate_names(expressions.Name(name), {**run_columns, **present})
    return columns, records


def _to_array(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, pa.int64() if name == "line" else None)
    except (pa.ArrowException, OverflowError) as error:
        content = "values of several types, or numbers beyond 64 bits"
        raise SettingsError(f"the column {name!r} holds {content}, so it can't be used to select") from error


def _take_run_column(name: str, tables: Mapping[Run, pa.Table], row_ids: pa.Array) -> pa.Array:
    """Return a run's column, row by row of `row_ids`; null where the run lacks the row.

    Raises:
        SettingsError: several runs have the column.
        RunError: the run has none of the rows.
    """
    import pyarrow.compute as pc

    (run, table), *others = tables.items()
    if others:
        raise SettingsError(f"{name} is in {run.path} and in {others[0][0].path}; give one of them")
    positions = pc.index_in(row_ids, value_set=table["row_id"].combine_chunks())
    if len(positions) and positions.null_count == len(positions):
        raise RunError(f"{run.path} was made on other rows: it has none of the {len(positions):,} row ids")
    return table[name].combine_chunks().take(positions)


def _run_columns(sources: Sequence[Run]) -> dict[str, dict[Run, pa.Table]]:
    """Return the runs' columns that have one value per row: name → run → its table.

    A table with a record per turn gives the mean of a row's numbers over its turns, and true where
    any turn is true.
    """
    columns: dict[str, dict[Run, pa.Table]] = {}
    for run in sources:
        for table in run.tables.values():
            per_row = _per_row(table) if "row_id" in table.column_names else None
            for name in per_row.column_names if per_row is not None else ():
                if name not in (*_PLACE, "turn"):
                    columns.setdefault(name, {})[run] = per_row
    return columns


def _per_row(table: pa.Table) -> pa.Table | None:
    """Return a table with one record per row; None where its records are neither rows nor turns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.count_distinct(table["row_id"]).as_py() == len(table):
        return table
    if "turn" not in table.column_names:
        return None
    types = {name: table.schema.field(name).type for name in table.column_names if name != "turn"}
    functions = [(name, "any") for name, kind in types.items() if pa.types.is_boolean(kind)]
    functions += [
        (name, "mean") for name, kind in types.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)
    ]
    grouped = table.group_by("row_id", use_threads=False).aggregate(functions)
    return grouped.rename_columns({f"{name}_{function}": name for name, function in functions})


def _apply_where(where: str, table: pa.Table, reasons: list[str | None]) -> None:
    """Give the rows for which `where` doesn't hold, or has no answer, a reason with the values it names."""
    node = expressions.parse(where)
    columns = {name: table[name].to_pylist() for name in expressions.names(node)}
    for i, keep in enumerate(expressions.mask(node, table).to_pylist()):
        if not keep:
            values = ", ".join(f"{name} = {_show(cells[i])}" for name, cells in columns.items())
            reasons[i] = f"where: {values}" if keep is False else f"missing: {values}"


def _show(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _apply_top(top: int, by: str, ascending: bool, table: pa.Table, reasons: list[str | None]) -> None:
    values = table[by].to_pylist()
    ranked = _rank(by, ascending, table, reasons)
    for rank, i in enumerate(ranked, 1):
        if rank > top:
            reasons[i] = f"top: rank {rank:,} of {len(ranked):,} by {by} ({_show(values[i])})"


def _rank(by: str, ascending: bool, table: pa.Table, reasons: list[str | None]) -> list[int]:
    """Return the positions of the rows that are still there, best first; those without a number get a reason."""
    values = table[by].to_pylist()
    candidates = [i for i, reason in enumerate(reasons) if reason is None]
    for i in candidates:
        if values[i] is None or values[i] != values[i]:
            reasons[i] = f"missing: {by} = null"
        elif isinstance(values[i], str | list | dict):
            raise SettingsError(f"--by {by}: row {table['row_id'][i]} has text or a list there; expected a number")
    return sorted((i for i in candidates if reasons[i] is None), key=lambda i: values[i], reverse=not ascending)


def _apply_tokens(
    settings: SelectSettings, counts: Sequence[TokenCount], table: pa.Table, reasons: list[str | None]
) -> None:
    """Keep the first rows, ranked or drawn, whose tokens together fit into the budget; the others get a reason.

    Raises:
        SettingsError: not even the first row fits.
    """
    import numpy as np

    for i, count in enumerate(counts):
        if reasons[i] is None and not count.supervised:
            reasons[i] = f"missing: no tokens to train on ({count.reason})"
    if settings.by is not None:
        order, values = _rank(settings.by, settings.ascending, table, reasons), table[settings.by].to_pylist()
    else:
        there = [i for i, reason in enumerate(reasons) if reason is None]
        order, values = np.random.default_rng(settings.seed).permutation(there).tolist(), []
    budget, total = settings.tokens or 0, 0
    if order and counts[order[0]].tokens > budget:
        first = f"the first row, {table['row_id'][order[0]]}, has {counts[order[0]].tokens:,}"
        raise SettingsError(f"--tokens {budget}: {first}; expected room for it at least")
    for rank, i in enumerate(order, 1):
        total += counts[i].tokens
        if total > budget:
            by = f"rank {rank:,} of {len(order):,} by {settings.by} ({_show(values[i])})" if values else ""
            drawn = f"drawn as number {rank:,} of {len(order):,} with seed {settings.seed}"
            reasons[i] = f"tokens: {by or drawn}, behind the first {budget:,} tokens"


def _apply_control(run: Run, seed: int, table: pa.Table, reasons: list[str | None]) -> None:
    """Drop as many rows as a run and those before it dropped, drawn from the rows that it kept.

    Where these are fewer, all rows are drawn from.
    """
    import numpy as np

    is_kept = _kept_by(run, table)
    n = is_kept.count(False)
    there = [i for i, reason in enumerate(reasons) if reason is None]
    candidates = [i for i in there if is_kept[i]]
    too_few = n > len(candidates)
    if n > len(there):
        raise SettingsError(f"{run.path} dropped {n:,} rows, and {len(there):,} are left: no control of {n:,} of those")
    for i in np.random.default_rng(seed).permutation(there if too_few else candidates)[:n].tolist():
        reasons[i] = f"control: one of {n:,} drawn with seed {seed}{_FROM_ALL if too_few else ''}"


def _apply_part(settings: SelectSettings, run: Run, table: pa.Table, reasons: list[str | None]) -> None:
    """Drop a part of the rows that a run and those before it dropped: the first by a number; those without it last."""
    out = [i for i, kept in enumerate(_kept_by(run, table)) if not kept]
    values = table[settings.by].to_pylist()
    sign = 1 if settings.ascending else -1
    ranked = sorted(out, key=lambda i: (values[i] is None, sign * (values[i] or 0)))
    n = math.ceil(settings.part * len(out))
    for rank, i in enumerate(ranked[:n], 1):
        reasons[i] = reasons[i] or f"part: rank {rank:,} of {len(out):,} by {settings.by} ({_show(values[i])})"


def _kept_by(run: Run, table: pa.Table) -> list[bool]:
    """Tell of each row whether a run of select kept it; raises RunError where it kept none."""
    from tunescope.rows import open_rows

    kept = {row.id for row in open_rows([str(run.path / run.result["files"]["kept"])])}
    is_kept = [row_id in kept for row_id in table["row_id"].to_pylist()]
    if not any(is_kept):
        raise RunError(f"{run.path} was made on other rows: it kept none of the {len(is_kept):,} rows")
    return is_kept


def _apply_sample(sample: int, seed: int, reasons: list[str | None]) -> None:
    import numpy as np

    candidates = [i for i, reason in enumerate(reasons) if reason is None]
    drawn = set(np.random.default_rng(seed).permutation(candidates)[:sample].tolist())
    for i in candidates:
        if i not in drawn:
            reasons[i] = f"sample: not among the {sample:,} drawn with seed {seed}"
