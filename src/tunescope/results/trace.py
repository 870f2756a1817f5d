"""What `trace` and `trace index` write: results, spans, rows, a row per answer (docs/reference/trace-numbers.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from tunescope.locations import Location
from tunescope.results.columns import Columns
from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Int32, Record, keys

VERBATIM, NEAR, SIMILAR = KINDS = ("verbatim", "near", "similar")
"""Kinds of spans: no word changed; a few words changed, left out or inserted; alike in meaning (in no run yet)."""
WHOLE_RESPONSE, SENTENCE = ("response", "sentence")
"""Kinds of copies: all of the text is a row's whole response; a sentence of it stands in a row."""


class _Located:
    """A record about a row that says where the row is."""

    file: str
    line: int
    record: int | None

    @property
    def location(self) -> Location:
        """Where the row is."""
        return Location(self.file, self.line, self.record)


@dataclass(frozen=True, kw_only=True)
class TraceIndexResult(Record):
    """The result of `trace index`."""

    rows: int
    texts: int
    words: int
    vocabulary: int
    """Distinct words."""
    bytes: int
    dataset_fingerprint: str
    null_source: str
    threshold_bits: float | None
    """Bits from which on 2.5 % of the null texts' words are flagged; None without null texts."""


@dataclass(frozen=True, kw_only=True)
class SpanTokens(Record):
    """The tokens of a span, from a `shift` run."""

    n_tokens: int
    shifted: int
    marginal: int
    mean_log_ratio: float
    above_average: bool
    """The share of shifted and marginal tokens is above that of all answers."""


@dataclass(frozen=True, kw_only=True)
class SpanRow(_Located, Record):
    """A row that shares words with a span."""

    row_id: str
    group_size: int
    """The row and its near-duplicates among the candidates."""
    field: str
    row_char_start: int
    row_char_end: int
    edits: int
    """Words changed, left out or inserted."""
    chain_bits: float
    prompt_bm25: float | None
    cosine: float | None
    influence: float | None
    file: str
    line: int
    shared_words: int
    exact: bool
    """The span occurs in the row letter by letter."""
    shared: tuple[tuple[int, int, int, int], ...]
    """Of each shared run: where it begins and ends in the answer and in the row's text, in characters."""
    p_null: float | None = None
    """The p-value of what a single text shares with the row."""
    record: int | None = None
    """The row's number in the file, where the line doesn't tell it from other rows."""


@dataclass(frozen=True, kw_only=True)
class TraceSpan(Record):
    """A line of `spans.jsonl`: a borrowed span of an answer or a text."""

    NAME: ClassVar[str] = "spans"

    answer_id: str | None
    """None for a single text."""
    char_start: int
    char_end: int
    text: str
    kind: str
    words: int
    shared_words: int
    bits: float
    ref_bits: float | None
    contrast_bits: float | None
    count: int
    """Rows that have at least half of the span with half of its bits."""
    n_row_groups: int
    p_null: float
    shift: SpanTokens | None
    score: float
    """1 - p_null."""
    rows: tuple[SpanRow, ...]
    """The top source first."""
    string_found: bool
    """The span occurs letter by letter in one of its rows."""
    evidence: tuple[str, ...]
    dataset_fingerprint: str
    null_source: str
    settings: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CopiedRow(_Located, Record):
    """A row in which a copied passage stands, and where in which of its texts."""

    row_id: str
    file: str
    line: int
    field: str
    char_start: int
    char_end: int
    record: int | None = None
    """The row's number in the file, where the line doesn't tell it from other rows."""


@dataclass(frozen=True, kw_only=True)
class VerbatimCopy(Record):
    """A line of `copies.jsonl`: what a text has word for word from rows, whatever the null distribution says."""

    NAME: ClassVar[str] = "copies"

    answer_id: str | None
    """None for a single text."""
    kind: str
    char_start: int
    char_end: int
    text: str
    words: int
    in_prompt: bool
    """It stands in the answer's prompt too."""
    n_rows: int
    """Rows that have it."""
    rows: tuple[CopiedRow, ...]
    """The first of them."""


