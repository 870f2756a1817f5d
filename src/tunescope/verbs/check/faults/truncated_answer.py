"""An answer that breaks off.

Three signs settle it: a code fence that never closes, prose that ends in a comma, and prose whose last
word can't end a sentence ("and", "the", "should"). A last sentence without an end mark does not: people
leave out the last full stop more often than models break off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "truncated_answer"
MEANING = "an open code fence, a dangling last word (in English), or prose whose last sentence has no end mark"
ORDER = 3

_DANGLING = frozenset(
    "a an and are as at because but by for from in into is of on or than that the their these this to was "  # noqa: SIM905
    "were which while whose with your".split()
)
_CAN_END = frozenset("are as at by for from in is of on that these this to was were with".split())  # noqa: SIM905
"""Those of them that end a sentence now and then: "what it was made for"."""
_FEWEST_WORDS = 6
_PROSE_WORDS = 12
_LIST_ITEM = re.compile(r"\s*([-*•|#>]|\(?\w{1,4}[.):])\s")
_SENTENCE_END = re.compile(r"[a-z)\"'][.!?][\"')]?\s+[A-Z]")
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
_WHOLE = re.compile(r", [^,.]{1,30},? (?:and|or|&) (?:\S+ ){0,3}\w\S+$|[-–—] ?[A-Z][\w. '’-]+$|\w/\w+$")
"""Ends that are complete: an enumeration ("Rome, Paris and New York"), who said it ("- Helen Keller"), a choice."""
_SALUTATION = re.compile(
    r"\b(?:regards|sincerely|yours|wishes|love|cheers|thanks|thank you|truly|soon|faithfully),$", re.IGNORECASE
)
"""The end of a letter whose writer isn't named."""


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Name the sign of the first assistant turn that breaks off."""
    for answer in answers:
        text = (answer.content or "").rstrip()
        if text and (sign := _sign(text)):
            return sign
    return None


def _sign(text: str) -> Evidence | None:
    if text.count("```") % 2:
        is_at_line_starts = len(_FENCE.findall(text)) % 2
        return (surely_wrong if is_at_line_starts else look_at)("a code fence that never closes")
    if not (text[-1].isalpha() or text[-1] == ",") or "```" in text:
        return None
    last = text[text.rfind("\n") + 1 :]
    words = last.split()
    if len(words) < _FEWEST_WORDS or words[-1][0] in "#@" or "://" in words[-1] or _LIST_ITEM.match(last):
        return None
    return _sign_of_prose(last, words)


def _sign_of_prose(last: str, words: Sequence[str]) -> Evidence | None:
    """Name the sign of a last paragraph that ends in a letter or a comma."""
    tail = last[-40:]
    if last[-1] == ",":
        return (look_at if _SALUTATION.search(last) else surely_wrong)(f"ends in {tail!r}")
    if len(words) < _PROSE_WORDS:
        return None
    if words[-1] in _DANGLING:
        return (look_at if words[-1] in _CAN_END else surely_wrong)(f"ends in {tail!r}")
    if _SENTENCE_END.search(last) and not _WHOLE.search(last[-120:]):
        return look_at(f"its last sentence has no end: {tail!r}")
    return None
