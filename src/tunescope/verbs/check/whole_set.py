"""Faults that only the whole set shows: exact repeats, near-duplicates, several answers.

Each takes keys made row by row and returns (row, detail) pairs; rows are counted in file order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.text.near_duplicates import Sketches, repeats

MEANINGS = {
    "exact_duplicate": "the same conversation as an earlier row",
    "near_duplicate": "word 3-grams at least as alike (Jaccard) as --near-duplicate-at to an earlier kept row's",
    "conflicting_answers": "another row asks the same and answers otherwise (case and blanks aside)",
}


def ordinals(ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count, for every row, how many times its id has come up to there, from 1 [rows]."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    new = np.ones(len(ids), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    start = np.maximum.accumulate(np.where(new, np.arange(len(ids)), 0))
    out = np.empty(len(ids), np.int64)
    out[order] = np.arange(len(ids)) - start + 1
    return out


def exact_duplicates(count: NDArray[np.int64], names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield rows whose ordinal `count` [rows] says that they came before."""
    for row in np.flatnonzero(count > 1).tolist():
        yield row, f"repeats {names[row].partition('.')[0]}"


def near_duplicates(
    sketches: Sketches, threshold: float, first: NDArray[np.bool_], names: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """Yield rows like an earlier kept one; only the `first` [rows] of exact repeats take part."""
    for pair in repeats(sketches, threshold, first):
        yield pair.later, f"{pair.similarity:.3f} like {names[pair.earlier]}"


def conflicting_answers(
    question: NDArray[np.uint64], answer: NDArray[np.uint64], names: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """Yield every row of a question that has more than one answer."""
    order = np.lexsort((np.arange(len(question)), question))
    asked, said = question[order], answer[order]
    bounds = np.flatnonzero(np.concatenate([[True], asked[1:] != asked[:-1], [True]]))
    found = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True) if len(asked) else ():
        if end - start > 1 and len(answers := set(said[start:end].tolist())) > 1:
            rows = order[start:end].tolist()
            for row in rows:
                other = next(r for r in rows if answer[r] != answer[row])
                found.append((row, f"{len(answers)} answers in {len(rows)} rows, another in {names[other]}"))
    yield from sorted(found)
