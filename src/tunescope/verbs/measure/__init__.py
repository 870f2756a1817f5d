"""`measure`: lengths, perplexities, IFD and coherence of rows, turn by turn (the Reflection-Tuning paper, Table 3)."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.results.measure import MeasuredTurn, MeasureResult, MeasureSummary, measure_bounds
from tunescope.results.record import schema
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.settings import as_cli_args
from tunescope.verbs.measure import preference
from tunescope.verbs.measure.settings import KINDS, MeasureSettings
from tunescope.views import Table, View, counted, interval, percent

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.rows import RowSet

__all__ = ["MeasureSettings", "measure"]

VERSION = 3
_SHARD = 64
"""Rows per shard; fixed, so that a killed run goes on where it stopped."""
_TABLE_3 = {
    "instruction_words": "Ins. words",
    "response_words": "Res. words",
    "instruction_tokens": "Ins. len",
    "response_tokens": "Res. len",
    "ppl_instruction": "Ins. ppl",
    "ppl_response": "Res. ppl 1",
    "ppl_response_given": "Res. ppl 2",
    "coherence": "Coherent",
    "ifd_ppl": "IFD ppl",
    "ifd_loss": "IFD loss",
}
"""Our columns, and their names in Table 3 of the Reflection-Tuning paper.

