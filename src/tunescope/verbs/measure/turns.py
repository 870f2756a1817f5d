"""The instruction that an assistant turn answers."""

from __future__ import annotations

from collections.abc import Sequence

from tunescope.rows import Message


def instruction_of(before: Sequence[Message]) -> str | None:
    """Return the last user message's text among the messages before a turn; None where there is none."""
    return next((message.content or "" for message in reversed(before) if message.role == "user"), None)
