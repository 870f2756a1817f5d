"""Split texts into words, and number the words: texts are matched by these numbers.

A word here is a run of letters, digits and underscores, one Chinese, Japanese or Korean character, one other visible
character, or a run of the same mark (`---`, `||`; all runs of more than three are the same word). Words are compared in
Unicode's composed form (NFC) and case-folded. A model's tokens are joined to words by character offsets, so one index
serves every model.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.ascii_words import HOLE, HOLE_ID, AsciiWords
from tunescope.text.words import CJK

VERSION = 1
"""Version of this splitting; an index of another version is rejected."""
END = 0
"""The number behind each text's last word; no word has it."""
UNKNOWN = -1
"""The number of a word that the index doesn't contain."""
_CJK = CJK.pattern[1:-1]
_RUNNING = "-=*#~.!?|<>/+:;,"
_MARKS = "|".join(rf"{re.escape(mark)}+" for mark in _RUNNING) + r"|[^\w\s]"
_PLAIN = re.compile(rf"\w+|{_MARKS}")
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|{_MARKS}")
RUN = 3
"""Marks in a row that count; a longer run is the same word."""
_COMPOSABLE = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
"""Stretches that NFC changes independently: an ASCII character composes with nothing before it."""

_FOREIGN = re.compile(r"(?<![^\t-\r\x1c-\x20])[\x00-\x08\x0e-\x1b\x21-\x7f]*+[^\x00-\x7f][^\t-\r\x1c-\x20]*+")
"""Stretches that aren't ASCII, up to ASCII white space on both sides: no word crosses that."""

Query = NDArray[np.int64]
"""Numbers of the words of a text that is looked up [words], UNKNOWN among them."""


def split_words(text: str) -> list[str]:
    """Return a text's words as they are written."""
    if text.isascii():
        return _PLAIN.findall(text)
    return _WORD.findall(unicodedata.normalize("NFC", text))


def word_offsets(text: str) -> list[tuple[int, int]]:
    """Return where each word of `split_words` begins and ends in the text as given, in characters."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return [match.span() for match in (_PLAIN if text.isascii() else _WORD).finditer(text)]
    composed: list[str] = []
    origins: list[int] = []  # of each character of the composed text: its place in the given text
    done = 0
    for match in _COMPOSABLE.finditer(text):
        origins.extend(range(done, match.start()))
        composed.append(text[done : match.start()])
        done = match.end()
        for begin, piece in _clusters(match[0]):
            normalized = unicodedata.normalize("NFC", piece)
            composed.append(normalized)
            origins.extend(match.start() + begin + offset for offset in _origins(piece, len(normalized)))
    composed.append(text[done:])
    origins.extend(range(done, len(text) + 1))
    words = (match.span() for match in _WORD.finditer("".join(composed)))
    # a character that NFC decomposes (U+0958) may be several words, each of them at its place
    return [(origins[begin], max(origins[end], origins[end - 1] + 1)) for begin, end in words]


def _clusters(stretch: str) -> Iterator[tuple[int, str]]:
    """Cut a stretch where the rest composes with nothing before it; yield each piece's start and the piece."""
    begin = 0
    for place in range(1, len(stretch)):
        own = unicodedata.normalize("NFC", stretch[place])
        before = stretch[begin:place]
        apart = unicodedata.normalize("NFC", before) + own == unicodedata.normalize("NFC", before + stretch[place])
        if apart and not unicodedata.combining(unicodedata.normalize("NFD", own)[0]):
            yield begin, before
            begin = place
    yield begin, stretch[begin:]


def _origins(piece: str, length: int) -> list[int]:
    """Return where in the piece each character of its composed form begins."""
    ends = [len(unicodedata.normalize("NFC", piece[:end])) for end in range(1, len(piece) + 1)]
    return [next((start for start, end in enumerate(ends) if end > place), len(piece) - 1) for place in range(length)]


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
                ascii_texts.append(_FOREIGN.sub(leave_hole, text))
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
        return np.array([self._folded.get(_fold(word), UNKNOWN) for word in split_words(text)], np.int64)


def _fold(written: str) -> str:
    """Return a word case-folded, with a long run of the same mark cut."""
    word = written.casefold()
    is_long_run = len(word) > RUN and not word[0].isalnum() and word == word[0] * len(word)
    return word[:RUN] if is_long_run else word
