"""The result of `shift`: means over tokens with intervals over answers, parts of sentences, and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunescope.answers import Answer
from tunescope.results.estimates import MeanEstimate
from tunescope.results.shift import (
    CLASSES,
    FirstMinusRest,
    ShiftAnswer,
    ShiftedWords,
    ShiftResult,
    ShiftTokens,
    TruncatedKL,
    WordsInRows,
)
from tunescope.verbs.shift.words import GROUPS, TokenPlace, Word, frequent, in_vocabulary, vocabulary, words_of

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.stats import Bounds, Estimate
    from tunescope.verbs.shift.settings import ShiftSettings

_DIVERGENCES = ("kl", "kl_reverse")
_TOKEN_SHARES = ("base_prob", *CLASSES, "own_choice")


def summarize(
    settings: ShiftSettings,
    base: str,
    answers: Sequence[Answer],
    records: Sequence[ShiftAnswer],
    tokens: ShiftTokens,
    row_sets: Sequence[RowSet | None],
    unanswered: int,
) -> ShiftResult:
    """Return the result of a finished comparison.

    `records` has one per answer. `row_sets` are the training rows and the other rows, None where not given.
    """
    from tunescope.stats import FROM_0, FROM_1, UNBOUNDED, mean

    kl_top_k = None
    if settings.top_k is not None:
        kl_top_k = TruncatedKL.of(_token_mean(records, "kl_top_k", UNBOUNDED), top_k=settings.top_k)
    outside: dict[str, Any] = {name: _token_share(records, name) for name in ("outside_base", "outside_tuned")}
    if not any(record.outside_base or record.outside_tuned for record in records):
        outside = {}
    return ShiftResult(
        base=base,
        tuned=settings.tuned,
        base_template=settings.base_template,
        answers=len(answers),
        n_missing=sum(record.reason is not None for record in records),
        tokens=len(tokens.answer_id),
        unanswered=None if settings.prompts is None else unanswered,
        **{name: MeanEstimate.of(_token_mean(records, name, FROM_0)) for name in _DIVERGENCES},
        base_rank=MeanEstimate.of(_token_mean(records, "base_rank", FROM_1, heavy_tailed=True)),
        **{name: MeanEstimate.of(_token_share(records, name)) for name in _TOKEN_SHARES},
        kl_first=MeanEstimate.of(_pooled([(r.kl_first, r.n_first) for r in records], FROM_0)),
        kl_rest=MeanEstimate.of(_pooled([(r.kl_rest, r.n_rest) for r in records], FROM_0)),
        kl_first_minus_rest=_first_minus_rest(records),
        answer_tokens=MeanEstimate.of(mean([record.n_tokens for record in records], heavy_tailed=True, bounds=FROM_0)),
        **{name: MeanEstimate.of(estimate) for name, estimate in outside.items()},
        kl_top_k=kl_top_k,
        words=_summarize_words(_words(answers, records, tokens), row_sets, len(answers)),
    )


def _token_mean(records: Sequence[ShiftAnswer], name: str, bounds: Bounds, heavy_tailed: bool = False) -> Estimate:
    return _pooled([(getattr(record, name), record.n_tokens) for record in records], bounds, heavy_tailed)


def _token_share(records: Sequence[ShiftAnswer], name: str) -> Estimate:
    """Return the mean over all tokens of a number in [0, 1]."""
    from tunescope.stats import share_pooled

    return share_pooled(*_sums_and_counts([(getattr(record, name), record.n_tokens) for record in records]))


def _pooled(means: Sequence[tuple[float | None, int | None]], bounds: Bounds, heavy_tailed: bool = False) -> Estimate:
    """Return the mean over all tokens (or sentences) of answers, given (mean, count) of each, None for unread ones."""
    from tunescope.stats import mean_pooled

    return mean_pooled(*_sums_and_counts(means), heavy_tailed=heavy_tailed, bounds=bounds)


def _sums_and_counts(
    means: Sequence[tuple[float | None, int | None]],
) -> tuple[list[float | None], list[int | None]]:
    sums = [None if count is None else (mean or 0.0) * count for mean, count in means]
    return sums, [count for _, count in means]


def _first_minus_rest(records: Sequence[ShiftAnswer]) -> FirstMinusRest:
    """Return how much larger the KL is where sentences begin, within the sentences that have both parts."""
    from tunescope.stats import UNBOUNDED, n_needed

    apart = _pooled([(record.kl_first_minus_rest, record.n_rest) for record in records], UNBOUNDED)
    if apart.value and apart.standard_error and (apart.low or 0) <= 0 <= (apart.high or 0):
        return FirstMinusRest.of(apart, n_needed=n_needed(apart.value, apart.standard_error * apart.n**0.5).n)
    return FirstMinusRest.of(apart)


def _words(answers: Sequence[Answer], records: Sequence[ShiftAnswer], tokens: ShiftTokens) -> list[Word]:
    """Return the words of all answers that were read."""
    places = list(map(TokenPlace, tokens.char_end, tokens.token_class, tokens.sentence))
    words: list[Word] = []
    start = 0
    for number, (answer, record) in enumerate(zip(answers, records, strict=True)):
        end = start + (record.n_tokens or 0)
        words += words_of(number, answer.text, places[start:end])
        start = end
    return words


def _summarize_words(words: Sequence[Word], row_sets: Sequence[RowSet | None], answers: int) -> ShiftedWords:
    listed = frequent(words)
    in_rows: list[WordsInRows | None] = []
    most: int | None = None
    for rows in row_sets:
        if rows is None:
            in_rows.append(None)
            continue
        row_words = vocabulary(rows, most)
        most = row_words.read
        shares = {name: in_vocabulary(words, name, row_words.words, answers) for name in CLASSES}
        in_rows.append(WordsInRows(**shares, words_read=row_words.read, vocabulary=len(row_words.words)))
    training, other = in_rows
    return ShiftedWords(
        counts={name: sum(word.token_class == name for word in words) for name in CLASSES},
        groups={group: sum(record.count for record in listed if record.group == group) for group in GROUPS},
        frequent=listed,
        in_rows=training,
        in_other_rows=other,
    )
