"""Hashes of word n-grams, for whole batches of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)

Hashes = NDArray[np.uint64]


def ngram_hashes(
    words: Hashes, offsets: NDArray[np.int64], lengths: Sequence[int]
) -> Iterator[tuple[int, Hashes, NDArray[np.int64]]]:
    """Hash the n-grams of rows; no n-gram crosses from one row to the next.

    Args:
        words: word hashes of all rows, flat [words].
        offsets: where each row starts, [rows + 1].
        lengths: which n.

    Yields:
        (n, hashes [n-grams], position of each n-gram's first word in `words` [n-grams]).
        The hash is a polynomial over 2^64, mixed (splitmix64's multiplier).
    """
    row_end = np.repeat(offsets[1:], np.diff(offsets))
    position = np.arange(len(words))
    rolling = words.copy()
    with np.errstate(over="ignore"):
        for n in range(1, max(lengths, default=0) + 1):
            if n > 1:
                rolling = rolling[:-1] * _BASE + words[n - 1 :] if len(rolling) else rolling
            if n in lengths:
                inside = position[: len(rolling)] + n <= row_end[: len(rolling)]
                mixed = rolling[inside]
                mixed = (mixed ^ (mixed >> np.uint64(31))) * _MIX
                yield n, mixed ^ (mixed >> np.uint64(29)), position[: len(rolling)][inside]
