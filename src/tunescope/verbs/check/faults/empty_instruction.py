"""A row that asks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.text.words import visible
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "empty_instruction"
MEANING = "no visible character in any user message"
ORDER = 1


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Report a row in which no user message has text."""
    if any(message.role == "user" and visible(message.content) for message in row.messages):
        return None
    has_text = any(message.role == "system" and visible(message.content) for message in row.messages)
    return look_at("nothing is asked, but by a system message") if has_text else surely_wrong("nothing is asked")
