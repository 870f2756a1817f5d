"""Numbering the words of ASCII texts in a compiled loop: the same words and numbers as `word_ids`, many times faster.

An open hash table over the words' spellings; a spelling is compared byte by byte, so that no two words share a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compiled

WHITE, LETTER, ALONE, MARK = range(4)
HOLE, IN_HOLE = "\xff", 2**32 - 1
"""What stands for a stretch that isn't ASCII, and the number it gets."""
SMALLEST = 1 << 16


def kinds(marks: str) -> NDArray[np.uint8]:
    """Return what each byte is: white space, part of a word, a word alone, or a mark whose runs are words."""
    kind = np.full(256, ALONE, np.uint8)
    for byte in range(128):
        ch = chr(byte)
        kind[byte] = LETTER if ch.isalnum() or ch == "_" else WHITE if ch.isspace() else kind[byte]
    kind[list(marks.encode())] = MARK
    return kind


LOWER = np.array([ord(chr(byte).lower()) if byte < 128 else byte for byte in range(256)], np.uint8)


class AsciiWords:
    """Words in lower case and their numbers.

    Attributes:
        spelled: how many words are known here.
    """

    def __init__(self, marks: str, run: int) -> None:
        """Take the marks whose runs are words, and how many of a run count."""
        self._kind, self._run = kinds(marks), run
        self.spelled = 0
        self._letters = np.zeros(SMALLEST, np.uint8)
        self._ends = np.zeros(SMALLEST + 1, np.int64)  # of each word's spelling in `_letters`
        self._numbers = np.zeros(SMALLEST, np.int64)
        self._slots = np.zeros(4 * SMALLEST, np.int32)  # 1 + a word's place in `_numbers`, 0 where empty
        self.enter([HOLE], [IN_HOLE])

    def number(self, texts: Sequence[str], following: int) -> tuple[NDArray[np.uint32], NDArray[np.int64], list[str]]:
        """Number the words of texts that are ASCII but for `HOLE`, 0 behind each.

        A new word gets the number `following`, the next one more, and so on.

        Returns:
            The numbers, where each text begins in them, and the new words.
        """
        data = np.frombuffer("".join(texts).encode("latin-1"), np.uint8)
        bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        self._make_room(len(data))
        ids, starts = np.empty(len(data) + len(texts), np.uint32), np.empty(len(texts), np.int64)
        run = compiled(_number, _find, _hash)
        before = self.spelled
        places, self.spelled = run(
            data, bounds, self._kind, LOWER, self._run, following, before, *self._tables, ids, starts
        )
        return ids[:places], starts, [self._word(place) for place in range(before, self.spelled)]

    def enter(self, words: Sequence[str], numbers: Sequence[int]) -> None:
        """Make words known that have their numbers already."""
        data = np.frombuffer("".join(words).encode("latin-1"), np.uint8)
        bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
        self._make_room(len(data))
        run = compiled(_enter, _find, _hash)
        self.spelled = run(data, bounds, np.array(numbers, np.int64), self.spelled, *self._tables)

    @property
    def _tables(self) -> tuple[NDArray[Any], ...]:
        return self._letters, self._ends, self._numbers, self._slots

    def _word(self, place: int) -> str:
        return self._letters[self._ends[place] : self._ends[place + 1]].tobytes().decode("ascii")

    def _make_room(self, more: int) -> None:
        """See that `more` new words of one letter, or one of so many, would find room."""
        letters, words = int(self._ends[self.spelled]) + more, self.spelled + more
        if letters > len(self._letters):
            self._letters = np.concatenate([self._letters, np.zeros(letters, np.uint8)])
        if words > len(self._numbers):
            self._numbers = np.concatenate([self._numbers, np.zeros(words, np.int64)])
            self._ends = np.concatenate([self._ends, np.zeros(words, np.int64)])
        if 2 * words > len(self._slots):
            self._slots = np.zeros(1 << int(4 * words).bit_length(), np.int32)
            compiled(_again, _find, _hash)(self.spelled, *self._tables)


def _hash(data: Any, begin: int, end: int) -> Any:
    """Hash a spelling: FNV-1a, its upper half mixed in."""
    h = np.uint64(0xCBF29CE484222325)
    for place in range(begin, end):
        h = (h ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
    return h ^ (h >> np.uint64(29))


def _find(data: Any, begin: int, end: int, letters: Any, ends: Any, slots: Any) -> Any:
    """Return the slot of a spelling: its own, or the empty one where it would go."""
    mask = np.uint64(len(slots) - 1)
    slot = _hash(data, begin, end) & mask
    while slots[slot]:
        word = slots[slot] - 1
        first = ends[word]
        if ends[word + 1] - first == end - begin:
            same = True
            for offset in range(end - begin):
                if letters[first + offset] != data[begin + offset]:
                    same = False
                    break
            if same:
                break
        slot = (slot + np.uint64(1)) & mask
    return slot


def _enter(data: Any, bounds: Any, given: Any, known: int, letters: Any, ends: Any, numbers: Any, slots: Any) -> int:
    for word in range(len(given)):
        begin, end = bounds[word], bounds[word + 1]
        slot = _find(data, begin, end, letters, ends, slots)
        letters[ends[known] : ends[known] + end - begin] = data[begin:end]
        ends[known + 1] = ends[known] + end - begin
        numbers[known] = given[word]
        known += 1
        slots[slot] = known
    return known


def _again(known: int, letters: Any, ends: Any, numbers: Any, slots: Any) -> None:
    for word in range(known):
        slots[_find(letters, ends[word], ends[word + 1], letters, ends, slots)] = word + 1


def _number(
    data: Any,
    bounds: Any,
    kind: Any,
    lower: Any,
    run: int,
    following: int,
    known: int,
    letters: Any,
    ends: Any,
    numbers: Any,
    slots: Any,
    ids: Any,
    starts: Any,
) -> tuple[int, int]:
    out = 0
    for text in range(len(starts)):
        starts[text] = out
        at, stop = bounds[text], bounds[text + 1]
        while at < stop:
            what = kind[data[at]]
            if what == 0:  # white space
                at += 1
                continue
            end = at + 1
            alike = True  # all of it is one character
            if what == 1:
                while end < stop and kind[data[end]] == 1:
                    alike = alike and data[end] == data[at]
                    end += 1
            elif what == 3:
                while end < stop and data[end] == data[at]:
                    end += 1
            length = end - at
            if length > run and alike and (what == 3 or data[at] == 95):  # a run of marks or of underscores
                length = run
            # the spelling is tried out where the next new word's would stand
            first = ends[known]
            for offset in range(length):
                letters[first + offset] = lower[data[at + offset]]
            slot = _find(letters, first, first + length, letters, ends, slots)
            if not slots[slot]:
                ends[known + 1] = first + length
                numbers[known] = following
                following += 1
                known += 1
                slots[slot] = known
            ids[out] = numbers[slots[slot] - 1]
            out += 1
            at = end
        ids[out] = 0
        out += 1
    return out, known
