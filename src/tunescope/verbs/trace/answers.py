"""`trace --answers`: trace many answers, with their rows, what chance explains, and the rows borrowed from most."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tunescope.answers import Answer
from tunescope.errors import SettingsError, TunescopeError
from tunescope.matching.word_ids import Query, word_offsets
from tunescope.results.trace import BorrowedRows, ListedRow, SpanTokens, TracedAnswer, TraceSpan, VerbatimCopy
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.trace import limitations_measures, null
from tunescope.verbs.trace.answers_view import show_answers
from tunescope.verbs.trace.copies import Copies, SearchedText, find_copies
from tunescope.verbs.trace.find import Finder, Matches, Reference, covered
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.null import NullDistribution, NullSample
from tunescope.verbs.trace.rank import Embed, rank
from tunescope.verbs.trace.records import TraceContext, TracedText, borrowed_rows, listed_row, span_record
from tunescope.verbs.trace.settings import TraceSettings
from tunescope.verbs.trace.sources import Sources, prompt_text
from tunescope.verbs.trace.spans import select_spans
from tunescope.verbs.trace.stretches import read_by
from tunescope.verbs.trace.summary import SourceRows, TracedAnswers, result_of, summarize

MIN_REFERENCE_TEXTS = 200
"""Texts (of enough words) that a reference needs to be the null; a smaller one only says what is common."""


def trace_answers(settings: TraceSettings, sources: Sources, index: Index, folder: RunFolder) -> Outcome:
    """Write spans, rows and tables of all answers; return the result and the view.

    Raises:
        SettingsError: no null text.
        TunescopeError: no answer with words.
    """
    sample, reference = _null_sample(sources, index)
    distribution = sample.distribution()
    copies = _find_copies(settings, sources, index)
    tracer = _Tracer(settings, sources, index, distribution, copies)
    matches_of_answers = _find_matches(settings, sources, index, reference, folder)
    answers = [
        tracer.trace(answer, matches) for answer, matches in zip(sources.answers, matches_of_answers, strict=True)
    ]
    folder.records(VerbatimCopy.NAME, (copy.as_json() for copy in copies.records))
    folder.records(TraceSpan.NAME, (span.as_json() for span in tracer.spans))
    folder.records("answers", (answer.as_json() for answer in sources.answers))
    listed = sorted(tracer.rows.listed.items())
    folder.records(ListedRow.NAME, (listed_row(row).as_json() for _, row in listed))
    folder.table(TracedAnswer.NAME, TracedAnswer.table(answers))
    rows = borrowed_rows(index, tracer.rows.borrowed, tracer.rows.borrowed_bits, copies.rows)
    folder.table(BorrowedRows.NAME, rows.table())
    if all(answer.reason is not None for answer in answers):
        raise TunescopeError(f"none of the {len(answers)} answers has a word, so there is nothing to trace")
    traced = TracedAnswers(answers, copies, tracer.spans, tracer.rows, distribution, tracer.threshold)
    summary = summarize(traced)
    view = show_answers(settings, sources, index, traced, summary, folder.path)
    return Outcome(result_of(summary, traced, index.about["rows"]).as_json(), view)


class _Tracer:
    """Traces answers one after the other, against the same rows and the same null distribution.

    Attributes:
        threshold: the score from which on words are flagged.
        spans: the records of all spans so far.
        rows: the rows that these come from.
    """

    def __init__(
        self,
        settings: TraceSettings,
        sources: Sources,
        index: Index,
        distribution: NullDistribution,
        copies: Copies,
    ) -> None:
        rate = settings.false_positive_rate or distribution.sample.rate
        self.threshold = distribution.threshold(rate)
        self.spans: list[TraceSpan] = []
        self.rows = SourceRows()
        self._index, self._distribution, self._copies = index, distribution, copies
        self._tokens, self._base_rate = sources.tokens, sources.base_rate()
        self._embed = _load_embedder(settings.embedder)
        sample = distribution.sample
        null_flagged = distribution.flagged_words(self.threshold).sum()
        self._expected_share = float(null_flagged / max(int(sample.lengths.sum()), 1))
        deciding = {
            "false_positive_rate": rate,
            "threshold_bits": self.threshold,
            "top": settings.top,
        }
        self._context = TraceContext(index, sample.source, deciding, settings.top)

    def trace(self, answer: Answer, matches: Matches) -> TracedAnswer:
        """Trace one answer; keep its spans and their rows; return its record."""
        words = len(matches.query)
        if not words:
            return TracedAnswer.missing(answer.answer_id, answer.prompt_id, "no words")
        traced = TracedText(answer.answer_id, answer.text, word_offsets(answer.text), matches)
        p_values = self._distribution.p_values(matches.score, words)
        spans = list(self._trace_spans(answer, traced, p_values))
        self.spans += [span for span, _ in spans]
        above = matches.score >= self.threshold
        flagged = int(covered(matches.chains.begin[above], matches.chains.end[above], words).sum())
        expected = self._expected_share * words
        return TracedAnswer(
            answer_id=answer.answer_id,
            prompt_id=answer.prompt_id,
            tokens=words,
            copied=self._copies.words[answer.answer_id],
            flagged=flagged,
            expected=round(expected, 3),
            excess=round(flagged - expected, 3),
            p=float(p_values.min()) if len(p_values) else 1.0,
            spans=len(spans),
            **limitations_measures.measure(answer, spans, self._index, self._embed),
            reason=None,
        )

    def _trace_spans(
        self, answer: Answer, traced: TracedText, p_values: NDArray[np.float64]
    ) -> Iterator[tuple[TraceSpan, IndexedRow]]:
        """Yield the record of each span of an answer with its top source row; count the rows."""
        matches = traced.matches
        for span in select_spans(matches, self.threshold):
            passage, best = traced.stretch(span.begin, span.end), span.chains[0]
            candidates = rank(self._index, matches.chains, span.chains, answer.prompt, passage, self._embed)
            shift = self._summarize_tokens(traced, span.begin, span.end)
            self.rows.add(candidates, float(matches.score[best]), self._context.top)
            yield span_record(self._context, traced, span, float(p_values[best]), candidates, shift), candidates[0].row

    def _summarize_tokens(self, traced: TracedText, begin: int, end: int) -> SpanTokens | None:
        """Summarize the shift run's tokens between two words; None where it has none of the answer."""
        tokens = self._tokens.get(traced.answer_id or "")
        if tokens is None:
            return None
        return tokens.summarize(traced.offsets[begin][0], traced.offsets[end - 1][1], self._base_rate)


