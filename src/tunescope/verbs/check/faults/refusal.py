"""An assistant that declines (`text.declining`): only what it says itself, in the opening of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.text.declining import LANGUAGES, declining_words
from tunescope.verbs.check.evidence import Evidence, look_at

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "refusal"
MEANING = (
    "an answer that opens by declining, which is right for harmful requests "
    f"(in {', '.join(list(LANGUAGES)[:-1])} and {list(LANGUAGES)[-1]})"
)
ORDER = 5


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the words with which the first declining assistant turn opens."""
    for answer in answers:
        words = declining_words(answer.content or "")
        if words is not None:
            return look_at(f"{words!r}")
    return None
