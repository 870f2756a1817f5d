"""The first changed rows as a view shows them: each changed text before and after, what differs marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tunescope.views import Marked, excerpt

if TYPE_CHECKING:
    from tunescope.verbs.repair.repaired_rows import RepairedRow

_SHOWN = 2
"""Changed rows that a view shows."""
_MAX_CHARS = 300
"""Characters of a text that are shown."""
_LEAD_CHARS = 60
"""Characters that are shown before the first difference."""
_COMPARED_CHARS = 4_000
"""Characters of a text within which differences are looked for."""
_MAX_MARKED = 0.6
"""Share of words that differ above which none are marked: the text is a new one."""
_WORD = re.compile(r"\S+")
_WORD_BEGINS = re.compile(r"(?<=\s)\S")
_FIELDS = {"user": "instruction", "assistant": "response"}

Spans = tuple[tuple[int, int], ...]


class _Differences(NamedTuple):
    """Where two texts differ, as (start, end) in characters of each."""

    before: Spans
    after: Spans


def before_and_after(repaired: Sequence[RepairedRow]) -> tuple[Marked, ...]:
    """Return the changed texts of the first changed rows, each before and after."""
    changed = (row for row in repaired if row.action == "changed")
    return tuple(text for row in islice(changed, _SHOWN) for text in _texts_of(row))


def _texts_of(row: RepairedRow) -> Iterator[Marked]:
    for before, after in zip(row.before.messages, row.after.messages, strict=False):
        if before.content == after.content:
            continue
        old, new = before.content or "", after.content or ""
        differences = _differences(old, new)
        field = f"{row.before.location}, row {row.before.id}, {_FIELDS.get(before.role, before.role)}"
        yield _shown(f"{field} before:", old, differences.before)
        yield _shown(f"{field} after:", new, differences.after)


def _shown(title: str, text: str, marks: Spans) -> Marked:
    """Show a text from its beginning, or from a little before the first difference where that is far in."""
    first = marks[0][0] if marks else 0
    begin = 0
    if first > _MAX_CHARS - _LEAD_CHARS:
        word = _WORD_BEGINS.search(text, first - _LEAD_CHARS, first)
        begin = first if word is None else word.start()
    end = min(len(text), begin + _MAX_CHARS)
    while end < len(text) and not text[end].isspace() and end > begin + _MAX_CHARS // 2:
        end -= 1
    return excerpt(title, text, begin, end, marks)


def _differences(old: str, new: str) -> _Differences:
    """Compare two texts word by word."""
    ours, theirs = (list(_WORD.finditer(text, 0, _COMPARED_CHARS)) for text in (old, new))
    matcher = SequenceMatcher(None, [word[0] for word in ours], [word[0] for word in theirs], autojunk=False)
    if matcher.ratio() < 1 - _MAX_MARKED:
        return _Differences((), ())
    edits = [edit for edit in matcher.get_opcodes() if edit[0] != "equal"]
    return _Differences(
        tuple((ours[start].start(), ours[end - 1].end()) for _, start, end, _, _ in edits if end > start),
        tuple((theirs[start].start(), theirs[end - 1].end()) for _, _, _, start, end in edits if end > start),
    )
