"""Words, and their hashes: what a word is, for every verb.

A word is a stretch between the word boundaries of Unicode (UAX 29) that begins with a letter, a digit or an underscore.
Marks belong to their letter; "don't" and 3.14 are one word each, "well-known" is two. As in CLDR a colon ends a word. A
zero-width space doesn't.

Thai, Lao, Khmer, Burmese, Chinese and Japanese are written without spaces between words. Their characters (grapheme
clusters) are a word each. They are the letters to which UAX 29 gives no class of its own, and Katakana.

Words are compared in Unicode's composed form (NFC), case-folded, without invisible characters, with straight quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

ASCII_WORD = r"(?:[A-Za-z]++(?:['.][A-Za-z]++)*+|[0-9]++(?:[',.;][0-9]++)*+|_++)++"
"""A word of an ASCII text: a pattern of `re`."""
_JOINERS = r"\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}\u200B"
_CHARACTER = (  # Han and Kana have clusters of one letter, which is faster to say
    rf"[\p{{Han}}\p{{Hiragana}}\p{{WB=Katakana}}][{_JOINERS}]*+|(?=[\p{{Alphabetic}}&&\p{{WB=Other}}])\X[{_JOINERS}]*+"
)


def _run(letters: str, joining: str) -> str:
    """Return the pattern of a run of letters or digits, and of further runs that a mark joins to it."""
    run = rf"[{letters}][{letters}{_JOINERS}]*+"
    return rf"{run}(?:{joining}[{_JOINERS}]*+{run})*+"


_AFTER_HEBREW = rf"(?<=\p{{WB=Hebrew_Letter}}[{_JOINERS}]*+)"
_JOINING_LETTERS = (
    rf"(?:(?![:﹕：])['\p{{WB=MidLetter}}\p{{WB=MidNumLet}}]|{_AFTER_HEBREW}\"(?=[{_JOINERS}]*+\p{{WB=Hebrew_Letter}}))"
)
_LETTERS = _run(r"\p{WB=ALetter}\p{WB=Hebrew_Letter}", _JOINING_LETTERS)
_DIGITS = _run(r"\p{WB=Numeric}", r"['\p{WB=MidNum}\p{WB=MidNumLet}]")
_UNDERSCORES = rf"\p{{WB=ExtendNumLet}}[\p{{WB=ExtendNumLet}}{_JOINERS}]*+"
WORD = rf"{_CHARACTER}|(?:{_LETTERS}|{_DIGITS}|{_UNDERSCORES})++(?:{_AFTER_HEBREW}'[{_JOINERS}]*+)?+"
"""A word of any text: a pattern for `compile_pattern`."""
_FOREIGN = r"[\x00-\x08\x0e-\x1b\x21-\x7f]*+[^\x00-\x7f][^\t-\r\x1c-\x20]*+"
FOREIGN = re.compile(rf"(?<![^\t-\r\x1c-\x20]){_FOREIGN}(?:[\t-\r\x1c-\x20]++{_FOREIGN})*+")
"""Stretches of a text that aren't ASCII, up to ASCII white space on both sides: no word crosses that."""
_FROM_THAI_ON = re.compile("[\u0e00-\U0010ffff]")
"""The characters of scripts without spaces between words are among these."""
_ASCII = bytes(b if chr(b).isalnum() or chr(b) in "_',.;" else 0x20 for b in range(128)).lower() + bytes(128)
"""A translation table of bytes: letters become lower case; bytes that are in no word become blanks."""
_NOT_JOINING = re.compile(rb"[',.;](?!(?<=[a-z]['.])[a-z]|(?<=[0-9].)[0-9])")
_INVISIBLE = r"[\p{Default_Ignorable_Code_Point}--\p{WB=ALetter}]+"
_QUOTES = {"’": "'", "‘": "'", "ʼ": "'", "＇": "'", "“": '"', "”": '"', "„": '"'}
_BASE, _MIX = 0x9E3779B97F4A7C15, np.uint64(0xBF58476D1CE4E5B9)
_PERIOD = 4096
_POWERS = np.array([pow(_BASE, i, 2**64) for i in range(_PERIOD)], np.uint64)


