"""`select`: keep some rows and say why the others went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tunescope import expressions, runs
from tunescope.errors import RunError, SettingsError
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings, as_cli_args, at_least
from tunescope.views import Table, View, rejected_sentence

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.rows import RowSet

VERSION = 1
PLACE = ("row_id", "file", "line")


@dataclass(frozen=True, kw_only=True)
class SelectSettings(RowsSettings):
    """Keep the rows that satisfy a condition, rank among the first, or are drawn."""

    from_: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Run folders whose tables are joined on row_id; their columns can be named in --where and --by."""

    where: str | None = None
    """Keep rows for which this holds, for example "ifd_ppl < 1 and near_duplicate = false"."""

    top: int | None = field(default=None, metadata=at_least(0))
    """Of those, keep this many with the highest --by."""

    by: str | None = None
    """The number that --top ranks by; ties in file order."""

    ascending: bool = False
    """Rank by the lowest instead."""

    sample: int | None = field(default=None, metadata=at_least(0))
    """Of those, keep this many, drawn at random; they stay in file order."""

    seed: int = 0
    """Decides which rows --sample draws."""

    out: str | None = runs.out_field()
    """The run folder; runs/select-KEY by default."""


def select(settings: SelectSettings) -> Run:
    """Write the kept rows (`rows.*`), the others (`dropped.*`) and a reason for each (`decisions`).

    Both files have the format and container of the input. `decisions` has row_id, file, line,
    kept and reason.

    Raises:
        InputError, SettingsError, ExpressionError, RunError: in one sentence each.
    """
    from tunescope.rows import open_rows

    _refuse_nonsense(settings)
    if settings.where is not None:
        expressions.parse(settings.where)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    sources = runs.open_runs(settings.from_)
    inputs = rows.inputs | {str(run.path): run.key for run in sources}
    return runs.execute("select", VERSION, settings, inputs, partial(_work, settings, rows, sources))


def _refuse_nonsense(settings: SelectSettings) -> None:
    if settings.where is None and settings.top is None and settings.sample is None:
        raise SettingsError("nothing to select by; type --where, --top with --by, or --sample")
    if (settings.top is None) != (settings.by is None):
        raise SettingsError("--top and --by go together: --top 1000 --by ifd_ppl")


def _work(settings: SelectSettings, rows: RowSet, sources: Sequence[Run], folder: RunFolder) -> Outcome:
    import numpy as np
    import pyarrow as pa

    from tunescope.rows import RowWriter, require_same_shape

    like = require_same_shape(rows.files, "select")
    table = _join(settings, rows, sources)
    reasons: list[str | None] = [None] * len(table)
    if settings.where is not None:
        _apply_where(settings.where, table, reasons)
    if settings.top is not None and settings.by is not None:
        _apply_top(settings, table, reasons)
    if settings.sample is not None:
        left = [i for i, reason in enumerate(reasons) if reason is None]
        drawn = set(np.random.default_rng(settings.seed).permutation(left)[: settings.sample].tolist())
        for i in left:
            if i not in drawn:
                reasons[i] = f"sample: not among the {settings.sample:,} drawn with seed {settings.seed}"
    kept = [reason is None for reason in reasons]
    with RowWriter(folder.path, "rows", like) as keeping, RowWriter(folder.path, "dropped", like) as dropping:
        for row, keep in zip(rows, kept, strict=True):
            (keeping if keep else dropping).write(row)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    decisions = {name: table[name] for name in PLACE}
    folder.table("decisions", pa.table({**decisions, "kept": pa.array(kept), "reason": pa.array(reasons, pa.string())}))
    because = Counter(reason.partition(":")[0] for reason in reasons if reason is not None)
    result = {
        "rows": len(kept),
        "kept": keeping.count,
        "changed": 0,
        "dropped": dropping.count,
        "dropped_by": dict(because),
        "rejected": len(rows.rejected),
        "files": {"kept": keeping.path.name, "dropped": dropping.path.name},
    }
    return Outcome(result, _view(settings, result, reasons, table, folder))


def _view(
    settings: SelectSettings, result: dict[str, Any], reasons: list[str | None], table: pa.Table, folder: RunFolder
) -> View:
    kept, dropped = (folder.path / result["files"][name] for name in ("kept", "dropped"))
    examples = [(i, reason) for i, reason in enumerate(reasons) if reason is not None][:5]
    lines = tuple((table["row_id"][i].as_py(), f"{table['file'][i]}:{table['line'][i]}", r) for i, r in examples)
    counts = ", ".join(f"{name} {count:,}" for name, count in result["dropped_by"].items())
    sentences = [
        f"{result['rows']:,} rows in = {result['kept']:,} kept + {result['dropped']:,} dropped"
        + (f" ({counts})." if counts else "."),
        f"Kept: {kept}. Dropped: {dropped}. The reason for each row is in the table decisions.",
    ]
    if result["rejected"]:
        sentences.append(rejected_sentence(result["rejected"]))
    tables = (Table("First dropped", ("row id", "place", "reason"), lines),) if lines else ()
    return View(
        tuple(sentences), tables, (f"tunescope check {as_cli_args([str(kept)], settings.format, settings.columns)}",)
    )


