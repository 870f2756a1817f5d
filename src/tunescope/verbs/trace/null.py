"""The null distribution: what texts that didn't learn from the rows share with them all the same.

Without a reference the null texts are *leave-one-out*: responses of the rows themselves, each looked up in all rows
but its own and its near-duplicates. With a reference (answers of a model that never saw the rows) they are the
reference's texts: each is looked up in the rows and scored against the half of the reference that it isn't in.

The p-value of a match is conformal: the share of null texts, this text counted too, that have a match at least as good.
A longer text has more chances. So scores are compared after subtracting ln(words) / lambda, the growth of the largest
of so many chances (Gumbel 1958; Karlin & Altschul 1990); lambda comes from the interquartile range of the null scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.word_ids import Query
from tunescope.runs import RunFolder
from tunescope.verbs.trace.find import MIN_BITS, Finder, Matches, Reference, covered
from tunescope.verbs.trace.index import INSTRUCTION, RESPONSE, Index, reporting_damage

_MAX_TEXTS = 1_000
"""Null texts at most."""
MIN_WORDS = 8
"""Words of a null text at least."""
COMPLETE_FROM = 45.0
"""Bits from which on an index keeps all chains of a left-out response; below, it keeps only the best one."""
ARRAYS = ("lengths", "chains", "scores")
RATE_OF_REFERENCE, RATE_OF_ROWS = 0.01, 0.025
"""Share of the null texts' words that is flagged by default. The rows' own responses share more with other rows than
texts do that never saw them: at 0.025, 1 to 2 % of the words of such texts are flagged (docs/proofs/trace.md)."""
DEFAULT_SCALE = 0.06
"""Lambda per bit where there are too few null texts; most sets of rows have 0.05 to 0.08."""
_SAME_ROW_JACCARD = 0.5
"""Jaccard similarity of two rows' sets of words above which they are left out together."""
_GUMBEL_IQR = 1.5725
"""The interquartile range of the standard Gumbel distribution, ln(ln 4 / ln(4/3))."""


