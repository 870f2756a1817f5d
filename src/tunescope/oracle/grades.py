"""Grades: a number on a scale, read alike by whoever asks for one, in JSON and in text. Pure, without a default.

A grade is a JSON number, or a line of a text that is nothing but a grade: "4", "4,5", "4/5", "4 out of 5 stars",
"**Rating:** 4 (out of 5)"; or an object of such a line's own, {"score": 4}. Words for numbers aren't read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from math import inf
from typing import Any, Literal, NamedTuple

from tunescope.oracle.folding import fold
from tunescope.oracle.json_objects import ObjectScan
from tunescope.views import shorten

_LONGEST_LINE = 200
"""Characters of a line that may be a grade."""
_NUMBER = r"-?[0-9]++(?:\.[0-9]++|,[0-9]{1,2}+(?![0-9]))?(?:e[-+]?[0-9]++)?"
"""With a decimal point, or a decimal comma before one digit or two: three may be thousands."""
_WRAP = r"[\s*_`()\[\]]*+"
_NAMES = ("score", "rating", "grade")
_REST_OF_LINE = re.compile(r"[ \t`]*+(?:\n|\Z)")
_LONGEST_SAID = 20
"""Characters of a number that are shown."""
_STARS = 5
"""What stars are counted out of where nothing says so."""


class Grade(NamedTuple):
    """A grade, or why there is none.

    Attributes:
        value: the number; None for none.
        why: "none" found, "ambiguous" (different ones), "out_of_range", or "other_scale" ("8/10" on a scale of 5).
        said: the number or numbers as they stand there, where `why` is one of the last three.
    """

    value: float | None
    why: Literal["", "none", "ambiguous", "out_of_range", "other_scale"] = ""
    said: str = ""


_NONE = Grade(None, "none")


class _Claim(NamedTuple):
    """A line that is a grade; bare where neither a word nor a scale says that it is one."""

    grade: Grade
    is_bare: bool


def read_grade(value: Any, low: float, high: float, label: str = "") -> Grade:
    """Read a grade from `low` to `high` in a value of JSON, or in a text.

    Args:
        value: anything; numbers and texts can be grades.
        low: the scale's lowest grade; a number off the scale is none, and isn't moved onto it.
        high: its highest.
        label: one more word that may stand before a grade ("Accuracy: 4").
    """
    if isinstance(value, str):
        return _read_text(value, low, high, label)
    return _of_number(value, low, high)


def _of_number(value: Any, low: float, high: float) -> Grade:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return _NONE
    try:
        number = float(value)
    except OverflowError:
        number = inf if value > 0 else -inf
    return _on_scale(number, f"{number:g}", "", low, high)


def _read_text(text: str, low: float, high: float, label: str) -> Grade:
    """Read the one grade of a text; bare numbers off the scale aren't taken for grades beside one that is on it."""
    claims = [*_claims(fold(text), low, high, label)]
    likely = [claim.grade for claim in claims if claim.grade.value is not None or not claim.is_bare]
    found = {(grade.value, grade.why): grade for grade in likely or [claim.grade for claim in claims]}
    if len(found) > 1:
        values = [f"{grade.value:g}" if grade.value is not None else grade.said for grade in found.values()]
        return Grade(None, "ambiguous", " and ".join(values))
    return next(iter(found.values()), _NONE)


def _claims(text: str, low: float, high: float, label: str) -> Iterator[_Claim]:
    lines = [line for line in text.splitlines() if line.strip()]
    pattern = _line(label)
    for line in lines:
        match = pattern.fullmatch(line) if len(line) <= _LONGEST_LINE else None
        if match is not None and (len(lines) == 1 or not match["point"] or match["label"] or match["best"]):
            yield _Claim(_of_line(match, low, high), not (match["label"] or match["best"] or match["stars"]))
    names = {*_NAMES, label.lower()}
    for given in [
        value for fields in _objects(text) for name, value in fields.items() if name.strip().lower() in names
    ]:
        match = pattern.fullmatch(fold(given)) if isinstance(given, str) and len(given) <= _LONGEST_LINE else None
        grade = _of_number(given, low, high) if match is None else _of_line(match, low, high)
        if grade != _NONE:
            yield _Claim(grade, False)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects that stand on lines of their own, or in a fence."""
    end = 0
    for found in ObjectScan(text).objects:
        if found.start < end:
            continue  # it is part of another one
        before = text[end : found.start].rpartition("\n")
        if (before[1] or not end) and not before[2].strip(" \t`") and _REST_OF_LINE.match(text, found.end):
            yield found.value
        end = found.end


@cache
def _line(label: str) -> re.Pattern[str]:
    """Return the pattern of a line that is a grade."""
    named = rf"(?:{'|'.join([*_NAMES, *([re.escape(label)] if label else [])])})"
    whose = rf"(?:\s+(?:for|of|in)\s+(?:the\s+)?{re.escape(label)})?" if label else ""
    before = rf"(?:(?:my|the|your|overall|final|total)\s+){{0,3}}{named}(?:\s+(?:score|rating|grade))?{whose}\b"
    return re.compile(
        rf"\#*+{_WRAP}(?:[-•]\s+)?{_WRAP}(?:(?P<label>{before}){_WRAP}(?:[:=]|\bis\b|(?<=\s)){_WRAP})?(?P<grade>{_NUMBER})"
        rf"{_WRAP}(?:(?:/|out\s+of|of|on\s+a\s+scale\s+(?:of|from)\s+{_NUMBER}\s*(?:to|-)){_WRAP}(?P<best>{_NUMBER}){_WRAP})?"
        rf"(?:(?P<stars>stars?)|points?)?{_WRAP}(?P<point>[.!])?{_WRAP}",
        re.IGNORECASE,
    )


def _of_line(match: re.Match[str], low: float, high: float) -> Grade:
    best = match["best"] or (str(_STARS) if match["stars"] else "")
    said = f"{match['grade']}/{best}" if best else match["grade"]
    return _on_scale(float(match["grade"].replace(",", ".")), said, best, low, high)


def _on_scale(value: float, said: str, best: str, low: float, high: float) -> Grade:
    said = shorten(said, _LONGEST_SAID)
    if best and float(best.replace(",", ".")) != high:
        return Grade(None, "other_scale", said)
    return Grade(value) if low <= value <= high else Grade(None, "out_of_range", said)