def _join(settings: SelectSettings, rows: RowSet, sources: Sequence[Run]) -> pa.Table:
    """Return row_id, file, line and every column that the settings name, in file order.

    A name is looked for in the runs, then in the rows' own columns; `source.NAME` only in those.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = list(expressions.names(expressions.parse(settings.where))) if settings.where is not None else []
    wanted += [settings.by] if settings.by is not None else []
    known = _run_columns(sources)
    from_source = dict.fromkeys(name for name in wanted if name not in known and name not in PLACE)
    columns: dict[str, list[Any]] = {name: [] for name in (*PLACE, *from_source)}
    source_names: dict[str, None] = {}
    for row in rows:
        for name, value in zip(PLACE, (row.id, row.file, row.line), strict=True):
            columns[name].append(value)
        source_names |= dict.fromkeys(row.fields)
        for name in from_source:
            columns[name].append(row.fields.get(name.removeprefix("source.")))
    for name in from_source:
        if name.removeprefix("source.") not in source_names:
            expressions.validate_names(expressions.Name(name), {**known, **source_names})
    arrays = {name: _column(name, values) for name, values in columns.items()}
    for name in wanted:
        if name in known:
            run, *others = known[name]
            if others:
                raise SettingsError(f"{name} is in {run.path} and in {next(iter(others)).path}; give one of them")
            table = known[name][run]
            place = pc.index_in(arrays["row_id"], value_set=table["row_id"].combine_chunks())
            if len(place) and place.null_count == len(place):
                raise RunError(f"{run.path} was made on other rows: none of the {len(place):,} row ids is in it")
            arrays[name] = table[name].combine_chunks().take(place)
    return pa.table(arrays)


def _column(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, pa.int64() if name == "line" else None)
    except (pa.ArrowException, OverflowError) as error:
        found = "values of several types, or numbers beyond 64 bits"
        raise SettingsError(f"the column {name!r} holds {found}, so nothing can be asked of it") from error


def _run_columns(sources: Sequence[Run]) -> dict[str, dict[Run, pa.Table]]:
    """Return the runs' columns that have one value per row: name → run → its table.

    A table with a record per turn gives the mean of numbers over a row's turns, and true where
    any turn is true.
    """
    found: dict[str, dict[Run, pa.Table]] = {}
    for run in sources:
        for table in run.tables.values():
            per_row = _per_row(table) if "row_id" in table.column_names else None
            for name in per_row.column_names if per_row is not None else ():
                if name not in (*PLACE, "turn"):
                    found.setdefault(name, {})[run] = per_row
    return found


def _per_row(table: pa.Table) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.count_distinct(table["row_id"]).as_py() == len(table):
        return table
    if "turn" not in table.column_names:
        return None
    kinds = {name: table.schema.field(name).type for name in table.column_names if name != "turn"}
    how = [(name, "any") for name, kind in kinds.items() if pa.types.is_boolean(kind)]
    how += [(name, "mean") for name, kind in kinds.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]
    grouped = table.group_by("row_id", use_threads=False).aggregate(how)
    return grouped.rename_columns({f"{name}_{function}": name for name, function in how})


def _apply_where(where: str, table: pa.Table, reasons: list[str | None]) -> None:
    node = expressions.parse(where)
    used = {name: table[name].to_pylist() for name in expressions.names(node)}
    for i, keep in enumerate(expressions.mask(node, table).to_pylist()):
        if not keep:
            values = ", ".join(f"{name} = {_shown(cells[i])}" for name, cells in used.items())
            reasons[i] = f"where: {values}" if keep is False else f"missing: {values}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _apply_top(settings: SelectSettings, table: pa.Table, reasons: list[str | None]) -> None:
    by = settings.by or ""
    values = table[by].to_pylist()
    left = [i for i, reason in enumerate(reasons) if reason is None]
    for i in left:
        if values[i] is None or values[i] != values[i]:
            reasons[i] = f"missing: {by} = null"
        elif isinstance(values[i], str | list | dict):
            raise SettingsError(f"--by {by}: row {table['row_id'][i]} has text or a list there; expected a number")
    ranked = sorted((i for i in left if reasons[i] is None), key=lambda i: values[i], reverse=not settings.ascending)
    for rank, i in enumerate(ranked, 1):
        if rank > (settings.top or 0):
            reasons[i] = f"top: rank {rank:,} of {len(ranked):,} by {by} ({_shown(values[i])})"
