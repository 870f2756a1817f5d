"""What a page sends as a mark's value, as marks have it; and what it shows of one.

A page knows two answers as left and right. A value names them by their place in the item, whichever was shown first.
What any mark may say of its item is looked at in `annotations.values`; here is what a study asks beyond that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunescope.results.annotate import Counterfactual, StudyItem, StudyResult
from tunescope.rows.json_text import FormatError, abbreviate

_LONGEST_TEXT = 20_000
"""Characters of a text that an annotator types."""
MOST_REWORDINGS = 20
"""Reworded prompts of an item that one annotator tries."""
_LEFT, _RIGHT, _NEITHER = _SIDES = ("left", "right", "neither")


def parse_value(
    given: Any, item: StudyItem, study: StudyResult, swapped: bool, tried: Mapping[str, Counterfactual]
) -> dict[str, Any]:
    """Return a mark's value as `results.annotate.Mark` has it.

    Args:
        given: what the page sent.
        item: what it is of.
        study: what may be said.
        swapped: the item's second answer is shown first.
        tried: reworded prompts that a model answered, which the annotator can't alter.

    Raises:
        FormatError: the study doesn't ask for that.
    """
    if not isinstance(given, dict):
        raise FormatError(f"{abbreviate(given)} as value", "an object")
    if item.kind == "spans":
        category = _one_of(given.get("category"), study.categories, "category")
        stretch = {"start": given.get("start"), "end": given.get("end")}
        return {"answer_id": item.answers[0].answer_id, **stretch, "category": category}
    if item.kind == "pairs":
        return {"category": _one_of(given.get("category"), study.categories, "category")}
    if item.kind == "verdicts":
        side = _one_of(given.get("side"), _SIDES, "side")
        return {"preference": 0.5 if side == _NEITHER else float((side == _LEFT) != swapped)}
    if item.kind == "aspects":
        return {"answer_id": item.answers[0].answer_id, "scores": _scores(given.get("scores"), study.aspects)}
    return _cause(given, item, tried)


def show_value(value: Mapping[str, Any], swapped: bool) -> dict[str, Any]:
    """Return a value as the page has it."""
    if "preference" not in value:
        return dict(value)
    preference = value["preference"]
    return {"side": _NEITHER if preference == 0.5 else _LEFT if (preference == 1) != swapped else _RIGHT}


def is_complete(value: Mapping[str, Any], study: StudyResult) -> bool:
    """Tell whether a mark says all that is asked: scores may still be missing."""
    return study.kind != "aspects" or set(value["scores"]) == set(study.aspects)


def parse_text(given: Any, name: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text that a person typed.

    Raises:
        FormatError: it is no text, or too long.
    """
    if not isinstance(given, str) or len(given) > longest:
        found = f"{len(given):,} characters" if isinstance(given, str) else abbreviate(given)
        raise FormatError(f"{found} as {name}", f"a text of up to {longest:,} characters")
    return given.encode("utf-8", "replace").decode()


def parse_id(given: Any, name: str) -> str:
    """Return an id that a page drew.

    Raises:
        FormatError: it is none.
    """
    if not isinstance(given, str) or len(given) != 32 or not set(given) <= set("0123456789abcdef"):
        raise FormatError(f"{abbreviate(given)} as {name}", "32 hex digits")
    return given


def _cause(given: Mapping[str, Any], item: StudyItem, tried: Mapping[str, Counterfactual]) -> dict[str, Any]:
    assert item.span is not None
    rewordings = given.get("rewordings", [])
    if not isinstance(rewordings, list) or len(rewordings) > MOST_REWORDINGS:
        raise FormatError("more, or something else", f"up to {MOST_REWORDINGS} rewordings")
    return {
        "answer_id": item.answers[0].answer_id,
        "start": item.span[0],
        "end": item.span[1],
        "row_id": given.get("row_id"),
        "concept": parse_text(given.get("concept", ""), "concept"),
        "rewordings": [_rewording(each, tried) for each in rewordings],
    }


def _rewording(given: Any, tried: Mapping[str, Counterfactual]) -> dict[str, Any]:
    """Return a rewording: what a model answered as it is kept here, else what the annotator wrote down."""
    if not isinstance(given, dict):
        raise FormatError(f"{abbreviate(given)} as a rewording", "an object")
    if given.get("try_id") is None:
        texts = {name: parse_text(given.get(name), name) for name in ("prompt", "answer")}
        return {**texts, "gone": given.get("gone")}
    known = tried.get(given["try_id"]) if isinstance(given["try_id"], str) else None
    if known is None:
        raise FormatError(f"the try {abbreviate(given['try_id'])}", "one of this item that was answered")
    return {**known.as_json(), "gone": given.get("gone")}


def _scores(given: Any, aspects: tuple[str, ...]) -> dict[str, int]:
    if not isinstance(given, dict) or not set(given) <= set(aspects):
        raise FormatError(f"{abbreviate(given)} as scores", f"scores of {', '.join(aspects)}")
    if not all(isinstance(score, int) for score in given.values()):
        raise FormatError(f"{abbreviate(given)} as scores", "whole numbers")
    return {aspect: given[aspect] for aspect in aspects if aspect in given}


def _one_of(given: Any, choices: tuple[str, ...], name: str) -> str:
    if not isinstance(given, str) or given not in choices:
        raise FormatError(f"{abbreviate(given)} as {name}", f"one of {', '.join(choices)}")
    return given
