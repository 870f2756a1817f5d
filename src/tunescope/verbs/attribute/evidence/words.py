"""Words: BM25 of prompt and answer against whole rows, and the rows that hold the answer word for word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tunescope.stats.cuts import null_threshold
from tunescope.text.sentences import sentence_spans
from tunescope.text.words import hash_words
from tunescope.verbs.attribute.evidence import AttributionRequest, Prepared
from tunescope.verbs.attribute.row_index import RowIndex

_MIN_COPIED_WORDS = 6
"""Words of a copy at least."""
_MAX_CANDIDATES = 500
"""Rows that are looked at for a copy of one passage, the highest BM25 first."""


def prepare(request: AttributionRequest) -> Prepared:
    """Take the words of the rows' index, which is there."""
    return Prepared(lambda: _WordScores(request), {"index": request.index.run.key})


class _WordScores:
    """BM25 of prompt and answer."""

    def __init__(self, request: AttributionRequest) -> None:
        self._request = request
        self._threshold = null_threshold(request.index.null, len(request.index), request.settings.by_chance)

    def scores(self, number: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the BM25 score of every row; NaN where it shares no word [rows]."""
        index = self._request.index
        scores = index.postings.score(self._request.query(number), len(index))
        return {"words": np.where(scores > 0, scores, np.nan)}

    def standing(self, number: int) -> NDArray[np.float64] | None:
        """Return each row's score, relative to the answer's for itself, over that of chance [rows].

        An answer of few words is more like unrelated rows than rows are. Where there are enough rows, chance is also
        what the answer's own scores tell.
        """
        if self._threshold is None:
            return None
        scores = self._request.index.relative_scores(self._request.query(number))
        own = null_threshold(scores, len(scores), self._request.settings.by_chance)
        return scores / max(self._threshold, own or 0.0)


def find_copies(index: RowIndex, text: str, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which rows hold a text, or a sentence of it, of at least six words, word for word [rows].

    Marks don't count, nor do case, composed forms and invisible characters.
    """
    copied = np.zeros(len(index), bool)
    for passage in _passages(text):
        candidates = index.postings.having_all(passage)
        if len(candidates) > _MAX_CANDIDATES:
            candidates = candidates[np.argsort(-np.nan_to_num(scores[candidates]), kind="stable")[:_MAX_CANDIDATES]]
        for number in candidates.tolist():
            copied[number] = copied[number] or any(
                _holds(hash_words([part])[0], passage) for _, part in index.row(number).texts
            )
    return copied


def _passages(text: str) -> Iterator[NDArray[np.uint64]]:
    """Yield the words of a text's sentences, those of enough words, each once; a whole text holds its sentences."""
    seen = set()
    for begin, end in sentence_spans(text):
        words = hash_words([text[begin:end]])[0]
        if len(words) >= _MIN_COPIED_WORDS and words.tobytes() not in seen:
            seen.add(words.tobytes())
            yield words


def _holds(words: NDArray[np.uint64], passage: NDArray[np.uint64]) -> bool:
    """Tell whether a passage stands in a text, both as hashes of words."""
    starts = np.flatnonzero(words[: max(0, len(words) - len(passage) + 1)] == passage[0])
    return any(np.array_equal(words[start : start + len(passage)], passage) for start in starts.tolist())
