"""What a mark may say, by kind of study; what it says of an item is held against that item.

The same rules hold for what a page sends and for what files have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunescope.results.annotate import Mark, StudyItem
from tunescope.rows.json_text import FormatError, abbreviate

PREFERENCES: Mapping[float, str] = {1.0: "the first is better", 0.5: "neither is better", 0.0: "the second is better"}
LEAST_SCORE, MOST_SCORE = 1, 5


def is_empty(mark: Mark) -> bool:
    """Tell whether a mark of a study of spans says that nothing in the item is to be marked."""
    return mark.kind == "spans" and "start" not in mark.value


def check_value(mark: Mark, item: StudyItem | None) -> None:
    """Look at what a mark says, and at what it said before it was corrected; `item` is what it is of, where known.

    Raises:
        FormatError: a value that a study of this kind doesn't have, or that isn't of this item.
    """
    if item is not None and item.kind != mark.kind:
        raise FormatError(f"a mark of {mark.kind} of the item {item.item_id}", f"a mark of {item.kind}")
    for value in (mark.value, *(() if mark.original is None else (mark.original,))):
        _CHECKS[mark.kind](value, item)


def _spans(value: Mapping[str, Any], item: StudyItem | None) -> None:
    if "start" in value:
        _stretch(value, item)
        _word(value, "category")


def _pairs(value: Mapping[str, Any], item: StudyItem | None) -> None:
    _word(value, "category")


def _cause(value: Mapping[str, Any], item: StudyItem | None) -> None:
    row = value.get("row_id", "")
    if row is not None and (not isinstance(row, str) or not row):
        raise FormatError(f"{abbreviate(row)} as row_id", "the id of a row, or null for none")
    if row is not None and item is not None and row not in {each.row_id for each in item.rows}:
        raise FormatError(f"the row {abbreviate(row)}", f"one of the {len(item.rows)} rows of the item {item.item_id}")
    rewordings = value.get("rewordings", [])
    if not isinstance(rewordings, list):
        raise FormatError(f"{abbreviate(rewordings)} as rewordings", "a list")
    for each in rewordings:
        _rewording(each)


def _rewording(given: Any) -> None:
    texts = [given.get(name) for name in ("prompt", "answer")] if isinstance(given, Mapping) else [None]
    if not all(isinstance(text, str) for text in texts) or not isinstance(given.get("gone"), bool | None):
        raise FormatError(f"{abbreviate(given)} as a rewording", "prompt, answer, and gone as true, false or null")


def _aspects(value: Mapping[str, Any], item: StudyItem | None) -> None:
    scores = value.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        raise FormatError(f"{abbreviate(scores)} as scores", "an object with a score per aspect")
    for aspect, score in scores.items():
        if isinstance(score, bool) or not isinstance(score, int | float) or not LEAST_SCORE <= score <= MOST_SCORE:
            expected = f"a number from {LEAST_SCORE} to {MOST_SCORE}"
            raise FormatError(f"{abbreviate(score)} as the score of {abbreviate(aspect)}", expected)
    _answer_text(value, item)


def _verdicts(value: Mapping[str, Any], item: StudyItem | None) -> None:
    preference = value.get("preference")
    if isinstance(preference, bool) or not isinstance(preference, int | float) or preference not in PREFERENCES:
        expected = "1 (the first answer is better), 0 (the second) or 0.5 (neither)"
        raise FormatError(f"{abbreviate(preference)} as preference", expected)


_CHECKS = {"spans": _spans, "pairs": _pairs, "cause": _cause, "aspects": _aspects, "verdicts": _verdicts}


def _word(value: Mapping[str, Any], name: str) -> None:
    if not isinstance(value.get(name), str) or not value[name]:
        raise FormatError(f"{abbreviate(value.get(name))} as {name}", "a word")


def _stretch(value: Mapping[str, Any], item: StudyItem | None) -> None:
    start, end = value.get("start"), value.get("end")
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (start, end)) or not 0 <= start < end:  # type: ignore[operator]
        raise FormatError(f"characters {abbreviate(start)} to {abbreviate(end)}", "a start before an end")
    text = _answer_text(value, item)
    if text is not None and end > len(text):  # type: ignore[operator]
        raise FormatError(f"characters {start} to {end}", f"a stretch of the answer's {len(text):,}")


def _answer_text(value: Mapping[str, Any], item: StudyItem | None) -> str | None:
    """Return the text of the answer that a mark is of; None where it isn't known."""
    if not isinstance(value.get("answer_id"), str):
        raise FormatError(f"{abbreviate(value.get('answer_id'))} as answer_id", "the id of an answer")
    if item is None:
        return None
    texts = {answer.answer_id: answer.text for answer in item.answers}
    if value["answer_id"] not in texts:
        raise FormatError(f"the answer {abbreviate(value['answer_id'])}", f"one of {', '.join(texts)}")
    return texts[value["answer_id"]]
