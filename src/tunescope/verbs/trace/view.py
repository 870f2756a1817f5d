"""What `trace index` and `trace --text` show: what they found, beside the null distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tunescope.results.trace import VERBATIM, SpanRow, TraceIndexResult, TraceSpan, TraceTextResult, VerbatimCopy
from tunescope.runs import Outcome
from tunescope.settings import as_cli_args
from tunescope.verbs.trace.copies_view import describe_copies, join_stretches
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.null import MIN_WORDS, NullSample
from tunescope.verbs.trace.settings import IndexSettings, TraceSettings
from tunescope.views import Marked, View, counted, excerpt, percent, shorten

_CONTEXT_CHARS = 100
"""Characters of a row that are shown on each side of the words it shares."""
_RESPONSE_CHARS = 200
"""Characters of a row's response that are shown beside its instruction."""
_MAX_WHOLE_CHARS = 2_000
"""Characters of a text that is shown whole."""


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


def show_index(settings: IndexSettings, index: Index, sample: NullSample) -> Outcome:
    """Return an index's result and view."""
    size = sum(path.stat().st_size for path in index.path.iterdir() if path.is_file())
    threshold = sample.distribution().threshold(sample.rate) if len(sample) else None
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
            f"Null distribution: {sample.source}. At most {percent(sample.rate, 1)} of their words lie in a stretch of "
            f"{threshold:.0f} bits or more that another row has too."
        )
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following = (
        f'tunescope trace --text "a sentence" --rows {source}',
        f"tunescope trace --answers ANSWERS --rows {source}",
    )
    return Outcome(result.as_json(), View((indexed, null), (), following))


def show_text(
    settings: TraceSettings,
    text: str,
    words: int,
    copies: Sequence[VerbatimCopy],
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
        copies: what it copies word for word.
        spans: the records of its spans.
        rows: the rows that share most with it, the top source first.
        sample: the null texts.
        rows_indexed: rows of the index.
        alpha: the p-value up to which spans are flagged.
    """
    best_p = min((span.p_null for span in spans), default=min((row.p for row in rows), default=1.0))
    sentence = _describe_spans(spans, words, best_p) if spans else _describe_nothing(rows, words, best_p, sample, alpha)
    null = f"p: the share of null texts that share as much with a row by chance. Null texts: {sample.source}."
    marks = join_stretches([*copies, *spans])
    texts = [_mark_text(text, marks), *(text for number, row in enumerate(rows, 1) for text in _mark_row(number, row))]
    following = [f"tunescope why {rows[0].row.row_id}"] if rows else []
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    following.append(f"tunescope trace --answers ANSWERS --rows {source}")
    result = TraceTextResult(
        copies=tuple(copies),
        spans=tuple(spans),
        words=words,
        flagged=sum(span.words for span in spans),
        p=best_p,
        rows_indexed=rows_indexed,
        rows_named=tuple(row.record for row in rows),
        null_source=sample.source,
    )
    return Outcome(
        result.as_json(), View((*describe_copies(copies), sentence, null), (), tuple(following), tuple(texts))
    )


def _describe_spans(spans: Sequence[TraceSpan], words: int, best_p: float) -> str:
    """Say how much of a text is borrowed."""
    borrowed = sum(span.words for span in spans)
    if len(spans) > 1:
        return (
            f"{len(spans)} stretches of this text (underlined), {borrowed:,} of its {counted(words, 'word')}, appear "
            f"in rows, verbatim or with a few words changed (lowest {_p(best_p)})."
        )
    where = "verbatim in one row" if spans[0].kind == VERBATIM else "in one row with a few words changed"
    return (
        f"One stretch of this text (underlined), {borrowed:,} of its {counted(words, 'word')}, appears {where} "
        f"({_p(best_p)})."
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


def _mark_row(number: int, match: RowMatch) -> Iterator[Marked]:
    """Show a row around the words it shares, and its response where they are in another text of it."""
    record = match.record
    text = next(text for field, text in match.row.texts if field == record.field)
    begin = max(0, record.row_char_start - _CONTEXT_CHARS)
    end = min(len(text), record.row_char_end + _CONTEXT_CHARS)
    while begin and not text[begin - 1].isspace() and begin < record.row_char_start:
        begin += 1
    while end < len(text) and not text[end].isspace() and end > record.row_char_end:
        end -= 1
    marks = [(start, stop) for _, _, start, stop in record.shared]
    group = f" (and {counted(record.group_size - 1, 'near-duplicate')})" if record.group_size > 1 else ""
    title = (
        f"{number}. {record.location}, row {record.row_id}{group}, {record.field}: "
        f"{record.chain_bits:.0f} bits, {_p(match.p)}"
    )
    yield excerpt(title, text, begin, end, marks)
    response = match.row.text("response")
    if response and not record.field.startswith("response"):
        yield Marked(f"The response of row {record.row_id}", shorten(response, _RESPONSE_CHARS))
