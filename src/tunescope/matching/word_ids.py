"""Split texts into words and marks, and number them: texts are matched by these numbers.

Words are those of `text.words`. Here every other visible character is a word too, with its combining marks, or a run of
the same mark (`---`, `||`; all runs of more than three are the same word). A model's tokens are joined to words by
character offsets, so one index serves every model.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.ascii_words import HOLE, HOLE_ID, AsciiWords
from tunescope.text.words import ASCII_WORD, FOREIGN, WORD, compile_pattern, fold

VERSION = 2
"""Version of this splitting; an index of another version is rejected."""
END = 0
"""The number behind each text's last word; no word has it."""
UNKNOWN = -1
"""The number of a word that the index doesn't contain."""
_RUNNING = "-=*#~.!?|<>/+:;,"
_RUNS = "|".join(rf"{re.escape(mark)}+" for mark in _RUNNING)
_ASCII = re.compile(rf"{ASCII_WORD}|{_RUNS}|[^\w\s]")
_ANY = rf"{WORD}|{_RUNS}|(?![\s\x1c-\x1f\p{{Default_Ignorable_Code_Point}}])\X"
RUN = 3
"""Marks in a row that count; a longer run is the same word."""

Query = NDArray[np.int64]
"""Numbers of the words of a text that is looked up [words], UNKNOWN among them."""


def word_offsets(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text begins and ends, in characters."""
    if text.isascii():
        return [match.span() for match in _ASCII.finditer(text)]
    return [match.span() for match in compile_pattern(_ANY).finditer(text)]


def split_words(text: str) -> list[str]:
    """Return a text's words as they are written."""
    if text.isascii():
        return _ASCII.findall(text)
    return [text[begin:end] for begin, end in word_offsets(text)]


def folded_words(text: str) -> list[str]:
    """Return a text's words as they are compared."""
    return [_fold(word) for word in split_words(text)]


class Numbering(dict[str, int]):
    """The number of each word by its spelling; a new word gets the next number, from 1.

    Spellings of the same word (`The`, `the`) share a number.

    Attributes:
        words: the words in the order of their numbers, case-folded.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        """Start with `words`, numbered from 1."""
        super().__init__()
        self.words = list(words)
        self._folded = {word: number for number, word in enumerate(words, 1)}
        self._ascii: AsciiWords | None = None
        self._n_offered = 0  # words that `_ascii` has, or that aren't ASCII

    def __missing__(self, written: str) -> int:
        """Number a spelling that is new."""
        word = _fold(written)
        number = self._folded.get(word)
        if number is None:
            self.words.append(word)
            number = self._folded[word] = len(self.words)
        self[written] = number
        return number

    def encode(self, texts: Iterable[str], compile: bool = False) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Number the words of texts, END behind each text.

        With `compile` the numbers may differ: the ASCII words of all texts are numbered first.

        Returns:
            The numbers [words and ends], and where each text begins in them [texts].
        """
        if compile:
            return self._encode_compiled(list(texts))
        out, starts = array("I"), array("q")
        number = self.__getitem__
        for text in texts:
            starts.append(len(out))
            out.extend(map(number, split_words(text)))
            out.append(END)
        return np.frombuffer(out, np.uint32), np.frombuffer(starts, np.int64)

    def _encode_compiled(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        if self._ascii is None:
            self._ascii = AsciiWords(_RUNNING, RUN)
        new_here = [i for i in range(self._n_offered, len(self.words)) if self.words[i].isascii()]
        if new_here:
            self._ascii.insert([self.words[i] for i in new_here], [i + 1 for i in new_here])
        foreign: list[str] = []
        ascii_texts = []

        def leave_hole(stretch: re.Match[str]) -> str:
            foreign.append(stretch[0])
            return HOLE

        for text in texts:
            if text.isascii():
                ascii_texts.append(text)
            else:
                ascii_texts.append(FOREIGN.sub(leave_hole, text))
        ids, starts, new = self._ascii.number(ascii_texts, len(self.words) + 1)
        self._folded.update((word, number) for number, word in enumerate(new, len(self.words) + 1))
        self.words += new
        self._n_offered = len(self.words)
        return self._fill_holes(ids, starts, foreign) if foreign else (ids, starts)

    def _fill_holes(
        self, ids: NDArray[np.uint32], starts: NDArray[np.int64], foreign: list[str]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Replace each hole by the numbers of the words of the stretch that isn't ASCII."""
        holes = np.flatnonzero(ids == HOLE_ID)
        numbers = [[self[word] for word in split_words(stretch)] for stretch in foreign]
        lengths = np.array([len(words) for words in numbers])
        between = np.repeat(holes - np.arange(len(holes)), lengths)
        filled = np.insert(np.delete(ids, holes), between, [number for words in numbers for number in words])
        more = np.concatenate([[0], np.cumsum(lengths - 1)])
        return filled, starts + more[np.searchsorted(holes, starts)]

    def look_up(self, text: str) -> Query:
        """Return the numbers of a text's words [words], UNKNOWN for words that have none."""
        return np.array([self._folded.get(word, UNKNOWN) for word in folded_words(text)], np.int64)


def _fold(written: str) -> str:
    """Return a word as it is compared, with a long run of the same mark cut."""
    word = fold(written)
    is_long_run = len(word) > RUN and not word[0].isalnum() and word == word[0] * len(word)
    return word[:RUN] if is_long_run else word
