"""An answer of one word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.text.words import CJK
from tunescope.verbs.check.evidence import Evidence, look_at

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "one_word_answer"
MEANING = "an answer of one word, which is right for some tasks"
ORDER = 2


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the first assistant turn that is a single word."""
    for answer in answers:
        parts = (answer.content or "").split(None, 1)
        if len(parts) == 1 and not answer.tool_calls and len(CJK.findall(parts[0])) < 2:
            return look_at(f"{parts[0][:40]!r}")
    return None
