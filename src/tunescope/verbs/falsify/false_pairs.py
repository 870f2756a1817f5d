"""Paired rows: each a true row with a false response beside it, and the source it came from.

A pair is an ordinary row of any format with one more column, `false_output` (or `false`, `false_response`,
`false_completion`, `false_answer`): the text that takes the place of the last assistant turn. A column
`source` names where the row came from; without it, its file does. A preference row without such a column is a pair by
itself: its rejected response is the false one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tunescope.errors import InputError, Problem
from tunescope.rows import Row
from tunescope.rows.content import last_reply
from tunescope.text.words import fold

FALSE_COLUMNS = ("false_output", "false", "false_response", "false_completion", "false_answer")
"""Column names that are read as the false response, in this order."""
_SOURCE_COLUMN = "source"
_NO_SOURCE = "(no source)"


class FalsePair(NamedTuple):
    """A true row, its false response, and its source.

    `false_response` is None where there is none that can be used; `reason` then says why.
    """

    row: Row
    false_response: str | None
    source: str
    reason: str = ""
    is_swap: bool = False
    """Whether the false response is the row's own rejected one, which takes the place of the chosen one."""


def pair_up(rows: Iterable[Row], false_column: str | None, source_column: str | None) -> Iterator[FalsePair]:
    """Yield a pair per row, in order."""
    for row in rows:
        column = false_column or next((name for name in FALSE_COLUMNS if row.fields.get(name) is not None), None)
        is_swap = bool(row.rejected) and (column is None or _holds_rejected(row, column))
        false_response, reason = _read_rejected(row) if is_swap else _read_false_response(row, column)
        yield FalsePair(row, false_response, _source(row, source_column or _SOURCE_COLUMN), reason, is_swap)


def require_usable(rows: Iterable[Row], false_column: str | None, source_column: str | None) -> None:
    """Read rows until every named column has been seen, and one false version that can be used: mostly the first alone.

    Raises:
        InputError: a named column is in none of the rows, or no row has a usable false version.
    """
    named = {"--false-column": false_column, "--source-column": source_column}
    columns: set[str] = set()
    first: dict[str, Row] = {}
    for pair in pair_up(rows, false_column, source_column):
        columns |= pair.row.fields.keys()
        first.setdefault(pair.reason, pair.row)
        if "" in first and all(name is None or name in columns for name in named.values()):
            return
    listed = f"The columns are {', '.join(sorted(columns)[:20]) or 'none'}."
    absent = {option: name for option, name in named.items() if name is not None and name not in columns}
    if first and absent:
        place = next(iter(first.values())).location
        raise InputError(
            [
                Problem.at(place, f"no column {name}, nor in any other row", f"the column of {option}")
                for option, name in absent.items()
            ],
            f"{listed} Name the right one with {' and '.join(absent)}.",
        )
    problems = [Problem.at(row.location, reason, "a usable false version") for reason, row in first.items()]
    raise InputError(problems, f"No row can be falsified. {listed} Name that of false responses with --false-column.")


def _read_false_response(row: Row, column: str | None) -> tuple[str | None, str]:
    """Return the false response, or None and why it can't be used."""
    false_response = row.fields.get(column) if column is not None else None
    if false_response is None:
        return None, "no false version"
    if not isinstance(false_response, str):
        return None, f"the false version is {type(false_response).__name__}, not text"
    if not false_response.strip():
        return None, "the false version is empty"
    last = next(message for message in reversed(row.messages) if message.role == "assistant")
    if last.content is None:
        return None, "the last answer is a tool call, not text"
    if _normalize(false_response) == _normalize(last.content):
        return None, "the false version is the true one"
    return false_response, ""


def _holds_rejected(row: Row, column: str) -> bool:
    """Tell whether the column of false responses is that of the row's rejected one."""
    value = row.fields.get(column)
    return not isinstance(value, str) or _normalize(value) == _normalize(last_reply(row.rejected))


def _read_rejected(row: Row) -> tuple[str | None, str]:
    """Return the rejected response, or None and why it can't take the place of the chosen one."""
    rejected = last_reply(row.rejected)
    if not rejected.strip():
        return None, "the rejected response is empty"
    if _normalize(rejected) == _normalize(last_reply(row.messages)):
        return None, "the rejected response is the chosen one"
    return rejected, ""


def _normalize(text: str) -> str:
    """Return a text as words are compared, with single spaces."""
    return " ".join(fold(text).split())


def _source(row: Row, column: str) -> str:
    if column not in row.fields:
        return row.file
    value = row.fields[column]
    return _NO_SOURCE if value in (None, "") else str(value)
