"""Alpaca's triples: `instruction`, `input`, `output` (with LLaMA-Factory's `system`, `history`).

The user message is the instruction and, where there is one, the input after an empty line.
"""

from __future__ import annotations

from collections.abc import Mapping

from tunescope.rows.conversation import Conversation, Refused, kind, parse_tools, text_of
from tunescope.rows.row import Json, Message, Row

ORDER = 3
NAME = "alpaca"
SHAPE = "columns 'instruction', 'input' (may be missing) and 'output'"
NAMES = {
    "instruction": ("instruction", "prompt", "question", "query"),
    "output": ("output", "response", "answer", "completion"),
    "input": ("input", "context", "query"),
    "system": ("system",),
    "history": ("history",),
    "tools": ("tools",),
}


def detect(record: Mapping[str, Json], hints: Mapping[str, str]) -> dict[str, str] | None:
    """Find the columns by their usual names."""
    found: dict[str, str] = {}
    for ours, names in NAMES.items():
        candidates = (hints[ours],) if ours in hints else names
        name = next((n for n in candidates if n in record and n not in found.values()), None)
        if name is not None:
            found[ours] = name
    return found if "instruction" in found and "output" in found else None


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read one exchange, after a system message and earlier exchanges where there are any."""
    for ours in ("instruction", "output"):
        if columns[ours] not in record:
            raise Refused(f"no column {columns[ours]!r} (columns: {', '.join(map(str, record)) or 'none'})", SHAPE)
    instruction, output = record[columns["instruction"]], record[columns["output"]]
    if output is None:
        raise Refused(f"no answer (column {columns['output']!r} is null)", "text")
    user = _join(
        text_of(instruction, f"column {columns['instruction']!r}"),
        _optional(record, columns.get("input")),
    )
    exchange = (
        Message("user", user),
        Message("assistant", text_of(output, f"column {columns['output']!r}")),
    )
    if len(columns) == 3 and "input" in columns:
        return Conversation(exchange)
    system = _optional(record, columns.get("system"))
    before = (Message("system", system),) if system else ()
    tools = parse_tools(record.get(columns["tools"])) if "tools" in columns else ()
    return Conversation(before + _history(record, columns.get("history")) + exchange, tools)


def _join(instruction: str, extra: str) -> str:
    return f"{instruction}\n\n{extra}" if extra else instruction


def _optional(record: Mapping[str, Json], column: str | None) -> str:
    value = record.get(column) if column else None
    return "" if value is None else text_of(value, f"column {column!r}")


def _history(record: Mapping[str, Json], column: str | None) -> tuple[Message, ...]:
    value = record.get(column) if column else None
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise Refused(f"column {column!r}: {kind(value)}", "a list of [instruction, response] pairs")
    messages: list[Message] = []
    for question, answer in value:
        messages.append(Message("user", text_of(question, f"column {column!r}")))
        messages.append(Message("assistant", text_of(answer, f"column {column!r}")))
    return tuple(messages)


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write the columns back; a changed user message keeps the input apart while it still ends with it."""
    record = dict(row.fields)
    instruction = str(record.get(columns["instruction"]) or "")
    extra = _optional(record, columns.get("input"))
    user = next(m.content or "" for m in reversed(row.messages) if m.role == "user")
    if user != _join(instruction, extra):
        if extra and user.endswith("\n\n" + extra):
            record[columns["instruction"]] = user[: -len(extra) - 2]
        else:
            record[columns["instruction"]] = user
            if extra:
                record[columns["input"]] = ""
    if row.response != record.get(columns["output"]):
        record[columns["output"]] = row.response
    return record
