"""Words with their places, and a whole number for each: what texts are matched by.

A word here is a run of letters, digits and underscores, one Chinese, Japanese or Korean character, one other visible
character, or a run of the same mark (`---`, `||`; all runs of more than three are the same word), in Unicode's composed
form (NFC) and case-folded. Models' own tokens are joined to words by character offsets, so that one index serves every
model.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.ascii_words import HOLE, IN_HOLE, AsciiWords
from tunescope.text.words import CJK

VERSION = 1
"""Of this splitting; an index of another version is refused."""
END = 0
"""What stands behind each text's last word; no word has this number."""
UNKNOWN = -1
"""A word that the numbering doesn't know; no text of an index holds it."""
_CJK = CJK.pattern[1:-1]
_RUNNING = "-=*#~.!?|<>/+:;,"
_MARKS = "|".join(rf"{re.escape(mark)}+" for mark in _RUNNING) + r"|[^\w\s]"
_PLAIN = re.compile(rf"\w+|{_MARKS}")
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|{_MARKS}")
RUN = 3
"""Marks in a row from which on their number doesn't count."""
_COMPOSABLE = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
"""Stretches that NFC changes on their own: an ASCII character composes with none before it."""

_FOREIGN = re.compile(r"(?<![^\t-\r\x1c-\x20])[\x00-\x08\x0e-\x1b\x21-\x7f]*+[^\x00-\x7f][^\t-\r\x1c-\x20]*+")
"""What isn't ASCII, up to ASCII's white space on both sides: no word reaches across that."""

Ids = NDArray[np.uint32]
Query = NDArray[np.int64]
"""Numbers of the words of a text that is looked for, UNKNOWN among them."""


def split(text: str) -> list[str]:
    """Split a text into words, as they are written."""
    if text.isascii():
        return _PLAIN.findall(text)
    return _WORD.findall(unicodedata.normalize("NFC", text))


def places(text: str) -> list[tuple[int, int]]:
    """Return where each of `split`'s words begins and ends in the text as given."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return [match.span() for match in (_PLAIN if text.isascii() else _WORD).finditer(text)]
    composed: list[str] = []
    given: list[int] = []  # of each character of the composed text: its place in the one given
    at = 0
    for match in _COMPOSABLE.finditer(text):
        given.extend(range(at, match.start()))
        composed.append(text[at : match.start()])
        at = match.end()
        for begin, piece in _clusters(match[0]):
            made = unicodedata.normalize("NFC", piece)
            composed.append(made)
            given.extend(match.start() + begin + offset for offset in _origins(piece, len(made)))
    composed.append(text[at:])
    given.extend(range(at, len(text) + 1))
    words = (match.span() for match in _WORD.finditer("".join(composed)))
    # a character that NFC takes apart (U+0958) may be several words, each of them at its place
    return [(given[begin], max(given[end], given[end - 1] + 1)) for begin, end in words]


def _clusters(stretch: str) -> Iterator[tuple[int, str]]:
    """Cut a stretch where what follows composes with nothing before it; yield where each piece begins, and itself."""
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
    """Return for each character of a piece's composed form where in the piece it begins."""
    ends = [len(unicodedata.normalize("NFC", piece[:end])) for end in range(1, len(piece) + 1)]
    return [next((start for start, end in enumerate(ends) if end > place), len(piece) - 1) for place in range(length)]


class Numbering(dict[str, int]):
    """The number of each word by how it is written; unknown words get the next number, from 1.

    Different spellings of a word (`The`, `the`) have one number.
    """

    def __init__(self, known: Sequence[str] = ()) -> None:
        """Begin with words that have the numbers from 1 on."""
        super().__init__()
        self.words = list(known)
        self._folded = {word: number for number, word in enumerate(known, 1)}
        self._ascii: AsciiWords | None = None
        self._entered = 0

    def __missing__(self, written: str) -> int:
        """Number a spelling that wasn't seen before."""
        word = _folded(written)
        number = self._folded.get(word)
        if number is None:
            self.words.append(word)
            number = self._folded[word] = len(self.words)
        self[written] = number
        return number

    def encode(self, texts: Iterable[str], compile: bool = False) -> tuple[Ids, NDArray[np.int64]]:
        """Number the words of texts one behind the other, each followed by END; return them and the texts' starts.

        Numbers may differ with `compile`, which takes the ASCII words of all texts first.
        """
        if compile:
            return self._encode_compiled(list(texts))
        out, starts = array("I"), array("q")
        number = self.__getitem__
        for text in texts:
            starts.append(len(out))
            out.extend(map(number, split(text)))
            out.append(END)
        return np.frombuffer(out, np.uint32), np.frombuffer(starts, np.int64)

    def _encode_compiled(self, texts: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        if self._ascii is None:
            self._ascii = AsciiWords(_RUNNING, RUN)
        new_here = [place for place in range(self._entered, len(self.words)) if self.words[place].isascii()]
        if new_here:
            self._ascii.enter([self.words[place] for place in new_here], [place + 1 for place in new_here])
        foreign: list[str] = []
        holed = []

        def leave_hole(stretch: re.Match[str]) -> str:
            foreign.append(stretch[0])
            return HOLE

        for text in texts:
            if text.isascii():
                holed.append(text)
            else:
                holed.append(_FOREIGN.sub(leave_hole, text))
        ids, starts, new = self._ascii.number(holed, len(self.words) + 1)
        self._folded.update((word, number) for number, word in enumerate(new, len(self.words) + 1))
        self.words += new
        self._entered = len(self.words)
        return self._filled(ids, starts, foreign) if foreign else (ids, starts)

    def _filled(self, ids: Ids, starts: NDArray[np.int64], foreign: list[str]) -> tuple[Ids, NDArray[np.int64]]:
        """Put the numbers of the words of stretches that aren't ASCII where they were left out."""
        holes = np.flatnonzero(ids == IN_HOLE)
        found = [[self[word] for word in split(stretch)] for stretch in foreign]
        lengths = np.array([len(words) for words in found])
        between = np.repeat(holes - np.arange(len(holes)), lengths)
        filled = np.insert(np.delete(ids, holes), between, [number for words in found for number in words])
        more = np.concatenate([[0], np.cumsum(lengths - 1)])
        return filled, starts + more[np.searchsorted(holes, starts)]

    def look_up(self, text: str) -> Query:
        """Return the numbers of a text's words; words that aren't known are UNKNOWN."""
        return np.array([self._folded.get(_folded(word), UNKNOWN) for word in split(text)], np.int64)


def _folded(written: str) -> str:
    """Return a word's spelling without case, a long run of the same mark cut."""
    word = written.casefold()
    long = len(word) > RUN and not word[0].isalnum() and word == word[0] * len(word)
    return word[:RUN] if long else word