@dataclass(frozen=True, kw_only=True)
class TraceTextResult(Record):
    """The result of `trace --text`."""

    copies: tuple[VerbatimCopy, ...]
    spans: tuple[TraceSpan, ...]
    words: int
    flagged: int
    """Words in spans."""
    p: float
    rows_indexed: int
    rows_named: tuple[SpanRow, ...]
    null_source: str


@dataclass(frozen=True, kw_only=True)
class Excess(MeanEstimate):
    """The share of flagged words above what chance gives."""

    p: float | None
    """Two-sided, of chance alone giving a share as far off: a permutation test over texts."""


@dataclass(frozen=True, kw_only=True)
class BorrowedWords(Record):
    """Shares of words, with intervals over texts."""

    flagged: MeanEstimate
    """Of the answers' words."""
    expected: MeanEstimate
    """Of the null texts' words."""
    excess: Excess
    answers_p_05: MeanEstimate
    """The share of answers with p up to 0.05."""


@dataclass(frozen=True, kw_only=True)
class TopSource(Record):
    """A row, and the number of spans whose top source it is."""

    row_id: str
    borrowed: int


@dataclass(frozen=True, kw_only=True)
class TraceAnswersResult(Record):
    """The result of `trace --answers`."""

    n: int
    n_missing: int
    """Answers without words."""
    words: int
    summary: BorrowedWords
    threshold_bits: float
    null_source: str
    spans: tuple[TraceSpan, ...]
    limitations_measures: dict[str, MeanEstimate]
    rows_indexed: int
    rows_named: tuple[TopSource, ...]
    copies: tuple[VerbatimCopy, ...]
    copied_words: int
    """Words in copies."""
    answers_with_copies: int


@dataclass(frozen=True, kw_only=True)
class TracedAnswer(Record):
    """A row of the table `answers`."""

    NAME: ClassVar[str] = "answers"

    answer_id: str
    prompt_id: str
    tokens: Int32 | None
    """Words of the answer."""
    copied: Int32 | None
    """Words of it in copies: the whole answer, or sentences that stand in rows word for word."""
    flagged: Int32 | None
    expected: float | None
    """Words that chance alone flags."""
    excess: float | None
    p: float | None
    spans: Int32 | None
    string_found: float | None
    keyword_overlap: float | None
    keyword_overlap_random: float | None
    cosine: float | None
    cosine_random: float | None
    reason: str | None
    """Why all else is None."""

    @classmethod
    def missing(cls, answer_id: str, prompt_id: str, reason: str) -> Self:
        """Return the row of an answer that can't be traced."""
        ids = {"answer_id": answer_id, "prompt_id": prompt_id, "reason": reason}
        return cls.from_json(dict.fromkeys(keys(cls)) | ids)


@dataclass(frozen=True, kw_only=True)
class ListedRow(_Located, Record):
    """A line of `rows.jsonl`: a row that a span lists, with its texts by field."""

    NAME: ClassVar[str] = "rows"

    row_id: str
    origin: str
    file: str
    line: int
    fields: dict[str, str]
    lineage: tuple[dict[str, Any], ...]
    record: int | None = None
    """Its number in the file, where the line doesn't tell it from other rows."""


@dataclass(frozen=True, kw_only=True)
class BorrowedRows(Columns):
    """The table `rows`, of all rows of the index."""

    NAME: ClassVar[str] = "rows"

    row_id: Sequence[str]
    origin: Sequence[str]
    file: Sequence[str]
    line: Sequence[int]
    record: Sequence[int | None]
    borrowed: Sequence[Int32]
    """Spans whose top source the row or a near-duplicate of it is."""
    borrowed_bits: Sequence[float]
    """The sum of their scores."""
    copied: Sequence[Int32]
    """Copies of the row, or of a sentence of it, word for word."""
    control: Sequence[Int32]
    """1 for as many rows, drawn from the others."""