def words(text: str) -> list[str]:
    """Return a text's words, as they are compared."""
    return _bytes(text).decode("utf-8", "surrogatepass").split()


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word of a text begins and ends, in characters."""
    if text.isascii():
        yield from (match.span() for match in re.finditer(ASCII_WORD, text))
    else:
        yield from (match.span() for match in compile_pattern(WORD).finditer(text))


def count_characters(text: str) -> int:
    """Return how many of a text's words are characters of scripts without spaces between words."""
    if text.isascii() or not _FROM_THAI_ON.search(text):
        return 0
    return len(compile_pattern(_CHARACTER).findall(text))


def fold(text: str) -> str:
    """Return a text as it is compared: NFC, case-folded, without invisible characters, with straight quotes."""
    if text.isascii():
        return text.lower()
    for curly, straight in _QUOTES.items():
        text = text.replace(curly, straight)
    visible_text = compile_pattern(_INVISIBLE).sub("", text)
    return normalize("NFC", normalize("NFC", visible_text).casefold())


@cache
def compile_pattern(pattern: str) -> Any:
    """Compile a pattern of the library `regex`, which has Unicode's properties of characters."""
    import regex

    return regex.compile(pattern, regex.VERSION1)


@cache
def stop_words() -> frozenset[str]:
    """Return English function words."""
    return frozenset(files("tunescope.text").joinpath("stop_words.txt").read_text("utf-8").split())


def visible(text: str | None) -> bool:
    """Tell whether a text has a visible character: no blank, zero-width or control character."""
    bare = (text or "").strip()
    return "!" <= bare[:1] <= "~" or any(ch.isprintable() and not ch.isspace() for ch in bare)


def hash_words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash the words of many texts, the same in every process.

    Returns:
        64-bit hashes of all words, flat [words], and where each text's words start [texts + 1].
        The hash is a polynomial over 2^64 of the word's UTF-8 bytes, mixed with splitmix64's
        multiplier (powers repeat after 4,096 bytes, which no word reaches).
    """
    data = np.frombuffer(b"\n".join([_bytes(text) for text in texts]) + b"\n", np.uint8)
    inside = data > 0x20
    edges = np.flatnonzero(np.diff(inside, prepend=False))
    starts, ends = edges[::2], edges[1::2]
    line_ends = np.flatnonzero(data == 0x0A)
    offsets = np.zeros(len(texts) + 1, np.int64)
    if len(texts):
        offsets[1:] = np.searchsorted(starts, line_ends)
    if not len(starts):
        return np.zeros(0, np.uint64), offsets
    lengths = ends - starts
    place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    with np.errstate(over="ignore"):
        terms = data[inside].astype(np.uint64) * _POWERS[place % _PERIOD]
        hashes = np.add.reduceat(terms, np.cumsum(lengths) - lengths)
        hashes = (hashes ^ (hashes >> np.uint64(31))) * _MIX
    return hashes ^ (hashes >> np.uint64(29)), offsets


def _bytes(text: str) -> bytes:
    """Return the words of a text in UTF-8, separated by blanks."""
    if text.isascii():
        return _ascii_words(text)
    parts, done = [], 0
    for match in FOREIGN.finditer(text):
        as_written = " ".join(compile_pattern(WORD).findall(match[0]))
        parts += [_ascii_words(text[done : match.start()]), fold(as_written).encode("utf-8", "surrogatepass")]
        done = match.end()
    return b" ".join([*parts, _ascii_words(text[done:])])


def _ascii_words(text: str) -> bytes:
    """Return the words of an ASCII text, separated by blanks."""
    return _NOT_JOINING.sub(b" ", text.encode().translate(_ASCII))
