"""Paired rows: each a true row with a false response beside it, and the source it came from.

A pair is an ordinary row of any format with one more column, `false_output` (or `false`, `false_response`,
`false_completion`, `false_answer`): the text that takes the place of the last assistant turn. A column
`source` names where the row came from; without it, its file does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tunescope.errors import SettingsError
from tunescope.rows import Row

FALSE_COLUMNS = ("false_output", "false", "false_response", "false_completion", "false_answer")
SOURCE_COLUMN = "source"
NO_SOURCE = "(no source)"


class Pair(NamedTuple):
    """A true row, its false response (None where there is none that can be used, with the reason), its source."""

    row: Row
    false: str | None
    source: str
    reason: str = ""


def pair_up(rows: Iterator[Row], false_column: str | None, source_column: str | None) -> list[Pair]:
    """Return a pair per row, in order.

    Raises:
        SettingsError: a named column is in none of the rows.
    """
    found: list[Pair] = []
    seen: set[str] = set()
    for row in rows:
        seen |= row.fields.keys()
        column = false_column or next((name for name in FALSE_COLUMNS if row.fields.get(name) is not None), None)
        false, reason = _usable(row, column)
        found.append(Pair(row, false, _source(row, source_column or SOURCE_COLUMN), reason))
    for option, name in (("--false-column", false_column), ("--source-column", source_column)):
        if name is not None and name not in seen:
            columns = ", ".join(sorted(seen)[:20]) or "none"
            raise SettingsError(f"{option} {name}: no row has such a column; the columns are {columns}")
    return found


def _usable(row: Row, column: str | None) -> tuple[str | None, str]:
    """Return the false response, or None and why it can't be used."""
    false = row.fields.get(column) if column is not None else None
    if false is None:
        return None, "no false version"
    if not isinstance(false, str):
        return None, f"the false version is no text but {type(false).__name__}"
    if not false.strip():
        return None, "the false version is empty"
    last = next(message for message in reversed(row.messages) if message.role == "assistant")
    if last.content is None:
        return None, "the last answer is a tool call, not text"
    if _normal(false) == _normal(last.content):
        return None, "the false version is the true one"
    return false, ""


def _normal(text: str) -> str:
    """Return a text without case and with single spaces."""
    return " ".join(text.casefold().split())


def _source(row: Row, column: str) -> str:
    if column not in row.fields:
        return row.file
    value = row.fields[column]
    return NO_SOURCE if value in (None, "") else str(value)
