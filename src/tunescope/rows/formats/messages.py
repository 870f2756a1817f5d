"""Lists of `role` and `content` (OpenAI, TRL, axolotl's chat_template)."""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import (
    Conversation,
    MessageKeys,
    kind,
    parse_messages,
    parse_tools,
    render_messages,
    require_answer,
)
from tunescope.rows.row import Json, Message, Row

ORDER = 1
NAME = "messages"
SHAPE = "a column 'messages' with a list of objects that have 'role' and 'content'"
COLUMN_NAMES = ("messages", "conversations", "conversation", "chat", "dialog", "turns")
KEYS = (MessageKeys("role", "content"),)
TAGS: Mapping[str, str] = {}


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Find the column that holds the messages, and the keys inside it."""
    return detect_list(record, hints, KEYS)


def detect_list(
    record: Mapping[str, Json], hints: Mapping[str, str], known: tuple[MessageKeys, ...]
) -> dict[str, str] | None:
    """Find a column with a list of objects that have one of the `known` pairs of keys."""
    if "role" in hints or "content" in hints:
        known = tuple(k._replace(role=hints.get("role", k.role), content=hints.get("content", k.content)) for k in known)
    names = [hints["messages"]] if "messages" in hints else [name for name in COLUMN_NAMES if name in record]
    for name in names:
        value = record.get(name)
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, Mapping):
            for keys in known:
                if keys.role in first:
                    found = {"messages": name, "role": keys.role, "content": keys.content}
                    for extra in ("system", "tools"):
                        if hints.get(extra, extra) in record:
                            found[extra] = hints.get(extra, extra)
                    return found
    return None


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read the conversation, with a system column in front where there is one."""
    keys = MessageKeys(columns["role"], columns["content"])
    messages = parse_messages(record.get(columns["messages"]), keys, columns["messages"])
    system = record.get(columns["system"]) if "system" in columns else None
    if isinstance(system, str) and system:
        messages = (Message("system", system), *messages)
    require_answer(messages)
    return Conversation(messages, parse_tools(record.get(columns["tools"])) if "tools" in columns else ())


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write the conversation back into its column."""
    return render_list(row, columns, TAGS)


def render_list(row: Row, columns: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, Json]:
    """Write messages (and a system column) back, using `tags` for roles the record never named."""
    messages = row.messages
    record = dict(row.fields)
    system = columns.get("system")
    if system and kind(record.get(system)) == "a string" and record[system] and messages[0].role == "system":
        record[system] = messages[0].content
        messages = messages[1:]
    keys = MessageKeys(columns["role"], columns["content"])
    record[columns["messages"]] = render_messages(messages, record.get(columns["messages"]), keys, tags)
    return record
