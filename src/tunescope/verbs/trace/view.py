"""What `trace` shows: never a share of borrowed words without what chance alone gives."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tunescope.results.trace import VERBATIM, SpanRow, TraceIndexResult, TraceSpan, TraceTextResult
from tunescope.runs import Outcome, Run
from tunescope.settings import typed
from tunescope.stats import Estimate
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.null import MIN_WORDS, NullSample
from tunescope.verbs.trace.settings import IndexSettings, TraceSettings
from tunescope.verbs.trace.sources import Sources
from tunescope.verbs.trace.summary import AnswersSummary, SourceRows, TracedAnswers
from tunescope.views import Marked, Table, View, counted, interval, percent

_CONTEXT_CHARS = 100
"""Characters of a row that are shown on each side of the words it shares."""
_MAX_WHOLE_CHARS = 2_000
"""Characters of a text that is shown whole."""
_INDEX_RATE = 0.01
"""The false-positive rate whose threshold an index's view names."""
_MEASURES = {
    "string_found": "spans found in their rows by string search",
    "keyword_overlap": "keyword overlap with the top source row",
    "keyword_overlap_random": "… with a random row",
    "cosine": "cosine with the top source row",
    "cosine_random": "… with a random row",
}


class RowMatch(NamedTuple):
    """A row that shares words with a text.

    Attributes:
        row: the row.
        record: what it shares, with its p-value.
    """

    row: IndexedRow
    record: SpanRow

    @property
    def p(self) -> float:
        """The p-value of what they share."""
        return 1.0 if self.record.p_null is None else self.record.p_null


# An index


