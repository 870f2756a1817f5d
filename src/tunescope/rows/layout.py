"""Which format a file is in, and what its columns are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from tunescope.errors import SettingsError
from tunescope.family import members
from tunescope.rows import formats
from tunescope.rows.conversation import Conversation, Refused
from tunescope.rows.row import Json, Row

OUR_NAMES = {
    "instruction": ("instruction", "prompt", "field_instruction"),
    "input": ("input", "query", "field_input"),
    "output": ("output", "response", "completion", "field_output"),
    "system": ("system", "system_prompt", "field_system"),
    "messages": ("messages", "conversations", "field_messages"),
    "role": ("role", "role_tag", "message_field_role"),
    "content": ("content", "content_tag", "message_field_content"),
    "tools": ("tools", "field_tools"),
    "history": ("history",),
    "prompt": ("prompt",),
    "completion": ("completion",),
}
"""Our word for a column, and the words that TRL, axolotl and LLaMA-Factory use for it."""


@cache
def format_modules() -> dict[str, ModuleType]:
    """Return the formats by name, in the order in which they are tried."""
    return {module.NAME: module for module in members(formats)}


def parse_hints(columns: tuple[str, ...]) -> dict[str, str]:
    """Read `--columns` entries such as `response=answer` or `prompt=q,response=a`."""
    hints: dict[str, str] = {}
    for entry in (part for text in columns for part in text.split(",")):
        word, equals, name = entry.partition("=")
        ours = [our for our, words in OUR_NAMES.items() if word.strip() in words]
        if not equals or not ours or not name.strip():
            known = ", ".join(sorted({word for words in OUR_NAMES.values() for word in words}))
            raise SettingsError(f"--columns {entry!r}: expected WORD=COLUMN with WORD one of {known}")
        for our in ours:
            hints[our] = name.strip()
    return hints


@dataclass(frozen=True, slots=True)
class Layout:
    """A format with the file's own column names."""

    format: str
    columns: Mapping[str, str]

    def parse(self, record: Mapping[str, Json]) -> Conversation:
        """Read a record, or raise `Refused`."""
        conversation: Conversation = format_modules()[self.format].parse(record, self.columns)
        return conversation

    def render(self, row: Row) -> dict[str, Json]:
        """Write a row as a record of this layout, its other columns unchanged."""
        record: dict[str, Json] = format_modules()[self.format].render(row, self.columns)
        return record


def detect(record: Mapping[str, Json], format: str | None, hints: Mapping[str, str]) -> Layout:
    """Recognise a record's layout; `format` leaves only that one to try."""
    modules = format_modules()
    if format is not None and format not in modules:
        raise SettingsError(f"--format {format!r}: expected one of {', '.join(modules)}")
    tried = [modules[format]] if format else list(modules.values())
    for module in tried:
        columns = module.detect(record, hints)
        if columns is not None:
            return Layout(module.NAME, columns)
    found = ", ".join(map(str, record)) or "none"
    raise Refused(f"the columns {found}", " or ".join(module.SHAPE for module in tried))
