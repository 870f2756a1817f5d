"""Overlap of rows with benchmark files, by word n-grams.

An item's texts are all strings in its record. A row overlaps an item when they share 13 words in a
row (the length of GPT-3's filter, Brown et al. 2020, appendix C), or a whole text of 8 to 12 words.
Runs that occur in more than 10 items are phrasing, not content, and are left out, as in that filter.
Items whose texts have fewer than 8 words are counted as too short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.results.check import BenchmarkCounts
from tunescope.text.ngrams import ngram_hashes
from tunescope.text.words import hash_words, words
from tunescope.verbs.check.benchmark_files import read_items

NAME = "benchmark_overlap"
MEANING = "a run of 13 words (or a whole text of 8 to 12 words) shared with a benchmark item"
RUN = 13
"""Words in a row that a row and an item have to share."""
SHORTEST = 8
"""Words of the shortest text that is looked for as a whole."""
MOST_ITEMS = 10
"""A run of words in more items than this is phrasing."""


class Overlaps(NamedTuple):
    """What rows share with benchmark items.

    Attributes:
        rows: (row, item, first word in the row, run length) of each row's longest first overlap.
        items: the numbers of all items of which some run was seen.
    """

    rows: list[tuple[int, int, int, int]]
    items: set[int]


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """Runs of words of all items.

    Attributes:
        hashes: distinct run hashes, ascending [runs].
        items: numbers of the items that have each run, ascending, run by run [places].
        bounds: where each run's items start [runs + 1].
        lengths: the run lengths in use.
        places: `file:line` of every item.
        files: file of every item.
        too_short: per file, items without a text of 8 words.
    """

    hashes: NDArray[np.uint64]
    items: NDArray[np.int64]
    bounds: NDArray[np.int64]
    lengths: tuple[int, ...]
    places: tuple[str, ...]
    files: tuple[str, ...]
    too_short: dict[str, int]

    def find_overlaps(self, flat: NDArray[np.uint64], offsets: NDArray[np.int64]) -> Overlaps:
        """Look for the items' runs in rows.

        Args:
            flat: word hashes of all rows [words].
            offsets: where each row starts in them [rows + 1].
        """
        longest: dict[int, tuple[int, int, int]] = {}
        items: set[int] = set()
        for n, grams, starts in ngram_hashes(flat, offsets, self.lengths if len(self.hashes) else ()):
            run = np.minimum(np.searchsorted(self.hashes, grams), len(self.hashes) - 1)
            matches = np.flatnonzero(self.hashes[run] == grams)
            rows = np.searchsorted(offsets, starts[matches], side="right") - 1
            for row, k, start in zip(rows.tolist(), run[matches].tolist(), starts[matches].tolist(), strict=True):
                items_of_run = self.items[self.bounds[k] : self.bounds[k + 1]].tolist()
                items.update(items_of_run)
                if row not in longest or longest[row][2] < n:
                    longest[row] = (items_of_run[0], start - int(offsets[row]), n)
        return Overlaps([(row, *longest[row]) for row in sorted(longest)], items)

    def count_items(self, items_in_rows: set[int]) -> tuple[BenchmarkCounts, ...]:
        """Count, per benchmark file, its items, those too short to tell, and those of which rows share a run."""
        items = Counter(self.files)
        in_rows = Counter(self.files[item] for item in items_in_rows)
        return tuple(
            BenchmarkCounts(file=name, items=items[name], too_short=too_short, items_in_rows=in_rows[name])
            for name, too_short in self.too_short.items()
        )


def build_index(paths: Sequence[Path]) -> BenchmarkIndex:
    """Read all benchmark files and index their runs of words."""
    places: list[str] = []
    files: list[str] = []
    too_short = {str(path): 0 for path in paths}
    texts: list[_ItemText] = []
    for number, item in enumerate(item for path in paths for item in read_items(path)):
        long_enough = [_ItemText(text, n, number) for text in item.texts if (n := len(words(text))) >= SHORTEST]
        too_short[item.location.file] += not long_enough
        texts += long_enough
        places.append(str(item.location))
        files.append(item.location.file)
    lengths, hashes, items = _hash_runs(texts)
    return BenchmarkIndex(*_merge_runs(hashes, items), lengths, tuple(places), tuple(files), too_short)


class _ItemText(NamedTuple):
    """A text that is long enough: how many words it has, and which item's it is."""

    text: str
    n_words: int
    item: int


def _hash_runs(
    texts: Sequence[_ItemText],
) -> tuple[tuple[int, ...], list[NDArray[np.uint64]], list[NDArray[np.int64]]]:
    """Return the run lengths in use and, for each, the runs' hashes [runs] and their items [runs]."""
    lengths: list[int] = []
    hashes: list[NDArray[np.uint64]] = []
    items: list[NDArray[np.int64]] = []
    for n in range(SHORTEST, RUN + 1):
        chosen = [text for text in texts if min(text.n_words, RUN) == n]
        if not chosen:
            continue
        flat, offsets = hash_words([text.text for text in chosen])
        item_of_text = np.array([text.item for text in chosen], np.int64)
        for _, grams, starts in ngram_hashes(flat, offsets, (n,)):
            hashes.append(grams)
            items.append(item_of_text[np.searchsorted(offsets, starts, side="right") - 1])
        lengths.append(n)
    return tuple(lengths), hashes, items


def _merge_runs(
    hash_parts: Sequence[NDArray[np.uint64]], item_parts: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each run once with its items, without the runs that more than MOST_ITEMS items have."""
    if not hash_parts:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(1, np.int64)
    hashes, items = np.concatenate(hash_parts), np.concatenate(item_parts)
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    is_new = np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1])])
    hashes, items = hashes[is_new], items[is_new]
    distinct, counts = np.unique(hashes, return_counts=True)
    is_rare = counts <= MOST_ITEMS
    bounds = np.concatenate([[0], np.cumsum(counts[is_rare])])
    return distinct[is_rare], items[np.repeat(is_rare, counts)], bounds
