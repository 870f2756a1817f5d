"""An answer without a single visible character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.text.words import visible
from tunescope.verbs.check.evidence import Evidence, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "empty_answer"
MEANING = "an answer with no visible character"
ORDER = 0


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Name the first assistant turn that says nothing and calls no tool."""
    for turn, answer in enumerate(answers):
        if not answer.tool_calls and not visible(answer.content):
            return surely_wrong(f"turn {turn} is empty")
    return None
