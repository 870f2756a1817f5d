"""What an answer shares with indexed rows: chains of words, how informative they are, how much of that is common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching import suffix_array
from tunescope.matching.chains import Chains, chain_seeds
from tunescope.matching.seeds import Seeds, look_up_seeds
from tunescope.matching.stream import stream_seeds
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Query
from tunescope.verbs.trace.index import Index

LEAST = 30.0
"""Bits below which a chain is no finding; rare words have 15 to 20 each."""


class Found(NamedTuple):
    """The chains of one text, and how each scores.

    Attributes:
        query: the text's words by number.
        chains: all chains of at least `LEAST` bits.
        ref_bits: what of each chain the reference has too, in bits [chains]; None without one.
        score: bits, or with a reference bits above it [chains].
    """

    query: Query
    chains: Chains
    ref_bits: NDArray[np.float64] | None
    score: NDArray[np.float64]


def covered(begins: NDArray[np.int64], ends: NDArray[np.int64], words: int) -> NDArray[np.bool_]:
    """Return which of a text's words lie in at least one of the stretches [words]."""
    edges = np.zeros(words + 1, np.int64)
    np.add.at(edges, begins, 1)
    np.add.at(edges, ends, -1)
    return np.cumsum(edges[:-1]) > 0


@dataclass(frozen=True, slots=True)
class Reference:
    """Texts that say what is common: of models that never saw the rows.

    Attributes:
        name: what the user named.
        ids: their words by the index's numbers, END for a word that it doesn't know.
        order: the suffix array over them.
        first: where each word's places begin in it.
    """

    name: str
    ids: WordIds
    order: NDArray[np.int32]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, queries: Iterable[Query], index: Index) -> Reference:
        """Index the texts of a reference in memory."""
        parts = [np.append(np.maximum(query, END), END) for query in queries]
        ids = np.concatenate(parts).astype(np.uint32) if parts else np.zeros(0, np.uint32)
        return cls(name, ids, suffix_array.build(ids), suffix_array.bucket_starts(ids, len(index.counts) - 1))

    def bits(self, query: Query, mass: NDArray[np.float64], chains: Chains, compile: bool) -> NDArray[np.float64]:
        """Return for each chain the bits of the longest run within it that the reference has [chains]."""
        lengths = suffix_array.longest_matches(query, self.ids, self.order, self.first, compile)[:, 0]
        ends = np.arange(len(query)) + lengths
        found = np.zeros(len(chains.begin))
        for number, (begin, end) in enumerate(zip(chains.begin, chains.end, strict=True)):
            found[number] = np.max(mass[np.minimum(ends[begin:end], end)] - mass[begin:end], initial=0.0)
        return found


class Finder:
    """Looks texts up in an index, compiled where there are many of them."""

    def __init__(self, index: Index, reference: Reference | None = None, compile: bool = False) -> None:
        """Take an index, and what is common."""
        self.index, self.reference, self.compile = index, reference, compile

    def find(self, query: Query, prompt: Query | None = None) -> Found:
        """Find one text's chains; what its prompt says too counts for nothing."""
        return self._scored(query, prompt, self._seeds(query))

    def stream(self, queries: Sequence[Query], prompts: Sequence[Query]) -> list[Found]:
        """Find the chains of many texts by reading all rows once, without the suffix array: the same as `find`."""
        joined = np.concatenate([np.append(query, END) for query in queries]) if queries else np.zeros(0, np.int64)
        edges = np.cumsum([0, *(len(query) + 1 for query in queries)])
        seeds = stream_seeds(joined, self.index.ids)
        owners = np.searchsorted(edges, seeds[:, 0], side="right") - 1
        order = np.argsort(owners, kind="stable")
        places = np.searchsorted(owners[order], np.arange(len(queries) + 1))
        found = []
        for number, (query, prompt) in enumerate(zip(queries, prompts, strict=True)):
            own = seeds[order[places[number] : places[number + 1]]]
            found.append(self._scored(query, prompt, own - np.array([edges[number], 0, 0])))
        return found

    def _seeds(self, query: Query) -> Seeds:
        index = self.index
        if index.order is None:
            return stream_seeds(query, index.ids)
        return look_up_seeds(query, index.ids, index.order, index.first, compile=self.compile)

    def _scored(self, query: Query, prompt: Query | None, seeds: Seeds) -> Found:
        bits = self.index.information(query, prompt)
        chains = chain_seeds(seeds, self.index.starts, bits, LEAST, self.compile)
        if self.reference is None:
            return Found(query, chains, None, chains.bits)
        mass = np.concatenate([[0.0], np.cumsum(bits)])
        known = self.reference.bits(query, mass, chains, self.compile)
        return Found(query, chains, known, chains.bits - known)
