"""Lists of `role` and `content` (OpenAI, TRL, axolotl's chat_template)."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import (
    Conversation,
    MessageKeys,
    message_keys,
    parse_messages,
    parse_tools,
    render_messages,
    render_tools,
    require_answer,
    text_of,
)
from tunescope.rows.json_text import abbreviate, decode_holder
from tunescope.rows.roles import TAG_WORDS
from tunescope.rows.row import Json, Message, Row

ORDER = 1
NAME = "messages"
ALSO = ("openai", "conversational", "chat_template")
SHAPE = "a column 'messages' with a list of objects that have 'role' and 'content'"
_COLUMN_NAMES = ("messages", "conversations", "conversation", "chat", "dialog", "turns")
KEYS = ("role", "content")
_KEY_WORDS = ("role", "content", "thinking", "train", *TAG_WORDS)
TAGS: Mapping[str, str] = {}
_USUAL = {"messages", "role", "content", "system", "tools"}


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Find the column that holds the messages, and the keys inside it."""
    return detect_list(record, hints, KEYS)


def detect_list(record: Mapping[str, Json], hints: Mapping[str, str], keys: tuple[str, str]) -> dict[str, str] | None:
    """Find a column with a list of objects that have such a key for the role."""
    words = dict(zip(_KEY_WORDS, keys, strict=False)) | {word: hints[word] for word in _KEY_WORDS if word in hints}
    for name in [hints["messages"]] if "messages" in hints else _COLUMN_NAMES:
        value = decode_holder(record.get(name))
        first = decode_holder(value[0]) if isinstance(value, list) and value else None
        if isinstance(first, Mapping) and words["role"] in first:
            columns = {"messages": name, **words}
            for ours, expected in (("system", str), ("tools", list | str)):
                column = hints.get(ours, ours)
                # a column of that name may hold something else altogether
                if ours in hints or isinstance(record.get(column), expected | None):
                    columns[ours] = column
            return columns
    return None


def _keys_of(columns: Mapping[str, str]) -> MessageKeys:
    """Return what the file calls the parts of a message."""
    if columns.keys() <= _USUAL:
        return message_keys(columns["role"], columns["content"])
    return message_keys(**{word: columns[word] for word in _KEY_WORDS if word in columns})


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read the conversation, with a system column in front where there is one."""
    messages = parse_messages(record.get(columns["messages"]), _keys_of(columns), columns["messages"])
    system = record.get(columns["system"]) if "system" in columns else None
    if system:
        messages = (Message("system", text_of(system, f"column {abbreviate(columns['system'])}")), *messages)
    require_answer(messages)
    return Conversation(messages, parse_tools(record.get(columns["tools"])) if "tools" in columns else ())


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write the conversation into its column."""
    return render_list(row, columns, TAGS)


def render_list(row: Row, columns: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, Json]:
    """Write messages (and a system column), using `tags` for roles the record never named."""
    messages = row.messages
    record = dict(row.fields)
    system = columns.get("system")
    if system and record.get(system):
        leads = bool(messages) and messages[0].role == "system"
        if not leads or messages[0].content != text_of(record[system], system):
            record[system] = messages[0].content if leads else ""
        messages = messages[1:] if leads else messages
    record[columns["messages"]] = render_messages(messages, record.get(columns["messages"]), _keys_of(columns), tags)
    if "tools" in columns:
        render_tools(record, columns["tools"], row.tools)
    return record
