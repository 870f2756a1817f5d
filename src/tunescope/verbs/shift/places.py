"""Where an answer's tokens are: their (start, end) in its text, their sentence, and their part of it.

Sentences are pysbd's. A token belongs to the sentence of its first character that isn't blank; the first 5 % of a
sentence are its first max(1, ceil(0.05·n)) tokens.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from tunescope.errors import MissingPackageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FIRST = 20
"""The first part of a sentence is one in this many of its tokens, rounded up: 5 %."""
_UNFINISHED = "\ufffd"
"""What decoding gives for a character whose other bytes are in the next token."""


def pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return the text that each token adds; together they are the text of all.

    A token that holds only a part of a character adds nothing; the one that completes it adds the character.
    """

    def decode(part: Sequence[int]) -> str:
        return str(tokenizer.decode(list(part), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    out: list[str] = []
    start = read = 0  # a window of tokens is decoded, so that a blank before a word stays
    for end in range(1, len(ids) + 1):
        before, now = decode(ids[start:read]), decode(ids[start:end])
        whole = len(now) > len(before) and not now.endswith(_UNFINISHED) and now.startswith(before)
        out.append(now[len(before) :] if whole else "")
        if whole:
            start, read = read, end
    text = decode(ids)
    joined = "".join(out)
    if ids and text.startswith(joined):
        out[-1] += text[len(joined) :]
        return out
    ends = accumulate((_common(decode(ids[:end]), text) for end in range(1, len(ids) + 1)), max)
    return [text[a:b] for a, b in pairwise((0, *ends))]


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def spans(parts: Sequence[str], text: str) -> list[tuple[int, int]] | None:
    """Return the (start, end) of consecutive parts in `text`.

    None where they don't make up the text. White space at its ends doesn't count, since chat templates strip it.
    """
    joined = "".join(parts)
    if joined.strip() != text.strip():
        return None
    shift = (len(text) - len(text.lstrip())) - (len(joined) - len(joined.lstrip())) if joined.strip() else 0
    places = [min(max(place + shift, 0), len(text)) for place in accumulate(map(len, parts), initial=0)]
    return list(pairwise(places))


def offsets(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str) -> list[tuple[int, int]] | None:
    """Return the (start, end) of a text's tokens, for tokenizers whose decoding doesn't give the text back (WordPiece).

    A blank belongs to the token after it. None where the text alone has other ids than `ids`.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if tuple(encoded["input_ids"]) != tuple(ids):
        return None
    return list(pairwise(accumulate((end for _, end in encoded["offset_mapping"]), max, initial=0)))


def sentence_starts(text: str) -> list[int]:
    """Return where pysbd's sentences begin, the first at 0. Blanks between two belong to the first of them.

    Raises:
        MissingPackageError: pysbd isn't installed.
    """
    starts, place = [0], 0
    for sentence in _segmenter()(text):
        bare = sentence.strip()
        start = text.find(bare, place) if bare else -1
        if start >= 0:  # pysbd may change a sentence, which the text then doesn't hold: no cut there
            starts.append(start)
            place = start + len(bare)
    first = next((i for i, ch in enumerate(text) if not ch.isspace()), 0)
    return sorted({0, *(start for start in starts if start > first)})


@cache
def _segmenter() -> Callable[[str], list[str]]:
    try:
        pysbd: Any = importlib.import_module("pysbd")
    except ModuleNotFoundError as error:
        raise MissingPackageError("pysbd", "models", "splitting answers into sentences") from error
    segmenter = pysbd.Segmenter(language="en", clean=False)

    def split(text: str) -> list[str]:
        return list(segmenter.segment(text)) if text.strip() else []

    return split


def sentences(text: str, places: Sequence[tuple[int, int]]) -> list[int]:
    """Return the number of each token's sentence, from 0; sentences without a token aren't counted."""
    starts = sentence_starts(text)
    raw = []
    for start, end in places:
        piece = text[start:end]
        blank = len(piece) - len(piece.lstrip())
        raw.append(bisect_right(starts, start + (blank if blank < len(piece) else 0)) - 1)
    order = {number: i for i, number in enumerate(sorted(set(raw)))}
    return [order[number] for number in raw]


def in_first_part(numbers: Sequence[int]) -> list[bool]:
    """Tell of each token whether it is in the first 5 % of its sentence."""
    lengths: dict[int, int] = {}
    for number in numbers:
        lengths[number] = lengths.get(number, 0) + 1
    seen: dict[int, int] = {}
    out = []
    for number in numbers:
        seen[number] = seen.get(number, 0) + 1
        out.append(seen[number] <= -(-lengths[number] // _FIRST))
    return out
