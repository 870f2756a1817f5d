"""Roles in an order that no chat template was made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.rows import Message, Row
from tunescope.verbs.check.evidence import Evidence, look_at, surely_wrong

if TYPE_CHECKING:
    from tunescope.verbs.check.settings import CheckSettings

NAME = "wrong_roles"
MEANING = "roles out of order, or a last message that isn't the assistant's"
ORDER = 6


def find(row: Row, answers: Sequence[Message], settings: CheckSettings) -> Evidence | None:
    """Name the first message whose role can't come at its place."""
    previous = ""
    for number, message in enumerate(row.messages, 1):
        role = message.role
        if role == "system" and number > 1:
            return look_at(f"message {number} is a system message after the start")
        if role == "assistant" and previous in ("", "system", "assistant"):
            return look_at(f"message {number} is an answer to nothing")
        if role == "user" and previous == "user":
            return look_at(f"messages {number - 1} and {number} are both the user's")
        if role == "tool" and previous not in ("assistant", "tool"):
            return surely_wrong(f"message {number} is a tool's but no call precedes it")
        previous = role
    return None if previous == "assistant" else look_at(f"the last message is the {previous}'s")
