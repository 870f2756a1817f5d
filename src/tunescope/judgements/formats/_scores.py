"""What review files with two scores share: scores as they are stored, and as their reviews say them."""

from __future__ import annotations

from typing import Any

from tunescope.judgements.parsing import number, two_scores
from tunescope.judgements.records import Order, Side


def stored_scores(value: Any) -> tuple[float, float] | None:
    """Return two stored scores of 0 to 10 in the order shown; None for [-1, -1] and whatever else isn't that.

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


def order_of_stored(stored: Any, first: Side, text: str | None) -> Order:
    """Make an order of the scores that a file stores; without any, and without a reply, it is missing."""
    scores = stored_scores(stored)
    if scores is None and not (text or "").strip():
        return Order(first, None, "missing", None, text)
    if scores is not None and first == "b":
        scores = (scores[1], scores[0])
    return Order.of_scores(first, scores, text)


def order_of_text(text: str, first: Side) -> Order:
    """Read a review whose prompt asked for the scores in its first line, the first answer's first."""
    scores = two_scores(text, "first", low=0)  # judges give 0 to an answer that is empty
    if scores is not None and first == "b":
        scores = (scores[1], scores[0])
    return Order.of_scores(first, scores, text)
