"""Number the words of ASCII texts in a compiled loop: the same words as `word_ids`, many times faster.

The words are in an open hash table. Spellings are compared byte by byte, so no two words share a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compile_loop

_WHITE, _LETTER, _ALONE, _MARK = range(4)
"""Kinds of bytes: white space, part of a word, a word of its own, a mark whose runs are words."""
HOLE, HOLE_ID = "\xff", 2**32 - 1
"""The character that replaces a stretch that isn't ASCII, and its number."""
_INITIAL_SIZE = 1 << 16


def _kinds_of_bytes(marks: str) -> NDArray[np.uint8]:
    """Return the kind of each byte [256]."""
    kind = np.full(256, _ALONE, np.uint8)
    for byte in range(128):
        ch = chr(byte)
        kind[byte] = _LETTER if ch.isalnum() or ch == "_" else _WHITE if ch.isspace() else kind[byte]
    kind[list(marks.encode())] = _MARK
    return kind


def _joins_of_bytes() -> NDArray[np.uint8]:
    """Return what each byte stands for in a word [256]: 1 letter, 2 digit; of a mark: what it joins, 3 for both."""
    joins = np.zeros(256, np.uint8)
    for byte in range(128):
        joins[byte] = 1 if chr(byte).isalpha() else 2 if chr(byte).isdigit() else 0
    joins[list(b"'.")] = 3
    joins[list(b",;")] = 2
    return joins


_JOINS = _joins_of_bytes()


_LOWER = np.array([ord(chr(byte).lower()) if byte < 128 else byte for byte in range(256)], np.uint8)


class AsciiWords:
    """Words in lower case and their numbers.

    Attributes:
        count: how many words the table has.
    """

    def __init__(self, marks: str, run: int) -> None:
        """Take the marks whose runs are words, and how many marks of a run count."""
        self._kinds, self._run = _kinds_of_bytes(marks), run
        self.count = 0
        self._letters = np.zeros(_INITIAL_SIZE, np.uint8)
        self._ends = np.zeros(_INITIAL_SIZE + 1, np.int64)  # where each word's spelling ends in `_letters`
        self._numbers = np.zeros(_INITIAL_SIZE, np.int64)
        self._slots = np.zeros(4 * _INITIAL_SIZE, np.int32)  # 1 + a word's place in `_numbers`, 0 where empty
        self.insert([HOLE], [HOLE_ID])

    def number(self, texts: Sequence[str], following: int) -> tuple[NDArray[np.uint32], NDArray[np.int64], list[str]]:
        """Number the words of texts that are ASCII but for `HOLE`, with 0 behind each text.

        The first new word gets the number `following`, the next one more, and so on.

        Returns:
            The numbers [words and ends], where each text begins in them [texts], and the new words.
        """
        data = np.frombuffer("".join(texts).encode("latin-1"), np.uint8)
        bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        self._make_room(len(data))
        ids, starts = np.empty(len(data) + len(texts), np.uint32), np.empty(len(texts), np.int64)
        run = compile_loop(_number, _find_slot, _hash)
        before = self.count
        total, self.count = run(
            data, bounds, self._kinds, _JOINS, _LOWER, self._run, following, before, *self._tables, ids, starts
        )
        return ids[:total], starts, [self._word(index) for index in range(before, self.count)]

    def insert(self, words: Sequence[str], numbers: Sequence[int]) -> None:
        """Add words that have numbers already."""
        data = np.frombuffer("".join(words).encode("latin-1"), np.uint8)
        bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
        self._make_room(len(data))
        run = compile_loop(_insert, _find_slot, _hash)
        self.count = run(data, bounds, np.array(numbers, np.int64), self.count, *self._tables)

    @property
    def _tables(self) -> tuple[NDArray[Any], ...]:
        return self._letters, self._ends, self._numbers, self._slots

    def _word(self, index: int) -> str:
        return self._letters[self._ends[index] : self._ends[index + 1]].tobytes().decode("ascii")

    def _make_room(self, more: int) -> None:
        """Grow the arrays so that words of `more` letters in all fit."""
        letters, words = int(self._ends[self.count]) + more, self.count + more
        if letters > len(self._letters):
            self._letters = np.concatenate([self._letters, np.zeros(letters, np.uint8)])
        if words > len(self._numbers):
            self._numbers = np.concatenate([self._numbers, np.zeros(words, np.int64)])
            self._ends = np.concatenate([self._ends, np.zeros(words, np.int64)])
        if 2 * words > len(self._slots):
            self._slots = np.zeros(1 << int(4 * words).bit_length(), np.int32)
            compile_loop(_rehash, _find_slot, _hash)(self.count, *self._tables)


