"""An assistant that declines.

Only the opening of an answer counts, and only what the assistant says itself: not what somebody says in
a story, nor what a letter declines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from unicodedata import normalize

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, look_at
from tunescope.verbs.check.faults._declining import ASCII_HINT, LANGUAGES

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "refusal"
MEANING = (
    "an answer that opens by declining, which is right for harmful requests "
    f"(in {', '.join(list(LANGUAGES)[:-1])} and {list(LANGUAGES)[-1]})"
)
ORDER = 5

OPENING = 200
"""Characters at the start of an answer that its opening has at most."""
_QUOTES = '"“”„«»「『'
_NOT_THE_ASSISTANT = re.compile(
    r"[\"“”„«»「『]|^\W*(?:dear|hi|hello|hey)\s+(?:[a-z]+\.?\s+)?[a-z]+\s*,|^\W*subject:"
    r"|\b(?:said|says|replied|wrote|answered|where|which|when|that|because|if|who|why)\s*$",
)
"""What stands before words that somebody else says: a quote, a letter's salutation, a subordinate clause."""


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the words with which the first declining assistant turn opens."""
    for answer in answers:
        opening = _unquoted((answer.content or "")[: OPENING + 2])
        if not opening.isascii():
            opening = normalize("NFC", opening)
        lower = opening.lower()
        for match in _matches(lower):
            if not _NOT_THE_ASSISTANT.search(lower, 0, match.start()):
                text = opening if len(opening) == len(lower) else lower  # İ is longer in lower case
                return look_at(f"{text[match.start() : match.end()]!r}")
    return None


def _matches(lower: str) -> Iterator[re.Match[str]]:
    """Yield each language's first words of declining in an opening."""
    if lower.isascii() and not ASCII_HINT.search(lower):
        return
    for declining in LANGUAGES.values():
        if any(hint in lower for hint in declining.hints):
            match = declining.pattern.search(lower)
            if match is not None:
                yield match


def _unquoted(text: str) -> str:
    """Return an opening without the quotes around an answer that is quoted as a whole."""
    text = text.strip()
    is_quoted = text[:1] in _QUOTES and text[-1:] in _QUOTES and not any(mark in text[1:-1] for mark in _QUOTES)
    return text[1:-1] if text and is_quoted else text[:OPENING]