def show_index(settings: IndexSettings, index: Index, sample: NullSample) -> Outcome:
    """Return an index's result and view."""
    size = sum(path.stat().st_size for path in index.path.iterdir() if path.is_file())
    threshold = sample.distribution().threshold(_INDEX_RATE) if len(sample) else None
    result = TraceIndexResult(
        rows=index.about["rows"],
        texts=index.about["texts"],
        words=index.about["words"],
        vocabulary=len(index.counts) - 1,
        bytes=size,
        dataset_fingerprint=index.fingerprint,
        null_source=sample.source,
        threshold_bits=threshold,
    )
    indexed = (
        f"Indexed {counted(result.rows, 'row')}: {result.words:,} words, {result.vocabulary:,} of them distinct, "
        f"{size / 1e6:.1f} MB."
    )
    if threshold is None:
        null = (
            f"No response has {MIN_WORDS} words or more, so there is no null distribution. Trace answers with "
            "--reference."
        )
    else:
        null = (
            f"Null distribution: {sample.source}. At most {_INDEX_RATE:.0%} of their words lie in a stretch of "
            f"{threshold:.0f} bits or more that another row has too."
        )
    source = typed(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = (
        f'tunescope trace --text "a sentence" --rows {source}',
        f"tunescope trace --answers ANSWERS --rows {source}",
    )
    return Outcome(result.as_json(), View((indexed, null), (), following))


# One text


def show_text(
    settings: TraceSettings,
    text: str,
    words: int,
    spans: Sequence[TraceSpan],
    rows: Sequence[RowMatch],
    sample: NullSample,
    rows_indexed: int,
    alpha: float,
) -> Outcome:
    """Return a text's result and view: the text with its spans underlined, and rows with the shared words underlined.

    Args:
        settings: the run's settings.
        text: the text.
        words: its number of words.
        spans: the records of its spans.
        rows: the rows that share most with it, the top source first.
        sample: the null texts.
        rows_indexed: rows of the index.
        alpha: the p-value up to which spans are flagged.
    """
    best_p = min((span.p_null for span in spans), default=min((row.p for row in rows), default=1.0))
    sentence = _describe_spans(spans, words, best_p) if spans else _describe_nothing(rows, words, best_p, sample, alpha)
    null = f"p: the share of null texts that share as much with a row by chance. Null texts: {sample.source}."
    marks = tuple((span.char_start, span.char_end) for span in spans)
    texts = [_mark_text(text, marks), *(_mark_row(number, row) for number, row in enumerate(rows, 1))]
    following = [f"tunescope why {rows[0].row.row_id}"] if rows else []
    source = typed(settings.rows, settings.format, settings.columns, settings.on_bad)
    following.append(f"tunescope trace --answers ANSWERS --rows {source}")
    result = TraceTextResult(
        spans=tuple(spans),
        words=words,
        flagged=sum(span.words for span in spans),
        p=best_p,
        rows_indexed=rows_indexed,
        rows_named=tuple(row.record for row in rows),
        null_source=sample.source,
    )
    return Outcome(result.as_json(), View((sentence, null), (), tuple(following), tuple(texts)))


def _describe_spans(spans: Sequence[TraceSpan], words: int, best_p: float) -> str:
    """Say how much of a text is borrowed."""
    borrowed = sum(span.words for span in spans)
    if len(spans) > 1:
        return (
            f"{len(spans)} stretches of this text (underlined), {borrowed:,} of its {counted(words, 'word')}, appear "
            f"in rows, verbatim or with a few words changed (lowest {_p(best_p)})."
        )
    how = "verbatim" if spans[0].kind == VERBATIM else "with a few words changed"
    return (
        f"One stretch of this text (underlined), {borrowed:,} of its {counted(words, 'word')}, appears in one row, "
        f"{how} ({_p(best_p)})."
    )


def _describe_nothing(rows: Sequence[RowMatch], words: int, best_p: float, sample: NullSample, alpha: float) -> str:
    """Say why nothing of a text is flagged."""
    if not rows:
        return f"No row shares an informative stretch with this text's {counted(words, 'word')}."
    if sample.can_reach(alpha):
        return f"This text's {counted(words, 'word')} share no more with the rows than chance explains ({_p(best_p)})."
    return (
        f"There are only {counted(len(sample), 'null text')}, so p can't be below {1 / (1 + len(sample)):.3f}. "
        f"For p = {alpha:g} at least {round(1 / alpha) - 1} are needed. Use more rows, or trace answers with "
        "--reference."
    )


def _p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def _mark_text(text: str, marks: tuple[tuple[int, int], ...]) -> Marked:
    """Show a text whole, or a long one only around its marks."""
    if len(text) <= _MAX_WHOLE_CHARS:
        return Marked("", text, marks)
    parts, moved, done, length = [], [], 0, 0
    for start, end in marks or ((0, 0),):
        begin, stop = max(done, start - _CONTEXT_CHARS), min(len(text), end + _CONTEXT_CHARS)
        parts.append("… " * (begin > done) + text[begin:stop])
        length += len(parts[-1])
        moved += [(start + length - stop, end + length - stop)] if end > start else []
        done = stop
    return Marked("", "".join(parts) + " …" * (done < len(text)), tuple(moved))


def _mark_row(number: int, match: RowMatch) -> Marked:
    """Show a row around the words it shares."""
    record = match.record
    text = next(text for field, text in match.row.texts if field == record.field)
    begin = max(0, record.row_char_start - _CONTEXT_CHARS)
    end = min(len(text), record.row_char_end + _CONTEXT_CHARS)
    while begin and not text[begin - 1].isspace() and begin < record.row_char_start:
        begin += 1
    while end < len(text) and not text[end].isspace() and end > record.row_char_end:
        end -= 1
    lead, tail = "… " * bool(begin), " …" * (end < len(text))
    marks = tuple((start - begin + len(lead), stop - begin + len(lead)) for _, _, start, stop in record.shared)
    group = f" (and {counted(record.group_size - 1, 'near-duplicate')})" if record.group_size > 1 else ""
    title = (
        f"{number}. {record.file}:{record.line}, row {record.row_id}{group}, {record.field}: "
        f"{record.chain_bits:.0f} bits, {_p(match.p)}"
    )
    return Marked(title, f"{lead}{text[begin:end]}{tail}", marks)


# Many answers


def show_answers(
    settings: TraceSettings, sources: Sources, index: Index, traced: TracedAnswers, summary: AnswersSummary, run: Path
) -> View:
    """Show how many words answers borrow, beside what chance gives, and the rows borrowed from most."""
    n_rows = index.about["rows"]
    sentence = (
        f"{percent(summary.flagged.value)} of the words of {counted(summary.n, 'answer')} are flagged as borrowed from "
        f"{counted(n_rows, 'row')}. Chance alone flags {percent(summary.expected.value)}. "
        f"{_describe_excess(summary.excess)}"
    )
    tables = [_shares_table(sources, traced, summary)]
    if traced.rows.top_source:
        tables.append(_rows_table(index, traced.rows))
    if summary.limitations:
        tables.append(_limitations_table(summary.limitations))
    return View((sentence,), tuple(tables), _next_commands(settings, sources, index, traced, run))


def _describe_excess(excess: Estimate) -> str:
    value, low, high = excess.value, excess.low, excess.high
    if value is None or low is None or high is None:
        return "There are too few texts to estimate the excess."
    points = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
    if low <= 0 <= high:
        return f"The difference isn't significant ({points} points)."
    return f"The excess is {100 * value:.2f} points ({points})."


def _shares_table(sources: Sources, traced: TracedAnswers, summary: AnswersSummary) -> Table:
    cells = tuple(
        (label, percent(part.value), interval(_in_percent(part.low), _in_percent(part.high)), part.n, part.n_missing)
        for label, part in (
            ("flagged words of the answers", summary.flagged),
            ("flagged words of the null texts", summary.expected),
            ("excess", summary.excess),
            ("answers with p up to 0.05 (5 % by chance)", summary.answers_p_05),
        )
    )
    against = f"against {sources.reference_name}" if sources.reference else "without a reference"
    above = " above the reference's" if sources.reference else ""
    return Table(
        f"Words that answers share with rows, {against}",
        ("", "share", "95 % interval", "n", "n_missing"),
        cells,
        f"A word is flagged where it lies in a stretch of at least {traced.threshold:.0f} bits{above}. At this "
        f"threshold {percent(summary.expected.value)} of the null texts' words are flagged. Null texts: "
        f"{traced.distribution.sample.source}. Intervals: percentile bootstrap over texts. Shared words alone don't "
        "prove learning. An excess is evidence of it.",
    )


def _rows_table(index: Index, sources: SourceRows) -> Table:
    most_borrowed = dict(sources.most_borrowed())
    rows = {row.row_id: row for row in index.rows() if row.row_id in most_borrowed}
    cells = tuple(
        (
            row_id,
            f"{rows[row_id].file}:{rows[row_id].line}",
            count,
            round(sources.borrowed_bits[row_id], 1),
            rows[row_id].text("instruction"),
        )
        for row_id, count in most_borrowed.items()
    )
    n_sources = counted(len(sources.top_source), "row")
    return Table(
        "Rows borrowed from most",
        ("row id", "place", "spans", "bits", "instruction"),
        cells,
        f"Spans: those whose top source the row is. In all {n_sources} are the top source of a span. The table `rows` "
        "counts near-duplicates too.",
    )


def _limitations_table(measures: Mapping[str, Estimate]) -> Table:
    cells = tuple(
        (_MEASURES[name], part.value, interval(part.low, part.high), part.n, part.n_missing)
        for name, part in measures.items()
    )
    return Table(
        "The Limitations paper's measures, over answers with a span",
        ("", "mean", "95 % interval", "n", "n_missing"),
        cells,
        "Keywords: 1- to 3-grams that don't begin or end with a stop word (our list, without a tagger).",
    )


def _next_commands(
    settings: TraceSettings, sources: Sources, index: Index, traced: TracedAnswers, run: Path
) -> tuple[str, ...]:
    here = shlex.quote(str(run))
    commands = []
    if traced.rows.top_source:
        commands.append(f"tunescope select {_row_files(settings, index)} --from {here} --where 'borrowed = 0'")
        commands.append(f"tunescope why {traced.rows.most_borrowed()[0][0]}")
    if not sources.reference:
        answers = shlex.quote(settings.answers or "")
        source = typed(settings.rows, settings.format, settings.columns, settings.on_bad)
        commands.append(f"tunescope trace --answers {answers} --rows {source} --reference BASE_ANSWERS")
    return (*commands, f"tunescope report {here}")


def _row_files(settings: TraceSettings, index: Index) -> str:
    """Return the row files as they are typed; of an index's folder, the files that it was built from."""
    if Path(settings.rows[0]) != index.path:
        return typed(settings.rows, settings.format, settings.columns, settings.on_bad)
    of_index = Run(index.path).settings
    return typed(of_index["rows"], of_index["format"], of_index["columns"], of_index["on_bad"])


def _in_percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
