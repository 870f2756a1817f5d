"""What `trace` says: never a share of words found without what chance would have given."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.runs import Outcome, Run, RunFolder
from tunescope.settings import as_cli_args
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.null import SHORTEST, Judge, Null
from tunescope.views import Marked, Table, View, counted, interval, percent

if TYPE_CHECKING:
    from tunescope.verbs.trace import IndexSettings, TraceSettings
    from tunescope.verbs.trace.answers import Sources

AROUND = 100
"""Characters of a row shown before and behind the words it shares."""
LONG = 2_000
"""Characters of a text that is shown whole."""
P_MOST = 0.05
"""The p up to which a span of a single text is flagged."""
DRAWS = 2_000
SHOWN = 10
"""Rows and answers listed in the view; the tables have all."""


class Likely(NamedTuple):
    """A row that shares words with a text: the row, its record, and p of what it shares."""

    row: IndexedRow
    record: Mapping[str, Any]
    p: float


def indexed(settings: IndexSettings, index: Index, chance: Null) -> Outcome:
    """Say what was indexed."""
    size = sum(path.stat().st_size for path in index.path.iterdir() if path.is_file())
    judge = chance.judge()
    result = {
        "rows": index.about["rows"],
        "texts": index.about["texts"],
        "words": index.about["words"],
        "vocabulary": len(index.counts) - 1,
        "bytes": size,
        "dataset_fingerprint": index.fingerprint,
        "null_source": chance.source,
        "threshold_bits": judge.threshold(0.01) if len(chance) else None,
    }
    sentence = (
        f"{result['rows']:,} rows indexed: {result['words']:,} words, {result['vocabulary']:,} different ones, "
        f"{size / 1e6:.1f} MB."
    )
    null = (
        f"The null: {chance.source}. At most one in a hundred of their words lies in a stretch of "
        f"{result['threshold_bits']:.0f} bits or more that another row has."
        if len(chance)
        else f"No response has {SHORTEST} words or more, so nothing here says what chance explains: trace answers "
        "with --reference."
    )
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = (
        f'tunescope trace --text "a sentence" --rows {source}',
        f"tunescope trace --answers ANSWERS --rows {source}",
    )
    return Outcome(result, View((sentence, null), (), following))


def one_text(
    settings: TraceSettings,
    text: str,
    words: int,
    records: Sequence[Mapping[str, Any]],
    likeliest: Sequence[Likely],
    judge: Judge,
    rows: int,
) -> Outcome:
    """Show a text with its borrowed spans underlined, and the likeliest rows with the shared words marked."""
    flagged = sum(int(record["words"]) for record in records)
    shared = sum(int(record["shared_words"]) for record in records)
    best = min((record["p_null"] for record in records), default=min((each.p for each in likeliest), default=1.0))
    if records:
        several = "One stretch" if len(records) == 1 else f"{len(records)} stretches"
        sentence = (
            f"{several} of this text, {flagged:,} of its {counted(words, 'word')}, underlined: {shared:,} of them "
            f"stand so in a row, which chance doesn't explain (p {_p(best)})."
        )
    elif not likeliest:
        sentence = f"No row shares an informative stretch with this text's {counted(words, 'word')}."
    elif judge.null.can_tell(P_MOST):
        sentence = f"Nothing in this text's {counted(words, 'word')} is more than chance explains (p {_p(best)})."
    else:
        sentence = (
            f"The null holds {counted(len(judge.null), 'text')}, too few to tell: p can't be below "
            f"{_p(1 / (1 + len(judge.null)))}, and {round(1 / P_MOST) - 1} are needed for {P_MOST:g}. Trace answers "
            "with --reference, or more rows."
        )
    null = (
        f"p: the share of texts that share as much with a row without having come from it; here of {judge.null.source}."
    )
    marks = tuple((int(record["char_start"]), int(record["char_end"])) for record in records)
    shown = [_around(text, marks)]
    shown += [_likely(number, each) for number, each in enumerate(likeliest, 1)]
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = []
    if likeliest:
        following.append(f"tunescope why {likeliest[0].row.row_id}")
    following.append(f"tunescope trace --answers ANSWERS --rows {source}")
    result = {
        "spans": list(records),
        "words": words,
        "flagged": flagged,
        "p": best,
        "rows_indexed": rows,
        "rows_named": [{**each.record, "p_null": each.p} for each in likeliest],
        "null_source": judge.null.source,
    }
    return Outcome(result, View((sentence, null), (), tuple(following), tuple(shown)))


def _around(text: str, marks: tuple[tuple[int, int], ...]) -> Marked:
    """Show a text whole, or of a long one what is around its marks."""
    if len(text) <= LONG:
        return Marked("", text, marks)
    parts, moved, at, length = [], [], 0, 0
    for start, end in marks or ((0, 0),):
        begin, stop = max(at, start - AROUND), min(len(text), end + AROUND)
        parts.append("… " * (begin > at) + text[begin:stop])
        length += len(parts[-1])
        moved += [(start + length - stop, end + length - stop)] if end > start else []
        at = stop
    return Marked("", "".join(parts) + " …" * (at < len(text)), tuple(moved))


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "below 0.001"


def _likely(number: int, each: Likely) -> Marked:
    """Show a row around the words it shares."""
    record = each.record
    own = next(text for field, text in each.row.texts if field == record["field"])
    begin = max(0, int(record["row_char_start"]) - AROUND)
    end = min(len(own), int(record["row_char_end"]) + AROUND)
    while begin and not own[begin - 1].isspace() and begin < record["row_char_start"]:
        begin += 1
    while end < len(own) and not own[end].isspace() and end > record["row_char_end"]:
        end -= 1
    lead, tail = "… " * bool(begin), " …" * (end < len(own))
    marks = tuple((a - begin + len(lead), b - begin + len(lead)) for _, _, a, b in record["shared"])
    like = f", and {record['group_size'] - 1} like it" if record["group_size"] > 1 else ""
    title = (
        f"{number}. {record['file']}:{record['line']}, row {record['row_id']}{like}, {record['field']}: "
        f"{record['chain_bits']:.0f} bits, p {_p(each.p)}"
    )
    return Marked(title, f"{lead}{own[begin:end]}{tail}", marks)


def many(
    settings: TraceSettings,
    sources: Sources,
    index: Index,
    judge: Judge,
    threshold: float,
    expected: NDArray[np.int64],
    lines: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    likeliest: Counter[str],
    bits: Mapping[str, float],
    folder: RunFolder,
) -> Outcome:
    """Say how much answers share with rows, beside what the null shares, and which rows were borrowed from most."""
    from tunescope.stats import mean_bootstrap, mean_pooled, mean_pooled_difference

    measured = [line for line in lines if line["reason"] is None]
    if not measured:
        raise _nothing(sources)
    missing = len(lines) - len(measured)
    flagged, words = ([line.get(name) for line in lines] for name in ("flagged", "tokens"))  # None where missing
    null_words = judge.null.lengths.astype(float)
    share = mean_pooled(flagged, words, draws=DRAWS)
    chance = mean_pooled(expected.astype(float), null_words, draws=DRAWS)
    excess = mean_pooled_difference(flagged, words, expected.astype(float), null_words, draws=DRAWS)
    low_p = mean_bootstrap([float(line["p"] <= 0.05) if line["reason"] is None else None for line in lines])
    summary = {
        "flagged": share.as_json(),
        "expected": chance.as_json(),
        "excess": excess.as_json(),
        "answers_p_05": low_p.as_json(),
    }
    result: dict[str, Any] = {
        "n": len(measured),
        "n_missing": missing,
        "words": sum(line["tokens"] for line in measured),
        "summary": summary,
        "threshold_bits": threshold,
        "null_source": judge.null.source,
        "spans": list(records),
        "paper2": _paper2(measured),
        "rows_indexed": index.about["rows"],
        "rows_named": [{"row_id": ident, "borrowed": count} for ident, count in _most(likeliest, bits)],
    }
    cells = tuple(
        (label, percent(part.value), interval(_hundred(part.low), _hundred(part.high)), part.n, part.n_missing)
        for label, part in (
            ("words of the answers flagged", share),
            ("words of the null flagged", chance),
            ("excess", excess),
            ("answers with p up to 0.05 (5 % by chance)", low_p),
        )
    )
    against = f"against {sources.reference_name}" if sources.reference else "without a reference"
    tables = [
        Table(
            f"Words that answers share with rows, {against}",
            ("", "share", "95 % interval", "n", "n_missing"),
            cells,
            f"A word is flagged in a stretch that scores at least {threshold:.0f} bits"
            f"{' above what the reference has' if sources.reference else ''}, from which on "
            f"{percent(chance.value)} of the null's words are. The null: {judge.null.source}. Intervals: "
            "percentile bootstrap over texts. Words in common are no proof of learning; the excess is evidence.",
        )
    ]
    if likeliest:
        tables.append(_row_table(index, likeliest, bits))
    if result["paper2"]:
        tables.append(_paper2_table(result["paper2"]))
    sentence = (
        f"{percent(share.value)} of the words of {counted(len(measured), 'answer')} are flagged as borrowed from "
        f"{counted(index.about['rows'], 'row')}, where chance flags {percent(chance.value)}: "
        f"{_told(excess.value, excess.low, excess.high)}."
    )
    here = shlex.quote(str(folder.path))
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = []
    if likeliest:
        following.append(f"tunescope select {_row_files(settings, index)} --from {here} --where 'borrowed = 0'")
        following.append(f"tunescope why {_most(likeliest, bits)[0][0]}")
    if not sources.reference:
        answers = shlex.quote(settings.answers or "")
        following.append(f"tunescope trace --answers {answers} --rows {source} --reference BASE_ANSWERS")
    following.append(f"tunescope report {here}")
    return Outcome(result, View((sentence,), tuple(tables), tuple(following)))


def _row_files(settings: TraceSettings, index: Index) -> str:
    """Return the row files as they are typed, those of the index where its folder was named."""
    if Path(settings.rows[0]) != index.path:
        return as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    told = Run(index.path).settings
    return as_cli_args(told["rows"], told["format"], told["columns"], told["on_bad"])


def _nothing(sources: Sources) -> Exception:
    from tunescope.errors import TunescopeError

    return TunescopeError(f"none of the {len(sources.answers)} answers has a word; there is nothing to trace")


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _told(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "too few to tell the excess"
    span = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
    if low <= 0 <= high:
        return f"no excess that so many words could show ({span} points)"
    return f"an excess of {100 * value:.2f} points ({span})"


def _most(likeliest: Counter[str], bits: Mapping[str, float]) -> list[tuple[str, int]]:
    """Return the rows that are likeliest in most spans."""
    return sorted(likeliest.items(), key=lambda item: (-item[1], -bits[item[0]], item[0]))[:SHOWN]


def _row_table(index: Index, likeliest: Counter[str], bits: Mapping[str, float]) -> Table:
    wanted = dict(_most(likeliest, bits))
    rows = {row.row_id: row for row in index.rows() if row.row_id in wanted}
    cells = tuple(
        (ident, f"{rows[ident].file}:{rows[ident].line}", count, round(bits[ident], 1), rows[ident].text("instruction"))
        for ident, count in wanted.items()
    )
    return Table(
        "Rows borrowed from most",
        ("row id", "place", "spans", "bits", "instruction"),
        cells,
        f"Likeliest of at least one span: {counted(len(likeliest), 'row')}; the table rows counts their copies too.",
    )


def _paper2(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from tunescope.stats import mean_bootstrap
    from tunescope.verbs.trace.paper_measures import COLUMNS

    values = {name: [line.get(name) for line in measured if line["spans"]] for name in COLUMNS}
    return {
        name: mean_bootstrap(column).as_json()
        for name, column in values.items()
        if any(value is not None for value in column)
    }


def _paper2_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    called = {
        "string_found": "spans found by string search in their rows",
        "keyword_overlap": "keyword overlap with the likeliest row",
        "keyword_overlap_random": "… with a row drawn at random",
        "cosine": "cosine with the likeliest row",
        "cosine_random": "… with a row drawn at random",
    }
    cells = tuple(
        (called[name], part["mean"], interval(part["low"], part["high"]), part["n"], part["n_missing"])
        for name, part in summary.items()
    )
    return Table(
        "Paper 2's own measures, of answers that have a span",
        ("", "mean", "95 % interval", "n", "n_missing"),
        cells,
        "Keywords: 1- to 3-grams that neither begin nor end in a stop word (our list, no tagger).",
    )
