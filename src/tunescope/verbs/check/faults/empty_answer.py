"""An answer without a single visible character."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunescope.rows import Row

if TYPE_CHECKING:
    from tunescope.verbs.check import CheckSettings

NAME = "empty_answer"
MEANING = "an answer with no visible character"
ORDER = 0


def find(row: Row, settings: CheckSettings) -> str | None:
    """Name the first assistant turn that says nothing and calls no tool."""
    for turn, _, answer in row.turns():
        if not answer.tool_calls and not (answer.content or "").strip():
            return f"turn {turn} is empty"
    return None
