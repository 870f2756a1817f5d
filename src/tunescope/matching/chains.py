"""Chains: seeds of one text that follow each other in an answer as they do there, with little between them.

A chain's score is the information of its words, -log2 of how common each is, less `SKIP` bits for each word that one
side has and the other hasn't. So a passage with a few words changed is one finding, not its fragments. It is local
alignment (Smith & Waterman 1981) on seeds: a chain begins anew where what was before it costs more than it brings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compiled
from tunescope.matching.seeds import Seeds

GAP = 4
"""Words between two seeds at most, in the answer and in the text."""
DRIFT = 2
"""How far those two numbers of words may differ."""
SKIP = 6.0
"""Bits that a word between two seeds costs."""
BACK = 64
"""Seeds of the text before this one that are tried as what it follows."""


class Chains(NamedTuple):
    """Chains of one answer, in the order of the texts.

    Attributes:
        text: which text, by number [chains].
        begin, end: the chain's words in the answer [chains], end exclusive.
        place, place_end: the same in the texts [chains].
        words: how many words both have [chains].
        edits: words between seeds, of the side that has more [chains].
        bits: the score [chains].
        last: each chain's last seed [chains]; `pieces` goes back from it.
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
        """Return what a chain and its text have in common: (word of the answer, word of the texts, words) each."""
        found = []
        seed = int(self.last[number])
        while seed >= 0:
            start, place, length = (int(value) for value in self.seeds[seed])
            cut = int(self.cut[seed])
            found.append((start + cut, place + cut, length - cut))
            seed = int(self.before[seed])
        return found[::-1]


def chain(
    seeds: Seeds, starts: NDArray[np.int64], bits: NDArray[np.float64], least: float, compile: bool = False
) -> Chains:
    """Chain the seeds of one answer.

    Args:
        seeds: sorted by place in the texts.
        starts: where each text begins [texts].
        bits: information of each of the answer's words [words].
        least: bits below which a chain is left out.
        compile: let numba do it.
    """
    run = compiled(_chain) if compile else _chain
    texts = np.searchsorted(starts, seeds[:, 1], side="right") - 1
    mass = np.concatenate([[0.0], np.cumsum(bits)])
    size = len(seeds)
    before, cut = np.full(size, -1, np.int64), np.zeros(size, np.int64)
    lines, scores = np.empty((size, 8), np.int64), np.empty(size, np.float64)
    count = run(seeds, texts, mass, least, before, cut, lines, scores)
    text, begin, end, place, place_end, words, edits, last = lines[:count].T.copy()
    return Chains(text, begin, end, place, place_end, words, edits, scores[:count].copy(), last, seeds, before, cut)


def _chain(
    seeds: Seeds,
    texts: NDArray[np.int64],
    mass: NDArray[np.float64],
    least: float,
    before: NDArray[np.int64],
    cut: NDArray[np.int64],
    lines: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> int:
    size = len(seeds)
    best = np.zeros(size, np.float64)
    root = np.zeros(size, np.int64)
    words = np.zeros(size, np.int64)
    edits = np.zeros(size, np.int64)
    top = np.full(size, -1, np.int64)  # of each root: the seed at which its best chain ends
    for seed in range(size):
        start, place, length = seeds[seed, 0], seeds[seed, 1], seeds[seed, 2]
        whole = mass[start + length] - mass[start]
        best[seed], root[seed], words[seed] = whole, seed, length
        for other in range(seed - 1, max(-1, seed - 1 - BACK), -1):
            if texts[other] != texts[seed]:
                break
            across = start - (seeds[other, 0] + seeds[other, 2])
            along = place - (seeds[other, 1] + seeds[other, 2])
            over = max(0, -across, -along)  # words that both seeds claim
            if over >= length or seeds[other, 0] >= start:
                continue
            across, along = across + over, along + over
            skipped = max(across, along)
            if skipped > GAP or abs(across - along) > DRIFT:
                continue
            score = best[other] - SKIP * skipped + whole - (mass[start + over] - mass[start])
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
