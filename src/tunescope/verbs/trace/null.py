"""What texts that didn't learn from the rows share with them all the same: the null of every number of `trace`.

Without a reference it is *leave-one-out*: responses of the rows themselves, each looked up in all other rows but those
nearly like its own. With a reference (answers of a model that never saw the rows) it is that reference: each of its
texts is looked up in the rows, scored against the half of the reference that it isn't in.

The p of a finding is conformal: the share of null texts (and itself) that hold one at least as good. A longer text has
more chances; scores are compared less ln(words)/lambda, as the largest of so many chances grows (Gumbel 1958; Karlin &
Altschul 1990), with lambda from the null's interquartile range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.word_ids import Query
from tunescope.verbs.trace.find import LEAST, Finder, Found, Reference, covered
from tunescope.verbs.trace.index import INSTRUCTION, RESPONSE, Index, sound

if TYPE_CHECKING:
    from tunescope.runs import RunFolder

TEXTS = 1_000
"""Null texts at most."""
SHORTEST = 8
"""Words of a null text at least."""
ALIKE = 0.5
"""Rows whose sets of words are this alike (Jaccard) count as the same row when it is left out."""
KEPT = 45.0
"""Bits from which on all chains of a left-out response are kept in an index; below, only its best."""
GUMBEL_IQR = 1.5725
"""The interquartile range of the standard Gumbel distribution, ln(ln 4 / ln(4/3))."""
PARTS = ("lengths", "chains", "scores")
USUAL_SCALE = 0.06
"""Lambda where the null is too small to tell: most sets of rows have 0.05 to 0.08."""


@dataclass(frozen=True, slots=True)
class Null:
    """A sample of texts that didn't learn from the rows.

    Attributes:
        source: what they are, in words.
        lengths: their words [texts].
        chains: of each chain its text, its first word and the one behind its last [chains, 3].
        scores: of each chain [chains].
        whole: the score from which on all chains are here; below, only the best of a text may be.
    """

    source: str
    lengths: NDArray[np.int64]
    chains: NDArray[np.int64]
    scores: NDArray[np.float64]
    whole: float = -np.inf

    @classmethod
    def of(cls, source: str, found: Iterable[tuple[Found, NDArray[np.bool_] | None]], whole: float = -np.inf) -> Null:
        """Collect the chains of null texts; a mask says which of each count."""
        lengths: list[int] = []
        chains, scores = [np.zeros((0, 3), np.int64)], [np.zeros(0)]
        for number, (item, among) in enumerate(found):
            lengths.append(len(item.query))
            keep = np.arange(len(item.score)) if among is None else np.flatnonzero(among)
            texts = np.full(len(keep), number, np.int64)
            chains.append(np.column_stack([texts, item.chains.begin[keep], item.chains.end[keep]]))
            scores.append(item.score[keep])
        return cls(source, np.array(lengths, np.int64), np.concatenate(chains), np.concatenate(scores), whole)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.lengths)

    def scale(self) -> float:
        """Return lambda, per bit: how fast the chance of a finding falls with its score."""
        best, some = self._best(), self._best() > 0
        if some.sum() < 8:
            return USUAL_SCALE
        scale = USUAL_SCALE
        for _ in range(20):
            low, high = np.percentile(best[some] - np.log(self.lengths[some]) / scale, [25, 75])
            scale = GUMBEL_IQR / max(float(high - low), 1.0)
        return float(scale)

    def _best(self) -> NDArray[np.float64]:
        best = np.zeros(len(self))
        np.maximum.at(best, self.chains[:, 0], self.scores)
        return best

    def can_tell(self, p: float) -> bool:
        """Tell whether there are texts enough for a p this low."""
        return 1 / (1 + len(self)) <= p

    def judge(self) -> Judge:
        """Make ready to judge findings."""
        scale = self.scale()
        return Judge(self, scale, np.sort(self._best() - np.log(np.maximum(self.lengths, 1)) / scale))


@dataclass(frozen=True, slots=True)
class Judge:
    """Says how a finding compares with a null."""

    null: Null
    scale: float
    sample: NDArray[np.float64]

    def p(self, scores: NDArray[np.float64], words: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Return the share of null texts, and of this one, that hold a finding as good for texts of so many words."""
        wanted = scores - np.log(np.maximum(words, 1)) / self.scale
        above = len(self.sample) - np.searchsorted(self.sample, wanted - 1e-9, side="left")
        return np.asarray((1 + above) / (1 + len(self.sample)))

    def threshold(self, share: float) -> float:
        """Return the lowest score from which on at most this share of the null's words is flagged.

        None below what the null has all chains of.
        """
        scores = np.unique(np.round(self.null.scores, 1))
        low, high = 0, len(scores)  # the higher the score, the fewer words
        total = max(int(self.null.lengths.sum()), 1)
        while low < high:
            middle = (low + high) // 2
            if self.flagged_words(float(scores[middle])).sum() <= share * total:
                high = middle
            else:
                low = middle + 1
        if not len(scores):
            return max(LEAST, self.null.whole)
        least = float(scores[low]) if low < len(scores) else float(scores[-1]) + 0.1
        return max(least, self.null.whole)

    def flagged_words(self, least: float) -> NDArray[np.int64]:
        """Return how many words of each null text lie in findings that score at least `least` [texts]."""
        null = self.null
        begins = np.concatenate([[0], np.cumsum(null.lengths)])
        good = null.chains[null.scores >= least]
        flags = covered(begins[good[:, 0]] + good[:, 1], begins[good[:, 0]] + good[:, 2], int(begins[-1]))
        counted = np.concatenate([[0], np.cumsum(flags)])
        return np.asarray(counted[begins[1:]] - counted[begins[:-1]])


