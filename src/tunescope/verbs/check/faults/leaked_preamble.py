"""Words of an LLM rewrite that leaked into the data.

A model that improves a row often announces its work ("Here is a new and complete answer …") or
repeats the prompt's markers ("[Better Answer]"). Published models were trained on such lines, and
write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "leaked_preamble"
MEANING = "a rewriting model's announcement, or a marker of its prompt, in the text"
ORDER = 4

OPENING = 200
"""Characters at the start of a message in which an announcement is looked for."""
_QUALITY = r"(?:new|better|improved|revised|rewritten|updated|enhanced|refined|modified|polished|complete|detailed)"
_THING = r"(?:answer|response|reply|instruction|prompt)"
_ANNOUNCEMENT = re.compile(
    rf"\bhere(?:'s|’s| is| are)\b[^.\n]{{0,40}}\b{_QUALITY}\b[^.\n:]{{0,40}}\b{_THING}s?\b", re.IGNORECASE
)
_MARKER = re.compile(
    rf"^[ \t]*(?:\[(?:the )?(?:start of |end of )?{_QUALITY} {_THING}\]|(?:\*\*)?{_QUALITY} {_THING}(?:\*\*)?:"
    r"|\[end\][ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> str | None:
    """Quote the first announcement or marker in a user or assistant message."""
    for message in row.messages:
        if message.role not in ("user", "assistant"):
            continue
        text = message.content or ""
        match = _MARKER.search(text) if "[" in text or ":" in text else None
        if match is None and message.role == "assistant":
            opening = text[:OPENING]
            match = _ANNOUNCEMENT.search(opening) if "here" in opening.lower() else None
        if match is not None:
            return f"{match.group().strip()!r}"
    return None
