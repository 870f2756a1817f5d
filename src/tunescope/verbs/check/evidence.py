"""What a fault is judged by: the words that were seen, and whether they settle it."""

from __future__ import annotations

from typing import NamedTuple

GRADES = {True: "surely wrong", False: "look at it"}
"""What tables call evidence that settles the matter, and evidence that does not."""


class Evidence(NamedTuple):
    """What was seen in a row, and whether that alone makes the row wrong."""

    detail: str
    is_sure: bool


def surely_wrong(detail: str) -> Evidence:
    """Return evidence that settles it: the row can be dropped or repaired unseen."""
    return Evidence(detail, True)


def look_at(detail: str) -> Evidence:
    """Return evidence that has innocent causes too: a person decides."""
    return Evidence(detail, False)
