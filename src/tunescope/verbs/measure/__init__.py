"""`measure`: what rows are like, turn by turn: lengths, perplexities, IFD, coherence (paper 3, Table 3)."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.embedded import EMBEDDER
from tunescope.models.settings import ModelSettings
from tunescope.results.measure import MeasuredTurn, MeasureResult, MeasureSummary
from tunescope.results.record import schema
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings, typed
from tunescope.views import Table, View, interval, percent

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.rows import RowSet

VERSION = 1
SHARD = 64
"""Rows per shard; fixed, so that a killed run goes on where it stopped."""
KINDS = ("lengths", "perplexity", "coherence")
TABLE_3 = {
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
"""Our columns, and what paper 3's Table 3 calls them; words are ours, and it doesn't say which IFD its own is."""
MOST_DRAWN = 20_000
"""Turns up to which means are bootstrapped."""
TOP = (0.05, 0.1)
"""Shares of turns that selections by IFD keep."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(RowsSettings, ModelSettings):
    """Measure rows turn by turn: lengths, perplexities, IFD, coherence."""

    without: tuple[str, ...] = ()
    """Leave out lengths, perplexity (then no model is loaded) or coherence (then no embedder is)."""

    direct_context: Literal["start", "header"] = "start"
    """What the response follows when scored without its instruction: the start token, or its turn's header too."""

    embedder: str = field(default=EMBEDDER, metadata=INPUT)
    """What embeds texts for coherence: an embedded name, a folder or any sentence-transformers id."""

    out: str | None = runs.out_field()
    """The run folder; runs/measure-KEY by default."""


def measure(settings: MeasureSettings) -> Run:
    """Measure rows; return the run with the table `turns`.

    `turns` has row_id, origin, turn (from 0; null for a row without an assistant turn), a column per measure and
    reason (why something is null). Perplexities are per token, over the tokens that docs/measure.md names.

    Raises:
        InputError, SettingsError, TunescopeError: in one sentence each.
        MissingPackageError: torch, transformers or sentence-transformers isn't installed.
    """
    from tunescope.rows import open_rows

    unknown = [name for name in settings.without if name not in KINDS]
    if unknown:
        raise SettingsError(f"--without {unknown[0]}: expected one of {', '.join(KINDS)}")
    if not set(KINDS) - set(settings.without):
        raise SettingsError(f"--without {' '.join(settings.without)}: nothing is left to measure; leave one out")
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    from tunescope.verbs.measure.shard import chosen

    inputs = dict(rows.inputs)
    for member in chosen(settings):
        inputs |= member.inputs(settings)
    return runs.execute("measure", VERSION, settings, inputs, partial(_work, settings, rows))