def _find_copies(settings: TraceSettings, sources: Sources, index: Index) -> Copies:
    look_up = index.numbering.look_up
    texts = [SearchedText(a.answer_id, a.text, look_up(a.text), look_up(prompt_text(a))) for a in sources.answers]
    return find_copies(index, texts, settings.top)


def _null_sample(sources: Sources, index: Index) -> tuple[NullSample, Reference | None]:
    """Return the null texts' chains, and the reference.

    Raises:
        SettingsError: no null text.
    """
    sample, reference = _choose_null(sources, index)
    if not len(sample):
        raise SettingsError(
            f"there is no null distribution: found no response of {null.MIN_WORDS} words or more in the rows; type "
            f"--reference ANSWERS with at least {MIN_REFERENCE_TEXTS} such texts by a model that never saw the rows"
        )
    return sample, reference


def _choose_null(sources: Sources, index: Index) -> tuple[NullSample, Reference | None]:
    """Take the null texts from the reference where it has enough, else from the rows."""
    if not sources.reference:
        return null.load(index.path), None
    prompts, texts = ([index.numbering.look_up(text) for text in side] for side in zip(*sources.reference, strict=True))
    reference = Reference.of(sources.reference_name, texts, index)
    if sum(len(text) >= null.MIN_WORDS for text in texts) >= MIN_REFERENCE_TEXTS:
        return null.of_reference(sources.reference_name, texts, prompts, index), reference
    return null.leave_one_out(index, reference), reference


def _find_matches(
    settings: TraceSettings, sources: Sources, index: Index, reference: Reference | None, folder: RunFolder
) -> Iterator[Matches]:
    """Find the matches of each answer, with the suffix array or by reading all rows once."""
    finder = Finder(index, reference, compile=True)
    queries: list[Query] = [index.numbering.look_up(answer.text) for answer in sources.answers]
    prompts = [index.numbering.look_up(prompt_text(answer)) for answer in sources.answers]
    if settings.stream or index.order is None:
        read = None if settings.is_here else read_by(settings, index, folder)
        yield from finder.stream(queries, prompts, read)
    else:
        for query, prompt in zip(queries, prompts, strict=True):
            yield finder.find(query, prompt)


def _load_embedder(name: str | None) -> Embed | None:
    if name is None:
        return None
    from tunescope.models.embedder import Embedder

    embedder = Embedder(name)
    return lambda texts: embedder.embed(texts).vectors
