"""ShareGPT dumps: lists of `from` and `value` (axolotl, LLaMA-Factory, FastChat)."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import Conversation
from tunescope.rows.formats import messages
from tunescope.rows.row import Json, Row

ORDER = 0
NAME = "sharegpt"
ALSO = ()
SHAPE = "a column 'conversations' with a list of objects that have 'from' and 'value'"
KEYS = ("from", "value")
TAGS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Find the column that holds the conversation."""
    return messages.detect_list(record, hints, KEYS)


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read the conversation; `gpt`, `human`, `observation` … become the usual roles."""
    return messages.parse(record, columns)


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write the conversation with ShareGPT's role names."""
    return messages.render_list(row, columns, TAGS)
