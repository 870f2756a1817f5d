"""What FastChat's two judgement files share: ids, turns and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tunescope.judgements.files import DocumentRecord, Problems
from tunescope.rows.json_text import kind

NO_REPLY = "$ERROR$"
"""What FastChat stores where the judge's server returned nothing."""


class TurnId(NamedTuple):
    """Which turn of which question a record is about: QUESTION#TURN, the question's id, and the turn as a tag."""

    item: str
    question: str
    tags: tuple[str, ...]


def identify(record: DocumentRecord, model_columns: Sequence[str], problems: Problems) -> TurnId | None:
    """Return which turn a record is about; None where an id, a turn or a model's name is faulty."""
    columns = record.value
    ident, turn = columns.get("question_id"), columns.get("turn")
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        problems.add(record, f"{kind(ident)} in question_id", "a number or text")
        return None
    if turn is not None and (isinstance(turn, bool) or not isinstance(turn, int)):
        problems.add(record, f"{kind(turn)} in turn", "a whole number")
        return None
    for name in model_columns:
        if not isinstance(columns.get(name), str) or not columns[name]:
            problems.add(record, f"{kind(columns.get(name))} in {name}", "a model's name")
            return None
    question = str(ident)
    return TurnId(question, question, ()) if turn is None else TurnId(f"{question}#{turn}", question, (f"turn {turn}",))


def judge_of(columns: Mapping[str, Any]) -> str:
    """Return the judge's model; its prompt differs by kind of question, so it isn't part of the name."""
    judge = columns.get("judge")
    if isinstance(judge, list) and judge and isinstance(judge[0], str):
        return judge[0]
    return judge if isinstance(judge, str) else ""
