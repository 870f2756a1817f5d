"""What became of the phrases that people marked: found in rows, shifted by tuning, with a row as their cause.

These are the shares of the Limitations paper's section 5. Each stands beside what chance gives: the same share of all
stretches of as many words in the same answer, each as likely as the others. So the null is computed, not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tunescope.annotations.collected import Collected
from tunescope.annotations.values import is_empty
from tunescope.results.agreement import CauseRows, MarkedPhrase, MarkedShare, MarkedStretch
from tunescope.results.annotate import Mark, ShownRow, StudyItem
from tunescope.results.estimates import MeanEstimate
from tunescope.results.shift import CLASSES, ShiftTokens
from tunescope.results.trace import TracedAnswer, TraceSpan, VerbatimCopy
from tunescope.runs import Run
from tunescope.stats import COSINE, Estimate, mean, mean_pooled, mean_share, share_pooled
from tunescope.text.keywords import keyword_overlap
from tunescope.text.words import word_spans

Stretch: TypeAlias = tuple[int, int]
Embed: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → unit vectors [texts, width]."""
_PAPER_IN_ROWS, _PAPER_SHIFTED, _PAPER_CAUSE = "72 %", "89 %", "87 % (full), 13.9 % (LoRA)"


class _Asked(NamedTuple):
    """A phrase that people marked, or were asked about, with what they said of it.

    Attributes:
        marks: of the main study.
    """

    item: StudyItem
    answer_id: str
    start: int
    end: int
    marks: Sequence[Mark]

    @property
    def answer(self) -> str:
        return next(answer.text for answer in self.item.answers if answer.answer_id == self.answer_id)


class RunEvidence(NamedTuple):
    """What runs say of answers.

    Attributes:
        copied: stretches of each answer that stand in one row word for word; None without a run of `trace`.
        tokens: each answer's tokens; None without a run of `shift`.
    """

    copied: Mapping[str, Sequence[Stretch]] | None
    tokens: Mapping[str, ShiftTokens] | None

    @classmethod
    def read(cls, trace: Run | None, shift: Run | None) -> RunEvidence:
        """Read runs of `trace --answers` and of `shift`."""
        return cls(
            None if trace is None else _copied(trace),
            None if shift is None else ShiftTokens.read(shift).by_answer(),
        )


def _copied(trace: Run) -> dict[str, list[Stretch]]:
    """Return what each traced answer has word for word from one row, in characters."""
    copied: dict[str, list[Stretch]] = {
        answer.answer_id: [] for answer in TracedAnswer.read_rows(trace) if answer.reason is None
    }
    for span in TraceSpan.read_lines(trace):
        copied[str(span.answer_id)] += [(shared[0], shared[1]) for row in span.rows for shared in row.shared]
    for copy in VerbatimCopy.read_lines(trace):
        copied[str(copy.answer_id)].append((copy.char_start, copy.char_end))
    return copied


def marked_phrases(collected: Collected, evidence: RunEvidence) -> list[MarkedPhrase]:
    """Return the different phrases of the main study, in the order of its items, with what runs say of them."""
    return [_look_up(phrase, evidence) for phrase in _asked(collected)]


def _asked(collected: Collected) -> Iterator[_Asked]:
    by_place: dict[tuple[str, str, int, int], list[Mark]] = {}
    for mark in collected.of_phase("main"):
        if collected.kind in ("spans", "cause") and not is_empty(mark) and "start" in mark.value:
            value = mark.value
            place = (mark.item_id, value["answer_id"], value["start"], value["end"])
            by_place.setdefault(place, []).append(mark)
    for (item_id, answer_id, start, end), marks in by_place.items():
        yield _Asked(collected.items[item_id], answer_id, start, end, marks)


