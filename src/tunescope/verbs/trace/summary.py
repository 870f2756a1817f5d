"""What the traced answers add up to: the share of borrowed words beside chance, and the rows borrowed from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot
from typing import NamedTuple

from tunescope.results.estimates import MeanEstimate
from tunescope.results.trace import BorrowedWords, Excess, TopSource, TraceAnswersResult, TracedAnswer, TraceSpan
from tunescope.stats import COSINE, Estimate, PValue, excess_test, mean, mean_share, proportion, share_pooled
from tunescope.stats.intervals import normal_quantile
from tunescope.verbs.trace.copies import Copies
from tunescope.verbs.trace.index import IndexedRow
from tunescope.verbs.trace.limitations_measures import COLUMNS
from tunescope.verbs.trace.null import NullDistribution
from tunescope.verbs.trace.rank import Candidate

_MAX_ROWS_NAMED = 10
"""Rows named in the result and the view; the table `rows` has all."""
_DRAWS = 2_000
"""Random choices of texts in the permutation test."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Which rows the spans of all answers come from, by row id.

    Attributes:
        listed: the rows that spans list.
        top_source: the number of spans whose top source a row is.
        borrowed: the same, counting the spans of its near-duplicates too: whoever drops a row must drop these.
        borrowed_bits: the scores of these spans, added up.
    """

    listed: dict[str, IndexedRow] = field(default_factory=dict)
    top_source: Counter[str] = field(default_factory=Counter)
    borrowed: Counter[str] = field(default_factory=Counter)
    borrowed_bits: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, candidates: Sequence[Candidate], score: float, top: int) -> None:
        """Count a span: its candidates (the top source first), its score, and how many rows it lists."""
        self.listed.update((candidate.row.row_id, candidate.row) for candidate in candidates[:top])
        self.top_source[candidates[0].row.row_id] += 1
        for row_id in candidates[0].group:
            self.borrowed[row_id] += 1
            self.borrowed_bits[row_id] += score

    def most_borrowed(self) -> list[tuple[str, int]]:
        """Return the rows that are the top source of most spans, with the number of spans."""
        order = sorted(self.top_source.items(), key=lambda item: (-item[1], -self.borrowed_bits[item[0]], item[0]))
        return order[:_MAX_ROWS_NAMED]


class TracedAnswers(NamedTuple):
    """All that tracing answers gave.

    Attributes:
        answers: a record per answer.
        copies: what they copy word for word.
        spans: a record per span.
        rows: the rows that the spans come from.
        distribution: the null distribution.
        threshold: the score from which on words are flagged.
    """

    answers: list[TracedAnswer]
    copies: Copies
    spans: list[TraceSpan]
    rows: SourceRows
    distribution: NullDistribution
    threshold: float


class AnswersSummary(NamedTuple):
    """Estimates over answers.

    Attributes:
        n: answers with words.
        n_missing: answers without.
        words: of these answers.
        flagged: the share of their words that is flagged.
        expected: the share of the null texts' words that is.
        excess: flagged - expected, without an interval where `flagged` has none.
        test: of the excess being chance alone.
        answers_p_05: the share of answers with a p-value up to 0.05.
        limitations: the Limitations paper's measures over answers with a span, by column.
    """

    n: int
    n_missing: int
    words: int
    flagged: Estimate
    expected: Estimate
    excess: Estimate
    test: PValue
    answers_p_05: Estimate
    limitations: dict[str, Estimate]


def summarize(traced: TracedAnswers) -> AnswersSummary:
    """Summarize traced answers, at least one of which has words."""
    measured = [answer for answer in traced.answers if answer.reason is None]
    flagged, words = ([getattr(answer, name) for answer in traced.answers] for name in ("flagged", "tokens"))
    null_flagged = traced.distribution.flagged_words(traced.threshold).astype(float)
    null_words = traced.distribution.sample.lengths.astype(float)
    borrowed, chance = share_pooled(flagged, words), share_pooled(null_flagged, null_words)
    significant = [None if answer.p is None else float(answer.p <= 0.05) for answer in traced.answers]
    return AnswersSummary(
        n=len(measured),
        n_missing=len(traced.answers) - len(measured),
        words=sum(answer.tokens or 0 for answer in measured),
        flagged=borrowed,
        expected=chance,
        excess=_excess(borrowed, chance),
        test=excess_test(flagged, words, null_flagged, null_words, draws=_DRAWS),
        answers_p_05=proportion(significant),
        limitations=_limitations_measures(measured),
    )


def _excess(flagged: Estimate, expected: Estimate) -> Estimate:
    """Return flagged - expected, with an interval where `flagged` has one (Newcombe 1998, method 10)."""
    if flagged.value is None or expected.value is None:
        return replace(flagged, value=None, low=None, high=None, reason=flagged.reason or expected.reason)
    method = f"difference of shares, from the {flagged.method.removeprefix('share over groups, ')}"
    excess_share = flagged.value - expected.value
    excess = replace(flagged, value=excess_share, low=None, high=None, method=method)
    if flagged.low is None or flagged.high is None or not flagged.value:
        return replace(excess, reason=flagged.reason or "no word is flagged: no interval")
    error = normal_quantile(flagged.level) * (expected.standard_error or 0.0)
    below, above = hypot(flagged.value - flagged.low, error), hypot(flagged.high - flagged.value, error)
    return replace(excess, low=excess_share - below, high=excess_share + above).within(COSINE)


def _limitations_measures(answers: Sequence[TracedAnswer]) -> dict[str, Estimate]:
    """Return the mean of each measure that has values, over answers with a span."""
    columns = {name: [getattr(answer, name) for answer in answers if answer.spans] for name in COLUMNS}
    return {
        name: mean(values, bounds=COSINE) if name.startswith("cosine") else mean_share(values)
        for name, values in columns.items()
        if any(value is not None for value in values)
    }


def result_of(summary: AnswersSummary, traced: TracedAnswers, rows_indexed: int) -> TraceAnswersResult:
    """Return the result of the run; `rows_indexed` is the number of rows of the index."""
    return TraceAnswersResult(
        n=summary.n,
        n_missing=summary.n_missing,
        words=summary.words,
        summary=BorrowedWords(
            flagged=MeanEstimate.of(summary.flagged),
            expected=MeanEstimate.of(summary.expected),
            excess=Excess.of(summary.excess, p=summary.test.p),
            answers_p_05=MeanEstimate.of(summary.answers_p_05),
        ),
        threshold_bits=traced.threshold,
        null_source=traced.distribution.sample.source,
        spans=tuple(traced.spans),
        limitations_measures={name: MeanEstimate.of(estimate) for name, estimate in summary.limitations.items()},
        rows_indexed=rows_indexed,
        rows_named=tuple(TopSource(row_id=row_id, borrowed=n) for row_id, n in traced.rows.most_borrowed()),
        copies=tuple(traced.copies.records),
        copied_words=traced.copies.words.total(),
        answers_with_copies=len(traced.copies.words),
    )
