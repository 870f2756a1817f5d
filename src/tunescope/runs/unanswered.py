"""Items without a reply: open ones, which the same command asks again, and settled ones, which would fail each time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self

from tunescope.runs.work import Outcome
from tunescope.views import View

_SHOWN_REASONS = 3
_NUMBER = re.compile(r"(?<!^\d)(?<!^\d\d)(?<!^)\d[\d.,]*")
"""A number in a reason, but for a status at its beginning: a prompt's length or a time makes no other reason."""


class Unanswered(NamedTuple):
    """Of a run's items, those without a reply.

    Attributes:
        n_items: all items of the run.
        what: what sentences call them, such as `rows`.
        open: how many failed for a passing cause, by reason.
        settled: how many failed for their own sake, by reason.
    """

    n_items: int
    what: str
    open: Mapping[str, int]
    settled: Mapping[str, int]

    @classmethod
    def of(cls, n_items: int, what: str, failures: Iterable[tuple[str, bool]]) -> Self:
        """Count failures, each a reason and whether it would come each time."""
        open_, settled = Counter[str](), Counter[str]()
        for reason, is_for_good in failures:
            (settled if is_for_good else open_)[reason] += 1
        return cls(n_items, what, _grouped(open_), _grouped(settled))

    def added_to(self, result: Mapping[str, Any], view: View) -> Outcome:
        """Return a verb's outcome with these counts in its result, and in words in its view."""
        n_open, n_settled = sum(self.open.values()), sum(self.settled.values())
        counts = {"open": n_open, "settled": n_settled, "open_by": {**self.open}, "settled_by": {**self.settled}}
        before, after = [], []
        if n_open:
            about = f"{n_open:,} of {self.n_items:,} {self.what} ({_describe(self.open)})"
            before = [f"This run is open: there is no reply yet for {about}. The same command asks again."]
        if n_settled:
            about = f"{n_settled:,} of {self.n_items:,} {self.what} ({_describe(self.settled)})"
            after = [f"No reply can be had for {about}. The same command asks again only with --again."]
        shown = replace(view, sentences=(*before, *view.sentences, *after))
        return Outcome({**result, **counts}, shown, n_open, n_settled)


def _grouped(reasons: Mapping[str, int]) -> dict[str, int]:
    """Join reasons that differ in numbers alone; the most frequent come first, whichever item failed first."""
    first, counts = dict[str, str](), Counter[str]()
    for reason, count in sorted(reasons.items()):
        counts[first.setdefault(_NUMBER.sub("#", reason), reason)] += count
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _describe(reasons: Mapping[str, int]) -> str:
    shown = [f"{count:,} × {reason}" for reason, count in list(reasons.items())[:_SHOWN_REASONS]]
    rest = sum(list(reasons.values())[_SHOWN_REASONS:])
    return "; ".join([*shown, *([f"{rest:,} for other reasons"] if rest else [])])
