"""What FastChat's two judgement files share: ids, turns and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Entry, Problems
from tunescope.rows.json_text import kind

NO_REPLY = "$ERROR$"
"""What FastChat keeps where the judge's server gave nothing."""


def identify(
    document: Document, entry: Entry, models: Sequence[str], problems: Problems
) -> tuple[str, str, tuple[str, ...]] | None:
    """Return a record's item (question and turn), question and tags; None where something is wrong."""
    record = entry.value
    ident, turn = record.get("question_id"), record.get("turn")
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        problems.add(document, entry, f"{kind(ident)} in question_id", "a number or text")
        return None
    if turn is not None and (isinstance(turn, bool) or not isinstance(turn, int)):
        problems.add(document, entry, f"{kind(turn)} in turn", "a whole number")
        return None
    for name in models:
        if not isinstance(record.get(name), str) or not record[name]:
            problems.add(document, entry, f"{kind(record.get(name))} in {name}", "a model's name")
            return None
    question = str(ident)
    return (question, question, ()) if turn is None else (f"{question}#{turn}", question, (f"turn {turn}",))


def judge_of(record: Mapping[str, Any]) -> str:
    """Return the judge's model; its prompt differs by kind of question, so it isn't part of the name."""
    judge = record.get("judge")
    if isinstance(judge, list) and judge and isinstance(judge[0], str):
        return judge[0]
    return judge if isinstance(judge, str) else ""
