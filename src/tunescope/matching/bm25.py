"""BM25 of texts against documents, from postings: numpy arrays that are memory-mapped.

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's idf, which is never
negative (Kamphuis et al., "Which BM25 Do You Mean?", 2020): ln(1 + (N - df + 0.5) / (df + 0.5)) and k1 = 1.5, b = 0.75,
as bm25s has it. A word that stands twice in the text counts twice. Words are those of `text.words`, by their 64-bit
hashes, so no vocabulary is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunescope.text.words import hash_words

if TYPE_CHECKING:
    from tunescope.runs import RunFolder

K1, B = 1.5, 0.75
"""How soon more of the same word stops counting, and how much a document's length does."""
_ARRAYS = ("words", "begins", "documents", "weights")


class PostingsBuilder:
    """Collects the words of documents, a block at a time.

    Attributes:
        lengths: the words of each document so far [documents].
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._documents: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int32]] = []

    def add(self, documents: Sequence[str]) -> None:
        """Take the next documents."""
        hashes, offsets = hash_words(documents)
        lengths = np.diff(offsets)
        owners = np.repeat(np.arange(len(documents), dtype=np.int32), lengths) + np.int32(len(self.lengths))
        self.lengths += lengths.tolist()
        order = np.argsort(hashes, kind="stable")  # documents stay in order within a word
        hashes, owners = hashes[order], owners[order]
        is_first = np.ones(len(hashes), bool)
        is_first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
        first = np.flatnonzero(is_first)
        self._hashes.append(hashes[first])
        self._documents.append(owners[first])
        self._counts.append(np.diff(first, append=len(hashes)).astype(np.int32))

    def write(self, folder: RunFolder) -> int:
        """Write the arrays of `Postings`; return the number of distinct words."""
        hashes = np.concatenate([*self._hashes, np.zeros(0, np.uint64)])
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        documents = np.concatenate([*self._documents, np.zeros(0, np.int32)])[order]
        counts = np.concatenate([*self._counts, np.zeros(0, np.int32)])[order].astype(np.float64)
        words, begins = np.unique(hashes, return_index=True)
        begins = np.append(begins, len(hashes)).astype(np.int64)
        frequencies = np.diff(begins)
        n = len(self.lengths)
        lengths = np.array(self.lengths, np.float64)
        idf = np.log1p((n - frequencies + 0.5) / (frequencies + 0.5))
        relative = lengths[documents] / max(lengths.mean(), 1.0) if n else lengths
        weights = np.repeat(idf, frequencies) * counts / (counts + K1 * (1 - B + B * relative))
        arrays: tuple[NDArray[Any], ...] = (words, begins, documents, weights.astype(np.float32))
        for name, array in zip(_ARRAYS, arrays, strict=True):
            folder.array(name, array)
        return len(words)


class Postings:
    """The documents of each word, with what it adds to their scores.

    Attributes:
        words: the hashes of the distinct words, in order [vocabulary].
        begins: where each word's documents begin [vocabulary + 1].
        documents: numbers of documents, in order within a word [postings].
        weights: what the word adds to the document's score [postings].
    """

    def __init__(self, folder: Path) -> None:
        """Map the arrays that `PostingsBuilder.write` wrote; raises OSError or ValueError where that can't be done."""
        words, begins, documents, weights = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
        self.words: NDArray[np.uint64] = words
        self.begins: NDArray[np.int64] = begins
        self.documents: NDArray[np.int32] = documents
        self.weights: NDArray[np.float32] = weights

    def score(self, text: str, n_documents: int) -> NDArray[np.float64]:
        """Return the BM25 score of every document [n_documents]; 0 where it shares no word with the text."""
        hashes, times = np.unique(hash_words([text])[0], return_counts=True)
        scores = np.zeros(n_documents)
        for word, count in zip(self._find(hashes), times, strict=True):
            if word >= 0:
                part = slice(self.begins[word], self.begins[word + 1])
                scores[self.documents[part]] += count * self.weights[part].astype(np.float64)
        return scores

    def score_itself(self, text: str, n_documents: int, mean_length: float) -> float:
        """Return the score that a text would have for itself, if it were a document; a new word is a rare one."""
        hashes, times = np.unique(hash_words([text])[0], return_counts=True)
        places = self._find(hashes)
        frequencies = np.where(places >= 0, self.begins[places + 1] - self.begins[places], 0)
        idf = np.log1p((n_documents - frequencies + 0.5) / (frequencies + 0.5))
        counts = times.astype(np.float64)
        length = K1 * (1 - B + B * counts.sum() / max(mean_length, 1.0))
        return float((counts * idf * counts / (counts + length)).sum())

    def having_all(self, words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the documents that have every one of some words, by their hashes, in order."""
        places = self._find(np.unique(words))
        if not len(places) or (places < 0).any():
            return np.zeros(0, np.int32)
        rarest_first = sorted(places.tolist(), key=lambda word: self.begins[word + 1] - self.begins[word])
        found = np.asarray(self.documents[self.begins[rarest_first[0]] : self.begins[rarest_first[0] + 1]])
        for word in rarest_first[1:]:
            if not len(found):
                break
            others = self.documents[self.begins[word] : self.begins[word + 1]]
            at = np.minimum(np.searchsorted(others, found), len(others) - 1)
            found = found[others[at] == found]
        return found

    def _find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each word in the vocabulary, -1 where it isn't there."""
        if not len(self.words):
            return np.full(len(hashes), -1)
        places = np.minimum(np.searchsorted(self.words, hashes), len(self.words) - 1)
        return np.where(self.words[places] == hashes, places, -1)
