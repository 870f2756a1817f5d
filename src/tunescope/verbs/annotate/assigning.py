"""Who sees which items, in which order: decided by the seed before anyone marks anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tunescope.errors import SettingsError
from tunescope.results.annotate import Assignment, StudyItem

_PILOT_GROUP = 0
"""The number of the pilot's group; the others are numbered from 1."""


class StudyDesign(NamedTuple):
    """How the items of a study are shared out.

    Attributes:
        annotators: their names.
        pilot: items that all of them see first, beside the others.
        groups: groups that the other items are dealt into.
        groups_each: how many of them each annotator sees.
        sides: there are two answers, of which either may be shown first.
        seed: decides all that is drawn.
    """

    annotators: tuple[str, ...]
    pilot: int
    groups: int
    groups_each: int
    sides: bool
    seed: int


def assign(design: StudyDesign, items: Sequence[StudyItem]) -> list[Assignment]:
    """Share out items: the pilot's first, to all; then each annotator's groups, in an order of the annotator's own.

    Groups differ by one item at most, and so do the numbers of annotators who see them. Annotators' groups lie side by
    side on a circle, so that each shares items with the next where `groups_each` allows. Of an annotator's items with
    two answers half are shown the other way round, in the pilot and outside of it.

    Raises:
        SettingsError: items that nobody would see, or a pilot that takes all.
    """
    import numpy as np

    _validate(design, len(items))
    pilot, groups = _deal(design, items)
    numbers = _groups_by_annotator(design)
    assignments: list[Assignment] = []
    for number, annotator in enumerate(design.annotators):
        place = 0
        mine = [(_PILOT_GROUP, item) for item in pilot]
        main = [(group, item) for group in numbers[number] for item in groups[group - 1]]
        for phase, part in (("pilot", mine), ("main", main)):
            draw = np.random.default_rng((design.seed, 2, number, phase == "main"))
            swapped = draw.permutation(np.arange(len(part)) % 2 == draw.integers(2))
            for position, is_swapped in zip(draw.permutation(len(part)), swapped, strict=True):
                group, item = part[position]
                assignments.append(
                    Assignment(
                        annotator=annotator,
                        item_id=item.item_id,
                        phase="pilot" if phase == "pilot" else "main",
                        group=group,
                        place=place,
                        swapped=design.sides and bool(is_swapped),
                    )
                )
                place += 1
    return assignments


def planned_overlap(assignments: Sequence[Assignment], annotators: int) -> list[int]:
    """Count the items outside of the pilot that are seen by 0, 1, 2 … all annotators."""
    seen = Counter(each.item_id for each in assignments if each.phase == "main")
    by_count = Counter(seen.values())
    return [by_count[count] for count in range(annotators + 1)]


def shared_items(assignments: Sequence[Assignment]) -> dict[tuple[str, str], int]:
    """Count the items outside of the pilot that each two annotators see."""
    items: dict[str, set[str]] = {}
    for each in assignments:
        items.setdefault(each.annotator, set()).update([each.item_id] if each.phase == "main" else [])
    names = list(items)
    return {(a, b): len(items[a] & items[b]) for i, a in enumerate(names) for b in names[i + 1 :]}


def _validate(design: StudyDesign, n_items: int) -> None:
    n, k, groups = len(design.annotators), design.groups_each, design.groups
    if k > groups:
        raise SettingsError(f"--groups-each {k}: found {groups} groups; expected at most as many")
    if n * k < groups:
        raise SettingsError(
            f"--annotators {n} with --groups-each {k} see {n * k} of {groups} groups; expected each to be seen: give "
            f"--groups-each {-(-groups // n)}, or --annotators {-(-groups // k)}"
        )
    if n_items < design.pilot + groups:
        raise SettingsError(
            f"found {n_items:,} items; expected at least {design.pilot + groups:,}: --pilot {design.pilot}, and one "
            f"for each of --groups {groups}"
        )


def _deal(design: StudyDesign, items: Sequence[StudyItem]) -> tuple[list[StudyItem], list[list[StudyItem]]]:
    """Return the pilot's items and those of each group, drawn in one order."""
    import numpy as np

    order = np.random.default_rng((design.seed, 0)).permutation(len(items))
    drawn = [items[i] for i in order]
    rest = drawn[design.pilot :]
    return drawn[: design.pilot], [rest[group :: design.groups] for group in range(design.groups)]


def _groups_by_annotator(design: StudyDesign) -> list[list[int]]:
    """Return each annotator's groups, from 1: a run on the circle of groups, whose beginnings are evenly spread."""
    import numpy as np

    n, groups = len(design.annotators), design.groups
    draw = np.random.default_rng((design.seed, 1))
    circle, seats = draw.permutation(groups) + 1, draw.permutation(n)
    starts = [int(seat) * groups // n for seat in seats]
    return [[int(circle[(start + step) % groups]) for step in range(design.groups_each)] for start in starts]
