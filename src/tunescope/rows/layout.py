"""Which format a file is in, and what its columns are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType

from tunescope.errors import SettingsError, WorkError
from tunescope.family import members
from tunescope.rows import formats
from tunescope.rows.conversation import Conversation
from tunescope.rows.json_text import FormatError, abbreviate, list_columns
from tunescope.rows.loss_flags import FLAG_COLUMNS, add_row_flags, without_row_flags
from tunescope.rows.media import MEDIA_COLUMNS, read_media
from tunescope.rows.roles import TAG_SEPARATOR, TAG_WORDS
from tunescope.rows.row import Json, Row

_COLUMN_WORDS = {
    "instruction": ("instruction", "prompt", "field_instruction"),
    "input": ("input", "query", "field_input"),
    "output": ("output", "response", "completion", "field_output"),
    "system": ("system", "system_prompt", "field_system"),
    "messages": ("messages", "conversations", "field_messages"),
    "role": ("role", "role_tag", "message_field_role"),
    "content": ("content", "content_tag", "message_field_content"),
    "thinking": ("thinking", "field_thinking", "template_thinking_key"),
    "train": ("train", "message_field_training"),
    "tools": ("tools", "field_tools"),
    "history": ("history",),
    "prompt": ("prompt",),
    "completion": ("completion",),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    **{tag: (tag,) for tag in TAG_WORDS},
}
"""Our word for a column, and the words that TRL, axolotl and LLaMA-Factory use for it."""
_WORDS = tuple(sorted({word for words in _COLUMN_WORDS.values() for word in words}))
"""All of these words."""
_MESSAGE_WORDS = ("role", "content", "thinking", "train", *TAG_WORDS)
"""Words for what is inside a message, not for a column."""
_COLUMNS_BESIDE = MEDIA_COLUMNS | FLAG_COLUMNS
"""Columns beside the conversation that are part of a row's content, in every format."""


@cache
def format_modules() -> dict[str, ModuleType]:
    """Return the formats by name, in the order in which they are tried."""
    return {module.NAME: module for module in members(formats)}


def resolve_format(word: str | None) -> str | None:
    """Return our name for a format, from ours or from another tool's; None stays None."""
    modules = format_modules()
    format = next((name for name, module in modules.items() if word == name or word in module.ALSO), None)
    if format is None and word is not None:
        raise SettingsError(f"--format {word!r}: expected one of {', '.join(modules)}")
    return format


def parse_hints(columns: Sequence[str]) -> dict[str, str]:
    """Read `--columns` entries such as `response=answer` or `prompt=q,response=a`; a role may have several names."""
    hints: dict[str, str] = {}
    for entry in (part for text in columns for part in text.split(",")):
        word, equals, name = entry.partition("=")
        ours = [our for our, words in _COLUMN_WORDS.items() if word.strip() in words]
        if equals and not ours and name.strip() in _WORDS:
            raise SettingsError(
                f"--columns {entry!r}: expected WORD=COLUMN, with your column's name second; "
                f"type --columns '{name.strip()}={word.strip()}'"
            )
        if not equals or not ours or not name.strip():
            raise SettingsError(f"--columns {entry!r}: expected WORD=COLUMN with WORD one of {', '.join(_WORDS)}")
        for our in ours:
            is_further = our in TAG_WORDS and our in hints
            hints[our] = f"{hints[our]}{TAG_SEPARATOR}{name.strip()}" if is_further else name.strip()
    return hints


@dataclass(frozen=True, slots=True)
class Layout:
    """A format with the file's own column names."""

    format: str
    columns: Mapping[str, str]

    def parser(self) -> Callable[[Mapping[str, Json]], Conversation]:
        """Return the function that reads a record, or raises `FormatError`."""
        parse_format = partial(format_modules()[self.format].parse, columns=self.columns)

        def parse(record: Mapping[str, Json]) -> Conversation:
            content: Conversation = parse_format(record)
            if _COLUMNS_BESIDE.isdisjoint(record):
                return content
            return content._replace(messages=add_row_flags(content.messages, record), media=read_media(record))

        return parse

    def render(self, row: Row) -> dict[str, Json]:
        """Write a row as a record of this layout. A row that its own fields match gives these back.

        Raises:
            WorkError: the row holds something that this format has no place for.
        """
        if self.matches(row.fields, row):
            return dict(row.fields)
        fault = "a conversation that would come back changed"
        try:
            messages = without_row_flags(row.messages, row.fields)
            bare = row if messages is row.messages else replace(row, messages=messages)
            record: dict[str, Json] = format_modules()[self.format].render(bare, self.columns)
            if self.matches(record, row):
                return record
        except FormatError as error:
            fault = error.found
        parts = ("tool_calls", "tool_call_id", "name", "thinking", "train")
        present = [part for part in parts if any(getattr(message, part) not in (None, ()) for message in row.messages)]
        also = f" (it has {', '.join(present)})" if present else ""
        raise WorkError(f"row {row.id} ({row.location}) can't be written as {self.format}: {fault}{also}")

    def matches(self, record: Mapping[str, Json], row: Row) -> bool:
        """Tell whether a record reads as the row's messages and tools."""
        try:
            return self.parser()(record) == (row.messages, row.tools, row.media, row.rejected)
        except FormatError:
            return False


def detect(record: Mapping[str, Json], format: str | None, hints: Mapping[str, str]) -> Layout:
    """Recognise a record's layout; with a `format`, only that one is tried.

    Raises:
        FormatError: a record of no known layout.
    """
    modules = format_modules()
    tried = [modules[format]] if format else list(modules.values())
    for module in tried:
        columns = module.detect(record, hints)
        if columns is not None:
            return Layout(module.NAME, columns)
    in_order_of_use = sorted(tried, key=lambda module: bool(module.ORDER < 0))
    raise FormatError(f"the columns {list_columns(record)}", " or ".join(module.SHAPE for module in in_order_of_use))


def detect_all(records: Sequence[Mapping[str, Json]], format: str | None, hints: Mapping[str, str]) -> Layout:
    """Recognise the layout of one file's records by the first one. Columns that it lacks come from the others.

    Raises:
        FormatError: a column that the user named is in none of them.
    """
    first = detect(records[0], format, hints)
    values: dict[str, Json] = {}
    for record in records:
        for column, value in record.items():
            if values.get(column) is None:
                values[column] = value
    further = detect(values, first.format, hints)
    in_first = {word: column for word, column in first.columns.items() if records[0].get(column) is not None}
    for word, column in further.columns.items():
        if word in hints and word not in _MESSAGE_WORDS and column not in values:
            expected = f"the {word} in it, as --columns says"
            raise FormatError(f"no column {abbreviate(column)} (columns: {list_columns(values)})", expected)
    return Layout(first.format, {**further.columns, **in_first})
