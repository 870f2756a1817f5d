"""An answer of one word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.text.words import count_characters, visible, word_spans
from tunescope.verbs.check.evidence import Evidence, look_at

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "one_word_answer"
MEANING = "an answer of one word, which is right for some tasks"
ORDER = 2

_TWO_WORDS = re.compile(r"[A-Za-z0-9_][!-~]* [A-Za-z0-9_]")


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the first assistant turn that is a single word."""
    for answer in answers:
        text = (answer.content or "").strip()
        if not answer.tool_calls and _is_one_word(text):
            return look_at(f"{text[:40]!r}")
    return None


def _is_one_word(text: str) -> bool:
    """Tell whether a text has one word, or none but a mark; of scripts without spaces between words nobody can tell."""
    if _TWO_WORDS.match(text):  # as most texts begin
        return False
    return visible(text) and len(list(islice(word_spans(text), 2))) < 2 and not count_characters(text)