def _work(settings: MeasureSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.engine import map_shards
    from tunescope.verbs.measure.shard import measure_shard, set_up

    everything = list(rows)
    shards = [everything[start : start + SHARD] for start in range(0, len(everything), SHARD)]
    done = map_shards(
        measure_shard, shards, partial(set_up, settings), folder.scratch / "shards", label=f"shards of {SHARD} rows"
    )
    records = [record for shard in done for record in _lines(shard / "turns.jsonl")]
    if not any(record["turn"] is not None for record in records):
        raise TunescopeError(f"none of the {len(everything)} rows has an assistant turn; there is nothing to measure")
    columns = _columns(settings)
    folder.table(MeasuredTurn.NAME, _table(records, columns))
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    return _outcome(settings, records, list(columns), len(everything), folder)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _columns(settings: MeasureSettings) -> dict[str, str]:
    """Return the columns that are measured, and what each is."""
    from tunescope.verbs.measure.shard import chosen

    return {column: meaning for member in chosen(settings) for column, meaning in member.COLUMNS.items()}


def _table(records: list[dict[str, Any]], columns: dict[str, str]) -> pa.Table:
    import pyarrow as pa

    kinds = {"coherence_cut": pa.bool_()}
    whole = {name: pa.int32() for name in columns if name.endswith(("_words", "_tokens"))}
    *first, reason = schema(MeasuredTurn)
    types = {each.name: each.type for each in (*first, reason)} | whole | kinds
    names = [*(each.name for each in first), *columns, reason.name]
    return pa.table({name: pa.array([r.get(name) for r in records], types.get(name, pa.float64())) for name in names})


def _outcome(
    settings: MeasureSettings, records: list[dict[str, Any]], columns: list[str], rows: int, folder: RunFolder
) -> Outcome:
    from tunescope.models import describe

    turns = [record for record in records if record["turn"] is not None]
    summary = {column: _summary(turns, column) for column in columns if column in TABLE_3}
    ranks = _ranks(turns) if "ifd_ppl" in columns else None
    result = MeasureResult(
        rows=rows,
        turns=len(turns),
        model=describe(settings) if "ifd_ppl" in columns else None,
        rows_without_turns=sum(record["turn"] is None for record in records),
        summary=summary,
        ifd_ranks=ranks,
    )
    lines = ("mean", "low", "high", "median", "median_low", "median_high", "n", "n_missing")
    shown = ("mean", "  95 % from", "  to", "median", "  95 % from", "  to", "n", "n_missing")
    cells = ((word, *(getattr(m, line) for m in summary.values())) for word, line in zip(shown, lines, strict=True))
    tables = [
        Table(
            "Laid out as Table 3 of the Reflection-Tuning paper",
            ("", *(TABLE_3[column] for column in summary)),
            tuple(
                (word, *(getattr(m, line) for m in summary.values())) for word, line in zip(shown, lines, strict=True)
            ),
            " ".join(_notes(settings, columns, turns)),
        )
    ]
    if ranks is not None:
        tables.append(_ranks_table(ranks))
    reasons = Counter(record["reason"] for record in records if record["reason"])
    if reasons:
        first = {record["reason"]: record["row_id"] for record in reversed(records) if record["reason"]}
        cells = tuple((reason, count, first[reason]) for reason, count in reasons.most_common(10))
        tables.append(Table("Not measured", ("reason", "turns", "for example"), cells))
    sentence = f"{rows:,} rows with {len(turns):,} assistant turns measured"
    sentence += f" with {settings.model}." if "ifd_ppl" in columns else "."
    source = typed(settings.rows, settings.format, settings.columns, settings.on_bad)
    here = shlex.quote(str(folder.path))
    following = [f"tunescope compare {here} OTHER_MEASURE_RUN"]
    if "ifd_ppl" in columns and len(turns) == rows:
        kept = max(1, round(0.1 * rows))
        following.insert(0, f"tunescope select {source} --from {here} --where 'ifd_ppl < 1' --top {kept} --by ifd_ppl")
    return Outcome(result.as_json(), View((sentence,), tuple(tables), tuple(following)))


def _summary(turns: list[dict[str, Any]], column: str) -> MeasureSummary:
    """Return mean and median of a measure with their intervals, n and n_missing."""
    from tunescope.stats import mean_bootstrap, mean_clustered, median_bootstrap

    values = [record.get(column) for record in turns]
    owners = [record["row_id"] for record in turns]
    single = len(set(owners)) == len(owners) and len(owners) <= MOST_DRAWN
    mean = mean_bootstrap(values) if single else mean_clustered(values, owners)
    median = median_bootstrap(values)
    return MeasureSummary.of(mean, median=median.value, median_low=median.low, median_high=median.high)


def _notes(settings: MeasureSettings, columns: list[str], turns: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what the numbers are."""
    from tunescope.models import describe

    owners = [record["row_id"] for record in turns]
    if len(set(owners)) == len(owners) <= MOST_DRAWN:
        yield "95 % intervals: percentile bootstrap over turns."
    else:
        yield "95 % intervals: of means clustered by row (CR1), of medians percentile bootstrap."
    if "ppl_response" in columns:
        yield f"Perplexities by {describe(settings)}: exp of the mean negative log-likelihood per token."
        after = "the start token alone" if settings.direct_context == "start" else "the start token and its header"
        yield f"Res. ppl 1 follows {after} (--direct-context {settings.direct_context})."
        yield "IFD: mean of per-turn ratios, not the ratio of means."
    if "coherence" in columns:
        cut = sum(bool(record.get("coherence_cut")) for record in turns)
        yield f"Coherence by {settings.embedder}; in {cut} turns it read only the beginning of a text."


def _ranks(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Say how differently the two IFDs order the turns."""
    from tunescope.stats import spearman

    pairs = [(r["ifd_ppl"], r["ifd_loss"]) for r in turns if r["ifd_ppl"] is not None and r["ifd_loss"] is not None]
    draws = min(10_000, max(1_000, 10**7 // max(1, len(pairs))))
    correlation = spearman([a for a, _ in pairs], [b for _, b in pairs], draws=draws).r
    shared = {}
    for share in TOP:
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
    columns = ("Spearman", "95 % interval", "n", *(f"shared in the top {100 * share:g} %" for share in TOP))
    return Table("How alike ifd_ppl and ifd_loss rank", columns, (line,))