def leave_one_out(index: Index, reference: Reference | None = None, seed: int = 0) -> Null:
    """Look up responses of the rows in all rows but their own and those like it."""
    finder = Finder(index, reference, compile=True)
    picked = _responses(index, seed)
    source = f"{len(picked):,} responses of these rows, each without its own row and rows like it"
    least = KEPT if reference is None else -np.inf
    return Null.of(source, (_without_own(finder, *each, least) for each in picked), least)


def _responses(index: Index, seed: int) -> list[tuple[int, Query, Query]]:
    """Draw responses of enough words, at most one of each row, with what is before them."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, Query, Query]] = []
    for owner in rng.permutation(index.about["rows"])[: 4 * TEXTS]:
        query = index.query(int(owner), RESPONSE)
        if len(query) >= SHORTEST:
            found.append((int(owner), query, index.query(int(owner), INSTRUCTION)))
        if len(found) == TEXTS:
            break
    return found


def _without_own(
    finder: Finder, owner: int, query: Query, prompt: Query, least: float
) -> tuple[Found, NDArray[np.bool_]]:
    """Find a response's chains; say which count: its best and those from `least` on, in rows that aren't like its."""
    index = finder.index
    found = finder.find(query, prompt)
    own = set(index.words_of(owner).tolist())
    alike: dict[int, bool] = {owner: True}
    counts, flagged = np.zeros(len(found.score), bool), np.zeros(len(query), bool)
    for number in np.argsort(-found.score, kind="stable").tolist():
        if found.score[number] < least and counts.any():
            break
        stretch = slice(found.chains.begin[number], found.chains.end[number])
        if flagged[stretch].all():
            continue  # better chains flag all of it already
        other = int(index.owners[found.chains.text[number]])
        if other not in alike:
            theirs = set(index.words_of(other).tolist())
            alike[other] = len(own & theirs) > ALIKE * len(own | theirs)
        counts[number] = not alike[other]
        flagged[stretch] |= counts[number]
    return found, counts


def of_reference(name: str, queries: Sequence[Query], prompts: Sequence[Query], index: Index) -> Null:
    """Look up a reference's own texts in the rows, each scored against the half of the reference that it isn't in."""
    found = []
    for own, other in ((0, 1), (1, 0)):
        finder = Finder(index, Reference.of(name, queries[other::2], index), compile=True)
        pairs = zip(queries[own::2], prompts[own::2], strict=True)
        found += [(finder.find(query, prompt), None) for query, prompt in pairs if len(query) >= SHORTEST]
    return Null.of(f"{len(found):,} texts of {name}, taken not to have seen the rows", found)


def save(folder: RunFolder, null: Null) -> None:
    """Write a null beside the index that it is of."""
    for name in PARTS:
        values = getattr(null, name)
        folder.array(f"null-{name}", values.astype(np.float32 if values.dtype.kind == "f" else np.int32))
    folder.text("null.txt", null.source)


def load(path: Path) -> Null:
    """Read what `save` wrote."""
    with sound(path):
        lengths, chains, scores = (np.load(path / f"null-{name}.npy") for name in PARTS)
        source = (path / "null.txt").read_text("utf-8")
    return Null(source, lengths.astype(np.int64), chains.astype(np.int64), scores.astype(np.float64), KEPT)
