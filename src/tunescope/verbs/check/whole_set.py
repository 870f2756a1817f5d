"""Faults that only the whole set shows: exact repeats, near-duplicates, several answers to one question.

Each function takes keys made row by row, and yields (position, evidence) pairs; positions count in file order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.text.near_duplicates import Sketches, repeats
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong
from tunescope.verbs.check.joined import JoinedRows

MEANINGS = {
    "exact_duplicate": "the same conversation as an earlier row",
    "near_duplicate": "word 3-grams that overlap an earlier kept row's by --near-duplicate-at (Jaccard) or more",
    "conflicting_answers": "another row with the same question has a different answer (case and spaces ignored)",
}


def add_whole_set_faults(joined: JoinedRows, near_duplicate_at: float) -> None:
    """Add the faults that only all rows together show."""
    ids, is_first = joined.ids, joined.repeats == 1
    joined.add_faults("exact_duplicate", exact_duplicates(joined.repeats, ids))
    exchanges = (joined.questions, joined.answers)
    joined.add_faults("near_duplicate", near_duplicates(joined.sketches, near_duplicate_at, is_first, exchanges, ids))
    joined.add_faults("conflicting_answers", conflicting_answers(joined.questions, joined.answers, ids))


def exact_duplicates(repeat: NDArray[np.int64], ids: Sequence[str]) -> Iterator[tuple[int, Evidence]]:
    """Yield the rows that came before: those whose `repeat` [rows], counted from 1, is above 1."""
    for position in np.flatnonzero(repeat > 1).tolist():
        yield position, surely_wrong(f"repeats {ids[position].partition('.')[0]}")


def near_duplicates(
    sketches: Sketches,
    threshold: float,
    is_first: NDArray[np.bool_],
    exchanges: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    ids: Sequence[str],
) -> Iterator[tuple[int, Evidence]]:
    """Yield rows like an earlier kept one; of exact repeats only the first takes part (`is_first` [rows]).

    It is settled where all 3-grams are the same, and so are question and answer but for case and blanks
    (`exchanges`: their hashes, [rows] each). Any other pair may differ in the word that matters.
    """
    for pair in repeats(sketches, threshold, is_first):
        is_same = pair.similarity == 1 and all(hashes[pair.later] == hashes[pair.earlier] for hashes in exchanges)
        yield pair.later, Evidence(f"{pair.similarity:.3f} like {ids[pair.earlier]}", is_same)


def conflicting_answers(
    questions: NDArray[np.uint64], answers: NDArray[np.uint64], ids: Sequence[str]
) -> Iterator[tuple[int, Evidence]]:
    """Yield every row whose question has more than one answer, in file order.

    Args:
        questions: hash of each row's question [rows].
        answers: hash of each row's answer [rows].
        ids: row ids [rows].
    """
    if not len(questions):
        return
    order = np.argsort(questions, kind="stable")
    sorted_questions, sorted_answers = questions[order], answers[order]
    bounds = np.flatnonzero(np.concatenate([[True], sorted_questions[1:] != sorted_questions[:-1], [True]]))
    several = np.flatnonzero(np.diff(bounds) > 1)
    conflicts = []
    for start, end in zip(bounds[several].tolist(), bounds[several + 1].tolist(), strict=True):
        if len(distinct := set(sorted_answers[start:end].tolist())) > 1:
            rows = order[start:end].tolist()
            for row in rows:
                other = next(r for r in rows if answers[r] != answers[row])
                detail = f"{len(distinct)} answers in {len(rows)} rows, another in {ids[other]}"
                conflicts.append((row, look_at(detail)))
    yield from sorted(conflicts)