def _hash(data: Any, begin: int, end: int) -> Any:
    """Hash the bytes data[begin:end]: FNV-1a, its upper half mixed in."""
    h = np.uint64(0xCBF29CE484222325)
    for place in range(begin, end):
        h = (h ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
    return h ^ (h >> np.uint64(29))


def _find_slot(data: Any, begin: int, end: int, letters: Any, ends: Any, slots: Any) -> Any:
    """Return the slot of the spelling data[begin:end], or the empty slot where it belongs."""
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


def _insert(data: Any, bounds: Any, given: Any, count: int, letters: Any, ends: Any, numbers: Any, slots: Any) -> int:
    """Add words with given numbers to the table; return how many it has."""
    for word in range(len(given)):
        begin, end = bounds[word], bounds[word + 1]
        slot = _find_slot(data, begin, end, letters, ends, slots)
        letters[ends[count] : ends[count] + end - begin] = data[begin:end]
        ends[count + 1] = ends[count] + end - begin
        numbers[count] = given[word]
        count += 1
        slots[slot] = count
    return count


def _rehash(count: int, letters: Any, ends: Any, numbers: Any, slots: Any) -> None:
    """Enter all words into an empty table of slots."""
    for word in range(count):
        slots[_find_slot(letters, ends[word], ends[word + 1], letters, ends, slots)] = word + 1


def _number(
    data: Any,
    bounds: Any,
    kinds: Any,
    joins: Any,
    lower: Any,
    run: int,
    following: int,
    count: int,
    letters: Any,
    ends: Any,
    numbers: Any,
    slots: Any,
    ids: Any,
    starts: Any,
) -> tuple[int, int]:
    """Write the words' numbers into `ids` and where each text begins into `starts`.

    Returns:
        How many numbers were written, and how many words the table has now.
    """
    out = 0
    for text in range(len(starts)):
        starts[text] = out
        at, stop = bounds[text], bounds[text + 1]
        while at < stop:
            kind = kinds[data[at]]
            if kind == _WHITE:
                at += 1
                continue
            end = at + 1
            uniform = True  # all of it is one character
            if kind == _LETTER:
                while end < stop:
                    if kinds[data[end]] != _LETTER:  # a mark that joins what stands on both sides?
                        if end + 1 == stop or kinds[data[end + 1]] != _LETTER:
                            break
                        if not joins[data[end]] & joins[data[end - 1]] & joins[data[end + 1]]:
                            break
                    uniform = uniform and data[end] == data[at]
                    end += 1
            elif kind == _MARK:
                while end < stop and data[end] == data[at]:
                    end += 1
            length = end - at
            if length > run and uniform and (kind == _MARK or data[at] == 95):  # a run of marks or of underscores
                length = run
            # the spelling is written where the next new word's would be
            first = ends[count]
            for offset in range(length):
                letters[first + offset] = lower[data[at + offset]]
            slot = _find_slot(letters, first, first + length, letters, ends, slots)
            if not slots[slot]:
                ends[count + 1] = first + length
                numbers[count] = following
                following += 1
                count += 1
                slots[slot] = count
            ids[out] = numbers[slots[slot] - 1]
            out += 1
            at = end
        ids[out] = 0
        out += 1
    return out, count
