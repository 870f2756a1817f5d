"""A row longer than most trainers keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.rows.content import message_text
from tunescope.text.words import count_characters, words
from tunescope.verbs.check.evidence import Evidence, look_at

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "very_long"
MEANING = "more than --max-words words in all its messages"
ORDER = 9


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Count the words of all messages, as the column `words` does, without the column `characters`."""
    texts = [message_text(message) for message in row.messages]
    if sum(map(len, texts)) <= settings.max_words:  # a word has at least one character
        return None
    count = sum(len(words(text)) - count_characters(text) for text in texts)
    return look_at(f"{count:,} words") if count > settings.max_words else None
