"""What a page sends as a mark's value, checked against the item; and what it shows of one.

A page knows two answers as left and right. A value names them by their place in the item, whichever was shown first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from tunescope.results.annotate import StudyItem, StudyResult

_LONGEST_TEXT = 20_000
"""Characters of a text that an annotator types."""
_MOST_REWORDINGS = 20
_LEFT, _RIGHT, _NEITHER = _SIDES = ("left", "right", "neither")


def parse_value(given: Any, item: StudyItem, study: StudyResult, swapped: bool) -> dict[str, Any]:
    """Return a mark's value as `results.annotate.Mark` has it.

    Raises:
        ValueError: what was sent can't be said of this item; the text says what was expected.
    """
    if not isinstance(given, dict):
        raise ValueError("expected an object")
    if item.kind == "spans":
        answer = item.answers[0]
        start, end = given.get("start"), given.get("end")
        if not _is_whole(start) or not _is_whole(end) or not 0 <= start < end <= len(answer.text):
            raise ValueError("expected start and end within the answer")
        category = _one_of(given.get("category"), study.categories, "category")
        return {"answer_id": answer.answer_id, "start": start, "end": end, "category": category}
    if item.kind == "pairs":
        return {"category": _one_of(given.get("category"), study.categories, "category")}
    if item.kind == "verdicts":
        side = _one_of(given.get("side"), _SIDES, "side")
        return {"preference": 0.5 if side == _NEITHER else float((side == _LEFT) != swapped)}
    if item.kind == "aspects":
        return {"answer_id": item.answers[0].answer_id, "scores": _scores(given.get("scores"), study.aspects)}
    return _cause(given, item)


def show_value(value: Mapping[str, Any], swapped: bool) -> dict[str, Any]:
    """Return a value as the page has it."""
    if "preference" not in value:
        return dict(value)
    preference = value["preference"]
    return {"side": _NEITHER if preference == 0.5 else _LEFT if (preference == 1) != swapped else _RIGHT}


def is_complete(value: Mapping[str, Any], study: StudyResult) -> bool:
    """Tell whether a mark says all that is asked: scores may still be missing."""
    return study.kind != "aspects" or set(value["scores"]) == set(study.aspects)


def parse_text(given: Any, name: str) -> str:
    """Return a text that an annotator typed.

    Raises:
        ValueError: it is no text, or too long.
    """
    if not isinstance(given, str) or len(given) > _LONGEST_TEXT:
        raise ValueError(f"expected a text of up to {_LONGEST_TEXT:,} characters as {name}")
    return given.encode("utf-8", "replace").decode()


def _cause(given: Mapping[str, Any], item: StudyItem) -> dict[str, Any]:
    assert item.span is not None
    row_id = given.get("row_id")
    if row_id is not None and row_id not in {row.row_id for row in item.rows}:
        raise ValueError("expected the id of a row of this item as row_id, or null")
    rewordings = given.get("rewordings", [])
    if not isinstance(rewordings, list) or len(rewordings) > _MOST_REWORDINGS:
        raise ValueError(f"expected up to {_MOST_REWORDINGS} rewordings")
    return {
        "answer_id": item.answers[0].answer_id,
        "start": item.span[0],
        "end": item.span[1],
        "row_id": row_id,
        "concept": parse_text(given.get("concept", ""), "concept"),
        "rewordings": [_rewording(each) for each in rewordings],
    }


def _rewording(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or not isinstance(given.get("gone"), bool):
        raise ValueError("expected a rewording with prompt, answer and gone")
    return {
        "prompt": parse_text(given.get("prompt"), "prompt"),
        "answer": parse_text(given.get("answer"), "answer"),
        "gone": given["gone"],
    }


def _scores(given: Any, aspects: tuple[str, ...]) -> dict[str, int]:
    if not isinstance(given, dict) or not given or not set(given) <= set(aspects):
        raise ValueError(f"expected scores of {', '.join(aspects)}")
    if not all(_is_whole(score) and 1 <= score <= 5 for score in given.values()):
        raise ValueError("expected scores from 1 to 5")
    return {aspect: given[aspect] for aspect in aspects if aspect in given}


def _one_of(given: Any, choices: tuple[str, ...], name: str) -> str:
    if not isinstance(given, str) or given not in choices:
        raise ValueError(f"expected one of {', '.join(choices)} as {name}")
    return given


def _is_whole(number: Any) -> TypeGuard[int]:
    return isinstance(number, int) and not isinstance(number, bool)