def _look_up(phrase: _Asked, evidence: RunEvidence) -> MarkedPhrase:
    text = phrase.answer
    words = [*word_spans(text)]
    own = [number for number, (begin, end) in enumerate(words) if begin < phrase.end and end > phrase.start]
    stretches = _stretches(words, len(own)) if own else []
    copied = None if evidence.copied is None else evidence.copied.get(phrase.answer_id)
    in_rows = in_rows_null = None
    if copied is not None and own:
        inside = [any(a <= begin and end <= b for a, b in copied) for begin, end in stretches]
        in_rows, in_rows_null = float(inside[own[0]]), fmean(inside)
    tokens = None if evidence.tokens is None else evidence.tokens.get(phrase.answer_id)
    n_tokens = shifted = shifted_null = None
    if tokens is not None and own:
        n_tokens, shifted = _shifted(tokens, [stretches[own[0]]])
        total, of_total = _shifted(tokens, stretches)
        shifted_null = of_total / total if total else None
    people = {mark.annotator for mark in phrase.marks}
    named = {mark.annotator for mark in phrase.marks if mark.kind == "cause" and mark.value["row_id"] is not None}
    return MarkedPhrase(
        item_id=phrase.item.item_id,
        answer_id=phrase.answer_id,
        start=phrase.start,
        end=phrase.end,
        text=text[phrase.start : phrase.end],
        annotators=len(people),
        in_rows=in_rows,
        in_rows_null=in_rows_null,
        tokens=n_tokens,
        shifted=shifted,
        shifted_null=shifted_null,
        with_cause=len(named) / len(people) if phrase.item.kind == "cause" else None,
    )


def _stretches(words: Sequence[Stretch], length: int) -> list[Stretch]:
    """Return all stretches of so many words, in characters."""
    return [(words[n][0], words[n + length - 1][1]) for n in range(len(words) - length + 1)]


def _shifted(tokens: ShiftTokens, stretches: Sequence[Stretch]) -> tuple[int, int]:
    """Return how many tokens the stretches have, and how many of them are shifted or marginal."""
    places = [*zip(tokens.char_start, tokens.char_end, tokens.token_class, strict=True)]
    inside = [each for begin, end in stretches for a, b, each in places if a < end and b > begin]
    return len(inside), sum(each != CLASSES[0] for each in inside)


def share_in_rows(phrases: Sequence[MarkedPhrase]) -> MarkedShare:
    """Return the share of phrases that stand whole in one row, word for word, as a run of `trace` found them."""
    known = [(p.answer_id, p.in_rows, 1, p.in_rows_null) for p in phrases if p.in_rows is not None]
    reason = "the run of trace doesn't have their answers, or they have no word"
    return _marked_share(known, len(phrases), _PAPER_IN_ROWS, reason)


def share_shifted(phrases: Sequence[MarkedPhrase]) -> MarkedShare:
    """Return the share of the phrases' tokens that are shifted or marginal."""
    known = [(p.answer_id, float(p.shifted or 0), p.tokens, p.shifted_null) for p in phrases if p.tokens]
    reason = "the run of shift doesn't have their answers, or they have no word"
    return _marked_share(known, len(phrases), _PAPER_SHIFTED, reason)


def share_with_cause(phrases: Sequence[MarkedPhrase]) -> MarkedShare:
    """Return the share of phrases for which people named a row; nobody names rows for random phrases."""
    estimate = MeanEstimate.of(mean_share([phrase.with_cause for phrase in phrases]))
    none = MeanEstimate(
        mean=None,
        low=None,
        high=None,
        n=0,
        n_missing=0,
        method="",
        reason="people weren't asked about random phrases; such items have to be in the study",
    )
    return MarkedShare(
        share=estimate, null=none, difference=none, phrases=len(phrases), n_missing=0, paper=_PAPER_CAUSE
    )


def _marked_share(
    phrases: Sequence[tuple[str, float, int | None, float | None]], total: int, paper: str, reason: str
) -> MarkedShare:
    """Pool phrases of answers: (answer, what counts, of how many, the null's share)."""
    sums: dict[str, list[float]] = {}
    for answer_id, counted, size, null in phrases:
        of_answer = sums.setdefault(answer_id, [0.0, 0.0, 0.0])
        for place, each in enumerate((counted, float(size or 0), (null or 0.0) * (size or 0))):
            of_answer[place] += each
    marked, sizes, null_sums = ([each[place] for each in sums.values()] for place in range(3))
    gaps = [m - n for m, n in zip(marked, null_sums, strict=True)]
    missing = total - len(phrases)
    return MarkedShare(
        share=MeanEstimate.of(share_pooled(marked, sizes)),
        null=MeanEstimate.of(share_pooled(null_sums, sizes)),
        difference=MeanEstimate.of(mean_pooled(gaps, sizes, bounds=COSINE)),
        phrases=len(phrases),
        n_missing=missing,
        missing_reason=reason if missing else None,
        paper=paper,
    )