@dataclass(frozen=True, slots=True)
class NullSample:
    """The chains of texts that didn't learn from the rows.

    Attributes:
        source: what the texts are, in words.
        lengths: words of each text [texts].
        chains: of each chain its text, its first word and the one behind its last [chains, 3].
        scores: the chains' scores [chains].
        complete_from: the score from which on all chains are here; below, there may be only the best of each text.
        rate: the share of their words that is flagged by default.
    """

    source: str
    lengths: NDArray[np.int64]
    chains: NDArray[np.int64]
    scores: NDArray[np.float64]
    complete_from: float = -np.inf
    rate: float = RATE_OF_ROWS

    @classmethod
    def of(
        cls,
        source: str,
        matches_of_texts: Iterable[tuple[Matches, NDArray[np.bool_] | None]],
        complete_from: float = -np.inf,
        rate: float = RATE_OF_ROWS,
    ) -> NullSample:
        """Collect the chains of null texts; a mask says which chains of a text count [its chains], None means all."""
        lengths: list[int] = []
        chains, scores = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
        for number, (matches, mask) in enumerate(matches_of_texts):
            lengths.append(len(matches.query))
            keep = np.arange(len(matches.score)) if mask is None else np.flatnonzero(mask)
            texts = np.full(len(keep), number, np.int64)
            chains.append(np.column_stack([texts, matches.chains.begin[keep], matches.chains.end[keep]]))
            scores.append(matches.score[keep])
        joined = np.concatenate(chains), np.concatenate(scores)
        return cls(source, np.array(lengths, np.int64), *joined, complete_from, rate)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.lengths)

    def can_reach(self, p: float) -> bool:
        """Tell whether there are enough texts for a p-value this low."""
        return 1 / (1 + len(self)) <= p

    def distribution(self) -> NullDistribution:
        """Return the null distribution of the texts' best scores."""
        scale = self._fit_scale()
        return NullDistribution(self, scale, np.sort(self._best_scores() - np.log(np.maximum(self.lengths, 1)) / scale))

    def _fit_scale(self) -> float:
        """Return lambda per bit: how fast the chance of a match falls with its score."""
        best = self._best_scores()
        positive = best > 0
        if positive.sum() < 8:
            return DEFAULT_SCALE
        scale = DEFAULT_SCALE
        for _ in range(20):
            low, high = np.percentile(best[positive] - np.log(self.lengths[positive]) / scale, [25, 75])
            scale = _GUMBEL_IQR / max(float(high - low), 1.0)
        return float(scale)

    def _best_scores(self) -> NDArray[np.float64]:
        """Return the best score of each text [texts]; 0 without a chain."""
        best = np.zeros(len(self))
        np.maximum.at(best, self.chains[:, 0], self.scores)
        return best


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """The distribution of the best scores of null texts: gives p-values and thresholds.

    Attributes:
        sample: the null texts.
        scale: lambda, per bit.
        best_scores: the best score of each text, corrected for its length, ascending [texts].
    """

    sample: NullSample
    scale: float
    best_scores: NDArray[np.float64]

    def p_values(self, scores: NDArray[np.float64], words: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Return the p-value of each score [scores].

        Args:
            scores: of the matches [scores].
            words: the number of words of the text of each match.
        """
        corrected = scores - np.log(np.maximum(words, 1)) / self.scale
        as_good = len(self.best_scores) - np.searchsorted(self.best_scores, corrected - 1e-9, side="left")
        return np.asarray((1 + as_good) / (1 + len(self.best_scores)))

    def threshold(self, false_positive_rate: float) -> float:
        """Return the lowest score from which on at most this share of the null texts' words is flagged.

        It is never below the score from which on the sample is complete.
        """
        scores = np.unique(np.round(self.sample.scores, 1))
        if not len(scores):
            return max(MIN_BITS, self.sample.complete_from)
        total = max(int(self.sample.lengths.sum()), 1)
        low, high = 0, len(scores)  # bisection: the higher the score, the fewer words are flagged
        while low < high:
            middle = (low + high) // 2
            if self.flagged_words(float(scores[middle])).sum() <= false_positive_rate * total:
                high = middle
            else:
                low = middle + 1
        threshold = float(scores[low]) if low < len(scores) else float(scores[-1]) + 0.1
        return max(threshold, self.sample.complete_from)

    def flagged_words(self, threshold: float) -> NDArray[np.int64]:
        """Return how many words of each null text lie in chains that score at least `threshold` [texts]."""
        sample = self.sample
        begins = np.concatenate([[0], np.cumsum(sample.lengths)])
        chains = sample.chains[sample.scores >= threshold]
        flags = covered(begins[chains[:, 0]] + chains[:, 1], begins[chains[:, 0]] + chains[:, 2], int(begins[-1]))
        counts = np.concatenate([[0], np.cumsum(flags)])
        return np.asarray(counts[begins[1:]] - counts[begins[:-1]])


def leave_one_out(index: Index, reference: Reference | None = None, seed: int = 0) -> NullSample:
    """Look up responses of the rows in all rows but their own and its near-duplicates."""
    finder = Finder(index, reference, compile=True)
    responses = _draw_responses(index, seed)
    source = f"{len(responses):,} responses of these rows, each compared with all rows but its own and near-duplicates"
    complete_from = COMPLETE_FROM if reference is None else -np.inf
    matches = (_find_in_other_rows(finder, *response, complete_from) for response in responses)
    return NullSample.of(source, matches, complete_from)


def _draw_responses(index: Index, seed: int) -> list[tuple[int, Query, Query]]:
    """Draw responses of enough words, at most one per row; return (row number, response, instruction) of each."""
    rng = np.random.default_rng(seed)
    responses: list[tuple[int, Query, Query]] = []
    for owner in rng.permutation(index.about["rows"])[: 4 * _MAX_TEXTS]:
        query = index.query(int(owner), RESPONSE)
        if len(query) >= MIN_WORDS:
            responses.append((int(owner), query, index.query(int(owner), INSTRUCTION)))
        if len(responses) == _MAX_TEXTS:
            break
    return responses


def _find_in_other_rows(
    finder: Finder, owner: int, query: Query, prompt: Query, complete_from: float
) -> tuple[Matches, NDArray[np.bool_]]:
    """Find a response's chains; return them with a mask of those that count [chains].

    These are the best chain and those of at least `complete_from`, in rows that aren't near-duplicates of its own.
    """
    index = finder.index
    matches = finder.find(query, prompt)
    words = set(index.words_of(owner).tolist())
    same_row: dict[int, bool] = {owner: True}
    counts, flagged = np.zeros(len(matches.score), bool), np.zeros(len(query), bool)
    for number in np.argsort(-matches.score, kind="stable").tolist():
        if matches.score[number] < complete_from and counts.any():
            break
        stretch = slice(matches.chains.begin[number], matches.chains.end[number])
        if flagged[stretch].all():
            continue  # better chains flag all of it already
        other = int(index.owners[matches.chains.text[number]])
        if other not in same_row:
            other_words = set(index.words_of(other).tolist())
            same_row[other] = len(words & other_words) > _SAME_ROW_JACCARD * len(words | other_words)
        counts[number] = not same_row[other]
        flagged[stretch] |= counts[number]
    return matches, counts


def of_reference(name: str, queries: Sequence[Query], prompts: Sequence[Query], index: Index) -> NullSample:
    """Look up a reference's own texts in the rows, each scored against the half of the reference that it isn't in."""
    matches = []
    for own, other in ((0, 1), (1, 0)):
        finder = Finder(index, Reference.of(name, queries[other::2], index), compile=True)
        pairs = zip(queries[own::2], prompts[own::2], strict=True)
        matches += [(finder.find(query, prompt), None) for query, prompt in pairs if len(query) >= MIN_WORDS]
    source = f"{len(matches):,} texts of {name}, assumed not to have seen the rows"
    return NullSample.of(source, matches, rate=RATE_OF_REFERENCE)


def save(folder: RunFolder, sample: NullSample) -> None:
    """Write the sample into the folder of its index."""
    for name in ARRAYS:
        values = getattr(sample, name)
        folder.array(f"null-{name}", values.astype(np.float32 if values.dtype.kind == "f" else np.int32))
    folder.text("null.txt", sample.source)


def load(path: Path) -> NullSample:
    """Read what `save` wrote.

    Raises:
        RunError: a file is missing or damaged.
    """
    with reporting_damage(path):
        lengths, chains, scores = (np.load(path / f"null-{name}.npy") for name in ARRAYS)
        source = (path / "null.txt").read_text("utf-8")
    return NullSample(
        source, lengths.astype(np.int64), chains.astype(np.int64), scores.astype(np.float64), COMPLETE_FROM
    )
