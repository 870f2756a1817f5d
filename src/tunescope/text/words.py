"""Words, and their hashes.

A word is a run of letters, digits and underscores, in lower case; Chinese, Japanese and Korean
characters, which are written without spaces, are a word each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_VOCABULARY = 500_000


def words(text: str) -> list[str]:
    """Split text into words, in lower case."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the character span of every word, in the order of `words`."""
    return [match.span() for match in (_ASCII_WORD if text.isascii() else _WORD).finditer(text.lower())]


class WordHasher(dict[str, int]):
    """Hashes words to 64 bits (BLAKE2b), the same in every process; remembers what it has seen."""

    def __missing__(self, word: str) -> int:
        """Hash a word met for the first time."""
        if len(self) >= _VOCABULARY:
            self.clear()
        value = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = value
        return value

    def rows(self, rows: Sequence[Sequence[str]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hash the words of many rows into one flat array [words] with offsets [rows + 1]."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.fromiter(self._all(rows), np.uint64, int(offsets[-1])), offsets

    def _all(self, rows: Iterable[Sequence[str]]) -> Iterable[int]:
        return (self[word] for row in rows for word in row)
