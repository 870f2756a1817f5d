"""An assistant that declines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "refusal"
MEANING = "an answer that opens by declining (right for harmful requests: look before you drop)"
ORDER = 5

OPENING = 200
_AI = (
    r"(?:an? (?:ai|artificial intelligence)"
    r"(?:(?: language)? (?:model|assistant|system|program)\b|(?=[,.;!]| i\b| and\b))|a (?:large )?language model\b)"
)
_ABLE = (
    r"(?:cannot|can ?not|can't|can’t|am unable to|am not able to"
    r"|won't be able to|won’t be able to|am not programmed to)"
)
_DO = (
    r"(?:assist|help|provide|comply|fulfill|fulfil|generate|answer|create|write|complete|access|browse|offer|give"
    r"|do that|perform|support)"
)
_REFUSAL = re.compile(
    rf"\bas {_AI}"
    rf"|\bi(?:'m| am|’m) (?:just |only )?{_AI}"
    rf"|\b(?:sorry|apologi[sz]e)\b[^.!?\n]{{0,30}}\bi(?: am|'m|’m)? ?(?:{_ABLE}|unable to|not able to)\b"
    rf"|\bi {_ABLE} {_DO}\b"
    rf"|\bi(?:'m|’m) (?:unable|not able) to {_DO}\b",
    re.IGNORECASE,
)
_HINTS = ("as a", "sorry", "apolog", "i can", "i am", "i'm", "i’m", "i won")
"""Every refusal has one of these. Looking for them first is ten times faster."""


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> str | None:
    """Quote the words with which the first declining assistant turn opens."""
    for answer in answers:
        opening = (answer.content or "")[:OPENING]
        lower = opening.lower()
        if not any(hint in lower for hint in _HINTS):
            continue
        match = _REFUSAL.search(opening)
        if match is not None:
            return f"{match.group()!r}"
    return None
