"""Characters that nobody types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "control_character"
MEANING = "control characters other than tab and line breaks, or a byte-order mark inside"
ORDER = 8

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_LAYOUT = "\x0b\x0c\ufeff"
"""What word processors and editors leave behind: line and page breaks, a byte-order mark."""


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Name the first control character by its code point."""
    for number, message in enumerate(row.messages, 1):
        match = _CONTROL.search(message.content or "")
        if match is not None:
            grade = look_at if match.group() in _LAYOUT else surely_wrong
            return grade(f"U+{ord(match.group()):04X} in message {number} ({message.role[:40]!r})")
    return None
