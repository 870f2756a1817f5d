"""What is before an assistant turn."""

from __future__ import annotations

from collections.abc import Sequence

from tunescope.rows import Message


def instruction_of(before: Sequence[Message]) -> str | None:
    """Return the last user message's text, or None where nobody asked."""
    return next((message.content or "" for message in reversed(before) if message.role == "user"), None)
