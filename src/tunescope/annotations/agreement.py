"""How far people agree: numbers over marks, with intervals over items.

A unit is what gets one value from each person: an item, an answer's aspect, or of spans a character. A person that
wasn't to mark a unit, or didn't, is missing there and never counts as a value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.annotations.collected import Collected
from tunescope.annotations.values import PREFERENCES, is_empty
from tunescope.results.agreement import AnnotatorPair, MeasureAgreement, PhaseAgreement
from tunescope.results.annotate import Mark, Phase, StudyItem
from tunescope.results.estimates import MeanEstimate
from tunescope.stats import Estimate, Scale, coincidences, krippendorff_alpha, mean_overlap, mean_share

PREFERENCE = "preference"
_CATEGORY, _ROW, _ANY_ROW, _MARKED = "category", "row", "a row or none", "marked or not"
"""What is asked for, and what follows from it."""


class Measure(NamedTuple):
    """One thing that was asked: what each annotator said of each unit.

    Attributes:
        values: by item, the units' values.
    """

    name: str
    scale: Scale
    values: Mapping[str, Sequence[Mapping[str, Hashable]]]


def summarize_phase(collected: Collected, phase: Phase) -> PhaseAgreement | None:
    """Return how far people agree in the study or its pilot; None without marks of it."""
    marks = collected.of_phase(phase)
    if not marks:
        return None
    people = {(mark.annotator, mark.item_id) for mark in marks}
    by_item = _annotators_of_items(marks)
    missing = None
    if collected.assignments is not None:
        of_phase = [each for each in collected.assignments if each.phase == phase]
        missing = sum((each.annotator, each.item_id) not in people for each in of_phase)
    return PhaseAgreement(
        items=len(by_item),
        shared=sum(len(annotators) > 1 for annotators in by_item.values()),
        annotators=len({mark.annotator for mark in marks}),
        marks=len(people),
        n_missing=missing,
        missing_reason="files of marks don't say which items each person was assigned" if missing is None else None,
        measures=_agreement(collected, marks),
        overlap=MeanEstimate.of(_overlap(marks)) if collected.kind == "spans" else None,
    )


def alpha_before_corrections(collected: Collected) -> dict[str, MeanEstimate] | None:
    """Return alpha of what annotators said before a reviewer corrected it, by measure; None without a correction."""
    marks = collected.of_phase("main")
    if not any(mark.original is not None for mark in marks):
        return None
    before = [mark if mark.original is None else replace(mark, value=mark.original) for mark in marks]
    return {name: measure.alpha for name, measure in _agreement(collected, before).items()}


def annotator_pairs(collected: Collected) -> Iterator[AnnotatorPair]:
    """Yield what each two annotators said of the items that both marked."""
    for phase in ("main", "pilot"):
        marks = collected.of_phase(phase)
        names = sorted({mark.annotator for mark in marks})
        if collected.kind == "spans":
            items, pairs = _overlap_sums(marks)
            for number, (one, other) in enumerate(pairs):
                both = sum(one in each and other in each for each in _annotators_of_items(marks).values())
                shared, total = items[:, number].sum(axis=0) if len(items) else (0.0, 0.0)
                same = float(shared / total) if total else None
                yield _pair(phase, _MARKED, one, other, both, same)
            continue
        for measure in _measures(collected, marks):
            if ":" in measure.name:
                continue
            for one, other in combinations(names, 2):
                said = [(u[one], u[other]) for us in measure.values.values() for u in us if one in u and other in u]
                same = sum(a == b for a, b in said) / len(said) if said else None
                yield _pair(phase, measure.name, one, other, len(said), same)


def _pair(phase: str, measure: str, one: str, other: str, items: int, same: float | None) -> AnnotatorPair:
    return AnnotatorPair(phase=phase, measure=measure, annotator_1=one, annotator_2=other, items=items, same=same)


def alpha_of(measure: Measure) -> Estimate:
    """Return Krippendorff's alpha of a measure, over items with a unit that two people gave a value."""
    domain = _domain(measure)
    tables, n_missing = [], 0
    for units in measure.values.values():
        counts = np.array([[[*unit.values()].count(value) for value in domain] for unit in units])
        if counts.size and (counts.sum(axis=1) > 1).any():
            tables.append(coincidences(counts))
        else:
            n_missing += 1
    empty = np.zeros((0, len(domain), len(domain)))
    return krippendorff_alpha(np.array(tables) if tables else empty, measure.scale, n_missing=n_missing)


def _domain(measure: Measure) -> list[Hashable]:
    values = {value for units in measure.values.values() for unit in units for value in unit.values()}
    return sorted(values, key=lambda value: value if measure.scale == "ordinal" else str(value))  # type: ignore[arg-type, return-value]


