"""The joint order of the rows: copies first, then by reciprocal ranks over the kinds of evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_GRADIENTS = ("states", "effect")
"""The kinds of evidence that come from gradients."""
_LEANING = 0.4
"""Share of their cut from which on gradients lean towards an answer (chosen in docs/proofs/attribution-truth.md)."""
_FIRST = 10
"""A kind of evidence that ranks a row among this many counts as a way in which the row was found."""


class Order(NamedTuple):
    """The rows in their joint order.

    Attributes:
        rows: numbers of the rows that some evidence speaks for, best first.
        ranks: by kind of evidence, the rank of every row; 0 where it says nothing of the row [rows of the index].
    """

    rows: NDArray[np.int64]
    ranks: dict[str, NDArray[np.int64]]

    def how(self, row: int) -> tuple[str, ...]:
        """Return the kinds of evidence that rank a row among their first."""
        return tuple(name for name, ranks in self.ranks.items() if 0 < ranks[row] <= _FIRST)


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rank of each score from 1, the highest first; equal scores share the best rank; 0 for NaN."""
    known = np.flatnonzero(~np.isnan(scores))
    ordered = np.sort(scores[known])
    ranks = np.zeros(len(scores), np.int64)
    ranks[known] = 1 + len(known) - np.searchsorted(ordered, scores[known], side="right")
    return ranks


def join(scores: Mapping[str, NDArray[np.float64]], copied: NDArray[np.bool_], constant: int) -> Order:
    """Order rows by the sum of 1 / (constant + rank) (Cormack, Clarke & Büttcher 2009), rows with copies first.

    Args:
        scores: by kind of evidence, the score of every row; NaN where it says nothing [rows of the index].
        copied: whether a row holds the answer, or a sentence of it, word for word [rows of the index].
        constant: k.
    """
    ranks = {name: ranks_of(each) for name, each in scores.items()}
    joint = np.zeros(len(copied))
    for each in ranks.values():
        joint += np.where(each > 0, 1 / (constant + np.maximum(each, 1)), 0.0)
    rows = np.flatnonzero((joint > 0) | copied)
    return Order(rows[np.lexsort((rows, -joint[rows], ~copied[rows]))], ranks)


def known(standings: Mapping[str, NDArray[np.float64] | None]) -> dict[str, NDArray[np.float64]]:
    """Return the kinds of evidence that have a null distribution and say something of a row, with their standings."""
    return {
        name: standing for name, standing in standings.items() if standing is not None and not np.isnan(standing).all()
    }


def cut(standings: Mapping[str, NDArray[np.float64] | None], copied: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Tell which rows matter for an answer [rows]; None where no null distribution can tell.

    Where there are gradients, a row matters if these stand out from their null, or if its words or its meaning do and
    the gradients lean the same way: a row may share the question's words and push the other way. Without gradients
    words and meaning must both stand out, or the one of them that there is. A row with a copy always matters.

    Args:
        standings: by kind of evidence, how each row stands to chance: from 1 on within the cut; NaN where it says
            nothing of a row [rows], None without a null distribution.
        copied: whether a row holds the answer, or a sentence of it, word for word [rows].
    """
    there = known(standings)
    of_gradients = [standing for name, standing in there.items() if name in _GRADIENTS]
    of_texts = [standing >= 1 for name, standing in there.items() if name not in _GRADIENTS]  # NaN isn't
    if of_gradients:
        best = np.max(of_gradients, axis=0)
        leaning = np.any(of_texts, axis=0) & (best >= _LEANING)
        return np.asarray((best >= 1) | leaning | copied)
    return np.all(of_texts, axis=0) | copied if of_texts else None
