"""Text that was decoded with the wrong encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "broken_encoding"
MEANING = "mojibake such as â€™, or the replacement character"
ORDER = 7


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Quote the first broken place; mojibake counts where ftfy finds it and can repair it."""
    for message in row.messages:
        text = message.content or ""
        if text.isascii():
            continue
        if (place := text.find("\ufffd")) >= 0:
            return surely_wrong(f"a replacement character in {text[max(0, place - 15) : place + 15]!r}")
        from ftfy import fix_encoding
        from ftfy.badness import BADNESS_RE

        match = BADNESS_RE.search(text)
        if match is not None:
            spot = text[max(0, match.start() - 10) : match.end() + 10]
            if fix_encoding(text) != text:
                return surely_wrong(f"{spot!r}")
    return None