def _same_of(measure: Measure) -> Estimate:
    """Return how often two people say the same: a mean over items of the share of their pairs of marks."""
    return mean_share([share_of_pairs(unit.values() for unit in units) for units in measure.values.values()])


def share_of_pairs(units: Iterable[Iterable[Hashable]]) -> float | None:
    """Return the share of pairs of values of an item's units that are equal; None without a pair."""
    pairs = [a == b for unit in units for a, b in combinations(unit, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def _agreement(collected: Collected, marks: Sequence[Mark]) -> dict[str, MeasureAgreement]:
    if collected.kind == "spans":
        alphas = _span_alphas(marks, collected.items)
        return {name: MeasureAgreement(scale="nominal", alpha=MeanEstimate.of(e)) for name, e in alphas.items()}
    return {
        measure.name: MeasureAgreement(
            scale=measure.scale,
            alpha=MeanEstimate.of(alpha_of(measure)),
            same=MeanEstimate.of(_same_of(measure)),
        )
        for measure in _measures(collected, marks)
    }


def _measures(collected: Collected, marks: Sequence[Mark]) -> Iterator[Measure]:
    """Yield what was asked in a study other than of spans: as a whole, then each category against the rest."""
    if collected.kind == "pairs":
        yield from _with_categories(_by_value(marks, _CATEGORY, "category", "nominal"))
    elif collected.kind == "verdicts":
        yield from _with_categories(preferences(marks), PREFERENCES)
    elif collected.kind == "cause":
        rows = _rows(marks, collected.items)
        yield rows
        yield _recoded(rows, _ANY_ROW, {value: value != 0 for value in _domain(rows)})
    else:
        yield from aspects(marks)


def _rows(marks: Sequence[Mark], items: Mapping[str, StudyItem]) -> Measure:
    """Return which of an item's rows was named, as its number from 1 in the item, or 0 for none of them.

    Of an item that isn't known, rows are numbered in the order of their ids.
    """
    named = _by_value(marks, _ROW, "row_id", "nominal")
    numbered = {}
    for item_id, (unit,) in named.values.items():
        rows = [row.row_id for row in items[item_id].rows] if item_id in items else sorted(map(str, {*unit.values()}))
        places: dict[Hashable, Hashable] = {None: 0} | {row: number for number, row in enumerate(rows, 1)}
        numbered[item_id] = [{annotator: places[row] for annotator, row in unit.items()}]
    return Measure(_ROW, "nominal", numbered)


def preferences(marks: Sequence[Mark]) -> Measure:
    """Return the verdicts of a study of verdicts: 1, 0.5 or 0 of each annotator, by item."""
    return _by_value(marks, PREFERENCE, "preference", "ordinal")


def aspects(marks: Sequence[Mark]) -> Iterator[Measure]:
    """Yield the scores of each aspect; an item of several answers has a unit per answer."""
    names = dict.fromkeys(name for mark in marks for name in mark.value["scores"])
    for name in names:
        by_item: dict[str, dict[str, dict[str, Hashable]]] = {}
        for mark in marks:
            if name in mark.value["scores"]:
                unit = by_item.setdefault(mark.item_id, {}).setdefault(mark.value["answer_id"], {})
                unit[mark.annotator] = mark.value["scores"][name]
        yield Measure(name, "ordinal", {item: [*units.values()] for item, units in by_item.items()})


def _by_value(marks: Sequence[Mark], name: str, key: str, scale: Scale) -> Measure:
    by_item: dict[str, dict[str, Hashable]] = {}
    for mark in marks:
        by_item.setdefault(mark.item_id, {})[mark.annotator] = mark.value[key]
    return Measure(name, scale, {item: [unit] for item, unit in by_item.items()})


def _with_categories(measure: Measure, words: Mapping[float, str] | None = None) -> Iterator[Measure]:
    """Yield a measure, and each of its values against the rest, where there are more than two."""
    yield measure
    domain = _domain(measure)
    for value in domain if len(domain) > 2 else ():
        word = str(value) if words is None else words[value]  # type: ignore[index]
        yield _recoded(measure, f"{measure.name}: {word}", {each: each == value for each in domain})


def _recoded(measure: Measure, name: str, code: Mapping[Hashable, Hashable]) -> Measure:
    recoded = {
        item: [{annotator: code[value] for annotator, value in unit.items()} for unit in units]
        for item, units in measure.values.items()
    }
    return Measure(name, "nominal", recoded)


def _annotators_of_items(marks: Sequence[Mark]) -> dict[str, set[str]]:
    by_item: dict[str, set[str]] = {}
    for mark in marks:
        by_item.setdefault(mark.item_id, set()).add(mark.annotator)
    return by_item


def _span_alphas(marks: Sequence[Mark], items: Mapping[str, StudyItem]) -> dict[str, Estimate]:
    """Return alpha over the characters of answers: marked or not, the category, each category against the rest.

    Characters of one answer aren't independent, so intervals are over items. Each person's character has one value:
    the category of the last of its marks there, or that it is unmarked. It is the unitizing of Krippendorff (2004,
    section 11.6) brought down to characters, each a unit of nominal data.
    """
    categories = sorted({mark.value["category"] for mark in marks if not is_empty(mark)})
    names = [_MARKED, *([_CATEGORY, *(f"{_CATEGORY}: {each}" for each in categories)] if len(categories) > 1 else [])]
    if not items:
        method = "Krippendorff's alpha (nominal) over characters"
        reason = "the file doesn't have the answers' texts; name their study with --items"
        missing = len(_annotators_of_items(marks))
        return {name: Estimate(None, None, None, 0, missing, 0.95, method, reason) for name in names}
    tables: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    n_missing = 0
    for item_id, of_item in _grouped(marks).items():
        if len({mark.annotator for mark in of_item}) < 2:
            n_missing += 1
            continue
        counts = _character_counts(of_item, items[item_id], categories)
        for name in names:
            tables[name].append(coincidences(_folded(counts, name, categories)))
    return {name: _alpha_of_tables(each, n_missing) for name, each in tables.items()}


def _alpha_of_tables(tables: Sequence[NDArray[np.float64]], n_missing: int) -> Estimate:
    estimate = krippendorff_alpha(np.array(tables) if tables else np.zeros((0, 2, 2)), "nominal", n_missing=n_missing)
    return replace(estimate, method=f"{estimate.method}; units are characters")


def _grouped(marks: Sequence[Mark]) -> dict[str, list[Mark]]:
    by_item: dict[str, list[Mark]] = {}
    for mark in marks:
        by_item.setdefault(mark.item_id, []).append(mark)
    return by_item


def _character_counts(marks: Sequence[Mark], item: StudyItem, categories: Sequence[str]) -> NDArray[np.int64]:
    """Return how many people gave each character each value [characters, 1 + categories]; the first is unmarked."""
    annotators = list(dict.fromkeys(mark.annotator for mark in marks))
    lengths = {answer.answer_id: len(answer.text) for answer in item.answers}
    starts = dict(zip(lengths, np.cumsum([0, *lengths.values()]).tolist(), strict=False))
    values = np.zeros((len(annotators), sum(lengths.values())), np.int64)
    for mark in marks:
        if not is_empty(mark):
            begin = starts[mark.value["answer_id"]]
            stretch = slice(begin + mark.value["start"], begin + mark.value["end"])
            values[annotators.index(mark.annotator), stretch] = 1 + categories.index(mark.value["category"])
    return np.stack([(values == value).sum(axis=0) for value in range(1 + len(categories))], axis=1)


def _folded(counts: NDArray[np.int64], name: str, categories: Sequence[str]) -> NDArray[np.int64]:
    """Return the counts of a measure's own values."""
    if name == _CATEGORY:
        return counts
    if name == _MARKED:
        return np.stack([counts[:, 0], counts[:, 1:].sum(axis=1)], axis=1)
    own = counts[:, 1 + categories.index(name.removeprefix(f"{_CATEGORY}: "))]
    return np.stack([counts.sum(axis=1) - own, own], axis=1)


def _overlap(marks: Sequence[Mark]) -> Estimate:
    sums, pairs = _overlap_sums(marks)
    single = sum(len(annotators) < 2 for annotators in _annotators_of_items(marks).values())
    return mean_overlap(sums if pairs else np.zeros((0, 1, 2)), n_missing=single)


def _overlap_sums(marks: Sequence[Mark]) -> tuple[NDArray[np.float64], list[tuple[str, str]]]:
    """Return 2 |A and B| and |A| + |B| in characters [items, pairs, 2], and the pairs of annotators."""
    names = sorted({mark.annotator for mark in marks})
    pairs = [*combinations(names, 2)]
    items = []
    for of_item in _grouped(marks).values():
        marked: dict[str, set[tuple[str, int]]] = {mark.annotator: set() for mark in of_item}
        if len(marked) < 2:
            continue
        for mark in of_item:
            if not is_empty(mark):
                places = range(mark.value["start"], mark.value["end"])
                marked[mark.annotator] |= {(mark.value["answer_id"], place) for place in places}
        sums = [
            (2 * len(marked[a] & marked[b]), len(marked[a]) + len(marked[b])) if a in marked and b in marked else (0, 0)
            for a, b in pairs
        ]
        items.append(sums)
    return np.array(items, np.float64).reshape(len(items), len(pairs), 2), pairs
