"""Lengths: words of the instruction and of the response."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunescope.rows import Row
from tunescope.rows.content import reply_text
from tunescope.text.words import words
from tunescope.verbs.measure.turns import instruction_of

if TYPE_CHECKING:
    from tunescope.verbs.measure.settings import MeasureSettings

NAME = "lengths"
ORDER = 0
COLUMNS = {
    "instruction_words": "words of the last user message before the turn",
    "response_words": "words of the turn, with those of its calls",
}


def inputs(_: MeasureSettings) -> Mapping[str, str]:
    """Return what it reads beside the rows: nothing."""
    return {}


def prepare(_: MeasureSettings) -> Callable[[Sequence[Row]], list[list[dict[str, Any]]]]:
    """Return the measure."""
    return _measure


def _measure(rows: Sequence[Row]) -> list[list[dict[str, Any]]]:
    return [[_record(instruction_of(before), reply_text(turn)) for _, before, turn in row.turns()] for row in rows]


def _record(instruction: str | None, response: str) -> dict[str, Any]:
    instruction_words = None if instruction is None else len(words(instruction))
    reason = {} if instruction is not None else {"reason": "no user message before it"}
    return {"instruction_words": instruction_words, "response_words": len(words(response))} | reason
