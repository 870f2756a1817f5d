"""Checks that a rendering has everything the conversation says; a template may drop a part silently."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from tunescope.chat.messages import text_keys
from tunescope.chat.sequences import RenderedTurn, Unrenderable
from tunescope.rows import Message
from tunescope.rows.content import parse_arguments

THINK = "<think>"
"""What opens a thinking block."""
_END_OF_THINKING = "</think>"
MARK = "\ue000"
"""A character that no text uses (Unicode's private area); it stands for a message's own text in trial renderings."""


def validate_rendering(messages: Sequence[Mapping[str, Any]], rendering: str) -> None:
    """Raise `Unrenderable` where a message's text, or the name of its call, isn't in the rendering.

    Templates may drop one silently. The thinking of an earlier answer may go, as reasoning models' templates do it.
    """
    squeezed = _squeeze(rendering)
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            texts = [
                message["content"].rpartition(_END_OF_THINKING)[2],
                *map(_call_name, message.get("tool_calls", ())),
            ]
        else:
            texts = [message[key] for key in text_keys(message)]
        if not all(_is_in(text, squeezed) for text in texts):
            raise Unrenderable(f"the chat template leaves out message {number} ({message['role']})")


def _call_name(call: Mapping[str, Any]) -> str:
    function = call.get("function", call)
    return str(function.get("name", "")) if isinstance(function, Mapping) else ""


def _is_in(text: str, squeezed: str) -> bool:
    """Tell whether a text is in a rendering without white space: as it is, or as a template may quote it."""
    if _squeeze(text) in squeezed:
        return True
    quoted = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1], escape(text))
    return any(_squeeze(form) in squeezed for form in quoted)


def _argument_texts(value: Any) -> Iterator[str]:
    """Yield the texts in a call's arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _argument_texts(part)


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
    for call in map(parse_arguments, message.tool_calls):
        name, function = _call_name(call), call.get("function", call)
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if not all(_is_in(text, others) for text in (name, *_argument_texts(arguments))):
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
