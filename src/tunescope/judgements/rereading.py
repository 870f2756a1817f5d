"""Replies that we read again: where our reading and the verdicts that a file stores agree, and where not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, get_args

RereadingKind = Literal["same", "differs", "only_stored", "only_read", "neither"]
"""same, differs: both have a verdict; only_stored, only_read: one of them has; neither: none has."""


class Rereading:
    """What came of reading replies again.

    Attributes:
        kinds: replies by kind.
        differences: a record for each reply that we read otherwise than the file does.
    """

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.differences: list[Mapping[str, Any]] = []

    def add(self, kind: RereadingKind, record: Mapping[str, Any]) -> None:
        """Count a reply; its record is kept where the readings differ."""
        self.kinds[kind] += 1
        if kind not in ("same", "neither"):
            self.differences.append(record)

    def as_json(self) -> dict[str, int]:
        """Return the count of each kind, 0 included."""
        return {kind: self.kinds[kind] for kind in get_args(RereadingKind)}
