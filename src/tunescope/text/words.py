"""Words, and their hashes.

A word is a run of letters, digits and underscores, in lower case; Chinese, Japanese and Korean
characters, which are written without spaces, are a word each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
CJK = re.compile(f"[{_CJK}]")
"""Characters that are a word each."""
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_ASCII = bytes(b if chr(b).isalnum() or b == 0x5F else 0x20 for b in range(128)).lower() + bytes(128)
"""A translation table of bytes: letters become lower case, bytes outside words become blanks."""
_BASE, _MIX = 0x9E3779B97F4A7C15, np.uint64(0xBF58476D1CE4E5B9)
_PERIOD = 4096
_POWERS = np.array([pow(_BASE, i, 2**64) for i in range(_PERIOD)], np.uint64)


def words(text: str) -> list[str]:
    """Return a text's words, in lower case."""
    if text.isascii():
        return text.encode().translate(_ASCII).decode().split()
    return _WORD.findall(text.lower())


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
        return text.encode().translate(_ASCII)
    return " ".join(_WORD.findall(text.lower())).encode("utf-8", "surrogatepass")
