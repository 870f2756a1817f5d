"""A study as `annotate create` wrote it: its items, who sees which, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tunescope.errors import RunError
from tunescope.results.annotate import Assignment, StudyItem, StudyResult
from tunescope.runs import Run

GUIDELINES_FILE = "guidelines.md"
"""The file of a study's run folder that annotators read first."""


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        run: its run.
        result: how it was planned, and what may be said of an item.
        items: by item id.
        assignments: by annotator, each in the annotator's own order.
        guidelines: what annotators are told, in Markdown.
    """

    run: Run
    result: StudyResult
    items: dict[str, StudyItem]
    assignments: dict[str, list[Assignment]]
    guidelines: str

    def all_items(self, name: str) -> list[Assignment]:
        """Return an assignment of every item to somebody who isn't an annotator; the pilot's come first."""
        pilot = {each.item_id for assigned in self.assignments.values() for each in assigned if each.phase == "pilot"}
        ordered = sorted(self.items, key=lambda item_id: item_id not in pilot)
        return [
            Assignment(
                annotator=name,
                item_id=item_id,
                phase="pilot" if item_id in pilot else "main",
                group=0,
                place=place,
            )
            for place, item_id in enumerate(ordered)
        ]

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a study's run folder.

        Raises:
            RunError: no finished run, or another verb's.
        """
        run = Run(Path(folder))
        if run.verb != "annotate create":
            raise RunError(f"{run.path}: found a run of {run.verb}; expected one of annotate create")
        result = StudyResult.read(run)
        assignments: dict[str, list[Assignment]] = {name: [] for name in result.annotators}
        for each in Assignment.read_lines(run):
            assignments[each.annotator].append(each)
        items = {item.item_id: item for item in StudyItem.read_lines(run)}
        return cls(run, result, items, assignments, (run.path / GUIDELINES_FILE).read_text("utf-8"))
