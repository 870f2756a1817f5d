"""Find the chains of words that a text shares with indexed rows, and score them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching import suffix_array
from tunescope.matching.chains import Chains, chain_seeds
from tunescope.matching.seeds import Seeds, look_up_seeds
from tunescope.matching.stream import Read, stream_seeds
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Query
from tunescope.verbs.trace.index import Index

MIN_BITS = 30.0
"""Bits that a chain needs to be reported; a rare word has 15 to 20."""


class Matches(NamedTuple):
    """The chains that one text shares with the rows, and their scores.

    Attributes:
        query: the numbers of the text's words [words].
        chains: all chains of at least `MIN_BITS` bits.
        ref_bits: the bits of each chain that the reference has too [chains]; None without one.
        score: bits, or with a reference the bits above it [chains].
    """

    query: Query
    chains: Chains
    ref_bits: NDArray[np.float64] | None
    score: NDArray[np.float64]


def covered(begins: NDArray[np.int64], ends: NDArray[np.int64], words: int) -> NDArray[np.bool_]:
    """Return which of a text's words lie in at least one of the stretches begins:ends [words]."""
    edges = np.zeros(words + 1, np.int64)
    np.add.at(edges, begins, 1)
    np.add.at(edges, ends, -1)
    return np.cumsum(edges[:-1]) > 0


@dataclass(frozen=True, slots=True)
class Reference:
    """Texts by something that never saw the rows: what they share with the rows is common.

    Attributes:
        name: as the user named it.
        ids: the index's numbers of its words, END for a word that the index doesn't contain [words and ends].
        order: the suffix array over them.
        buckets: where each word's positions begin in it [words of the vocabulary + 2].
    """

    name: str
    ids: WordIds
    order: NDArray[np.int32]
    buckets: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, queries: Iterable[Query], index: Index) -> Reference:
        """Build the suffix array over a reference's texts, in memory."""
        parts = [np.append(np.maximum(query, END), END) for query in queries]
        ids = np.concatenate(parts).astype(np.uint32) if parts else np.zeros(0, np.uint32)
        return cls(name, ids, suffix_array.build(ids), suffix_array.bucket_starts(ids, len(index.counts) - 1))

    def shared_bits(
        self, query: Query, bits: NDArray[np.float64], chains: Chains, compile: bool
    ) -> NDArray[np.float64]:
        """Return the bits of the longest run within each chain that the reference contains [chains].

        Args:
            query: the numbers of the text's words [words].
            bits: the information of each word [words].
            chains: the text's chains.
            compile: compile the loop with numba.
        """
        cumulative = np.concatenate([[0.0], np.cumsum(bits)])
        lengths = suffix_array.longest_matches(query, self.ids, self.order, self.buckets, compile)[:, 0]
        run_ends = np.arange(len(query)) + lengths
        shared = np.zeros(len(chains.begin))
        for number, (begin, end) in enumerate(zip(chains.begin, chains.end, strict=True)):
            ends = np.minimum(run_ends[begin:end], end)
            shared[number] = np.max(cumulative[ends] - cumulative[begin:end], initial=0.0)
        return shared


class Finder:
    """Finds the chains that texts share with an index's rows.

    Attributes:
        index: the rows.
        reference: what is common; None without one.
        compile: compile the loops with numba, which pays off for many texts.
    """

    def __init__(self, index: Index, reference: Reference | None = None, compile: bool = False) -> None:
        """Keep the index and the reference."""
        self.index, self.reference, self.compile = index, reference, compile

    def find(self, query: Query, prompt: Query | None = None) -> Matches:
        """Find the chains of one text; word pairs that its prompt contains have no bits."""
        index = self.index
        if index.order is None:
            seeds = stream_seeds(query, index.ids)
        else:
            seeds = look_up_seeds(query, index.ids, index.order, index.buckets, compile=self.compile)
        return self._score(query, prompt, seeds)

    def stream(self, queries: Sequence[Query], prompts: Sequence[Query], read: Read | None = None) -> list[Matches]:
        """Find the chains of many texts by reading all rows once; the result is the same as that of `find`.

        `read` reads them in place of two threads.
        """
        joined = np.concatenate([np.append(query, END) for query in queries]) if queries else np.zeros(0, np.int64)
        begins = np.cumsum([0, *(len(query) + 1 for query in queries)])
        seeds = stream_seeds(joined, self.index.ids, read=read)
        owners = np.searchsorted(begins, seeds[:, 0], side="right") - 1
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(len(queries) + 1))
        matches = []
        for number, (query, prompt) in enumerate(zip(queries, prompts, strict=True)):
            of_text = seeds[order[bounds[number] : bounds[number + 1]]]
            matches.append(self._score(query, prompt, of_text - np.array([begins[number], 0, 0])))
        return matches

    def _score(self, query: Query, prompt: Query | None, seeds: Seeds) -> Matches:
        """Chain a text's seeds, and subtract the bits that the reference has too."""
        bits = self.index.information(query, prompt)
        chains = chain_seeds(seeds, self.index.starts, bits, MIN_BITS, self.compile)
        if self.reference is None:
            return Matches(query, chains, None, chains.bits)
        ref_bits = self.reference.shared_bits(query, bits, chains, self.compile)
        return Matches(query, chains, ref_bits, chains.bits - ref_bits)
