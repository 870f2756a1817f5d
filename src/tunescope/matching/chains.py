"""Chains: seeds that follow each other in an answer as they do in one text, with few words between them.

A chain's score is the information of its words, -log2 of each word's frequency, less `SKIP_BITS` bits for each word
that only one side has. So a passage with a few words changed is one chain, not several fragments. This is local
alignment (Smith & Waterman 1981) on seeds: a chain begins anew where its past costs more than it brings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compile_loop
from tunescope.matching.seeds import Seeds

MAX_GAP = 4
"""Words between two neighbouring seeds at most, in the answer and in the text."""
MAX_DRIFT = 2
"""How far these two numbers of words may differ."""
SKIP_BITS = 6.0
"""Bits that each word between two seeds costs."""
LOOK_BACK = 64
"""Earlier seeds of the text that are tried as a seed's predecessor."""


class Chains(NamedTuple):
    """Chains of one answer, in the order of the texts.

    Attributes:
        text: the number of the text [chains].
        begin, end: the chain's first word in the answer, and the one behind its last [chains].
        place, place_end: the same as positions in all texts [chains].
        words: words that both sides have [chains].
        edits: words between seeds, counted on the side that has more [chains].
        bits: the score [chains].
        last: the number of each chain's last seed [chains].
        seeds: the seeds that were chained.
        before: of each seed its predecessor, -1 for a chain's first [seeds].
        cut: of each seed its first words that the predecessor covers already [seeds].
    """

    text: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    place: NDArray[np.int64]
    place_end: NDArray[np.int64]
    words: NDArray[np.int64]
    edits: NDArray[np.int64]
    bits: NDArray[np.float64]
    last: NDArray[np.int64]
    seeds: Seeds
    before: NDArray[np.int64]
    cut: NDArray[np.int64]

    def pieces(self, number: int) -> list[tuple[int, int, int]]:
        """Return the runs that a chain and its text share: (word of the answer, position in the texts, words) each."""
        runs = []
        seed = int(self.last[number])
        while seed >= 0:
            start, place, length = (int(value) for value in self.seeds[seed])
            cut = int(self.cut[seed])
            runs.append((start + cut, place + cut, length - cut))
            seed = int(self.before[seed])
        return runs[::-1]


def chain_seeds(
    seeds: Seeds, starts: NDArray[np.int64], bits: NDArray[np.float64], least: float, compile: bool = False
) -> Chains:
    """Chain the seeds of one answer.

    Args:
        seeds: sorted by position in the texts.
        starts: the position at which each text begins [texts].
        bits: information of each word of the answer [words].
        least: bits that a chain needs to be returned.
        compile: compile the loop with numba.
    """
    run = compile_loop(_chain_seeds) if compile else _chain_seeds
    texts = np.searchsorted(starts, seeds[:, 1], side="right") - 1
    cumulative = np.concatenate([[0.0], np.cumsum(bits)])
    size = len(seeds)
    before, cut = np.full(size, -1, np.int64), np.zeros(size, np.int64)
    lines, scores = np.empty((size, 8), np.int64), np.empty(size, np.float64)
    count = run(seeds, texts, cumulative, least, before, cut, lines, scores)
    text, begin, end, place, place_end, words, edits, last = lines[:count].T.copy()
    return Chains(text, begin, end, place, place_end, words, edits, scores[:count].copy(), last, seeds, before, cut)


def _chain_seeds(
    seeds: Seeds,
    texts: NDArray[np.int64],
    cumulative: NDArray[np.float64],
    least: float,
    before: NDArray[np.int64],
    cut: NDArray[np.int64],
    lines: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> int:
    """Write the chains' columns into `lines` [seeds, 8] and their bits into `scores` [seeds]; return how many.

    `cumulative` is the information of the words before each place of the answer [words + 1].
    """
    size = len(seeds)
    best = np.zeros(size, np.float64)
    root = np.zeros(size, np.int64)
    words = np.zeros(size, np.int64)
    edits = np.zeros(size, np.int64)
    top = np.full(size, -1, np.int64)  # of each root: the seed at which its best chain ends
    for seed in range(size):
        start, place, length = seeds[seed, 0], seeds[seed, 1], seeds[seed, 2]
        whole = cumulative[start + length] - cumulative[start]
        best[seed], root[seed], words[seed] = whole, seed, length
        for other in range(seed - 1, max(-1, seed - 1 - LOOK_BACK), -1):
            if texts[other] != texts[seed]:
                break
            across = start - (seeds[other, 0] + seeds[other, 2])
            along = place - (seeds[other, 1] + seeds[other, 2])
            over = max(0, -across, -along)  # words that both seeds claim
            if over >= length or seeds[other, 0] >= start:
                continue
            across, along = across + over, along + over
            skipped = max(across, along)
            if skipped > MAX_GAP or abs(across - along) > MAX_DRIFT:
                continue
            score = best[other] - SKIP_BITS * skipped + whole - (cumulative[start + over] - cumulative[start])
            if score > best[seed]:
                best[seed], root[seed], before[seed], cut[seed] = score, root[other], other, over
                words[seed] = words[other] + length - over
                edits[seed] = edits[other] + skipped
        if top[root[seed]] < 0 or best[seed] > best[top[root[seed]]]:
            top[root[seed]] = seed
    count = 0
    for first in range(size):
        last = top[first]
        if last < 0 or best[last] < least:
            continue
        lines[count, 0] = texts[last]
        lines[count, 1], lines[count, 2] = seeds[first, 0], seeds[last, 0] + seeds[last, 2]
        lines[count, 3], lines[count, 4] = seeds[first, 1], seeds[last, 1] + seeds[last, 2]
        lines[count, 5], lines[count, 6], lines[count, 7] = words[last], edits[last], last
        scores[count] = best[last]
        count += 1
    return count
