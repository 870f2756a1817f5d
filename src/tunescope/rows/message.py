"""The message: what rows, prompts and answers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any
"""A value that JSON can hold."""

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    `content` is None only where the message consists of tool calls. `train` is the per-turn
    loss flag: None (not given), True (trained on) or False (masked).
    """

    role: str
    content: str | None
    tool_calls: tuple[Mapping[str, Json], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    thinking: str | None = None
    train: bool | None = None
