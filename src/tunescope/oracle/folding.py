"""A text as a reader takes it: plain digits, letters, quotes and brackets for those that look alike, nothing unseen."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LOOK_ALIKES = {
    **dict.fromkeys("“”„‟«»〝〞＂", '"'),
    **dict.fromkeys("‘’‚‛′‹›＇", "'"),
    **dict.fromkeys("【〚〔〖「『〈《⟦⟨⟪", "["),
    **dict.fromkeys("】〛〕〗」』〉》⟧⟩⟫", "]"),
    **dict.fromkeys("⁄∕／", "/"),
    **dict.fromkeys("−﹣－", "-"),
    **dict.fromkeys("\u2028\u2029", "\n"),
    "\u034f": "",
}
_UNSEEN = "Cf"
_VARIATIONS = range(0xFE00, 0xFE10)
"""Characters that choose how the one before them looks, and have no look of their own."""


def fold(text: str) -> str:
    """Return a text as it is read. A fraction or an exponent stays what it is: no digit is made of part of a number."""
    if text.isascii():
        return text
    return text.translate({ord(character): _fold(character) for character in {*text} if character > "\x7f"})


def whole_characters(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no file can hold; a replacement character for each."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    if character in _LOOK_ALIKES:
        return _LOOK_ALIKES[character]
    category = unicodedata.category(character)
    if category == _UNSEEN or ord(character) in _VARIATIONS:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category in ("Zs", "Pd"):
        return " " if category == "Zs" else "-"
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and category != "No" else character
