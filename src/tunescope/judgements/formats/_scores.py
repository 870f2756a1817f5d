"""What review files with two scores share: the stored scores, and the scores in the text of a review."""

from __future__ import annotations

from typing import Any

from tunescope.judgements.parsing import number, two_scores
from tunescope.judgements.records import Presentation, Side


def presentation_of_stored(stored: Any, first: Side, text: str | None) -> Presentation:
    """Build a presentation from the scores that a file stores; it is missing without scores and without a reply."""
    scores = _stored_scores(stored)
    if scores is None and not (text or "").strip():
        return Presentation(first, None, "missing", None, text)
    return Presentation.of_scores(first, _from_a(scores, first), text)


def presentation_of_text(text: str, first: Side) -> Presentation:
    """Read a review whose prompt asked for both scores in its first line, in the order shown."""
    scores = two_scores(text, "first", low=0)  # judges give 0 to an empty answer
    return Presentation.of_scores(first, _from_a(scores, first), text)


def _from_a(shown: tuple[float, float] | None, first: Side) -> tuple[float, float] | None:
    """Return a's score, then b's, from the scores in the order shown."""
    return shown if shown is None or first == "a" else (shown[1], shown[0])


def _stored_scores(value: Any) -> tuple[float, float] | None:
    """Return two stored scores of 0 to 10 in the order shown; None for [-1, -1] and for anything else.

    They are a list, or a text that is one ("[8.0, 9.0]").
    """
    if isinstance(value, str):
        inner = value.strip()
        if not (inner.startswith(("[", "(")) and inner.endswith(("]", ")"))):
            return None
        value = inner[1:-1].split(",")
    if not isinstance(value, list) or len(value) != 2:
        return None
    first, second = number(value[0]), number(value[1])
    if first is None or second is None or not (0 <= first <= 10 and 0 <= second <= 10):
        return None
    return first, second
