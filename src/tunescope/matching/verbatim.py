"""Whole runs of words in texts, however often they occur: each is looked for where its rarest word stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Query

_STEP = 1 << 24
"""Words that are looked at at a time."""


def find_runs(runs: Sequence[Query], ids: WordIds, counts: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    """Return where each run begins in the texts, in order [occurrences of the run].

    Args:
        runs: numbers of the words of each run, at least one; a run with a word that no text has occurs nowhere.
        ids: numbers of the words of all texts, END behind each text.
        counts: how often each word occurs in them, by number [words of the vocabulary + 1].
    """
    rarest = [int(np.argmin(counts[run])) if (run > END).all() else None for run in runs]
    wanted = np.zeros(len(counts), bool)
    wanted[[int(run[place]) for run, place in zip(runs, rarest, strict=True) if place is not None]] = True
    positions = _positions_of(wanted, ids) if wanted.any() else np.zeros(0, np.int64)
    words = ids[positions].astype(np.int64)
    order = np.argsort(words, kind="stable")
    positions, words = positions[order], words[order]
    return [
        np.zeros(0, np.int64)
        if place is None
        else _keep_matches(run, positions[slice(*np.searchsorted(words, [run[place], run[place] + 1]))] - place, ids)
        for run, place in zip(runs, rarest, strict=True)
    ]


def _positions_of(wanted: NDArray[np.bool_], ids: WordIds) -> NDArray[np.int64]:
    """Return the positions of the wanted words, in order."""
    steps = range(0, max(len(ids), 1), _STEP)
    return np.concatenate([start + np.flatnonzero(wanted[ids[start : start + _STEP]]) for start in steps])


def _keep_matches(run: Query, begins: NDArray[np.int64], ids: WordIds) -> NDArray[np.int64]:
    """Return those of the places at which all of a run stands."""
    begins = begins[(begins >= 0) & (begins + len(run) <= len(ids))]
    for offset, word in enumerate(run.tolist()):
        begins = begins[ids[begins + offset] == word]
    return begins
