"""Checks that a rendering has everything the conversation says; a template may drop a part silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.chat.messages import text_keys
from tunescope.chat.sequences import RenderedTurn, Unrenderable
from tunescope.rows import Message

THINK = "<think>"
"""What opens a thinking block."""
_END_OF_THINKING = "</think>"
MARK = "\ue000"
"""A character that no text uses (Unicode's private area); it stands for a message's own text in trial renderings."""


def validate_rendering(messages: Sequence[Mapping[str, Any]], rendering: str) -> None:
    """Raise `Unrenderable` where a system or user message isn't in the rendering: templates may drop one silently."""
    for number, message in enumerate(messages):
        if message["role"] in ("system", "user"):
            texts = [message[key].strip() for key in text_keys(message)]
            if not all(text in rendering or _squeeze(text) in _squeeze(rendering) for text in texts):
                raise Unrenderable(f"the chat template leaves out message {number} ({message['role']})")


def validate_answer(turn: RenderedTurn) -> None:
    """Raise `Unrenderable` where the turn's own text, thinking or calls aren't in what follows the prompt."""
    answer, message = turn.ended[len(turn.prompt) :], turn.message
    if turn.prompt.rstrip().endswith(THINK):  # the header has it
        answer = THINK + answer
    content = _squeeze(message.content or "")
    before, match, behind = _squeeze(answer).rpartition(content) if content else (_squeeze(answer), "", "")
    if content and not match:
        raise Unrenderable(f"turn {turn.number}: the chat template leaves out the text")
    others = before + MARK + behind  # the text itself may repeat the thinking or a call's name: that doesn't count
    if _squeeze(message.thinking or "") not in others:
        raise Unrenderable(f"turn {turn.number}: the chat template leaves out the thinking text")
    for call in message.tool_calls:
        function = call.get("function", call)
        name = str(function.get("name", "")) if isinstance(function, Mapping) else ""
        if _squeeze(name) not in others:
            raise Unrenderable(f"turn {turn.number}: the chat template leaves out the call of {name}")


def restore_thinking(message: Message, prompt: str, ended: str) -> str:
    """Return the finished turn with its thinking, where the header opens a block for it that the turn doesn't have.

    DeepSeek's R1 templates drop it. The block is closed as the model closes it: on a line of its own, before an empty
    one. Where the finished turn has a block (Nemotron's is empty and on one line), that follows the header.
    """
    header = prompt.rstrip()
    opened = header.removesuffix(THINK)
    if opened == header or not ended.startswith(opened):
        return ended
    rest = ended[len(opened) :].lstrip()
    if rest.startswith(THINK):
        return prompt + rest.removeprefix(THINK).lstrip()
    content = message.content or ""
    thought = message.thinking or content.rpartition(_END_OF_THINKING)[0].strip().removeprefix(THINK)
    return f"{prompt}{thought.strip()}\n{_END_OF_THINKING}\n\n{rest}"


def _squeeze(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())
