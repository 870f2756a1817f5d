"""TRL's `prompt` and `completion`: two strings, or two lists of messages."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import (
    Conversation,
    MessageKeys,
    Refused,
    kind,
    parse_messages,
    parse_tools,
    render_messages,
    require_answer,
    text_of,
)
from tunescope.rows.row import Json, Message, Row

ORDER = 2
NAME = "prompt_completion"
SHAPE = "columns 'prompt' and 'completion', both text or both lists of messages"
KEYS = MessageKeys("role", "content")


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Recognise the pair of columns."""
    prompt = hints.get("prompt", "prompt")
    completion = hints.get("completion", "completion")
    if prompt not in record or completion not in record:
        return None
    found = {"prompt": prompt, "completion": completion}
    tools = hints.get("tools", "tools")
    if tools in record:
        found["tools"] = tools
    return found


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read both halves as one conversation."""
    prompt, completion = (record.get(columns[name]) for name in ("prompt", "completion"))
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = parse_messages(prompt, KEYS, columns["prompt"]) + parse_messages(
            completion, KEYS, columns["completion"]
        )
    elif isinstance(prompt, list) or isinstance(completion, list):
        raise Refused(f"prompt: {kind(prompt)}, completion: {kind(completion)}", "two texts or two lists of messages")
    else:
        messages = (
            Message("user", text_of(prompt, f"column {columns['prompt']!r}")),
            Message("assistant", text_of(completion, f"column {columns['completion']!r}")),
        )
    require_answer(messages)
    return Conversation(messages, parse_tools(record.get(columns["tools"])) if "tools" in columns else ())


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write both halves back; the completion is what follows the last user or tool message."""
    record = dict(row.fields)
    prompt, completion = (record.get(columns[name]) for name in ("prompt", "completion"))
    if isinstance(prompt, list) and isinstance(completion, list):
        cut = len(prompt)
        if len(row.messages) != len(prompt) + len(completion):
            cut = max(i for i, m in enumerate(row.messages) if m.role != "assistant") + 1
        record[columns["prompt"]] = render_messages(row.messages[:cut], prompt, KEYS, {})
        record[columns["completion"]] = render_messages(row.messages[cut:], completion, KEYS, {})
    else:
        record[columns["prompt"]] = row.instruction
        record[columns["completion"]] = row.response
    return record