The counts of words are ours alone. The paper doesn't say which of the two IFDs its own is.
"""
_TOP = (0.05, 0.1)
"""Shares of turns that selections by IFD keep."""


def measure(settings: MeasureSettings) -> Run:
    """Measure rows; return the run with the table `turns`.

    `turns` has row_id, origin, turn (from 0; null for a row without an assistant turn), a column per measure and
    reason (why something is null). Perplexities are per token, over the tokens that docs/reference/measures.md names.

    Raises:
        InputError, SettingsError, TunescopeError: in one sentence each.
        MissingPackageError: torch, transformers or sentence-transformers isn't installed.
    """
    from tunescope.rows import open_rows
    from tunescope.verbs.measure.shard import chosen_measures

    if not set(KINDS) - set(settings.without):
        raise SettingsError(f"--without {' '.join(settings.without)}: nothing is left to measure; leave one out")
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    inputs = dict(rows.inputs)
    for member in chosen_measures(settings):
        inputs |= member.inputs(settings)
    if settings.plan:
        return runs.execute("measure plan", VERSION, settings, inputs, partial(_plan, settings, rows))
    return runs.execute("measure", VERSION, settings, inputs, partial(_work, settings, rows))


def _plan(settings: MeasureSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.compute_plan import plan_items
    from tunescope.rows.content import all_text
    from tunescope.verbs.measure.shard import measure_shard, set_up

    all_rows = list(rows)
    setup = partial(set_up, settings)
    return plan_items(
        "measure", "row", measure_shard, all_rows, setup, lambda row: 1 + len(all_text(row)), folder.scratch, _SHARD
    )


def _work(settings: MeasureSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.verbs.measure.shard import measure_shard, set_up

    all_rows = list(rows)
    shards = [all_rows[start : start + _SHARD] for start in range(0, len(all_rows), _SHARD)]
    setup, label = partial(set_up, settings), f"shards of {_SHARD} rows"
    folders = map_shards(measure_shard, shards, setup, folder.scratch / "shards", settings, label)
    records = [record for shard in folders for record in _read_lines(shard / "turns.jsonl")]
    if not any(record["turn"] is not None for record in records):
        raise TunescopeError(f"none of the {len(all_rows)} rows has an assistant turn; there is nothing to measure")
    columns = _columns(settings) | dict.fromkeys(preference.columns_of(records), "")
    folder.table(MeasuredTurn.NAME, _turns_table(records, columns))
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    n_preference = sum(bool(row.rejected) for row in all_rows)
    return _outcome(settings, records, list(columns), len(all_rows), n_preference, folder)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _columns(settings: MeasureSettings) -> dict[str, str]:
    """Return the columns that are measured, and what each is."""
    from tunescope.verbs.measure.shard import chosen_measures

    return {column: meaning for member in chosen_measures(settings) for column, meaning in member.COLUMNS.items()}


def _turns_table(records: list[dict[str, Any]], columns: dict[str, str]) -> pa.Table:
    import pyarrow as pa

    *first, reason = schema(MeasuredTurn)
    types = {each.name: each.type for each in (*first, reason)}
    types |= {name: pa.int32() for name in columns if name.endswith(("_words", "_tokens"))}
    types |= {name: pa.bool_() for name in columns if name.endswith("coherence_cut") or name in preference.LIKELIER}
    names = [*(each.name for each in first), *columns, reason.name]
    return pa.table({name: pa.array([r.get(name) for r in records], types.get(name, pa.float64())) for name in names})


def _outcome(
    settings: MeasureSettings,
    records: list[dict[str, Any]],
    columns: list[str],
    rows: int,
    n_preference: int,
    folder: RunFolder,
) -> Outcome:
    from tunescope.models import describe

    turns = [record for record in records if record["turn"] is not None]
    summary = {column: _summarize(turns, column) for column in columns if column in _TABLE_3}
    ranks = _compare_ranks(turns) if "ifd_ppl" in columns else None
    result = MeasureResult(
        rows=rows,
        turns=len(turns),
        model=describe(settings) if "ifd_ppl" in columns else None,
        rows_without_turns=sum(record["turn"] is None for record in records),
        summary=summary,
        ifd_ranks=ranks,
        preference=preference.summarize(turns, n_preference) if n_preference else None,
    )
    keys = ("mean", "low", "high", "median", "median_low", "median_high", "n", "n_missing")
    labels = ("mean", "  95 % from", "  to", "median", "  95 % from", "  to", "n", "n_missing")
    cells = ((label, *(getattr(m, key) for m in summary.values())) for label, key in zip(labels, keys, strict=True))
    tables = [
        Table(
            "Laid out as Table 3 of the Reflection-Tuning paper",
            ("", *(_TABLE_3[column] for column in summary)),
            tuple(cells),
            " ".join(_notes(settings, columns, turns)),
        )
    ]
    if ranks is not None:
        tables.append(_ranks_table(ranks))
    if result.preference is not None:
        tables.append(preference.table(result.preference))
    reasons = Counter(record["reason"] for record in records if record["reason"])
    if reasons:
        first = {record["reason"]: record["row_id"] for record in reversed(records) if record["reason"]}
        lines = tuple((reason, count, first[reason]) for reason, count in reasons.most_common(10))
        tables.append(Table("Not measured", ("reason", "turns", "for example"), lines))
    sentence = f"{counted(rows, 'row')} with {counted(len(turns), 'assistant turn')} measured"
    sentence += f" with {settings.model}." if "ifd_ppl" in columns else "."
    rows_as_typed = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    run = shlex.quote(str(folder.path))
    next_steps = [f"tunescope compare {run} OTHER_MEASURE_RUN"]
    if "ifd_ppl" in columns and len(turns) == rows:
        top = max(1, round(0.1 * rows))
        select = f"tunescope select {rows_as_typed} --from {run} --where 'ifd_ppl < 1' --top {top} --by ifd_ppl"
        next_steps.insert(0, select)
    sentences = (sentence, *(preference.sentences(result.preference) if result.preference else ()))
    return Outcome(result.as_json(), View(sentences, tuple(tables), tuple(next_steps)))


def _has_one_turn_a_row(turns: list[dict[str, Any]]) -> bool:
    return len({record["row_id"] for record in turns}) == len(turns)


def _summarize(turns: list[dict[str, Any]], column: str) -> MeasureSummary:
    """Return mean and median of a measure with their intervals, n and n_missing."""
    from tunescope import stats

    values = [record.get(column) for record in turns]
    bounds, alone = measure_bounds(column), _has_one_turn_a_row(turns)
    heavy_tailed = isinf(bounds[1])
    if alone:
        mean = stats.mean(values, heavy_tailed=heavy_tailed, bounds=bounds)
    else:
        sums, counts, n_missing = stats.sum_clusters(values, [record["row_id"] for record in turns])
        mean = stats.mean_pooled(sums, counts, heavy_tailed=heavy_tailed, bounds=bounds)
        mean = replace(mean, n=int(counts.sum()), n_missing=n_missing)
    median = stats.median(values)
    if not alone:
        median = replace(median, low=None, high=None)
    return MeasureSummary.of(mean, median=median.value, median_low=median.low, median_high=median.high)


def _notes(settings: MeasureSettings, columns: list[str], turns: list[dict[str, Any]]) -> Iterator[str]:
    """Yield sentences on how the numbers were computed."""
    from tunescope.models import describe

    if _has_one_turn_a_row(turns):
        yield "95 % intervals: of means t corrected for skewness, of medians between order statistics."
    else:
        yield "95 % intervals: of means over rows, of medians none, since turns of one row aren't independent."
    if "ppl_response" in columns:
        yield f"Perplexities by {describe(settings)}: exp of the mean negative log-likelihood per token."
        after = "the start token alone" if settings.direct_context == "start" else "the start token and its header"
        yield f"Res. ppl 1 follows {after} (--direct-context {settings.direct_context})."
        yield "IFD is the mean of per-turn ratios, not the ratio of means."
    if "coherence" in columns:
        cut = sum(bool(record.get("coherence_cut")) for record in turns)
        yield f"Coherence by {settings.embedder}. In {cut} turns it read only the beginning of a text."


def _compare_ranks(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how similarly the two IFDs rank the turns: Spearman's correlation, and the shared part of each top."""
    from tunescope.stats import spearman

    pairs = [(r["ifd_ppl"], r["ifd_loss"]) for r in turns if r["ifd_ppl"] is not None and r["ifd_loss"] is not None]
    draws = min(10_000, max(1_000, 10**7 // max(1, len(pairs))))
    correlation = spearman([a for a, _ in pairs], [b for _, b in pairs], draws=draws).r
    shared = {}
    for share in _TOP:
        keep = max(1, round(share * len(pairs)))
        tops = [set(sorted(range(len(pairs)), key=[-pair[k] for pair in pairs].__getitem__)[:keep]) for k in (0, 1)]
        shared[f"{share:g}"] = len(tops[0] & tops[1]) / keep if pairs else None
    return {"spearman": correlation.as_json("spearman"), "shared_top": shared}


def _ranks_table(ranks: dict[str, Any]) -> Table:
    r = ranks["spearman"]
    line = (
        r["spearman"],
        interval(r["low"], r["high"]),
        r["n"],
        *(percent(v, 0) for v in ranks["shared_top"].values()),
    )
    columns = ("Spearman", "95 % interval", "n", *(f"shared in the top {100 * share:g} %" for share in _TOP))
    return Table("How alike ifd_ppl and ifd_loss rank", columns, (line,))
