"""Roles in an order that no chat template was made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "wrong_roles"
MEANING = "roles out of order, or a last message that isn't the assistant's"
ORDER = 6


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> str | None:
    """Name the first message whose role can't come at its place."""
    previous = ""
    for number, message in enumerate(row.messages, 1):
        role = message.role
        if role == "system" and number > 1:
            return f"message {number} is a system message after the start"
        if role == "assistant" and previous in ("", "system", "assistant"):
            return f"message {number} is an answer to nothing"
        if role == "user" and previous == "user":
            return f"messages {number - 1} and {number} are both the user's"
        if role == "tool" and previous not in ("assistant", "tool"):
            return f"message {number} is a tool's but no call precedes it"
        previous = role
    return None if previous == "assistant" else f"the last message is the {previous}'s"
