"""An answer that breaks off.

It shows one of three signs that a person can check: a code fence that never closes, a last word that
can't end a sentence ("and", "the", a comma), or a last paragraph of prose that has full stops but no
final one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "truncated_answer"
MEANING = "an open code fence, a dangling last word, or prose whose last sentence has no end mark"
ORDER = 3

_DANGLING = frozenset(
    "a an and are as at because but by for from in into is of on or than that the their these this to was "  # noqa: SIM905
    "were which while whose with your".split()
)
_FEWEST_WORDS = 6
_PROSE_WORDS = 12
_LIST_ITEM = re.compile(r"\s*([-*•|#>]|\(?\w{1,2}[.):])\s")
_SENTENCE_END = re.compile(r"[a-z)\"'][.!?][\"')]?\s+[A-Z]")


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> str | None:
    """Name the sign of the first assistant turn that breaks off."""
    for answer in answers:
        text = (answer.content or "").rstrip()
        if text and (sign := _sign(text)):
            return sign
    return None


def _sign(text: str) -> str | None:
    if text.count("```") % 2:
        return "a code fence that never closes"
    if not (text[-1].isalpha() or text[-1] == ",") or "```" in text:
        return None
    last = text[text.rfind("\n") + 1 :]
    words = last.split()
    if len(words) < _FEWEST_WORDS or words[-1][0] in "#@" or "://" in words[-1] or _LIST_ITEM.match(last):
        return None
    tail = last[-40:]
    if text[-1] == "," or (words[-1] in _DANGLING and len(words) >= _PROSE_WORDS):
        return f"ends in {tail!r}"
    if len(words) >= _PROSE_WORDS and _SENTENCE_END.search(last):
        return f"its last sentence has no end: {tail!r}"
    return None
