"""Make the records of spans and of their rows, and the table `rows`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tunescope.matching.word_ids import word_offsets
from tunescope.results.trace import NEAR, VERBATIM, BorrowedRows, ListedRow, SpanRow, SpanTokens, TraceSpan
from tunescope.verbs.trace.find import Matches
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.rank import Candidate
from tunescope.verbs.trace.spans import BorrowedSpan

_CLOSING = ".,;:!?)]}"
_WordOffsets = list[tuple[int, int]]
"""Where each word of a text begins and ends, in characters [words]."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What all spans of a run share.

    Attributes:
        index: the rows.
        null_source: what the null texts are, in words.
        settings: the settings that decide which words are flagged, by name.
        top: rows to list per span.
    """

    index: Index
    null_source: str
    settings: Mapping[str, float]
    top: int


@dataclass(frozen=True, slots=True)
class TracedText:
    """A text with its words' offsets and its matches.

    Attributes:
        answer_id: of the answer; None for a single text.
        text: the text.
        offsets: where each word begins and ends.
        matches: its chains.
    """

    answer_id: str | None
    text: str
    offsets: _WordOffsets
    matches: Matches

    def stretch(self, begin: int, end: int) -> str:
        """Return the text from a word to before another."""
        return self.text[self.offsets[begin][0] : self.offsets[end - 1][1]]


def span_record(
    context: TraceContext,
    traced: TracedText,
    span: BorrowedSpan,
    p: float,
    candidates: Sequence[Candidate],
    shift: SpanTokens | None = None,
) -> TraceSpan:
    """Return the record of a span.

    Args:
        context: what all spans share.
        traced: the text that the span is of.
        span: the span.
        p: its p-value.
        candidates: its rows, the top source first.
        shift: a summary of its tokens, from a `shift` run.
    """
    matches, best = traced.matches, span.chains[0]
    chains, ref_bits = matches.chains, matches.ref_bits
    first = _skip_closing(traced, span)
    text = traced.stretch(first, span.end)
    kind = NEAR if chains.edits[best] else VERBATIM
    return TraceSpan(
        answer_id=traced.answer_id,
        char_start=traced.offsets[first][0],
        char_end=traced.offsets[span.end - 1][1],
        text=text,
        kind=kind,
        words=span.end - first,
        shared_words=int(chains.words[best]),
        bits=round(float(chains.bits[best]), 2),
        ref_bits=None if ref_bits is None else round(float(ref_bits[best]), 2),
        contrast_bits=None if ref_bits is None else round(float(matches.score[best]), 2),
        count=len(set(context.index.owners[chains.text[list(span.chains)]].tolist())),
        n_row_groups=len(candidates),
        p_null=p,
        shift=shift,
        score=1 - p,
        rows=tuple(row_record(context.index, traced, candidate, text) for candidate in candidates[: context.top]),
        string_found=any(text in _text_of(context.index, candidate) for candidate in candidates),
        evidence=tuple(_evidence(kind, ref_bits is not None, shift, candidates)),
        dataset_fingerprint=context.index.fingerprint,
        null_source=context.null_source,
        settings=dict(context.settings),
    )


def _evidence(
    kind: str, has_reference: bool, shift: SpanTokens | None, candidates: Sequence[Candidate]
) -> Iterator[str]:
    """Yield what speaks for a span: its kind, a reference, shifted tokens, and a source with the prompt's words."""
    yield kind
    if has_reference:
        yield "contrast"
    if shift is not None and shift.above_average:
        yield "shift"
    if any(candidate.prompt_bm25 for candidate in candidates[:1]):
        yield "prompt"


def _skip_closing(traced: TracedText, span: BorrowedSpan) -> int:
    """Return a span's first word behind closing punctuation, which ends the sentence before."""
    first = span.begin
    while first < span.end - 1 and traced.text[traced.offsets[first][0]] in _CLOSING:
        first += 1
    return first


def row_record(index: Index, traced: TracedText, candidate: Candidate, passage: str, p: float | None = None) -> SpanRow:
    """Return the record of a row that shares a chain with a text.

    Args:
        index: the rows.
        traced: the text.
        candidate: the row and the chain.
        passage: the stretch of the text that the row is listed for.
        p: the p-value of the chain, to be kept with a single text's rows.
    """
    chains = traced.matches.chains
    row_text = _text_of(index, candidate)
    row_offsets = word_offsets(row_text)
    first_position = int(index.starts[candidate.text])
    shared = []
    for start, position, n in chains.pieces(candidate.chain):
        row_start = position - first_position
        in_text = traced.offsets[start][0], traced.offsets[start + n - 1][1]
        shared.append((*in_text, row_offsets[row_start][0], row_offsets[row_start + n - 1][1]))
    return SpanRow(
        row_id=candidate.row.row_id,
        group_size=len(candidate.group),
        field=candidate.field,
        row_char_start=shared[0][2],
        row_char_end=shared[-1][3],
        edits=int(chains.edits[candidate.chain]),
        chain_bits=round(candidate.bits, 2),
        prompt_bm25=candidate.prompt_bm25,
        cosine=candidate.cosine,
        influence=None,
        file=candidate.row.location.file,
        line=candidate.row.location.line or 0,
        shared_words=int(chains.words[candidate.chain]),
        exact=passage in row_text,
        shared=tuple(shared),
        p_null=p,
        record=candidate.row.location.record,
    )


def _text_of(index: Index, candidate: Candidate) -> str:
    """Return the row's text that contains the candidate's chain."""
    return candidate.row.texts[candidate.text - int(index.first_texts[index.owners[candidate.text]])].text


def listed_row(row: IndexedRow) -> ListedRow:
    """Return the record of a row that a span lists, with its texts and lineage."""
    return ListedRow(
        row_id=row.row_id,
        origin=row.origin,
        file=row.location.file,
        line=row.location.line or 0,
        fields=dict(row.texts),
        lineage=tuple(dict(step) for step in row.lineage),
        record=row.location.record,
    )


def borrowed_rows(
    index: Index, borrowed: Mapping[str, int], borrowed_bits: Mapping[str, float], copied: Mapping[str, int]
) -> BorrowedRows:
    """Return the table `rows`, of all rows of the index.

    `control` marks as many rows, drawn from the others, as there are rows borrowed from.

    Args:
        index: the rows.
        borrowed: by row id, the number of spans whose top source the row or a near-duplicate of it is.
        borrowed_bits: by row id, the sum of their scores.
        copied: by row id, the number of copies of it.
    """
    rows = [(row.row_id, row.origin, *row.location) for row in index.rows()]
    ids, origins, files, lines, records = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    others = [row_id for row_id in ids if not borrowed.get(row_id)]
    control = set(Random(0).sample(others, min(len(others), len(borrowed))))
    return BorrowedRows(
        row_id=ids,
        origin=origins,
        file=files,
        line=lines,
        record=records,
        borrowed=[borrowed.get(row_id, 0) for row_id in ids],
        borrowed_bits=[borrowed_bits.get(row_id, 0.0) for row_id in ids],
        copied=[copied.get(row_id, 0) for row_id in ids],
        control=[int(row_id in control) for row_id in ids],
    )