def compare_causes(collected: Collected, embed: Embed | None) -> CauseRows:
    """Compare question and answer with the rows named as a cause, and with a random other row of the item.

    Keyword overlap and cosine as in the Limitations paper's appendix D.1. Of an item with several named rows the mean
    counts. The random row is drawn by the item's id among the rows that nobody named; an item without such a row, and
    one without a named row, is missing.
    """
    overlaps: list[tuple[float | None, float | None]] = []
    cosines: list[tuple[float | None, float | None]] = []
    for item_id, named in _named_rows(collected).items():
        item = collected.items[item_id]
        texts = {row.row_id: _row_text(row) for row in item.rows}
        others = sorted(texts.keys() - named)
        if not named or not others:
            overlaps.append((None, None))
            cosines.append((None, None))
            continue
        whole = f"{item.prompt}\n{item.answers[0].text}"
        other, rows = texts[Random(item_id).choice(others)], [texts[row] for row in sorted(named)]
        overlaps.append((_mean([keyword_overlap(whole, row) for row in rows]), keyword_overlap(whole, other)))
        if embed is not None:
            vectors = embed([whole, other, *rows])
            near = [float(vectors[0] @ vector) for vector in vectors[1:]]
            cosines.append((fmean(near[1:]), near[0]))
    reason = None if embed is not None else "no embedder was named; add --embedder all-minilm-l6-v2"
    return CauseRows(
        keyword_overlap=_estimate(mean_share([named for named, _ in overlaps])),
        keyword_overlap_random=_estimate(mean_share([other for _, other in overlaps])),
        cosine=_estimate(mean([named for named, _ in cosines], bounds=COSINE), reason),
        cosine_random=_estimate(mean([other for _, other in cosines], bounds=COSINE), reason),
    )


def _named_rows(collected: Collected) -> dict[str, set[str]]:
    named: dict[str, set[str]] = {}
    for mark in collected.of_phase("main"):
        rows = named.setdefault(mark.item_id, set())
        rows |= {mark.value["row_id"]} - {None}
    return named


def _row_text(row: ShownRow) -> str:
    return "\n".join(text for _, text in row.texts)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _estimate(estimate: Estimate, reason: str | None = None) -> MeanEstimate:
    made = MeanEstimate.of(estimate)
    return made if reason is None else MeanEstimate.from_json(made.as_json() | {"mean": None, "reason": reason})


def marked_stretches(collected: Collected) -> Iterator[MarkedStretch]:
    """Yield the stretches of answers that somebody marked in the main study; marks that overlap are one."""
    by_answer: dict[str, list[Mark]] = {}
    for mark in collected.of_phase("main"):
        if "start" in mark.value:
            by_answer.setdefault(mark.value["answer_id"], []).append(mark)
    texts = {answer.answer_id: answer.text for item in collected.items.values() for answer in item.answers}
    for answer_id, marks in by_answer.items():
        groups: list[list[Mark]] = []
        for mark in sorted(marks, key=lambda mark: (mark.value["start"], mark.value["end"])):
            if groups and mark.value["start"] < max(each.value["end"] for each in groups[-1]):
                groups[-1].append(mark)
            else:
                groups.append([mark])
        for group in groups:
            start, end = group[0].value["start"], max(mark.value["end"] for mark in group)
            yield MarkedStretch(
                answer_id=answer_id,
                start=start,
                end=end,
                text=texts[answer_id][start:end],
                categories=tuple(sorted({str(m.value["category"]) for m in group if "category" in m.value})),
                annotators=tuple(sorted({mark.annotator for mark in group})),
            )
