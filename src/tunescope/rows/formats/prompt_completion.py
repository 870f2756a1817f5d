"""TRL's `prompt` and `completion`: two strings, or two lists of messages."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import (
    Conversation,
    FormatError,
    MessageKeys,
    decode_messages,
    parse_messages,
    parse_tools,
    render_messages,
    render_tools,
    require_answer,
    text_of,
)
from tunescope.rows.json_text import abbreviate, kind, list_columns
from tunescope.rows.row import Json, Message, Row

ORDER = 2
NAME = "prompt_completion"
ALSO = ("prompt-completion",)
SHAPE = "columns 'prompt' and 'completion', both text or both lists of messages"
KEYS = MessageKeys("role", "content")


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Recognise the pair of columns."""
    prompt = hints.get("prompt", "prompt")
    completion = hints.get("completion", "completion")
    if prompt not in record or completion not in record:
        return None
    columns = {"prompt": prompt, "completion": completion}
    tools = hints.get("tools", "tools")
    if "tools" in hints or isinstance(record.get(tools), list | str | None):
        columns["tools"] = tools
    return columns


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read both halves as one conversation."""
    try:
        prompt, completion = record[columns["prompt"]], record[columns["completion"]]
    except KeyError as error:
        raise FormatError(f"no column {abbreviate(error.args[0])} (columns: {list_columns(record)})", SHAPE) from error
    if completion is None:
        raise FormatError(
            f"no answer (column {abbreviate(columns['completion'])} is null)", "text or a list of messages"
        )
    prompt, completion = decode_messages(prompt), decode_messages(completion)
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = parse_messages(prompt, KEYS, columns["prompt"])
        messages += parse_messages(completion, KEYS, columns["completion"])
    elif isinstance(prompt, list) or isinstance(completion, list):
        raise FormatError(
            f"prompt: {kind(prompt)}, completion: {kind(completion)}", "two texts or two lists of messages"
        )
    else:
        messages = (
            Message("user", text_of(prompt, f"column {abbreviate(columns['prompt'])}")),
            Message("assistant", text_of(completion, f"column {abbreviate(columns['completion'])}")),
        )
    require_answer(messages)
    return Conversation(messages, parse_tools(record.get(columns["tools"])) if "tools" in columns else ())


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write both halves; the completion is what follows the last message that isn't the assistant's."""
    record = dict(row.fields)
    prompt, completion = (decode_messages(record.get(columns[name])) for name in ("prompt", "completion"))
    if isinstance(prompt, list) and isinstance(completion, list):
        cut = len(prompt)
        if len(row.messages) != cut + len(completion):
            cut = 1 + max((i for i, m in enumerate(row.messages) if m.role != "assistant"), default=-1)
        for column, messages in ((columns["prompt"], row.messages[:cut]), (columns["completion"], row.messages[cut:])):
            record[column] = render_messages(messages, record[column], KEYS, {})
    else:
        if [message.role for message in row.messages] != ["user", "assistant"]:
            raise FormatError("the roles " + ", ".join(m.role for m in row.messages), "a question and an answer")
        record[columns["prompt"]] = row.instruction
        record[columns["completion"]] = row.response
    if "tools" in columns:
        render_tools(record, columns["tools"], row.tools)
    return record
