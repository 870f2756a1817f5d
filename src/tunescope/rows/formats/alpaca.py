"""Alpaca's triples: `instruction`, `input`, `output` (with LLaMA-Factory's `system`, `history`).

The user message is the instruction and, where there is one, the input after an empty line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunescope.rows.conversation import Conversation, FormatError, parse_tools, render_tools, text_of
from tunescope.rows.json_text import abbreviate, kind, list_columns
from tunescope.rows.row import Json, Message, Row

ORDER = 3
NAME = "alpaca"
ALSO = ("instruction",)
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
    columns: dict[str, str] = {}
    for ours, names in NAMES.items():
        candidates = (hints[ours],) if ours in hints else names
        free = [name for name in candidates if name not in columns.values()]
        name = next((n for n in free if n in record), None)
        if name is None and ours in ("instruction", "output"):
            return None
        if ours in hints or name is None or _fits(ours, record[name]):
            columns[ours] = name or free[0]
    return columns


def _fits(ours: str, value: Json) -> bool:
    """Return False for a column that only happens to have such a name, such as `history: medieval`."""
    expected = {"system": str, "history": list, "tools": list | str}.get(ours)
    return expected is None or value is None or isinstance(value, expected)


def parse(record: Mapping[str, Json], columns: Mapping[str, str]) -> Conversation:
    """Read one exchange, after a system message and earlier exchanges where there are any."""
    try:
        _, output = record[columns["instruction"]], record[columns["output"]]
    except KeyError as error:
        raise FormatError(f"no column {abbreviate(error.args[0])} (columns: {list_columns(record)})", SHAPE) from error
    if output is None:
        raise FormatError(f"no answer (column {abbreviate(columns['output'])} is null)", "text")
    if not isinstance(output, str):
        output = text_of(output, f"column {abbreviate(columns['output'])}")
    exchange = (Message("user", question_of(record, columns)), Message("assistant", output))
    get = columns.get
    if get("system") not in record and get("history") not in record and get("tools") not in record:
        return Conversation(exchange)
    system = _optional(record, columns.get("system"))
    before = (Message("system", system),) if system else ()
    tools = parse_tools(record.get(columns["tools"])) if "tools" in columns else ()
    return Conversation(before + _history(record, columns.get("history")) + exchange, tools)


def question_of(record: Mapping[str, Json], columns: Mapping[str, str]) -> str:
    """Return the user message: the instruction and, where there is one, the input after an empty line."""
    instruction = record[columns["instruction"]]
    if not isinstance(instruction, str):
        instruction = text_of(instruction, f"column {abbreviate(columns['instruction'])}")
    return _join(instruction, _optional(record, columns.get("input")))


def _join(instruction: str, extra: str) -> str:
    return f"{instruction}\n\n{extra}" if instruction and extra else instruction or extra


def _optional(record: Mapping[str, Json], column: str | None) -> str:
    value = record.get(column) if column else None
    if isinstance(value, str):
        return value
    return "" if value is None else text_of(value, f"column {abbreviate(column)}")


def _history(record: Mapping[str, Json], column: str | None) -> tuple[Message, ...]:
    value = record.get(column) if column else None
    if value is None:
        return ()
    where = f"column {abbreviate(column)}"
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise FormatError(f"{where}: {kind(value)}", "a list of [instruction, response] pairs")
    return tuple(
        Message(role, text_of(text, where))
        for pair in value
        for role, text in zip(("user", "assistant"), pair, strict=True)
    )


def render(row: Row, columns: Mapping[str, str]) -> dict[str, Json]:
    """Write the columns; the input keeps its own column as long as the user message still ends with it."""
    record = dict(row.fields)
    messages = list(row.messages)
    system = messages.pop(0).content or "" if messages[:1] and messages[0].role == "system" else ""
    if len(messages) < 2:
        raise FormatError("fewer than two messages", "a question and an answer")
    *before, question, answer = messages
    _put_question(record, columns, question.content or "")
    if record.get(columns["output"]) is None or text_of(record[columns["output"]], "output") != answer.content:
        record[columns["output"]] = answer.content
    if _optional(record, columns.get("system")) != system:
        record[_column(columns, "system")] = system
    if list(_history(record, columns.get("history"))) != before:
        record[_column(columns, "history")] = _pairs(before)
    if "tools" in columns or row.tools:
        render_tools(record, _column(columns, "tools"), row.tools)
    return record


def _put_question(record: dict[str, Json], columns: Mapping[str, str], question: str) -> None:
    extra = _optional(record, columns.get("input"))
    if question == _join(_optional(record, columns["instruction"]), extra) and columns["instruction"] in record:
        return
    if extra and question.endswith("\n\n" + extra):
        question = question.removesuffix("\n\n" + extra)
    elif extra:
        record[columns["input"]] = ""
    record[columns["instruction"]] = question


def _column(columns: Mapping[str, str], ours: str) -> str:
    if ours not in columns:
        raise FormatError(f"{ours}, for which the file has no column", "a question and an answer only")
    return columns[ours]


def _pairs(messages: Sequence[Message]) -> list[list[str | None]]:
    return [[q.content, a.content] for q, a in zip(messages[::2], messages[1::2], strict=False)]
